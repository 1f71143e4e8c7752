//! What a live query holds: `cargo bench -p dragnet-core --bench memory`.
//!
//! Counted by the allocator, contacts, timers and the index by id included; the table of peers, which
//! queries share, is counted apart.

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;

use common::{CANDIDATES, Lane, Loaded, Peer};
use dragnet_core::RequestId;

#[expect(dead_code, reason = "the bench of the events uses the rest")]
mod common;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn main() {
    println!("bytes of a live query with {CANDIDATES} candidates, and of a known peer");
    println!("{:>9} {:>6} {:>12} {:>12}", "live", "lane", "query", "peer");
    for live in [1_000, 10_000, 100_000] {
        for (lane, name) in [(Lane::Fetch, "fetch"), (Lane::Walk, "walk")] {
            let [query, peer] = measure(live, lane);
            println!("{live:>9} {name:>6} {query:>12} {peer:>12}");
        }
    }
}

fn measure(live: usize, lane: Lane) -> [usize; 2] {
    let before = Region::new(ALLOCATOR);
    let mut loaded = Loaded::knowing_all(live);
    let known = loaded.engine.metrics().peers_known as usize;
    let pool = loaded.pool.capacity() * size_of::<Peer>();
    let peers = held(&before) - pool;

    let before = Region::new(ALLOCATOR);
    for _ in 0..live {
        let query = loaded.query(lane);
        loaded.start(query);
    }
    let in_flight = loaded.in_flight.capacity() * size_of::<RequestId>();
    [(held(&before) - in_flight) / live, peers / known]
}

/// Bytes allocated in the region and not freed since.
fn held(region: &Region<'_, System>) -> usize {
    let change = region.change();
    change.bytes_allocated - change.bytes_deallocated
}
