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
    /// The fetch lane's candidates that replies have named, if routes are who votes.
    named: Vec<NamedVoter>,
    /// Whether a name has added to votes since it was last looked who is elected by that.
    has_new_names: bool,
}

/// A set of routes, by index: there are at most 64 where they vote.
type Routes = u64;

/// A candidate of the fetch lane that was named by replies.
struct NamedVoter {
    voter: Voter,
    /// Those that have named it, or have named who did.
    routes: Routes,
    /// Whether it is a candidate because another one of the fetch lane named it.
    is_referred: bool,
}

/// When an item is elected, and how many may stand.
#[derive(Clone, Copy)]
pub(crate) struct Rules {
    /// Votes with which an item is delivered; `None`: not before the end.
    pub(crate) quorum: Option<u32>,
    /// Votes without which it is not delivered at the end either.
    pub(crate) agreement: u32,
    /// Whether disjoint routes vote, and not each of their peers.
    pub(crate) by_route: bool,
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

/// One vote: whose, and the routes that it speaks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Vote {
    voter: Voter,
    routes: Routes,
    /// Whether it does not speak for itself, as one that the asker named does.
    is_referred: bool,
}

/// Who votes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Voter {
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
        Self {
            rules,
            selector,
            entries: Vec::new(),
            by_id: HashTable::new(),
            held: 0,
            named: Vec::new(),
            has_new_names: false,
        }
    }

    /// Counts a vote. `has_room` says whether its reply may bring one more item. Of those whom lookups name
    /// there may be any number: when an id has many votes, all that one lookup still reports is together
    /// one vote of its route.
    pub(crate) fn cast(
        &mut self,
        item: N::Item,
        voter: Voter,
        lane: Lane,
        origin: &Origin<N>,
        has_room: bool,
        hasher: Keyed,
    ) -> Cast {
        let mut vote = self.vote(voter, lane);
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
        let has_voted = |voter| versions.iter().any(|version| version.votes.iter().any(|v| v.voter == voter));
        if *is_delivered || has_voted(voter) {
            return cast;
        }
        let votes: usize = versions.iter().map(|version| version.votes.len()).sum();
        // Only a lookup's reports come without a response time.
        let is_reported = origin.response_time.is_none();
        if is_reported && votes >= self.rules.held_max {
            if has_voted(Voter::Route(lane)) {
                return Cast { is_dropped: true, ..cast };
            }
            vote.voter = Voter::Route(lane);
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
        (version.item.clone(), version.origin.clone(), version.count(self.rules))
    }

    /// Takes note that a route has named a candidate of the fetch lane: whatever that one has given, or
    /// will give, speaks for the route too.
    pub(crate) fn name(&mut self, voter: Voter, Lane(route): Lane) {
        self.add_routes(voter, 1 << route, false);
    }

    /// Takes note that one of the fetch lane has named another, which speaks for the routes that have named
    /// the first by now: it is no witness more. `is_new` says whether that made it a candidate.
    pub(crate) fn refer(&mut self, voter: Voter, by: Voter, is_new: bool) {
        let routes = self.named(by).map_or(0, |by| by.routes);
        self.add_routes(voter, routes, is_new);
    }

    fn add_routes(&mut self, voter: Voter, added: Routes, is_referred: bool) {
        if !self.rules.by_route || (added == 0 && !is_referred) {
            return;
        }
        match self.named.iter_mut().find(|named| named.voter == voter) {
            Some(named) if named.routes & added == added => return,
            Some(named) => named.routes |= added,
            None => self.named.push(NamedVoter { voter, routes: added, is_referred }),
        }
        let versions = self.entries.iter_mut().flat_map(|entry| &mut entry.versions);
        for vote in versions.flat_map(|version| &mut version.votes).filter(|vote| vote.voter == voter) {
            vote.routes |= added;
            self.has_new_names = true;
        }
    }

    /// An item that is to be delivered, since routes have named those that gave it.
    pub(crate) fn elected_by_name(&mut self) -> Option<Place> {
        if !self.has_new_names {
            return None;
        }
        let held = self.entries.iter().enumerate().filter(|(_, entry)| !entry.is_delivered);
        let mut places = held.flat_map(|(entry, Entry { versions, .. })| {
            (0..versions.len()).map(move |version| Place { entry, version })
        });
        let elected = places.find_map(|place| self.elected(place));
        self.has_new_names = elected.is_some();
        elected
    }

    /// Of each id that was not delivered the best item on which enough agree, those with the most votes
    /// first.
    pub(crate) fn rest(&self, request: &N::Request) -> Vec<(&N::Item, &Origin<N>, u32)> {
        let held = self.entries.iter().filter(|entry| !entry.is_delivered);
        let mut best: Vec<_> = held.filter_map(|entry| self.best(entry, request)).collect();
        best.sort_by_key(|version| Reverse(version.count(self.rules)));
        best.into_iter().map(|version| (&version.item, &version.origin, version.count(self.rules))).collect()
    }

    /// Ids of which nothing was delivered.
    pub(crate) fn undelivered(&self) -> usize {
        self.entries.iter().filter(|entry| !entry.is_delivered).count()
    }

    #[cfg(feature = "sabotage")]
    pub(crate) fn forget_deliveries(&mut self) {
        self.entries.iter_mut().for_each(|entry| entry.is_delivered = false);
    }

    /// Whom a voter's vote speaks for.
    fn vote(&self, voter: Voter, lane: Lane) -> Vote {
        if !self.rules.by_route {
            return Vote { voter, routes: 0, is_referred: false };
        }
        let (named, is_referred) = self.named(voter).map_or((0, false), |n| (n.routes, n.is_referred));
        let own = if lane == Lane::FETCH { 0 } else { 1 << lane.0 };
        Vote { voter, routes: named | own, is_referred }
    }

    fn named(&self, voter: Voter) -> Option<&NamedVoter> {
        self.named.iter().find(|named| named.voter == voter)
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
        self.rules.quorum.is_some_and(|quorum| version.count(self.rules) >= quorum).then_some(place)
    }

    /// The one that the selector prefers, or else the one with more votes, or else the first.
    fn best<'a>(&self, entry: &'a Entry<N>, request: &N::Request) -> Option<&'a Version<N>> {
        let prefer = |one: &Version<N>, other: &Version<N>| {
            let selected = self.selector.as_ref().map(|s| s.compare(request, &one.item, &other.item));
            selected.unwrap_or(Ordering::Equal).then(one.count(self.rules).cmp(&other.count(self.rules)))
        };
        let agreed = |version: &&Version<N>| version.count(self.rules) >= self.rules.agreement;
        let mut versions = entry.versions.iter().filter(agreed);
        let first = versions.next()?;
        Some(versions.fold(first, |best, next| if prefer(next, best).is_gt() { next } else { best }))
    }
}

impl<N: Network> Version<N> {
    /// Peers that gave it, or the routes that these speak for and the peers that speak for themselves. Of
    /// others it has one vote if it has no other.
    fn count(&self, rules: Rules) -> u32 {
        if !rules.by_route {
            return self.votes.len() as u32;
        }
        let routes = self.votes.iter().fold(0, |routes, vote| routes | vote.routes);
        let alone = self.votes.iter().filter(|vote| vote.routes == 0 && !vote.is_referred).count();
        (routes.count_ones() + alone as u32).max(1)
    }
}
