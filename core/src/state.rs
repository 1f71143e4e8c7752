//! What an engine knows that outlives its queries, as plain values: to be saved and restored, or to go on
//! from.
//!
//! Three steps lead from one process to the next, and each may be taken without those after it:
//!
//! 1. [`QueryEngine::export`](crate::QueryEngine::export) gives an [`EngineState`], and
//!    [`restore`](crate::QueryEngine::restore) takes it in.
//! 2. `SavedState` (feature `serde`) can be serialised, in whatever form: the validators and selectors of
//!    kept answers stand in it by names, `Judges`.
//! 3. `StateDirectory` (feature `state`) keeps values as files, in a `Format` with a version and a checksum.

#[cfg(feature = "state")]
mod directory;
#[cfg(feature = "state")]
mod format;
#[cfg(feature = "serde")]
mod judges;
#[cfg(feature = "serde")]
mod saved;

use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use crate::network::{Network, Source};
use crate::query::{Query, Reason};
use crate::time::Time;

#[cfg(feature = "state")]
pub use directory::{StateDirectory, StateError};
#[cfg(feature = "state")]
pub use format::{Damage, Format, Saved, Unencodable};
#[cfg(feature = "serde")]
pub use judges::Judges;
#[cfg(feature = "serde")]
pub use saved::{SAVED_VERSION, SavedState};

/// What outlives the queries of an engine: how peers have behaved, what the network has been like, and the
/// answers that are kept.
///
/// [`QueryEngine::export`](crate::QueryEngine::export) gives it, and
/// [`QueryEngine::restore`](crate::QueryEngine::restore) takes it in again, in another process with
/// another origin of [`Time`] perhaps: all times are ages, counted back from the export.
///
/// It is as large as the engine's tables: bounded by [`Caps::peers_max`](crate::Caps::peers_max) and
/// [`CacheConfig`](crate::CacheConfig). Nothing of it comes from the engine's seed.
#[non_exhaustive]
pub struct EngineState<N: Network> {
    /// The peers of which anything is known: those of which nothing is are strangers whenever they are met.
    pub peers: Vec<PeerState<N::Peer>>,
    /// What the network has been like lately.
    pub conditions: ConditionsState,
    /// The kept answers, in the order of their coming, the oldest first.
    pub answers: Vec<AnswerState<N>>,
    /// Where among them the search for one to throw out goes on.
    pub hand: usize,
}

/// What is known of a peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct PeerState<P> {
    /// Who.
    pub peer: P,
    /// Answers, decayed, in 65 536ths.
    pub successes: u32,
    /// Failures, decayed, in 65 536ths.
    pub failures: u32,
    /// Invalid answers, decayed, in 65 536ths.
    pub invalid: u32,
    /// The smoothed response time of RFC 6298, in microseconds; 0 if none has been measured.
    pub smoothed_us: u32,
    /// Its variation, in microseconds.
    pub variation_us: u32,
    /// How much longer it is barred; zero if it is not.
    pub barred_for: Duration,
}

/// What the network has been like lately, over all queries.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct ConditionsState {
    /// Recent response times, in nanoseconds.
    pub response_times: Distribution,
    /// How long contacts had to wait in the transport, those that had to, in nanoseconds.
    pub waits: Distribution,
    /// The share of contacts that became overdue, in 65 536ths.
    pub overdue_share: u32,
}

/// The buckets of a [`Histogram`](crate::Histogram).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Distribution {
    /// The values in each bucket, the least first: eight buckets for each power of two. At most 496 are
    /// read.
    pub buckets: Vec<u32>,
    /// The largest value.
    pub max: u64,
}

/// A kept answer.
#[non_exhaustive]
pub struct AnswerState<N: Network> {
    /// What it answers: a query without its limits and first candidates. Its validator and selector are
    /// those very ones, since two that do the same cannot be told from two that do not.
    pub question: Query<N>,
    /// The items, the first delivered first.
    pub items: Vec<ItemState<N>>,
    /// How many of them were delivered as they were found; the others had been held back until nobody was
    /// left to ask.
    pub accepted: u32,
    /// How the query ended that found it.
    pub reason: Reason,
    /// Whether there was no more to be found.
    pub is_whole: bool,
    /// The most that was wanted by those whose answer it was.
    pub results_max: u32,
    /// How long ago its first item was delivered, or it was found that there is none.
    pub age: Duration,
    /// How long it took to find.
    pub took: Duration,
    /// Whether it has been given to anybody since the search for one to throw out last came by.
    pub is_used: bool,
}

/// An item of a kept answer.
#[non_exhaustive]
pub struct ItemState<N: Network> {
    /// The item.
    pub item: N::Item,
    /// The first peer that gave it, if it is known.
    pub from: Option<N::Peer>,
    /// How long that took, if it is known.
    pub response_time: Option<Duration>,
    /// From which network.
    pub source: Source,
    /// How many had given it by then.
    pub votes: u32,
    /// How long ago it was delivered first.
    pub age: Duration,
}

/// An engine in which no query lives, to go on from exactly.
///
/// [`QueryEngine::checkpoint`](crate::QueryEngine::checkpoint) gives it, and
/// [`QueryEngine::resume`](crate::QueryEngine::resume) makes an engine of it that goes on alike, output for
/// output.
#[non_exhaustive]
pub struct Checkpoint<N: Network> {
    /// When it was taken. The one that resumes goes on with the same origin of time.
    pub at: Time,
    /// What is known.
    pub state: EngineState<N>,
    /// Where the engine's own numbers stand.
    pub position: Position,
}

/// Where the numbers stand that an engine draws, or counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Position {
    /// The generation of new [`RequestId`](crate::RequestId)s, which no earlier one had.
    pub generation: u32,
    /// How far query ids have been drawn from the seed, in words of 32 bits.
    pub words_drawn: u128,
    /// The state of the generator that draws which peers are looked at when one has to be forgotten.
    pub draw: u64,
}

/// What has become of a state that was restored.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Restored {
    /// Peers that are known again.
    pub peers: usize,
    /// Peers of which nothing is known any more, since their deeds have decayed meanwhile.
    pub peers_forgotten: usize,
    /// Peers that were there twice, or for which the table has no room.
    pub peers_dropped: usize,
    /// Answers that are kept again.
    pub answers: usize,
    /// Answers that have become too old for everybody meanwhile.
    pub answers_expired: usize,
    /// Answers that no engine of this configuration can have kept, that were there twice, or for which
    /// there is no room.
    pub answers_dropped: usize,
}

/// Why a state is not restored.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// The engine knows something already.
    #[error(
        "the engine is not fresh: it has started {queries} queries, knows {peers} peers and keeps {answers} \
         answers; restore before anything else"
    )]
    NotFresh {
        /// Queries that it has started.
        queries: u64,
        /// Peers that it knows.
        peers: usize,
        /// Answers that it keeps.
        answers: usize,
    },
}

impl<N: Network> Default for EngineState<N> {
    fn default() -> Self {
        let (conditions, hand) = (ConditionsState::default(), 0);
        Self { peers: Vec::new(), conditions, answers: Vec::new(), hand }
    }
}

impl<N: Network> Clone for EngineState<N> {
    fn clone(&self) -> Self {
        Self {
            peers: self.peers.clone(),
            conditions: self.conditions.clone(),
            answers: self.answers.clone(),
            hand: self.hand,
        }
    }
}

impl<N: Network> fmt::Debug for EngineState<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EngineState")
            .field("peers", &self.peers)
            .field("conditions", &self.conditions)
            .field("answers", &self.answers)
            .field("hand", &self.hand)
            .finish()
    }
}

impl<N: Network> Clone for AnswerState<N> {
    fn clone(&self) -> Self {
        Self { question: self.question.clone(), items: self.items.clone(), ..*self }
    }
}

impl<N: Network> fmt::Debug for AnswerState<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnswerState")
            .field("question", &self.question)
            .field("items", &self.items)
            .field("accepted", &self.accepted)
            .field("reason", &self.reason)
            .field("is_whole", &self.is_whole)
            .field("results_max", &self.results_max)
            .field("age", &self.age)
            .field("took", &self.took)
            .field("is_used", &self.is_used)
            .finish()
    }
}

impl<N: Network> Clone for ItemState<N> {
    fn clone(&self) -> Self {
        Self { item: self.item.clone(), from: self.from.clone(), ..*self }
    }
}

impl<N: Network> fmt::Debug for ItemState<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ItemState")
            .field("item", &self.item)
            .field("from", &self.from)
            .field("response_time", &self.response_time)
            .field("source", &self.source)
            .field("votes", &self.votes)
            .field("age", &self.age)
            .finish()
    }
}

impl<N: Network> Clone for Checkpoint<N> {
    fn clone(&self) -> Self {
        Self { at: self.at, state: self.state.clone(), position: self.position }
    }
}

impl<N: Network> fmt::Debug for Checkpoint<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checkpoint")
            .field("at", &self.at)
            .field("state", &self.state)
            .field("position", &self.position)
            .finish()
    }
}
