//! The hot paths, one by one: what is made before, and what is measured.

use std::hint::black_box;

use dragnet_core::{Query, QueryId, Reply, RequestId};
use rand_core::Rng;

use super::{Answer, BATCH_MAX, Lane, Loaded, Peers};

/// One thing that happens to an engine full of live queries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Operation {
    /// A reply in the fetch lane with one new item.
    FetchReply,
    /// A reply in a walk with 20 closer peers that the engine knows.
    WalkReplyKnown,
    /// The same with peers that it has not heard of: it forgets idle ones for them, takes them in, and computes
    /// their keys.
    WalkReplyNew,
    /// The start of a query with 20 candidates.
    Start,
    /// A tick when nothing is due.
    TickIdle,
    /// A tick at the next timeout: as a rule a contact becomes overdue, and another begins in its place.
    TickOverdue,
    /// The cancellation of a query, with what it has in flight.
    Cancel,
    /// The start of a query that is given a kept answer of one item, and its end.
    CacheHit,
}

/// What an operation is done with.
pub(crate) enum Input<N: Peers> {
    Reply(RequestId, Reply<N>),
    Start(Query<N>),
    Tick,
    /// A tick at the next timeout.
    TickDue,
    Cancel(QueryId),
}

impl Operation {
    /// Those of queries in this lane.
    pub(crate) const fn of(lane: Lane) -> &'static [Self] {
        match lane {
            Lane::Fetch => &[
                Self::FetchReply,
                Self::TickIdle,
                Self::Start,
                Self::Cancel,
                Self::CacheHit,
                Self::TickOverdue,
            ],
            Lane::Walk => {
                &[Self::WalkReplyKnown, Self::WalkReplyNew, Self::Start, Self::Cancel, Self::TickOverdue]
            }
        }
    }

    pub(crate) const fn name(self, lane: Lane) -> &'static str {
        match (self, lane) {
            (Self::FetchReply, _) => "fetch-reply",
            (Self::WalkReplyKnown, _) => "walk-reply-known",
            (Self::WalkReplyNew, _) => "walk-reply-new",
            (Self::Start, Lane::Fetch) => "start-fetch",
            (Self::Start, Lane::Walk) => "start-walk",
            (Self::TickIdle, _) => "tick-idle",
            (Self::TickOverdue, Lane::Fetch) => "tick-overdue-fetch",
            (Self::TickOverdue, Lane::Walk) => "tick-overdue-walk",
            (Self::Cancel, Lane::Fetch) => "cancel-fetch",
            (Self::Cancel, Lane::Walk) => "cancel-walk",
            (Self::CacheHit, _) => "cache-hit",
        }
    }
}

impl<N: Peers> Loaded<N> {
    /// Makes up to so many inputs for the operation, at least one, when the mix is as it should be again.
    pub(crate) fn prepare(&mut self, operation: Operation, count: usize) -> Vec<Input<N>> {
        self.live_on();
        let count = match operation {
            Operation::TickOverdue => {
                self.live_to_timeout();
                1
            }
            _ => count.min(BATCH_MAX).min(self.live / 4).max(1),
        };
        let mut inputs = Vec::with_capacity(count);
        inputs.extend((0..count).filter_map(|_| self.make(operation)));
        self.outputs.reserve(8 * count);
        self.queries.reserve(count);
        inputs
    }

    fn make(&mut self, operation: Operation) -> Option<Input<N>> {
        Some(match operation {
            Operation::FetchReply | Operation::WalkReplyKnown | Operation::WalkReplyNew => {
                let (request, query) = self.take_in_flight()?;
                self.debts.replies -= 1;
                let reply = match operation {
                    Operation::FetchReply => Reply::with_items(vec![Answer(self.rng.next_u64())]),
                    Operation::WalkReplyKnown => Reply::with_closer(self.draw(20)),
                    _ => {
                        // Or in the end all candidates would be strangers, and no peer idle any more.
                        self.debts.ending.push(query);
                        Reply::with_closer(self.strangers(20))
                    }
                };
                Input::Reply(request, reply)
            }
            Operation::Start => Input::Start(self.query()),
            Operation::TickIdle => Input::Tick,
            Operation::TickOverdue => Input::TickDue,
            Operation::Cancel => Input::Cancel(self.draw_live()),
            Operation::CacheHit => Input::Start(self.kept_question()),
        })
    }

    /// The measured part.
    pub(crate) fn run(&mut self, inputs: Vec<Input<N>>) {
        let step = self.step();
        for input in inputs {
            match input {
                Input::Reply(request, reply) => {
                    self.now = self.now + step;
                    self.engine.handle_reply(self.now, request, black_box(reply));
                }
                Input::Start(query) => {
                    let id = self.engine.start(self.now, black_box(query)).expect("there is room");
                    self.queries.push(id);
                }
                Input::Tick => self.engine.handle_tick(self.now),
                Input::TickDue => {
                    self.now = self.engine.poll_timeout().expect("every live query has a deadline");
                    self.engine.handle_tick(self.now);
                }
                Input::Cancel(query) => _ = self.engine.cancel(self.now, query),
            }
            self.hear();
        }
    }
}
