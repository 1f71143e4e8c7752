//! Whom a reply or an asker names: they become candidates, as far as there is room.

use alloc::vec::Vec;

use super::QueryEngine;
use crate::lookup::{Answers, Lane, Offer, RouteState, Work};
use crate::network::Network;
use crate::peers::{Named, PeerIndex, PeerTable, Sighting};
use crate::stats::Metrics;
use crate::time::Time;

impl<N: Network> QueryEngine<N> {
    /// Makes candidates of those that a reply names; true if the work has ended by it. `by` is the peer whose
    /// reply it is, if it is no lookup's.
    pub(super) fn offer_all(
        &mut self,
        work: u32,
        lane: Lane,
        by: Option<&N::Peer>,
        closer: Vec<N::Peer>,
        providers: Vec<N::Peer>,
    ) -> bool {
        let is_walk = lane != Lane::FETCH
            && matches!(self.works[work].routes[usize::from(lane.0)].route, RouteState::Walk(_));
        if is_walk {
            self.offer_some(work, lane, closer, self.config.caps.closer_per_reply);
        }
        if self.works[work].fetch_providers {
            self.offer_providers(work, lane, by, providers);
        }
        self.give_elected_by_name(work)
    }

    /// Offers to a lane the peers that a reply has named, no more than so many.
    fn offer_some(&mut self, work: u32, lane: Lane, mut peers: Vec<N::Peer>, read_max: usize) {
        let over = peers.len().saturating_sub(read_max);
        self.count_dropped(work, over);
        peers.truncate(read_max);
        self.offer_named(work, lane, &peers, Named::ByReply);
    }

    /// Offers peers to a lane, named by whom.
    pub(super) fn offer_named(&mut self, work: u32, lane: Lane, peers: &[N::Peer], named: Named) {
        let sightings = self.peers.look_for(peers);
        let mut desk = self.desk(work, lane, named);
        for (peer, seen) in peers.iter().zip(sightings) {
            desk.offer(peer, seen);
        }
    }

    /// Offers to the fetch lane the providers that a reply in some lane has named, `by` whom.
    fn offer_providers(&mut self, work: u32, lane: Lane, by: Option<&N::Peer>, mut providers: Vec<N::Peer>) {
        let read_max = self.config.caps.providers_per_reply;
        if !self.works[work].is_disjoint {
            return self.offer_some(work, Lane::FETCH, providers, read_max);
        }
        self.count_dropped(work, providers.len().saturating_sub(read_max));
        providers.truncate(read_max);
        let by = by.filter(|_| lane == Lane::FETCH).map(|by| self.voter(by));
        let sightings = self.peers.look_for(&providers);
        for (peer, seen) in providers.iter().zip(sightings) {
            let voter = self.voter(peer);
            let candidates = self.works[work].fetch.len();
            let is_candidate = self.desk(work, Lane::FETCH, Named::ByReply).offer(peer, seen);
            let is_new = self.works[work].fetch.len() > candidates;
            if let Answers::Held(ballot) = &mut self.works[work].answers
                && is_candidate
            {
                match by {
                    Some(by) => ballot.refer(voter, by, is_new),
                    None => ballot.name(voter, lane),
                }
            }
        }
    }

    /// Where peers that are named are offered to a lane.
    fn desk(&mut self, work: u32, lane: Lane, named: Named) -> Desk<'_, N> {
        let candidates_max = self.config.caps.candidates_max;
        #[cfg(feature = "sabotage")]
        let candidates_max = self.spoil_candidates_max(candidates_max);
        let Self { works, peers, metrics, now, .. } = self;
        Desk { work: &mut works[work], lane, peers, metrics, now: *now, named, candidates_max }
    }
}

/// A lane to which peers are offered, and what that takes.
struct Desk<'a, N: Network> {
    work: &'a mut Work<N>,
    lane: Lane,
    peers: &'a mut PeerTable<N>,
    metrics: &'a mut Metrics,
    now: Time,
    named: Named,
    /// How many candidates the lane may have.
    candidates_max: usize,
}

impl<N: Network> Desk<'_, N> {
    /// Makes a peer a candidate, if there is room and it is not the local one. Whether it is one now.
    #[inline]
    fn offer(&mut self, peer: &N::Peer, seen: Sighting) -> bool {
        let Self { work, peers, .. } = self;
        if self.lane == Lane::FETCH && work.fetch.len() >= self.candidates_max {
            // Not worth a place in the table.
            let known = peers.find_seen(peer, seen);
            let is_candidate = known.is_some_and(|peer| work.fetch.is_candidate(peer));
            if !is_candidate && known != Some(PeerIndex::LOCAL) {
                self.drop_one();
            }
            return is_candidate;
        }
        let Some(peer) = peers.intern_seen(self.now, peer, seen) else {
            self.metrics.peers_refused += 1;
            self.drop_one();
            return false;
        };
        if peer == PeerIndex::LOCAL {
            return false;
        }
        let may_hold = peers.may_hold(peer, self.named);
        let offer = self.place(peer, may_hold);
        match offer {
            Offer::Taken => self.peers.hold(peer),
            Offer::TakenFor(other) => {
                self.peers.hold(peer);
                self.peers.release(other);
            }
            Offer::Known | Offer::Full => {}
        }
        if matches!(offer, Offer::TakenFor(_) | Offer::Full) {
            self.metrics.peers_refused += u64::from(!may_hold);
            self.drop_one();
        }
        offer != Offer::Full
    }

    fn place(&mut self, peer: PeerIndex, may_hold: bool) -> Offer {
        let Self { work, peers, lane, now, .. } = self;
        // Who may hold no more peers may still have a better one in the place of one that it has.
        let room = |len: usize| if may_hold { self.candidates_max } else { len.min(self.candidates_max) };
        if *lane == Lane::FETCH {
            let room = room(work.fetch.len());
            return work.fetch.offer(peer, || peers.rank(*now, peer), room);
        }
        if work.is_disjoint && work.is_owned(*lane, peer, peers) {
            return Offer::Known;
        }
        match &mut work.routes[usize::from(lane.0)].route {
            RouteState::Walk(walk) => walk.offer(peer, peers, room(walk.len())),
            RouteState::Delegated | RouteState::Ended { .. } => Offer::Known,
        }
    }

    fn drop_one(&mut self) {
        self.work.counts.all.dropped += 1;
        self.metrics.dropped += 1;
    }
}
