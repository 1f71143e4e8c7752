//! The peers as a Kademlia network: routing tables that are computed when they are asked, not stored.

use std::ops::Range;

use dragnet_core::{Key, Time};
use serde::{Deserialize, Serialize};

use crate::draw::{Draw, Purpose, Share, below};
use crate::peers::{PeerId, Peers, prefix};
use crate::sessions::Liveness;

/// How many of a bucket's entries are dead.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Staleness {
    /// As measured in the IPFS network: 3.8 % in the first bucket (the farthest half of the network),
    /// rising to 15 % in buckets 9 to 21, where 26 % of all peers found were dead; other shares of dead
    /// peers in proportion.
    #[default]
    Measured,
    /// As many as of all peers: nobody notices that a peer is gone.
    Uniform,
}

/// Kademlia's k: how many entries a bucket has, and how many peers hold a record.
pub const K: usize = 20;

/// A bucket of at most so many peers is drawn without replacement; from a larger one, a peer is seldom
/// drawn twice.
const SMALL: usize = 64;

/// Peers, who of them is alive, and whom each knows.
#[derive(Debug)]
pub(crate) struct Population {
    pub(crate) peers: Peers,
    pub(crate) life: Liveness,
    /// For each bucket, the share of its dead peers that it still holds.
    kept: [Share; 64],
    buckets: Draw,
    stale: Draw,
    /// What one answer is put together in, kept for the next.
    scratch: Vec<u64>,
}

impl Population {
    pub(crate) fn new(peers: Peers, life: Liveness, dead: Share, staleness: Staleness, seed: u64) -> Self {
        Self {
            peers,
            life,
            kept: std::array::from_fn(|bucket| kept(bucket as u64, dead, staleness)),
            buckets: Draw::new(seed, Purpose::Buckets),
            stale: Draw::new(seed, Purpose::Stale),
            scratch: Vec::new(),
        }
    }

    /// The `count` peers closest to `target` in the routing table of `who`, closest first. Whoever asks
    /// need not be a peer itself.
    pub(crate) fn closest(&mut self, who: PeerId, target: &Key, count: usize, now: Time) -> Vec<PeerId> {
        let (who, target) = (who.prefix(), prefix(target));
        let mut found = Found { distances: std::mem::take(&mut self.scratch), target };
        // Bucket b holds the peers that share exactly b leading bits with `who`. The one that the
        // target falls into is closest to it; then come all deeper ones together, which share as much
        // with the target as `who` does; then the shallower ones, each farther than the last.
        let near = (who ^ target).leading_zeros();
        let mut deeper = self.peers.range(who, near);
        if near < 64 {
            let [own, bucket] = self.peers.split(deeper, who, near);
            self.bucket(who, near, bucket, now, &mut found);
            found.sort(0);
            deeper = own;
        }
        if found.len() < count {
            let from = found.len();
            for number in near + 1..64 {
                // Nobody, or only oneself.
                if deeper.len() < 2 {
                    break;
                }
                let [own, bucket] = self.peers.split(deeper, who, number);
                self.bucket(who, number, bucket, now, &mut found);
                deeper = own;
            }
            found.sort(from);
        }
        for number in (0..near.min(64)).rev() {
            if found.len() >= count {
                break;
            }
            let from = found.len();
            let sibling = who ^ (1 << (63 - number));
            self.bucket(who, number, self.peers.range(sibling, number + 1), now, &mut found);
            found.sort(from);
        }
        let closest = found.distances.iter().take(count).map(|distance| PeerId::new(distance ^ target));
        let closest = closest.collect();
        found.distances.clear();
        self.scratch = found.distances;
        closest
    }

    /// The bytes held for the peers.
    pub(crate) fn bytes(&self) -> usize {
        self.peers.bytes() + self.life.bytes()
    }

    /// The `count` peers closest to `target` of all that are alive, closest first.
    pub(crate) fn closest_alive(&mut self, target: &Key, count: usize, now: Time) -> Vec<u32> {
        let target = prefix(target);
        let mut bits = u64::from(self.peers.len()).ilog2();
        loop {
            let range = self.peers.range(target, bits);
            let mut alive: Vec<u32> = range.filter(|index| self.life.is_alive(*index, now)).collect();
            if alive.len() >= count || bits == 0 {
                alive.sort_unstable_by_key(|index| self.peers.id(*index).prefix() ^ target);
                alive.truncate(count);
                return alive;
            }
            bits -= 1;
        }
    }

    /// Adds the entries of one bucket of a peer's routing table, of the peers that it may hold: all that
    /// there are, if they fit, else [`K`] of them, always the same.
    fn bucket(&mut self, who: u64, bucket: u32, range: Range<u32>, now: Time, found: &mut Found) {
        let draw = self.buckets.narrow(who).narrow(u64::from(bucket));
        if range.len() <= SMALL {
            let mut members = [0; SMALL];
            let mut len = 0;
            for index in range {
                if self.holds(who, bucket, index, now) {
                    members[len] = index;
                    len += 1;
                }
            }
            for n in 0..len.min(K) {
                if len > K {
                    members.swap(n, n + below(draw.word(n as u64, 0), (len - n) as u64) as usize);
                }
                found.push(self.peers.id(members[n]));
            }
            return;
        }
        let drawn = |attempt| range.start + below(draw.word(attempt, 0), range.len() as u64) as u32;
        let first: [u32; K] = std::array::from_fn(|attempt| drawn(attempt as u64));
        self.peers.touch(first);
        let from = found.len();
        // In a network where nearly all are dead a bucket may stay unfilled.
        for attempt in 0..16 * K {
            let index = first.get(attempt).copied().unwrap_or_else(|| drawn(attempt as u64));
            let id = self.peers.id(index);
            if found.contains(from, id) || !self.holds(who, bucket, index, now) {
                continue;
            }
            found.push(id);
            if found.len() - from == K {
                break;
            }
        }
    }

    /// Whether a peer of a bucket's range may be in the bucket: the living may, and some of the dead.
    fn holds(&mut self, who: u64, bucket: u32, index: u32, now: Time) -> bool {
        self.life.is_alive(index, now)
            || self.kept[bucket as usize].hit(self.stale.word(who, self.peers.id(index).prefix()))
    }
}

/// The peers that a routing table names, by their distance to a target.
struct Found {
    distances: Vec<u64>,
    target: u64,
}

impl Found {
    fn len(&self) -> usize {
        self.distances.len()
    }

    fn push(&mut self, peer: PeerId) {
        self.distances.push(peer.prefix() ^ self.target);
    }

    fn contains(&self, from: usize, peer: PeerId) -> bool {
        self.distances[from..].contains(&(peer.prefix() ^ self.target))
    }

    fn sort(&mut self, from: usize) {
        self.distances[from..].sort_unstable();
    }
}

/// Which share of its dead peers a bucket holds, so that the dead are as many of its entries as
/// measured. With `d` of all peers dead and `s` of the entries: `kept = s (1 - d) / (d (1 - s))`.
fn kept(bucket: u64, dead: Share, staleness: Staleness) -> Share {
    /// The share of dead entries in the first bucket, in the ninth and later ones, and among all peers
    /// found, in billionths.
    const FIRST: u64 = 38_000_000;
    const LATER: u64 = 150_000_000;
    const ALL: u64 = 260_000_000;
    const WHOLE: u64 = Share::ALL.as_billionths();
    let dead = dead.as_billionths();
    if staleness == Staleness::Uniform || dead == 0 || dead == WHOLE {
        return Share::ALL;
    }
    let measured = FIRST + (LATER - FIRST) * bucket.min(9) / 9;
    let share = (measured * dead / ALL).min(WHOLE - 1);
    let numerator = u128::from(share) * u128::from(WHOLE - dead);
    let denominator = u128::from(dead) * u128::from(WHOLE - share);
    Share::billionths((numerator * u128::from(WHOLE) / denominator) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn population(count: u32, dead: f64, staleness: Staleness) -> Population {
        let peers = Peers::generate(count, 11);
        let dead = Share::new(dead).unwrap();
        let life = Liveness::new(&peers, dead, None, 11);
        Population::new(peers, life, dead, staleness, 11)
    }

    fn target(n: u64) -> Key {
        Key::of(&n.to_be_bytes())
    }

    #[test]
    fn a_table_gives_twenty_distinct_known_peers_closest_first_and_never_oneself() {
        for count in [5u32, 300, 5_000] {
            let mut population = population(count, 0.0, Staleness::Uniform);
            for n in 0..200u64 {
                let who = population.peers.id((n * 7) as u32 % count);
                let found = population.closest(who, &target(n), K, Time::ZERO);
                assert_eq!(found.len(), K.min(count as usize - 1));
                assert!(found.is_sorted_by_key(|peer| peer.prefix() ^ prefix(&target(n))));
                assert!(!found.contains(&who), "{who} knows itself");
                assert!(found.windows(2).all(|pair| pair[0] != pair[1]));
                assert_eq!(found, population.closest(who, &target(n), K, Time::ZERO));
            }
        }
    }

    #[test]
    fn a_peer_knows_its_own_neighbourhood_completely() {
        let mut population = population(3_000, 0.0, Staleness::Uniform);
        for index in (0..3_000).step_by(297) {
            let who = population.peers.id(index);
            let mut all: Vec<PeerId> = (0..3_000).map(|n| population.peers.id(n)).collect();
            all.retain(|peer| *peer != who);
            all.sort_by_key(|peer| peer.prefix() ^ who.prefix());
            let depth = (all[9].prefix() ^ who.prefix()).leading_zeros();
            let near = all.iter().filter(|peer| (peer.prefix() ^ who.prefix()).leading_zeros() >= depth);
            // The subtree of the ten closest fits its buckets.
            let near = near.count().min(K);
            let found = population.closest(who, &who.key(), near, Time::ZERO);
            assert_eq!(found, all[..near], "neighbours of {who}");
        }
    }

    #[test]
    fn the_closest_alive_are_those_of_a_full_sort() {
        let mut population = population(500, 0.3, Staleness::Uniform);
        for n in 0..30 {
            let mut all: Vec<u32> =
                (0..500).filter(|peer| population.life.is_alive(*peer, Time::ZERO)).collect();
            all.sort_by_key(|peer| population.peers.id(*peer).key().distance(&target(n)));
            assert_eq!(population.closest_alive(&target(n), K, Time::ZERO), all[..K]);
        }
    }

    #[test]
    fn buckets_are_as_stale_as_measured() {
        let mut population = population(20_000, 0.26, Staleness::Measured);
        let mut entries = [[0u32; 2]; 10];
        for index in (0..20_000).step_by(20) {
            let who = population.peers.id(index);
            for bucket in [0u32, 4, 9] {
                let mut found = Found { distances: Vec::new(), target: 0 };
                let sibling = who.prefix() ^ (1 << (63 - bucket));
                let range = population.peers.range(sibling, bucket + 1);
                population.bucket(who.prefix(), bucket, range, Time::ZERO, &mut found);
                for peer in found.distances {
                    let index = population.peers.index(PeerId::new(peer)).unwrap();
                    let alive = population.life.is_alive(index, Time::ZERO);
                    entries[bucket as usize][usize::from(alive)] += 1;
                }
            }
        }
        for (bucket, expected) in [(0, 0.038), (4, 0.0878), (9, 0.15)] {
            let [dead, alive] = entries[bucket];
            let share = f64::from(dead) / f64::from(dead + alive);
            assert!((share - expected).abs() < 0.015, "bucket {bucket}: {share}, expected {expected}");
        }
    }
}
