//! What a piece of work remembers so that others may join it, and its answer be kept.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use super::ballot::Origin;
use super::question::Question;
use crate::network::Network;
use crate::time::Time;

/// Of a piece of work that may serve several queries.
pub(crate) struct Shared<N: Network> {
    pub(crate) question: Arc<Question<N>>,
    pub(crate) hash: u64,
    pub(crate) started: Time,
    /// What every query of the work has been given, in order. Each that lives wants more than this, so
    /// that there are never more than the largest `max_results`.
    pub(crate) accepted: Vec<Kept<N>>,
    /// For a query that wants more than this, something has been left out: of one reply no more items
    /// are held back than were wanted by those who were there.
    pub(crate) cut_at: Option<u32>,
    /// How many of the accepted were enough for a query that has ended by them.
    pub(crate) enough: u32,
}

/// An item that was accepted, for those who come later.
pub(crate) struct Kept<N: Network> {
    pub(crate) item: N::Item,
    pub(crate) origin: Origin<N>,
    pub(crate) votes: u32,
    /// When it was delivered first.
    pub(crate) at: Time,
}

impl<N: Network> Shared<N> {
    pub(crate) fn new(question: Question<N>, hash: u64, started: Time) -> Self {
        let question = Arc::new(question);
        Self { question, hash, started, accepted: Vec::new(), cut_at: None, enough: 0 }
    }

    /// Whether a query of these limits would get what it would get by itself, and nothing that is too old
    /// for it.
    pub(crate) fn suits(&self, now: Time, results_max: u32, max_age: Duration) -> bool {
        let age = self.accepted.first().map_or(Duration::ZERO, |kept| now.since(kept.at));
        age <= max_age && self.cut_at.is_none_or(|cut_at| results_max <= cut_at)
    }

    /// Notes that something was left out for those who want more than so many results.
    pub(crate) fn cut(&mut self, results_max: u32) {
        self.cut_at = Some(self.cut_at.map_or(results_max, |cut_at| cut_at.min(results_max)));
    }
}

impl<N: Network> Clone for Kept<N> {
    fn clone(&self) -> Self {
        Self { item: self.item.clone(), origin: self.origin.clone(), ..*self }
    }
}
