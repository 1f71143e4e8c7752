//! Keys and their XOR distance.

use core::fmt;

use sha2::{Digest, Sha256};

/// A point of the 256-bit key space: the SHA-256 of a preimage (a peer id, a record key, a term).
///
/// Kademlia (Maymounkov and Mazieres, 2002) orders peers by the XOR of their key with a target. The
/// IPFS and libp2p networks hash both peer ids and record keys with SHA-256 before they compare them,
/// and so does [`Key::of`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Key([u8; 32]);

impl Key {
    /// The key of a preimage: its SHA-256.
    pub fn of(preimage: &[u8]) -> Self {
        Self(Sha256::digest(preimage).into())
    }

    /// A key whose 32 bytes are known already.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes, most significant first.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The XOR distance to another key: symmetric, zero only to itself.
    pub fn distance(&self, other: &Key) -> Distance {
        let mut bytes = [0; 32];
        for (byte, (a, b)) in bytes.iter_mut().zip(self.0.iter().zip(&other.0)) {
            *byte = a ^ b;
        }
        Distance(bytes)
    }

    /// The most significant 64 bits of the distance to `other`: orders all but the closest of a
    /// million random peers as the whole distance does, in a quarter of the space.
    #[inline]
    pub(crate) fn distance_prefix(&self, other: &Key) -> u64 {
        prefix(&self.0) ^ prefix(&other.0)
    }
}

fn prefix(bytes: &[u8; 32]) -> u64 {
    let mut first = [0; 8];
    first.copy_from_slice(&bytes[..8]);
    u64::from_be_bytes(first)
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({self})")
    }
}

/// All 64 hexadecimal digits.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The XOR distance between two keys, ordered as a 256-bit number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Distance([u8; 32]);

impl Distance {
    /// The 32 bytes, most significant first.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// How many leading bits the two keys share, 0 to 256: the number of the Kademlia bucket, counted
    /// from the farthest half of the network.
    pub fn leading_zeros(&self) -> u32 {
        let mut bits = 0;
        for byte in self.0 {
            bits += byte.leading_zeros();
            if byte != 0 {
                break;
            }
        }
        bits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_the_sha256_of_its_preimage() {
        assert_eq!(
            alloc::format!("{}", Key::of(b"abc")),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }

    #[test]
    fn the_prefix_orders_as_the_distance_does() {
        let target = Key::of(b"target");
        let mut keys: Vec<Key> = (0u8..100).map(|n| Key::of(&[n])).collect();
        keys.sort_by_key(|key| key.distance(&target));
        assert!(keys.is_sorted_by_key(|key| key.distance_prefix(&target)));
    }

    #[test]
    fn shared_leading_bits_are_counted_over_all_bytes() {
        let zero = Key::from_bytes([0; 32]);
        let mut one = [0; 32];
        one[31] = 1;
        assert_eq!(zero.distance(&zero).leading_zeros(), 256);
        assert_eq!(zero.distance(&Key::from_bytes(one)).leading_zeros(), 255);
        assert_eq!(zero.distance(&Key::from_bytes([0xff; 32])).leading_zeros(), 0);
    }
}
