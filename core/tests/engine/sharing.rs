//! Queries that ask the same while one of them is under way.

use std::sync::Arc;

use dragnet_core::{
    Agreement, CachePolicy, Caps, Delivery, EngineConfig, Invalid, Query, QueryConfig, Reason, Reply, Route,
    Source, Validator,
};

use crate::bench::{Answer, Bench, Numbers, answer, config, key, ms, query};

fn shared() -> QueryConfig {
    config().with_cache(CachePolicy::Refresh)
}

/// A query of three peers, so configured.
fn ask(config: QueryConfig) -> Query<Numbers> {
    query().fetch_from([1, 2, 3]).config(config)
}

#[test]
fn who_joins_late_gets_what_has_been_found_and_then_what_follows() {
    let mut bench = Bench::new();
    let first = bench.start(ask(shared()));
    bench.pass(ms(10));
    bench.items(1, &[10, 11]);
    bench.pass(ms(20));
    let late = bench.start(ask(shared()));
    assert_eq!(bench.ids(late), [10, 11]);
    let found = &bench.found[&late];
    assert_eq!((found[1].age, found[1].elapsed, found[1].from), (ms(20), ms(0), Some(1)));
    assert_eq!(found[1].response_time, Some(ms(10)));
    bench.items(2, &[11, 12]);
    bench.items(3, &[]);
    assert_eq!((bench.ids(first), bench.ids(late)), (vec![10, 11, 12], vec![10, 11, 12]));
    assert_eq!(bench.found[&late][2].age, ms(0));
    for id in [first, late] {
        let outcome = bench.outcome(id);
        assert_eq!((outcome.reason, outcome.results, outcome.cached), (Reason::Exhausted, 3, None));
        assert_eq!(outcome.stats.contacted, 3, "the contacts are those of both");
    }
    assert_eq!((bench.outcome(first).stats.total, bench.outcome(late).stats.total), (ms(30), ms(0)));
    assert_eq!(bench.outcome(late).stats.first_item, Some(ms(0)));
    assert_eq!(bench.engine.metrics().queries_joined, 1);
    assert_eq!(bench.engine.metrics().contacts_started, 3);
    bench.assert_nothing_left();
}

#[test]
fn a_thousand_equal_queries_make_the_contacts_of_one() {
    let mut bench = Bench::new();
    let ids: Vec<_> = (0..1_000).map(|_| bench.start(ask(shared()))).collect();
    assert_eq!(bench.asked(), [1, 2, 3]);
    assert_eq!(bench.engine.live_state().work, 1);
    assert_eq!(bench.engine.live_state().queries, 1_000);
    for peer in [1, 2, 3] {
        bench.items(peer, &[peer, 7]);
    }
    for id in ids {
        assert_eq!(bench.ids(id), [1, 7, 2, 3]);
        assert_eq!(bench.outcome(id).stats.contacted, 3);
    }
    assert_eq!(bench.engine.metrics().contacts_started, 3);
    bench.assert_nothing_left();
}

#[test]
fn each_has_its_own_limit_and_the_work_goes_on_for_the_others() {
    let mut bench = Bench::new();
    let one = bench.start(ask(shared().with_max_results(1)));
    let two = bench.start(ask(shared().with_max_results(2)));
    let many = bench.start(ask(shared()));
    bench.items(1, &[10]);
    assert_eq!(bench.outcome(one).reason, Reason::EnoughResults);
    assert!(bench.released.is_empty());
    let late = bench.start(ask(shared().with_max_results(1)));
    assert_eq!((bench.outcome(late).reason, bench.ids(late)), (Reason::EnoughResults, vec![10]));
    bench.items(2, &[11, 12, 13]);
    assert_eq!((bench.ids(two), bench.ids(many)), (vec![10, 11], vec![10, 11, 12, 13]));
    bench.items(3, &[]);
    assert_eq!(bench.outcome(many).reason, Reason::Exhausted);
    bench.assert_nothing_left();
}

#[test]
fn each_has_its_own_deadline_counted_from_its_own_start() {
    let mut bench = Bench::new();
    let slow = shared().with_soft_timeout(ms(500));
    let short = bench.start(ask(slow.clone().with_timeout(ms(100))));
    bench.pass(ms(60));
    let long = bench.start(ask(slow.with_timeout(ms(100))));
    bench.pass(ms(40));
    assert_eq!(bench.outcome(short).reason, Reason::DeadlineReached);
    assert!(bench.is_live(long) && bench.released.is_empty(), "the contacts are needed still");
    bench.items(1, &[10]);
    assert_eq!((bench.ids(short), bench.ids(long)), (vec![], vec![10]));
    bench.pass(ms(60));
    assert_eq!(bench.outcome(long).stats.total, ms(100));
    assert_eq!(bench.released.len(), 2);
    bench.assert_nothing_left();
}

#[test]
fn when_the_one_that_began_is_cancelled_the_others_go_on() {
    let mut bench = Bench::new();
    let first = bench.start(ask(shared().with_fan_out(1)));
    let second = bench.start(ask(shared().with_fan_out(1)));
    assert!(bench.engine.cancel(bench.now, first));
    bench.drain();
    assert_eq!(bench.outcome(first).reason, Reason::Cancelled);
    assert!(bench.released.is_empty());
    bench.items(1, &[10]);
    assert!(bench.log.last().unwrap().contains(&second.to_string()), "the contacts are now in its name");
    bench.items(2, &[]);
    bench.items(3, &[]);
    assert_eq!(bench.ids(second), [10]);
    bench.assert_nothing_left();
}

#[test]
fn who_shares_nothing_is_not_joined_and_does_not_join() {
    let mut bench = Bench::new();
    bench.start(ask(config()));
    bench.start(ask(shared()));
    bench.start(ask(config()));
    assert_eq!(bench.asked(), [1, 2, 3, 1, 2, 3, 1, 2, 3]);
}

#[test]
fn queries_share_only_what_is_equal_in_everything_that_matters() {
    let walk = || Route::walk_from(key(0), vec![1]);
    let valid = |_: &&str, _: &Answer| Ok::<(), Invalid>(());
    let validator: Arc<dyn Validator<Numbers>> = Arc::new(valid);
    let other: Arc<dyn Validator<Numbers>> = Arc::new(valid);
    let to = |request, route| {
        let query = Query::new(request).route(route).fetch_from([1]);
        query.shared_validator(Arc::clone(&validator)).config(shared())
    };
    let base = || to("what", walk());
    let differing = [
        to("else", walk()),
        base().route(walk()),
        to("what", Route::walk_from(key(1), vec![1])),
        to("what", walk().in_source(Source(1))),
        to("what", Route::delegated()),
        base().agreement(Agreement::One),
        base().fetch_from([2]),
        base().fetch_providers(),
        base().shared_validator(other),
        base().selector(|_: &&str, one: &Answer, other: &Answer| one.version.cmp(&other.version)),
        base().config(shared().with_fan_out(2)),
        base().config(shared().with_hedges_max(2)),
        base().config(shared().with_closest(2)),
        base().config(shared().with_adaptive_fan_out(false)),
        base().config(shared().with_adaptive_timeout(false)),
        base().config(shared().with_soft_timeout(ms(2))),
        base().config(shared().with_request_timeout(ms(2))),
        base().config(shared().with_delivery(Delivery::BestAtEnd)),
    ];
    for (index, query) in differing.into_iter().enumerate() {
        let mut bench = Bench::new();
        bench.start(base());
        bench.start(query.clone());
        assert_eq!(bench.engine.metrics().queries_joined, 0, "the difference at {index}");
        bench.start(query);
        assert_eq!(bench.engine.metrics().queries_joined, 1, "no difference from itself, at {index}");
    }
    let own = [
        to("what", Route::walk_from(key(0), vec![4, 5])),
        base().config(shared().with_timeout(ms(7)).with_max_results(3)),
        base().config(config().with_cache(CachePolicy::Fresh).with_max_age(ms(3))),
        base().config(config().with_cache(CachePolicy::Stale)),
    ];
    let mut bench = Bench::new();
    bench.start(base());
    for (joined, query) in own.into_iter().enumerate() {
        bench.start(query);
        assert_eq!(bench.engine.metrics().queries_joined, joined as u64 + 1);
    }
}

#[test]
fn a_quorum_that_was_reached_before_counts_for_who_joins() {
    let mut bench = Bench::new();
    let quorum = shared().with_delivery(Delivery::Quorum(2));
    let first = bench.start(ask(quorum.clone()));
    bench.items(1, &[10, 11]);
    bench.items(2, &[10]);
    let late = bench.start(ask(quorum.clone()));
    let short = bench.start(ask(quorum.with_max_results(1)));
    assert_eq!(bench.outcome(short).reason, Reason::QuorumReached);
    assert_eq!(bench.ids(late), [10]);
    assert_eq!(bench.found[&late][0].votes, 2);
    bench.items(3, &[]);
    assert_eq!((bench.ids(first), bench.ids(late)), (vec![10, 11], vec![10, 11]), "11 is held to the end");
    bench.assert_nothing_left();
}

#[test]
fn what_is_held_to_the_end_is_given_to_each_at_its_own() {
    let mut bench = Bench::new();
    let best = shared().with_delivery(Delivery::BestAtEnd).with_soft_timeout(ms(500));
    let short = bench.start(ask(best.clone().with_timeout(ms(100))));
    let long = bench.start(ask(best.with_timeout(ms(300))));
    bench.reply(1, Reply::with_items(vec![answer(10)]));
    bench.pass(ms(100));
    assert_eq!(bench.ids(short), [10]);
    bench.items(2, &[10, 11]);
    bench.items(3, &[]);
    assert_eq!((bench.ids(short), bench.ids(long)), (vec![10], vec![10, 11]));
    assert_eq!(bench.found[&long][0].votes, 2);
    bench.assert_nothing_left();
}

#[test]
fn who_wants_more_than_has_been_held_back_asks_for_itself() {
    let mut bench = Bench::new();
    let best = shared().with_delivery(Delivery::BestAtEnd);
    bench.start(ask(best.clone().with_max_results(2)));
    bench.items(1, &[10, 11, 12]);
    let as_many = bench.start(ask(best.clone().with_max_results(2)));
    assert_eq!(bench.engine.metrics().queries_joined, 1);
    let more = bench.start(ask(best.clone().with_max_results(3)));
    assert_eq!(bench.engine.metrics().queries_joined, 1, "12 is lost to that work");
    // Whoever comes now joins the later one.
    bench.start(ask(best.with_max_results(3)));
    assert_eq!(bench.engine.metrics().queries_joined, 2);
    for peer in [2, 3, 1, 2, 3] {
        bench.items(peer, &[10, 11, 12]);
    }
    assert_eq!((bench.ids(as_many).len(), bench.ids(more).len()), (2, 3));
    bench.assert_nothing_left();
}

#[test]
fn disjoint_routes_agree_for_all_that_share_them() {
    let mut bench = Bench::new();
    let routes = || {
        let two = query().route(Route::walk_from(key(0), vec![1])).route(Route::walk_from(key(0), vec![2]));
        two.agreement(Agreement::All).config(shared())
    };
    let first = bench.start(routes());
    bench.items(1, &[10]);
    let late = bench.start(routes());
    assert_eq!(bench.ids(late), [] as [u32; 0]);
    bench.items(2, &[10]);
    assert_eq!((bench.ids(first), bench.ids(late)), (vec![10], vec![10]));
    bench.assert_nothing_left();
}

#[test]
fn nobody_is_given_an_item_that_is_older_than_it_allows() {
    let mut bench = Bench::new();
    bench.start(ask(shared()));
    bench.items(1, &[10]);
    bench.pass(ms(50));
    let patient = bench.start(ask(shared().with_max_age(ms(50))));
    assert_eq!(bench.ids(patient), [10]);
    let strict = bench.start(ask(shared().with_max_age(ms(49))));
    assert_eq!(bench.ids(strict), [] as [u32; 0]);
    assert_eq!(bench.asked(), [2, 3, 1, 2, 3]);
    // The earlier of two equal works ends, and the later one is joined still.
    bench.items(2, &[]);
    bench.items(3, &[]);
    bench.start(ask(shared()));
    assert_eq!(bench.engine.metrics().queries_joined, 2);
}

#[test]
fn a_delegated_lookup_is_shared_too() {
    let mut bench = Bench::new();
    let lookup = || query().route(Route::delegated()).config(shared());
    let first = bench.start(lookup());
    let request = bench.lookups[0];
    bench.engine.handle_progress(bench.now, request, None, Reply::with_items(vec![answer(10)]));
    let late = bench.start(lookup());
    assert_eq!((bench.lookups.len(), bench.ids(late)), (1, vec![10]));
    assert!(bench.engine.cancel(bench.now, first));
    bench.drain();
    assert!(bench.released.is_empty());
    assert!(bench.engine.cancel(bench.now, late));
    bench.drain();
    assert_eq!(bench.released, [request]);
}

#[test]
fn every_query_that_joins_counts_against_the_cap() {
    let caps = Caps { queries_max: 2, ..Caps::default() };
    let mut bench = Bench::with(EngineConfig::default().with_caps(caps));
    bench.start(ask(shared()));
    bench.start(ask(shared()));
    assert!(bench.engine.start(bench.now, ask(shared())).is_err());
}

#[test]
fn a_query_without_time_joins_nobody() {
    let mut bench = Bench::new();
    bench.start(ask(shared()));
    bench.items(1, &[10]);
    let hasty = bench.start(ask(shared().with_timeout(ms(0))));
    assert_eq!((bench.outcome(hasty).reason, bench.ids(hasty)), (Reason::DeadlineReached, vec![]));
}
