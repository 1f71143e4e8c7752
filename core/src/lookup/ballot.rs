//! Items that are held back: who has given which, and which is to be delivered.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cmp::{Ordering, Reverse};
use core::hash::BuildHasher;
use core::time::Duration;

use hashbrown::HashTable;
use smallvec::SmallVec;

use super::Lane;
use crate::hash::Keyed;
use crate::network::{Item, Network, Selector, Source};

/// The items of one piece of work, by id and version, each with its votes.
pub(crate) struct Ballot<N: Network> {
    rules: Rules,
    selector: Option<Arc<dyn Selector<N>>>,
    /// In the order in which their ids were first seen.
    entries: Vec<Entry<N>>,
    by_id: HashTable<u32>,
    /// Versions held, over all ids.
    held: usize,
}

/// When an item is elected, and how many may stand.
#[derive(Clone, Copy)]
pub(crate) struct Rules {
    /// Votes with which an item is delivered; `None`: not before the end.
    pub(crate) quorum: Option<u32>,
    pub(crate) held_max: usize,
    pub(crate) versions_max: usize,
}

/// All that was given under one id.
struct Entry<N: Network> {
    id: <N::Item as Item>::Id,
    is_delivered: bool,
    versions: SmallVec<[Version<N>; 1]>,
}

struct Version<N: Network> {
    item: N::Item,
    origin: Origin<N>,
    votes: SmallVec<[Vote; 2]>,
}

/// Who gave an item first, and how fast.
pub(crate) struct Origin<N: Network> {
    pub(crate) from: Option<N::Peer>,
    pub(crate) response_time: Option<Duration>,
    pub(crate) source: Source,
}

impl<N: Network> Clone for Origin<N> {
    fn clone(&self) -> Self {
        Self { from: self.from.clone(), ..*self }
    }
}

/// Who votes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Vote {
    /// A peer, by the hash of its identity under the engine's key: one that a delegated lookup names
    /// need not be in the table of peers.
    Peer(u64),
    /// Whoever it was that a delegated lookup does not name.
    Route(Lane),
}

/// What became of a vote.
#[derive(Clone, Copy, Default)]
pub(crate) struct Cast {
    /// The id had been seen.
    pub(crate) is_known: bool,
    /// It had been seen with another item.
    pub(crate) is_conflicting: bool,
    /// The item is one more, and there is no room for it.
    pub(crate) is_dropped: bool,
    /// The item is one more, and is held.
    pub(crate) is_new: bool,
    /// The place of an item that is now to be delivered.
    pub(crate) elected: Option<Place>,
}

/// One version of one id.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    entry: usize,
    version: usize,
}

impl<N: Network> Ballot<N> {
    pub(crate) const fn new(rules: Rules, selector: Option<Arc<dyn Selector<N>>>) -> Self {
        Self { rules, selector, entries: Vec::new(), by_id: HashTable::new(), held: 0 }
    }

    /// Counts a vote. `has_room` says whether its reply may bring one more item.
    pub(crate) fn cast(
        &mut self,
        item: N::Item,
        vote: Vote,
        origin: &Origin<N>,
        has_room: bool,
        hasher: Keyed,
    ) -> Cast {
        let id = item.id();
        let hash = hasher.hash_one(&id);
        let known = self.by_id.find(hash, |&entry| self.entries[entry as usize].id == id).copied();
        let has_room = has_room && self.held < self.rules.held_max;
        let Some(entry) = known else {
            if !has_room {
                return Cast { is_dropped: true, ..Cast::default() };
            }
            let entry = self.entries.len();
            self.entries.push(Entry { id, is_delivered: false, versions: SmallVec::new() });
            let Self { by_id, entries, .. } = self;
            by_id.insert_unique(hash, entry as u32, |&entry| hasher.hash_one(&entries[entry as usize].id));
            return self.add(entry, item, vote, origin, Cast::default());
        };
        let entry = entry as usize;
        let Entry { is_delivered, versions, .. } = &mut self.entries[entry];
        let is_conflicting = versions.iter().any(|version| version.item != item);
        let cast = Cast { is_known: true, is_conflicting, ..Cast::default() };
        if *is_delivered || versions.iter().any(|version| version.votes.contains(&vote)) {
            return cast;
        }
        match versions.iter().position(|version| version.item == item) {
            Some(version) => {
                versions[version].votes.push(vote);
                Cast { elected: self.elected(Place { entry, version }), ..cast }
            }
            None if has_room && versions.len() < self.rules.versions_max => {
                self.add(entry, item, vote, origin, cast)
            }
            None => Cast { is_dropped: true, ..cast },
        }
    }

    /// The item at a place, which counts as delivered from now on, with who gave it first and its votes.
    pub(crate) fn deliver(&mut self, Place { entry, version }: Place) -> (N::Item, Origin<N>, u32) {
        let entry = &mut self.entries[entry];
        entry.is_delivered = true;
        let version = &entry.versions[version];
        (version.item.clone(), version.origin.clone(), version.count())
    }

    /// Of each id that was not delivered the best item, those with the most votes first.
    pub(crate) fn rest(&self, request: &N::Request) -> Vec<(&N::Item, &Origin<N>, u32)> {
        let held = self.entries.iter().filter(|entry| !entry.is_delivered);
        let mut best: Vec<_> = held.filter_map(|entry| self.best(entry, request)).collect();
        best.sort_by_key(|version| Reverse(version.count()));
        best.into_iter().map(|version| (&version.item, &version.origin, version.count())).collect()
    }

    #[cfg(feature = "sabotage")]
    pub(crate) fn forget_deliveries(&mut self) {
        self.entries.iter_mut().for_each(|entry| entry.is_delivered = false);
    }

    fn add(&mut self, entry: usize, item: N::Item, vote: Vote, origin: &Origin<N>, cast: Cast) -> Cast {
        let versions = &mut self.entries[entry].versions;
        let version = versions.len();
        let votes = SmallVec::from_iter([vote]);
        versions.push(Version { item, origin: origin.clone(), votes });
        self.held += 1;
        Cast { is_new: true, elected: self.elected(Place { entry, version }), ..cast }
    }

    fn elected(&self, place: Place) -> Option<Place> {
        let version = &self.entries[place.entry].versions[place.version];
        self.rules.quorum.is_some_and(|quorum| version.count() >= quorum).then_some(place)
    }

    /// The one that the selector prefers, or else the one with more votes, or else the first.
    fn best<'a>(&self, entry: &'a Entry<N>, request: &N::Request) -> Option<&'a Version<N>> {
        let prefer = |one: &Version<N>, other: &Version<N>| {
            let selected = self.selector.as_ref().map(|s| s.compare(request, &one.item, &other.item));
            selected.unwrap_or(Ordering::Equal).then(one.count().cmp(&other.count()))
        };
        let mut versions = entry.versions.iter();
        let first = versions.next()?;
        Some(versions.fold(first, |best, next| if prefer(next, best).is_gt() { next } else { best }))
    }
}

impl<N: Network> Version<N> {
    fn count(&self) -> u32 {
        self.votes.len() as u32
    }
}
