//! One live query.

use std::cmp::{Ordering, Reverse};
use std::time::Duration;

use dragnet_core::{Found, Query, QueryId, QueryStats, Route, Step, Time};

use super::super::network::{Note, Toy};
use super::lane::{Lane, State};

pub(super) struct Asked {
    pub(super) id: QueryId,
    pub(super) query: Query<Toy>,
    pub(super) started: Time,
    deadline_set: u64,
    pub(super) lanes: Vec<Lane>,
    /// The ids of what was delivered.
    pub(super) delivered: Vec<u8>,
    /// What has been given, where it is held back: each item once, in the order in which it came.
    pub(super) held: Vec<Held>,
    pub(super) first_item: Option<Duration>,
    pub(super) contacted: u32,
    pub(super) replied: u32,
    pub(super) failed: u32,
    pub(super) overdue: u32,
    pub(super) hedged: u32,
    pub(super) invalid: u32,
    pub(super) duplicate: u32,
    pub(super) conflicting: u32,
    pub(super) withheld: u32,
    pub(super) dropped: u32,
    pub(super) barred: u32,
}

/// An item, who gave it first, and all who did.
#[derive(Clone)]
pub(super) struct Held {
    pub(super) item: Note,
    pub(super) from: Option<u8>,
    pub(super) response_time: Option<Duration>,
    pub(super) voters: Vec<Voter>,
}

/// A peer, or a lookup that does not say which.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Voter {
    Peer(u8),
    Route(Step),
}

/// Something to do at a time: the deadline, or the next timeout of a contact.
pub(super) struct Timer {
    pub(super) at: Time,
    is_contact: bool,
    set: u64,
    pub(super) query: QueryId,
    pub(super) contact: Option<(Step, u8)>,
}

impl Timer {
    /// Orders timers as they are done.
    pub(super) fn order(&self) -> (Time, bool, u64) {
        (self.at, self.is_contact, self.set)
    }
}

impl Asked {
    pub(super) fn new(id: QueryId, query: &Query<Toy>, now: Time, sequence: u64) -> Self {
        let routes = query.routes.iter().enumerate().map(|(index, route)| {
            let step = Step::Route(index as u16);
            match route {
                Route::Walk { target, .. } => Lane::new(step, Some(*target)),
                _ => Lane::new(step, None),
            }
        });
        Self {
            id,
            query: query.clone(),
            started: now,
            deadline_set: sequence,
            lanes: routes.chain([Lane::new(Step::Fetch, None)]).collect(),
            delivered: Vec::new(),
            held: Vec::new(),
            first_item: None,
            contacted: 0,
            replied: 0,
            failed: 0,
            overdue: 0,
            hedged: 0,
            invalid: 0,
            duplicate: 0,
            conflicting: 0,
            withheld: 0,
            dropped: 0,
            barred: 0,
        }
    }

    pub(super) fn lane(&mut self, step: Step) -> &mut Lane {
        self.lanes.iter_mut().find(|lane| lane.step == step).expect("a query has the lanes it began with")
    }

    pub(super) fn soft_timeout(&self) -> Duration {
        self.query.config.soft_timeout
    }

    pub(super) fn request_timeout(&self) -> Duration {
        self.query.config.request_timeout
    }

    pub(super) fn timers(&self) -> Vec<Timer> {
        let query = self.id;
        let at = self.started + self.query.config.timeout;
        let mut timers = vec![Timer { at, is_contact: false, set: self.deadline_set, query, contact: None }];
        for lane in &self.lanes {
            for candidate in lane.candidates.iter().filter(|candidate| candidate.state.is_in_flight()) {
                let soft = self.soft_timeout().min(self.request_timeout());
                let is_overdue = candidate.state == State::Overdue;
                let at = candidate.sent + if is_overdue { self.request_timeout() } else { soft };
                let contact = Some((lane.step, candidate.peer));
                timers.push(Timer { at, is_contact: true, set: candidate.timer_set, query, contact });
            }
        }
        timers
    }

    /// Counts an item as delivered.
    pub(super) fn found(&mut self, now: Time, held: &Held, votes: u32) -> Found<Toy> {
        self.delivered.push(held.item.id);
        let elapsed = now.since(self.started);
        self.first_item.get_or_insert(elapsed);
        let Held { item, from, response_time, .. } = *held;
        Found { item, from, response_time, elapsed, votes }
    }

    /// What is left to deliver at the end: of each id the best, those with the most votes first.
    pub(super) fn rest(&self) -> Vec<Held> {
        let mut best: Vec<Held> = Vec::new();
        for held in self.held.iter().filter(|held| !self.delivered.contains(&held.item.id)) {
            match best.iter_mut().find(|other| other.item.id == held.item.id) {
                Some(other) if self.is_better(held, other) => *other = held.clone(),
                Some(_) => {}
                None => best.push(held.clone()),
            }
        }
        best.sort_by_key(|held| Reverse(held.voters.len()));
        best
    }

    fn is_better(&self, one: &Held, other: &Held) -> bool {
        let selector = self.query.selector.as_ref();
        let selected = selector.map_or(Ordering::Equal, |s| s.compare(&7, &one.item, &other.item));
        selected.then(one.voters.len().cmp(&other.voters.len())).is_gt()
    }

    pub(super) fn stats(&self, now: Time) -> QueryStats {
        let mut stats = QueryStats::default();
        stats.contacted = self.contacted;
        stats.replied = self.replied;
        stats.failed = self.failed;
        stats.overdue = self.overdue;
        stats.hedged = self.hedged;
        stats.invalid = self.invalid;
        stats.duplicate = self.duplicate;
        stats.conflicting = self.conflicting;
        stats.withheld = self.withheld;
        stats.dropped = self.dropped;
        stats.barred = self.barred;
        stats.first_item = self.first_item;
        stats.total = now.since(self.started);
        stats
    }
}

/// When it was chosen, its lane, and, if it is a contact, its peer, its state and when it began.
pub(super) type InFlight = (u64, Step, Option<(u8, State, Time)>);

impl Asked {
    /// The contacts and lookups in flight, in the order in which they were chosen.
    pub(super) fn in_flight(&self) -> Vec<InFlight> {
        let mut all = Vec::new();
        for lane in &self.lanes {
            all.extend(lane.lookup.map(|chosen| (chosen, lane.step, None)));
            for candidate in lane.candidates.iter().filter(|candidate| candidate.state.is_in_flight()) {
                let contact = (candidate.peer, candidate.state, candidate.sent);
                all.push((candidate.chosen, lane.step, Some(contact)));
            }
        }
        all.sort_by_key(|(chosen, ..)| *chosen);
        all
    }
}
