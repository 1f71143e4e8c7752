//! How a peer has behaved, weighed by how long ago.

use core::time::Duration;

use crate::config::ReputationConfig;
use crate::time::{Time, nanos};

/// One event, in the fixed point of the counters: 16 bits after the point.
const ONE: u32 = 1 << 16;
/// The score of a peer of whom nothing is known.
pub(super) const STRANGER: u16 = 500;
/// An invalid answer weighs as much as so many failures.
const INVALID_WEIGHT: u64 = 4;
/// Counters decay in so many steps per half-life, so that a thousand small steps lose nothing to
/// rounding.
const STEPS_PER_HALF_LIFE: u64 = 64;

/// What a [`ReputationConfig`] means to the counters.
#[derive(Clone, Copy)]
pub(crate) struct Rules {
    step_nanos: u64,
    invalid_max: u32,
    bar_for: Duration,
}

impl Rules {
    pub(crate) fn of(config: &ReputationConfig) -> Self {
        let ReputationConfig { half_life, invalid_max, bar_for, .. } = *config;
        Self { step_nanos: (nanos(half_life) / STEPS_PER_HALF_LIFE).max(1), invalid_max, bar_for }
    }
}

/// Counts that halve with every half-life. Decay is computed when read, never by a timer.
#[derive(Clone, Copy, Default)]
pub(crate) struct Reputation {
    successes: u32,
    failures: u32,
    invalid: u32,
    /// Up to when the counts have decayed, in steps.
    step: u64,
    barred_until: Time,
}

impl Reputation {
    pub(crate) fn success(&mut self, now: Time, rules: &Rules) {
        self.decay(now, rules);
        self.successes = self.successes.saturating_add(ONE);
    }

    pub(crate) fn failure(&mut self, now: Time, rules: &Rules) {
        self.decay(now, rules);
        self.failures = self.failures.saturating_add(ONE);
    }

    /// Counts an invalid answer; true if the peer is barred from now on and was not before.
    pub(crate) fn invalid(&mut self, now: Time, rules: &Rules) -> bool {
        self.decay(now, rules);
        self.invalid = self.invalid.saturating_add(ONE);
        // Half a count of grace: three answers within a minute are three, though the first has decayed
        // a little.
        let limit = (u64::from(rules.invalid_max) * u64::from(ONE)).saturating_sub(u64::from(ONE / 2));
        if u64::from(self.invalid) < limit || self.is_barred(now) {
            return false;
        }
        self.bar(now, rules);
        true
    }

    pub(crate) fn bar(&mut self, now: Time, rules: &Rules) {
        self.barred_until = now + rules.bar_for;
    }

    pub(crate) fn is_barred(&self, now: Time) -> bool {
        now < self.barred_until
    }

    pub(crate) fn barred_for(&self, now: Time) -> Option<Duration> {
        self.is_barred(now).then(|| self.barred_until - now)
    }

    /// Whether it has failed more often than it has answered. Both decay alike, so there is no need to know
    /// the time.
    pub(crate) const fn mostly_fails(&self) -> bool {
        self.failures > self.successes
    }

    /// From 0 (worst) to 1000 (best); 500 for a stranger. The mean of a Beta(1, 1) prior updated by the
    /// decayed counts (Josang and Ismail, "The Beta Reputation System", 2002).
    pub(crate) fn score(&self, now: Time, rules: &Rules) -> u16 {
        self.decayed(now, rules).mean()
    }

    /// The score, and how much it rests on: the counts, decayed, in the fixed point of the counters.
    pub(crate) fn standing(&self, now: Time, rules: &Rules) -> (u16, u64) {
        let counts = self.decayed(now, rules);
        (counts.mean(), counts.sum())
    }

    /// Whether it has done nothing yet.
    pub(crate) const fn is_blank(&self) -> bool {
        self.successes | self.failures | self.invalid == 0
    }

    /// How much is known of the peer, decayed: what would be lost if it were forgotten.
    pub(crate) fn evidence(&self, now: Time, rules: &Rules) -> u64 {
        if self.is_barred(now) {
            return u64::MAX;
        }
        self.decayed(now, rules).sum()
    }

    /// Successes, failures and invalid answers, decayed, in thousandths.
    pub(crate) fn counts_milli(&self, now: Time, rules: &Rules) -> [u64; 3] {
        let counts = self.decayed(now, rules);
        [counts.successes, counts.failures, counts.invalid]
            .map(|count| u64::from(count) * 1000 / u64::from(ONE))
    }

    /// Successes, failures and invalid answers, decayed, in 65 536ths.
    pub(crate) fn export(&self, now: Time, rules: &Rules) -> [u32; 3] {
        let Self { successes, failures, invalid, .. } = self.decayed(now, rules);
        [successes, failures, invalid]
    }

    /// What was exported `away` before now, with how much longer it is barred from now on: no longer than
    /// anybody is.
    pub(crate) fn restored(
        now: Time,
        [successes, failures, invalid]: [u32; 3],
        barred_for: Duration,
        away: Duration,
        rules: &Rules,
    ) -> Self {
        let step = rules.step_nanos;
        let steps = nanos(away) / step;
        Self {
            successes: halved(successes, steps),
            failures: halved(failures, steps),
            invalid: halved(invalid, steps),
            step: now.as_nanos() / step,
            barred_until: now + barred_for.min(rules.bar_for),
        }
    }

    fn mean(&self) -> u16 {
        let good = u64::from(self.successes) + u64::from(ONE);
        let bad = u64::from(self.failures) + INVALID_WEIGHT * u64::from(self.invalid) + u64::from(ONE);
        u16::try_from(1000 * good / (good + bad)).expect("a share of a thousand")
    }

    fn sum(&self) -> u64 {
        u64::from(self.successes) + u64::from(self.failures) + u64::from(self.invalid)
    }

    fn decayed(&self, now: Time, rules: &Rules) -> Self {
        let mut copy = *self;
        if !copy.is_blank() {
            copy.decay(now, rules);
        }
        copy
    }

    fn decay(&mut self, now: Time, rules: &Rules) {
        let step = now.as_nanos() / rules.step_nanos;
        let steps = step.saturating_sub(self.step);
        if steps == 0 {
            return;
        }
        self.step = step;
        for count in [&mut self.successes, &mut self.failures, &mut self.invalid] {
            *count = halved(*count, steps);
        }
    }
}

/// `value` after so many steps of decay.
fn halved(value: u32, steps: u64) -> u32 {
    let halvings = steps / STEPS_PER_HALF_LIFE;
    if halvings >= 32 {
        return 0;
    }
    let part = POWERS[(steps % STEPS_PER_HALF_LIFE) as usize];
    u32::try_from((u64::from(value >> halvings) * part) >> 32).expect("decay only takes away")
}

/// What is left of 2^32 after 0, 1, .. 63 steps: the powers of 2^(-1/64).
const POWERS: [u64; STEPS_PER_HALF_LIFE as usize] = {
    const STEP: u64 = 4_248_701_965;
    let mut powers = [1 << 32; STEPS_PER_HALF_LIFE as usize];
    let mut step = 1;
    while step < powers.len() {
        powers[step] = (powers[step - 1] * STEP) >> 32;
        step += 1;
    }
    powers
};

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(invalid_max: u32) -> Rules {
        Rules::of(&ReputationConfig { invalid_max, ..ReputationConfig::default() })
    }

    fn at(secs: u64) -> Time {
        Time::from_millis(secs * 1000)
    }

    #[test]
    fn the_score_moves_both_ways_and_decays_to_a_strangers() {
        let mut peer = Reputation::default();
        assert_eq!(peer.score(at(0), &rules(3)), 500);
        (0..5).for_each(|_| peer.success(at(0), &rules(3)));
        let good = peer.score(at(0), &rules(3));
        assert!(good > 800, "{good}");
        (0..20).for_each(|_| peer.failure(at(0), &rules(3)));
        let bad = peer.score(at(0), &rules(3));
        assert!(bad < 250, "{bad}");
        assert!(peer.score(at(600), &rules(3)) > bad);
        assert_eq!(peer.score(at(100_000), &rules(3)), 500);
    }

    #[test]
    fn a_count_halves_in_a_half_life_however_often_it_is_read() {
        let mut often = Reputation::default();
        (0..64).for_each(|_| often.success(at(0), &rules(3)));
        let seldom = often;
        for secs in 0..600 {
            often.decay(at(secs), &rules(3));
        }
        let [often_milli, ..] = often.counts_milli(at(600), &rules(3));
        let [seldom_milli, ..] = seldom.counts_milli(at(600), &rules(3));
        assert_eq!(seldom_milli, 32_000);
        assert!((31_900..=32_000).contains(&often_milli), "{often_milli}");
    }

    #[test]
    fn three_invalid_answers_bar_for_a_while() {
        let mut peer = Reputation::default();
        assert!(!peer.invalid(at(0), &rules(3)));
        assert!(!peer.invalid(at(30), &rules(3)));
        assert!(!peer.is_barred(at(30)));
        assert!(peer.invalid(at(60), &rules(3)));
        assert!(!peer.invalid(at(60), &rules(3)), "barred once, not again");
        assert!(peer.is_barred(at(659)));
        assert!(!peer.is_barred(at(660)));
    }

    #[test]
    fn a_limit_of_none_bars_at_the_first_invalid_answer() {
        let mut peer = Reputation::default();
        assert!(peer.invalid(at(0), &rules(0)));
        assert!(peer.is_barred(at(599)));
    }

    #[test]
    fn invalid_answers_weigh_more_than_failures() {
        let (mut liar, mut silent) = (Reputation::default(), Reputation::default());
        liar.invalid(at(0), &rules(3));
        silent.failure(at(0), &rules(3));
        assert!(liar.score(at(0), &rules(3)) < silent.score(at(0), &rules(3)));
    }
}
