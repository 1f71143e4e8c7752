//! What is due when.
//!
//! A 4-ary heap that knows where each owner's alarm stands, so that one is moved or cancelled in place.
//! Cancelling lazily instead would leave ten seconds of dead alarms in the heap.
//!
//! A piece of work has one alarm for all of its contacts, and it rings *at or before* the earliest of their
//! timeouts: contacts come and go with each reply, most of them long before they are late, and the heap hears
//! of it only when a timeout is set that is earlier than the alarm, or when the alarm has come to the top. So
//! a reply touches no line of the heap, whose lines would all be cold.

use alloc::vec::Vec;
use core::cmp::Ordering;

use crate::arena::NONE;
use crate::time::Time;

/// When something is due, and its place among what is due at that time: the order of these is the order in
/// which they come. Packed, since there is one in every contact and every alarm: twelve bytes and not sixteen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(Rust, packed(4))]
pub(crate) struct Due {
    at: Time,
    rank: u32,
}

/// Whose alarm it is. Each owner has at most one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Owner {
    /// The query in this slot: its deadline.
    Query(u32),
    /// The work in this slot: the timeouts of its contacts.
    Work(u32),
}

pub(crate) struct Timers {
    heap: Vec<Alarm>,
    queries: Vec<u32>,
    works: Vec<u32>,
    sequence: u32,
}

#[derive(Clone, Copy)]
struct Alarm {
    due: Due,
    slot: u32,
}

/// Deadlines come before the contacts of the same instant: what is to end begins nothing more.
const CONTACT_RANK: u32 = 1 << 31;
const ARITY: usize = 4;

impl Due {
    /// Of what is not due at all.
    pub(crate) const NEVER: Self = Self { at: Time::MAX, rank: u32::MAX };

    pub(crate) const fn at(self) -> Time {
        self.at
    }

    /// As one number, which is one comparison.
    const fn order(self) -> u128 {
        (self.at.as_nanos() as u128) << 32 | self.rank as u128
    }
}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }

    #[inline]
    fn lt(&self, other: &Self) -> bool {
        self.order() < other.order()
    }
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> Ordering {
        self.order().cmp(&other.order())
    }
}

impl Alarm {
    const fn owner(&self) -> Owner {
        if self.due.rank & CONTACT_RANK == 0 { Owner::Query(self.slot) } else { Owner::Work(self.slot) }
    }
}

impl Timers {
    pub(crate) const fn new() -> Self {
        Self { heap: Vec::new(), queries: Vec::new(), works: Vec::new(), sequence: 0 }
    }

    /// Sets a query's deadline, in place of an earlier one. At [`Time::MAX`] there is none.
    pub(crate) fn set_deadline(&mut self, query: u32, at: Time) {
        let due = self.due(at, 0);
        self.set(Owner::Query(query), due);
    }

    /// When a timeout that is set now for `at` is due. At [`Time::MAX`] there is none.
    pub(crate) fn timeout(&mut self, at: Time) -> Due {
        self.due(at, CONTACT_RANK)
    }

    /// Sets the alarm of a piece of work, in place of its earlier one, for one of its contacts' timeouts.
    pub(crate) fn set_alarm(&mut self, work: u32, due: Due) {
        self.set(Owner::Work(work), due);
    }

    pub(crate) fn cancel(&mut self, owner: Owner) {
        let position = self.position(owner);
        if *position != NONE {
            let taken = core::mem::replace(position, NONE) as usize;
            self.take(taken);
        }
    }

    /// The alarm that rings first.
    pub(crate) fn first(&self) -> Option<(Due, Owner)> {
        self.heap.first().map(|alarm| (alarm.due, alarm.owner()))
    }

    /// How many deadlines are set.
    pub(crate) fn deadlines(&self) -> usize {
        self.queries.iter().filter(|position| **position != NONE).count()
    }

    /// Timers of one instant come in the order they were set in; only that order is lost when the sequence
    /// wraps.
    fn due(&mut self, at: Time, rank: u32) -> Due {
        if at == Time::MAX {
            return Due::NEVER;
        }
        self.sequence = self.sequence.wrapping_add(1) & !CONTACT_RANK;
        Due { at, rank: self.sequence | rank }
    }

    fn set(&mut self, owner: Owner, due: Due) {
        if due == Due::NEVER {
            return self.cancel(owner);
        }
        let (Owner::Query(slot) | Owner::Work(slot)) = owner;
        let alarm = Alarm { due, slot };
        match *self.position(owner) {
            NONE => {
                let position = self.heap.len();
                self.heap.push(alarm);
                self.sift_up(position);
            }
            position => self.replace(position as usize, alarm),
        }
    }

    fn take(&mut self, position: usize) {
        let last = self.heap.pop().expect("an owner with a position is in the heap");
        if position < self.heap.len() {
            self.replace(position, last);
        }
    }

    fn replace(&mut self, position: usize, alarm: Alarm) {
        self.heap[position] = alarm;
        if position > 0 && alarm.due < self.heap[(position - 1) / ARITY].due {
            self.sift_up(position);
        } else {
            self.sift_down(position);
        }
    }

    fn sift_up(&mut self, mut position: usize) {
        let alarm = self.heap[position];
        while position > 0 {
            let parent = (position - 1) / ARITY;
            if self.heap[parent].due < alarm.due {
                break;
            }
            self.place(position, self.heap[parent]);
            position = parent;
        }
        self.place(position, alarm);
    }

    fn sift_down(&mut self, mut position: usize) {
        let alarm = self.heap[position];
        loop {
            let first = position * ARITY + 1;
            let children = self.heap.get(first..).unwrap_or_default();
            let mut least = alarm;
            let mut next = position;
            for (child, place) in children.iter().zip(first..first + ARITY) {
                if child.due < least.due {
                    (least, next) = (*child, place);
                }
            }
            if next == position {
                break;
            }
            self.place(position, least);
            position = next;
        }
        self.place(position, alarm);
    }

    fn place(&mut self, position: usize, alarm: Alarm) {
        self.heap[position] = alarm;
        *self.position(alarm.owner()) = position as u32;
    }

    fn position(&mut self, owner: Owner) -> &mut u32 {
        let (positions, slot) = match owner {
            Owner::Query(slot) => (&mut self.queries, slot as usize),
            Owner::Work(slot) => (&mut self.works, slot as usize),
        };
        if slot >= positions.len() {
            positions.resize(slot + 1, NONE);
        }
        &mut positions[slot]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(nanos: u64) -> Time {
        Time::from_nanos(nanos)
    }

    fn pop(timers: &mut Timers) -> Option<(Due, Owner)> {
        let first = timers.first()?;
        timers.cancel(first.1);
        Some(first)
    }

    #[test]
    fn a_deadline_comes_before_a_contact_of_the_same_instant() {
        let mut timers = Timers::new();
        for work in [1, 0] {
            let due = timers.timeout(at(5));
            timers.set_alarm(work, due);
        }
        timers.set_deadline(7, at(5));
        timers.set_deadline(8, Time::MAX);
        let due: Vec<Owner> = core::iter::from_fn(|| pop(&mut timers)).map(|(_, owner)| owner).collect();
        assert_eq!(due, [Owner::Query(7), Owner::Work(1), Owner::Work(0)]);
    }

    proptest! {
        #[test]
        fn the_heap_pops_what_a_sorted_list_would(
            steps in prop::collection::vec((0u8..3, 0u32..20, 0u64..50), 1..200)
        ) {
            let mut timers = Timers::new();
            let mut model: Vec<(Due, Owner)> = Vec::new();
            for (step, slot, nanos) in steps {
                match step {
                    0 => {
                        let due = timers.timeout(at(nanos));
                        timers.set_alarm(slot, due);
                        model.retain(|(_, owner)| *owner != Owner::Work(slot));
                        model.push((due, Owner::Work(slot)));
                        model.sort_by_key(|(due, _)| *due);
                    }
                    1 => {
                        timers.cancel(Owner::Work(slot));
                        model.retain(|(_, owner)| *owner != Owner::Work(slot));
                    }
                    _ => {
                        let first = (!model.is_empty()).then(|| model.remove(0));
                        prop_assert_eq!(pop(&mut timers), first);
                    }
                }
                prop_assert_eq!(timers.first(), model.first().copied());
            }
        }
    }
}
