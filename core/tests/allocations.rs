//! That a reply allocates nothing once its query is warm.
//!
//! Counted are the engine's own allocations from the input to the last output of it. What the caller hands in
//! (the lists of the reply) is made before, and an item or peer that owns memory would be cloned for its
//! output: here they own none. Left is what a query has to hold for itself: room for an item's id, which is
//! doubled when it is used up, and for its candidates, likewise; so the replies counted bring ids and
//! candidates for which there is room.

use std::alloc::System;

use dragnet_core::{
    EngineConfig, Item, Key, Network, Output, Query, QueryConfig, QueryEngine, Reply, RequestId, Route, Time,
};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

enum Numbers {}

#[derive(Clone, PartialEq, Debug)]
struct Number(u64);

impl Item for Number {
    type Id = u64;

    fn id(&self) -> u64 {
        self.0
    }
}

impl Network for Numbers {
    type Peer = u64;
    type Request = u64;
    type Item = Number;

    fn key(peer: &u64) -> Key {
        Key::of(&peer.to_le_bytes())
    }
}

struct Engine {
    engine: QueryEngine<Numbers>,
    now: u64,
    in_flight: Vec<RequestId>,
    found: usize,
}

impl Engine {
    fn asking(query: Query<Numbers>) -> Self {
        let engine = QueryEngine::new(EngineConfig::default(), u64::MAX, [7; 32]);
        let mut engine = Self { engine, now: 0, in_flight: Vec::with_capacity(64), found: 0 };
        engine.engine.start(Time::ZERO, query).expect("the query starts");
        engine.drain();
        engine
    }

    /// Answers the oldest contact; how often that allocated.
    fn reply(&mut self, reply: Reply<Numbers>) -> usize {
        self.now += 1_000_000;
        let request = self.in_flight.remove(0);
        let region = Region::new(ALLOCATOR);
        self.engine.handle_reply(Time::from_nanos(self.now), request, reply);
        self.drain();
        let change = region.change();
        change.allocations + change.reallocations
    }

    fn drain(&mut self) {
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Contact { request, .. } => self.in_flight.push(request),
                Output::Found { .. } => self.found += 1,
                _ => {}
            }
        }
    }
}

/// One test: the allocator counts what all threads do.
#[test]
fn a_warm_query_allocates_nothing_for_a_reply() {
    let config = || QueryConfig::default().with_max_results(1_000);
    let mut fetch = Engine::asking(Query::new(1).fetch_from(0..100).config(config()));
    // Twenty ids have room for eight more.
    for n in 0..20 {
        fetch.reply(Reply::with_items(vec![Number(n)]));
    }
    for n in 20..28 {
        assert_eq!(fetch.reply(Reply::with_items(vec![Number(n)])), 0, "a fetch reply with item {n}");
    }
    for n in 20..28 {
        assert_eq!(fetch.reply(Reply::with_items(vec![Number(n)])), 0, "a fetch reply with item {n} again");
    }
    assert_eq!(fetch.found, 28);

    let target = Key::of(b"target");
    let mut walk = Engine::asking(
        Query::new(2).route(Route::walk_from(target, (0..128).collect())).config(config().with_closest(100)),
    );
    for n in 0..20 {
        walk.reply(Reply::with_closer((n * 20..n * 20 + 20).collect()));
    }
    for n in 0..20 {
        let closer = (n * 20..n * 20 + 20).collect();
        assert_eq!(walk.reply(Reply::with_closer(closer)), 0, "reply {n} of a walk");
    }
}
