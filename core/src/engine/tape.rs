//! What the engine tells whoever records it: every input before its effect, and what it said to it. Without
//! the feature `record` that is nothing.

#[cfg(feature = "record")]
use alloc::boxed::Box;

use super::QueryEngine;
#[cfg(feature = "record")]
use crate::cache::Sizes;
#[cfg(feature = "record")]
use crate::config::EngineConfig;
use crate::network::{Failure, LookupTotals, Network, Reply};
#[cfg(feature = "record")]
use crate::output::Output;
use crate::output::RequestId;
#[cfg(feature = "record")]
use crate::peers::PeerIndex;
use crate::query::{Query, QueryId};
use crate::time::Time;

/// One input, as it comes. A query is handed over to be changed: who judges its items is recorded too.
#[cfg_attr(not(feature = "record"), expect(dead_code, reason = "nobody is there to read it"))]
pub(crate) enum Noted<'a, N: Network> {
    Tick,
    Start(&'a mut Query<N>),
    Sent(RequestId),
    Reply(RequestId, &'a Reply<N>),
    Failure(RequestId, Failure),
    Progress(RequestId, Option<&'a N::Peer>, &'a Reply<N>),
    Done(RequestId, LookupTotals),
    Cancel(QueryId),
    CancelRefreshes,
    Bar(&'a N::Peer),
}

/// What an engine is before its first input.
#[cfg(feature = "record")]
pub(crate) struct Opening<'a, N: Network> {
    pub(crate) config: &'a EngineConfig,
    pub(crate) seed: [u8; 32],
    pub(crate) sizes: Sizes,
    pub(crate) local: &'a N::Peer,
}

/// Records. Behind it the engine need not know that its network's types can be recorded, unless they are.
#[cfg(feature = "record")]
pub(crate) trait Tape<N: Network>: Send + Sync {
    /// Begins with an engine that has been told nothing yet.
    fn open(&mut self, opening: Opening<'_, N>);

    /// The engine cannot be recorded.
    fn refuse(&mut self);

    /// Takes an input before its effect.
    fn note(&mut self, now: Time, input: Noted<'_, N>);

    /// Takes what the engine said to it; false if the recording has come to its end.
    fn close(&mut self, outputs: &mut dyn Iterator<Item = &Output<N>>) -> bool;
}

/// Where a recorder has its place.
#[cfg(feature = "record")]
pub(super) struct Slot<N: Network> {
    tape: Option<Box<dyn Tape<N>>>,
    /// Outputs that waited before the input under way.
    outputs_before: usize,
}

#[cfg(feature = "record")]
impl<N: Network> Default for Slot<N> {
    fn default() -> Self {
        Self { tape: None, outputs_before: 0 }
    }
}

#[cfg(feature = "record")]
impl<N: Network> QueryEngine<N> {
    /// Records every input from now on. Only a new engine can be recorded, before its first input: one that
    /// has been told something is refused, which [`Recording::state`](crate::record::Recording::state) says.
    ///
    /// The recording ends when the engine is dropped, at [`stop_recording`](Self::stop_recording), or by
    /// itself ([`Stopped`](crate::record::Stopped)).
    pub fn record(&mut self, recorder: crate::record::Recorder<N>)
    where
        N: crate::record::Recordable,
    {
        let mut tape: Box<dyn Tape<N>> = Box::new(recorder);
        let is_new = self.now == Time::ZERO && self.peers.len() == 0 && self.metrics == Default::default();
        if !is_new {
            tape.refuse();
            return;
        }
        let sizes = self.cache.sizes();
        let seed = self.ids.get_seed();
        let local = self.peers.peer(PeerIndex::LOCAL);
        tape.open(Opening { config: &self.config, seed, sizes, local });
        self.recorder = Slot { tape: Some(tape), outputs_before: 0 };
    }

    /// Ends the recording, if there is one. What was recorded is on its way to the writer.
    pub fn stop_recording(&mut self) {
        self.recorder.tape = None;
    }

    /// Counts the bytes of kept answers as another engine did, whose network's types were of other sizes.
    pub(crate) const fn count_as(&mut self, sizes: Sizes) {
        self.cache.count_as(sizes);
    }

    #[inline]
    pub(super) fn note(&mut self, now: Time, input: Noted<'_, N>) {
        if let Some(tape) = &mut self.recorder.tape {
            self.recorder.outputs_before = self.outputs.len();
            tape.note(now, input);
        }
    }

    #[inline]
    pub(super) fn close_note(&mut self) {
        if let Some(tape) = &mut self.recorder.tape {
            let mut outputs = self.outputs.iter().skip(self.recorder.outputs_before);
            if !tape.close(&mut outputs) {
                self.recorder.tape = None;
            }
        }
    }
}

#[cfg(not(feature = "record"))]
impl<N: Network> QueryEngine<N> {
    #[inline]
    pub(super) const fn note(&mut self, _now: Time, _input: Noted<'_, N>) {}

    #[inline]
    pub(super) const fn close_note(&mut self) {}
}
