//! Hashing that a stranger who chooses ids cannot predict, and that every run of one seed repeats.

use core::hash::BuildHasher;

use ahash::{AHasher, RandomState};

/// AHash under keys drawn from the engine's seed.
///
/// It is no cryptographic hash: all that is hashed is masked by keys that nobody else has, before it is
/// multiplied, and no way is known to choose values that collide without them. No hash is ever told. A walk's
/// reply names twenty peers, and with SipHash-1-3 their hashes were a quarter of what it cost.
///
/// Builds for other processors may hash differently; no output depends on a hash.
#[derive(Clone, Copy)]
pub(crate) struct Keyed {
    keys: [u64; 4],
}

impl Keyed {
    pub(crate) const fn new(keys: [u64; 4]) -> Self {
        Self { keys }
    }
}

impl BuildHasher for Keyed {
    type Hasher = AHasher;

    #[inline]
    fn build_hasher(&self) -> AHasher {
        let [a, b, c, d] = self.keys;
        RandomState::with_seeds(a, b, c, d).build_hasher()
    }
}
