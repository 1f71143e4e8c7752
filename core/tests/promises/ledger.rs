//! What a reader of the inputs and outputs knows: which queries live, which contacts are in flight, and
//! which of them are overdue. It shares nothing with the engine but the definitions.

use std::collections::BTreeMap;
use std::time::Duration;

use dragnet_core::{
    Agreement, CachePolicy, Delivery, Network, Output, Query, QueryConfig, QueryId, RequestId, Source, Step,
    Time,
};

use super::network::Toy;
use super::reference::is_same;
use super::scenario::Setup;
use super::world::{Event, Input};

pub(crate) struct Ledger {
    pub(crate) queries: BTreeMap<QueryId, Asked>,
    pub(crate) contacts: BTreeMap<RequestId, Open>,
    stale_for: Duration,
    /// What the engine's counters said after the last input.
    joined: u64,
    refreshed: u64,
    unknown: u64,
    refreshes: usize,
}

/// A query that was started.
pub(crate) struct Asked {
    pub(crate) query: Query<Toy>,
    pub(crate) deadline: Time,
    pub(crate) is_finished: bool,
    /// The query that began the work that serves it: itself, or one that it has joined.
    pub(crate) work: QueryId,
    /// How many were started before.
    number: usize,
    /// Whether it may share at all.
    may_share: bool,
    /// Whether it was given a kept answer.
    pub(crate) is_served: bool,
    has_refreshed: bool,
    /// When the refresh that it has left behind ends at latest, unless that is known to have ended.
    pub(crate) refresh: Option<Time>,
}

impl Asked {
    pub(crate) fn config(&self) -> &QueryConfig {
        &self.query.config
    }

    /// Whether items may wait for others to confirm them, or for the end.
    pub(crate) fn holds_back(&self) -> bool {
        let agreement = self.query.disjoint.unwrap_or_default();
        self.config().delivery != Delivery::Immediate || agreement != Agreement::One
    }
}

/// A contact or a lookup that has begun and not ended.
#[derive(Clone, Debug)]
pub(crate) struct Open {
    pub(crate) query: QueryId,
    /// The query that began the work that it is part of.
    pub(crate) work: QueryId,
    /// The peer and for which lane; nobody's is a lookup.
    pub(crate) asked: Option<(u8, Step)>,
    pub(crate) sent: Time,
    /// Whether the transport has said so.
    pub(crate) is_sent: bool,
    pub(crate) is_overdue: bool,
}

/// Whether something set for a time is due. The end of time never comes.
pub(crate) fn is_due(at: Time, now: Time) -> bool {
    at != Time::MAX && at <= now
}

/// When an answer is late. With an adaptive timeout only the engine knows, and the reference; but no answer
/// is late before this.
pub(crate) fn soft_timeout(config: &QueryConfig) -> Duration {
    let least = Duration::from_millis(10);
    if config.adaptive_timeout { least.min(config.soft_timeout) } else { config.soft_timeout }
}

impl Ledger {
    pub(crate) fn new(setup: &Setup) -> Self {
        Self {
            queries: BTreeMap::new(),
            contacts: BTreeMap::new(),
            stale_for: setup.config.cache.stale_for,
            joined: 0,
            refreshed: 0,
            unknown: 0,
            refreshes: 0,
        }
    }

    /// Time passes and the input takes effect, as far as the reader can tell before the outputs.
    pub(crate) fn begin(&mut self, event: &Event) {
        let is_stale = self.is_stale(event);
        for open in self.contacts.values_mut() {
            let config = self.queries[&open.query].config();
            let soft = soft_timeout(config);
            let becomes_overdue = soft < config.request_timeout && open.asked.is_some();
            open.is_overdue |= becomes_overdue && is_due(open.sent + soft, event.now);
        }
        if self.refreshes == 0 {
            self.queries.values_mut().for_each(|asked| asked.refresh = None);
        }
        if let (Input::Start(query), Some(Ok(id))) = (&event.input, &event.started) {
            let has_joined = event.view.metrics.queries_joined > self.joined;
            let has_left_refresh = event.view.metrics.cache_refreshes > self.refreshed;
            let refresh_for = query.config.timeout.min(self.stale_for);
            let asked = Asked {
                query: (**query).clone(),
                deadline: event.now + query.config.timeout,
                is_finished: false,
                work: if has_joined { self.begun_last(query) } else { *id },
                number: self.queries.len(),
                may_share: query.config.cache != CachePolicy::Skip && !query.config.timeout.is_zero(),
                is_served: false,
                has_refreshed: has_left_refresh,
                refresh: has_left_refresh.then(|| event.now + refresh_for),
            };
            self.queries.insert(*id, asked);
        }
        (self.joined, self.refreshed) =
            (event.view.metrics.queries_joined, event.view.metrics.cache_refreshes);
        self.unknown = event.view.metrics.inputs_unknown;
        self.refreshes = event.view.live.refreshes;
        if let Some(request) = event.input.request().filter(|_| !is_stale)
            && !matches!(event.input, Input::Progress(..))
        {
            if let Input::Sent(_) = event.input {
                let open = self.contacts.get_mut(&request).expect("it is not stale");
                (open.sent, open.is_sent) = (event.now, true);
            } else {
                self.contacts.remove(&request);
            }
        }
    }

    /// Whether the input is for a contact or lookup that, at the input's time, is not in flight.
    pub(crate) fn is_stale(&self, event: &Event) -> bool {
        let Some(request) = event.input.request() else { return false };
        let Some(open) = self.contacts.get(&request) else { return true };
        let is_for_lookups = matches!(event.input, Input::Progress(..) | Input::Done(..));
        let is_sent = matches!(event.input, Input::Sent(_)) && (open.is_sent || open.asked.is_none());
        is_sent
            || is_for_lookups && open.asked.is_some()
            || self.has_ended(request, open.work, event)
            || is_due(self.given_up_at(open), event.now)
            || self.is_given_up(request, event)
    }

    /// Whether a contact with an adaptive timeout was given up as time passed, before the input took effect.
    fn is_given_up(&self, request: RequestId, event: &Event) -> bool {
        let open = &self.contacts[&request];
        let is_adaptive = self.queries[&open.query].config().adaptive_timeout && open.asked.is_some();
        is_adaptive && self.is_released_before(request, event)
    }

    /// Whether what an input is for was released as time passed, before the input took effect.
    fn is_released_before(&self, request: RequestId, event: &Event) -> bool {
        let is_it =
            |output: &Output<Toy>| matches!(output, Output::Release { request: it } if *it == request);
        // What the input leaves in flight may also be released by what follows from it. Which of both it
        // was only the engine knows, and the reference, which counts with it.
        let may_follow = matches!(event.input, Input::Sent(_) | Input::Progress(..));
        let is_unknown = event.view.metrics.inputs_unknown > self.unknown;
        event.outputs.iter().any(is_it) && (is_unknown || !may_follow)
    }

    /// Whether work has ended by the time of an input, before that took effect.
    fn has_ended(&self, request: RequestId, work: QueryId, event: &Event) -> bool {
        let by_deadline = self.deadline(work).is_none_or(|deadline| is_due(deadline, event.now));
        match self.refresh(work) {
            None => by_deadline,
            Some(until) if is_due(until, event.now) => by_deadline,
            // If a refresh has ended nobody says so, but that all is released with the last who shared it.
            Some(_) if by_deadline && self.members(work).any(|(_, asked)| !asked.is_finished) => {
                self.is_released_before(request, event)
            }
            Some(_) => false,
        }
    }

    /// All whom a piece of work has served.
    pub(crate) fn members(&self, work: QueryId) -> impl Iterator<Item = (&QueryId, &Asked)> {
        self.queries.iter().filter(move |(_, asked)| asked.work == work)
    }

    /// Until when a refresh may live that is served by this work.
    pub(crate) fn refresh(&self, work: QueryId) -> Option<Time> {
        self.members(work).find_map(|(_, asked)| asked.refresh)
    }

    /// Whether this question has ever been asked by a refresh.
    pub(crate) fn has_refreshed(&self, query: &Query<Toy>) -> bool {
        self.queries.values().any(|asked| asked.has_refreshed && is_same(&asked.query, query))
    }

    /// The last deadline of those who wait for this work.
    fn deadline(&self, work: QueryId) -> Option<Time> {
        self.members(work).filter(|(_, asked)| !asked.is_finished).map(|(_, asked)| asked.deadline).max()
    }

    /// Whether work can go on, since somebody waits for it, or a refresh may.
    pub(crate) fn may_go_on(&self, work: QueryId, now: Time) -> bool {
        let last = self.deadline(work).max(self.refresh(work));
        last.is_some_and(|last| !is_due(last, now))
    }

    /// The work on this question that was begun last.
    fn begun_last(&self, query: &Query<Toy>) -> QueryId {
        let own =
            self.queries.iter().filter(|(id, asked)| asked.work == **id && is_same(&asked.query, query));
        let is_work = |asked: &Asked| asked.may_share && (!asked.is_served || asked.has_refreshed);
        let last = own.filter(|(_, asked)| is_work(asked)).max_by_key(|(_, asked)| asked.number);
        *last.expect("what is joined was begun").0
    }

    pub(crate) fn output(&mut self, event: &Event, output: &Output<Toy>) {
        match output {
            Output::Contact { request, query, peer, step, .. } => {
                self.open(event, *request, *query, Some((*peer, *step)));
            }
            Output::Lookup { request, query, .. } => self.open(event, *request, *query, None),
            Output::Release { request } => {
                self.contacts.remove(request);
            }
            Output::Finished { query, outcome } => {
                if let Some(asked) = self.queries.get_mut(query) {
                    asked.is_finished = true;
                    asked.is_served = outcome.cached.is_some();
                }
            }
            _ => {}
        }
    }

    fn open(&mut self, event: &Event, request: RequestId, query: QueryId, asked: Option<(u8, Step)>) {
        if let Some(Asked { work, .. }) = self.queries.get(&query) {
            let (work, sent) = (*work, event.now);
            let open = Open { query, work, asked, sent, is_sent: false, is_overdue: false };
            self.contacts.insert(request, open);
        }
    }

    pub(crate) fn live(&self) -> impl Iterator<Item = (&QueryId, &Asked)> {
        self.queries.iter().filter(|(_, asked)| !asked.is_finished)
    }

    /// When a contact is given up, unless its query ends first.
    pub(crate) fn given_up_at(&self, open: &Open) -> Time {
        let request_timeout = self.queries[&open.query].config().request_timeout;
        if open.asked.is_some() { open.sent + request_timeout } else { Time::MAX }
    }

    /// Whether only the engine knows when a tick would next do something.
    pub(crate) fn has_adaptive(&self) -> bool {
        // A refresh outlives its query.
        let mut open = self.contacts.values().map(|open| &self.queries[&open.query]);
        open.any(|asked| asked.config().adaptive_timeout)
    }

    /// When a tick would next do something.
    pub(crate) fn timeout(&self) -> Option<Time> {
        let deadlines = self.live().map(|(_, asked)| asked.deadline);
        let contacts = self.contacts.values().filter(|open| open.asked.is_some()).map(|open| {
            let soft = self.queries[&open.query].config().soft_timeout;
            let soft = if open.is_overdue { Duration::MAX } else { soft };
            self.given_up_at(open).min(open.sent + soft)
        });
        deadlines.chain(contacts).filter(|at| *at != Time::MAX).min()
    }

    /// How many contacts of a lane are in flight to a source: those expected, and those overdue.
    pub(crate) fn in_flight(&self, work: QueryId, lane: Step, source: Source) -> (usize, usize) {
        let of_lane = |open: &&Open| {
            open.work == work
                && open.asked.is_some_and(|(peer, step)| step == lane && Toy::source(&peer) == source)
        };
        let all: Vec<&Open> = self.contacts.values().filter(of_lane).collect();
        let overdue = all.iter().filter(|open| open.is_overdue).count();
        (all.len() - overdue, overdue)
    }
}
