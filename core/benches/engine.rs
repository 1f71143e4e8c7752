//! What one event costs with so many live queries: `cargo bench -p dragnet-core --bench engine`.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use dragnet_core::{CachePolicy, QueryConfig, Reply};
use rand_core::Rng;

use common::{Answer, Bulky, Lane, Loaded, Peer};

mod common;

const LIVE: [usize; 4] = [100, 1_000, 10_000, 100_000];
/// Peers that nobody has seen stay in the table: 100 000 queries would fill it with 6 GB of them.
const LIVE_AMONG_STRANGERS: [usize; 3] = [100, 1_000, 10_000];

/// Answers contacts of randomly chosen queries, the replies made outside the measured time.
#[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
fn replies(
    criterion: &mut Criterion,
    name: &str,
    live: &[usize],
    lane: Lane,
    mut make: impl FnMut(&mut Loaded) -> Reply<Bulky>,
) {
    let mut group = criterion.benchmark_group(name);
    group.throughput(Throughput::Elements(1)).sample_size(10).measurement_time(Duration::from_secs(3));
    for &live in live {
        let mut loaded = Loaded::new(live, lane);
        group.bench_function(BenchmarkId::from_parameter(live), |bencher| {
            bencher.iter_custom(|mut iterations| {
                let mut spent = Duration::ZERO;
                while iterations > 0 {
                    // Queries that have come to their end are replaced outside the measured time.
                    while loaded.engine.live() < live {
                        let query = loaded.query(lane);
                        loaded.start(query);
                    }
                    let mut batch = loaded.take_in_flight();
                    let rest = batch.split_off(batch.len().min(iterations.min(1 << 16) as usize));
                    loaded.in_flight = rest;
                    iterations -= batch.len() as u64;
                    let work: Vec<_> =
                        batch.into_iter().map(|request| (request, make(&mut loaded))).collect();
                    let start = Instant::now();
                    for (request, reply) in work {
                        loaded.reply(request, black_box(reply));
                    }
                    spent += start.elapsed();
                }
                spent
            });
        });
    }
    group.finish();
}

fn fetch_reply(criterion: &mut Criterion) {
    let one_item = |loaded: &mut Loaded| Reply::with_items(vec![Answer(loaded.rng.next_u64())]);
    replies(criterion, "fetch_reply_with_one_item", &LIVE, Lane::Fetch, one_item);
}

fn walk_reply(criterion: &mut Criterion) {
    let known = |loaded: &mut Loaded| Reply::with_closer(loaded.draw(20));
    replies(criterion, "walk_reply_with_20_known_peers", &LIVE, Lane::Walk, known);
    let mut number = 1 << 40;
    let unknown = move |_: &mut Loaded| {
        number += 20;
        Reply::with_closer((number..number + 20).map(Peer::new).collect())
    };
    replies(criterion, "walk_reply_with_20_new_peers", &LIVE_AMONG_STRANGERS, Lane::Walk, unknown);
}

/// Queries that are given a kept answer of 1, 20 or 100 items, with ten thousand answers kept.
#[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
fn cache_hit(criterion: &mut Criterion) {
    const KEPT: u64 = 10_000;
    let mut group = criterion.benchmark_group("cache_hit");
    group.throughput(Throughput::Elements(1)).sample_size(10).measurement_time(Duration::from_secs(3));
    for items in [1, 20, 100] {
        let mut loaded = Loaded::keeping(KEPT, items);
        let config = QueryConfig::default().with_cache(CachePolicy::Fresh).with_max_results(100);
        group.bench_function(BenchmarkId::from_parameter(items), |bencher| {
            bencher.iter_custom(|iterations| {
                let mut spent = Duration::ZERO;
                for batch in (0..iterations).step_by(1 << 12) {
                    let count = (iterations - batch).min(1 << 12);
                    let queries: Vec<_> =
                        (0..count).map(|_| loaded.question(KEPT).config(config.clone())).collect();
                    let start = Instant::now();
                    for query in queries {
                        loaded.start(black_box(query));
                    }
                    spent += start.elapsed();
                }
                spent
            });
        });
        let metrics = loaded.engine.metrics();
        assert_eq!((metrics.cache_misses, loaded.in_flight.len()), (0, 0), "all were kept");
    }
    group.finish();
}

criterion_group!(benches, fetch_reply, walk_reply, cache_hit);
criterion_main!(benches);
