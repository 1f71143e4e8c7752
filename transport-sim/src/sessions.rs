//! Which peers are there, and when: dead for good, or coming and going in sessions.

use dragnet_core::Time;

use crate::draw::{Draw, Purpose, Share};
use crate::fixed::{ONE, weibull};
use crate::peers::Peers;

/// How long peers stay. Lengths follow a Weibull distribution, whose shape below one gives many short
/// visits and a few very long ones.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sessions {
    /// The Weibull shape, in thousandths.
    pub shape_milli: u32,
    /// The Weibull scale, in seconds: 63 % of the sessions are shorter.
    pub scale_s: u32,
}

impl Sessions {
    /// As measured in the IPFS network: shape 0.68, scale 14 900 s.
    pub const IPFS: Sessions = Sessions { shape_milli: 680, scale_s: 14_900 };
}

/// Who is alive at which time.
#[derive(Debug)]
pub(crate) enum Liveness {
    /// Nobody comes or goes: one bit a peer.
    Fixed(Vec<u64>),
    /// Everybody does: eight bytes a peer.
    Churn(Churn),
}

#[derive(Debug)]
pub(crate) struct Churn {
    draw: Draw,
    inverse_shape: u64,
    /// Scales of the sessions and of the pauses, in milliseconds; the share of time that a peer is away
    /// is the share of the dead.
    scales_ms: [u64; 2],
    peers: Vec<Phase>,
}

/// A session or a pause of one peer.
#[derive(Clone, Copy, Debug)]
struct Phase {
    /// When it ends, in milliseconds since [`WARM_UP`] before time zero.
    ends_ms: u32,
    /// How many phases went before. Even ones are sessions, odd ones pauses.
    number: u32,
}

/// Simulated life before time zero, in milliseconds: three days, so that who is there at time zero, and
/// for how long yet, is as it would be at any other moment.
const WARM_UP: u64 = 3 * 24 * 3600 * 1000;

impl Liveness {
    /// Peers of which the share `dead` is dead for good, or away at any moment if there are sessions.
    pub(crate) fn new(peers: &Peers, dead: Share, sessions: Option<Sessions>, seed: u64) -> Self {
        match sessions {
            Some(sessions) if dead < Share::ALL => Self::Churn(Churn::new(peers, dead, sessions, seed)),
            _ => {
                let draw = Draw::new(seed, Purpose::Dead);
                let mut alive = vec![0u64; peers.len().div_ceil(64) as usize];
                for (n, id) in peers.ids().iter().enumerate() {
                    if !dead.hit(draw.word(*id, 0)) {
                        alive[n / 64] |= 1 << (n % 64);
                    }
                }
                Self::Fixed(alive)
            }
        }
    }

    /// Whether a peer is there.
    #[inline]
    pub(crate) fn is_alive(&mut self, index: u32, now: Time) -> bool {
        match self {
            Self::Fixed(alive) => alive[index as usize / 64] >> (index % 64) & 1 == 1,
            Self::Churn(churn) => churn.is_alive(index, now),
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Fixed(alive) => size_of_val(alive.as_slice()),
            Self::Churn(churn) => size_of_val(churn.peers.as_slice()),
        }
    }
}

impl Churn {
    fn new(peers: &Peers, dead: Share, sessions: Sessions, seed: u64) -> Self {
        let scale = u64::from(sessions.scale_s) * 1000;
        let (away, here) = (dead.as_billionths(), 1_000_000_000 - dead.as_billionths());
        let pause = (u128::from(scale) * u128::from(away) / u128::from(here)) as u64;
        Self {
            draw: Draw::new(seed, Purpose::Sessions),
            inverse_shape: ONE * 1000 / u64::from(sessions.shape_milli),
            scales_ms: [scale, pause],
            peers: vec![Phase { ends_ms: 0, number: u32::MAX }; peers.len() as usize],
        }
    }

    fn is_alive(&mut self, index: u32, now: Time) -> bool {
        let now_ms = WARM_UP + now.as_nanos() / 1_000_000;
        let mut phase = self.peers[index as usize];
        if u64::from(phase.ends_ms) > now_ms {
            return phase.number.is_multiple_of(2);
        }
        // What is drawn depends on the peer and the phase alone, so it does not matter who asks when.
        while u64::from(phase.ends_ms) <= now_ms && phase.ends_ms < u32::MAX {
            phase.number = phase.number.wrapping_add(1);
            let word = self.draw.word(u64::from(index), u64::from(phase.number));
            let length = weibull(word, self.inverse_shape, self.scales_ms[phase.number as usize % 2]);
            let ends = u64::from(phase.ends_ms).saturating_add(length.max(1));
            phase.ends_ms = u32::try_from(ends).unwrap_or(u32::MAX);
        }
        self.peers[index as usize] = phase;
        phase.number.is_multiple_of(2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alive(life: &mut Liveness, now: Time) -> usize {
        (0..2_000).filter(|n| life.is_alive(*n, now)).count()
    }

    #[test]
    fn without_sessions_the_dead_stay_dead() {
        let peers = Peers::generate(2_000, 1);
        let mut life = Liveness::new(&peers, Share::new(0.25).unwrap(), None, 1);
        let first: Vec<bool> = (0..2_000).map(|n| life.is_alive(n, Time::ZERO)).collect();
        let count = first.iter().filter(|alive| **alive).count();
        assert!((1_440..1_560).contains(&count), "{count}");
        assert!((0..2_000).all(|n| life.is_alive(n, Time::from_millis(1 << 40)) == first[n as usize]));
    }

    #[test]
    fn with_sessions_some_come_and_some_go_and_the_share_holds() {
        let peers = Peers::generate(2_000, 1);
        let mut life = Liveness::new(&peers, Share::new(0.25).unwrap(), Some(Sessions::IPFS), 1);
        let first: Vec<bool> = (0..2_000).map(|n| life.is_alive(n, Time::ZERO)).collect();
        for hours in [0, 1, 24, 240] {
            let count = alive(&mut life, Time::from_millis(hours * 3_600_000));
            assert!((1_380..1_620).contains(&count), "{count} after {hours} h");
        }
        let changed = (0..2_000)
            .filter(|n| life.is_alive(*n, Time::from_millis(240 * 3_600_000)) != first[*n as usize]);
        assert!(changed.count() > 400);
    }

    #[test]
    fn it_does_not_matter_when_one_asks() {
        let peers = Peers::generate(200, 1);
        let churn = || Liveness::new(&peers, Share::new(0.4).unwrap(), Some(Sessions::IPFS), 9);
        let (mut often, mut once) = (churn(), churn());
        let at = |minutes: u64| Time::from_millis(minutes * 60_000);
        for (n, peer) in (0..1_000).flat_map(|n| (0..200).map(move |peer| (n, peer))) {
            often.is_alive(peer, at(n));
        }
        assert!((0..200).all(|peer| often.is_alive(peer, at(1_000)) == once.is_alive(peer, at(1_000))));
    }
}
