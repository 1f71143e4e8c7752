//! The candidates of one lane.

use dragnet_core::{Distance, Key, Network, QueryId, Step, Time};

use super::super::network::Toy;

pub(super) struct Lane {
    pub(super) step: Step,
    /// Where a walk goes.
    pub(super) target: Option<Key>,
    /// A lookup in flight: when it began in the order of things, and in whose name.
    pub(super) lookup: Option<(u64, QueryId)>,
    /// Whether a route at its end has converged.
    pub(super) ended: Option<bool>,
    /// The next to be asked first.
    pub(super) candidates: Vec<Candidate>,
}

pub(super) struct Candidate {
    pub(super) peer: u8,
    rank: Rank,
    pub(super) state: State,
    /// When it was chosen, and its timer last set, in the order of things.
    pub(super) chosen: u64,
    pub(super) timer_set: u64,
    /// When its timer is due.
    pub(super) due: Time,
    pub(super) sent: Time,
    /// In whose name.
    pub(super) name: Option<QueryId>,
    /// Whether the transport has said so.
    pub(super) is_sent: bool,
}

/// What comes first: the near ones in a walk, the best ones in a fetch.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Distance(Distance),
    Badness((u64, u64)),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum State {
    New,
    Waiting,
    InFlight,
    Overdue,
    Replied,
    Failed,
    Skipped,
}

impl Candidate {
    /// How many leading bits it shares with the target, up to 64.
    fn bucket(&self) -> u32 {
        let Rank::Distance(distance) = &self.rank else { return 0 };
        distance.leading_zeros().min(64)
    }
}

impl State {
    pub(super) fn is_in_flight(self) -> bool {
        matches!(self, Self::InFlight | Self::Overdue)
    }
}

pub(super) enum Next {
    Contact(u8),
    Wait,
    End { has_converged: bool },
}

impl Lane {
    pub(super) fn new(step: Step, target: Option<Key>) -> Self {
        Self { step, target, lookup: None, ended: None, candidates: Vec::new() }
    }

    pub(super) fn is_walking(&self) -> bool {
        self.target.is_some() && self.ended.is_none()
    }

    pub(super) fn get(&mut self, peer: u8) -> &mut Candidate {
        let candidate = self.candidates.iter_mut().find(|candidate| candidate.peer == peer);
        candidate.expect("who is contacted is a candidate")
    }

    /// Whether somebody is dropped: the new peer, or a farther one that has not been chosen.
    pub(super) fn offer(&mut self, peer: u8, badness: (u64, u64), candidates_max: usize) -> bool {
        if self.candidates.iter().any(|candidate| candidate.peer == peer) {
            return false;
        }
        let rank = match self.target {
            Some(target) => Rank::Distance(Toy::key(&peer).distance(&target)),
            None => Rank::Badness(badness),
        };
        let place = self.candidates.iter().filter(|candidate| candidate.rank <= rank).count();
        let is_full = self.candidates.len() >= candidates_max;
        if is_full {
            let last_new = self.candidates.iter().rposition(|candidate| candidate.state == State::New);
            let Some(last) = last_new.filter(|last| self.target.is_some() && *last >= place) else {
                return true;
            };
            self.candidates.remove(last);
        }
        let state = State::New;
        let (chosen, timer_set, due, sent, name) = (0, 0, Time::MAX, Time::ZERO, None);
        let candidate = Candidate { peer, rank, state, chosen, timer_set, due, sent, is_sent: false, name };
        self.candidates.insert(place, candidate);
        is_full
    }

    /// How many contacts to a peer's source are expected, and how many overdue.
    pub(super) fn in_flight_to(&self, peer: u8) -> (usize, usize) {
        let source = Toy::source(&peer);
        let count = |state| {
            let of_source = self.candidates.iter().filter(|candidate| Toy::source(&candidate.peer) == source);
            of_source.filter(|candidate| candidate.state == state).count()
        };
        (count(State::InFlight), count(State::Overdue))
    }

    pub(super) fn has_slot(&self, peer: u8, fan_out: usize, hedges_max: usize) -> bool {
        let (expected, overdue) = self.in_flight_to(peer);
        expected < fan_out && expected + overdue < fan_out + hedges_max
    }

    /// Whether the overdue contacts to a source alone keep one more from beginning.
    pub(super) fn is_hedged_out(&self, fan_out: usize, hedges_max: usize) -> bool {
        self.candidates.iter().any(|candidate| {
            let (expected, overdue) = self.in_flight_to(candidate.peer);
            expected < fan_out && expected + overdue >= fan_out + hedges_max
        })
    }

    pub(super) fn next(
        &self,
        closest: usize,
        has_slot: impl Fn(u8) -> bool,
        expected_in: impl Fn(u8) -> u64,
        waits_for_overdue: bool,
    ) -> Next {
        if let Some(has_converged) = self.ended {
            return Next::End { has_converged };
        }
        if self.step != Step::Fetch && self.target.is_none() {
            return Next::Wait;
        }
        // In a walk only the nearest count, of those who have answered or still may.
        let count = if self.target.is_some() { closest } else { usize::MAX };
        let counts = |state| !matches!(state, State::Failed | State::Skipped | State::Overdue);
        let near: Vec<_> = self.candidates.iter().filter(|c| counts(c.state)).take(count).collect();
        let is_new = |candidate: &Candidate| candidate.state == State::New && has_slot(candidate.peer);
        if let Some(first) = near.iter().position(|candidate| is_new(candidate)) {
            if self.target.is_none() {
                return Next::Contact(near[first].peer);
            }
            // Of the nearest four in all, those of the same bucket, the fastest.
            let from_first = self.candidates.iter().skip_while(|other| other.peer != near[first].peer);
            let window = from_first.take((closest - first).min(4));
            let alike = window.filter(|other| other.bucket() == near[first].bucket() && is_new(other));
            let fastest = alike.min_by_key(|other| expected_in(other.peer));
            return Next::Contact(fastest.expect("the first is one of them").peer);
        }
        let is_pending = near.iter().any(|candidate| candidate.state != State::Replied);
        let has_converged = near.len() == count;
        // When the nearest have answered, only one that stands before the last of them is waited for.
        let last = near.last().filter(|_| has_converged).map(|candidate| candidate.peer);
        let before = self.candidates.iter().take_while(|candidate| Some(candidate.peer) != last);
        let is_late = before.into_iter().any(|candidate| candidate.state == State::Overdue)
            && (waits_for_overdue || !has_converged);
        if is_pending || is_late { Next::Wait } else { Next::End { has_converged } }
    }
}
