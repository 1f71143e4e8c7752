//! What `tracing` is told: a span for each query, and in it an event for whatever becomes of its contacts.
//!
//! When nobody listens it costs a reply less than a hundredth: `scripts/tracing-cost` counts.

use core::fmt::Debug;

use tracing::{Level, Span, debug, enabled, field, info, info_span};

use super::Driver;
use crate::front::clock::Clock;
use crate::front::transport::{Event, Transport};
use crate::query::{Outcome, QueryId, QueryStats};

/// The span of a query, to be given its id when it has one, and the rest at its [`end`].
pub(super) fn of(request: &impl Debug) -> Span {
    info_span!(
        "query",
        query_id = field::Empty,
        ?request,
        peers = field::Empty,
        results = field::Empty,
        reason = field::Empty
    )
}

/// Says in a query's span, inside it, what it has come to.
pub(super) fn end(span: &Span, outcome: &Outcome) {
    let QueryStats { contacted, replied, failed, total, .. } = outcome.stats;
    span.record("peers", contacted);
    span.record("results", outcome.results);
    span.record("reason", field::display(outcome.reason));
    info!(results = outcome.results, reason = %outcome.reason, contacted, replied, failed, ?total, "ended");
}

impl<T: Transport, C: Clock> Driver<T, C> {
    /// Logs what the transport has said, inside the span of the query that it is for, if anybody listens.
    pub(super) fn say_event(&self, event: &Event<T::Network>) {
        if !enabled!(Level::DEBUG) {
            return;
        }
        self.say(self.engine.asker_of(event.request()), || match event {
            Event::Sent { request } => debug!(%request, "sent"),
            Event::Reply { request, reply } => {
                let (items, closer, providers) =
                    (reply.items.len(), reply.closer.len(), reply.providers.len());
                debug!(%request, items, closer, providers, invalid = reply.invalid, "reply");
            }
            Event::Failure { request, failure } => debug!(%request, ?failure, "failure"),
            Event::Progress { request, from, reply } => {
                debug!(%request, ?from, items = reply.items.len(), "progress");
            }
            Event::Done { request, totals } => debug!(%request, ?totals, "done"),
        });
    }

    /// Logs something inside a query's span, if anybody listens; outside, if it has ended and left a refresh
    /// behind.
    pub(super) fn say(&self, query: Option<QueryId>, log: impl FnOnce()) {
        if !enabled!(Level::DEBUG) {
            return;
        }
        match query.and_then(|query| self.live.get(&query)) {
            Some(live) => live.in_span(|_| log()),
            None => log(),
        }
    }
}
