//! Runs a scenario on an engine, as a driver would, and writes down what could be seen.

use std::fmt;
use std::time::Duration;

use dragnet_core::{
    CachePolicy, Failure, Key, LiveState, LookupTotals, Metrics, Output, PeerReport, Query, QueryEngine,
    QueryId, QueryStats, Reply, RequestId, Route, StartError, Time,
};
use uuid::Uuid;

use super::network::Toy;
use super::scenario::{Act, Moment, Own, Pick, Plan, ReplyPlan, RoutePlan, Scenario, Setup, Step};

/// All that could be seen of a run.
pub(crate) struct Trace {
    pub(crate) setup: Setup,
    /// Before the first input.
    pub(crate) first: View,
    pub(crate) events: Vec<Event>,
}

/// One input and what came of it.
pub(crate) struct Event {
    pub(crate) input: Input,
    /// The time that came with the input.
    pub(crate) at: Time,
    /// The latest time so far.
    pub(crate) now: Time,
    pub(crate) started: Option<Result<QueryId, StartError>>,
    pub(crate) cancelled: Option<bool>,
    pub(crate) outputs: Vec<Output<Toy>>,
    /// After the input.
    pub(crate) view: View,
}

#[derive(Clone, Debug)]
pub(crate) enum Input {
    Tick,
    Start(Box<Query<Toy>>),
    Sent(RequestId),
    Reply(RequestId, Reply<Toy>),
    Progress(RequestId, Option<u8>, Reply<Toy>),
    Failure(RequestId, Failure),
    Done(RequestId, LookupTotals),
    Cancel(QueryId),
    CancelRefreshes,
    Bar(u8),
    Checkpoint,
}

impl Input {
    pub(crate) fn request(&self) -> Option<RequestId> {
        match self {
            Self::Sent(request)
            | Self::Reply(request, _)
            | Self::Progress(request, ..)
            | Self::Failure(request, _)
            | Self::Done(request, _) => Some(*request),
            Self::Tick
            | Self::Start(_)
            | Self::Cancel(_)
            | Self::CancelRefreshes
            | Self::Bar(_)
            | Self::Checkpoint => None,
        }
    }
}

/// What the engine shows of itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct View {
    pub(crate) timeout: Option<Time>,
    pub(crate) live: LiveState,
    pub(crate) metrics: Metrics,
    pub(crate) statuses: Vec<(QueryId, Option<QueryStats>)>,
    pub(crate) peers: Vec<PeerReport<u8>>,
}

impl View {
    /// Without what moves by the mere passing of time: how long queries have lasted, and the decay of
    /// what is remembered.
    pub(crate) fn timeless(&self) -> Self {
        let mut view = self.clone();
        for stats in view.statuses.iter_mut().filter_map(|(_, stats)| stats.as_mut()) {
            stats.total = Duration::ZERO;
        }
        for peer in &mut view.peers {
            peer.score = 0;
            peer.barred_for = None;
            (peer.successes_milli, peer.failures_milli, peer.invalid_milli) = (0, 0, 0);
        }
        view
    }
}

/// An engine and what its driver knows.
pub(crate) struct World {
    engine: QueryEngine<Toy>,
    now: Time,
    /// Whether each is a lookup.
    in_flight: Vec<(RequestId, bool)>,
    ended: Vec<RequestId>,
    live: Vec<QueryId>,
    finished: Vec<QueryId>,
    /// What has been asked, for those who ask the same.
    asked: Vec<Query<Toy>>,
    trace: Trace,
    is_loud: bool,
}

/// Runs a scenario to its end.
pub(crate) fn run(scenario: &Scenario) -> Trace {
    World::new(&scenario.setup).run(&scenario.steps)
}

/// Runs a scenario and prints every input and output as it comes, for whoever looks into a failure.
pub(crate) fn run_loud(scenario: &Scenario) -> Trace {
    let mut world = World::new(&scenario.setup);
    world.is_loud = true;
    world.run(&scenario.steps)
}

/// Feeds an engine these very inputs.
pub(crate) fn replay(setup: &Setup, inputs: impl IntoIterator<Item = (Time, Input)>) -> Trace {
    let mut world = World::new(setup);
    inputs.into_iter().for_each(|(at, input)| world.feed(at, input));
    world.trace
}

impl World {
    pub(crate) fn new(setup: &Setup) -> Self {
        let mut engine = QueryEngine::new(setup.config.clone(), setup.local, [setup.seed; 32]);
        sabotage(&mut engine, setup);
        let first = view(&mut engine, Time::ZERO, &[]);
        Self {
            engine,
            now: Time::from_nanos(setup.origin),
            in_flight: Vec::new(),
            ended: Vec::new(),
            live: Vec::new(),
            finished: Vec::new(),
            asked: Vec::new(),
            trace: Trace { setup: setup.clone(), first, events: Vec::new() },
            is_loud: false,
        }
    }

    #[cfg(feature = "record")]
    pub(crate) const fn engine_mut(&mut self) -> &mut QueryEngine<Toy> {
        &mut self.engine
    }

    /// Takes the steps, and ends whatever they leave behind.
    pub(crate) fn run(mut self, steps: &[Step]) -> Trace {
        for step in steps {
            let at = self.moment(step.moment);
            let input = self.input(&step.act);
            self.feed(at, input);
        }
        self.feed(self.now + Duration::from_secs(3600), Input::Tick);
        for query in self.live.clone() {
            self.feed(self.now, Input::Cancel(query));
        }
        self.feed(self.now, Input::CancelRefreshes);
        self.trace
    }

    fn feed(&mut self, at: Time, input: Input) {
        self.now = self.now.max(at);
        if self.is_loud {
            println!("{at:?} {input:?}");
        }
        let (mut started, mut cancelled) = (None, None);
        match input.clone() {
            Input::Tick => self.engine.handle_tick(at),
            Input::Start(query) => started = Some(self.engine.start(at, *query)),
            Input::Sent(request) => self.engine.handle_sent(at, request),
            Input::Reply(request, reply) => self.engine.handle_reply(at, request, reply),
            Input::Progress(request, from, reply) => self.engine.handle_progress(at, request, from, reply),
            Input::Failure(request, failure) => self.engine.handle_failure(at, request, failure),
            Input::Done(request, totals) => self.engine.handle_done(at, request, totals),
            Input::Cancel(query) => cancelled = Some(self.engine.cancel(at, query)),
            Input::CancelRefreshes => self.engine.cancel_refreshes(at),
            Input::Bar(peer) => drop(self.engine.bar(at, peer)),
            Input::Checkpoint => self.checkpoint(at),
        }
        let outputs: Vec<_> = std::iter::from_fn(|| self.engine.poll_output()).collect();
        if self.is_loud {
            outputs.iter().for_each(|output| println!("    {output:?}"));
        }
        self.note(&input, &started, &outputs);
        let view = view(&mut self.engine, self.now, &self.live);
        self.trace.events.push(Event { input, at, now: self.now, started, cancelled, outputs, view });
    }

    fn checkpoint(&mut self, at: Time) {
        let checkpoint = self.engine.checkpoint(at, |_| true);
        let setup = &self.trace.setup;
        if let Some(checkpoint) = checkpoint.filter(|_| setup.resumes) {
            let (config, seed) = (setup.config.clone(), [setup.seed; 32]);
            self.engine = QueryEngine::resume(config, setup.local, seed, checkpoint);
            sabotage(&mut self.engine, setup);
        }
    }

    /// Keeps what a driver keeps.
    fn note(
        &mut self,
        input: &Input,
        started: &Option<Result<QueryId, StartError>>,
        outputs: &[Output<Toy>],
    ) {
        if let (Input::Start(query), Some(Ok(id))) = (input, started) {
            self.live.push(*id);
            if query.config.cache != CachePolicy::Skip {
                self.asked.push((**query).clone());
            }
        }
        if let Some(request) = input.request() {
            let ends = |is_lookup| match input {
                Input::Reply(..) | Input::Failure(..) => true,
                Input::Done(..) => is_lookup,
                _ => false,
            };
            self.end(|other, is_lookup| other == request && ends(is_lookup));
        }
        for output in outputs {
            match output {
                Output::Contact { request, .. } => self.in_flight.push((*request, false)),
                Output::Lookup { request, .. } => self.in_flight.push((*request, true)),
                Output::Release { request } => self.end(|other, _| other == *request),
                Output::Finished { query, .. } => {
                    self.live.retain(|other| other != query);
                    self.finished.push(*query);
                }
                _ => {}
            }
        }
    }

    fn end(&mut self, is_ended: impl Fn(RequestId, bool) -> bool) {
        let ended = self.in_flight.extract_if(.., |(request, is_lookup)| is_ended(*request, *is_lookup));
        self.ended.extend(ended.map(|(request, _)| request));
    }
}

/// From steps to inputs.
impl World {
    fn moment(&mut self, moment: Moment) -> Time {
        let nanos = self.now.as_nanos();
        Time::from_nanos(match moment {
            Moment::Same => nanos,
            Moment::AfterMicros(micros) => nanos.saturating_add(u64::from(micros) * 1_000),
            Moment::AtTimeout(offset) => {
                let timeout = self.engine.poll_timeout().unwrap_or(self.now);
                timeout.as_nanos().saturating_add_signed(offset).max(nanos)
            }
            Moment::AfterSecs(secs) => nanos.saturating_add(u64::from(secs) * 1_000_000_000),
            Moment::BackMicros(micros) => nanos.saturating_sub(u64::from(micros) * 1_000),
        })
    }

    fn input(&self, act: &Act) -> Input {
        match act {
            Act::Tick => Input::Tick,
            Act::Start(plan) => Input::Start(Box::new(query(plan))),
            Act::Repeat(which, own) => self.repeat(*which, own),
            Act::Sent(pick) => Input::Sent(self.pick(*pick, false)),
            Act::Reply(pick, reply) => Input::Reply(self.pick(*pick, false), answer(reply)),
            Act::Progress(pick, from, reply) => Input::Progress(self.pick(*pick, true), *from, answer(reply)),
            Act::Fail(pick, failure) => Input::Failure(self.pick(*pick, false), *failure),
            Act::Done(pick, totals) => Input::Done(self.pick(*pick, true), *totals),
            Act::Cancel(index) => {
                let never = QueryId::from_uuid(Uuid::from_u128(1));
                let all = self.live.iter().chain(&self.finished);
                Input::Cancel(*all.chain([&never]).nth(usize::from(*index) % 5).unwrap_or(&never))
            }
            Act::CancelRefreshes => Input::CancelRefreshes,
            Act::Bar(peer) => Input::Bar(*peer),
            Act::Checkpoint => Input::Checkpoint,
        }
    }

    /// Asks what was asked before, mostly of late, under its own limits; something else if nothing was.
    fn repeat(&self, which: u8, own: &Own) -> Input {
        let Some(earlier) = self.asked.iter().rev().nth(usize::from(which) % self.asked.len().clamp(1, 3))
        else {
            return Input::Tick;
        };
        let mut query = earlier.clone();
        let Own { timeout, max_results, cache, max_age, candidates } = own;
        (query.config.timeout, query.config.max_results) = (*timeout, *max_results);
        (query.config.cache, query.config.max_age) = (*cache, *max_age);
        for route in &mut query.routes {
            if let (Route::Walk { candidates: first, .. }, Some(other)) = (route, candidates) {
                first.clone_from(other);
            }
        }
        Input::Start(Box::new(query))
    }

    fn pick(&self, pick: Pick, wants_lookup: bool) -> RequestId {
        let nth = |requests: &[RequestId], index: u8| {
            let index = usize::from(index) % requests.len().max(1);
            requests.get(index).copied()
        };
        let those = |is_apt: &dyn Fn(bool) -> bool| -> Vec<RequestId> {
            self.in_flight.iter().filter(|(_, is_lookup)| is_apt(*is_lookup)).map(|(id, _)| *id).collect()
        };
        let picked = match pick {
            Pick::Apt(index) => {
                let apt = those(&|is_lookup| is_lookup == wants_lookup);
                nth(&apt, index).or_else(|| nth(&those(&|_| true), index))
            }
            Pick::Live(index) => nth(&those(&|_| true), index),
            Pick::Ended(index) => nth(&self.ended, index),
            Pick::Forged(slot, generation) => {
                Some(RequestId::from_u64(u64::from(generation) << 32 | u64::from(slot)))
            }
        };
        picked.unwrap_or(RequestId::from_u64(u64::MAX))
    }
}

/// Breaks the engine, if it is to be.
fn sabotage(engine: &mut QueryEngine<Toy>, setup: &Setup) {
    #[cfg(feature = "sabotage")]
    if let Some(how) = setup.sabotage {
        engine.sabotage(how);
    }
    #[cfg(not(feature = "sabotage"))]
    let _ = (engine, setup);
}

fn query(plan: &Plan) -> Query<Toy> {
    let mut query = Query::new(7).fetch_from(plan.peers.iter().copied()).config(plan.config.clone());
    for route in &plan.routes {
        query = query.route(match route {
            RoutePlan::Walk { target, candidates } => {
                Route::walk_from(Key::of(&[*target]), candidates.clone())
            }
            RoutePlan::Delegated => Route::delegated(),
        });
    }
    query.providers = plan.providers;
    query.disjoint = plan.disjoint;
    if let Some(validator) = plan.refuses {
        query = query.validator(validator);
    }
    match plan.prefers {
        Some(selector) => query.selector(selector),
        None => query,
    }
}

fn answer(plan: &ReplyPlan) -> Reply<Toy> {
    Reply {
        items: plan.items.clone(),
        closer: plan.closer.clone(),
        providers: plan.providers.clone(),
        invalid: plan.invalid,
    }
}

fn view(engine: &mut QueryEngine<Toy>, now: Time, live: &[QueryId]) -> View {
    View {
        timeout: engine.poll_timeout(),
        live: engine.live_state(),
        metrics: engine.metrics(),
        statuses: live.iter().map(|query| (*query, engine.status(*query))).collect(),
        peers: engine.peers(now).collect(),
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at {:?} (latest {:?}), after {:?}", self.at, self.now, self.input)
    }
}
