//! The peers of a simulated network: sorted ids, and what finds one among them.

use std::fmt;
use std::hint::black_box;
use std::ops::Range;
use std::str::FromStr;

use dragnet_core::Key;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::draw::{Draw, Purpose, mix};

/// A simulated peer's identity: the first 64 bits of its key.
///
/// The other 192 bits of the key are derived from these, so an id is its key in an eighth of the space,
/// and among a million peers the distance of the first 64 bits orders as the whole distance does.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId(u64);

impl PeerId {
    /// The peer whose key starts with these 64 bits.
    pub const fn new(prefix: u64) -> Self {
        Self(prefix)
    }

    /// The first 64 bits of the peer's key.
    pub const fn prefix(self) -> u64 {
        self.0
    }

    /// The peer's place in the key space.
    pub const fn key(self) -> Key {
        let mut bytes = [0; 32];
        let (words, _) = bytes.as_chunks_mut::<8>();
        words[0] = self.0.to_be_bytes();
        words[1] = mix(self.0 ^ 1).to_be_bytes();
        words[2] = mix(self.0 ^ 2).to_be_bytes();
        words[3] = mix(self.0 ^ 3).to_be_bytes();
        Key::from_bytes(bytes)
    }
}

/// The 16 hexadecimal digits of the prefix.
impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PeerId({self})")
    }
}

impl FromStr for PeerId {
    type Err = NotAPeerId;

    fn from_str(text: &str) -> Result<Self, NotAPeerId> {
        let digits = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let prefix = digits.then(|| u64::from_str_radix(text, 16).ok()).flatten();
        prefix.map(Self).ok_or_else(|| NotAPeerId(text.chars().take(40).collect()))
    }
}

/// A text that is no peer's id.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("expected a peer id of 16 hexadecimal digits, found {0:?}")]
pub struct NotAPeerId(String);

impl Serialize for PeerId {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PeerId {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

/// The first 64 bits of a key: all that routing needs.
pub(crate) fn prefix(key: &Key) -> u64 {
    let mut first = [0; 8];
    first.copy_from_slice(&key.as_bytes()[..8]);
    u64::from_be_bytes(first)
}

/// All peers, sorted by id. A peer's index is its rank.
#[derive(Debug)]
pub(crate) struct Peers {
    ids: Vec<u64>,
    /// For each value of an id's first bits, the rank of the first peer that has it; one more at the
    /// end. About sixteen peers fall to each, two cache lines of ids: so few of them stay in the cache.
    starts: Vec<u32>,
    shift: u32,
}

impl Peers {
    /// So many peers, their ids drawn from the seed.
    pub(crate) fn generate(count: u32, seed: u64) -> Self {
        let draw = Draw::new(seed, Purpose::PeerIds);
        let mut ids = Vec::with_capacity(count as usize);
        let mut drawn = 0;
        // Two of a million ids are equal once in forty million networks; then one more is drawn.
        while ids.len() < count as usize {
            while ids.len() < count as usize {
                ids.push(draw.word(drawn, 0));
                drawn += 1;
            }
            ids.sort_unstable();
            ids.dedup();
        }
        Self::from_sorted(ids)
    }

    fn from_sorted(ids: Vec<u64>) -> Self {
        let bits = (ids.len() as u64 | 1).ilog2().saturating_sub(4).max(1);
        let shift = 64 - bits;
        let mut starts = vec![0u32; (1 << bits) + 1];
        for id in &ids {
            starts[(id >> shift) as usize + 1] += 1;
        }
        for n in 1..starts.len() {
            starts[n] += starts[n - 1];
        }
        Self { ids, starts, shift }
    }

    pub(crate) fn len(&self) -> u32 {
        self.ids.len() as u32
    }

    pub(crate) fn bytes(&self) -> usize {
        size_of_val(self.ids.as_slice()) + size_of_val(self.starts.as_slice())
    }

    pub(crate) fn id(&self, index: u32) -> PeerId {
        PeerId(self.ids[index as usize])
    }

    pub(crate) fn ids(&self) -> &[u64] {
        &self.ids
    }

    /// The rank of a peer; `None` of one that is not in the network.
    pub(crate) fn index(&self, id: PeerId) -> Option<u32> {
        let at = self.lower_bound(id.0);
        (self.ids.get(at as usize) == Some(&id.0)).then_some(at)
    }

    /// The peers that share at least the first `bits` bits with `prefix`.
    pub(crate) fn range(&self, prefix: u64, bits: u32) -> Range<u32> {
        if bits == 0 {
            return 0..self.len();
        }
        let below = if bits >= 64 { 0 } else { u64::MAX >> bits };
        let last = prefix | below;
        let end = last.checked_add(1).map_or(self.len(), |after| self.lower_bound(after));
        self.lower_bound(prefix & !below)..end
    }

    /// Splits the peers that share the first `bits` bits with `prefix`, [`range`](Self::range) of the same,
    /// into those that share one bit more and the others.
    pub(crate) fn split(&self, range: Range<u32>, prefix: u64, bits: u32) -> [Range<u32>; 2] {
        const NARROW: usize = 64;
        let bit = 1 << (63 - bits);
        let edge = prefix & !(bit - 1) | bit;
        let middle = if range.len() > NARROW {
            self.lower_bound(edge)
        } else {
            let within = &self.ids[range.start as usize..range.end as usize];
            range.start + within.partition_point(|id| *id < edge) as u32
        };
        let [low, high] = [range.start..middle, middle..range.end];
        if prefix & bit == 0 { [low, high] } else { [high, low] }
    }

    /// Loads the ids of these ranks, all at once: the processor waits for loads that do not depend on
    /// each other together.
    pub(crate) fn touch(&self, ranks: impl IntoIterator<Item = u32>) {
        for rank in ranks {
            black_box(self.ids[rank as usize]);
        }
    }

    /// Loads what finds a peer.
    pub(crate) fn touch_index(&self, id: PeerId) {
        let start = self.starts[(id.0 >> self.shift) as usize];
        black_box(self.ids.get(start as usize));
        black_box(self.ids.get(start as usize + 8));
    }

    /// The rank of the first peer whose id is not below.
    fn lower_bound(&self, id: u64) -> u32 {
        let slot = (id >> self.shift) as usize;
        let (start, end) = (self.starts[slot], self.starts[slot + 1]);
        // The edge of a wide range falls between two slots: no need to look at the ids.
        if id << (64 - self.shift) == 0 {
            return start;
        }
        let within = &self.ids[start as usize..end as usize];
        start + within.partition_point(|other| *other < id) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_are_found_by_their_ids_and_nobody_else_is() {
        for count in [1, 2, 3, 1_000] {
            let peers = Peers::generate(count, 7);
            assert_eq!(peers.len(), count);
            assert!(peers.ids.is_sorted());
            for index in 0..count {
                let id = peers.id(index);
                assert_eq!(peers.index(id), Some(index));
                assert_eq!(peers.index(PeerId(id.0 ^ 1)), None);
            }
        }
    }

    #[test]
    fn a_range_holds_exactly_those_that_share_the_bits() {
        let peers = Peers::generate(500, 3);
        for target in [0, u64::MAX, peers.ids[77], 1 << 63, 0x1234_5678_9abc_def0] {
            for bits in 0..=64 {
                let expected: Vec<u32> = (0..500)
                    .filter(|n| bits == 0 || (peers.ids[*n as usize] ^ target).leading_zeros() >= bits)
                    .collect();
                assert_eq!(peers.range(target, bits).collect::<Vec<_>>(), expected, "{target:x} {bits}");
            }
        }
    }

    #[test]
    fn a_split_is_the_range_of_one_bit_more_and_that_of_its_sibling() {
        let peers = Peers::generate(500, 3);
        for target in [0, u64::MAX, peers.ids[77], 1 << 63, 0x1234_5678_9abc_def0] {
            for bits in 0..64 {
                let halves = peers.split(peers.range(target, bits), target, bits);
                let sibling = target ^ (1 << (63 - bits));
                let expected = [peers.range(target, bits + 1), peers.range(sibling, bits + 1)];
                for (half, expected) in halves.into_iter().zip(expected) {
                    // Empty ranges may start anywhere.
                    assert!(half == expected || half.is_empty() && expected.is_empty(), "{target:x} {bits}");
                }
            }
        }
    }

    #[test]
    fn a_key_starts_with_the_id_and_orders_as_it_does() {
        let peers = Peers::generate(200, 5);
        let target = Key::of(b"target");
        let mut by_key: Vec<PeerId> = (0..200).map(|n| peers.id(n)).collect();
        by_key.sort_by_key(|peer| peer.key().distance(&target));
        assert!(by_key.is_sorted_by_key(|peer| peer.0 ^ prefix(&target)));
        assert_eq!(prefix(&by_key[0].key()), by_key[0].0);
    }
}
