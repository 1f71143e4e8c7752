//! Keyed randomness: what is drawn depends on who draws it and for what, never on how much was drawn
//! before. One more draw in one place moves nothing elsewhere.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What a draw is for. Two purposes with the same arguments draw independently.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u64)]
pub(crate) enum Purpose {
    /// The ids of the peers.
    PeerIds = 1,
    /// The ids of clients that are not peers.
    ClientIds,
    /// The seeds of the clients' engines.
    EngineSeeds,
    /// Which peers are dead.
    Dead,
    /// Lengths of sessions and of the pauses between them.
    Sessions,
    /// The members of a bucket.
    Buckets,
    /// Which dead peers a bucket still holds.
    Stale,
    /// The round-trip time of a pair.
    Pairs,
    /// How much a pair's round-trip time varies.
    PairJitter,
    /// The jitter of one message.
    Jitter,
    /// A peer's last mile.
    LastMile,
    /// The site of a peer in a loaded matrix.
    Sites,
    /// Whether a message is lost.
    Loss,
    /// Which peers a fault befalls.
    Whom,
    /// When a fault strikes, and how hard.
    Faults,
    /// The ids of invented peers.
    Sybils,
    /// What a scenario asks, of whom and when.
    Workload,
}

/// Draws for one purpose of one run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Draw {
    key: u64,
}

impl Draw {
    pub(crate) const fn new(seed: u64, purpose: Purpose) -> Self {
        Self { key: mix(mix(seed ^ 0x9e37_79b9_7f4a_7c15).wrapping_add(purpose as u64)) }
    }

    /// A uniform word for these arguments.
    pub(crate) const fn word(self, a: u64, b: u64) -> u64 {
        mix(mix(self.key ^ a).wrapping_add(b.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
    }

    /// The draws of a narrower purpose.
    pub(crate) const fn narrow(self, a: u64) -> Self {
        Self { key: mix(self.key ^ a) }
    }
}

/// David Stafford's "Mix13", the finaliser of `SplitMix64`: every input bit flips each output bit with
/// probability near one half.
pub(crate) const fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// A uniform number below `bound`, from a uniform word: Lemire's multiplication, whose bias at our
/// sizes is below 2^-32.
pub(crate) const fn below(word: u64, bound: u64) -> u64 {
    ((word as u128 * bound as u128) >> 64) as u64
}

/// A share between 0 and 1, held as an integer so that no float decides anything.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Share(u32);

/// A share's denominator: a billionth is told apart.
const WHOLE: u32 = 1_000_000_000;

impl Share {
    /// Nothing.
    pub const NONE: Share = Share(0);
    /// Everything.
    pub const ALL: Share = Share(WHOLE);

    /// A share, rounded to a billionth; `None` if it is not between 0 and 1.
    pub fn new(share: f64) -> Option<Self> {
        // Multiplication and rounding are exact in IEEE 754: the same on every platform.
        (0.0..=1.0).contains(&share).then(|| Self((share * f64::from(WHOLE) + 0.5) as u32))
    }

    /// So many billionths; more than a whole is a whole.
    pub const fn billionths(billionths: u64) -> Self {
        Self(if billionths < WHOLE as u64 { billionths as u32 } else { WHOLE })
    }

    /// So many hundredths; more than a whole is a whole.
    pub const fn percent(percent: u32) -> Self {
        Self::billionths(percent as u64 * 10_000_000)
    }

    /// The share in billionths.
    pub const fn as_billionths(self) -> u64 {
        self.0 as u64
    }

    /// The share as a number, for people.
    pub fn as_f64(self) -> f64 {
        f64::from(self.0) / f64::from(WHOLE)
    }

    /// Whether a uniform word falls into the share.
    pub(crate) const fn hit(self, word: u64) -> bool {
        below(word, WHOLE as u64) < self.0 as u64
    }
}

impl Serialize for Share {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_f64(self.as_f64())
    }
}

impl<'de> Deserialize<'de> for Share {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let share = f64::deserialize(from)?;
        Self::new(share)
            .ok_or_else(|| D::Error::custom(format!("expected a share from 0 to 1, found {share}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_uniform_over_every_argument() {
        let draw = Draw::new(1, Purpose::Buckets);
        let mut counts = [[0u32; 16]; 3];
        for n in 0..16_000u64 {
            counts[0][(draw.word(n, 0) >> 60) as usize] += 1;
            counts[1][(draw.word(0, n) >> 60) as usize] += 1;
            counts[2][(draw.narrow(n).word(0, 0) & 15) as usize] += 1;
        }
        // 1 000 expected, standard deviation 31.
        assert!(counts.iter().flatten().all(|n| (850..1150).contains(n)), "{counts:?}");
    }

    #[test]
    fn purposes_and_seeds_draw_apart() {
        let words = [
            Draw::new(1, Purpose::Buckets).word(3, 4),
            Draw::new(2, Purpose::Buckets).word(3, 4),
            Draw::new(1, Purpose::Stale).word(3, 4),
            Draw::new(1, Purpose::Buckets).word(4, 3),
            Draw::new(1, Purpose::Buckets).narrow(3).word(4, 0),
        ];
        for (i, a) in words.iter().enumerate() {
            assert!(words[..i].iter().all(|b| a != b), "{words:?}");
        }
    }

    #[test]
    fn a_share_is_hit_as_often_as_it_says() {
        let share = Share::new(0.25).unwrap();
        let draw = Draw::new(1, Purpose::Dead);
        let hits = (0..10_000).filter(|n| share.hit(draw.word(*n, 0))).count();
        assert!((2_300..2_700).contains(&hits), "{hits}");
        assert!((0..1_000).all(|n| Share::ALL.hit(draw.word(n, 0)) && !Share::NONE.hit(draw.word(n, 0))));
        assert!(Share::ALL.hit(u64::MAX));
        assert_eq!((Share::new(1.01), Share::new(-0.1), Share::new(f64::NAN)), (None, None, None));
        assert_eq!(share.as_f64(), 0.25);
    }
}
