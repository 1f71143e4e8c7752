//! How many contacts a lane may have in flight.

use smallvec::SmallVec;

use crate::network::Source;

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

#[cfg(test)]
mod tests {
    use super::*;

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
