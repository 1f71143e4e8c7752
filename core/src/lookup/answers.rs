//! The answers of one piece of work: dedup by item id.

use core::hash::BuildHasher;

use hashbrown::HashTable;

use crate::hash::Keyed;
use crate::network::Item;

/// The ids that have been accepted.
pub(crate) struct Answers<I: Item> {
    ids: HashTable<I::Id>,
}

impl<I: Item> Answers<I> {
    pub(crate) const fn new() -> Self {
        Self { ids: HashTable::new() }
    }

    /// Accepts an item; false if its id was accepted before.
    pub(crate) fn accept(&mut self, item: &I, hasher: Keyed) -> bool {
        let id = item.id();
        let hash = hasher.hash_one(&id);
        if self.ids.find(hash, |known| *known == id).is_some() {
            return false;
        }
        self.ids.insert_unique(hash, id, |known| hasher.hash_one(known));
        true
    }
}
