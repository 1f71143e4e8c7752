//! Queries that are given kept answers, and the refreshes that nobody waits for.

use dragnet_core::front::FrontConfig;
use dragnet_core::{CacheConfig, CachePolicy, EngineConfig, Query, QueryConfig};

use crate::kit::{Rig, WireView, Words, ask, ms, ready, word};

fn asking(policy: CachePolicy) -> Query<Words> {
    ask([1]).config(QueryConfig::default().with_cache(policy))
}

/// A rig that keeps an answer of five words, which has just become stale, and whose peer is silent now.
fn stale() -> (Rig, WireView) {
    let cache = CacheConfig { ttl: ms(100), ..CacheConfig::default() };
    let mut config = FrontConfig::default();
    config.engine = EngineConfig::default().with_cache(cache);
    let (mut rig, wire) = Rig::with_config(config);
    wire.answers(1, ms(1), (0..5).map(word));
    let first = rig.query(asking(CachePolicy::Refresh));
    rig.block_on(first.collect()).expect("an outcome");
    wire.silent([1]);
    rig.clock.advance(ms(100));
    rig.run();
    (rig, wire)
}

#[test]
fn items_and_end_of_a_kept_answer_come_with_the_start() {
    let (mut rig, wire) = stale();
    let small = QueryConfig::default().with_cache(CachePolicy::Stale).with_max_results(2);
    let mut handle = rig.query(ask([1]).config(small));
    let polls = rig.polls;
    assert!(rig.poll());
    assert_eq!((rig.polls - polls, ready(&mut handle).len()), (1, 2));
    let outcome = handle.outcome().expect("it has ended");
    assert!(outcome.cached.is_some_and(|cached| cached.age == ms(100) && cached.is_stale));
    assert_eq!((rig.driver().live(), wire.open()), (0, 1), "asked again behind");
    assert_eq!(rig.client().metrics().cache_stale_hits, 1);
}

#[test]
fn a_driver_without_clients_does_not_wait_for_a_refresh() {
    let (mut rig, wire) = stale();
    let handle = rig.query(asking(CachePolicy::Stale));
    rig.block_on(handle.collect()).expect("an outcome");
    assert_eq!(wire.open(), 1);
    rig.client = None;
    rig.run();
    assert!(rig.has_returned);
    assert_eq!(wire.released(), 1);
    rig.assert_empty(&wire);
}

#[test]
fn a_shutdown_releases_a_refresh() {
    let (mut rig, wire) = stale();
    let handle = rig.query(asking(CachePolicy::Stale));
    rig.block_on(handle.collect()).expect("an outcome");
    let shutdown = rig.client().shutdown();
    rig.block_on(shutdown);
    assert_eq!(wire.released(), 1);
    rig.assert_empty(&wire);
}

#[test]
fn a_refresh_wakes_its_driver_to_the_end() {
    let (mut rig, wire) = stale();
    wire.answers(1, ms(1), (0..6).map(word));
    let handle = rig.query(asking(CachePolicy::Stale));
    rig.block_on(handle.collect()).expect("an outcome");
    rig.run_out();
    rig.assert_empty(&wire);
    let handle = rig.query(asking(CachePolicy::Fresh));
    let (found, _) = rig.block_on(handle.collect()).expect("an outcome");
    assert_eq!(found.len(), 6);
}

#[test]
fn a_refresh_alone_makes_no_snapshot_of_the_metrics_at_each_event() {
    let (mut rig, wire) = stale();
    let both = |policy| ask(1..=3).config(QueryConfig::default().with_cache(policy));
    (1..=3).for_each(|peer| wire.answers(peer, ms(peer.into()), [word(peer.into())]));
    let first = rig.query(both(CachePolicy::Refresh));
    rig.block_on(first.collect()).expect("an outcome");
    wire.silent([3]);
    rig.clock.advance(ms(100));
    rig.run();
    let handle = rig.query(both(CachePolicy::Stale));
    rig.block_on(handle.collect()).expect("an outcome");
    let replied = |rig: &Rig| {
        let exact = rig.driver().engine().metrics().contacts_replied;
        (exact, rig.client().metrics().contacts_replied)
    };
    // Of the refresh: one reply long after the last snapshot, one soon after the next, and none.
    let mut step = |by| {
        rig.clock.advance(ms(by));
        rig.run();
        replied(&rig)
    };
    assert_eq!([step(1), step(1), step(100)], [(5, 5), (6, 5), (6, 6)]);
}

#[test]
fn a_dropped_handle_leaves_the_others_their_answers() {
    let (mut rig, wire) = Rig::new();
    wire.answers(1, ms(5), (0..5).map(word));
    let first = rig.query(asking(CachePolicy::Fresh));
    rig.run();
    let second = rig.query(asking(CachePolicy::Fresh));
    rig.run();
    drop(first);
    let (found, _) = rig.block_on(second.collect()).expect("an outcome");
    assert_eq!((found.len(), wire.contacts()), (5, 1));
    rig.assert_empty(&wire);
}
