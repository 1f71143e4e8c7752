//! A recording, run again.

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;
use std::io::Read;

use super::checkpoint::{take_checkpoint, take_item};
use super::checksum::Sum;
use super::frame::Kind;
use super::judges::take_verdicts;
use super::known::Known;
use super::query::take_query;
use super::reader::{Blocks, Ending, OpenError};
use super::recorded::{AsRecorded, Recorded, RecordedItem, RecordedPeer};
use super::recorder::UNREAD_MAX;
use super::settings::take_engine_config;
use super::tag;
use super::wire::{Malformed, Take, Taken};
use super::writer::Stopped;
use crate::cache::Sizes;
use crate::config::EngineConfig;
use crate::engine::QueryEngine;
use crate::network::{Failure, LookupTotals, Reply};
use crate::output::{Output, RequestId, StartError};
use crate::query::{Query, QueryId};
use crate::time::Time;

/// Feeds the inputs of a recording to an engine like the one that was recorded, and compares what that says
/// with what the other one said.
///
/// An iterator over the inputs, as far as the file stands; then [`ending`](Self::ending) says how it ended.
pub struct Replay<R> {
    blocks: Blocks<R>,
    head: Head,
    engine: QueryEngine<Recorded>,
    /// The inputs of the block under way, and how many of its bytes have been taken.
    block: Vec<u8>,
    taken: usize,
    left: u64,
    /// What the checksum is to be at the end of the block.
    block_sum: u64,
    known: Known,
    last: Time,
    number: u64,
    /// The number of the first input since the last head.
    first: u64,
    sum: Sum,
    ending: Option<Ending>,
}

/// What a recording says of itself.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Head {
    /// Which program recorded it ([`RecordConfig::program`](super::RecordConfig::program)).
    pub program: String,
    /// The time of [`Time::ZERO`], since the Unix epoch, if that was said.
    pub began: Option<Duration>,
    /// The settings of the engine.
    pub config: EngineConfig,
    /// Who we were.
    pub local: RecordedPeer,
    /// The key under which it hashes, if it is there ([`Bodies::Hashed`](super::Bodies::Hashed)).
    pub key: Option<[u8; 16]>,
}

/// One input of a recording, and what came of it.
#[derive(Debug)]
#[non_exhaustive]
pub struct Replayed {
    /// Which it is; they count from 0.
    pub number: u64,
    /// The time that came with it.
    pub at: Time,
    /// The input.
    pub input: Input,
    /// What became of a query that was to start.
    pub started: Option<Result<QueryId, StartError>>,
    /// What the engine said to it now.
    pub outputs: Vec<Output<Recorded>>,
    /// Whether that, and all that it has said before, is what it said when it was recorded. It is told by a
    /// checksum of eight bits for each input and of 64 for each block: the first input of which this is false is the
    /// first that differs, or, once in 256 times, the one after it.
    pub is_as_recorded: bool,
}

/// What an engine was told.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Input {
    /// [`handle_tick`](QueryEngine::handle_tick).
    Tick,
    /// [`start`](QueryEngine::start).
    Start(Box<Query<Recorded>>),
    /// [`handle_sent`](QueryEngine::handle_sent).
    Sent(RequestId),
    /// [`handle_reply`](QueryEngine::handle_reply).
    Reply(RequestId, Reply<Recorded>),
    /// [`handle_failure`](QueryEngine::handle_failure).
    Failure(RequestId, Failure),
    /// [`handle_progress`](QueryEngine::handle_progress).
    Progress(RequestId, Option<RecordedPeer>, Reply<Recorded>),
    /// [`handle_done`](QueryEngine::handle_done).
    Done(RequestId, LookupTotals),
    /// [`cancel`](QueryEngine::cancel).
    Cancel(QueryId),
    /// [`cancel_refreshes`](QueryEngine::cancel_refreshes).
    CancelRefreshes,
    /// [`bar`](QueryEngine::bar).
    Bar(RecordedPeer),
}

impl<R: Read> Replay<R> {
    /// Opens a recording. `file` is read in small pieces now and then: no need to buffer it.
    ///
    /// # Errors
    ///
    /// Why nothing of it can be replayed.
    pub fn open(file: R) -> Result<Self, OpenError> {
        let mut blocks = Blocks::open(file)?;
        let block = match blocks.next() {
            Ok((Kind::Head, block)) => block,
            Ok(_) => return Err(OpenError::Damaged { what: "it does not begin with a head".to_string() }),
            Err(Ending::CutOff { whole_bytes, more_bytes }) => {
                return Err(OpenError::CutOff { bytes: whole_bytes + more_bytes });
            }
            Err(other) => return Err(OpenError::Damaged { what: other.to_string() }),
        };
        let mut known = Known::default();
        let Opened { head, engine } = take_head(&mut Take::new(&block), &mut known)
            .map_err(|Malformed(what)| OpenError::Damaged { what: what.to_string() })?;
        blocks.accept(block.len());
        Ok(Self {
            blocks,
            head,
            engine,
            block: Vec::new(),
            taken: 0,
            left: 0,
            block_sum: 0,
            known,
            last: Time::ZERO,
            number: 0,
            first: 0,
            sum: Sum::default(),
            ending: None,
        })
    }

    /// What the recording says of itself.
    pub const fn head(&self) -> &Head {
        &self.head
    }

    /// The engine, as it is after the last input.
    pub const fn engine(&self) -> &QueryEngine<Recorded> {
        &self.engine
    }

    /// How the recording ended; `None` while there is more of it.
    pub const fn ending(&self) -> Option<&Ending> {
        self.ending.as_ref()
    }

    /// Bytes of the file that stand, as far as it has been read.
    pub const fn whole_bytes(&self) -> u64 {
        self.blocks.whole_bytes()
    }

    /// Takes the next block up; an error is the end.
    fn take_block(&mut self) -> Result<(), Ending> {
        let (mut kind, mut block) = self.blocks.next()?;
        while kind == Kind::Head {
            self.go_on_from(&block)?;
            (kind, block) = self.blocks.next()?;
        }
        let mut from = Take::new(&block);
        match kind {
            Kind::End => {
                let why = from.byte().ok().and_then(|code| Stopped::ALL.get(usize::from(code)).copied());
                let why = why.ok_or_else(|| self.blocks.damaged(Malformed("an unknown end")))?;
                self.blocks.accept(block.len());
                return Err(Ending::Whole(why));
            }
            Kind::Inputs | Kind::Head => {}
        }
        let head = (|| Ok((from.number()?, from.number()?, from.word()?)))();
        let (before, count, sum) = head.map_err(|what| self.blocks.damaged(what))?;
        if before != self.number - self.first || count == 0 {
            return Err(self.blocks.damaged(Malformed("inputs are missing before it")));
        }
        self.taken = block.len() - from.left();
        (self.left, self.block_sum, self.block) = (count, sum, block);
        Ok(())
    }

    /// The engine has become what a checkpoint says of it.
    fn go_on_from(&mut self, block: &[u8]) -> Result<(), Ending> {
        self.known.forget_names();
        let opened = take_head(&mut Take::new(block), &mut self.known);
        let Opened { head, engine } = opened.map_err(|what| self.blocks.damaged(what))?;
        self.engine.go_on_as(engine);
        (self.head, self.last, self.first, self.sum) = (head, Time::ZERO, self.number, Sum::default());
        self.blocks.accept(block.len());
        Ok(())
    }

    fn take_input(&mut self) -> Taken<Replayed> {
        let block = core::mem::take(&mut self.block);
        let mut from = Take::new(&block[self.taken..]);
        let taken = self.take_record(&mut from);
        self.taken = block.len() - from.left();
        self.block = block;
        let (at, input, check) = taken?;
        let (started, outputs) = self.feed(at, input.clone());
        for output in &outputs {
            self.sum.output(output, &AsRecorded);
        }
        let mut is_as_recorded = self.sum.byte() == check;
        self.left -= 1;
        if self.left == 0 {
            if self.taken != self.block.len() {
                return Err(Malformed("there is more in it than it says"));
            }
            is_as_recorded &= self.sum.word() == self.block_sum;
            self.blocks.accept(self.block.len());
        }
        let number = self.number;
        self.number += 1;
        Ok(Replayed { number, at, input, started, outputs, is_as_recorded })
    }

    fn feed(
        &mut self,
        at: Time,
        input: Input,
    ) -> (Option<Result<QueryId, StartError>>, Vec<Output<Recorded>>) {
        let engine = &mut self.engine;
        let mut started = None;
        match input {
            Input::Tick => engine.handle_tick(at),
            Input::Start(query) => started = Some(engine.start(at, *query)),
            Input::Sent(request) => engine.handle_sent(at, request),
            Input::Reply(request, reply) => engine.handle_reply(at, request, reply),
            Input::Failure(request, failure) => engine.handle_failure(at, request, failure),
            Input::Progress(request, from, reply) => engine.handle_progress(at, request, from, reply),
            Input::Done(request, totals) => engine.handle_done(at, request, totals),
            Input::Cancel(query) => drop(engine.cancel(at, query)),
            Input::CancelRefreshes => engine.cancel_refreshes(at),
            Input::Bar(peer) => drop(engine.bar(at, peer)),
        }
        (started, core::iter::from_fn(|| engine.poll_output()).collect())
    }
}

/// From bytes to inputs.
impl<R> Replay<R> {
    fn take_record(&mut self, from: &mut Take<'_>) -> Taken<(Time, Input, u8)> {
        let mut code = from.byte()?;
        if code == tag::FORGET {
            self.known.forget_names();
            code = from.byte()?;
        }
        let at = Time::from_nanos(self.last.as_nanos().wrapping_add(from.signed()? as u64));
        self.last = at;
        let input = match code & !tag::HAS_VERDICTS {
            tag::TICK => Input::Tick,
            tag::START => Input::Start(Box::new(take_query(from, &mut self.known)?)),
            tag::SENT => Input::Sent(take_request(from)?),
            tag::REPLY => Input::Reply(take_request(from)?, self.take_reply(from)?),
            tag::FAILURE => Input::Failure(take_request(from)?, tag::to_failure(from.byte()?)?),
            tag::PROGRESS => {
                let request = take_request(from)?;
                let by = self.known.take_peer_if_any(from)?;
                Input::Progress(request, by, self.take_reply(from)?)
            }
            tag::DONE => {
                let request = take_request(from)?;
                let (contacted, replied, failed) = (from.narrow()?, from.narrow()?, from.narrow()?);
                Input::Done(request, LookupTotals { contacted, replied, failed })
            }
            tag::CANCEL => Input::Cancel(QueryId::from_uuid(uuid::Uuid::from_bytes(from.array()?))),
            tag::CANCEL_REFRESHES => Input::CancelRefreshes,
            tag::BAR => Input::Bar(self.known.take_peer(from)?),
            _ => return Err(Malformed("an unknown input")),
        };
        let check = from.byte()?;
        let verdicts = if code & tag::HAS_VERDICTS == 0 { Vec::new() } else { take_verdicts(from)? };
        self.known.repeater.load(verdicts);
        Ok((at, input, check))
    }

    fn take_reply(&mut self, from: &mut Take<'_>) -> Taken<Reply<Recorded>> {
        let nothing = RecordedItem { id: 0, body: 0, size: 0 };
        let (read, unread) = take_counts(from)?;
        let mut items = Vec::new();
        for _ in 0..read {
            items.push(take_item(from)?);
        }
        items.resize(read + unread, nothing);
        let mut lists = [Vec::new(), Vec::new()];
        for peers in &mut lists {
            let (read, unread) = take_counts(from)?;
            for _ in 0..read {
                peers.push(self.known.take_peer(from)?);
            }
            peers.resize(read + unread, self.head.local.clone());
        }
        let [closer, providers] = lists;
        Ok(Reply { items, closer, providers, invalid: from.narrow()? })
    }
}

/// What a head says.
struct Opened {
    head: Head,
    engine: QueryEngine<Recorded>,
}

fn take_head(from: &mut Take<'_>, known: &mut Known) -> Taken<Opened> {
    let (program, began) = (from.text()?, from.number()?);
    let config = take_engine_config(from)?;
    let mut sizes = [0; Sizes::PARTS];
    for size in &mut sizes {
        *size = usize::from(from.narrow::<u16>()?);
    }
    let sizes = Sizes::from_parts(sizes);
    let (seed, key) = (from.array()?, from.array()?);
    let local = known.take_peer(from)?;
    let checkpoint = if from.flag()? { Some(take_checkpoint(from, known)?) } else { None };
    if !from.is_empty() {
        return Err(Malformed("there is more in its head than there should be"));
    }
    let began = (began > 0).then(|| Duration::from_millis(began));
    let key = (key != [0; 16]).then_some(key);
    let head = Head { program, began, config, local, key };
    let (config, local) = (head.config.clone(), head.local.clone());
    let engine = match checkpoint {
        Some(checkpoint) => QueryEngine::resumed(config, local, seed, checkpoint, sizes),
        None => {
            let mut engine = QueryEngine::new(config, local, seed);
            engine.count_as(sizes);
            engine
        }
    };
    Ok(Opened { head, engine })
}

fn take_request(from: &mut Take<'_>) -> Taken<RequestId> {
    Ok(RequestId { slot: from.narrow()?, generation: from.narrow()? })
}

/// How many entries of a list follow, and how many more there were that the engine does not read.
fn take_counts(from: &mut Take<'_>) -> Taken<(usize, usize)> {
    let (read, unread) = (from.len()?, from.narrow()?);
    if unread > UNREAD_MAX { Err(Malformed("a reply that is too long")) } else { Ok((read, unread)) }
}

impl<R: Read> Iterator for Replay<R> {
    type Item = Replayed;

    fn next(&mut self) -> Option<Replayed> {
        if self.ending.is_some() {
            return None;
        }
        if self.left == 0
            && let Err(ending) = self.take_block()
        {
            self.ending = Some(ending);
            return None;
        }
        match self.take_input() {
            Ok(replayed) => Some(replayed),
            Err(what) => {
                self.ending = Some(self.blocks.damaged(what));
                None
            }
        }
    }
}

impl<R> core::fmt::Debug for Replay<R> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Replay")
            .field("head", &self.head)
            .field("number", &self.number)
            .field("ending", &self.ending)
            .finish_non_exhaustive()
    }
}
