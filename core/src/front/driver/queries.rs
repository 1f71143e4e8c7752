//! The queries of a driver: how each begins, is given what it finds, and ends.

use core::hash::{BuildHasherDefault, Hasher};

use hashbrown::HashMap;
use tracing::{Span, field};

use super::{Driver, spans};
use crate::front::channel::Sender;
use crate::front::clock::Clock;
use crate::front::shared::{Admission, Start};
use crate::front::transport::Transport;
use crate::network::Network;
use crate::output::Found;
use crate::query::{Outcome, Query, QueryId, QueryStats, Reason, Route};
use crate::time::Time;

/// A walk begins with so many candidates, if it wants no more.
const FIRST_CANDIDATES: usize = 20;

/// Those that live.
pub(super) type Queries<N> = HashMap<QueryId, Live<N>, BuildHasherDefault<IdHasher>>;

/// The driver's half of a live query.
pub(super) struct Live<N: Network> {
    admission: Admission,
    results: Sender<N>,
    /// Only if anybody listens, and small if nobody does: each result comes by here.
    span: Option<Box<Span>>,
}

impl<N: Network> Live<N> {
    pub(super) fn in_span(&self, log: impl FnOnce(&Span)) {
        match &self.span {
            Some(span) => span.in_scope(|| log(span)),
            None => log(&Span::none()),
        }
    }
}

impl<T: Transport, C: Clock> Driver<T, C> {
    pub(super) fn start(&mut self, now: Time, start: Start<T::Network>) {
        let Start { admission, mut query, results } = start;
        if self.shared.is_shut_down() || results.is_cancelled() {
            return self.end_unstarted(admission, results);
        }
        self.name_candidates(&mut query);
        let span = spans::of(&query.request);
        let id = match self.engine.start(now, query) {
            Ok(id) => id,
            Err(error) => {
                // The client has checked the same limits. The dropped channel ends the handle.
                debug_assert!(false, "an admitted query was refused: {error}");
                tracing::error!(%error, "an admitted query was refused");
                return self.drain();
            }
        };
        span.record("query_id", field::display(id));
        let cancelled = results.started(id);
        self.live
            .insert(id, Live { admission, results, span: (!span.is_disabled()).then(|| Box::new(span)) });
        self.drain();
        if cancelled {
            self.cancel(now, id);
        }
    }

    /// Gives the walks that have no candidates those that the transport knows.
    fn name_candidates(&mut self, query: &mut Query<T::Network>) {
        let wanted = query.config.closest.max(FIRST_CANDIDATES).min(self.engine.config().caps.candidates_max);
        for route in &mut query.routes {
            if let Route::Walk { target, candidates, source } = route
                && candidates.is_empty()
            {
                *candidates = self.transport.closest_in(*source, target, wanted);
                candidates.truncate(wanted);
            }
        }
    }

    /// Delivers an item, and those that follow it to the same query.
    pub(super) fn deliver(&mut self, query: QueryId, found: Found<T::Network>) {
        let Some(live) = self.live.get(&query) else { return };
        let mut batch = live.results.batch();
        batch.push(found);
        while let Some(found) = self.engine.poll_found(query) {
            batch.push(found);
        }
        batch.send();
    }

    pub(super) fn end(&mut self, query: QueryId, outcome: Outcome) {
        let Some(live) = self.live.remove(&query) else { return };
        live.in_span(|span| spans::end(span, &outcome));
        self.give_back(live.admission);
        live.results.end(outcome);
    }

    /// What comes before the end of a stream: who sees it finds a place for the next query free and, if no other
    /// lives or waits for its start, finds all counted. A query that another thread is just starting counts as one
    /// that waits, also if it is then refused: who sees the end at that moment finds all counted when the driver
    /// has slept.
    fn give_back(&mut self, admission: Admission) {
        drop(admission);
        if !self.shared.has_admitted() {
            self.publish();
        }
    }

    /// Ends a query that never was one.
    pub(super) fn end_unstarted(&mut self, admission: Admission, results: Sender<T::Network>) {
        self.give_back(admission);
        results.end(Outcome {
            reason: Reason::Cancelled,
            results: 0,
            stats: QueryStats::default(),
            cached: None,
            sources: Vec::new(),
        });
    }
}

/// Takes the hash of a query's id from the id, whose bits are the engine's own random ones.
#[derive(Default)]
pub(super) struct IdHasher(u64);

impl Hasher for IdHasher {
    fn write(&mut self, bytes: &[u8]) {
        // The upper half of the seventh byte says what kind of id it is; all else of the eight is drawn.
        if let Some(word) = bytes.first_chunk() {
            self.0 = u64::from_le_bytes(*word);
        }
    }

    fn write_usize(&mut self, _length: usize) {}

    fn finish(&self) -> u64 {
        self.0
    }
}
