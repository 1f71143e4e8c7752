use std::cmp::Ordering;

use dragnet_core::{Failure, Invalid, Query, Reason, Reply, Route, Step};

use crate::bench::{Answer, Bench, LOCAL, Numbers, answer, config, key, ms, query};

#[test]
fn an_item_is_delivered_once_whoever_sends_it() {
    let mut bench = Bench::new();
    let id = bench.start(query().fetch_from([1, 2, 3]));
    bench.items(1, &[10, 11, 10]);
    bench.items(2, &[11, 12]);
    bench.reply(3, Reply::with_items(vec![Answer { id: 10, version: 9 }]));
    assert_eq!(bench.ids(id), [10, 11, 12]);
    let outcome = bench.outcome(id);
    assert_eq!((outcome.reason, outcome.results, outcome.stats.duplicate), (Reason::Exhausted, 3, 3));
    bench.assert_nothing_left();
}

#[test]
fn a_query_stops_early_when_it_has_enough() {
    let mut bench = Bench::new();
    let id = bench.start(query().fetch_from([1, 2, 3, 4]).config(config().with_max_results(2)));
    bench.items(1, &[10, 11, 12]);
    assert_eq!(bench.ids(id), [10, 11]);
    assert_eq!(bench.outcome(id).reason, Reason::EnoughResults);
    assert_eq!(bench.released.len(), 2, "the others are released");
    assert_eq!(bench.engine.metrics().contacts_started, 3, "and the fourth is never asked");
    bench.assert_nothing_left();
}

#[test]
fn the_answer_names_its_peer_and_both_times() {
    let mut bench = Bench::new();
    bench.pass(ms(1_000));
    let id = bench.start(query().fetch_from([1]));
    bench.pass(ms(10));
    bench.sent(1);
    bench.pass(ms(20));
    bench.items(1, &[1]);
    let found = &bench.found[&id][0];
    assert_eq!(found.from, Some(1));
    assert_eq!(found.response_time, Some(ms(20)), "waiting in the transport's queue is not response time");
    assert_eq!(found.elapsed, ms(30));
    assert_eq!(bench.outcome(id).stats.first_item, Some(ms(30)));
}

#[test]
fn providers_that_a_walk_finds_are_fetched_from_in_the_fetch_lanes_own_slots() {
    let mut bench = Bench::new();
    let search = query()
        .route(Route::walk_from(key(0), vec![1, 2, 3]))
        .fetch_providers()
        .config(config().with_fan_out(2));
    let id = bench.start(search);
    bench.reply(1, Reply::with_providers(vec![40, 41, 42, 40, LOCAL]));
    assert_eq!(bench.asked(), [2, 3, 40, 41]);
    assert_eq!(bench.contacts[2].2, Step::Fetch);
    bench.closer(2, &[]);
    bench.closer(3, &[]);
    assert!(bench.is_live(id), "the walk is over, the fetches are not");
    for peer in [40, 41, 42] {
        bench.items(peer, &[peer]);
    }
    assert_eq!(bench.ids(id), [40, 41, 42]);
    bench.assert_nothing_left();
}

#[test]
fn a_peer_may_be_asked_in_both_lanes_but_once_in_each() {
    let mut bench = Bench::new();
    let search = query().route(Route::walk_from(key(0), vec![1])).fetch_providers();
    let id = bench.start(search);
    bench.reply(1, Reply::with_providers(vec![1]));
    assert_eq!(bench.asked(), [1]);
    bench.reply(1, Reply { providers: vec![1], closer: vec![1], ..Reply::default() });
    assert_eq!(bench.outcome(id).stats.contacted, 2);
    bench.assert_nothing_left();
}

#[test]
fn providers_are_ignored_by_a_query_that_does_not_fetch() {
    let mut bench = Bench::new();
    let id = bench.start(query().route(Route::walk_from(key(0), vec![1])));
    bench.reply(1, Reply::with_providers(vec![2]));
    assert_eq!(bench.outcome(id).stats.contacted, 1);
}

#[test]
fn a_refused_item_is_counted_and_does_not_hide_a_valid_one_of_its_id() {
    let mut bench = Bench::new();
    let even = |_: &&str, item: &Answer| {
        if item.version == 0 { Ok(()) } else { Err(Invalid::new("a version from nowhere")) }
    };
    let id = bench.start(query().fetch_from([1, 2]).validator(even));
    bench.reply(1, Reply::with_items(vec![Answer { id: 5, version: 1 }, answer(6)]));
    bench.items(2, &[5]);
    assert_eq!(bench.ids(id), [6, 5]);
    assert_eq!(bench.outcome(id).stats.invalid, 1);
    assert_eq!(bench.score(1).cmp(&500), Ordering::Less);
    assert_eq!(bench.score(2).cmp(&500), Ordering::Greater);
}

#[test]
fn an_unreadable_part_counts_against_the_peer_and_the_rest_is_used() {
    let mut bench = Bench::new();
    let id = bench.start(query().fetch_from([1]));
    bench.reply(1, Reply { invalid: 3, ..Reply::with_items(vec![answer(1)]) });
    assert_eq!(bench.ids(id), [1]);
    assert_eq!(bench.outcome(id).stats.invalid, 3);
    assert!(bench.score(1) < 500);
}

#[test]
fn an_answer_that_is_no_answer_is_a_failure_and_invalid() {
    let mut bench = Bench::new();
    let id = bench.start(query().fetch_from([1, 2]));
    bench.fail(1, Failure::Invalid);
    bench.fail(2, Failure::Local);
    let stats = bench.outcome(id).stats;
    assert_eq!((stats.failed, stats.invalid), (2, 1));
    assert_eq!(bench.score(2), 500, "what went wrong here says nothing of the peer");
    assert!(bench.score(1) < 500);
}

#[test]
fn late_repeated_and_forged_answers_change_nothing() {
    let mut bench = Bench::new();
    let id = bench.start(query().fetch_from([1, 2]));
    let (first, second) = (bench.request(1), bench.request(2));
    bench.items(1, &[10]);
    let now = bench.now;
    let forged = dragnet_core::RequestId::from_u64(u64::MAX);
    for request in [first, forged] {
        bench.engine.handle_reply(now, request, Reply::with_items(vec![answer(99)]));
        bench.engine.handle_failure(now, request, Failure::Refused);
        bench.engine.handle_progress(now, request, None, Reply::with_items(vec![answer(99)]));
        bench.engine.handle_done(now, request, Default::default());
    }
    bench.engine.handle_progress(now, second, Some(2), Reply::with_items(vec![answer(98)]));
    bench.engine.handle_done(now, second, Default::default());
    assert!(bench.engine.poll_output().is_none());
    assert_eq!(bench.engine.metrics().inputs_unknown, 10);
    bench.items(2, &[11]);
    assert_eq!(bench.ids(id), [10, 11]);
}

#[test]
fn the_answer_to_a_former_contact_is_not_taken_for_that_of_a_new_one_in_its_slot() {
    let mut bench = Bench::new();
    let one: Query<Numbers> = query().fetch_from([1]);
    let first = bench.start(one.clone());
    let old = bench.request(1);
    bench.engine.cancel(bench.now, first);
    bench.drain();
    let second = bench.start(one);
    let new = bench.request(1);
    assert_ne!(old, new);
    bench.engine.handle_reply(bench.now, old, Reply::with_items(vec![answer(66)]));
    bench.drain();
    assert!(bench.is_live(second));
    assert!(bench.ids(second).is_empty());
}
