//! Slots that are reused, each with a generation, so that an old handle names nothing.

use alloc::vec::Vec;
use core::ops::{Index, IndexMut};

/// No slot.
pub(crate) const NONE: u32 = u32::MAX;

/// Values in numbered slots. A slot's number is small and reused; its generation grows with every
/// reuse, so that number and generation together name one value only.
///
/// Slots live in chunks of equal size: a table of a million queries grows without being copied, and
/// never holds twice what it needs.
pub(crate) struct Arena<T> {
    chunks: Vec<Vec<Entry<T>>>,
    free: u32,
    len: usize,
    /// Of slots that are new.
    first_generation: u32,
}

const CHUNK_BITS: u32 = 7;
const CHUNK: usize = 1 << CHUNK_BITS;

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
        Self::from_generation(0)
    }

    /// One whose slots begin with this generation.
    pub(crate) const fn from_generation(first_generation: u32) -> Self {
        Self { chunks: Vec::new(), free: NONE, len: 0, first_generation }
    }

    /// A generation that no value has had, if none is there now.
    pub(crate) fn unused_generation(&self) -> u32 {
        let all = self.chunks.iter().flatten().map(|entry| entry.generation);
        all.max().unwrap_or(self.first_generation)
    }

    pub(crate) fn insert(&mut self, value: T) -> u32 {
        self.len += 1;
        if self.free == NONE {
            return self.push(value);
        }
        let slot = self.free;
        let entry = self.entry_mut(slot);
        match core::mem::replace(&mut entry.slot, Slot::Full(value)) {
            Slot::Free { next } => self.free = next,
            Slot::Full(_) => unreachable!("a slot of the free list is free"),
        }
        slot
    }

    /// Empties a slot that the caller knows to be full.
    pub(crate) fn remove(&mut self, slot: u32) -> T {
        let next = self.free;
        let entry = self.entry_mut(slot);
        entry.generation = entry.generation.wrapping_add(1);
        match core::mem::replace(&mut entry.slot, Slot::Free { next }) {
            Slot::Full(value) => {
                self.free = slot;
                self.len -= 1;
                value
            }
            Slot::Free { .. } => unreachable!("the caller removes a value once"),
        }
    }

    pub(crate) fn generation(&self, slot: u32) -> u32 {
        self.entry(slot).generation
    }

    /// The value that slot and generation name, if it is there still.
    pub(crate) fn get(&self, slot: u32, generation: u32) -> Option<&T> {
        let chunk = self.chunks.get(slot as usize >> CHUNK_BITS)?;
        match chunk.get(slot as usize % CHUNK) {
            Some(Entry { generation: g, slot: Slot::Full(value) }) if *g == generation => Some(value),
            _ => None,
        }
    }

    /// The value in a slot, if there is one.
    pub(crate) fn peek(&self, slot: u32) -> Option<&T> {
        match &self.chunks.get(slot as usize >> CHUNK_BITS)?.get(slot as usize % CHUNK)?.slot {
            Slot::Full(value) => Some(value),
            Slot::Free { .. } => None,
        }
    }

    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// The full slots and their values, in the order of their numbers.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        let entries = self.chunks.iter().flatten();
        (0..).zip(entries).filter_map(|(slot, entry)| match &entry.slot {
            Slot::Full(value) => Some((slot, value)),
            Slot::Free { .. } => None,
        })
    }

    fn push(&mut self, value: T) -> u32 {
        if self.chunks.last().is_none_or(|chunk| chunk.len() == CHUNK) {
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        let full = (self.chunks.len() - 1) * CHUNK;
        let chunk = self.chunks.last_mut().expect("pushed above");
        let slot = u32::try_from(full + chunk.len()).expect("callers cap their tables below 2^32");
        chunk.push(Entry { generation: self.first_generation, slot: Slot::Full(value) });
        slot
    }

    fn entry(&self, slot: u32) -> &Entry<T> {
        &self.chunks[slot as usize >> CHUNK_BITS][slot as usize % CHUNK]
    }

    fn entry_mut(&mut self, slot: u32) -> &mut Entry<T> {
        &mut self.chunks[slot as usize >> CHUNK_BITS][slot as usize % CHUNK]
    }
}

/// By a slot that the caller knows to be full.
impl<T> Index<u32> for Arena<T> {
    type Output = T;

    fn index(&self, slot: u32) -> &T {
        match &self.entry(slot).slot {
            Slot::Full(value) => value,
            Slot::Free { .. } => unreachable!("an internal link leads to a full slot"),
        }
    }
}

impl<T> IndexMut<u32> for Arena<T> {
    fn index_mut(&mut self, slot: u32) -> &mut T {
        match &mut self.entry_mut(slot).slot {
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

    #[test]
    fn slots_are_numbered_through_the_chunks() {
        let mut arena = Arena::new();
        for n in 0..1_000u32 {
            assert_eq!(arena.insert(n), n);
        }
        (0..1_000).for_each(|n| assert_eq!(arena[n], n));
        assert_eq!(arena.remove(500), 500);
        assert_eq!(arena.insert(7), 500);
    }
}
