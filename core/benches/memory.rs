//! What a live query holds: `cargo bench -p dragnet-core --bench memory`.
//!
//! Counted by the allocator, contacts, timers and the index by id included; the table of peers, which
//! queries share, is counted apart.

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;

use common::{Bulky, CANDIDATES, Lane, Loaded, Peers, Slim, Timeouts};

#[expect(dead_code, reason = "the bench of the events uses the rest")]
mod common;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn main() {
    println!("bytes of a live query with {CANDIDATES} candidates, and of a known peer");
    println!("{:>14} {:>9} {:>6} {:>12} {:>12}", "network", "live", "lane", "query", "peer");
    for live in [1_000, 10_000, 100_000, 1_000_000] {
        for lane in [Lane::Fetch, Lane::Walk] {
            show::<Bulky>(live, lane);
        }
    }
    show::<Slim>(10_000, Lane::Fetch);
    show::<Slim>(10_000, Lane::Walk);
}

fn show<N: Peers>(live: usize, lane: Lane) {
    let [query, peer] = measure::<N>(live, lane);
    let lane = if lane == Lane::Fetch { "fetch" } else { "walk" };
    println!("{:>14} {live:>9} {lane:>6} {query:>12} {peer:>12}", N::NAME);
}

fn measure<N: Peers>(live: usize, lane: Lane) -> [usize; 2] {
    let before = Region::new(ALLOCATOR);
    let mut loaded = Loaded::<N>::knowing_all(live, lane, Timeouts::Adaptive);
    let known = loaded.engine.metrics().peers_known as usize;
    let pool = loaded.pool.capacity() * size_of::<N::Peer>();
    let peers = held(&before) - pool;

    let before = Region::new(ALLOCATOR);
    loaded.refill();
    [(held(&before) - loaded.kept_by_bench()) / live, peers / known]
}

/// Bytes allocated in the region and not freed since.
fn held(region: &Region<'_, System>) -> usize {
    let change = region.change();
    change.bytes_allocated - change.bytes_deallocated
}
