//! A second engine, written to be read: plain lists, everything scanned. It says what the engine must
//! say, output by output, as long as nothing is forgotten.

mod absorb;
mod follow;
mod lane;
mod pace;
mod peers;
mod query;
mod share;

use std::collections::VecDeque;
use std::time::Duration;

use dragnet_core::{
    CachePolicy, Failure, Found, LookupTotals, Network, Output, Query, QueryConfig, QueryEngine, QueryId,
    QueryStats, Reason, Reply, RequestId, Route, StartError, Step, Time,
};

use self::lane::State;
use self::pace::Conditions;
use self::peers::Peers;
use self::query::{Asked, Asker, Timer};
pub(crate) use self::share::is_same;
use self::share::{Sharing, Shelf};
use super::check::{Verdict, ensure};
use super::network::Toy;
use super::scenario::{Scenario, Setup};
use super::world::{Event, Input, View, run};

/// From here on even the longest half-life has taken a step, which the reference does not know of.
const DECAYED: Time = Time::from_nanos(u64::MAX - u64::MAX % 64);

pub(crate) fn the_engine_says_what_the_reference_says(scenario: &Scenario) -> Verdict {
    let mut reference = Reference::new(&scenario.setup);
    let mut requests: Vec<(RequestId, Place)> = Vec::new();
    for event in run(scenario).events.iter().take_while(|event| event.now < DECAYED) {
        let said = reference.hear(event, &requests);
        let translated = event.outputs.iter().map(|output| translate(output, &mut requests)).collect();
        let heard: Vec<Said> = translated;
        ensure(said == heard, || {
            format!("{event}: the engine said\n{heard:#?}\nand the reference\n{said:#?}")
        })?;
        let view = &event.view;
        let (shown, expected) = ((view.timeout, Shown::of(view)), (reference.timeout(), reference.shown()));
        ensure(shown == expected, || format!("{event}: the engine shows {shown:?}, and not {expected:?}"))?;
    }
    Ok(())
}

/// Whose contact or lookup: the query, its lane, and the peer if it is a contact. Each is made once.
type Place = (QueryId, Step, Option<u8>);

/// An output without the request id, which means nothing.
#[derive(PartialEq, Debug)]
enum Said {
    Begun(Place),
    Released(Option<Place>),
    Found(QueryId, Found<Toy>),
    /// With the age of the kept answer, if it was one, and whether it was stale.
    Finished(QueryId, Reason, usize, QueryStats, Option<(Duration, bool)>),
}

/// What the engine shows of what is shared.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
struct Shown {
    work: usize,
    refreshes: usize,
    entries: u64,
    evicted: u64,
    joined: u64,
    hits: u64,
    stale_hits: u64,
    misses: u64,
    refreshed: u64,
    unknown: u64,
}

impl Shown {
    fn of(View { live, metrics, .. }: &View) -> Self {
        Self {
            work: live.work,
            refreshes: live.refreshes,
            entries: metrics.cache_entries,
            evicted: metrics.cache_evicted,
            joined: metrics.queries_joined,
            hits: metrics.cache_hits,
            stale_hits: metrics.cache_stale_hits,
            misses: metrics.cache_misses,
            refreshed: metrics.cache_refreshes,
            unknown: metrics.inputs_unknown,
        }
    }
}

fn translate(output: &Output<Toy>, requests: &mut Vec<(RequestId, Place)>) -> Said {
    let mut begun = |request: RequestId, place| {
        requests.push((request, place));
        Said::Begun(place)
    };
    match output {
        Output::Contact { request, query, peer, step, .. } => begun(*request, (*query, *step, Some(*peer))),
        Output::Lookup { request, query, route, .. } => begun(*request, (*query, Step::Route(*route), None)),
        Output::Release { request } => Said::Released(place_of(requests, *request)),
        Output::Found { query, found } => Said::Found(*query, found.clone()),
        Output::Finished { query, outcome } => {
            let cached = outcome.cached.map(|cached| (cached.age, cached.is_stale));
            Said::Finished(*query, outcome.reason, outcome.results, outcome.stats, cached)
        }
        other => panic!("the reference knows no {other:?}"),
    }
}

fn place_of(requests: &[(RequestId, Place)], request: RequestId) -> Option<Place> {
    requests.iter().find(|(other, _)| *other == request).map(|(_, place)| *place)
}

/// Of each route: those that the asker names; dealt out among disjoint walks to one target, the closest
/// first.
fn first_candidates(query: &Query<Toy>, local: u8) -> Vec<Vec<u8>> {
    let walk = |route: &Route<Toy>| match route {
        Route::Walk { target, candidates, source } => Some(((*target, *source), candidates.clone())),
        _ => None,
    };
    let walks: Vec<_> = query.routes.iter().map(walk).collect();
    let own = walks.iter().map(|walk| walk.iter().flat_map(|(_, candidates)| candidates.clone()).collect());
    let mut first: Vec<Vec<u8>> = own.collect();
    let courses: Vec<_> = walks.iter().flatten().map(|(course, _)| *course).collect();
    for (n, course) in courses.iter().enumerate().filter(|_| query.disjoint.is_some()) {
        let is_same = |route: &usize| walks[*route].as_ref().is_some_and(|(other, _)| other == course);
        let group: Vec<usize> = (0..walks.len()).filter(is_same).collect();
        if courses[..n].contains(course) || group.len() < 2 {
            continue;
        }
        let mut all: Vec<u8> = Vec::new();
        for peer in group.iter().flat_map(|route| std::mem::take(&mut first[*route])) {
            if peer != local && !all.contains(&peer) {
                all.push(peer);
            }
        }
        all.sort_by_key(|peer| Toy::key(peer).distance(&course.0));
        for (n, peer) in all.into_iter().enumerate() {
            first[group[n % group.len()]].push(peer);
        }
    }
    first
}

struct Reference {
    setup: Setup,
    now: Time,
    /// What is under way.
    asked: Vec<Asked>,
    /// Queries, and the work of each.
    works: Vec<(QueryId, QueryId)>,
    shelf: Shelf,
    shown: Shown,
    peers: Peers,
    conditions: Conditions,
    /// Grows with everything that happens, and puts it in order.
    sequence: u64,
    /// Queries to look at.
    ready: VecDeque<QueryId>,
    /// Peers to look at, since one fewer is in flight to them.
    freed: VecDeque<u8>,
    said: Vec<Said>,
}

/// Inputs.
impl Reference {
    fn new(setup: &Setup) -> Self {
        Self {
            setup: setup.clone(),
            now: Time::ZERO,
            asked: Vec::new(),
            works: Vec::new(),
            shelf: Shelf::new(&setup.config.cache),
            shown: Shown::default(),
            peers: Peers::new(&setup.config.reputation),
            conditions: Conditions::default(),
            sequence: 0,
            ready: VecDeque::new(),
            freed: VecDeque::new(),
            said: Vec::new(),
        }
    }

    fn hear(&mut self, event: &Event, requests: &[(RequestId, Place)]) -> Vec<Said> {
        self.now = self.now.max(event.at);
        self.pass_time();
        let place = event.input.request().and_then(|request| place_of(requests, request));
        let work_of = |query| self.works.iter().find(|(other, _)| *other == query).map(|(_, work)| *work);
        let place = place.and_then(|(query, step, peer)| Some((work_of(query)?, step, peer)));
        let place = place.filter(|place| self.is_open(*place));
        match (&event.input, place) {
            (Input::Start(query), _) => self.start(query, event.started.as_ref().expect("it was started")),
            (Input::Cancel(query), _) => self.cancel(*query, event.cancelled == Some(true)),
            (Input::CancelRefreshes, _) => self.cancel_refreshes(),
            (Input::Bar(peer), _) => self.peers.bar(self.now, *peer),
            (Input::Sent(_), Some((query, step, Some(peer)))) => self.sent(query, step, peer),
            (Input::Reply(_, reply), Some((query, step, Some(peer)))) => self.reply(query, step, peer, reply),
            (Input::Reply(_, reply), Some((query, step, None))) => {
                self.end_lookup(query, step, true, LookupTotals { contacted: 1, replied: 1, failed: 0 });
                self.progress(query, step, None, reply);
            }
            (Input::Failure(_, failure), Some((query, step, Some(peer)))) => {
                self.fail(query, step, peer, *failure);
            }
            (Input::Failure(..), Some((query, step, None))) => {
                self.end_lookup(query, step, false, LookupTotals { contacted: 1, replied: 0, failed: 1 });
            }
            (Input::Progress(_, from, reply), Some((query, step, None))) => {
                self.progress(query, step, *from, reply);
            }
            (Input::Done(_, totals), Some((query, step, None))) => {
                self.end_lookup(query, step, true, *totals);
            }
            (Input::Tick | Input::Checkpoint, _) => {}
            _ => self.shown.unknown += 1,
        }
        self.settle();
        if matches!(event.input, Input::Checkpoint) && self.asked.is_empty() && self.said.is_empty() {
            self.conditions.read_again();
            self.shelf.forget_old(self.now);
        }
        std::mem::take(&mut self.said)
    }

    fn start(&mut self, query: &Query<Toy>, started: &Result<QueryId, StartError>) {
        let (live, max) = (self.live(), self.setup.config.caps.queries_max);
        let checked = QueryEngine::check(&self.setup.config, query);
        let expected =
            if live < max { checked } else { Err(StartError::Busy { what: "queries live", live, max }) };
        assert_eq!(started.as_ref().err(), expected.as_ref().err(), "the engine admits what it should");
        let Ok(id) = *started else { return };
        let has_time = !query.config.timeout.is_zero() && self.now != Time::MAX;
        if query.config.cache != CachePolicy::Skip && has_time {
            self.start_sharing(id, query);
        } else {
            self.begin(id, query, Sharing::default(), None);
        }
        self.make_room();
    }

    /// Begins work for a query, or for a refresh that is wanted so far and so long.
    fn begin(&mut self, id: QueryId, query: &Query<Toy>, sharing: Sharing, refresh: Option<Asker>) {
        let sequence = self.next();
        let QueryConfig { timeout, max_results, .. } = query.config;
        let own = || Asker::new(id, self.now, timeout, sequence, max_results);
        let mut asked = Asked::new(id, query, sharing);
        asked.askers.push(refresh.unwrap_or_else(own));
        self.asked.push(asked);
        self.works.push((id, id));
        for (index, candidates) in first_candidates(query, self.setup.local).iter().enumerate() {
            self.offer(id, Step::Route(index as u16), candidates, usize::MAX);
        }
        self.offer(id, Step::Fetch, &query.peers, usize::MAX);
        if query.config.timeout.is_zero() || self.now == Time::MAX {
            return self.finish(id, Reason::DeadlineReached);
        }
        for (index, _) in
            query.routes.iter().enumerate().filter(|(_, r)| matches!(r, Route::Delegated { .. }))
        {
            let step = Step::Route(index as u16);
            let sequence = self.next();
            self.lane(id, step).lookup = Some((sequence, id));
            self.said.push(Said::Begun((id, step, None)));
        }
        self.mark_ready(id);
    }

    fn cancel(&mut self, query: QueryId, was_live: bool) {
        let mut askers = self.asked.iter().flat_map(|asked| &asked.askers);
        let is_live = askers.any(|asker| asker.id == query && !asker.is_refresh);
        assert_eq!(was_live, is_live, "a live query can be cancelled, and no other");
        if is_live {
            self.finish(query, Reason::Cancelled);
        }
    }

    fn sent(&mut self, query: QueryId, step: Step, peer: u8) {
        let (sequence, now) = (self.next(), self.now);
        let config = self.asked(query).query.config.clone();
        let candidate = self.lane(query, step).get(peer);
        if candidate.is_sent {
            self.shown.unknown += 1;
            return;
        }
        let wait = now.since(candidate.sent);
        self.conditions.sent(wait);
        let soft = self.conditions.soft_timeout(&config, self.peers.get(peer), true);
        let candidate = self.lane(query, step).get(peer);
        let is_overdue = candidate.state == State::Overdue;
        let timeout = if is_overdue { config.request_timeout } else { soft.min(config.request_timeout) };
        candidate.is_sent = true;
        candidate.sent = now;
        candidate.timer_set = sequence;
        candidate.due = now + timeout;
        if is_overdue {
            self.mark_ready(query);
        }
    }

    fn reply(&mut self, query: QueryId, step: Step, peer: u8, reply: &Reply<Toy>) {
        let sent = self.lane(query, step).get(peer).sent;
        self.end_contact(query, step, peer, State::Replied);
        let response_time = self.now.since(sent);
        self.conditions.replied(response_time);
        let asked = self.asked(query);
        asked.replied = asked.replied.saturating_add(1);
        let is_invalid = self.deliver(query, step, Some(peer), Some(response_time), reply);
        if is_invalid {
            self.peers.invalid(self.now, peer);
        } else {
            self.peers.success(peer, response_time);
        }
        self.take_in(query, step, Some(peer), reply);
    }

    fn progress(&mut self, query: QueryId, step: Step, from: Option<u8>, reply: &Reply<Toy>) {
        let is_invalid = self.deliver(query, step, from, None, reply);
        if let Some(peer) = from.filter(|peer| is_invalid && *peer != self.setup.local) {
            self.peers.invalid(self.now, peer);
        }
        self.take_in(query, step, from, reply);
    }

    fn fail(&mut self, query: QueryId, step: Step, peer: u8, failure: Failure) {
        self.end_contact(query, step, peer, State::Failed);
        let asked = self.asked(query);
        asked.failed = asked.failed.saturating_add(1);
        match failure {
            Failure::Local => {}
            Failure::Invalid => {
                asked.invalid = asked.invalid.saturating_add(1);
                self.peers.invalid(self.now, peer);
            }
            _ => self.peers.failure(peer),
        }
        self.mark_ready(query);
    }

    fn end_lookup(&mut self, query: QueryId, step: Step, has_converged: bool, totals: LookupTotals) {
        let lane = self.lane(query, step);
        lane.lookup = None;
        lane.ended = Some(has_converged);
        let asked = self.asked(query);
        asked.contacted = asked.contacted.saturating_add(totals.contacted);
        asked.replied = asked.replied.saturating_add(totals.replied);
        asked.failed = asked.failed.saturating_add(totals.failed);
        self.mark_ready(query);
    }
}

/// Time.
impl Reference {
    /// Does what is due, in the order of its times; deadlines before contacts, and then what was set first.
    fn pass_time(&mut self) {
        loop {
            let due = self.asked.iter().flat_map(Asked::timers).filter(|timer| timer.at <= self.now);
            let first = due.filter(|timer| timer.at != Time::MAX).min_by_key(Timer::order);
            let Some(first) = first else { return };
            match first.contact {
                None => self.finish(first.query, Reason::DeadlineReached),
                Some((step, peer)) => self.contact_is_due(first.query, step, peer, first.at),
            }
        }
    }

    fn contact_is_due(&mut self, query: QueryId, step: Step, peer: u8, at: Time) {
        let sequence = self.next();
        let asked = self.asked(query);
        let request_timeout = asked.query.config.request_timeout;
        let candidate = asked.lane(step).get(peer);
        let waited = at.since(candidate.sent);
        if waited < request_timeout && candidate.state == State::InFlight {
            candidate.state = State::Overdue;
            candidate.timer_set = sequence;
            candidate.due = candidate.sent + request_timeout;
            asked.overdue += 1;
            self.conditions.was_overdue(true);
            return self.mark_ready(query);
        }
        let name = candidate.name.expect("it was made");
        self.said.push(Said::Released(Some((name, step, Some(peer)))));
        self.peers.given_up(peer, waited);
        self.fail(query, step, peer, Failure::TimedOut);
    }
}
