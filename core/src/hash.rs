//! Hashing that a stranger who chooses ids cannot predict, and that every run of one seed repeats.

use core::hash::BuildHasher;

use siphasher::sip::SipHasher13;

/// SipHash-1-3 (Aumasson and Bernstein, 2012) under a key drawn from the engine's seed.
#[derive(Clone, Copy)]
pub(crate) struct Keyed {
    keys: (u64, u64),
}

impl Keyed {
    pub(crate) const fn new(keys: (u64, u64)) -> Self {
        Self { keys }
    }
}

impl BuildHasher for Keyed {
    type Hasher = SipHasher13;

    fn build_hasher(&self) -> SipHasher13 {
        SipHasher13::new_with_keys(self.keys.0, self.keys.1)
    }
}
