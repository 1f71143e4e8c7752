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
use crate::query::{Query, QueryId};
#[cfg(feature = "record")]
use crate::state::{Checkpoint, ConditionsState};
#[cfg(feature = "record")]
use crate::stats::Metrics;
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

/// What an engine is where a recording begins, or goes on.
#[cfg(feature = "record")]
pub(crate) struct Opening<'a, N: Network> {
    pub(crate) config: &'a EngineConfig,
    pub(crate) seed: [u8; 32],
    pub(crate) sizes: Sizes,
    pub(crate) local: &'a N::Peer,
    /// What it knows; `None` for a new one.
    pub(crate) checkpoint: Option<&'a Checkpoint<N>>,
}

/// Records. Behind it the engine need not know that its network's types can be recorded, unless they are.
#[cfg(feature = "record")]
pub(crate) trait Tape<N: Network>: Send + Sync {
    /// Whether a recording is to begin, or to go on in another file, as soon as the engine is idle.
    fn wants_segment(&self) -> bool;

    /// Wants one.
    fn want_segment(&mut self);

    /// Begins with an engine as it is.
    fn open(&mut self, opening: &Opening<'_, N>);

    /// Takes an input before its effect.
    fn note(&mut self, now: Time, input: Noted<'_, N>);

    /// Takes what the engine said to it, and whether no query lives any more.
    fn close(&mut self, outputs: &mut dyn Iterator<Item = &Output<N>>, is_idle: bool);

    /// Lets a query's judges be heard.
    fn wrap_judges(&mut self, query: &mut Query<N>);

    /// Puts a query's own judges back: nobody else is to meet those that are heard.
    fn unwrap_judges(&self, query: &mut Query<N>);

    /// Ends the recording. The judges of queries are wrapped as before, or those that know each other would
    /// be strangers.
    fn finish(&mut self);
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
    /// Records every input from now on. An engine that has been told something already is recorded from the
    /// next moment at which no query lives; then, and whenever the recording goes on in another file, it
    /// takes a [checkpoint](Self::checkpoint) of itself.
    ///
    /// The recording ends when the engine is dropped, at [`stop_recording`](Self::stop_recording), or by
    /// itself ([`Stopped`](crate::record::Stopped)). An engine is recorded by one recorder at a time: another one
    /// takes the place of the first.
    pub fn record(&mut self, recorder: crate::record::Recorder<N>)
    where
        N: crate::record::Recordable,
    {
        let is_new = self.now == Time::ZERO && self.knows_nothing();
        self.recorder = Slot { tape: Some(Box::new(recorder)), outputs_before: 0 };
        if is_new {
            self.open(None);
        } else {
            self.want_segment();
            self.roll();
        }
    }

    /// Whether the engine is as it was made.
    fn knows_nothing(&self) -> bool {
        let metrics = Metrics { sources: self.metrics.sources.clone(), ..Metrics::default() };
        self.metrics == metrics
            && self.peers.len() == 0
            && self.cache.len() == 0
            && self.conditions.export() == ConditionsState::default()
    }

    /// Ends the recording, if there is one. What was recorded is on its way to the writer.
    pub fn stop_recording(&mut self) {
        if let Some(tape) = &mut self.recorder.tape {
            tape.finish();
        }
    }

    #[inline]
    pub(super) fn note(&mut self, now: Time, input: Noted<'_, N>) {
        if self.recorder.tape.is_some() {
            self.note_down(now, input);
        }
    }

    #[inline]
    pub(super) fn close_note(&mut self) {
        if let Some(tape) = &mut self.recorder.tape {
            let is_idle = self.queries.len() == 0;
            tape.close(&mut self.outputs.iter().skip(self.recorder.outputs_before), is_idle);
        }
    }

    #[cold]
    fn note_down(&mut self, now: Time, input: Noted<'_, N>) {
        self.roll();
        self.recorder.outputs_before = self.outputs.len();
        if let Some(tape) = &mut self.recorder.tape {
            tape.note(now, input);
        }
    }

    /// Begins with another file, if that is wanted and no query lives.
    fn roll(&mut self) {
        let is_wanted = self.recorder.tape.as_ref().is_some_and(|tape| tape.wants_segment());
        if is_wanted && self.is_idle() {
            self.become_checkpoint(|_| true);
        }
    }

    /// The engine has become what the recording does not know.
    pub(super) fn want_segment(&mut self) {
        if let Some(tape) = &mut self.recorder.tape {
            tape.want_segment();
        }
    }

    pub(super) fn open_segment(&mut self, checkpoint: &Checkpoint<N>) {
        self.open(Some(checkpoint));
    }

    fn open(&mut self, checkpoint: Option<&Checkpoint<N>>) {
        let Some(mut tape) = self.recorder.tape.take() else { return };
        let (seed, sizes) = (self.ids.get_seed(), self.cache.sizes());
        tape.open(&Opening { config: &self.config, seed, sizes, local: self.peers.local(), checkpoint });
        self.recorder.tape = Some(tape);
    }

    /// Gives the judges of a kept answer back as they came.
    pub(super) fn unwrap_judges(&self, question: &mut Query<N>) {
        if let Some(tape) = &self.recorder.tape {
            tape.unwrap_judges(question);
        }
    }

    /// Who kept an answer with a validator of its own is asked by one that is wrapped.
    pub(super) fn wrap_judges(&mut self, checkpoint: &mut Checkpoint<N>) {
        if let Some(tape) = &mut self.recorder.tape {
            checkpoint.state.answers.iter_mut().for_each(|answer| tape.wrap_judges(&mut answer.question));
        }
    }

    /// Counts the bytes of kept answers as another engine did, whose network's types were of other sizes.
    pub(crate) const fn count_as(&mut self, sizes: Sizes) {
        self.cache.count_as(sizes);
    }
}

#[cfg(not(feature = "record"))]
impl<N: Network> QueryEngine<N> {
    #[inline]
    pub(super) const fn note(&mut self, _now: Time, _input: Noted<'_, N>) {}

    #[inline]
    pub(super) const fn close_note(&mut self) {}

    pub(super) const fn want_segment(&mut self) {}
}
