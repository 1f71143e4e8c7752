//! The hot paths, one by one: what is made before, and what is measured.

use std::hint::black_box;
use std::time::Duration;

use dragnet_core::{CachePolicy, Query, QueryConfig, QueryId, Reply, RequestId};
use rand_core::Rng;

use super::{Answer, KEPT, Lane, Loaded, MORE_MAX, Peers};

/// One thing that happens to an engine full of live queries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Operation {
    /// A reply in the fetch lane with one new item.
    FetchReply,
    /// A reply in a walk with 20 closer peers that the engine knows.
    WalkReplyKnown,
    /// The same with peers that it has not heard of: it takes them in, and computes their keys.
    WalkReplyNew,
    /// The start of a query with 20 candidates.
    Start,
    /// A tick when nothing is due.
    TickIdle,
    /// A tick at which the three contacts of a query become overdue, and three others begin.
    TickOverdue,
    /// The cancellation of a query with three contacts in flight.
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
    /// Those of queries in this lane, in an order in which each may follow the one before: the last begins with
    /// queries of its own.
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
    /// Makes the engine ready for operations of a kind.
    pub(crate) fn begin(&mut self, operation: Operation) {
        self.trim();
        match operation {
            Operation::Cancel => self.queries.retain(|query| self.engine.status(*query).is_some()),
            Operation::CacheHit => self.keep_answers(1),
            Operation::TickOverdue => self.renew(self.queries.len()),
            _ => {}
        }
    }

    /// Makes up to so many inputs for the operation.
    pub(crate) fn prepare(&mut self, operation: Operation, count: usize) -> Vec<Input<N>> {
        self.trim();
        // Those that have come to their end, or that the operation before has ended, are replaced.
        self.refill();
        let count = count.min(MORE_MAX);
        match operation {
            Operation::FetchReply | Operation::WalkReplyKnown | Operation::WalkReplyNew => {
                let requests = self.take_in_flight(count);
                requests
                    .into_iter()
                    .map(|request| Input::Reply(request, self.make_reply(operation)))
                    .collect()
            }
            Operation::Start => (0..count).map(|_| Input::Start(self.query())).collect(),
            Operation::TickIdle => (0..count).map(|_| Input::Tick).collect(),
            Operation::TickOverdue => {
                let count = count.min(self.live / 4);
                self.renew(count);
                (0..count).map(|_| Input::TickDue).collect()
            }
            Operation::Cancel => {
                let count = count.min(self.live / 4);
                self.shuffle_last(count);
                self.queries.split_off(self.queries.len() - count).into_iter().map(Input::Cancel).collect()
            }
            Operation::CacheHit => (0..count).map(|_| Input::Start(self.kept_question())).collect(),
        }
    }

    /// The measured part.
    pub(crate) fn run(&mut self, inputs: Vec<Input<N>>) {
        for input in inputs {
            match input {
                Input::Reply(request, reply) => self.reply(request, black_box(reply)),
                Input::Start(query) => self.start(black_box(query)),
                Input::Tick => {
                    self.pass(false);
                    self.tick();
                }
                Input::TickDue => {
                    self.now = self.engine.poll_timeout().expect("every live query has a deadline");
                    self.tick();
                }
                Input::Cancel(query) => self.cancel(query),
            }
        }
    }

    fn make_reply(&mut self, operation: Operation) -> Reply<N> {
        match operation {
            Operation::FetchReply => Reply::with_items(vec![Answer(self.rng.next_u64())]),
            Operation::WalkReplyKnown => Reply::with_closer(self.draw(20)),
            _ => {
                self.stranger += 20;
                Reply::with_closer((self.stranger - 20..self.stranger).map(N::peer).collect())
            }
        }
    }

    /// Puts new queries in the place of the oldest: those have been overdue already.
    fn renew(&mut self, count: usize) {
        for _ in 0..count {
            if let Some(query) = self.queries.pop_front() {
                self.cancel(query);
            }
        }
        self.in_flight.clear();
        self.refill();
    }

    /// Brings queries drawn at random to the end of the list.
    fn shuffle_last(&mut self, count: usize) {
        for n in 0..count {
            let last = self.queries.len() - 1 - n;
            self.queries.swap(last, self.rng.next_u64() as usize % (last + 1));
        }
    }

    fn kept_question(&mut self) -> Query<N> {
        let number = self.rng.next_u64() % KEPT;
        let config = QueryConfig::default()
            .with_cache(CachePolicy::Fresh)
            .with_timeout(Duration::from_secs(10))
            .with_max_results(1);
        self.to(number).config(config)
    }
}
