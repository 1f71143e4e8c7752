//! Any sequence of inputs to the engine, late, repeated, forged and out of order, and what must hold
//! after each: the engine's promises, seen from outside.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use arbitrary::{Result, Unstructured};
use dragnet_core::{
    Agreement, CacheConfig, CachePolicy, Caps, Delivery, EngineConfig, Failure, Invalid, Item, Key,
    LiveState, LookupTotals, Network, Output, Query, QueryConfig, QueryEngine, QueryId, Reply, RequestId,
    Route, Source, StartError, Step, Time,
};

const LOCAL: u8 = 0;
const PEERS: u8 = 16;
const CAPS: Caps = Caps {
    queries_max: 4,
    results_max: 4,
    routes_max: 2,
    candidates_max: 8,
    peers_max: 12,
    contacts_per_peer: 2,
    items_per_reply: 4,
    closer_per_reply: 4,
    providers_per_reply: 4,
    held_max: 6,
    versions_max: 2,
};

/// Peers are bytes, those from 12 up behind a second source.
enum Bytes {}

impl Network for Bytes {
    type Peer = u8;
    type Request = u8;
    type Item = Answer;

    fn key(peer: &u8) -> Key {
        Key::of(&[*peer])
    }

    fn source(peer: &u8) -> Source {
        Source(u16::from(*peer >= 12))
    }
}

/// Two versions of each of sixteen answers.
#[derive(Clone, PartialEq, Debug)]
struct Answer(u8);

impl Item for Answer {
    type Id = u8;

    fn id(&self) -> u8 {
        self.0 & 0x0f
    }
}

/// Decodes the bytes to a sequence of inputs, feeds them to an engine, and checks what it says. Returns
/// a line for each output and refusal.
///
/// # Panics
///
/// When the engine breaks a promise.
pub fn run(data: &[u8]) -> Vec<String> {
    let mut run = Run::new();
    let mut bytes = Unstructured::new(data);
    while !bytes.is_empty() && run.input(&mut bytes).is_ok() {}
    run.end();
    run.said
}

struct Run {
    engine: QueryEngine<Bytes>,
    now: Time,
    live: BTreeMap<QueryId, Asked>,
    /// Those that have ended, whose requests may serve others, or a refresh that they have left behind.
    ended: BTreeMap<QueryId, Asked>,
    /// What was asked last.
    asked: Option<Query<Bytes>>,
    open: BTreeMap<RequestId, Open>,
    /// Every id that has named a request, for late and repeated answers.
    named: Vec<RequestId>,
    /// What the present input ends, if nothing that was due has ended it before.
    ending: Option<RequestId>,
    said: Vec<String>,
}

/// What is known of a live query.
struct Asked {
    config: QueryConfig,
    /// Where each route walks to, if the routes are disjoint.
    targets: Vec<Option<Key>>,
    /// Whether items may be delivered at the end.
    holds_back: bool,
    deadline: Time,
    found: BTreeSet<u8>,
    /// Whether it has ended and may have left a refresh behind.
    may_refresh: bool,
    contacted: BTreeSet<(Lane, u8)>,
}

/// In which a peer is contacted once: disjoint walks to one target are one.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Lane {
    Towards(Key),
    Route(u16),
    Fetch,
}

struct Open {
    query: QueryId,
    /// `None` for a lookup.
    contact: Option<(Step, u8)>,
    sent: Time,
    is_sent: bool,
}

/// Inputs.
impl Run {
    fn new() -> Self {
        let millis = Duration::from_millis;
        let cache = CacheConfig {
            ttl: millis(20),
            ttl_nothing: millis(10),
            stale_for: millis(100),
            entries_max: 2,
            bytes_max: 4_096,
            refreshes_max: 2,
        };
        let config = EngineConfig::default().with_caps(CAPS).with_cache(cache);
        Self {
            engine: QueryEngine::new(config, LOCAL, [7; 32]),
            now: Time::ZERO,
            live: BTreeMap::new(),
            ended: BTreeMap::new(),
            asked: None,
            open: BTreeMap::new(),
            named: Vec::new(),
            ending: None,
            said: Vec::new(),
        }
    }

    fn input(&mut self, bytes: &mut Unstructured<'_>) -> Result<()> {
        let kind = bytes.int_in_range(0..=12)?;
        if kind == 0 {
            return self.tick_early();
        }
        if kind == 1 {
            return self.tick_when_due();
        }
        let given = self.time(bytes)?;
        match kind {
            2 | 3 => self.start(bytes, given)?,
            4 => {
                let live: Vec<QueryId> = self.live.keys().copied().collect();
                if live.is_empty() {
                    self.engine.handle_tick(given);
                } else {
                    self.engine.cancel(given, *bytes.choose(&live)?);
                }
            }
            5 => drop(self.engine.bar(given, bytes.int_in_range(0..=PEERS)?)),
            6 => self.engine.handle_tick(given),
            _ => {
                let request = self.request(bytes)?;
                match kind {
                    7 => self.engine.handle_failure(given, request, *bytes.choose(&FAILURES)?),
                    8 => {
                        let from = bytes.ratio(1, 2)?.then_some(bytes.int_in_range(0..=PEERS)?);
                        self.ending = None;
                        self.engine.handle_progress(given, request, from, reply(bytes)?);
                    }
                    9 => {
                        // Of a contact there are no totals: such an input is unknown.
                        self.ending = self.ending.filter(|request| self.open[request].contact.is_none());
                        self.engine.handle_done(given, request, LookupTotals::default());
                    }
                    10 => {
                        self.ending = None;
                        self.sent(request);
                        self.engine.handle_sent(given, request);
                    }
                    _ => self.engine.handle_reply(given, request, reply(bytes)?),
                }
            }
        }
        self.check();
        Ok(())
    }

    /// Moves the time from which a contact's timeouts count, if it has lost no slot by now.
    fn sent(&mut self, request: RequestId) {
        let Some(open) = self.open.get_mut(&request) else { return };
        let asked = self.live.get(&open.query).or_else(|| self.ended.get(&open.query));
        let config = &asked.expect("it was asked").config;
        let holds = config.soft_timeout.min(config.request_timeout);
        if self.now < open.sent + holds && !std::mem::replace(&mut open.is_sent, true) {
            open.sent = self.now;
        }
    }

    fn start(&mut self, bytes: &mut Unstructured<'_>, given: Time) -> Result<()> {
        // What an adaptive pace is only the engine knows.
        let config = QueryConfig::balanced()
            .with_adaptive_fan_out(false)
            .with_adaptive_timeout(false)
            .with_timeout(Duration::from_millis(bytes.int_in_range(0..=200)?))
            .with_max_results(bytes.int_in_range(0..=5)?)
            .with_fan_out(bytes.int_in_range(0..=3)?)
            .with_hedges_max(bytes.int_in_range(0..=2)?)
            .with_soft_timeout(Duration::from_millis(bytes.int_in_range(0..=50)?))
            .with_request_timeout(Duration::from_millis(bytes.int_in_range(0..=100)?))
            .with_closest(bytes.int_in_range(0..=4)?);
        let request: u8 = bytes.arbitrary()?;
        let mut query = Query::new(request).config(config.clone());
        query.config.cache = POLICIES[usize::from(request) % POLICIES.len()];
        for _ in 0..bytes.int_in_range(0..=3)? {
            query.routes.push(if bytes.ratio(1, 4)? {
                Route::delegated()
            } else {
                Route::walk_from(Key::of(&[bytes.arbitrary()?]), peers(bytes)?)
            });
        }
        query.peers = peers(bytes)?;
        query.providers = bytes.arbitrary()?;
        let extras: u8 = bytes.arbitrary()?;
        query.config.delivery = match extras >> 1 & 3 {
            0 | 1 => Delivery::Immediate,
            2 => Delivery::Quorum(2),
            _ => Delivery::BestAtEnd,
        };
        query.disjoint = [None, Some(Agreement::One), Some(Agreement::All)][usize::from(extras >> 3) % 3];
        if extras & 1 == 1 {
            query = query.validator(
                |_: &u8, answer: &Answer| {
                    if answer.0 & 1 == 0 { Ok(()) } else { Err(Invalid::new("odd")) }
                },
            );
        }
        // One that was asked before, under its own limits.
        if request >= 192
            && let Some(asked) = &self.asked
        {
            let QueryConfig { timeout, max_results, cache, .. } = query.config;
            query = asked.clone();
            (query.config.timeout, query.config.max_results, query.config.cache) =
                (timeout, max_results, cache);
        }
        let config = query.config.clone();
        self.asked = Some(query.clone());
        let is_valid = (1..=CAPS.results_max).contains(&config.max_results)
            && config.fan_out > 0
            && config.closest > 0
            && query.routes.len() <= CAPS.routes_max;
        let holds_back = config.delivery != Delivery::Immediate || query.disjoint == Some(Agreement::All);
        let target = |route: &Route<Bytes>| match route {
            Route::Walk { target, .. } if query.disjoint.is_some() => Some(*target),
            _ => None,
        };
        let targets = query.routes.iter().map(target).collect();
        let has_room = self.live.len() < CAPS.queries_max;
        match self.engine.start(given, query) {
            Ok(id) => {
                assert!(is_valid, "a query with invalid settings was started");
                let deadline = self.now + config.timeout;
                let asked = Asked {
                    config,
                    targets,
                    holds_back,
                    deadline,
                    found: BTreeSet::new(),
                    may_refresh: false,
                    contacted: BTreeSet::new(),
                };
                assert!(self.live.insert(id, asked).is_none(), "two queries of one id");
            }
            Err(error) => {
                let is_right = match error {
                    StartError::Limit { .. } => !is_valid,
                    StartError::Busy { .. } => !has_room,
                    _ => false,
                };
                assert!(is_right, "refused for a wrong reason: {error:?}");
                self.said.push(format!("{error:?}"));
            }
        }
        Ok(())
    }

    /// A tick before the next timeout changes nothing that can be seen.
    fn tick_early(&mut self) -> Result<()> {
        let Some(timeout) = self.engine.poll_timeout().filter(|timeout| *timeout > self.now) else {
            return Ok(());
        };
        self.now = Time::from_nanos(timeout.as_nanos() - 1);
        let before = self.engine.live_state();
        self.engine.handle_tick(self.now);
        assert!(self.engine.poll_output().is_none(), "an early tick has an effect");
        assert_eq!(self.engine.poll_timeout(), Some(timeout), "an early tick moves the timeout");
        assert_eq!(self.engine.live_state(), before, "an early tick changes the state");
        Ok(())
    }

    /// A tick at the timeout retires a timer.
    fn tick_when_due(&mut self) -> Result<()> {
        let Some(timeout) = self.engine.poll_timeout() else { return Ok(()) };
        self.now = self.now.max(timeout);
        self.engine.handle_tick(self.now);
        self.check();
        Ok(())
    }

    /// Mostly a little later than the last, sometimes earlier.
    fn time(&mut self, bytes: &mut Unstructured<'_>) -> Result<Time> {
        let step: u8 = bytes.arbitrary()?;
        if step == u8::MAX {
            return Ok(Time::from_nanos(self.now.as_nanos() / 2));
        }
        // Finer than a millisecond now and then, so that not all timers fall together.
        self.now = self.now + Duration::from_micros(250 * u64::from(step / 4));
        Ok(self.now)
    }

    /// Mostly a request that is open, sometimes one that was, sometimes one that never was.
    fn request(&mut self, bytes: &mut Unstructured<'_>) -> Result<RequestId> {
        let open: Vec<RequestId> = self.open.keys().copied().collect();
        let which: u8 = bytes.arbitrary()?;
        let request = match which {
            240.. => RequestId::from_u64(bytes.arbitrary()?),
            200..240 if !self.named.is_empty() => *bytes.choose(&self.named)?,
            _ if !open.is_empty() => open[usize::from(which) % open.len()],
            _ => RequestId::from_u64(0),
        };
        self.ending = self.open.contains_key(&request).then_some(request);
        Ok(request)
    }

    /// Time passes until the last query has ended.
    fn end(&mut self) {
        // The bytes may have run out in the middle of an input.
        self.ending = None;
        while let Some(timeout) = self.engine.poll_timeout() {
            self.now = self.now.max(timeout);
            self.engine.handle_tick(self.now);
            self.check();
        }
        assert!(self.live.is_empty() && self.open.is_empty(), "the deadlines have passed");
        assert_eq!(self.engine.live_state(), LiveState::default(), "nothing lives");
    }
}

const POLICIES: [CachePolicy; 4] =
    [CachePolicy::Skip, CachePolicy::Refresh, CachePolicy::Fresh, CachePolicy::Stale];
const FAILURES: [Failure; 4] = [Failure::Unreachable, Failure::TimedOut, Failure::Invalid, Failure::Local];

fn peers(bytes: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    (0..bytes.int_in_range(0..=6)?).map(|_| bytes.int_in_range(0..=PEERS)).collect()
}

fn reply(bytes: &mut Unstructured<'_>) -> Result<Reply<Bytes>> {
    let mut reply = Reply::with_items(peers(bytes)?.into_iter().map(Answer).collect());
    reply.closer = peers(bytes)?;
    reply.providers = peers(bytes)?;
    reply.invalid = bytes.int_in_range(0..=8u32)?.saturating_sub(7);
    Ok(reply)
}

/// Outputs.
impl Run {
    fn check(&mut self) {
        while let Some(output) = self.engine.poll_output() {
            self.said.push(format!("{output:?}"));
            self.output(output);
        }
        if let Some(request) = self.ending.take() {
            self.open.remove(&request);
        }
        for (query, asked) in &self.live {
            assert!(self.now < asked.deadline, "{query} has outlived its deadline");
        }
        if let Some(timeout) = self.engine.poll_timeout() {
            // A contact whose timeout is zero is due at once, but not before the next input.
            assert!(timeout >= self.now, "what was due at {timeout:?} has not been done at {:?}", self.now);
        }
        let state = self.engine.live_state();
        assert_eq!(state.queries, self.live.len());
        assert!(state.contacts >= self.open.len());
        let metrics = self.engine.metrics();
        assert!(metrics.cache_entries <= 2 && metrics.cache_bytes <= 4_096, "too much is kept");
        let known = metrics.peers_known;
        assert!(known <= CAPS.peers_max as u64, "{known} peers are remembered");
    }

    fn output(&mut self, output: Output<Bytes>) {
        match output {
            Output::Contact { request, query, peer, step, .. } => self.contact(request, query, peer, step),
            Output::Lookup { request, query, .. } => self.begin(request, query, None),
            Output::Release { request } => {
                assert!(self.open.remove(&request).is_some(), "{request} is released and was not open");
                self.ending = self.ending.filter(|ending| *ending != request);
            }
            Output::Found { query, found } => {
                let asked = self.live.get_mut(&query).expect("only live queries find something");
                assert!(asked.found.insert(found.item.id()), "{query} finds {} twice", found.item.id());
                assert!(asked.found.len() <= asked.config.max_results, "{query} finds too much");
                assert!(
                    asked.holds_back || self.now < asked.deadline,
                    "{query} finds something after its deadline"
                );
            }
            Output::Finished { query, outcome } => {
                let asked = self.live.remove(&query).expect("a query finishes once");
                assert_eq!(outcome.results, asked.found.len());
                let left = self.in_flight().find(|(_, open)| open.query == query);
                // Others may share them.
                let is_shared = asked.config.cache != CachePolicy::Skip;
                assert!(is_shared || left.is_none(), "{query} has ended before its requests");
                let may_refresh = outcome.cached.is_some_and(|cached| cached.is_stale);
                self.ended.insert(query, Asked { may_refresh, ..asked });
            }
            _ => {}
        }
    }

    fn contact(&mut self, request: RequestId, query: QueryId, peer: u8, step: Step) {
        assert_ne!(peer, LOCAL, "the local peer is contacted");
        let mut reports = self.engine.peers(self.now);
        let is_barred = reports.any(|report| report.peer == peer && report.barred_for.is_some());
        assert!(!is_barred, "{peer} is contacted and is barred");
        drop(reports);

        let to_peer = self.in_flight().filter(|(_, open)| open.contact.is_some_and(|(_, p)| p == peer));
        assert!(to_peer.count() < CAPS.contacts_per_peer, "too many contacts to {peer}");

        let asked = self.live.get(&query).or_else(|| self.ended.get(&query));
        let config = &asked.expect("a contact for a query that does not live").config;
        let source = Bytes::source(&peer);
        let holds = config.soft_timeout.min(config.request_timeout);
        let lane: Vec<&Open> = self
            .in_flight()
            .map(|(_, open)| open)
            .filter(|open| open.query == query)
            .filter(|open| open.contact.is_some_and(|(s, p)| s == step && Bytes::source(&p) == source))
            .collect();
        let expected = lane.iter().filter(|open| self.now < open.sent + holds).count();
        assert!(expected < config.fan_out, "{query}: the fan-out is full");
        assert!(lane.len() < config.fan_out + config.hedges_max, "{query}: fan-out and hedges are full");

        let asked = self.live.get_mut(&query).or_else(|| self.ended.get_mut(&query));
        let asked = asked.expect("found above");
        let lane = match step {
            Step::Route(route) => asked.targets[usize::from(route)].map_or(Lane::Route(route), Lane::Towards),
            Step::Fetch => Lane::Fetch,
        };
        assert!(asked.contacted.insert((lane, peer)), "{query} contacts {peer} twice");
        self.begin(request, query, Some((step, peer)));
    }

    fn begin(&mut self, request: RequestId, query: QueryId, contact: Option<(Step, u8)>) {
        let may_refresh = self.ended.get(&query).is_some_and(|asked| asked.may_refresh);
        let is_known = self.live.contains_key(&query) || may_refresh;
        assert!(is_known, "a request for a query that does not live");
        let open = Open { query, contact, sent: self.now, is_sent: false };
        assert!(self.open.insert(request, open).is_none(), "two requests of one id");
        self.named.push(request);
    }

    /// What is open, less what the present input ends.
    fn in_flight(&self) -> impl Iterator<Item = (&RequestId, &Open)> {
        self.open.iter().filter(|(request, _)| Some(**request) != self.ending)
    }
}
