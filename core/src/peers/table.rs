//! The table of peers.

use core::hash::BuildHasher;
use core::time::Duration;

use alloc::vec::Vec;

use hashbrown::HashTable;

use super::reputation::Reputation;
use super::response_time::ResponseTime;
use crate::arena::NONE;
use crate::config::ReputationConfig;
use crate::hash::Keyed;
use crate::key::Key;
use crate::network::{Network, Source};
use crate::stats::PeerReport;
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
pub(crate) struct PeerTable<N: Network> {
    entries: Vec<Entry<N>>,
    index: HashTable<u32>,
    idle: Vec<u32>,
    hasher: Keyed,
    config: ReputationConfig,
    peers_max: usize,
    draw: u64,
    sources: Sources,
}

struct Entry<N: Network> {
    peer: N::Peer,
    key: Key,
    /// How many candidates refer to it.
    holders: u32,
    /// Where it stands in `idle`, if it is.
    idle_position: u32,
    in_flight: u32,
    /// The queue of contacts that wait for one of those in flight to end.
    waiting: (u32, u32),
    source: Source,
    response_time: ResponseTime,
    reputation: Reputation,
}

/// Whether all peers met so far belong to one source: then nobody needs to look each one's up.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sources {
    One(Source),
    Many,
}

/// Idle peers looked at before one is forgotten.
const EVICTION_SAMPLE: usize = 8;

impl<N: Network> PeerTable<N> {
    pub(crate) fn new(
        local: N::Peer,
        peers_max: usize,
        config: ReputationConfig,
        hasher: Keyed,
        seed: u64,
    ) -> Self {
        let sources = Sources::One(N::source(&local));
        let mut table = Self {
            entries: Vec::new(),
            index: HashTable::new(),
            idle: Vec::new(),
            hasher,
            config,
            // One more for the local peer, and no more than an index can name.
            peers_max: peers_max.saturating_add(1).min(PeerIndex::MAX as usize),
            draw: seed,
            sources,
        };
        let local = table.hold(Time::ZERO, local);
        debug_assert_eq!(local, Some(PeerIndex::LOCAL));
        table
    }

    /// The peer's index, held until [`release`](Self::release); `None` if the table is full of held
    /// peers.
    pub(crate) fn hold(&mut self, now: Time, peer: N::Peer) -> Option<PeerIndex> {
        let hash = self.hasher.hash_one(&peer);
        let known = self.index.find(hash, |&i| self.entries[i as usize].peer == peer).copied();
        let index = match known {
            Some(index) => index,
            None => self.insert(now, peer, hash)?,
        };
        let entry = &mut self.entries[index as usize];
        entry.holders += 1;
        if entry.holders == 1 {
            self.leave_idle(index);
        }
        Some(PeerIndex(index))
    }

    pub(crate) fn release(&mut self, peer: PeerIndex) {
        let entry = &mut self.entries[peer.0 as usize];
        debug_assert!(entry.holders > 0, "a peer is released once per hold");
        entry.holders -= 1;
        if entry.holders == 0 {
            entry.idle_position = self.idle.len() as u32;
            self.idle.push(peer.0);
        }
    }

    /// The index of a peer that is known already.
    pub(crate) fn find(&self, peer: &N::Peer) -> Option<PeerIndex> {
        let hash = self.hasher.hash_one(peer);
        self.index.find(hash, |&i| self.entries[i as usize].peer == *peer).map(|&i| PeerIndex(i))
    }

    pub(crate) fn peer(&self, peer: PeerIndex) -> &N::Peer {
        &self.entries[peer.0 as usize].peer
    }

    pub(crate) fn key(&self, peer: PeerIndex) -> &Key {
        &self.entries[peer.0 as usize].key
    }

    pub(crate) fn source(&self, peer: PeerIndex) -> Source {
        match self.sources {
            Sources::One(source) => source,
            Sources::Many => self.entries[peer.0 as usize].source,
        }
    }

    /// Peers remembered, the local one not counted.
    pub(crate) fn len(&self) -> usize {
        self.entries.len() - 1
    }

    /// Peers that live queries refer to, the local one not counted.
    pub(crate) fn held(&self) -> usize {
        self.len() - self.idle.len()
    }

    pub(crate) fn reports(&self, now: Time) -> impl Iterator<Item = PeerReport<N::Peer>> + '_ {
        self.entries.iter().skip(1).map(move |entry| {
            let [successes_milli, failures_milli, invalid_milli] =
                entry.reputation.counts_milli(now, &self.config);
            PeerReport {
                peer: entry.peer.clone(),
                score: entry.reputation.score(now, &self.config),
                successes_milli,
                failures_milli,
                invalid_milli,
                response_time: entry.response_time.smoothed(),
                barred_for: entry.reputation.barred_for(now),
            }
        })
    }

    fn insert(&mut self, now: Time, peer: N::Peer, hash: u64) -> Option<u32> {
        let source = N::source(&peer);
        if self.sources != Sources::One(source) {
            self.sources = Sources::Many;
        }
        let entry = Entry {
            key: N::key(&peer),
            peer,
            holders: 0,
            idle_position: NONE,
            in_flight: 0,
            waiting: (NONE, NONE),
            source,
            response_time: ResponseTime::default(),
            reputation: Reputation::default(),
        };
        let index = if self.entries.len() < self.peers_max {
            self.entries.push(entry);
            (self.entries.len() - 1) as u32
        } else {
            let index = self.forget_one(now)?;
            self.entries[index as usize] = entry;
            index
        };
        let Self { index: table, entries, hasher, .. } = self;
        table.insert_unique(hash, index, |&i| hasher.hash_one(&entries[i as usize].peer));
        Some(index)
    }

    /// Makes room: the place of the least useful of a few idle peers.
    fn forget_one(&mut self, now: Time) -> Option<u32> {
        if self.idle.is_empty() {
            return None;
        }
        let mut least: Option<(u64, u32)> = None;
        for _ in 0..EVICTION_SAMPLE {
            let drawn = self.draw_below(self.idle.len());
            let index = self.idle[drawn];
            let evidence = self.entries[index as usize].reputation.evidence(now, &self.config);
            if least.is_none_or(|(least, _)| evidence < least) {
                least = Some((evidence, index));
            }
        }
        let (_, index) = least?;
        self.leave_idle(index);
        let hash = self.hasher.hash_one(&self.entries[index as usize].peer);
        self.index.find_entry(hash, |&i| i == index).expect("a known peer is in the index").remove();
        Some(index)
    }

    fn leave_idle(&mut self, index: u32) {
        let position = core::mem::replace(&mut self.entries[index as usize].idle_position, NONE);
        if position == NONE {
            return;
        }
        self.idle.swap_remove(position as usize);
        if let Some(&moved) = self.idle.get(position as usize) {
            self.entries[moved as usize].idle_position = position;
        }
    }

    /// SplitMix64 (Steele, Lea and Flood, 2014): enough to pick whom to look at.
    fn draw_below(&mut self, below: usize) -> usize {
        self.draw = self.draw.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.draw;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^= mixed >> 31;
        ((u128::from(mixed) * below as u128) >> 64) as usize
    }
}

/// What a peer has done.
impl<N: Network> PeerTable<N> {
    pub(crate) fn record_reply(&mut self, now: Time, peer: PeerIndex, response_time: Duration) {
        self.entries[peer.0 as usize].reputation.success(now, &self.config);
        self.entries[peer.0 as usize].response_time.observe(response_time);
    }

    pub(crate) fn record_failure(&mut self, now: Time, peer: PeerIndex) {
        self.entries[peer.0 as usize].reputation.failure(now, &self.config);
    }

    /// Counts an invalid answer; true if that bars the peer.
    pub(crate) fn record_invalid(&mut self, now: Time, peer: PeerIndex) -> bool {
        self.entries[peer.0 as usize].reputation.invalid(now, &self.config)
    }

    pub(crate) fn bar(&mut self, now: Time, peer: PeerIndex) {
        self.entries[peer.0 as usize].reputation.bar(now, &self.config);
    }

    pub(crate) fn record_given_up(&mut self, peer: PeerIndex, waited: Duration) {
        self.entries[peer.0 as usize].response_time.observe_at_least(waited);
    }

    pub(crate) fn is_barred(&self, now: Time, peer: PeerIndex) -> bool {
        self.entries[peer.0 as usize].reputation.is_barred(now)
    }

    /// Orders the fetch lane, the least first: by score, then by response time to a tenth of a
    /// millisecond, those without one last.
    pub(crate) fn rank(&self, now: Time, peer: PeerIndex) -> u32 {
        const TENTHS_MAX: u32 = (1 << 20) - 1;
        let entry = &self.entries[peer.0 as usize];
        let tenths = entry.response_time.smoothed().map_or(TENTHS_MAX, |time| {
            u32::try_from(time.as_micros() / 100).unwrap_or(TENTHS_MAX).min(TENTHS_MAX)
        });
        u32::from(1000 - entry.reputation.score(now, &self.config)) << 20 | tenths
    }
}

/// What is under way to a peer.
impl<N: Network> PeerTable<N> {
    pub(crate) fn in_flight(&self, peer: PeerIndex) -> usize {
        self.entries[peer.0 as usize].in_flight as usize
    }

    pub(crate) fn in_flight_mut(&mut self, peer: PeerIndex) -> &mut u32 {
        &mut self.entries[peer.0 as usize].in_flight
    }

    /// First and last of the queue of waiting contacts.
    pub(crate) fn waiting_mut(&mut self, peer: PeerIndex) -> &mut (u32, u32) {
        &mut self.entries[peer.0 as usize].waiting
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::{String, ToString};

    use super::*;
    use crate::doc::Library;

    fn table(peers_max: usize) -> PeerTable<Library> {
        PeerTable::new("me".to_string(), peers_max, ReputationConfig::default(), Keyed::new((1, 2)), 3)
    }

    #[test]
    fn a_peer_is_interned_once_and_the_local_one_is_known() {
        let mut table = table(10);
        let ada = table.hold(Time::ZERO, "ada".to_string()).unwrap();
        assert_eq!(table.hold(Time::ZERO, "ada".to_string()), Some(ada));
        assert_eq!(table.hold(Time::ZERO, "me".to_string()), Some(PeerIndex::LOCAL));
        assert_eq!((table.len(), table.held()), (1, 1));
        table.release(ada);
        table.release(ada);
        assert_eq!((table.len(), table.held()), (1, 0));
        assert_eq!(table.find(&"ada".to_string()), Some(ada));
    }

    #[test]
    fn a_full_table_refuses_when_all_are_held_and_forgets_the_idle() {
        let mut table = table(2);
        let [ada, bob] = ["ada", "bob"].map(|name| table.hold(Time::ZERO, name.to_string()).unwrap());
        assert_eq!(table.hold(Time::ZERO, "eve".to_string()), None);
        table.release(bob);
        let eve = table.hold(Time::ZERO, "eve".to_string()).unwrap();
        assert_eq!(eve, bob, "the idle one's place is taken");
        assert_eq!(table.find(&"bob".to_string()), None);
        assert_eq!(table.peer(ada), "ada");
        assert_eq!(table.len(), 2);
    }

    #[test]
    fn a_flood_of_strangers_forgets_neither_the_barred_nor_most_of_the_proven() {
        let mut table = table(1000);
        let hold = |table: &mut PeerTable<Library>, name: String| table.hold(Time::ZERO, name).unwrap();
        for n in 0..100 {
            let proven = hold(&mut table, alloc::format!("proven {n}"));
            table.record_reply(Time::ZERO, proven, Duration::from_millis(1));
            table.release(proven);
        }
        let liar = hold(&mut table, "liar".to_string());
        while !table.record_invalid(Time::ZERO, liar) {}
        table.release(liar);
        for n in 0..20_000 {
            let stranger = hold(&mut table, alloc::format!("stranger {n}"));
            table.release(stranger);
        }
        assert_eq!(table.len(), 1000);
        let liar = table.find(&"liar".to_string()).expect("a barred peer is remembered");
        assert!(table.is_barred(Time::ZERO, liar));
        let proven = (0..100).filter(|n| table.find(&alloc::format!("proven {n}")).is_some()).count();
        assert!(proven >= 95, "{proven} of 100 proven peers are left");
    }
}
