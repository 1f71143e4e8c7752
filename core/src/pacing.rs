//! When an answer is late, and how many contacts a lane may have in flight.

use core::time::Duration;

use smallvec::SmallVec;

use crate::network::Source;
use crate::state::ConditionsState;
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

/// How long a peer is waited for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Patience {
    /// Nothing is known of it.
    Stranger,
    /// By its own response times.
    Own(Duration),
    /// It has failed more often than it has answered.
    Little,
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
    /// What a stranger is expected to take, if the lane prefers those who are expected to answer soon.
    pub(crate) typical: Option<Duration>,
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

    /// Whether contacts are in flight and not overdue.
    pub(crate) fn has_expected(&self) -> bool {
        self.sources.iter().any(|taken| taken.expected > 0)
    }

    /// How many contacts are overdue.
    pub(crate) fn overdue_count(&self) -> u32 {
        self.sources.iter().map(|taken| taken.overdue).sum()
    }

    /// Whether contacts are overdue.
    pub(crate) fn has_overdue(&self) -> bool {
        self.sources.iter().any(|taken| taken.overdue > 0)
    }

    /// Whether, in some source, the overdue alone keep one more contact from beginning.
    pub(crate) fn is_hedged_out(&self, pace: Pace) -> bool {
        let (fan_out, hedges_max) = (u32::from(pace.fan_out), u32::from(pace.hedges_max));
        let is_out = |taken: &Taken| {
            taken.expected < fan_out && taken.expected + taken.overdue >= fan_out + hedges_max
        };
        self.sources.iter().any(is_out)
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
    typical: Option<Typical>,
    /// How long contacts had to wait in the transport, those that had to: for a connection, mostly.
    waits: Histogram,
    /// The 95th percentile of that.
    wait: Duration,
    /// The share of contacts that became overdue, in 65 536ths.
    overdue_share: u32,
}

/// Quantiles of recent response times, late answers included.
#[derive(Clone, Copy)]
struct Typical {
    /// The median: a peer that mostly fails is given no longer.
    median: Duration,
    /// The 95th percentile: nobody holds a slot for longer.
    late: Duration,
    /// The 99.9th percentile.
    longest: Duration,
}

/// Response times before the 95th percentile means something.
const SAMPLES_MIN: u64 = 8;
/// Response times after which the earlier ones weigh half.
const SAMPLES_MAX: u64 = 1024;
/// What leaves the transport sooner has not waited for anything.
const WAIT_MIN: Duration = Duration::from_millis(1);
/// Each contact moves the share of overdue ones by a 32nd of the way.
const SHARE_GAIN: u32 = 32;
const ALL: u32 = 1 << 16;
/// No answer is called late for this: it is the noise of schedulers, RFC 6298's granularity.
const NOISE: Duration = Duration::from_millis(10);
/// An answer in a walk that takes so many times as long as what is late already will not come any more.
const WALK_LOST_TIMES: u32 = 2;
/// The same in the fetch lane.
const FETCH_LOST_TIMES: u32 = 4;
/// The fan-out rises at most so many times.
const FAN_OUT_RISE_MAX: u32 = 4;

impl Conditions {
    pub(crate) fn replied(&mut self, response_time: Duration) {
        if record(&mut self.response_times, response_time) {
            self.typical = Some(Typical::of(&self.response_times));
        }
    }

    pub(crate) fn export(&self) -> ConditionsState {
        ConditionsState {
            response_times: self.response_times.export(),
            waits: self.waits.export(),
            overdue_share: self.overdue_share,
        }
    }

    /// What was exported: the percentiles are read anew. After a while away it is only where one begins,
    /// and weighs as little as an eighth of what is remembered.
    pub(crate) fn restored(state: &ConditionsState, is_old: bool) -> Self {
        let samples_max = if is_old { SAMPLES_MAX / 8 } else { SAMPLES_MAX };
        let times = |distribution| {
            let mut times = Histogram::restored(distribution);
            while times.count() > samples_max {
                times.halve();
            }
            times
        };
        let (response_times, waits) = (times(&state.response_times), times(&state.waits));
        let typical = (response_times.count() >= SAMPLES_MIN).then(|| Typical::of(&response_times));
        let wait = if waits.count() >= SAMPLES_MIN { quantile(&waits, 950) } else { Duration::ZERO };
        let overdue_share = if is_old { 0 } else { state.overdue_share.min(ALL) };
        Self { response_times, typical, waits, wait, overdue_share }
    }

    /// A contact has left the transport so long after it began.
    pub(crate) fn sent(&mut self, wait: Duration) {
        if wait >= WAIT_MIN && record(&mut self.waits, wait) {
            self.wait = quantile(&self.waits, 950);
        }
    }

    /// How much longer than its answer a contact may take that has not been sent yet. Nothing, if the
    /// transport never says that it has sent.
    pub(crate) const fn wait(&self, is_sent: bool) -> Duration {
        if is_sent { Duration::ZERO } else { self.wait }
    }

    pub(crate) fn was_overdue(&mut self, is_overdue: bool) {
        let target = if is_overdue { ALL } else { 0 };
        let share = i64::from(self.overdue_share);
        let moved = share + (i64::from(target) - share) / i64::from(SHARE_GAIN);
        self.overdue_share = u32::try_from(moved).expect("between none and all");
    }

    /// After how long an answer is late: by the peer's own timeout, and at latest by the 95th percentile of
    /// recent response times, which is a stranger's; before there are any by the configured start. Who
    /// takes longer than the others is slow, and need not hold a slot to be heard in the end.
    pub(crate) fn late_after(&self, patience: Patience, start: Duration) -> Duration {
        let Some(Typical { median, late, .. }) = self.typical else { return start };
        NOISE
            + match patience {
                Patience::Little => median,
                Patience::Own(own) => own.min(late),
                Patience::Stranger => late,
            }
    }

    /// The median response time, once it means something.
    pub(crate) fn typical(&self) -> Option<Duration> {
        self.typical.map(|typical| typical.median)
    }

    /// How long an answer is waited for when there is nothing else to wait for, if that is known: for
    /// long if the peer is thought to have items, and not so long if others can show the way as well.
    pub(crate) fn lost_after(&self, has_items: bool) -> Option<Duration> {
        let Typical { late, longest, .. } = self.typical?;
        let lost = if has_items { longest.max(FETCH_LOST_TIMES * late) } else { WALK_LOST_TIMES * late };
        Some(lost + NOISE)
    }

    /// The fan-out that keeps as many contacts useful as `fan_out` would if none were overdue.
    pub(crate) fn fan_out(&self, fan_out: u16) -> u16 {
        let useful = ALL - self.overdue_share.min(ALL - ALL / FAN_OUT_RISE_MAX);
        let risen = (u64::from(fan_out) * u64::from(ALL) + u64::from(useful / 2)) / u64::from(useful);
        u16::try_from(risen).unwrap_or(u16::MAX)
    }
}

impl Typical {
    fn of(times: &Histogram) -> Self {
        let [median, late, longest] =
            times.quantiles([500, 950, 999]).map(|nanos| Duration::from_nanos(nanos.unwrap_or(0)));
        Self { median, late, longest }
    }
}

fn quantile(times: &Histogram, permille: u64) -> Duration {
    times.quantile(permille).map_or(Duration::ZERO, Duration::from_nanos)
}

/// Counts a time; whether the percentiles are to be read again, since they can have moved: a sixteenth more
/// of samples moves one little.
fn record(times: &mut Histogram, time: Duration) -> bool {
    if times.count() >= SAMPLES_MAX {
        times.halve();
    }
    times.record(nanos(time));
    let count = times.count();
    count == SAMPLES_MIN || (count > SAMPLES_MIN && count.is_multiple_of(16))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_waited_for_longer_than_a_stranger_and_who_mostly_fails_for_less() {
        let mut conditions = Conditions::default();
        let start = Duration::from_secs(1);
        let late_after = |conditions: &Conditions, patience| conditions.late_after(patience, start);
        assert_eq!(late_after(&conditions, Patience::Stranger), start);
        assert_eq!(late_after(&conditions, Patience::Own(Duration::from_millis(50))), start);
        for millis in 1..=100 {
            conditions.replied(Duration::from_millis(millis));
        }
        let late = late_after(&conditions, Patience::Stranger);
        assert!((Duration::from_millis(100)..Duration::from_millis(120)).contains(&late), "{late:?}");
        let own = Duration::from_millis(30);
        assert_eq!(late_after(&conditions, Patience::Own(own)), own + NOISE);
        assert_eq!(late_after(&conditions, Patience::Own(3 * late)), late);
        let little = late_after(&conditions, Patience::Little);
        assert!((Duration::from_millis(55)..Duration::from_millis(70)).contains(&little), "{little:?}");
        for _ in 0..5_000 {
            conditions.replied(Duration::from_millis(900));
        }
        let late = late_after(&conditions, Patience::Stranger);
        assert!(late > Duration::from_millis(800), "the old ones fade");
        assert_eq!(conditions.lost_after(false), Some(2 * (late - NOISE) + NOISE));
        assert!(conditions.lost_after(true) > Some(3 * late));
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
        let pace = Pace { fan_out: 2, hedges_max: 1, typical: None };
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
