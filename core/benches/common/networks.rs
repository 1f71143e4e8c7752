//! Networks that differ in the size of their peers.

use dragnet_core::{Item, Key, Network};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

/// A network whose peers can be numbered.
pub(crate) trait Peers: Network<Request = u64, Item = Answer> {
    const NAME: &'static str;

    fn peer(number: u64) -> Self::Peer;
}

#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Answer(pub(crate) u64);

impl Item for Answer {
    type Id = u64;

    fn id(&self) -> u64 {
        self.0
    }
}

/// Its peers have 80 bytes, as a libp2p `PeerId`.
#[derive(Debug)]
pub(crate) enum Bulky {}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct BulkyPeer {
    code: u64,
    digest: [u64; 8],
    size: u8,
}

impl Peers for Bulky {
    const NAME: &'static str = "peer-80-bytes";

    fn peer(number: u64) -> BulkyPeer {
        let mut random = ChaCha8Rng::seed_from_u64(number);
        let mut digest = [0; 8];
        digest[..4].fill_with(|| random.next_u64());
        BulkyPeer { code: 0x12, digest, size: 32 }
    }
}

impl Network for Bulky {
    type Peer = BulkyPeer;
    type Request = u64;
    type Item = Answer;

    fn key(peer: &BulkyPeer) -> Key {
        let mut bytes = [0; 34];
        for (chunk, word) in bytes[2..].chunks_mut(8).zip(peer.digest) {
            chunk.copy_from_slice(&word.to_le_bytes());
        }
        Key::of(&bytes)
    }
}

/// Its peers are numbers of 8 bytes.
#[derive(Debug)]
pub(crate) enum Slim {}

impl Peers for Slim {
    const NAME: &'static str = "peer-8-bytes";

    fn peer(number: u64) -> u64 {
        number
    }
}

impl Network for Slim {
    type Peer = u64;
    type Request = u64;
    type Item = Answer;

    fn key(peer: &u64) -> Key {
        Key::of(&peer.to_le_bytes())
    }
}
