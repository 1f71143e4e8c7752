//! How fast a node does what, from what it has told of itself.

use std::collections::VecDeque;
use std::time::Duration;

use serde::Serialize;

use crate::monitor::{Counters, Status};

/// Times are those of the last so many samples.
const WINDOW: usize = 10;
/// Samples that the line shows at most.
const LINE_MAX: usize = 300;

/// How fast a node does what.
#[derive(Serialize, Clone, Copy, PartialEq, Debug, Default)]
pub struct Rates {
    /// Queries started, each second.
    pub queries: f64,
    /// Contacts begun, each second.
    pub contacts: f64,
    /// Items delivered, each second.
    pub results: f64,
    /// Of a hundred contacts that ended by a reply or a failure, those that failed; none if none ended.
    pub failed_percent: Option<f64>,
    /// The times to the first item, lately.
    pub first_item: Times,
    /// The response times of peers, lately.
    pub response_time: Times,
}

/// What half of some times, and 95 of a hundred, do not exceed.
#[derive(Serialize, Clone, Copy, PartialEq, Debug, Default)]
pub struct Times {
    /// The median.
    pub p50: Option<Duration>,
    /// The 95th percentile.
    pub p95: Option<Duration>,
}

/// What a node has told of itself lately, oldest first.
#[derive(Debug, Default)]
pub struct History {
    samples: VecDeque<Sample>,
    line: VecDeque<u64>,
}

#[derive(Debug)]
struct Sample {
    peer: String,
    uptime_ms: f64,
    counters: Counters,
    first_item: Vec<(u64, u64)>,
    response_time: Vec<(u64, u64)>,
}

impl History {
    /// Takes in what a node tells. One that has begun anew has no history.
    pub fn push(&mut self, status: &Status) {
        let sample = Sample {
            peer: status.peer.clone(),
            uptime_ms: status.uptime_ms,
            counters: status.counters.clone(),
            first_item: status.first_item.clone(),
            response_time: status.response_time.clone(),
        };
        if let Some(last) = self.samples.back() {
            if last.peer != sample.peer || sample.uptime_ms < last.uptime_ms {
                *self = Self::default();
            } else if sample.uptime_ms == last.uptime_ms {
                // The same once more.
                return;
            }
        }
        self.samples.push_back(sample);
        if self.samples.len() > WINDOW + 1 {
            self.samples.pop_front();
        }
        if let Some(rates) = self.rates() {
            self.line.push_back(rates.queries.round() as u64);
            if self.line.len() > LINE_MAX {
                self.line.pop_front();
            }
        }
    }

    /// How fast it does what; `None` until there are two samples.
    pub fn rates(&self) -> Option<Rates> {
        let (first, now) = (self.samples.front()?, self.samples.back()?);
        let before = self.samples.get(self.samples.len().checked_sub(2)?)?;
        let seconds = (now.uptime_ms - before.uptime_ms) / 1000.0;
        let since =
            |read: fn(&Counters) -> u64| read(&now.counters).saturating_sub(read(&before.counters)) as f64;
        let failed = since(|counters| counters.contacts_failed);
        let ended = failed + since(|counters| counters.contacts_replied);
        Some(Rates {
            queries: since(|counters| counters.queries_started) / seconds,
            contacts: since(|counters| counters.contacts_started) / seconds,
            results: since(|counters| counters.results) / seconds,
            failed_percent: (ended > 0.0).then(|| 100.0 * failed / ended),
            first_item: Times::between(&first.first_item, &now.first_item),
            response_time: Times::between(&first.response_time, &now.response_time),
        })
    }

    /// Queries started each second, sample by sample.
    pub fn line(&self) -> Vec<u64> {
        self.line.iter().copied().collect()
    }
}

impl Times {
    /// Of what was counted between two readings of a histogram: bounds and counts, in ascending order.
    fn between(before: &[(u64, u64)], now: &[(u64, u64)]) -> Self {
        let old = |edge: u64| before.iter().find(|(other, _)| *other == edge).map_or(0, |(_, count)| *count);
        let new: Vec<(u64, u64)> =
            now.iter().map(|(edge, n)| (*edge, n.saturating_sub(old(*edge)))).collect();
        let total = new.iter().fold(0_u64, |sum, (_, count)| sum.saturating_add(*count));
        let quantile = |percent: u64| {
            let rank = u128::from(total) * u128::from(percent);
            let mut seen = 0_u64;
            let reached = new.iter().find(|(_, count)| {
                seen = seen.saturating_add(*count);
                100 * u128::from(seen) >= rank && *count > 0
            });
            reached.map(|(edge, _)| Duration::from_nanos(*edge))
        };
        Self { p50: quantile(50), p95: quantile(95) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(uptime_ms: f64, started: u64, first_item: &[(u64, u64)]) -> Status {
        let counters =
            Counters { queries_started: started, results: started.saturating_mul(2), ..Counters::default() };
        Status { uptime_ms, counters, first_item: first_item.to_vec(), ..Status::default() }
    }

    #[test]
    fn rates_are_those_between_two_samples_by_the_nodes_own_clock() {
        let mut history = History::default();
        history.push(&status(1000.0, 100, &[(10, 5)]));
        assert_eq!(history.rates(), None);
        history.push(&status(1500.0, 110, &[(10, 5), (20, 9), (30, 1)]));
        let rates = history.rates().unwrap();
        assert_eq!((rates.queries, rates.results, rates.failed_percent), (20.0, 40.0, None));
        let nanos = |nanos| Some(Duration::from_nanos(nanos));
        assert_eq!(rates.first_item, Times { p50: nanos(20), p95: nanos(30) });
        assert_eq!(rates.response_time, Times::default());
        // The same answer twice says nothing new.
        history.push(&status(1500.0, 110, &[]));
        assert_eq!((history.line(), history.rates()), (vec![20], Some(rates)));
        // The node was started again.
        history.push(&status(10.0, 1, &[]));
        assert_eq!((history.line(), history.rates()), (vec![], None));
    }

    #[test]
    fn figures_that_cannot_be_do_no_harm() {
        let mut history = History::default();
        history.push(&status(f64::MAX, 9, &[(1, u64::MAX), (1, u64::MAX)]));
        history.push(&status(f64::INFINITY, 3, &[(1, 7), (9, u64::MAX), (2, u64::MAX)]));
        assert!(history.rates().is_some());
        history.push(&status(f64::NAN, u64::MAX, &[]));
        history.push(&status(f64::NAN, 0, &[]));
        let _ = (history.rates(), history.line());
    }

    #[test]
    fn a_history_is_bounded() {
        let mut history = History::default();
        for n in 0..1000_u32 {
            history.push(&status(f64::from(n), u64::from(n), &[]));
        }
        assert_eq!((history.samples.len(), history.line.len()), (WINDOW + 1, LINE_MAX));
    }
}
