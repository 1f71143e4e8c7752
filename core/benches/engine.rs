//! What one event costs with so many live queries: `cargo bench -p dragnet-core --bench engine`.
//!
//! A part is named as criterion wants it:
//! `cargo bench -p dragnet-core --bench engine -- fetch-reply/adaptive`, or by its end with `'/10000$'`. Only
//! what is named is filled.

use std::env;
use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

use common::{Bulky, Lane, Loaded, Operation, Peers, Slim, Timeouts};

#[expect(dead_code, reason = "the other benches use the rest")]
mod common;

const LIVE: [usize; 4] = [1_000, 10_000, 100_000, 1_000_000];
/// The number of live queries for which there are budgets: here the variants are measured, too.
const BUDGETED: usize = 10_000;

fn every_path(criterion: &mut Criterion) {
    for lane in [Lane::Fetch, Lane::Walk] {
        for live in LIVE {
            paths::<Bulky>(criterion, lane, Timeouts::Adaptive, live);
        }
        paths::<Bulky>(criterion, lane, Timeouts::Fixed, BUDGETED);
        paths::<Slim>(criterion, lane, Timeouts::Adaptive, BUDGETED);
    }
}

/// All operations of a lane, on one engine.
fn paths<N: Peers>(criterion: &mut Criterion, lane: Lane, timeouts: Timeouts, live: usize) {
    let name = |operation: Operation| format!("{}/{}/{}", operation.name(lane), timeouts.name(), N::NAME);
    let wanted = env::args().skip(1).find(|argument| !argument.starts_with("--"));
    let is_wanted = |operation: Operation| {
        let full = format!("{}/{live}", name(operation));
        wanted.as_ref().is_none_or(|wanted| match wanted.strip_suffix('$') {
            Some(end) => full.ends_with(end),
            None => full.contains(wanted),
        })
    };
    if !Operation::of(lane).iter().any(|operation| is_wanted(*operation)) {
        return;
    }
    let mut loaded = Loaded::<N>::new(live, lane, timeouts);
    for &operation in Operation::of(lane).iter().filter(|operation| is_wanted(**operation)) {
        let mut group = criterion.benchmark_group(name(operation));
        measure(&mut group, &mut loaded, operation, live);
        group.finish();
    }
}

/// What is done with is made outside the measured time.
#[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
fn measure<N: Peers>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    loaded: &mut Loaded<N>,
    operation: Operation,
    live: usize,
) {
    group.throughput(Throughput::Elements(1)).sample_size(10);
    // Between two timeouts many replies come, which take time and are not measured.
    let budget = Duration::from_millis(if operation == Operation::TickOverdue { 100 } else { 1_000 });
    group.warm_up_time(budget / 4).measurement_time(budget);
    group.bench_function(BenchmarkId::from_parameter(live), |bencher| {
        bencher.iter_custom(|iterations| {
            let mut spent = Duration::ZERO;
            let mut left = iterations as usize;
            while left > 0 {
                let inputs = loaded.prepare(operation, left);
                left -= inputs.len();
                let start = Instant::now();
                loaded.run(inputs);
                spent += start.elapsed();
            }
            spent
        });
    });
}

criterion_group!(benches, every_path);
criterion_main!(benches);
