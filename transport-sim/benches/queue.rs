//! The timing wheel beside a binary heap: the cost of an event with so many pending.
//!
//! Each event that comes out puts another in, at a network's delay from now, as in a simulation under
//! load. Steady state, one core.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use dragnet_core::Time;
use dragnet_sim::{EventQueue, HeapQueue, Wheel};

/// 10 ms to 160 ms, in nanoseconds, from a counter: Stafford's mix.
fn delay(n: u64) -> u64 {
    let mut x = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    10_000_000 + (x ^ (x >> 31)) % 150_000_000
}

fn filled<Q: EventQueue<u64>>(mut queue: Q, pending: u64) -> Q {
    (0..pending).for_each(|n| queue.push(Time::from_nanos(delay(n)), n));
    queue
}

fn turn<Q: EventQueue<u64>>(queue: &mut Q, events: u64) {
    for _ in 0..events {
        let (now, n) = queue.pop().expect("as many go in as come out");
        queue.push(Time::from_nanos(now.as_nanos() + delay(n ^ now.as_nanos())), n);
    }
}

fn bench(c: &mut Criterion) {
    const EVENTS: u64 = 10_000;
    let mut group = c.benchmark_group("event");
    group.throughput(Throughput::Elements(EVENTS));
    for pending in [1_000u64, 100_000, 1_000_000] {
        let mut wheel = filled(Wheel::new(), pending);
        group.bench_function(BenchmarkId::new("wheel", pending), |b| {
            b.iter(|| turn(black_box(&mut wheel), EVENTS));
        });
        let mut heap = filled(HeapQueue::new(), pending);
        group.bench_function(BenchmarkId::new("heap", pending), |b| {
            b.iter(|| turn(black_box(&mut heap), EVENTS));
        });
    }
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
