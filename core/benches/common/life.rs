//! How an engine lives before, between and after what is measured: replies come, and queries follow upon each
//! other, so that number and mix of those that live stay as they are.

use std::time::Duration;

use dragnet_core::{Output, Query, QueryConfig, QueryId, Reply, RequestId};
use rand_core::Rng;

use super::{Answer, CANDIDATES, Lane, Loaded, Peers, REPLIES_MEAN};

/// What is owed to the mix of the live queries.
#[derive(Default)]
pub(super) struct Debts {
    /// Replies that are to come for the queries that have begun; below zero, queries that are to be replaced
    /// for the replies that have come.
    pub(super) replies: i64,
    /// Queries that are to end.
    pub(super) ending: Vec<QueryId>,
}

/// What the live queries have been through, in the mean.
pub(crate) struct Mix {
    pub(crate) replied: f64,
    pub(crate) overdue: f64,
    pub(crate) contacts: f64,
}

/// What an answer takes in the mean, of queries that do not end.
pub(super) const RESPONSE_TIME: Duration = Duration::from_millis(100);

impl<N: Peers> Loaded<N> {
    pub(crate) fn mix(&self) -> Mix {
        let live = self.queries.iter().filter_map(|query| self.engine.status(*query));
        let sums = live.fold([0.0; 3], |[count, replied, overdue], stats| {
            [count + 1.0, replied + f64::from(stats.replied), overdue + f64::from(stats.overdue)]
        });
        let [count, replied, overdue] = sums;
        let contacts = self.engine.live_state().contacts as f64;
        Mix { replied: replied / count, overdue: overdue / count, contacts: contacts / count }
    }

    /// Lives until as many queries live as should, and all debts are settled.
    pub(super) fn live_on(&mut self) {
        self.look_at_outputs();
        while self.engine.live() > self.live {
            let youngest = self.queries.pop().expect("every live query is listed");
            self.end(youngest);
        }
        for query in std::mem::take(&mut self.debts.ending) {
            self.end(query);
        }
        loop {
            if self.debts.replies > 0 && self.answer_one() {
                continue;
            }
            if self.engine.live() < self.live {
                self.begin_one();
                self.debts.replies += REPLIES_MEAN;
            } else if self.debts.replies <= -REPLIES_MEAN {
                self.end_any();
            } else {
                break;
            }
        }
        if self.queries.len() > self.live + self.live / 2 {
            self.queries.retain(|query| self.engine.status(*query).is_some());
        }
    }

    /// Lives for so many replies.
    pub(super) fn live_for(&mut self, replies: usize) {
        for _ in 0..replies {
            self.answer_one();
            self.live_on();
        }
    }

    /// Lives until something is due before the next reply comes. Time passes if none is to come, too.
    pub(super) fn live_to_timeout(&mut self) {
        while self.engine.poll_timeout() > Some(self.now + self.step()) {
            if !self.answer_one() {
                self.now = self.now + self.step();
            }
            self.live_on();
        }
    }

    /// Every peer of the pool is asked once, and answers as it will later.
    pub(super) fn ask_all(&mut self) {
        let timeout = Duration::from_secs(10);
        let config = QueryConfig::default().with_fan_out(CANDIDATES).with_soft_timeout(timeout);
        let config = config.with_adaptive_timeout(false).with_timeout(timeout);
        for peers in self.pool.chunks(CANDIDATES) {
            let query = Query::new(0).fetch_from(peers.to_vec()).config(config.clone());
            self.engine.start(self.now, query).expect("there is room");
            while let Some(output) = self.engine.poll_output() {
                self.outputs.push(output);
            }
        }
        self.look_at_outputs();
        while let Some((request, _)) = self.take_in_flight() {
            self.now = self.now + self.step() / 2;
            self.engine.handle_reply(self.now, request, Reply::default());
            self.look_at_outputs();
        }
    }

    pub(super) fn begin_one(&mut self) {
        let query = self.query();
        let id = self.engine.start(self.now, query).expect("there is room");
        self.queries.push(id);
        self.look_at_outputs();
    }

    fn end(&mut self, query: QueryId) {
        self.engine.cancel(self.now, query);
        self.look_at_outputs();
    }

    /// Ends a query drawn at random.
    fn end_any(&mut self) {
        let query = self.draw_live();
        self.end(query);
    }

    /// Takes a live query out of the list.
    pub(super) fn draw_live(&mut self) -> QueryId {
        loop {
            let drawn = self.rng.next_u64() as usize % self.queries.len();
            let query = self.queries.swap_remove(drawn);
            if self.engine.status(query).is_some() {
                return query;
            }
        }
    }

    /// Answers one of the contacts in flight with what the engine knows; false if there is none.
    fn answer_one(&mut self) -> bool {
        let Some((request, _)) = self.take_in_flight() else { return false };
        self.debts.replies -= 1;
        self.now = self.now + self.step();
        let reply = match self.lane {
            Lane::Fetch => Reply::with_items(vec![Answer(self.rng.next_u64())]),
            Lane::Walk => Reply::with_closer(self.draw(20)),
        };
        self.engine.handle_reply(self.now, request, reply);
        self.look_at_outputs();
        true
    }

    /// How much time passes with each reply: so much that an answer takes as long as it should in the mean,
    /// however many are under way.
    pub(super) fn step(&self) -> Duration {
        let expected = self.in_flight.len().saturating_sub(self.released.len()).max(1);
        Duration::from_nanos(RESPONSE_TIME.as_nanos() as u64 / expected as u64)
    }

    /// Takes one of the contacts in flight, drawn at random.
    pub(super) fn take_in_flight(&mut self) -> Option<(RequestId, QueryId)> {
        while !self.in_flight.is_empty() {
            let drawn = self.rng.next_u64() as usize % self.in_flight.len();
            let taken = self.in_flight.swap_remove(drawn);
            if !self.released.remove(&taken.0) {
                return Some(taken);
            }
        }
        None
    }

    pub(super) fn look_at_outputs(&mut self) {
        self.hear();
        for output in self.outputs.drain(..) {
            match output {
                Output::Contact { request, query, .. } => self.in_flight.push((request, query)),
                Output::Release { request } => _ = self.released.insert(request),
                _ => {}
            }
        }
    }

    /// Drains the engine. What it says is looked at later.
    pub(super) fn hear(&mut self) {
        while let Some(output) = self.engine.poll_output() {
            self.outputs.push(output);
        }
    }
}
