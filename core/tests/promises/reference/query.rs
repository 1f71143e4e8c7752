//! One piece of work, and the queries that it serves.

use std::cmp::{Ordering, Reverse};
use std::collections::BTreeSet;
use std::time::Duration;

use dragnet_core::{Delivery, Found, Query, QueryId, QueryStats, Route, Step, Time};

use super::super::network::{Note, Toy};
use super::lane::{Lane, State};
use super::share::{Accepted, Sharing};

pub(super) struct Asked {
    /// The query that began it.
    pub(super) id: QueryId,
    pub(super) query: Query<Toy>,
    /// Whom it serves.
    pub(super) askers: Vec<Asker>,
    pub(super) sharing: Sharing,
    pub(super) lanes: Vec<Lane>,
    /// What was delivered to all.
    pub(super) accepted: Vec<Accepted>,
    /// What has been given, where it is held back: each item once, in the order in which it came.
    pub(super) held: Vec<Held>,
    /// Which routes have named a candidate of the fetch lane.
    pub(super) named: Vec<(u8, Step)>,
    /// Those that are candidates of the fetch lane because another one named them.
    pub(super) referred: Vec<u8>,
    pub(super) contacted: u32,
    pub(super) replied: u32,
    pub(super) failed: u32,
    pub(super) overdue: u32,
    pub(super) hedged: u32,
    pub(super) invalid: u32,
    pub(super) duplicate: u32,
    pub(super) conflicting: u32,
    pub(super) dropped: u32,
    pub(super) barred: u32,
}

/// One who waits for the answer.
#[derive(Clone)]
pub(super) struct Asker {
    pub(super) id: QueryId,
    pub(super) started: Time,
    pub(super) deadline: Time,
    pub(super) deadline_set: u64,
    pub(super) max_results: usize,
    pub(super) is_refresh: bool,
    pub(super) results: usize,
    pub(super) first_item: Option<Duration>,
    pub(super) withheld: u32,
}

impl Asker {
    pub(super) fn new(id: QueryId, now: Time, timeout: Duration, sequence: u64, max_results: usize) -> Self {
        Self {
            id,
            started: now,
            deadline: now + timeout,
            deadline_set: sequence,
            max_results,
            is_refresh: false,
            results: 0,
            first_item: None,
            withheld: 0,
        }
    }

    /// Counts an item as delivered, which was delivered first at a time.
    pub(super) fn found(&mut self, now: Time, held: &Held, votes: usize, at: Time) -> Found<Toy> {
        self.results += 1;
        let elapsed = now.since(self.started);
        self.first_item.get_or_insert(elapsed);
        let Held { item, from, response_time, .. } = *held;
        Found { item, from, response_time, elapsed, votes: votes as u32, age: now.since(at) }
    }
}

/// An item, who gave it first, and all who did.
#[derive(Clone)]
pub(super) struct Held {
    pub(super) item: Note,
    pub(super) from: Option<u8>,
    pub(super) response_time: Option<Duration>,
    pub(super) voters: Vec<(Voter, Step)>,
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
    pub(super) fn new(id: QueryId, query: &Query<Toy>, sharing: Sharing) -> Self {
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
            askers: Vec::new(),
            sharing,
            lanes: routes.chain([Lane::new(Step::Fetch, None)]).collect(),
            accepted: Vec::new(),
            held: Vec::new(),
            named: Vec::new(),
            referred: Vec::new(),
            contacted: 0,
            replied: 0,
            failed: 0,
            overdue: 0,
            hedged: 0,
            invalid: 0,
            duplicate: 0,
            conflicting: 0,
            dropped: 0,
            barred: 0,
        }
    }

    pub(super) fn lane(&mut self, step: Step) -> &mut Lane {
        self.lanes.iter_mut().find(|lane| lane.step == step).expect("a query has the lanes it began with")
    }

    /// The other walks to the target of this one, if walks may share no peer.
    pub(super) fn rivals(&self, step: Step) -> Vec<Step> {
        let target = self.lanes.iter().find(|lane| lane.step == step).and_then(|lane| lane.target);
        let is_rival = |lane: &&Lane| lane.step != step && lane.target.is_some() && lane.target == target;
        let rivals = self.lanes.iter().filter(is_rival).map(|lane| lane.step);
        rivals.filter(|_| self.query.disjoint.is_some()).collect()
    }

    /// Whether another walk to the target has contacted a peer.
    pub(super) fn is_owned(&self, step: Step, peer: u8) -> bool {
        let rivals = self.rivals(step);
        let candidates = self.lanes.iter().filter(|l| rivals.contains(&l.step)).flat_map(|l| &l.candidates);
        let has_contacted = |state| !matches!(state, State::New | State::Waiting | State::Skipped);
        candidates.filter(|c| c.peer == peer).any(|candidate| has_contacted(candidate.state))
    }

    pub(super) fn timers(&self) -> Vec<Timer> {
        let query = self.id;
        let deadline = |asker: &Asker| {
            let (at, set, query) = (asker.deadline, asker.deadline_set, asker.id);
            Timer { at, is_contact: false, set, query, contact: None }
        };
        let mut timers: Vec<Timer> = self.askers.iter().map(deadline).collect();
        for lane in &self.lanes {
            for candidate in lane.candidates.iter().filter(|candidate| candidate.state.is_in_flight()) {
                let at = candidate.due;
                let contact = Some((lane.step, candidate.peer));
                timers.push(Timer { at, is_contact: true, set: candidate.timer_set, query, contact });
            }
        }
        timers
    }

    /// Whether an item of this id was delivered to all.
    pub(super) fn has_delivered(&self, id: u8) -> bool {
        self.accepted.iter().any(|accepted| accepted.held.item.id == id)
    }

    /// In whose name contacts are made: the first that has not ended and left a refresh behind.
    pub(super) fn asker(&self) -> QueryId {
        self.askers.iter().min_by_key(|asker| asker.is_refresh).expect("work ends with its last query").id
    }

    /// What any of those who wait wants at most.
    pub(super) fn wanted(&self) -> usize {
        self.askers.iter().map(|asker| asker.max_results).max().unwrap_or(0)
    }

    /// What is left to deliver at the end: of each id the best, those with the most votes first.
    pub(super) fn rest(&self) -> Vec<Held> {
        let mut best: Vec<Held> = Vec::new();
        let agreement = self.agreement();
        let left = self.held.iter().filter(|held| !self.has_delivered(held.item.id));
        for held in left.filter(|held| self.votes(held) >= agreement) {
            match best.iter_mut().find(|other| other.item.id == held.item.id) {
                Some(other) if self.is_better(held, other) => *other = held.clone(),
                Some(_) => {}
                None => best.push(held.clone()),
            }
        }
        let first = |held: &Held| self.held.iter().position(|other| other.item.id == held.item.id);
        best.sort_by_key(|held| (Reverse(self.votes(held)), first(held)));
        best
    }

    /// How many ids were given and not delivered.
    pub(super) fn undelivered(&self) -> usize {
        let ids: BTreeSet<u8> = self.held.iter().map(|held| held.item.id).collect();
        ids.iter().filter(|id| !self.has_delivered(**id)).count()
    }

    fn is_better(&self, one: &Held, other: &Held) -> bool {
        let selector = self.query.selector.as_ref();
        let selected = selector.map_or(Ordering::Equal, |s| s.compare(&7, &one.item, &other.item));
        selected.then(self.votes(one).cmp(&self.votes(other))).is_gt()
    }

    /// The peers that gave it; or the routes that did so or named them, and the peers that no route did.
    pub(super) fn votes(&self, held: &Held) -> usize {
        if self.query.disjoint.is_none() {
            return held.voters.len();
        }
        let mut routes = Vec::new();
        let mut alone = 0;
        for (voter, step) in &held.voters {
            let Voter::Peer(peer) = voter else {
                routes.extend(Some(*step).filter(|step| !routes.contains(step)));
                continue;
            };
            let mut of_voter = self.named_by(*peer);
            of_voter.extend(Some(*step).filter(|step| *step != Step::Fetch));
            alone += usize::from(of_voter.is_empty() && !self.referred.contains(peer));
            for route in of_voter {
                if !routes.contains(&route) {
                    routes.push(route);
                }
            }
        }
        (routes.len() + alone).max(1)
    }

    /// The routes that have named a peer, or have named who did.
    pub(super) fn named_by(&self, peer: u8) -> Vec<Step> {
        self.named.iter().filter(|(other, _)| *other == peer).map(|(_, route)| *route).collect()
    }

    /// The candidates of the fetch lane.
    pub(super) fn fetched(&mut self) -> Vec<u8> {
        self.lane(Step::Fetch).candidates.iter().map(|candidate| candidate.peer).collect()
    }

    /// Votes without which nothing is delivered.
    pub(super) fn agreement(&self) -> usize {
        let routes = self.query.routes.len();
        self.query.disjoint.map_or(1, |agreement| agreement.of(routes))
    }

    /// Votes with which an item is delivered; `None`: not before the end.
    pub(super) fn quorum(&self) -> Option<usize> {
        match self.query.config.delivery {
            Delivery::Quorum(votes) => Some(votes.max(self.agreement())),
            Delivery::BestAtEnd => None,
            _ => Some(self.agreement()),
        }
    }

    /// Whether items are compared, and not just delivered.
    pub(super) fn holds(&self) -> bool {
        self.query.config.delivery != Delivery::Immediate || self.agreement() > 1
    }

    pub(super) fn stats(&self, asker: &Asker, now: Time) -> QueryStats {
        let mut stats = QueryStats::default();
        stats.contacted = self.contacted;
        stats.replied = self.replied;
        stats.failed = self.failed;
        stats.overdue = self.overdue;
        stats.hedged = self.hedged;
        stats.invalid = self.invalid;
        stats.duplicate = self.duplicate;
        stats.conflicting = self.conflicting;
        stats.withheld = asker.withheld;
        stats.dropped = self.dropped;
        stats.barred = self.barred;
        stats.first_item = asker.first_item;
        stats.total = now.since(asker.started);
        stats
    }
}

/// When it was chosen, its lane, and, if it is a contact, its peer, its state and when it began; and in
/// whose name.
pub(super) type InFlight = (u64, Step, Option<(u8, State, Time)>, QueryId);

impl Asked {
    /// The contacts and lookups in flight, in the order in which they were chosen.
    pub(super) fn in_flight(&self) -> Vec<InFlight> {
        let mut all = Vec::new();
        for lane in &self.lanes {
            all.extend(lane.lookup.map(|(chosen, name)| (chosen, lane.step, None, name)));
            for candidate in lane.candidates.iter().filter(|candidate| candidate.state.is_in_flight()) {
                let contact = (candidate.peer, candidate.state, candidate.sent);
                all.push((candidate.chosen, lane.step, Some(contact), candidate.name.expect("it was made")));
            }
        }
        all.sort_by_key(|(chosen, ..)| *chosen);
        all
    }
}
