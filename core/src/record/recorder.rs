//! The side that records: every input of an engine, as bytes.

use alloc::vec::Vec;
use std::sync::Arc;
use std::sync::mpsc::{self, SyncSender, TrySendError};

use super::checksum::Sum;
use super::frame::{self, Kind};
use super::judges::Judges;
use super::names::{Digester, Names};
use super::settings::{put_agreement, put_engine_config, put_query_config};
use super::wire::{put, put_len, put_signed, put_text, put_word};
use super::writer::{Recording, Shared, Stopped, Writer};
use super::{Bodies, FORMAT, RecordConfig, Recordable, tag};
use crate::config::Caps;
use crate::engine::{Noted, Opening, Tape};
use crate::network::{Item, Reply};
use crate::output::{Output, RequestId};
use crate::query::{Query, Route};
use crate::time::Time;

/// Entries of one list of a reply that are recorded as there, beyond those that the engine reads.
pub(super) const UNREAD_MAX: usize = 1 << 16;

/// Records what an engine is told. Made together with the [`Writer`] that brings it to a file, and given to
/// [`QueryEngine::record`](crate::QueryEngine::record) or [`Driver::record`](crate::front::Driver::record).
pub struct Recorder<N: Recordable> {
    config: RecordConfig,
    digester: Digester<N>,
    names: Names<N>,
    judges: Judges<N>,
    caps: Caps,
    /// Records of the block under way.
    records: Vec<u8>,
    /// How many these are.
    count: u64,
    /// Inputs recorded before them.
    before: u64,
    /// Where the record under way begins.
    record_at: usize,
    /// The time of the first input of the block.
    since: Option<Time>,
    last: Time,
    sum: Sum,
    /// Bytes handed to the writer.
    bytes: u64,
    queue: Option<SyncSender<Vec<u8>>>,
    shared: Arc<Shared>,
}

impl<N: Recordable> Recorder<N> {
    /// A recorder and the writer that is to be run beside it.
    ///
    /// What is hashed is hashed under a key made of `secret`, sixteen bytes that nobody else knows: see
    /// [`Bodies`].
    pub fn new(config: RecordConfig, secret: [u8; 16]) -> (Self, Writer) {
        let (low, high) = (u128::from_le_bytes(secret) as u64, (u128::from_le_bytes(secret) >> 64) as u64);
        let (queue, blocks) = mpsc::sync_channel(config.blocks_waiting_max);
        let shared = Arc::new(Shared::default());
        let writer = Writer::new(blocks, Arc::clone(&shared));
        let recorder = Self {
            digester: Digester::new((low, high)),
            names: Names::new(config.names),
            judges: Judges::default(),
            caps: Caps::default(),
            records: Vec::new(),
            count: 0,
            before: 0,
            record_at: 0,
            since: None,
            last: Time::ZERO,
            sum: Sum::default(),
            bytes: 0,
            queue: Some(queue),
            shared,
            config,
        };
        (recorder, writer)
    }

    /// How the recording is doing, for whoever wants to know, from any thread.
    pub fn recording(&self) -> Recording {
        Recording::new(Arc::clone(&self.shared))
    }

    fn put_head(&mut self, opening: &Opening<'_, N>) {
        let Opening { config, seed, sizes, local } = opening;
        self.caps = config.caps.clone();
        let mut head = Vec::new();
        put_text(&mut head, &self.config.program);
        put(&mut head, self.config.began.map_or(0, |began| began.as_millis() as u64));
        put_engine_config(&mut head, config);
        sizes.parts().into_iter().for_each(|size| put_len(&mut head, size));
        head.extend_from_slice(seed);
        let is_key_told = self.config.bodies == Bodies::Hashed;
        let (low, high) = if is_key_told { self.digester.key() } else { (0, 0) };
        put_word(&mut head, low);
        put_word(&mut head, high);
        self.names.put(&mut head, local, &self.digester);
        self.send(frame::file_head(FORMAT));
        self.send(frame::block(Kind::Head, &[], &head));
    }

    /// Hands something finished to the writer, or ends the recording if it cannot be.
    fn send(&mut self, framed: Vec<u8>) {
        let Some(queue) = &self.queue else { return };
        let len = framed.len() as u64;
        // The end has to fit as well.
        if self.bytes + len + frame::END_BYTES > self.config.bytes_max {
            return self.stop(Stopped::Full);
        }
        match queue.try_send(framed) {
            Ok(()) => self.bytes += len,
            Err(TrySendError::Full(_)) => self.stop(Stopped::Behind),
            // The writer has gone, and has said why.
            Err(TrySendError::Disconnected(_)) => self.stop(Stopped::NoWriter),
        }
    }

    fn stop(&mut self, why: Stopped) {
        self.shared.stop(why);
        self.queue = None;
    }

    /// Hands the block under way to the writer.
    fn flush(&mut self) {
        if self.count == 0 {
            return;
        }
        let mut head = Vec::with_capacity(32);
        put(&mut head, self.before);
        put(&mut head, self.count);
        put_word(&mut head, self.sum.word());
        let framed = frame::block(Kind::Inputs, &head, &self.records);
        self.before += self.count;
        self.count = 0;
        self.records.clear();
        self.since = None;
        self.send(framed);
        if self.queue.is_some() {
            self.shared.recorded(self.before, self.bytes);
        }
    }

    fn open_record(&mut self, now: Time, kind: u8) {
        if self.names.is_full() {
            self.records.push(tag::FORGET);
            self.names.clear();
        }
        self.record_at = self.records.len();
        self.records.push(kind);
        // Wraps, and is unwrapped in the same way.
        put_signed(&mut self.records, now.as_nanos().wrapping_sub(self.last.as_nanos()) as i64);
        self.last = now;
        self.since.get_or_insert(now);
    }

    fn put_request(&mut self, kind: u8, now: Time, request: RequestId) {
        self.open_record(now, kind);
        put(&mut self.records, request.slot.into());
        put(&mut self.records, request.generation.into());
    }

    fn put_reply(&mut self, reply: &Reply<N>) {
        let Reply { items, closer, providers, invalid } = reply;
        let Self { records, caps, .. } = self;
        let read = put_counts(records, items.len(), caps.items_per_reply);
        for item in &items[..read] {
            for digest in self.digester.item_digests(item) {
                put_word(records, digest);
            }
            put_len(records, item.size().max(size_of::<N::Item>()));
        }
        for (peers, read_max) in [(closer, caps.closer_per_reply), (providers, caps.providers_per_reply)] {
            let read = put_counts(records, peers.len(), read_max);
            for peer in &peers[..read] {
                self.names.put(records, peer, &self.digester);
            }
        }
        put(records, (*invalid).into());
    }

    fn put_query(&mut self, query: &mut Query<N>) {
        let (validator, selector) = self.judges.wrap(query);
        let records = &mut self.records;
        put_word(records, self.digester.request_digest(&query.request));
        put_text(records, N::request_kind(&query.request));
        if self.config.texts {
            put_text(records, &N::request_text(&query.request));
        } else {
            put_text(records, "");
        }
        put_len(records, query.routes.len());
        for route in &query.routes {
            match route {
                Route::Delegated { source } => {
                    records.push(0);
                    put(records, source.0.into());
                }
                Route::Walk { target, candidates, source } => {
                    records.push(1);
                    put(records, source.0.into());
                    records.extend_from_slice(target.as_bytes());
                    put_peers(records, candidates, &mut self.names, &self.digester);
                }
            }
        }
        put_peers(records, &query.peers, &mut self.names, &self.digester);
        records.push(query.providers.into());
        put(records, validator);
        put(records, selector);
        put_agreement(records, query.disjoint);
        put_query_config(records, &query.config);
    }
}

fn put_peers<N: Recordable>(
    out: &mut Vec<u8>,
    peers: &[N::Peer],
    names: &mut Names<N>,
    digester: &Digester<N>,
) {
    put_len(out, peers.len());
    peers.iter().for_each(|peer| names.put(out, peer, digester));
}

/// Writes how long a list is, and returns how many of it follow: those that the engine reads.
fn put_counts(out: &mut Vec<u8>, len: usize, read_max: usize) -> usize {
    let read = len.min(read_max);
    put_len(out, read);
    put_len(out, (len - read).min(UNREAD_MAX));
    read
}

impl<N: Recordable> Tape<N> for Recorder<N> {
    fn open(&mut self, opening: Opening<'_, N>) {
        self.put_head(&opening);
        if self.queue.is_some() {
            self.shared.begin(self.bytes);
        }
    }

    fn refuse(&mut self) {
        self.stop(Stopped::InTheMiddle);
    }

    fn note(&mut self, now: Time, input: Noted<'_, N>) {
        match input {
            Noted::Tick => self.open_record(now, tag::TICK),
            Noted::Start(query) => {
                self.open_record(now, tag::START);
                self.put_query(query);
            }
            Noted::Sent(request) => self.put_request(tag::SENT, now, request),
            Noted::Reply(request, reply) => {
                self.put_request(tag::REPLY, now, request);
                self.put_reply(reply);
            }
            Noted::Failure(request, failure) => {
                self.put_request(tag::FAILURE, now, request);
                self.records.push(tag::of_failure(failure));
            }
            Noted::Progress(request, from, reply) => {
                self.put_request(tag::PROGRESS, now, request);
                self.records.push(from.is_some().into());
                if let Some(from) = from {
                    self.names.put(&mut self.records, from, &self.digester);
                }
                self.put_reply(reply);
            }
            Noted::Done(request, totals) => {
                self.put_request(tag::DONE, now, request);
                let totals = [totals.contacted, totals.replied, totals.failed];
                totals.into_iter().for_each(|total| put(&mut self.records, total.into()));
            }
            Noted::Cancel(query) => {
                self.open_record(now, tag::CANCEL);
                self.records.extend_from_slice(query.as_uuid().as_bytes());
            }
            Noted::CancelRefreshes => self.open_record(now, tag::CANCEL_REFRESHES),
            Noted::Bar(peer) => {
                self.open_record(now, tag::BAR);
                self.names.put(&mut self.records, peer, &self.digester);
            }
        }
    }

    fn close(&mut self, outputs: &mut dyn Iterator<Item = &Output<N>>) -> bool {
        for output in outputs {
            self.sum.output(output, &self.digester);
        }
        self.records.push(self.sum.byte());
        if self.judges.put_verdicts(&mut self.records) {
            self.records[self.record_at] |= tag::HAS_VERDICTS;
        }
        self.count += 1;
        let is_late = self.since.is_some_and(|since| self.last.since(since) >= self.config.flush_every);
        if self.records.len() >= self.config.block_bytes || is_late {
            self.flush();
        }
        self.queue.is_some() && !self.shared.is_over()
    }
}

impl<N: Recordable> Drop for Recorder<N> {
    fn drop(&mut self) {
        // A panic on its way out may have left a record half written.
        if !std::thread::panicking() {
            self.flush();
        }
        self.shared.stop(Stopped::Finished);
    }
}

impl<N: Recordable> core::fmt::Debug for Recorder<N> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Recorder")
            .field("inputs", &(self.before + self.count))
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}
