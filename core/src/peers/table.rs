//! The table of peers.

mod forgetting;
mod state;

use core::cmp::Reverse;
use core::hash::BuildHasher;
use core::hint::black_box;
use core::time::Duration;

use alloc::vec::Vec;

use smallvec::SmallVec;

use super::index::{PlaceIndex, Tag};
use super::reputation::{Reputation, Rules, STRANGER};
use super::response_time::ResponseTime;
use crate::arena::NONE;
use crate::config::ReputationConfig;
use crate::hash::Keyed;
use crate::key::Key;
use crate::network::{Network, Source};
use crate::pacing::Patience;
use crate::stats::{Least, PeerRanking, PeerReport};
use crate::time::Time;

/// A peer's place in the table: what candidates and contacts hold instead of its identity.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct PeerIndex(pub(crate) u32);

impl PeerIndex {
    /// The local peer is never a candidate. It holds the first place, so that this is one comparison.
    pub(crate) const LOCAL: PeerIndex = PeerIndex(0);
    /// No peer: a lookup is nobody's contact.
    pub(crate) const NOBODY: PeerIndex = PeerIndex(NONE);
    /// Candidates pack a state beside the index.
    pub(crate) const MAX: u32 = (1 << 29) - 1;
}

/// Peers that live queries refer to are held; the others are idle, and may be forgotten when the table
/// is full: the least useful of a few drawn at random first, so that a flood of invented peers drives
/// out itself and not the peers of which something is known.
///
/// Who a peer is and how it stands are kept apart: a reply changes the standing of its sender, one cache
/// line, and each peer that it names is looked up, compared and held in its identity alone.
pub(crate) struct PeerTable<N: Network> {
    identities: Vec<Identity<N>>,
    standings: Vec<Standing>,
    index: PlaceIndex,
    idle: Vec<u32>,
    hasher: Keyed,
    rules: Rules,
    peers_max: usize,
    draw: u64,
    sources: Sources,
}

/// Where a peer of a reply was seen, or another with its tag.
#[derive(Clone, Copy)]
pub(crate) struct Sighting {
    tag: Tag,
    place: u32,
}

#[repr(align(64))]
struct Identity<N: Network> {
    peer: N::Peer,
    key: Key,
    /// How many candidates refer to it.
    holders: u32,
    /// Where it stands in `idle`, if it is.
    idle_position: u32,
}

#[derive(Clone, Copy)]
#[repr(align(64))]
struct Standing {
    in_flight: u32,
    /// The queue of contacts that wait for one of those in flight to end.
    waiting: (u32, u32),
    source: Source,
    /// By which the index finds it. Here, so that to forget a peer its identity need not be read.
    tag: Tag,
    response_time: ResponseTime,
    reputation: Reputation,
}

impl Standing {
    fn new(source: Source, tag: Tag) -> Self {
        Self {
            in_flight: 0,
            waiting: (NONE, NONE),
            source,
            tag,
            response_time: ResponseTime::default(),
            reputation: Reputation::default(),
        }
    }
}

/// Whether all peers met so far belong to one source: then nobody needs to look each one's up.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sources {
    One(Source),
    Many,
}

/// Who has named a peer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Named {
    /// Whoever started the query.
    ByAsker,
    /// A reply: a stranger, who may have made it up.
    ByReply,
}

impl<N: Network> PeerTable<N> {
    pub(crate) fn new(
        local: N::Peer,
        peers_max: usize,
        config: &ReputationConfig,
        hasher: Keyed,
        seed: u64,
    ) -> Self {
        let sources = Sources::One(N::source(&local));
        let mut table = Self {
            identities: Vec::new(),
            standings: Vec::new(),
            index: PlaceIndex::new(),
            idle: Vec::new(),
            hasher,
            rules: Rules::of(config),
            // One more for the local peer, and no more than an index can name.
            peers_max: peers_max.saturating_add(1).min(PeerIndex::MAX as usize),
            draw: seed,
            sources,
        };
        let local = table.intern(Time::ZERO, local);
        debug_assert_eq!(local, Some(PeerIndex::LOCAL));
        table.hold(PeerIndex::LOCAL);
        table
    }

    /// The peer's index; `None` if the table is full of held peers. To be held before the next peer is
    /// interned, or it may be forgotten.
    pub(crate) fn intern(&mut self, now: Time, peer: N::Peer) -> Option<PeerIndex> {
        let tag = self.tag(&peer);
        match self.find_tagged(&peer, tag) {
            Some(known) => Some(known),
            None => self.insert(now, peer, tag),
        }
    }

    /// The same for a peer that has been looked for. Most are known: only a new one is copied.
    #[inline]
    pub(crate) fn intern_seen(&mut self, now: Time, peer: &N::Peer, seen: Sighting) -> Option<PeerIndex> {
        match self.find_seen(peer, seen) {
            Some(known) => Some(known),
            None => self.insert(now, peer.clone(), seen.tag),
        }
    }

    pub(crate) fn tag(&self, peer: &N::Peer) -> Tag {
        Tag::of(self.hasher.hash_one(peer))
    }

    /// Looks for all peers of one reply at once, before each is interned: one after the other each would be
    /// waited for, and in a large table that is most of the work.
    pub(crate) fn look_for(&self, peers: &[N::Peer]) -> SmallVec<[Sighting; 20]> {
        let unseen = |peer| Sighting { tag: self.tag(peer), place: PeerIndex::LOCAL.0 };
        let mut sightings: SmallVec<[Sighting; 20]> = peers.iter().map(unseen).collect();
        self.index.touch(sightings.iter().map(|seen| seen.tag));
        for (seen, peer) in sightings.iter_mut().zip(peers) {
            seen.place = self.index.find(seen.tag, |_| true).unwrap_or(PeerIndex::LOCAL.0);
            let Identity { peer: other, holders, .. } = &self.identities[seen.place as usize];
            black_box((*holders, other == peer));
        }
        sightings
    }

    /// Keeps a peer from being forgotten until it is released as often as it was held.
    pub(crate) fn hold(&mut self, peer: PeerIndex) {
        let identity = &mut self.identities[peer.0 as usize];
        identity.holders += 1;
        if identity.holders == 1 {
            self.leave_idle(peer.0);
        }
    }

    /// Whether the peer may be held. A quarter of the table is kept for those that the asker names, or a
    /// few thousand replies of invented peers would leave other queries without candidates.
    pub(crate) fn may_hold(&self, peer: PeerIndex, named: Named) -> bool {
        let reserve = if named == Named::ByReply { (self.peers_max - 1) / 4 } else { 0 };
        self.held() + reserve < self.peers_max - 1 || self.identities[peer.0 as usize].holders > 0
    }

    pub(crate) fn release(&mut self, peer: PeerIndex) {
        let position = self.idle.len() as u32;
        let identity = &mut self.identities[peer.0 as usize];
        debug_assert!(identity.holders > 0, "a peer is released once per hold");
        identity.holders -= 1;
        if identity.holders == 0 {
            identity.idle_position = position;
            self.idle.push(peer.0);
        }
    }

    /// The index of a peer that is known already, by its tag.
    pub(crate) fn find_tagged(&self, peer: &N::Peer, tag: Tag) -> Option<PeerIndex> {
        self.index.find(tag, |place| self.identities[place as usize].peer == *peer).map(PeerIndex)
    }

    /// The index of a peer that has been looked for, if it is known now.
    #[inline]
    pub(crate) fn find_seen(&self, peer: &N::Peer, Sighting { tag, place }: Sighting) -> Option<PeerIndex> {
        let is_there = self.identities[place as usize].peer == *peer;
        if is_there { Some(PeerIndex(place)) } else { self.find_tagged(peer, tag) }
    }

    pub(crate) fn peer(&self, peer: PeerIndex) -> &N::Peer {
        &self.identities[peer.0 as usize].peer
    }

    pub(crate) fn key(&self, peer: PeerIndex) -> &Key {
        &self.identities[peer.0 as usize].key
    }

    /// The source of every peer, if there is one only.
    pub(crate) const fn only_source(&self) -> Option<Source> {
        match self.sources {
            Sources::One(source) => Some(source),
            Sources::Many => None,
        }
    }

    pub(crate) fn source(&self, peer: PeerIndex) -> Source {
        match self.sources {
            Sources::One(source) => source,
            Sources::Many => self.standing(peer).source,
        }
    }

    /// Peers remembered, the local one not counted.
    pub(crate) fn len(&self) -> usize {
        self.identities.len() - 1
    }

    /// Peers that live queries refer to, the local one not counted.
    pub(crate) fn held(&self) -> usize {
        self.len() - self.idle.len()
    }

    pub(crate) fn reports(&self, now: Time) -> impl Iterator<Item = PeerReport<N::Peer>> + '_ {
        (1..self.identities.len()).map(move |place| self.report(now, place))
    }

    fn report(&self, now: Time, place: usize) -> PeerReport<N::Peer> {
        let Standing { reputation, response_time, .. } = &self.standings[place];
        let [successes_milli, failures_milli, invalid_milli] = reputation.counts_milli(now, &self.rules);
        PeerReport {
            peer: self.identities[place].peer.clone(),
            score: reputation.score(now, &self.rules),
            successes_milli,
            failures_milli,
            invalid_milli,
            response_time: response_time.smoothed(),
            barred_for: reputation.barred_for(now),
        }
    }

    /// The best and the worst, at most so many of each.
    pub(crate) fn ranking(&self, now: Time, max: usize) -> PeerRanking<N::Peer> {
        let (mut best, mut worst) = (Least::new(max), Least::new(max));
        let mut barred = 0;
        for (place, Standing { reputation, .. }) in self.standings.iter().enumerate().skip(1) {
            let is_barred = reputation.is_barred(now);
            barred += usize::from(is_barred);
            // Of most peers nothing is known: they are passed over before anything is computed.
            if reputation.is_blank() && !is_barred {
                continue;
            }
            let (score, known) = reputation.standing(now, &self.rules);
            if is_barred || score < STRANGER {
                worst.offer((!is_barred, score, Reverse(known), place));
            }
            if !is_barred && known > 0 && score >= STRANGER {
                best.offer((Reverse(score), Reverse(known), place));
            }
        }
        let report = |place| self.report(now, place);
        PeerRanking {
            known: self.len(),
            barred,
            best: best.into_sorted().into_iter().map(|(.., place)| report(place)).collect(),
            worst: worst.into_sorted().into_iter().map(|(.., place)| report(place)).collect(),
        }
    }

    /// Loads the peer's lines.
    pub(crate) fn touch(&self, peer: PeerIndex) {
        let Identity { key, holders, .. } = &self.identities[peer.0 as usize];
        black_box((key.as_bytes()[0], *holders, self.standings[peer.0 as usize].in_flight));
    }

    fn standing(&self, peer: PeerIndex) -> &Standing {
        &self.standings[peer.0 as usize]
    }

    fn standing_mut(&mut self, peer: PeerIndex) -> &mut Standing {
        &mut self.standings[peer.0 as usize]
    }

    /// Takes in a peer that is not known, idle.
    fn insert(&mut self, now: Time, peer: N::Peer, tag: Tag) -> Option<PeerIndex> {
        let source = N::source(&peer);
        let place = if self.identities.len() < self.peers_max { None } else { Some(self.forget_one(now)?) };
        let idle_position = self.idle.len() as u32;
        let identity = Identity { key: N::key(&peer), peer, holders: 0, idle_position };
        let place = match place {
            None => {
                self.identities.push(identity);
                self.standings.push(Standing::new(source, tag));
                (self.identities.len() - 1) as u32
            }
            Some(place) => {
                self.identities[place as usize] = identity;
                self.standings[place as usize] = Standing::new(source, tag);
                place
            }
        };
        self.idle.push(place);
        if self.sources != Sources::One(source) {
            self.sources = Sources::Many;
        }
        self.index.insert(tag, place);
        Some(PeerIndex(place))
    }
}

/// What a peer has done.
impl<N: Network> PeerTable<N> {
    pub(crate) fn record_reply(&mut self, now: Time, peer: PeerIndex, response_time: Duration) {
        self.standings[peer.0 as usize].reputation.success(now, &self.rules);
        self.standings[peer.0 as usize].response_time.observe(response_time);
    }

    pub(crate) fn record_failure(&mut self, now: Time, peer: PeerIndex) {
        self.standings[peer.0 as usize].reputation.failure(now, &self.rules);
    }

    /// Counts an invalid answer; true if that bars the peer.
    pub(crate) fn record_invalid(&mut self, now: Time, peer: PeerIndex) -> bool {
        self.standings[peer.0 as usize].reputation.invalid(now, &self.rules)
    }

    pub(crate) fn bar(&mut self, now: Time, peer: PeerIndex) {
        self.standings[peer.0 as usize].reputation.bar(now, &self.rules);
    }

    pub(crate) fn record_given_up(&mut self, peer: PeerIndex, waited: Duration) {
        self.standings[peer.0 as usize].response_time.observe_at_least(waited);
    }

    /// How long the peer is waited for, by what it has done.
    pub(crate) fn patience(&self, peer: PeerIndex) -> Patience {
        let standing = self.standing(peer);
        if standing.reputation.mostly_fails() {
            return Patience::Little;
        }
        standing.response_time.timeout().map_or(Patience::Stranger, Patience::Own)
    }

    /// In how many quarters of what is typical the peer is expected to answer: a stranger in what is
    /// typical, and one that mostly fails last of all.
    pub(crate) fn expected_in(&self, peer: PeerIndex, typical: Duration) -> u64 {
        let standing = self.standing(peer);
        if standing.reputation.mostly_fails() {
            return u64::MAX;
        }
        let quarter_us = (typical.as_micros() as u64 / 4).max(1);
        standing.response_time.smoothed().unwrap_or(typical).as_micros() as u64 / quarter_us
    }

    pub(crate) fn is_barred(&self, now: Time, peer: PeerIndex) -> bool {
        self.standings[peer.0 as usize].reputation.is_barred(now)
    }

    /// Orders the fetch lane, the least first: by score, then by response time to a tenth of a
    /// millisecond, those without one last.
    pub(crate) fn rank(&self, now: Time, peer: PeerIndex) -> u32 {
        const TENTHS_MAX: u32 = (1 << 20) - 1;
        let entry = self.standing(peer);
        let tenths = entry.response_time.smoothed().map_or(TENTHS_MAX, |time| {
            u32::try_from(time.as_micros() / 100).unwrap_or(TENTHS_MAX).min(TENTHS_MAX)
        });
        u32::from(1000 - entry.reputation.score(now, &self.rules)) << 20 | tenths
    }
}

/// What is under way to a peer.
impl<N: Network> PeerTable<N> {
    pub(crate) fn in_flight(&self, peer: PeerIndex) -> usize {
        self.standings[peer.0 as usize].in_flight as usize
    }

    pub(crate) fn in_flight_mut(&mut self, peer: PeerIndex) -> &mut u32 {
        &mut self.standing_mut(peer).in_flight
    }

    /// First and last of the queue of waiting contacts.
    pub(crate) fn waiting_mut(&mut self, peer: PeerIndex) -> &mut (u32, u32) {
        &mut self.standing_mut(peer).waiting
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;
    use crate::doc::Library;

    fn table(peers_max: usize) -> PeerTable<Library> {
        PeerTable::new("me".to_string(), peers_max, &ReputationConfig::default(), Keyed::new([1, 2, 3, 4]), 3)
    }

    fn find(table: &PeerTable<Library>, name: &str) -> Option<PeerIndex> {
        let peer = name.to_string();
        table.find_tagged(&peer, table.tag(&peer))
    }

    fn hold(table: &mut PeerTable<Library>, name: &str) -> Option<PeerIndex> {
        let peer = table.intern(Time::ZERO, name.to_string())?;
        table.hold(peer);
        Some(peer)
    }

    #[test]
    fn a_peer_is_interned_once_and_the_local_one_is_known() {
        let mut table = table(10);
        let ada = hold(&mut table, "ada").unwrap();
        assert_eq!(hold(&mut table, "ada"), Some(ada));
        assert_eq!(hold(&mut table, "me"), Some(PeerIndex::LOCAL));
        assert_eq!((table.len(), table.held()), (1, 1));
        table.release(ada);
        table.release(ada);
        assert_eq!((table.len(), table.held()), (1, 0));
        assert_eq!(find(&table, "ada"), Some(ada));
    }

    #[test]
    fn a_full_table_refuses_when_all_are_held_and_forgets_the_idle() {
        let mut table = table(2);
        let [ada, bob] = ["ada", "bob"].map(|name| hold(&mut table, name).unwrap());
        assert_eq!(hold(&mut table, "eve"), None);
        table.release(bob);
        let eve = hold(&mut table, "eve").unwrap();
        assert_eq!(eve, bob, "the idle one's place is taken");
        assert_eq!(find(&table, "bob"), None);
        assert_eq!(table.peer(ada), "ada");
        assert_eq!(table.len(), 2);
    }

    #[test]
    fn a_flood_of_strangers_forgets_neither_the_barred_nor_most_of_the_proven() {
        let mut table = table(1000);
        for n in 0..100 {
            let proven = hold(&mut table, &alloc::format!("proven {n}")).unwrap();
            table.record_reply(Time::ZERO, proven, Duration::from_millis(1));
            table.release(proven);
        }
        let liar = hold(&mut table, "liar").unwrap();
        while !table.record_invalid(Time::ZERO, liar) {}
        table.release(liar);
        for n in 0..20_000 {
            let stranger = hold(&mut table, &alloc::format!("stranger {n}")).unwrap();
            table.release(stranger);
        }
        assert_eq!(table.len(), 1000);
        let liar = find(&table, "liar").expect("a barred peer is remembered");
        assert!(table.is_barred(Time::ZERO, liar));
        let proven = (0..100).filter(|n| find(&table, &alloc::format!("proven {n}")).is_some()).count();
        assert!(proven >= 95, "{proven} of 100 proven peers are left");
    }
}
