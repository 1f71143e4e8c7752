//! Where a peer is in the table, by its hash.

use alloc::vec::Vec;
use core::hint::black_box;

/// An open-addressing table of places, linearly probed.
///
/// An entry is eight bytes: half a peer's hash, and its place. Looking a peer up costs one cache line
/// here and then its own; a map with control bytes apart costs one more, and with twenty peers in every
/// reply of a walk these lines are most of what an event costs. As the hash is kept, neither growing
/// nor forgetting asks the peers for theirs.
pub(crate) struct PlaceIndex {
    /// A power of two of them, at most two thirds filled. An entry stands at the place that the highest
    /// bits of its hash name, or behind it, with no free one in between.
    entries: Vec<Entry>,
    len: usize,
}

/// Half of a peer's keyed hash: no stranger can predict it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Tag(u32);

#[derive(Clone, Copy, PartialEq, Eq)]
struct Entry {
    tag: Tag,
    place: u32,
}

impl Tag {
    pub(crate) const fn of(hash: u64) -> Self {
        Self((hash >> 32) as u32)
    }
}

/// Peers' places are below 2^29.
const FREE: Entry = Entry { tag: Tag(0), place: u32::MAX };
const ENTRIES_MIN: usize = 16;

impl PlaceIndex {
    pub(crate) fn new() -> Self {
        Self { entries: alloc::vec![FREE; ENTRIES_MIN], len: 0 }
    }

    /// The place with this tag of which `is` holds.
    pub(crate) fn find(&self, tag: Tag, mut is: impl FnMut(u32) -> bool) -> Option<u32> {
        let mut at = self.home(tag);
        loop {
            let entry = self.entries[at];
            if entry == FREE {
                return None;
            }
            if entry.tag == tag && is(entry.place) {
                return Some(entry.place);
            }
            at = self.after(at);
        }
    }

    /// Adds a place that is not there.
    pub(crate) fn insert(&mut self, tag: Tag, place: u32) {
        if (self.len + 1) * 3 > self.entries.len() * 2 {
            let twice = alloc::vec![FREE; self.entries.len() * 2];
            let entries = core::mem::replace(&mut self.entries, twice);
            entries.into_iter().filter(|entry| *entry != FREE).for_each(|entry| self.put(entry));
        }
        self.put(Entry { tag, place });
        self.len += 1;
    }

    /// Removes a place that is there.
    pub(crate) fn remove(&mut self, tag: Tag, place: u32) {
        let mut hole = self.home(tag);
        while self.entries[hole].place != place {
            debug_assert!(self.entries[hole] != FREE, "who is removed is in the index");
            hole = self.after(hole);
        }
        // Those behind move up, or they would not be found: each that may stand at the hole does.
        let mut at = self.after(hole);
        while self.entries[at] != FREE {
            let from_home = self.distance(self.home(self.entries[at].tag), at);
            if from_home >= self.distance(hole, at) {
                self.entries[hole] = self.entries[at];
                hole = at;
            }
            at = self.after(at);
        }
        self.entries[hole] = FREE;
        self.len -= 1;
    }

    /// Loads the lines where these tags would be, all at once: the processor waits for loads that do
    /// not depend on each other together.
    pub(crate) fn touch(&self, tags: impl Iterator<Item = Tag>) {
        for tag in tags {
            black_box(self.entries[self.home(tag)].place);
        }
    }

    fn put(&mut self, entry: Entry) {
        let mut at = self.home(entry.tag);
        while self.entries[at] != FREE {
            at = self.after(at);
        }
        self.entries[at] = entry;
    }

    fn home(&self, Tag(tag): Tag) -> usize {
        ((u64::from(tag) * self.entries.len() as u64) >> 32) as usize
    }

    fn after(&self, at: usize) -> usize {
        (at + 1) & (self.entries.len() - 1)
    }

    /// How many steps forward from one place to the other.
    fn distance(&self, from: usize, to: usize) -> usize {
        to.wrapping_sub(from) & (self.entries.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_index_finds_what_a_list_would(
            steps in prop::collection::vec((any::<bool>(), 0u32..40, 0u64..8), 1..400)
        ) {
            let mut index = PlaceIndex::new();
            let mut list: Vec<(Tag, u32)> = Vec::new();
            for (n, (inserts, which, crowd)) in steps.into_iter().enumerate() {
                if inserts {
                    // Few homes, those at the end among them: long runs that wrap around.
                    let tag = Tag::of(u64::MAX - (crowd << 58) - (n as u64 % 3));
                    index.insert(tag, n as u32);
                    list.push((tag, n as u32));
                } else if !list.is_empty() {
                    let (tag, place) = list.swap_remove(which as usize % list.len());
                    index.remove(tag, place);
                    prop_assert_eq!(index.find(tag, |found| found == place), None);
                }
                for (tag, place) in &list {
                    prop_assert_eq!(index.find(*tag, |found| found == *place), Some(*place));
                }
                prop_assert_eq!(index.len, list.len());
                prop_assert_eq!(index.find(Tag(12345), |_| true), None);
            }
        }
    }
}
