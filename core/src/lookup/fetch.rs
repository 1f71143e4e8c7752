//! The fetch lane: peers that are known, or were found, to have answers.
//!
//! The one of the best reputation is asked first. It is ranked when it is named, while its reputation
//! is at hand: to rank all that wait whenever a slot is free would read the whole table of peers.

use alloc::vec::Vec;
use core::hint::black_box;

use super::candidate::{Candidate, Next, State};
use super::walk::Offer;
use crate::peers::PeerIndex;

#[derive(Default)]
pub(crate) struct Fetch {
    /// The best first; those of one rank in the order in which they were named.
    places: Vec<Place>,
    /// How many of them have not been contacted.
    new: u32,
    /// How many of them have been chosen, and have not come to an end.
    under_way: u32,
}

#[derive(Clone, Copy)]
struct Place {
    rank: u32,
    candidate: Candidate,
}

impl Fetch {
    pub(crate) fn with_capacity(candidates: usize) -> Self {
        Self { places: Vec::with_capacity(candidates), ..Self::default() }
    }

    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    pub(crate) fn is_candidate(&self, peer: PeerIndex) -> bool {
        self.position(peer).is_some()
    }

    /// Offers a peer of this rank (0 is the best) as a candidate.
    pub(crate) fn offer(
        &mut self,
        peer: PeerIndex,
        rank: impl FnOnce() -> u32,
        candidates_max: usize,
    ) -> Offer {
        if self.position(peer).is_some() {
            return Offer::Known;
        }
        if self.places.len() >= candidates_max {
            return Offer::Full;
        }
        let rank = rank();
        let position = self.places.partition_point(|place| place.rank <= rank);
        self.places.insert(position, Place { rank, candidate: Candidate::new(peer) });
        self.new += 1;
        Offer::Taken
    }

    pub(crate) fn set_state(&mut self, peer: PeerIndex, state: State) {
        let position = self.position(peer).expect("a contacted candidate keeps its place");
        let candidate = &mut self.places[position].candidate;
        let before = candidate.state();
        candidate.set_state(state);
        self.new = self.new + u32::from(state == State::New) - u32::from(before == State::New);
        self.under_way = self.under_way + u32::from(state.is_under_way()) - u32::from(before.is_under_way());
    }

    /// What to do next, if `has_slot` says of a peer that its source has a free slot; without `has_any` none
    /// has one.
    pub(crate) fn next(&self, has_any: bool, has_slot: impl Fn(PeerIndex) -> bool) -> Next {
        if has_any && self.new > 0 {
            let candidates = self.places.iter().map(|place| place.candidate);
            let new = candidates.filter(|candidate| candidate.state() == State::New);
            if let Some(peer) = new.map(Candidate::peer).find(|peer| has_slot(*peer)) {
                return Next::Contact(peer);
            }
        }
        if self.new + self.under_way > 0 { Next::Wait } else { Next::Exhausted }
    }

    pub(crate) fn peers(&self) -> impl Iterator<Item = PeerIndex> + '_ {
        self.places.iter().map(|place| place.candidate.peer())
    }

    /// Loads all candidates at once.
    pub(crate) fn touch(&self) {
        const LINE: usize = 64 / size_of::<Place>();
        self.places.iter().step_by(LINE).for_each(|place| _ = black_box(place.rank));
    }

    fn position(&self, peer: PeerIndex) -> Option<usize> {
        self.places.iter().position(|place| place.candidate.peer() == peer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_ranked_is_asked_first_and_equals_in_the_order_they_were_named() {
        let mut fetch = Fetch::default();
        for (peer, rank) in [(1, 5), (2, 5), (3, 0), (4, 9)] {
            assert_eq!(fetch.offer(PeerIndex(peer), || rank, 4), Offer::Taken);
        }
        assert_eq!(fetch.offer(PeerIndex(3), || 0, 4), Offer::Known);
        assert_eq!(fetch.offer(PeerIndex(5), || 0, 4), Offer::Full);
        let mut order = Vec::new();
        while let Next::Contact(peer) = fetch.next(true, |_| true) {
            order.push(peer.0);
            fetch.set_state(peer, State::Replied);
        }
        assert_eq!(order, [3, 1, 2, 4]);
        assert_eq!(fetch.next(true, |_| true), Next::Exhausted);
    }
}
