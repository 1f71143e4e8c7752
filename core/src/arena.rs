//! Slots that are reused, each with a generation, so that an old handle names nothing.

use alloc::vec::Vec;
use core::ops::{Index, IndexMut};

/// No slot.
pub(crate) const NONE: u32 = u32::MAX;

/// Values in numbered slots. A slot's number is small and reused; its generation grows with every
/// reuse, so that number and generation together name one value only.
pub(crate) struct Arena<T> {
    entries: Vec<Entry<T>>,
    free: u32,
    len: usize,
}

struct Entry<T> {
    generation: u32,
    slot: Slot<T>,
}

enum Slot<T> {
    Full(T),
    Free { next: u32 },
}

impl<T> Arena<T> {
    pub(crate) const fn new() -> Self {
        Self { entries: Vec::new(), free: NONE, len: 0 }
    }

    pub(crate) fn insert(&mut self, value: T) -> u32 {
        self.len += 1;
        if self.free == NONE {
            let slot = u32::try_from(self.entries.len()).expect("callers cap their tables below 2^32");
            self.entries.push(Entry { generation: 0, slot: Slot::Full(value) });
            return slot;
        }
        let slot = self.free;
        let entry = &mut self.entries[slot as usize];
        match entry.slot {
            Slot::Free { next } => self.free = next,
            Slot::Full(_) => unreachable!("a slot of the free list is free"),
        }
        entry.slot = Slot::Full(value);
        slot
    }

    /// Empties a slot that the caller knows to be full.
    pub(crate) fn remove(&mut self, slot: u32) -> T {
        let entry = &mut self.entries[slot as usize];
        entry.generation = entry.generation.wrapping_add(1);
        match core::mem::replace(&mut entry.slot, Slot::Free { next: self.free }) {
            Slot::Full(value) => {
                self.free = slot;
                self.len -= 1;
                value
            }
            Slot::Free { .. } => unreachable!("the caller removes a value once"),
        }
    }

    pub(crate) fn generation(&self, slot: u32) -> u32 {
        self.entries[slot as usize].generation
    }

    /// The value that slot and generation name, if it is there still.
    pub(crate) fn get(&self, slot: u32, generation: u32) -> Option<&T> {
        match self.entries.get(slot as usize) {
            Some(Entry { generation: g, slot: Slot::Full(value) }) if *g == generation => Some(value),
            _ => None,
        }
    }

    pub(crate) const fn len(&self) -> usize {
        self.len
    }
}

/// By a slot that the caller knows to be full.
impl<T> Index<u32> for Arena<T> {
    type Output = T;

    fn index(&self, slot: u32) -> &T {
        match &self.entries[slot as usize].slot {
            Slot::Full(value) => value,
            Slot::Free { .. } => unreachable!("an internal link leads to a full slot"),
        }
    }
}

impl<T> IndexMut<u32> for Arena<T> {
    fn index_mut(&mut self, slot: u32) -> &mut T {
        match &mut self.entries[slot as usize].slot {
            Slot::Full(value) => value,
            Slot::Free { .. } => unreachable!("an internal link leads to a full slot"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_handle_names_nothing() {
        let mut arena = Arena::new();
        let slot = arena.insert('a');
        let generation = arena.generation(slot);
        assert_eq!(arena.get(slot, generation), Some(&'a'));
        assert_eq!(arena.remove(slot), 'a');
        assert_eq!(arena.get(slot, generation), None);
        assert_eq!(arena.insert('b'), slot);
        assert_eq!(arena.get(slot, generation), None);
        assert_eq!(arena.get(slot, generation + 1), Some(&'b'));
        assert_eq!(arena.get(77, 0), None);
        assert_eq!(arena.len(), 1);
    }
}
