//! What an engine said, as a number: recorded beside each input, so that a replay that says something
//! else is noticed at the first input at which it does.

use core::time::Duration;

use super::Digests;
use crate::network::Network;
use crate::output::{Found, Output, Step};
use crate::query::{Outcome, QueryId, QueryStats, Reason, SourceStats};
use crate::time::nanos;

/// A running checksum. It need not stand up to anybody: it tells an engine from one that has been changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Sum(u64);

impl Sum {
    pub(super) const fn add(&mut self, word: u64) {
        // The multiplication carries a bit upwards, the shift back downwards.
        let mixed = (self.0 ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.0 = mixed ^ mixed >> 29;
    }

    pub(super) const fn word(self) -> u64 {
        self.0
    }

    /// Eight bits of it.
    pub(super) const fn byte(self) -> u8 {
        (self.0 >> 56) as u8
    }

    fn duration(&mut self, duration: Option<Duration>) {
        self.add(duration.map_or(u64::MAX, nanos));
    }

    fn query(&mut self, query: QueryId) {
        let (high, low) = query.as_uuid().as_u64_pair();
        self.add(high);
        self.add(low);
    }

    /// Adds an output: all of it, but that a request, a peer or an item counts by its digest.
    pub(super) fn output<N: Network>(&mut self, output: &Output<N>, digests: &impl Digests<N>) {
        match output {
            Output::Contact { request, query, peer, step, ask } => {
                self.add(1);
                self.add(request.as_u64());
                self.query(*query);
                self.add(digests.peer(peer));
                self.add(match step {
                    Step::Fetch => u64::MAX,
                    Step::Route(route) => (*route).into(),
                });
                self.add(digests.request(ask));
            }
            Output::Lookup { request, query, route, source, ask } => {
                self.add(2);
                self.add(request.as_u64());
                self.query(*query);
                self.add(u64::from(*route) << 16 | u64::from(source.0));
                self.add(digests.request(ask));
            }
            Output::Release { request } => {
                self.add(3);
                self.add(request.as_u64());
            }
            Output::Found { query, found } => {
                self.add(4);
                self.query(*query);
                self.found(found, digests);
            }
            Output::Finished { query, outcome } => {
                self.add(5);
                self.query(*query);
                self.outcome(outcome);
            }
        }
    }

    fn found<N: Network>(&mut self, found: &Found<N>, digests: &impl Digests<N>) {
        let Found { item, from, response_time, elapsed, votes, age } = found;
        let [id, body] = digests.item(item);
        self.add(id);
        self.add(body);
        self.add(from.as_ref().map_or(0, |peer| digests.peer(peer)));
        [*response_time, Some(*elapsed), Some(*age)].into_iter().for_each(|time| self.duration(time));
        self.add((*votes).into());
    }

    fn outcome(&mut self, outcome: &Outcome) {
        let Outcome { reason, results, stats, cached, sources } = outcome;
        self.add(reason_code(*reason));
        self.add(*results as u64);
        self.stats(stats);
        if let Some(cached) = cached {
            self.duration(Some(cached.age));
            self.add(cached.is_stale.into());
        }
        for source in sources {
            let SourceStats { contacted, replied, failed, overdue, invalid, .. } = *source;
            let SourceStats { name: _, duplicate, conflicting, results, .. } = *source;
            let counts = [contacted, replied, failed, overdue, invalid, duplicate, conflicting];
            counts.into_iter().for_each(|count| self.add(count.into()));
            self.add(results as u64);
        }
    }

    fn stats(&mut self, stats: &QueryStats) {
        let QueryStats {
            contacted,
            replied,
            failed,
            overdue,
            hedged,
            invalid,
            duplicate,
            conflicting,
            withheld,
            dropped,
            barred,
            first_item,
            total,
        } = *stats;
        let counts = [contacted, replied, failed, overdue, hedged, invalid, duplicate, conflicting];
        counts.into_iter().chain([withheld, dropped, barred]).for_each(|count| self.add(count.into()));
        self.duration(first_item);
        self.duration(Some(total));
    }
}

/// A number for each reason that does not change when reasons are added.
const fn reason_code(reason: Reason) -> u64 {
    match reason {
        Reason::EnoughResults => 1,
        Reason::Converged => 2,
        Reason::Exhausted => 3,
        Reason::DeadlineReached => 4,
        Reason::Cancelled => 5,
        Reason::QuorumReached => 6,
    }
}
