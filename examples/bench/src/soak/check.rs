//! What must hold in the end, as functions of what was seen.

use std::time::Duration;

use serde::Serialize;

/// More of one kind are counted only.
const LISTED_MAX: usize = 50;

/// What did not hold.
#[derive(Debug, Default)]
pub(super) struct Broken {
    listed: Vec<String>,
    more: usize,
}

impl Broken {
    pub(super) fn add(&mut self, what: impl Into<String>) {
        if self.listed.len() < LISTED_MAX {
            self.listed.push(what.into());
        } else {
            self.more += 1;
        }
    }

    pub(super) fn check(&mut self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.add(what());
        }
    }

    pub(super) fn list(mut self) -> Vec<String> {
        if self.more > 0 {
            self.listed.push(format!("and {} more", self.more));
        }
        self.listed
    }
}

/// What something may grow by: an amount, for what comes and goes, and more for each query.
#[derive(Clone, Copy, Debug)]
pub(super) struct Allowance {
    pub(super) amount: f64,
    pub(super) per_query: f64,
}

/// By how much something grows, and over how many queries: the straight line through the last two thirds of the
/// samples (least squares), from its beginning to its end. The first third is for the warm-up. Samples are equally far
/// apart in time, and each is the number of queries so far, and what there was then.
pub(super) fn growth(samples: &[(u64, u64)]) -> (f64, u64) {
    let samples = &samples[samples.len() / 3..];
    let [first, .., last] = samples else { return (0.0, 0) };
    let count = samples.len() as f64;
    let middle = (count - 1.0) / 2.0;
    let mean = samples.iter().map(|sample| sample.1 as f64).sum::<f64>() / count;
    let (mut covariance, mut variance) = (0.0, 0.0);
    for (number, sample) in samples.iter().enumerate() {
        let apart = number as f64 - middle;
        covariance += apart * (sample.1 as f64 - mean);
        variance += apart * apart;
    }
    (covariance / variance * (count - 1.0), last.0 - first.0)
}

/// Whether something has not grown by more than it may.
pub(super) fn is_flat(samples: &[(u64, u64)], may: Allowance) -> bool {
    let (grown, queries) = growth(samples);
    grown <= may.amount + may.per_query * queries as f64
}

pub(super) fn median(samples: &[u64]) -> u64 {
    let mut sorted = samples.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied().unwrap_or(0)
}

/// How late something was, as a histogram: powers of two of milliseconds.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Lateness {
    pub(super) count: u64,
    pub(super) max_ms: f64,
    /// How many were later than the one before and at most so many milliseconds.
    pub(super) at_most_ms: Vec<(u64, u64)>,
    /// How many came before their time, and by how much at most.
    pub(super) early: u64,
    pub(super) early_max_ms: f64,
}

impl Lateness {
    /// The time at which something happened, and at which it should have.
    pub(super) fn add(&mut self, after: Duration, due: Duration) {
        self.count += 1;
        if after < due {
            self.early += 1;
            self.early_max_ms = self.early_max_ms.max((due - after).as_secs_f64() * 1000.0);
        }
        let late = after.saturating_sub(due);
        self.max_ms = self.max_ms.max(late.as_secs_f64() * 1000.0);
        let bound = (late.as_micros().div_ceil(1000) as u64).next_power_of_two();
        match self.at_most_ms.binary_search_by_key(&bound, |(ms, _)| *ms) {
            Ok(at) => self.at_most_ms[at].1 += 1,
            Err(at) => self.at_most_ms.insert(at, (bound, 1)),
        }
    }

    /// Whether the latest of these was no later than twice the latest of the others and the grain, as a driver is
    /// woken, and then who awaits it, and each may stand still as a timer does; and none came early by more than the
    /// others were late and a millisecond: a driver reads its clock before it takes what another thread has just sent, and
    /// may stand still in between as a timer does.
    pub(super) fn is_within(&self, others: &Self, grain: Duration) -> bool {
        self.early_max_ms <= others.max_ms + 1.0
            && self.max_ms <= others.max_ms * 2.0 + grain.as_secs_f64() * 1000.0
    }

    pub(super) fn line(&self) -> String {
        let buckets = self.at_most_ms.iter().map(|(ms, count)| format!("{count} within {ms} ms"));
        format!(
            "{} ({}), the latest {:.1} ms; {} were early, by at most {:.3} ms",
            self.count,
            buckets.collect::<Vec<_>>().join(", "),
            self.max_ms,
            self.early,
            self.early_max_ms,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_grows_to_the_end_is_not_flat() {
        let may = |amount, per_query| Allowance { amount, per_query };
        let numbered = |values: &[u64]| values.iter().zip(0..).map(|(value, n)| (100 * n, *value)).collect();
        let warm: Vec<(u64, u64)> = numbered(&[10, 100, 200, 300, 300, 300, 301, 299, 301, 299, 301, 299]);
        assert!(is_flat(&warm, may(2.0, 0.0)));
        // A tenth of a byte for each query.
        let leaking: Vec<(u64, u64)> = (0..30).map(|n| (100 * n, 300 + 10 * n)).collect();
        let (grown, queries) = growth(&leaking);
        assert!((grown - 190.0).abs() < 1e-6 && queries == 1900, "{grown} over {queries}");
        assert!(!is_flat(&leaking, may(5.0, 0.09)));
        assert!(is_flat(&leaking, may(5.0, 0.11)));
        assert!(is_flat(&[], may(0.0, 0.0)) && is_flat(&[(1, 9)], may(0.0, 0.0)));
    }

    #[test]
    fn lateness_is_measured_against_a_timer_and_early_is_never_right() {
        let ms = Duration::from_millis;
        let mut timer = Lateness::default();
        timer.add(ms(12), ms(10));
        let mut ours = Lateness::default();
        ours.add(ms(103), ms(100));
        assert!(ours.is_within(&timer, ms(0)));
        ours.add(ms(150), ms(100));
        assert!(!ours.is_within(&timer, ms(20)));
        assert_eq!((ours.count, &ours.at_most_ms[..]), (2, &[(4, 1), (64, 1)][..]));
        let mut early = Lateness::default();
        early.add(ms(96), ms(100));
        assert!(!early.is_within(&timer, ms(20)));
    }

    #[test]
    fn a_long_list_is_cut_and_the_rest_counted() {
        let mut broken = Broken::default();
        (0..60).for_each(|n| broken.check(n < 0, || n.to_string()));
        let list = broken.list();
        assert_eq!((list.len(), list.last().map(String::as_str)), (51, Some("and 10 more")));
    }
}
