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

/// Whether something stays as it is: the median of the last third of the samples is not above that of the middle
/// third, which is past the warm-up, by more than a share and an amount.
pub(super) fn is_flat(samples: &[u64], share: f64, amount: u64) -> bool {
    let third = samples.len() / 3;
    if third == 0 {
        return true;
    }
    let (middle, last) = (median(&samples[third..2 * third]), median(&samples[samples.len() - third..]));
    last as f64 <= middle as f64 * (1.0 + share) + amount as f64
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

    /// Whether these were no later than others by more than the grain, and none came early by more than the others
    /// were late and a millisecond: a driver reads its clock before it takes what another thread has just sent, and
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
        let warm_up = [10, 100, 200, 300, 300, 300];
        assert!(is_flat(&[&warm_up[..], &[301; 6], &[299; 6]].concat(), 0.05, 5));
        let leaking: Vec<u64> = (0..30).map(|n| 300 + 10 * n).collect();
        assert!(!is_flat(&leaking, 0.05, 5));
        assert!(is_flat(&[], 0.0, 0));
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
