//! Engines full of live queries, and what is done to them.
//!
//! What an input costs depends on how old the queries are: how many candidates they have, and how many of their
//! contacts are overdue. So every engine is brought to the same mix, however many queries live ([`Mix`] says
//! which). It is filled as it goes on living later: for every [`REPLIES_MEAN`] replies one query begins, first in a
//! free place and then in the place of one drawn at random. By both rules a query has had so many replies in
//! the mean, and few have had several times as many. Who answers next is drawn from all that are asked, and
//! time passes so that an answer takes 100 ms in the mean, or about half of that, as queries end before.
//! Whatever is measured, [`Loaded`] lives on before the next time until the mix is as it was.

use std::hash::{BuildHasherDefault, DefaultHasher};
use std::time::Duration;

use dragnet_core::{
    CacheConfig, CachePolicy, Caps, EngineConfig, Key, Output, Query, QueryConfig, QueryEngine, QueryId,
    Reply, RequestId, Route, Time,
};
use hashbrown::HashSet;
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

#[allow(unused_imports, reason = "each bench uses some of these")]
pub(crate) use life::Mix;
#[allow(unused_imports, reason = "each bench uses some of these")]
pub(crate) use networks::{Answer, Bulky, Peers, Slim};
#[allow(unused_imports, reason = "each bench uses some of these")]
pub(crate) use operations::{Input, Operation};

mod life;
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
        let config = QueryConfig::default();
        let config = config.with_adaptive_timeout(is_adaptive).with_adaptive_fan_out(is_adaptive);
        if is_adaptive { config } else { config.with_soft_timeout(SOFT_TIMEOUT) }
    }
}

/// An engine with live queries and the contacts that they have in flight.
pub(crate) struct Loaded<N: Peers> {
    pub(crate) engine: QueryEngine<N>,
    pub(crate) now: Time,
    pub(crate) pool: Vec<N::Peer>,
    in_flight: Vec<(RequestId, QueryId)>,
    /// Of those, the ones that are no longer.
    released: HashSet<RequestId, BuildHasherDefault<DefaultHasher>>,
    /// Those that were started; some may have ended.
    queries: Vec<QueryId>,
    /// What the engine has said and was not looked at yet: that is not to be measured.
    outputs: Vec<Output<N>>,
    /// What is owed to the mix.
    debts: life::Debts,
    rng: ChaCha8Rng,
    live: usize,
    lane: Lane,
    timeouts: Timeouts,
    /// The next peer that nobody has seen.
    stranger: u64,
}

/// Candidates of each query.
pub(crate) const CANDIDATES: usize = 20;
/// The replies that a live query has had, in the mean.
const REPLIES_MEAN: i64 = 4;
/// What one contact in twenty takes longer than.
const SOFT_TIMEOUT: Duration = Duration::from_millis(160);
/// How often each peer of the pool has answered before the first query: what is known of it is settled then.
const REPLIES_PER_PEER: usize = 5;
/// The most inputs that are measured in a row: their replies lie in the cache, as what was just read does.
const BATCH_MAX: usize = 1 << 8;
/// Peers of a small network; in a larger one there are as many as live queries.
const PEERS_MIN: usize = 10_000;
/// Questions whose answers are kept, for those that ask them.
const KEPT: u64 = 10_000;

impl<N: Peers> Loaded<N> {
    /// An engine that has lived for a while. Its table of peers is full, the third of it that the queries refer
    /// to and two thirds of idle ones: a new peer takes the place of one of those, and no table grows any more.
    pub(crate) fn new(live: usize, lane: Lane, timeouts: Timeouts) -> Self {
        let mut loaded = Self::knowing_all(live, lane, timeouts);
        for _ in 0..(2 * loaded.pool.len()).div_ceil(CANDIDATES) {
            let strangers = loaded.strangers(CANDIDATES);
            loaded.introduce(strangers);
        }
        (0..REPLIES_PER_PEER).for_each(|_| loaded.ask_all());
        if lane == Lane::Fetch {
            loaded.keep_answers();
        }
        loaded.live_on();
        // What has begun with the filling has ended.
        loaded.live_for(loaded.pool.len());
        loaded
    }

    /// Room for so many queries, and every peer of the pool known.
    pub(crate) fn knowing_all(live: usize, lane: Lane, timeouts: Timeouts) -> Self {
        let pool_size = live.max(PEERS_MIN);
        let caps = Caps {
            queries_max: (live + BATCH_MAX).max(pool_size / CANDIDATES),
            peers_max: 3 * pool_size,
            ..Caps::default()
        };
        let cache = CacheConfig {
            entries_max: KEPT as usize,
            bytes_max: usize::MAX,
            ttl: Duration::from_secs(86_400),
            ..CacheConfig::default()
        };
        let config = EngineConfig::default().with_caps(caps).with_cache(cache);
        let mut loaded = Self {
            engine: QueryEngine::new(config, N::peer(u64::MAX), [1; 32]),
            now: Time::from_millis(1_000),
            pool: (0..pool_size as u64).map(N::peer).collect(),
            in_flight: Vec::new(),
            released: HashSet::default(),
            queries: Vec::new(),
            outputs: Vec::new(),
            debts: life::Debts::default(),
            rng: ChaCha8Rng::seed_from_u64(7),
            live,
            lane,
            timeouts,
            stranger: 1 << 40,
        };
        let pool = std::mem::take(&mut loaded.pool);
        pool.chunks(CANDIDATES).for_each(|peers| loaded.introduce(peers.to_vec()));
        loaded.pool = pool;
        loaded
    }

    /// Starts as many queries as are to live, none of which has had a reply.
    pub(crate) fn refill(&mut self) {
        while self.engine.live() < self.live {
            self.begin_one();
        }
    }

    /// Bytes of the lists that the bench keeps beside the engine.
    pub(crate) fn kept_by_bench(&self) -> usize {
        self.in_flight.capacity() * size_of::<(RequestId, QueryId)>()
            + self.queries.capacity() * size_of::<QueryId>()
            + self.outputs.capacity() * size_of::<Output<N>>()
    }

    /// Makes the engine know peers, which no query refers to afterwards.
    fn introduce(&mut self, peers: Vec<N::Peer>) {
        let config = QueryConfig::default().with_timeout(Duration::from_nanos(1));
        let query = Query::new(0).fetch_from(peers).config(config);
        let id = self.engine.start(self.now, query).expect("there is room");
        self.engine.cancel(self.now, id);
        while self.engine.poll_output().is_some() {}
    }

    /// Asks and is answered, so that an item is kept for each of [`KEPT`] questions.
    fn keep_answers(&mut self) {
        let config = QueryConfig::default().with_cache(CachePolicy::Refresh).with_max_results(1_000);
        for number in 0..KEPT {
            // One whom nobody else asks, so that no contact has to wait.
            let peers = [N::peer(u64::MAX - 1)];
            let query = question(number).fetch_from(peers).config(config.clone());
            self.engine.start(self.now, query).expect("there is room");
            while let Some(output) = self.engine.poll_output() {
                if let Output::Contact { request, .. } = output {
                    self.now = self.now + life::RESPONSE_TIME;
                    self.engine.handle_reply(self.now, request, Reply::with_items(vec![Answer(0)]));
                }
            }
        }
    }

    /// One with [`CANDIDATES`] candidates.
    fn query(&mut self) -> Query<N> {
        let peers = self.draw(CANDIDATES);
        let request = KEPT + self.rng.next_u64() / 2;
        let config = self.timeouts.config().with_timeout(Duration::from_secs(10)).with_max_results(1_000);
        let query = Query::new(request).config(config);
        match self.lane {
            Lane::Fetch => query.fetch_from(peers),
            Lane::Walk => query.route(Route::walk_from(Key::of(&request.to_le_bytes()), peers)),
        }
    }

    /// One that has been answered and whose answer is kept.
    fn kept_question(&mut self) -> Query<N> {
        let config = QueryConfig::default()
            .with_cache(CachePolicy::Fresh)
            .with_timeout(Duration::from_secs(10))
            .with_max_results(1);
        question(self.rng.next_u64() % KEPT).config(config)
    }

    /// So many peers of the pool.
    fn draw(&mut self, count: usize) -> Vec<N::Peer> {
        (0..count).map(|_| self.pool[self.rng.next_u64() as usize % self.pool.len()].clone()).collect()
    }

    /// So many peers that nobody has heard of.
    fn strangers(&mut self, count: usize) -> Vec<N::Peer> {
        self.stranger += count as u64;
        (self.stranger - count as u64..self.stranger).map(N::peer).collect()
    }
}

fn question<N: Peers>(number: u64) -> Query<N> {
    Query::new(number).route(Route::walk(Key::of(&number.to_le_bytes())))
}
