//! How long messages take: sticky per pair, plus jitter per message, plus a last mile per peer.

use std::time::Duration;

use crate::draw::{Draw, Purpose, below};
use crate::fixed::{ONE, exponential, quantile};
use crate::matrix::RttMatrix;
use crate::peers::PeerId;

/// Where round-trip times come from.
#[derive(Clone, Debug, Default)]
pub enum LatencyModel {
    /// Drawn for each pair from the round-trip times measured between 222 sites (WonderNetwork), with
    /// jitter as measured there, and a last mile for each peer.
    #[default]
    Internet,
    /// Each peer is at one of the sites of a matrix, drawn from the seed; jitter and last mile as in
    /// `Internet`. Within a site it is 0.5 ms, and a pair that was not measured has one of the measured
    /// times.
    Matrix(RttMatrix),
    /// Every round trip takes exactly this long.
    Fixed(Duration),
}

/// Quantiles of the round-trip time between 222 sites (WonderNetwork), in microseconds, for every 1/32
/// from 0 to 1.
const RTT_US: [u64; 33] = [
    750, 17590, 26050, 33110, 40310, 48200, 57620, 68270, 77250, 86050, 95300, 102930, 110180, 117590,
    125480, 133300, 141550, 149420, 157190, 165570, 174040, 183160, 192800, 203590, 214420, 225860, 239360,
    252700, 266730, 282610, 302540, 333240, 540370,
];

/// Quantiles of a pair's jitter (standard deviation over mean, in millionths), for every 1/10: measured
/// are the median 3.0 %, the 90th percentile 16.5 %, and 66 % for the 99th; between them by the eye.
const JITTER_PPM: [u64; 11] =
    [1_000, 4_000, 8_000, 14_000, 21_000, 30_000, 41_000, 58_000, 90_000, 165_000, 165_000];

/// The same for the last tenth, for every hundredth.
const JITTER_TAIL_PPM: [u64; 11] =
    [165_000, 182_000, 203_000, 229_000, 261_000, 301_000, 352_000, 418_000, 510_000, 660_000, 1_000_000];

/// Quantiles of what a peer's last mile adds to a round trip, in microseconds, for every 1/8. Assumed,
/// not measured: half of the peers in data centres, the others behind cable, DSL or radio.
const LAST_MILE_US: [u64; 9] = [0, 100, 200, 400, 1_000, 6_000, 12_000, 20_000, 45_000];

const WITHIN_SITE_US: u64 = 500;

/// Round-trip times of a network.
#[derive(Debug)]
pub(crate) struct Latency {
    model: LatencyModel,
    pairs: Draw,
    pair_jitter: Draw,
    jitter: Draw,
    last_mile: Draw,
    sites: Draw,
}

impl Latency {
    pub(crate) fn new(model: LatencyModel, seed: u64) -> Self {
        Self {
            model,
            pairs: Draw::new(seed, Purpose::Pairs),
            pair_jitter: Draw::new(seed, Purpose::PairJitter),
            jitter: Draw::new(seed, Purpose::Jitter),
            last_mile: Draw::new(seed, Purpose::LastMile),
            sites: Draw::new(seed, Purpose::Sites),
        }
    }

    /// How long a message takes one way. `message` tells messages between the two apart.
    pub(crate) fn one_way(&self, from: PeerId, to: PeerId, message: u64) -> Duration {
        let pair_us = match &self.model {
            LatencyModel::Fixed(rtt) => return *rtt / 2,
            LatencyModel::Internet => quantile(&RTT_US, self.pair_word(self.pairs, from, to)),
            LatencyModel::Matrix(matrix) => self.matrix_us(matrix, from, to),
        };
        let word = self.jitter.word(from.prefix() ^ to.prefix().rotate_left(32), message);
        let half = Self::jittered(pair_us * 1000 / 2, self.jitter_ppm(from, to), word);
        Duration::from_nanos(half + (self.last_mile_us(from) + self.last_mile_us(to)) * 1000 / 2)
    }

    /// A word that both directions share.
    fn pair_word(&self, draw: Draw, from: PeerId, to: PeerId) -> u64 {
        draw.word(from.prefix().min(to.prefix()), from.prefix().max(to.prefix()))
    }

    fn matrix_us(&self, matrix: &RttMatrix, from: PeerId, to: PeerId) -> u64 {
        let site = |peer: PeerId| below(self.sites.word(peer.prefix(), 0), u64::from(matrix.sites())) as u32;
        let (a, b) = (site(from), site(to));
        if a == b {
            return WITHIN_SITE_US;
        }
        matrix.measured_us(a, b).unwrap_or_else(|| {
            let word = self.pairs.word(u64::from(a.min(b)), u64::from(a.max(b)));
            let measured = matrix.sorted_us();
            u64::from(measured[below(word, measured.len() as u64) as usize])
        })
    }

    /// The standard deviation of a pair's times over their mean, in millionths.
    fn jitter_ppm(&self, from: PeerId, to: PeerId) -> u64 {
        let word = self.pair_word(self.pair_jitter, from, to);
        let tenth = u64::MAX / 10;
        if word < tenth * 9 {
            quantile(&JITTER_PPM, word)
        } else {
            quantile(&JITTER_TAIL_PPM, (word - tenth * 9).saturating_mul(10))
        }
    }

    /// A time whose deviation is exponential, shifted to mean zero: delays have a floor and a tail. The
    /// standard deviation of an exponential is its mean.
    fn jittered(nanos: u64, deviation_ppm: u64, word: u64) -> u64 {
        let spread = u128::from(nanos) * u128::from(deviation_ppm) / 1_000_000;
        let late = (spread * u128::from(exponential(word)) / u128::from(ONE)) as u64;
        nanos - spread as u64 + late
    }

    fn last_mile_us(&self, peer: PeerId) -> u64 {
        quantile(&LAST_MILE_US, self.last_mile.word(peer.prefix(), 0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(n: u64) -> PeerId {
        PeerId::new(crate::draw::mix(n))
    }

    fn quantile_of(times: &mut [Duration], share: f64) -> f64 {
        times.sort_unstable();
        times[(times.len() as f64 * share) as usize].as_secs_f64() * 1000.0
    }

    #[test]
    fn round_trips_have_the_measured_quantiles() {
        let latency = Latency::new(LatencyModel::Internet, 1);
        let trip = |n: u64| {
            let (a, b) = (peer(2 * n), peer(2 * n + 1));
            latency.one_way(a, b, n) + latency.one_way(b, a, n)
                - Duration::from_micros(latency.last_mile_us(a) + latency.last_mile_us(b))
        };
        let mut trips: Vec<Duration> = (0..20_000).map(trip).collect();
        for (share, ms) in [(0.25, 77.25), (0.5, 141.55), (0.75, 214.42)] {
            let found = quantile_of(&mut trips, share);
            assert!((found - ms).abs() < 0.05 * ms, "{share}: {found} ms, measured {ms}");
        }
    }

    #[test]
    fn a_pair_keeps_its_time_and_messages_vary_around_it() {
        let latency = Latency::new(LatencyModel::Internet, 1);
        let (a, b) = (peer(1), peer(2));
        let mean = |from, to| -> f64 {
            (0..2_000).map(|n| latency.one_way(from, to, n).as_secs_f64()).sum::<f64>() / 2_000.0
        };
        assert!((mean(a, b) / mean(b, a) - 1.0).abs() < 0.03);
        assert_eq!(latency.one_way(a, b, 5), latency.one_way(a, b, 5));
        assert_ne!(latency.one_way(a, b, 5), latency.one_way(a, b, 6));
        assert_ne!(latency.one_way(a, b, 5), latency.one_way(b, a, 5));
    }

    #[test]
    fn jitter_has_the_measured_quantiles() {
        let latency = Latency::new(LatencyModel::Internet, 3);
        let mut ppm: Vec<u64> = (0..20_000).map(|n| latency.jitter_ppm(peer(n), peer(n + 50_000))).collect();
        ppm.sort_unstable();
        for (share, expected) in [(0.5, 30_000f64), (0.9, 165_000.0), (0.99, 660_000.0)] {
            let found = ppm[(20_000.0 * share) as usize] as f64;
            assert!((found - expected).abs() < 0.1 * expected, "{share}: {found}");
        }
    }

    #[test]
    fn a_matrix_decides_by_site_and_a_fixed_time_is_exact() {
        let matrix = RttMatrix::parse("0 10\n10 0").unwrap();
        let latency = Latency::new(LatencyModel::Matrix(matrix), 1);
        let bases: Vec<u64> = (1..50)
            .map(|n| match &latency.model {
                LatencyModel::Matrix(matrix) => latency.matrix_us(matrix, peer(0), peer(n)),
                _ => unreachable!("made from a matrix"),
            })
            .collect();
        assert!(bases.iter().all(|us| [500, 10_000].contains(us)));
        assert!(bases.contains(&500) && bases.contains(&10_000));
        let fixed = Latency::new(LatencyModel::Fixed(Duration::from_millis(100)), 1);
        assert_eq!(fixed.one_way(peer(1), peer(2), 3), Duration::from_millis(50));
    }
}
