//! Many queries at once, and nothing left of them.

use dragnet_core::front::FrontConfig;
use dragnet_core::{QueryConfig, Reason};

use crate::kit::{Rig, ask, ms, ready, walk, word};

/// So many at once, of three kinds: one answered, one that only its deadline ends, one dropped.
fn many_at_once(queries: usize) {
    let (mut rig, wire) = Rig::with_config(FrontConfig::default().with_commands_max(queries));
    wire.silent(1..=1000);
    for peer in 1001..=2000 {
        wire.answers(peer, ms(u64::from(1 + peer % 100)), [word(1), word(2)]);
    }
    let handles: Vec<_> = (0..queries as u32)
        .map(|n| {
            let peers = if n % 3 == 0 { [1001 + n % 1000, 1] } else { [1 + n % 1000, 2] };
            rig.query(ask(peers).config(QueryConfig::low_latency().with_max_results(2).with_fan_out(2)))
        })
        .collect();
    rig.run();
    assert_eq!(rig.driver().live(), queries);
    let mut kept = Vec::new();
    for (n, handle) in handles.into_iter().enumerate() {
        if n % 3 != 2 {
            kept.push((n, handle));
        }
    }
    rig.run_out();
    for (n, mut handle) in kept {
        let outcome = handle.outcome().expect("every query has ended").clone();
        let (reason, results) =
            if n % 3 == 0 { (Reason::EnoughResults, 2) } else { (Reason::DeadlineReached, 0) };
        assert_eq!((outcome.reason, outcome.results), (reason, results), "query {n}");
        assert_eq!(ready(&mut handle).len(), results);
    }
    rig.assert_empty(&wire);
    let metrics = rig.client().metrics();
    assert_eq!(metrics.queries_finished, queries as u64);
    assert_eq!(metrics.queries_cancelled, queries as u64 / 3);
}

#[test]
fn a_thousand_queries_at_once() {
    many_at_once(1_002);
}

#[test]
fn ten_thousand_queries_at_once() {
    many_at_once(10_002);
}

#[test]
fn after_ten_thousand_queries_engine_driver_and_transport_are_empty() {
    let (mut rig, wire) = Rig::new();
    wire.silent(1..=20);
    (21..=60).for_each(|peer| wire.answers(peer, ms(1), [word(peer.into())]));
    let config = QueryConfig::low_latency().with_timeout(ms(100));
    let mut handles = Vec::new();
    for n in 0..10_000u32 {
        let query = match n % 4 {
            0 => walk(&n.to_be_bytes()),
            1 => ask([21 + n % 40, 22, 23]),
            2 => ask([1 + n % 20]),
            _ => ask([99, 21]),
        };
        let handle = rig.query(query.config(config.clone()));
        if n % 5 != 0 {
            handles.push(handle);
        }
        if n % 10 == 0 {
            rig.run();
            rig.clock.advance(ms(1));
        }
    }
    rig.run_out();
    rig.assert_empty(&wire);
    assert!(handles.iter().all(|handle| handle.outcome().is_some()));
    assert_eq!(rig.clock.next(), None, "nobody waits for anything");
    let metrics = rig.client().metrics();
    assert!(metrics.queries_started >= 8_000, "those dropped before their start never started");
    assert_eq!(metrics.queries_finished, metrics.queries_started);
    let shutdown = rig.client().shutdown();
    rig.block_on(shutdown);
}
