//! What happens when: a queue of events in exact order of (time, sequence).

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use dragnet_core::Time;

/// A queue of events. Two implementations, one order: what is pushed comes out by time, and at one time
/// in the order in which it was pushed.
pub trait EventQueue<T> {
    /// Adds an event. One whose time has passed already comes out next.
    fn push(&mut self, time: Time, event: T);

    /// Takes the next event.
    fn pop(&mut self) -> Option<(Time, T)>;

    /// How many events are pending.
    fn len(&self) -> usize;

    /// Whether no event is pending.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A grain of time, 2^20 ns = 1.05 ms: what is due within one is sorted when the grain comes due.
const GRAIN_BITS: u32 = 20;
/// Each level has 1 024 slots, and a slot of one level is as wide as the whole level below.
const SLOT_BITS: u32 = 10;
const SLOTS: usize = 1 << SLOT_BITS;
/// Five levels of ten bits cover the 44 bits of time above the grain.
const LEVELS: usize = 5;

/// A hierarchical timing wheel (Varghese and Lauck, 1987) with exact order.
///
/// A slot is only a bag; when its turn comes, it is sorted by (time, sequence) and drained. Pushing is
/// O(1), and an event is moved once per level that it comes down, so the cost of an event hardly
/// depends on how many are pending.
#[derive(Debug)]
pub struct Wheel<T> {
    levels: Vec<Level<T>>,
    /// The events of the current grain, last first.
    due: Vec<Entry<T>>,
    /// Events pushed into the current grain after it was sorted.
    late: BinaryHeap<Reverse<Entry<T>>>,
    /// The current grain. All events of this and earlier grains are in `due` and `late`.
    grain: u64,
    sequence: u64,
    len: usize,
}

#[derive(Debug)]
struct Level<T> {
    slots: Vec<Vec<Entry<T>>>,
    /// Which slots are not empty.
    filled: [u64; SLOTS / 64],
}

#[derive(Debug)]
struct Entry<T> {
    time: u64,
    sequence: u64,
    event: T,
}

impl<T> Wheel<T> {
    /// An empty wheel at time zero.
    pub fn new() -> Self {
        Self {
            levels: (0..LEVELS).map(|_| Level::new()).collect(),
            due: Vec::new(),
            late: BinaryHeap::new(),
            grain: 0,
            sequence: 0,
            len: 0,
        }
    }

    /// When the next event is due.
    pub fn next_time(&mut self) -> Option<Time> {
        if self.due.is_empty() && self.late.is_empty() {
            self.turn();
        }
        let due = self.due.last().map(|entry| entry.time);
        let late = self.late.peek().map(|entry| entry.0.time);
        due.into_iter().chain(late).min().map(Time::from_nanos)
    }

    /// The next events, as far as they are known: those of the current grain, if none is pushed before
    /// them.
    pub(crate) fn coming(&self) -> impl Iterator<Item = &T> {
        self.due.iter().rev().map(|entry| &entry.event)
    }

    /// Puts an event of a later grain into its slot.
    fn place(&mut self, entry: Entry<T>) {
        let grain = entry.time >> GRAIN_BITS;
        debug_assert!(grain > self.grain, "an event of the current grain is placed in a slot");
        // The highest bit in which the grain differs from the current one names the level: at that
        // level its slot lies ahead, and above it both share all slots.
        let level = (63 - (grain ^ self.grain).leading_zeros()) / SLOT_BITS;
        let slot = (grain >> (level * SLOT_BITS)) as usize % SLOTS;
        self.levels[level as usize].push(slot, entry);
    }

    /// Turns the wheel to the next grain that has events, if any.
    fn turn(&mut self) {
        while self.due.is_empty() {
            let Some((level, slot)) =
                self.levels.iter().enumerate().find_map(|(n, level)| Some((n as u32, level.first()?)))
            else {
                return;
            };
            let shift = level * SLOT_BITS;
            let above = self.grain >> shift >> SLOT_BITS << SLOT_BITS;
            self.grain = (above | slot as u64) << shift;
            if level == 0 {
                // The drained buffer becomes the slot's: what was allocated goes round.
                std::mem::swap(&mut self.due, &mut self.levels[0].slots[slot]);
                self.levels[0].unmark(slot);
            } else {
                for entry in self.levels[level as usize].take(slot) {
                    if entry.time >> GRAIN_BITS == self.grain {
                        self.due.push(entry);
                    } else {
                        self.place(entry);
                    }
                }
            }
        }
        self.due.sort_unstable_by_key(|entry| Reverse((entry.time, entry.sequence)));
    }
}

impl<T> EventQueue<T> for Wheel<T> {
    fn push(&mut self, time: Time, event: T) {
        let entry = Entry { time: time.as_nanos(), sequence: self.sequence, event };
        self.sequence += 1;
        self.len += 1;
        if entry.time >> GRAIN_BITS > self.grain {
            self.place(entry);
        } else {
            self.late.push(Reverse(entry));
        }
    }

    fn pop(&mut self) -> Option<(Time, T)> {
        if self.due.is_empty() && self.late.is_empty() {
            self.turn();
        }
        let entry = match (self.due.last(), self.late.peek()) {
            (Some(due), Some(Reverse(late))) if late < due => self.late.pop()?.0,
            (None, _) => self.late.pop()?.0,
            _ => self.due.pop()?,
        };
        self.len -= 1;
        Some((Time::from_nanos(entry.time), entry.event))
    }

    fn len(&self) -> usize {
        self.len
    }
}

impl<T> Default for Wheel<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Level<T> {
    fn new() -> Self {
        Self { slots: (0..SLOTS).map(|_| Vec::new()).collect(), filled: [0; SLOTS / 64] }
    }

    fn push(&mut self, slot: usize, entry: Entry<T>) {
        self.slots[slot].push(entry);
        self.filled[slot / 64] |= 1 << (slot % 64);
    }

    fn take(&mut self, slot: usize) -> Vec<Entry<T>> {
        self.unmark(slot);
        std::mem::take(&mut self.slots[slot])
    }

    fn unmark(&mut self, slot: usize) {
        self.filled[slot / 64] &= !(1 << (slot % 64));
    }

    /// The first filled slot.
    fn first(&self) -> Option<usize> {
        let word = self.filled.iter().position(|word| *word != 0)?;
        Some(word * 64 + self.filled[word].trailing_zeros() as usize)
    }
}

/// The same queue as a binary heap: the reference that the wheel is tested and measured against.
#[derive(Debug)]
pub struct HeapQueue<T> {
    heap: BinaryHeap<Reverse<Entry<T>>>,
    sequence: u64,
}

impl<T> HeapQueue<T> {
    /// An empty queue.
    pub fn new() -> Self {
        Self { heap: BinaryHeap::new(), sequence: 0 }
    }
}

impl<T> Default for HeapQueue<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> EventQueue<T> for HeapQueue<T> {
    fn push(&mut self, time: Time, event: T) {
        self.heap.push(Reverse(Entry { time: time.as_nanos(), sequence: self.sequence, event }));
        self.sequence += 1;
    }

    fn pop(&mut self) -> Option<(Time, T)> {
        self.heap.pop().map(|Reverse(entry)| (Time::from_nanos(entry.time), entry.event))
    }

    fn len(&self) -> usize {
        self.heap.len()
    }
}

impl<T> Ord for Entry<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.time, self.sequence).cmp(&(other.time, other.sequence))
    }
}

impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<T> Eq for Entry<T> {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn events_of_one_time_come_in_the_order_they_were_pushed() {
        let mut wheel = Wheel::new();
        (0..100).for_each(|n| wheel.push(Time::from_millis(7), n));
        (0..100).for_each(|n| assert_eq!(wheel.pop(), Some((Time::from_millis(7), n))));
        assert_eq!((wheel.pop(), wheel.len()), (None, 0));
    }

    #[test]
    fn the_end_of_time_is_a_time_like_any_other() {
        let mut wheel = Wheel::new();
        wheel.push(Time::MAX, "last");
        wheel.push(Time::ZERO, "first");
        assert_eq!(wheel.next_time(), Some(Time::ZERO));
        assert_eq!(wheel.pop(), Some((Time::ZERO, "first")));
        assert_eq!(wheel.next_time(), Some(Time::MAX));
        assert_eq!(wheel.pop(), Some((Time::MAX, "last")));
        assert_eq!(wheel.next_time(), None);
    }

    #[derive(Clone, Debug)]
    enum Op {
        /// Push so many nanoseconds after the last time popped.
        Push(u64),
        Pop,
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            2 => (0u64..64, any::<u64>()).prop_map(|(shift, word)| Op::Push(word >> shift)),
            1 => (0u64..5_000_000).prop_map(Op::Push),
            1 => Just(Op::Push(0)),
            3 => Just(Op::Pop),
        ]
    }

    proptest! {
        #[test]
        fn the_wheel_and_the_heap_give_the_same_order(ops in prop::collection::vec(op(), 0..300)) {
            let (mut wheel, mut heap) = (Wheel::new(), HeapQueue::new());
            let mut now = Time::ZERO;
            for (n, op) in ops.into_iter().enumerate() {
                match op {
                    Op::Push(after) => {
                        let at = Time::from_nanos(now.as_nanos().saturating_add(after));
                        wheel.push(at, n);
                        heap.push(at, n);
                    }
                    Op::Pop => {
                        let popped = heap.pop();
                        prop_assert_eq!(wheel.next_time(), popped.map(|(time, _)| time));
                        prop_assert_eq!(wheel.pop(), popped);
                        now = popped.map_or(now, |(time, _)| time);
                    }
                }
                prop_assert_eq!(wheel.len(), heap.len());
            }
            while let Some(popped) = heap.pop() {
                prop_assert_eq!(wheel.pop(), Some(popped));
            }
            prop_assert!(wheel.is_empty());
        }
    }
}
