//! The work that the comparisons give to everybody alike: peers, and what they answer.

use std::ops::Range;

use dragnet_core::{Item, Key, Network};
use fastrand::Rng;
use libp2p::PeerId;
use libp2p::multihash::Multihash;

/// Candidates that a lookup begins with.
pub(crate) const CANDIDATES: usize = 20;

/// Closer peers in an answer: as many as Kademlia's servers send.
pub(crate) const CLOSER: usize = 20;

/// Contacts that a lookup keeps in flight, Kademlia's alpha.
pub(crate) const FAN_OUT: usize = 3;

/// How many answered peers, the closest of all, end a lookup: Kademlia's k.
pub(crate) const CLOSEST: usize = 20;

/// One answer in so many brings an item.
const ITEM_EVERY: u32 = 4;

/// Items that there are to one question: some are found twice.
const ITEMS: u32 = 8;

/// SHA-256, in the table of multihash codes.
const SHA2_256: u64 = 0x12;

/// The network of the comparisons: peers are libp2p's, and so are their keys.
#[derive(Debug)]
pub(crate) enum Compared {}

impl Network for Compared {
    type Peer = PeerId;
    type Request = u64;
    type Item = Answer;

    fn key(peer: &PeerId) -> Key {
        Key::of(&peer.to_bytes())
    }
}

/// An item: a number, and a value as large as a hash.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Answer {
    pub(crate) number: u64,
    pub(crate) value: [u8; 32],
}

impl Answer {
    pub(crate) const fn new(number: u64) -> Self {
        Self { number, value: [number as u8; 32] }
    }
}

impl Item for Answer {
    type Id = u64;

    fn id(&self) -> u64 {
        self.number
    }
}

/// What a peer says when it is asked.
pub(crate) struct Said {
    pub(crate) item: Option<Answer>,
    pub(crate) closer: Vec<PeerId>,
}

/// Peers and their answers, drawn from a seed.
pub(crate) struct World {
    /// By their place among the keys: the first 64 bits, which tell apart all that there are.
    pool: Vec<(u64, PeerId)>,
    rng: Rng,
}

/// How many bits nearer to the target the peers in an answer are than the one who gives it.
const BITS_PER_HOP: u32 = 3;

impl World {
    pub(crate) fn new(peers: usize, seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let mut pool: Vec<_> = (0..peers).map(|_| peer(&mut rng)).map(|peer| (place(&peer), peer)).collect();
        pool.sort_unstable_by_key(|(place, _)| *place);
        Self { pool, rng }
    }

    pub(crate) fn peers(&self) -> impl Iterator<Item = PeerId> {
        self.pool.iter().map(|(_, peer)| *peer)
    }

    pub(crate) fn size(&self) -> usize {
        self.pool.len()
    }

    /// A question: what is looked for.
    pub(crate) fn question(&mut self) -> u64 {
        self.rng.u64(..)
    }

    /// The first candidates of a lookup, as a routing table would name them.
    pub(crate) fn candidates(&mut self, question: u64) -> Vec<PeerId> {
        self.near(first_bits(&target(question)), BITS_PER_HOP, CANDIDATES)
    }

    /// What a peer says when it is asked.
    pub(crate) fn answer(&mut self, question: u64, peer: &PeerId) -> Said {
        let has_item = self.rng.u32(..ITEM_EVERY) == 0;
        let item = has_item.then(|| Answer::new(self.rng.u32(..ITEMS).into()));
        let target = first_bits(&target(question));
        let shared = (place(peer) ^ target).leading_zeros();
        Said { item, closer: self.near(target, shared + BITS_PER_HOP, CLOSER) }
    }

    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        self.rng.shuffle(items);
    }

    /// So many of the peers that share their first bits with the target; the closest, if there are not so many.
    fn near(&mut self, target: u64, bits: u32, count: usize) -> Vec<PeerId> {
        let mut bits = bits.min(63);
        let mut sharing = self.sharing(target, bits);
        if sharing.len() >= count {
            let all = &self.pool[sharing];
            return (0..count).map(|_| all[self.rng.usize(..all.len())].1).collect();
        }
        while sharing.len() < count && bits > 0 {
            bits -= 1;
            sharing = self.sharing(target, bits);
        }
        let mut closest = self.pool[sharing].to_vec();
        closest.sort_unstable_by_key(|(place, _)| place ^ target);
        closest.iter().take(count).map(|(_, peer)| *peer).collect()
    }

    fn sharing(&self, target: u64, bits: u32) -> Range<usize> {
        let rest = u64::MAX.checked_shr(bits).unwrap_or(0);
        let (first, last) = (target & !rest, target | rest);
        let from = self.pool.partition_point(|(place, _)| *place < first);
        let to = self.pool.partition_point(|(place, _)| *place <= last);
        from..to
    }
}

fn place(peer: &PeerId) -> u64 {
    first_bits(&Compared::key(peer))
}

fn first_bits(key: &Key) -> u64 {
    let first = key.as_bytes().first_chunk().expect("a key has 32 bytes");
    u64::from_be_bytes(*first)
}

/// Where the answers to a question are.
pub(crate) fn target(question: u64) -> Key {
    Key::of(&question.to_le_bytes())
}

fn peer(rng: &mut Rng) -> PeerId {
    let mut digest = [0; 32];
    rng.fill(&mut digest);
    let hash = Multihash::wrap(SHA2_256, &digest).expect("a digest of 32 bytes fits");
    PeerId::from_multihash(hash).expect("SHA-256 is among a peer's hashes")
}
