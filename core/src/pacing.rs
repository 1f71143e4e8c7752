//! When an answer is late, and how many contacts a lane may have in flight.

use core::time::Duration;

use smallvec::SmallVec;

use crate::network::Source;
use crate::stats::Histogram;
use crate::time::nanos;

/// The contacts of one lane that are in flight, per source, so that a slow source cannot hold the
/// others' slots.
#[derive(Default)]
pub(crate) struct Slots {
    sources: SmallVec<[Taken; 1]>,
}

#[derive(Clone, Copy)]
struct Taken {
    source: Source,
    /// In flight and not overdue.
    expected: u32,
    /// In flight and overdue.
    overdue: u32,
}

/// How a contact may begin.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Slot {
    /// In a slot of the fan-out.
    Free,
    /// In the slot of an overdue contact: a hedge.
    Hedge,
}

/// The bounds of a lane's contacts in flight.
#[derive(Clone, Copy)]
pub(crate) struct Pace {
    pub(crate) fan_out: u16,
    pub(crate) hedges_max: u16,
}

impl Slots {
    /// Whether one more contact to `source` may begin: not while those not overdue fill the fan-out,
    /// nor while all of them fill fan-out and hedges.
    pub(crate) fn slot(&self, source: Source, pace: Pace) -> Option<Slot> {
        let Some(taken) = self.sources.iter().find(|taken| taken.source == source) else {
            return Some(Slot::Free);
        };
        let fan_out = u32::from(pace.fan_out);
        let all = taken.expected + taken.overdue;
        if taken.expected >= fan_out || all >= fan_out + u32::from(pace.hedges_max) {
            None
        } else if all < fan_out {
            Some(Slot::Free)
        } else {
            Some(Slot::Hedge)
        }
    }

    pub(crate) fn begin(&mut self, source: Source) {
        match self.sources.iter_mut().find(|taken| taken.source == source) {
            Some(taken) => taken.expected += 1,
            None => self.sources.push(Taken { source, expected: 1, overdue: 0 }),
        }
    }

    pub(crate) fn overdue(&mut self, source: Source) {
        let taken = self.taken(source);
        taken.expected -= 1;
        taken.overdue += 1;
    }

    pub(crate) fn end(&mut self, source: Source, was_overdue: bool) {
        let taken = self.taken(source);
        if was_overdue {
            taken.overdue -= 1;
        } else {
            taken.expected -= 1;
        }
    }

    fn taken(&mut self, source: Source) -> &mut Taken {
        let found = self.sources.iter_mut().find(|taken| taken.source == source);
        found.expect("a contact that began has a slot")
    }
}

/// What the network has been like lately, over all queries.
#[derive(Default)]
pub(crate) struct Conditions {
    response_times: Histogram,
    late: Option<Duration>,
    /// The share of contacts that became overdue, in 65 536ths.
    overdue_share: u32,
}

/// Response times before the 95th percentile means something.
const SAMPLES_MIN: u64 = 8;
/// Response times after which the earlier ones weigh half.
const SAMPLES_MAX: u64 = 1024;
/// Each contact moves the share of overdue ones by a 32nd of the way.
const SHARE_GAIN: u32 = 32;
const ALL: u32 = 1 << 16;
/// No answer is called late before this: less is the noise of schedulers.
const LATE_MIN: Duration = Duration::from_millis(10);
/// The fan-out rises at most so many times.
const FAN_OUT_RISE_MAX: u32 = 4;

impl Conditions {
    pub(crate) fn replied(&mut self, response_time: Duration) {
        if self.response_times.count() >= SAMPLES_MAX {
            self.response_times.halve();
        }
        self.response_times.record(nanos(response_time));
        let count = self.response_times.count();
        // Read again when it can have moved: a sixteenth more of samples moves a percentile little.
        if count == SAMPLES_MIN || (count > SAMPLES_MIN && count.is_multiple_of(16)) {
            self.late = self.response_times.quantile(950).map(Duration::from_nanos);
        }
    }

    pub(crate) fn was_overdue(&mut self, is_overdue: bool) {
        let target = if is_overdue { ALL } else { 0 };
        let share = i64::from(self.overdue_share);
        let moved = share + (i64::from(target) - share) / i64::from(SHARE_GAIN);
        self.overdue_share = u32::try_from(moved).expect("between none and all");
    }

    /// After how long an answer is late: by the peer's own timeout; for a stranger by the 95th percentile
    /// of recent response times; before there are any by the configured start.
    pub(crate) fn late_after(&self, own: Option<Duration>, start: Duration) -> Duration {
        own.or(self.late).map_or(start, |late| late.max(LATE_MIN))
    }

    /// The fan-out that keeps as many contacts useful as `fan_out` would if none were overdue.
    pub(crate) fn fan_out(&self, fan_out: u16) -> u16 {
        let useful = ALL - self.overdue_share.min(ALL - ALL / FAN_OUT_RISE_MAX);
        let risen = (u64::from(fan_out) * u64::from(ALL) + u64::from(useful / 2)) / u64::from(useful);
        u16::try_from(risen).unwrap_or(u16::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stranger_is_late_after_the_95th_percentile_and_a_known_peer_after_its_own_time() {
        let mut conditions = Conditions::default();
        let start = Duration::from_secs(1);
        assert_eq!(conditions.late_after(None, start), start);
        for millis in 1..=100 {
            conditions.replied(Duration::from_millis(millis));
        }
        let late = conditions.late_after(None, start);
        assert!((Duration::from_millis(90)..Duration::from_millis(110)).contains(&late), "{late:?}");
        let own = Duration::from_millis(300);
        assert_eq!(conditions.late_after(Some(own), start), own);
        assert_eq!(conditions.late_after(Some(Duration::ZERO), start), LATE_MIN);
        for _ in 0..5_000 {
            conditions.replied(Duration::from_millis(900));
        }
        assert!(conditions.late_after(None, start) > Duration::from_millis(800), "the old ones fade");
    }

    #[test]
    fn the_fan_out_rises_with_the_share_of_overdue_contacts_and_falls_back() {
        let mut conditions = Conditions::default();
        assert_eq!(conditions.fan_out(3), 3);
        for n in 0..1_000 {
            conditions.was_overdue(n % 2 == 0);
        }
        assert_eq!(conditions.fan_out(3), 6);
        (0..1_000).for_each(|_| conditions.was_overdue(true));
        assert_eq!(conditions.fan_out(3), 12, "no more than four times");
        assert_eq!(conditions.fan_out(u16::MAX), u16::MAX);
        (0..1_000).for_each(|_| conditions.was_overdue(false));
        assert_eq!(conditions.fan_out(3), 3);
    }

    const HERE: Source = Source(0);
    const THERE: Source = Source(1);

    #[test]
    fn an_overdue_contact_gives_its_slot_until_the_hedges_are_used_up() {
        let pace = Pace { fan_out: 2, hedges_max: 1 };
        let mut slots = Slots::default();
        slots.begin(HERE);
        assert_eq!(slots.slot(HERE, pace), Some(Slot::Free));
        slots.begin(HERE);
        assert_eq!(slots.slot(HERE, pace), None);
        assert_eq!(slots.slot(THERE, pace), Some(Slot::Free), "sources do not share slots");
        slots.overdue(HERE);
        assert_eq!(slots.slot(HERE, pace), Some(Slot::Hedge));
        slots.begin(HERE);
        slots.overdue(HERE);
        assert_eq!(slots.slot(HERE, pace), None, "fan-out and hedges are full");
        slots.end(HERE, true);
        assert_eq!(slots.slot(HERE, pace), Some(Slot::Hedge));
        slots.end(HERE, false);
        assert_eq!(slots.slot(HERE, pace), Some(Slot::Free));
    }
}
