//! A network whose peers are as large as a libp2p `PeerId`, and engines full of live queries.

use std::time::Duration;

use dragnet_core::{
    CacheConfig, CachePolicy, Caps, EngineConfig, Item, Key, Network, Output, Query, QueryConfig,
    QueryEngine, Reply, RequestId, Route, Time,
};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

#[derive(Debug)]
pub(crate) enum Bulky {}

/// 80 bytes, as a libp2p `PeerId` has.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Peer {
    code: u64,
    digest: [u64; 8],
    size: u8,
}

impl Peer {
    pub(crate) fn new(number: u64) -> Self {
        let mut digest = [0; 8];
        digest[..4].copy_from_slice(&ChaCha8Rng::seed_from_u64(number).random_words());
        Self { code: 0x12, digest, size: 32 }
    }
}

trait Words {
    fn random_words(self) -> [u64; 4];
}

impl Words for ChaCha8Rng {
    fn random_words(mut self) -> [u64; 4] {
        [(); 4].map(|()| self.next_u64())
    }
}

#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Answer(pub(crate) u64);

impl Item for Answer {
    type Id = u64;

    fn id(&self) -> u64 {
        self.0
    }
}

impl Network for Bulky {
    type Peer = Peer;
    type Request = u64;
    type Item = Answer;

    fn key(peer: &Peer) -> Key {
        let mut bytes = [0; 34];
        for (chunk, word) in bytes[2..].chunks_mut(8).zip(peer.digest) {
            chunk.copy_from_slice(&word.to_le_bytes());
        }
        Key::of(&bytes)
    }
}

/// Which lane the live queries use.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Lane {
    Fetch,
    Walk,
}

/// An engine with live queries and the contacts that they have in flight.
pub(crate) struct Loaded {
    pub(crate) engine: QueryEngine<Bulky>,
    pub(crate) in_flight: Vec<RequestId>,
    pub(crate) now: Time,
    pub(crate) pool: Vec<Peer>,
    pub(crate) rng: ChaCha8Rng,
}

/// Candidates of each query.
pub(crate) const CANDIDATES: usize = 20;

impl Loaded {
    pub(crate) fn new(live: usize, lane: Lane) -> Self {
        let mut loaded = Self::knowing_all(live);
        for _ in 0..live {
            let query = loaded.query(lane);
            loaded.start(query);
        }
        loaded
    }

    /// Room for so many queries, and every peer of the pool known.
    pub(crate) fn knowing_all(live: usize) -> Self {
        let pool_size = live.max(10_000);
        // Room for every candidate that the queries can have, or what is measured is a refusal.
        let peers_max = (live * 160).max(pool_size * 4);
        let caps = Caps { queries_max: live, peers_max, ..Caps::default() };
        let mut loaded = Self {
            engine: QueryEngine::new(EngineConfig::default().with_caps(caps), Peer::new(u64::MAX), [1; 32]),
            in_flight: Vec::new(),
            now: Time::from_millis(1_000),
            pool: (0..pool_size as u64).map(Peer::new).collect(),
            rng: ChaCha8Rng::seed_from_u64(7),
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

    pub(crate) fn query(&mut self, lane: Lane) -> Query<Bulky> {
        let peers = self.draw(CANDIDATES);
        let request = self.rng.next_u64();
        let config = QueryConfig::default().with_timeout(Duration::from_secs(10)).with_max_results(1_000);
        let query = Query::new(request).config(config);
        match lane {
            Lane::Fetch => query.fetch_from(peers),
            Lane::Walk => query.route(Route::walk_from(Key::of(&request.to_le_bytes()), peers)),
        }
    }

    /// One that keeps the answers to so many questions, each of so many items, and has no live query.
    pub(crate) fn keeping(answers: u64, items: u64) -> Self {
        let cache =
            CacheConfig { entries_max: answers as usize, bytes_max: usize::MAX, ..CacheConfig::default() };
        let mut loaded = Self::knowing_all(1);
        loaded.engine =
            QueryEngine::new(EngineConfig::default().with_cache(cache), Peer::new(u64::MAX), [1; 32]);
        let config = QueryConfig::default().with_cache(CachePolicy::Refresh).with_max_results(1_000);
        for number in 0..answers {
            let peers = [loaded.pool[0].clone()];
            loaded.start(loaded.to(number).fetch_from(peers).config(config.clone()));
            let request = loaded.in_flight.pop().expect("the peer is asked");
            loaded.reply(request, Reply::with_items((0..items).map(Answer).collect()));
        }
        loaded
    }

    /// One of so many questions that were asked.
    pub(crate) fn question(&mut self, answers: u64) -> Query<Bulky> {
        let number = self.rng.next_u64() % answers;
        self.to(number).fetch_from([self.pool[0].clone()])
    }

    fn to(&self, number: u64) -> Query<Bulky> {
        Query::new(number).route(Route::walk(Key::of(&number.to_le_bytes())))
    }

    pub(crate) fn start(&mut self, query: Query<Bulky>) {
        self.now = self.now + Duration::from_nanos(1_000);
        self.engine.start(self.now, query).expect("there is room");
        self.drain();
    }

    /// So many peers of the pool.
    pub(crate) fn draw(&mut self, count: usize) -> Vec<Peer> {
        (0..count).map(|_| self.pool[self.rng.next_u64() as usize % self.pool.len()].clone()).collect()
    }

    /// Takes the contacts that are in flight now, in random order.
    pub(crate) fn take_in_flight(&mut self) -> Vec<RequestId> {
        let mut taken = std::mem::take(&mut self.in_flight);
        for last in (1..taken.len()).rev() {
            taken.swap(last, self.rng.next_u64() as usize % (last + 1));
        }
        taken
    }

    pub(crate) fn reply(&mut self, request: RequestId, reply: Reply<Bulky>) {
        self.now = self.now + Duration::from_nanos(1_000);
        self.engine.handle_reply(self.now, request, reply);
        self.drain();
    }

    pub(crate) fn drain(&mut self) {
        while let Some(output) = self.engine.poll_output() {
            if let Output::Contact { request, .. } = output {
                self.in_flight.push(request);
            }
        }
    }
}
