//! One route: an iterative Kademlia lookup.
//!
//! Candidates are kept by their distance to the target (Maymounkov and Mazieres, 2002). The walk
//! contacts the closest that have not been, and has converged when the k closest have answered. A
//! candidate that has failed, or is overdue, no longer counts among the k, so another is asked in its
//! place. With adaptive timeouts the walk has converged only when the overdue ones that are nearer than
//! the k-th have answered too, or have been given up; with fixed ones it does not wait for them, and
//! their answers are still welcome while the query lives.

use alloc::vec::Vec;
use core::hint::black_box;

use super::candidate::{Candidate, Next, State};
use crate::key::Key;
use crate::network::Network;
use crate::peers::{PeerIndex, PeerTable};

pub(crate) struct Walk {
    target: Key,
    /// By distance, the closest first.
    places: Vec<Place>,
}

/// A walk chooses among so many of the nearest candidates: of more, it would soon ask those first that it
/// need not have asked at all.
const NEAREST: usize = 4;

/// A candidate and the first 64 bits of its distance, in twelve bytes.
#[derive(Clone, Copy)]
struct Place {
    /// The lower half first: so both are one load.
    prefix: [u32; 2],
    candidate: Candidate,
}

impl Place {
    const fn prefix(&self) -> u64 {
        (self.prefix[1] as u64) << 32 | self.prefix[0] as u64
    }
}

/// What became of a peer that was offered as a candidate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Offer {
    /// It is one now.
    Taken,
    /// It is one now, in the place of this one, which is farther and had not been contacted.
    TakenFor(PeerIndex),
    /// It was one already.
    Known,
    /// The route is full of closer ones, or of contacted ones.
    Full,
}

impl Walk {
    pub(crate) fn new(target: Key, candidates: usize) -> Self {
        Self { target, places: Vec::with_capacity(candidates) }
    }

    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    pub(crate) const fn target(&self) -> &Key {
        &self.target
    }

    /// What has become of a peer; `None` if it is no candidate.
    pub(crate) fn state<N: Network>(&self, peer: PeerIndex, peers: &PeerTable<N>) -> Option<State> {
        let prefix = peers.key(peer).distance_prefix(&self.target);
        let position = self.find(peer, prefix, peers).ok()?;
        Some(self.places[position].candidate.state())
    }

    /// Takes out a candidate that has not been contacted.
    pub(crate) fn remove<N: Network>(&mut self, peer: PeerIndex, peers: &PeerTable<N>) {
        let prefix = peers.key(peer).distance_prefix(&self.target);
        let position = self.find(peer, prefix, peers).expect("the caller has looked");
        self.places.remove(position);
    }

    /// Offers a peer as a candidate.
    pub(crate) fn offer<N: Network>(
        &mut self,
        peer: PeerIndex,
        peers: &PeerTable<N>,
        candidates_max: usize,
    ) -> Offer {
        let prefix = peers.key(peer).distance_prefix(&self.target);
        let Err(position) = self.find(peer, prefix, peers) else { return Offer::Known };
        let place = Place { prefix: [prefix as u32, (prefix >> 32) as u32], candidate: Candidate::new(peer) };
        if self.places.len() < candidates_max {
            self.places.insert(position, place);
            return Offer::Taken;
        }
        let farthest_new = self.places.iter().rposition(|place| place.candidate.state() == State::New);
        let Some(out) = farthest_new.filter(|out| *out >= position) else { return Offer::Full };
        let other = self.places[out].candidate.peer();
        self.places.copy_within(position..out, position + 1);
        self.places[position] = place;
        Offer::TakenFor(other)
    }

    pub(crate) fn set_state<N: Network>(&mut self, peer: PeerIndex, state: State, peers: &PeerTable<N>) {
        let prefix = peers.key(peer).distance_prefix(&self.target);
        let position = self.find(peer, prefix, peers).expect("a contacted candidate keeps its place");
        self.places[position].candidate.set_state(state);
    }

    /// What to do next, if `has_slot` says of a peer that its source has a free slot; without `has_any` none
    /// has one. `closest` is k. Of the nearest few that are about as near, the one that `expected` says the
    /// least of is contacted.
    ///
    /// The overdue do not keep the walk from asking others in their place. With `waits_for_overdue`, it has
    /// converged when those among the nearest have answered or have been given up, too.
    pub(crate) fn next<O: Ord>(
        &self,
        closest: usize,
        has_any: bool,
        has_slot: impl Fn(PeerIndex) -> bool,
        expected: impl Fn(PeerIndex) -> O,
        waits_for_overdue: bool,
    ) -> Next {
        let mut counted = 0;
        let mut pending = false;
        let mut overdue = false;
        for (position, place) in self.places.iter().enumerate() {
            match place.candidate.state() {
                State::New if has_any && has_slot(place.candidate.peer()) => {
                    let rest = &self.places[position..];
                    let bits = place.prefix().leading_zeros();
                    let near = rest.iter().take(NEAREST.min(closest - counted));
                    let near = near.filter(|other| other.prefix().leading_zeros() == bits);
                    let near = near.map(|other| other.candidate).filter(|other| other.state() == State::New);
                    let near = near.map(Candidate::peer).filter(|peer| has_slot(*peer));
                    let first = near.min_by_key(|peer| expected(*peer));
                    return Next::Contact(first.unwrap_or(place.candidate.peer()));
                }
                // Whatever the others are, nobody can be contacted, and this one is waited for.
                State::New | State::Waiting | State::InFlight if !has_any => return Next::Wait,
                State::New | State::Waiting | State::InFlight => {
                    counted += 1;
                    pending = true;
                }
                State::Replied => counted += 1,
                State::Overdue => overdue = true,
                State::Failed | State::Skipped => {}
            }
            if counted == closest {
                let waits = pending || (overdue && waits_for_overdue);
                return if waits { Next::Wait } else { Next::Converged };
            }
        }
        if pending || overdue { Next::Wait } else { Next::Exhausted }
    }

    pub(crate) fn peers(&self) -> impl Iterator<Item = PeerIndex> + '_ {
        self.places.iter().map(|place| place.candidate.peer())
    }

    /// Loads all candidates at once: a search that halves them would wait for each line that it looks at.
    pub(crate) fn touch(&self) {
        const LINE: usize = 64 / size_of::<Place>();
        self.places.iter().step_by(LINE).for_each(|place| _ = black_box(place.prefix));
    }

    /// Where the candidate is, or would be.
    fn find<N: Network>(&self, peer: PeerIndex, prefix: u64, peers: &PeerTable<N>) -> Result<usize, usize> {
        let mut position = self.places.partition_point(|place| place.prefix() < prefix);
        // Peers that share 64 bits of distance are ordered by the rest of it.
        while let Some(place) = self.places.get(position).filter(|place| place.prefix() == prefix) {
            let other = place.candidate.peer();
            if other == peer {
                return Ok(position);
            }
            if self.distance(peer, peers) < self.distance(other, peers) {
                break;
            }
            position += 1;
        }
        Err(position)
    }

    fn distance<N: Network>(&self, peer: PeerIndex, peers: &PeerTable<N>) -> crate::key::Distance {
        peers.key(peer).distance(&self.target)
    }
}
