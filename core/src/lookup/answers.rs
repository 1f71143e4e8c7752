//! The answers of one piece of work: dedup by item id, and what is held back.

use alloc::boxed::Box;
use core::hash::BuildHasher;

use hashbrown::HashTable;

use super::ballot::Ballot;
use crate::hash::Keyed;
use crate::network::{Item, Network};

/// What has been accepted.
pub(crate) enum Answers<N: Network> {
    /// Delivered at once: the ids are all that is kept.
    Delivered(HashTable<<N::Item as Item>::Id>),
    /// Held back until enough agree, or for the end.
    Held(Box<Ballot<N>>),
}

impl<N: Network> Answers<N> {
    pub(crate) const fn new() -> Self {
        Self::Delivered(HashTable::new())
    }
}

/// Accepts an item; false if its id was accepted before.
pub(crate) fn accept<I: Item>(ids: &mut HashTable<I::Id>, item: &I, hasher: Keyed) -> bool {
    let id = item.id();
    let hash = hasher.hash_one(&id);
    if ids.find(hash, |known| *known == id).is_some() {
        return false;
    }
    ids.insert_unique(hash, id, |known| hasher.hash_one(known));
    true
}
