//! What is due when.
//!
//! A 4-ary heap that knows where each timer stands, so that a timer is moved or cancelled in place and
//! `next` is exact. Cancelling lazily instead would leave ten seconds of dead timers in the heap. Most
//! timers here are set far ahead and cancelled soon, close to the leaves: both cost a few steps
//! whatever the number of timers; only one that fires costs its logarithm.

use alloc::vec::Vec;
use core::hint::black_box;

use crate::arena::NONE;
use crate::time::Time;

/// Whose timer it is. Each owner has at most one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Timer {
    /// The deadline of the query in this slot.
    Deadline(u32),
    /// The soft or the hard timeout of the contact in this slot.
    Contact(u32),
}

pub(crate) struct Timers {
    heap: Vec<Entry>,
    deadlines: Vec<u32>,
    contacts: Vec<u32>,
    sequence: u32,
}

#[derive(Clone, Copy)]
struct Entry {
    at: Time,
    rank: u32,
    slot: u32,
}

/// Deadlines come before the contacts of the same instant: what is to end begins nothing more.
const CONTACT_RANK: u32 = 1 << 31;
const ARITY: usize = 4;

impl Entry {
    const fn key(&self) -> (Time, u32) {
        (self.at, self.rank)
    }

    const fn timer(&self) -> Timer {
        if self.rank & CONTACT_RANK == 0 { Timer::Deadline(self.slot) } else { Timer::Contact(self.slot) }
    }
}

impl Timers {
    pub(crate) const fn new() -> Self {
        Self { heap: Vec::new(), deadlines: Vec::new(), contacts: Vec::new(), sequence: 0 }
    }

    /// Sets a timer, in place of its owner's earlier one. At [`Time::MAX`] there is none.
    pub(crate) fn set(&mut self, timer: Timer, at: Time) {
        self.cancel(timer);
        if at == Time::MAX {
            return;
        }
        // Timers of one instant come in the order they were set in; only that order is lost when the
        // sequence wraps.
        self.sequence = self.sequence.wrapping_add(1) & !CONTACT_RANK;
        let (rank, slot) = match timer {
            Timer::Deadline(slot) => (self.sequence, slot),
            Timer::Contact(slot) => (self.sequence | CONTACT_RANK, slot),
        };
        let position = self.heap.len();
        self.heap.push(Entry { at, rank, slot });
        self.sift_up(position);
    }

    pub(crate) fn cancel(&mut self, timer: Timer) {
        let position = self.position(timer);
        if *position != NONE {
            let taken = core::mem::replace(position, NONE) as usize;
            self.take(taken);
        }
    }

    /// When a contact's timer is set for; [`Time::MAX`] if it has none.
    pub(crate) fn of_contact(&self, contact: u32) -> Time {
        let position = self.contacts.get(contact as usize).map_or(NONE, |position| *position);
        self.heap.get(position as usize).map_or(Time::MAX, |entry| entry.at)
    }

    /// Loads a contact's timer.
    pub(crate) fn touch(&self, contact: u32) {
        let position = self.contacts.get(contact as usize).map_or(0, |position| *position as usize);
        black_box(self.heap.get(position).map(|entry| entry.at));
    }

    /// The exact time of the next timer.
    pub(crate) fn next(&self) -> Option<Time> {
        self.heap.first().map(|entry| entry.at)
    }

    /// The next timer due at `now`, if any; it is gone then.
    pub(crate) fn pop_due(&mut self, now: Time) -> Option<(Time, Timer)> {
        let first = *self.heap.first()?;
        if first.at > now {
            return None;
        }
        *self.position(first.timer()) = NONE;
        self.take(0);
        Some((first.at, first.timer()))
    }

    pub(crate) const fn len(&self) -> usize {
        self.heap.len()
    }

    fn take(&mut self, position: usize) {
        let last = self.heap.pop().expect("a timer with a position is in the heap");
        if position < self.heap.len() {
            self.heap[position] = last;
            if position > 0 && last.key() < self.heap[(position - 1) / ARITY].key() {
                self.sift_up(position);
            } else {
                self.sift_down(position);
            }
        }
    }

    fn sift_up(&mut self, mut position: usize) {
        let entry = self.heap[position];
        while position > 0 {
            let parent = (position - 1) / ARITY;
            if self.heap[parent].key() <= entry.key() {
                break;
            }
            self.place(position, self.heap[parent]);
            position = parent;
        }
        self.place(position, entry);
    }

    fn sift_down(&mut self, mut position: usize) {
        let entry = self.heap[position];
        loop {
            let first = position * ARITY + 1;
            let children = first..(first + ARITY).min(self.heap.len());
            let Some(least) = children.min_by_key(|&child| self.heap[child].key()) else { break };
            if entry.key() <= self.heap[least].key() {
                break;
            }
            self.place(position, self.heap[least]);
            position = least;
        }
        self.place(position, entry);
    }

    fn place(&mut self, position: usize, entry: Entry) {
        self.heap[position] = entry;
        *self.position(entry.timer()) = position as u32;
    }

    fn position(&mut self, timer: Timer) -> &mut u32 {
        let (positions, slot) = match timer {
            Timer::Deadline(slot) => (&mut self.deadlines, slot as usize),
            Timer::Contact(slot) => (&mut self.contacts, slot as usize),
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

    #[test]
    fn a_deadline_comes_before_a_contact_of_the_same_instant() {
        let mut timers = Timers::new();
        timers.set(Timer::Contact(1), Time::from_nanos(5));
        timers.set(Timer::Contact(0), Time::from_nanos(5));
        timers.set(Timer::Deadline(7), Time::from_nanos(5));
        timers.set(Timer::Deadline(8), Time::MAX);
        assert_eq!(timers.pop_due(Time::from_nanos(4)), None);
        let due: Vec<Timer> =
            core::iter::from_fn(|| timers.pop_due(Time::from_nanos(5))).map(|(_, timer)| timer).collect();
        assert_eq!(due, [Timer::Deadline(7), Timer::Contact(1), Timer::Contact(0)]);
    }

    proptest! {
        #[test]
        fn the_heap_pops_what_a_sorted_list_would(
            steps in prop::collection::vec((0u8..3, 0u32..20, 0u64..50), 1..200)
        ) {
            let mut timers = Timers::new();
            let mut model: Vec<(u64, u32)> = Vec::new();
            for (step, slot, at) in steps {
                match step {
                    0 => {
                        timers.set(Timer::Contact(slot), Time::from_nanos(at));
                        model.retain(|(_, s)| *s != slot);
                        model.push((at, slot));
                        model.sort_by_key(|(at, _)| *at);
                    }
                    1 => {
                        timers.cancel(Timer::Contact(slot));
                        model.retain(|(_, s)| *s != slot);
                    }
                    _ => {
                        let due = (!model.is_empty() && model[0].0 <= at).then(|| model.remove(0));
                        let popped = timers.pop_due(Time::from_nanos(at));
                        prop_assert_eq!(
                            popped,
                            due.map(|(at, slot)| (Time::from_nanos(at), Timer::Contact(slot)))
                        );
                    }
                }
                prop_assert_eq!(timers.next(), model.first().map(|(at, _)| Time::from_nanos(*at)));
                prop_assert_eq!(timers.len(), model.len());
            }
        }
    }
}
