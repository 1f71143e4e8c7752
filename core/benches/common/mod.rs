//! Engines full of live queries, and what is done to them.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use dragnet_core::{
    CacheConfig, CachePolicy, Caps, EngineConfig, Key, Output, Query, QueryConfig, QueryEngine, QueryId,
    Reply, RequestId, Route, Time,
};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

#[allow(unused_imports, reason = "each bench uses some of these")]
pub(crate) use networks::{Answer, Bulky, Peers, Slim};
#[allow(unused_imports, reason = "each bench uses some of these")]
pub(crate) use operations::{Input, Operation};

mod networks;
mod operations;

/// Which lane the live queries use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Lane {
    Fetch,
    Walk,
}

/// How long the live queries wait for their peers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Timeouts {
    /// One soft timeout and one fan-out for all.
    Fixed,
    /// By what the network has been like: the default.
    Adaptive,
}

impl Timeouts {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Fixed => "fixed",
            Self::Adaptive => "adaptive",
        }
    }

    fn config(self) -> QueryConfig {
        let is_adaptive = self == Self::Adaptive;
        QueryConfig::default().with_adaptive_timeout(is_adaptive).with_adaptive_fan_out(is_adaptive)
    }
}

/// An engine with live queries and the contacts that they have in flight.
pub(crate) struct Loaded<N: Peers> {
    pub(crate) engine: QueryEngine<N>,
    pub(crate) in_flight: VecDeque<RequestId>,
    /// Of those, the ones that are no longer.
    released: BTreeSet<RequestId>,
    /// Those that were started, the oldest first; some may have ended.
    pub(crate) queries: VecDeque<QueryId>,
    pub(crate) now: Time,
    pub(crate) pool: Vec<N::Peer>,
    pub(crate) rng: ChaCha8Rng,
    live: usize,
    lane: Lane,
    timeouts: Timeouts,
    /// The next peer that nobody has seen.
    stranger: u64,
}

/// Candidates of each query.
pub(crate) const CANDIDATES: usize = 20;
/// The most queries that are started beyond those that live.
const MORE_MAX: usize = 1 << 12;
/// Questions whose answers are kept, for those that ask them.
const KEPT: u64 = 10_000;

impl<N: Peers> Loaded<N> {
    pub(crate) fn new(live: usize, lane: Lane, timeouts: Timeouts) -> Self {
        let mut loaded = Self::knowing_all(live, lane, timeouts);
        loaded.refill();
        loaded
    }

    /// Room for so many queries, and every peer of the pool known.
    pub(crate) fn knowing_all(live: usize, lane: Lane, timeouts: Timeouts) -> Self {
        let pool_size = live.max(10_000);
        // Room for every candidate that the queries can have, or what is measured is a refusal.
        let peers_max = (live * 160).max(pool_size * 4);
        let caps = Caps { queries_max: live + MORE_MAX, peers_max, ..Caps::default() };
        let cache = CacheConfig {
            entries_max: KEPT as usize,
            bytes_max: usize::MAX,
            ttl: Duration::from_secs(86_400),
            ..CacheConfig::default()
        };
        let config = EngineConfig::default().with_caps(caps).with_cache(cache);
        let mut loaded = Self {
            engine: QueryEngine::new(config, N::peer(u64::MAX), [1; 32]),
            in_flight: VecDeque::new(),
            released: BTreeSet::new(),
            queries: VecDeque::new(),
            now: Time::from_millis(1_000),
            pool: (0..pool_size as u64).map(N::peer).collect(),
            rng: ChaCha8Rng::seed_from_u64(7),
            live,
            lane,
            timeouts,
            stranger: 1 << 40,
        };
        for peer in &loaded.pool {
            let query = Query::new(0)
                .fetch_from([peer.clone()])
                .config(QueryConfig::default().with_timeout(Duration::from_nanos(1)));
            let id = loaded.engine.start(loaded.now, query).expect("there is room");
            loaded.engine.cancel(loaded.now, id);
            while loaded.engine.poll_output().is_some() {}
        }
        loaded
    }

    /// Asks and is answered, so that so many items are kept of each of [`KEPT`] questions.
    pub(crate) fn keep_answers(&mut self, items: u64) {
        let config = QueryConfig::default().with_cache(CachePolicy::Refresh).with_max_results(1_000);
        for number in 0..KEPT {
            // One whom nobody else asks, so that no contact has to wait.
            let peers = [N::peer(u64::MAX - 1)];
            self.start(self.to(number).fetch_from(peers).config(config.clone()));
            self.queries.pop_back();
            let request = self.in_flight.pop_back().expect("the peer is asked");
            self.reply(request, Reply::with_items((0..items).map(Answer).collect()));
        }
    }

    fn to(&self, number: u64) -> Query<N> {
        Query::new(number).route(Route::walk(Key::of(&number.to_le_bytes())))
    }

    /// One with [`CANDIDATES`] candidates.
    pub(crate) fn query(&mut self) -> Query<N> {
        let peers = self.draw(CANDIDATES);
        let request = self.rng.next_u64();
        let config = self.timeouts.config().with_timeout(Duration::from_secs(10)).with_max_results(1_000);
        let query = Query::new(request).config(config);
        match self.lane {
            Lane::Fetch => query.fetch_from(peers),
            Lane::Walk => query.route(Route::walk_from(Key::of(&request.to_le_bytes()), peers)),
        }
    }

    /// So many peers of the pool.
    pub(crate) fn draw(&mut self, count: usize) -> Vec<N::Peer> {
        (0..count).map(|_| self.pool[self.rng.next_u64() as usize % self.pool.len()].clone()).collect()
    }

    /// Starts as many queries as are to live.
    pub(crate) fn refill(&mut self) {
        while self.engine.live() < self.live {
            let query = self.query();
            self.start(query);
        }
    }

    /// Cancels the latest queries until no more live than should.
    fn trim(&mut self) {
        while self.engine.live() > self.live {
            let query = self.queries.pop_back().expect("every live query is listed");
            self.cancel(query);
        }
    }

    /// Takes up to so many of the contacts in flight: at random, of the older half.
    fn take_in_flight(&mut self, count: usize) -> Vec<RequestId> {
        // The others are answered when there are new ones among them.
        let count = count.min(self.in_flight.len() / 4);
        let mut taken = Vec::with_capacity(count);
        while taken.len() < count && !self.in_flight.is_empty() {
            let drawn = self.rng.next_u64() as usize % self.in_flight.len().div_ceil(2);
            let request = self.in_flight.swap_remove_front(drawn).expect("drawn from those there are");
            if !self.released.remove(&request) {
                taken.push(request);
            }
        }
        taken
    }

    /// Time passes so fast that an answer takes 100 ms in the mean, however many are under way; and hardly
    /// where none comes, or all that are under way would soon be overdue.
    fn pass(&mut self, is_answer: bool) {
        let nanos = if is_answer { 100_000_000 / (self.in_flight.len() as u64).max(1) } else { 1 };
        self.now = self.now + Duration::from_nanos(nanos);
    }

    pub(crate) fn start(&mut self, query: Query<N>) {
        self.pass(false);
        let id = self.engine.start(self.now, query).expect("there is room");
        self.queries.push_back(id);
        self.drain();
    }

    fn cancel(&mut self, query: QueryId) {
        self.pass(false);
        self.engine.cancel(self.now, query);
        self.drain();
    }

    pub(crate) fn reply(&mut self, request: RequestId, reply: Reply<N>) {
        self.pass(true);
        self.engine.handle_reply(self.now, request, reply);
        self.drain();
    }

    fn tick(&mut self) {
        self.engine.handle_tick(self.now);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Contact { request, .. } => self.in_flight.push_back(request),
                Output::Release { request } => _ = self.released.insert(request),
                _ => {}
            }
        }
    }
}
