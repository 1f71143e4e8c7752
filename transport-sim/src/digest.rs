//! A running hash of all that happened: two runs that print the same one were the same.

use std::fmt;
use std::hash::Hasher;

use siphasher::sip128::{Hasher128, SipHasher13};

/// 128 bits that stand for everything that happened so far. Not a cryptographic commitment: it tells
/// apart two runs that differ by accident, not by malice.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest(u128);

impl Digest {
    /// The digest that its 32 hexadecimal digits name; `None` if they are not that.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        digits.then(|| u128::from_str_radix(text, 16).ok().map(Self)).flatten()
    }
}

/// All 32 hexadecimal digits.
impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

/// Takes note of what happens, word by word, in order.
#[derive(Clone, Debug)]
pub(crate) struct Recorder {
    hasher: SipHasher13,
}

impl Recorder {
    pub(crate) fn new(seed: u64) -> Self {
        Self { hasher: SipHasher13::new_with_keys(seed, 0x6472_6167_6e65_7431) }
    }

    pub(crate) fn note<const WORDS: usize>(&mut self, words: [u64; WORDS]) {
        // Little-endian on every platform, and one call for all.
        let mut bytes = [[0; 8]; WORDS];
        for (bytes, word) in bytes.iter_mut().zip(words) {
            *bytes = word.to_le_bytes();
        }
        self.hasher.write(bytes.as_flattened());
    }

    pub(crate) fn digest(&self) -> Digest {
        Digest(self.hasher.finish128().as_u128())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_and_their_order_count() {
        let digest = |words: &[[u64; 2]], seed| {
            let mut recorder = Recorder::new(seed);
            words.iter().for_each(|words| recorder.note(*words));
            recorder.digest()
        };
        let first = digest(&[[1, 2], [3, 4]], 7);
        assert_eq!(first, digest(&[[1, 2], [3, 4]], 7));
        for other in
            [digest(&[[3, 4], [1, 2]], 7), digest(&[[1, 2], [3, 5]], 7), digest(&[[1, 2], [3, 4]], 8)]
        {
            assert_ne!(first, other);
        }
        assert_eq!(Digest::parse(&first.to_string()), Some(first));
        assert_eq!((Digest::parse("abc"), Digest::parse(&"x".repeat(32))), (None, None));
    }
}
