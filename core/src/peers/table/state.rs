//! The table of peers as plain values, and back.

use alloc::vec::Vec;
use core::time::Duration;

use super::super::reputation::Reputation;
use super::super::response_time::ResponseTime;
use super::{Identity, PeerIndex, PeerTable, Standing};
use crate::network::Network;
use crate::state::{PeerState, Restored};
use crate::time::Time;

impl<N: Network> PeerTable<N> {
    /// The peers of which anything is known, in the order of their places.
    pub(crate) fn export(&self, now: Time) -> Vec<PeerState<N::Peer>> {
        let all = self.identities.iter().zip(&self.standings).skip(1);
        let states = all.map(|(Identity { peer, .. }, Standing { reputation, response_time, .. })| {
            let [successes, failures, invalid] = reputation.export(now, &self.rules);
            let (smoothed_us, variation_us) = response_time.export();
            let barred_for = reputation.barred_for(now).unwrap_or(Duration::ZERO);
            let peer = peer.clone();
            PeerState { peer, successes, failures, invalid, smoothed_us, variation_us, barred_for }
        });
        states.filter(is_known).collect()
    }

    /// Takes in what was known of peers `away` before now, as far as there is room.
    pub(crate) fn restore(
        &mut self,
        now: Time,
        states: Vec<PeerState<N::Peer>>,
        away: Duration,
        restored: &mut Restored,
    ) {
        for state in states {
            let barred_for = state.barred_for.saturating_sub(away);
            let counts = [state.successes, state.failures, state.invalid];
            let reputation = Reputation::restored(now, counts, barred_for, away, &self.rules);
            let response_time = ResponseTime::restored(state.smoothed_us, state.variation_us);
            let [successes, failures, invalid] = reputation.export(now, &self.rules);
            if !is_known(&PeerState { successes, failures, invalid, barred_for, ..state.clone() }) {
                restored.peers_forgotten += 1;
                continue;
            }
            let tag = self.tag(&state.peer);
            let has_room = self.identities.len() < self.peers_max;
            if !has_room || self.find_tagged(&state.peer, tag).is_some() {
                restored.peers_dropped += 1;
                continue;
            }
            let place = self.insert(now, state.peer, tag).expect("there is room");
            let standing = self.standing_mut(place);
            (standing.reputation, standing.response_time) = (reputation, response_time);
            restored.peers += 1;
        }
    }

    pub(crate) fn local(&self) -> &N::Peer {
        self.peer(PeerIndex::LOCAL)
    }

    /// The state of the generator that draws whom to forget.
    pub(crate) const fn draw(&self) -> u64 {
        self.draw
    }

    pub(crate) const fn set_draw(&mut self, draw: u64) {
        self.draw = draw;
    }
}

/// Whether anything is known of a peer that a stranger has not.
fn is_known<P>(state: &PeerState<P>) -> bool {
    let PeerState { successes, failures, invalid, smoothed_us, barred_for, .. } = state;
    (*successes, *failures, *invalid, *smoothed_us) != (0, 0, 0, 0) || !barred_for.is_zero()
}
