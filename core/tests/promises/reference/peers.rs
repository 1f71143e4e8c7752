//! What is known of every peer, none of it ever forgotten or decayed.

use std::collections::VecDeque;
use std::time::Duration;

use dragnet_core::{QueryId, ReputationConfig, Step, Time};

use super::super::network::PEERS;

#[derive(Clone)]
pub(super) struct Peers {
    config: ReputationConfig,
    peers: Vec<Peer>,
}

#[derive(Clone, Default)]
pub(super) struct Peer {
    successes: u64,
    failures: u64,
    invalid: u32,
    barred_until: Time,
    response_us: Option<u64>,
    variation_us: u64,
    pub(super) in_flight: usize,
    pub(super) waiting: VecDeque<(QueryId, Step)>,
}

impl Peers {
    pub(super) fn new(config: &ReputationConfig) -> Self {
        let peers = vec![Peer::default(); PEERS.into()];
        Self { config: config.clone(), peers }
    }

    pub(super) fn of(&self, peer: u8) -> &Peer {
        &self.peers[usize::from(peer)]
    }

    pub(super) fn get(&mut self, peer: u8) -> &mut Peer {
        &mut self.peers[usize::from(peer)]
    }

    pub(super) fn bar(&mut self, now: Time, peer: u8) {
        let until = now + self.config.bar_for;
        self.get(peer).barred_until = until;
    }

    pub(super) fn is_barred(&self, now: Time, peer: u8) -> bool {
        now < self.peers[usize::from(peer)].barred_until
    }

    pub(super) fn success(&mut self, peer: u8, response_time: Duration) {
        self.get(peer).successes += 1;
        self.get(peer).observe(response_time);
    }

    pub(super) fn failure(&mut self, peer: u8) {
        self.get(peer).failures += 1;
    }

    pub(super) fn invalid(&mut self, now: Time, peer: u8) {
        self.get(peer).invalid += 1;
        if self.get(peer).invalid >= self.config.invalid_max && !self.is_barred(now, peer) {
            self.bar(now, peer);
        }
    }

    /// It would have taken at least so long.
    pub(super) fn given_up(&mut self, peer: u8, waited: Duration) {
        let peer = self.get(peer);
        if waited.as_micros() > peer.response_us.unwrap_or(0).into() {
            peer.observe(waited);
        }
    }

    /// The best is 0: by score, then by response time to a tenth of a millisecond.
    pub(super) fn badness(&self, peer: u8) -> (u64, u64) {
        let peer = &self.peers[usize::from(peer)];
        let good = peer.successes + 1;
        let bad = peer.failures + 4 * u64::from(peer.invalid) + 1;
        let unknown = (1 << 20) - 1;
        let tenths = peer.response_us.map_or(unknown, |us| (us / 100).min(unknown));
        (1000 - 1000 * good / (good + bad), tenths)
    }
}

impl Peer {
    /// RFC 6298, in whole microseconds.
    fn observe(&mut self, time: Duration) {
        let time_us = u64::try_from(time.as_micros()).unwrap_or(u64::MAX).clamp(1, u32::MAX.into());
        let Some(smoothed_us) = self.response_us else {
            (self.response_us, self.variation_us) = (Some(time_us), time_us / 2);
            return;
        };
        self.variation_us = (self.variation_us * 3 + smoothed_us.abs_diff(time_us)) / 4;
        self.response_us = Some(((smoothed_us * 7 + time_us) / 8).max(1));
    }

    pub(super) fn own_timeout(&self) -> Option<Duration> {
        self.response_us.map(|smoothed_us| Duration::from_micros(smoothed_us + 4 * self.variation_us))
    }

    pub(super) fn mostly_fails(&self) -> bool {
        self.failures > self.successes
    }

    /// In how many quarters of what is typical it is expected to answer.
    pub(super) fn expected_in(&self, typical: Duration) -> u64 {
        let typical_us = typical.as_micros() as u64;
        let us = if self.mostly_fails() { None } else { Some(self.response_us.unwrap_or(typical_us)) };
        us.map_or(u64::MAX, |us| us / (typical_us / 4).max(1))
    }
}
