//! A peer that a query may contact, and how far that has come.

use crate::peers::PeerIndex;

/// A peer and its state in one word.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Candidate(u32);

/// What has become of a candidate. It moves forward only, except from `Waiting` back to `New`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum State {
    /// Not contacted yet.
    New,
    /// Chosen, and waiting for its peer to have fewer contacts in flight.
    Waiting,
    /// Contacted, its answer expected.
    InFlight,
    /// Contacted, its answer late.
    Overdue,
    /// Has answered.
    Replied,
    /// Has failed, or was given up.
    Failed,
    /// Was barred when its turn came.
    Skipped,
}

impl State {
    /// Whether the candidate has been chosen, and has not come to its end.
    #[inline]
    pub(crate) const fn is_under_way(self) -> bool {
        matches!(self, Self::Waiting | Self::InFlight | Self::Overdue)
    }
}

const STATE_SHIFT: u32 = 29;

impl Candidate {
    #[inline]
    pub(crate) const fn new(peer: PeerIndex) -> Self {
        assert!(peer.0 <= PeerIndex::MAX, "the peer table keeps indices small");
        Self(peer.0)
    }

    #[inline]
    pub(crate) const fn peer(self) -> PeerIndex {
        PeerIndex(self.0 & PeerIndex::MAX)
    }

    #[inline]
    pub(crate) const fn state(self) -> State {
        match self.0 >> STATE_SHIFT {
            0 => State::New,
            1 => State::Waiting,
            2 => State::InFlight,
            3 => State::Overdue,
            4 => State::Replied,
            5 => State::Failed,
            _ => State::Skipped,
        }
    }

    #[inline]
    pub(crate) const fn set_state(&mut self, state: State) {
        self.0 = (self.0 & PeerIndex::MAX) | ((state as u32) << STATE_SHIFT);
    }
}

/// What a lane would do next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Next {
    /// Contact this peer, whose state is `New`.
    Contact(PeerIndex),
    /// Nothing now: answers are under way, or no slot is free.
    Wait,
    /// The lane is at its end, and reached its aim.
    Converged,
    /// The lane is at its end: nobody is left to ask.
    Exhausted,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_survives_beside_the_largest_index() {
        for state in [
            State::New,
            State::Waiting,
            State::InFlight,
            State::Overdue,
            State::Replied,
            State::Failed,
            State::Skipped,
        ] {
            let mut candidate = Candidate::new(PeerIndex(PeerIndex::MAX));
            candidate.set_state(state);
            assert_eq!((candidate.peer().0, candidate.state()), (PeerIndex::MAX, state));
        }
    }
}
