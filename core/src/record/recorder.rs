//! The side that records: every input of an engine, as bytes.

use alloc::vec::Vec;
use std::sync::Arc;
use std::sync::mpsc::{self, SyncSender, TrySendError};

use super::checkpoint::{put_checkpoint, put_item};
use super::checksum::Sum;
use super::frame::{self, Kind};
use super::judges::Judges;
use super::names::{Digester, Names};
use super::query::{Context, put_query};
use super::settings::put_engine_config;
use super::wire::{put, put_len, put_signed, put_text, put_word};
use super::writer::{Message, Recording, Shared, Stopped, Writer};
use super::{Bodies, FORMAT, RecordConfig, Recordable, tag};
use crate::config::Caps;
use crate::engine::{Noted, Opening, Tape};
use crate::network::Reply;
use crate::output::{Output, RequestId};
use crate::query::Query;
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
    /// Inputs recorded before them, since the last opening.
    before: u64,
    /// Where the record under way begins.
    record_at: usize,
    /// The time of the first input of the block.
    since: Option<Time>,
    last: Time,
    sum: Sum,
    /// What stands of these records, and their checksum: all but a record under way.
    whole: (usize, Sum),
    /// Bytes of the file that were handed to the writer.
    bytes: u64,
    /// How many of them it began with, before any input.
    head_bytes: u64,
    is_recording: bool,
    wants_segment: bool,
    /// Whether what comes next is what follows upon the file so far.
    is_continuous: bool,
    queue: Option<SyncSender<Message>>,
    shared: Arc<Shared>,
}

impl<N: Recordable> Recorder<N> {
    /// A recorder and the writer that is to be run beside it.
    ///
    /// What is hashed is hashed under a key made of `secret`, sixteen bytes that nobody else knows: see
    /// [`Bodies`].
    pub fn new(mut config: RecordConfig, secret: [u8; 16]) -> (Self, Writer) {
        let (low, high) = (u128::from_le_bytes(secret) as u64, (u128::from_le_bytes(secret) >> 64) as u64);
        config.blocks_waiting_max = config.blocks_waiting_max.max(2);
        config.block_bytes = config.block_bytes.min(frame::BLOCK_MAX / 2);
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
            whole: (0, Sum::default()),
            bytes: 0,
            head_bytes: 0,
            is_recording: false,
            wants_segment: false,
            is_continuous: true,
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

    fn head(&mut self, opening: &Opening<'_, N>) -> Vec<u8> {
        let Opening { config, seed, sizes, local, checkpoint } = opening;
        let Self { names, digester, judges, config: own, .. } = self;
        let mut head = Vec::new();
        put_text(&mut head, &own.program);
        put(&mut head, own.began.map_or(0, |began| began.as_millis() as u64));
        put_engine_config(&mut head, config);
        sizes.parts().into_iter().for_each(|size| put_len(&mut head, size));
        head.extend_from_slice(seed);
        let (low, high) = if own.bodies == Bodies::Hashed { digester.key() } else { (0, 0) };
        put_word(&mut head, low);
        put_word(&mut head, high);
        let mut context = Context { names, digester, texts: own.texts };
        context.put_peer(&mut head, local);
        head.push(checkpoint.is_some().into());
        if let Some(checkpoint) = checkpoint {
            put_checkpoint(&mut head, checkpoint, judges, &mut context);
        }
        head
    }

    /// Hands something finished to the writer; false if it cannot be.
    fn send(&mut self, message: Message) -> bool {
        let Some(queue) = &self.queue else { return false };
        match queue.try_send(message) {
            Ok(()) => {
                self.shared.sent();
                true
            }
            Err(TrySendError::Full(_)) => {
                self.pause(Stopped::Behind);
                false
            }
            // The writer has gone, and has said why.
            Err(TrySendError::Disconnected(_)) => {
                self.stop(Stopped::NoWriter);
                false
            }
        }
    }

    fn send_block(&mut self, framed: Vec<u8>) -> bool {
        let bytes = framed.len() as u64;
        if framed.len() > frame::BLOCK_MAX {
            self.pause(Stopped::TooLarge);
            return false;
        }
        // The end has to fit as well.
        if self.bytes + bytes + frame::END_BYTES > self.file_max() {
            self.pause(Stopped::Full);
            return false;
        }
        let is_sent = self.send(Message::Block(framed));
        if is_sent {
            self.bytes += bytes;
            self.shared.handed_over(0, bytes);
        }
        is_sent
    }

    const fn file_max(&self) -> u64 {
        if self.config.two_files { self.config.bytes_max / 2 } else { self.config.bytes_max }
    }

    /// Records nothing until the engine is idle, and then goes on in another file, if there may be one.
    fn pause(&mut self, why: Stopped) {
        if !self.config.two_files {
            return self.stop(why);
        }
        self.is_recording = false;
        self.is_continuous = false;
        self.wants_segment = true;
        self.judges.listen(false);
        self.discard();
        self.shared.pause(why);
    }

    /// Ends the recording.
    fn stop(&mut self, why: Stopped) {
        self.shared.stop(why);
        self.is_recording = false;
        self.wants_segment = false;
        self.judges.listen(false);
        self.discard();
        self.queue = None;
    }

    fn discard(&mut self) {
        (self.records, self.count, self.since) = (Vec::new(), 0, None);
        self.whole.0 = 0;
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
        let count = self.count;
        (self.count, self.since) = (0, None);
        self.records.clear();
        self.whole.0 = 0;
        if self.send_block(framed) {
            self.before += count;
            self.shared.handed_over(count, 0);
        }
        // Not at the last moment: the next at which no query lives may be long in coming.
        let (taken, room) = (self.bytes - self.head_bytes, self.file_max().saturating_sub(self.head_bytes));
        self.wants_segment |= self.config.two_files && taken > room / 4 * 3;
    }

    /// Begins a file with this, after the one that has been begun if there is one. In one message: a file
    /// without its head would be none.
    fn begin_file(&mut self, first: Vec<u8>) -> bool {
        let bytes = first.len() as u64;
        let message = if self.bytes == 0 {
            Message::Block(first)
        } else if self.is_continuous {
            Message::Next(Stopped::GoesOn, first)
        } else {
            Message::Next(self.shared.paused().unwrap_or(Stopped::Full), first)
        };
        let is_sent = self.send(message);
        if is_sent {
            (self.bytes, self.head_bytes) = (bytes, bytes);
            self.shared.handed_over(0, bytes);
        }
        is_sent
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
            put_item(records, item, &self.digester);
        }
        for (peers, read_max) in [(closer, caps.closer_per_reply), (providers, caps.providers_per_reply)] {
            let read = put_counts(records, peers.len(), read_max);
            for peer in &peers[..read] {
                self.names.put(records, peer, &self.digester);
            }
        }
        put(records, (*invalid).into());
    }

    /// Writes a query, and lets its judges be heard.
    fn put_query(&mut self, query: &mut Query<N>) {
        let Self { records, names, digester, config, judges, .. } = self;
        let numbers = judges.wrap(query);
        put_query(records, query, numbers, &mut Context { names, digester, texts: config.texts });
    }
}

/// Writes how long a list is, and returns how many of it follow: those that the engine reads.
fn put_counts(out: &mut Vec<u8>, len: usize, read_max: usize) -> usize {
    let read = len.min(read_max);
    put_len(out, read);
    put_len(out, (len - read).min(UNREAD_MAX));
    read
}

impl<N: Recordable> Tape<N> for Recorder<N> {
    fn wants_segment(&self) -> bool {
        // One that was paused since the writer is behind waits until it has caught up.
        self.wants_segment
            && (self.is_recording || self.shared.waiting() <= self.config.blocks_waiting_max / 2)
    }

    fn want_segment(&mut self) {
        self.wants_segment = self.queue.is_some();
    }

    fn open(&mut self, opening: &Opening<'_, N>) {
        if self.queue.is_none() {
            return;
        }
        self.flush();
        // One that takes a checkpoint for its own reasons goes on in the same file.
        let is_new_file = self.wants_segment || self.bytes == 0;
        self.names.clear();
        self.caps = opening.config.caps.clone();
        let head = frame::block(Kind::Head, &[], &self.head(opening));
        let is_sent = if is_new_file {
            let first = [frame::file_head(FORMAT), head].concat();
            if first.len() > frame::BLOCK_MAX || first.len() as u64 + frame::END_BYTES > self.file_max() {
                return self.stop(Stopped::TooLarge);
            }
            self.begin_file(first)
        } else {
            self.send_block(head)
        };
        if !is_sent {
            return;
        }
        (self.before, self.sum, self.last) = (0, Sum::default(), Time::ZERO);
        self.whole = (0, self.sum);
        (self.is_recording, self.is_continuous, self.wants_segment) = (true, true, false);
        self.judges.listen(true);
        self.shared.go_on();
    }

    fn wrap_judges(&mut self, query: &mut Query<N>) {
        self.judges.wrap(query);
    }

    fn unwrap_judges(&self, query: &mut Query<N>) {
        self.judges.unwrap(query);
    }

    fn finish(&mut self) {
        if self.is_recording {
            // A panic on its way out may have left a record half written. Those before it led there.
            self.sum = self.whole.1;
            self.records.truncate(self.whole.0);
            self.flush();
        }
        self.stop(self.shared.paused().unwrap_or(Stopped::Finished));
    }

    fn note(&mut self, now: Time, input: Noted<'_, N>) {
        if self.shared.is_over() && self.queue.is_some() {
            self.stop(Stopped::NoWriter);
        }
        if !self.is_recording {
            if let Noted::Start(query) = input {
                self.judges.wrap(query);
            }
            return;
        }
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

    fn close(&mut self, outputs: &mut dyn Iterator<Item = &Output<N>>, is_idle: bool) {
        if !self.is_recording {
            return;
        }
        for output in outputs {
            self.sum.output(output, &self.digester);
        }
        self.records.push(self.sum.byte());
        if self.judges.put_verdicts(&mut self.records) {
            self.records[self.record_at] |= tag::HAS_VERDICTS;
        }
        self.count += 1;
        self.whole = (self.records.len(), self.sum);
        // Of an idle engine nobody knows when it is told something again.
        let is_at_rest = is_idle && self.shared.waiting() < self.config.blocks_waiting_max / 2;
        let is_late = self.since.is_some_and(|since| self.last.since(since) >= self.config.flush_every);
        if self.records.len() >= self.config.block_bytes || is_late || is_at_rest {
            self.flush();
        }
    }
}

impl<N: Recordable> Drop for Recorder<N> {
    fn drop(&mut self) {
        self.finish();
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
