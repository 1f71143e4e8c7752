use dragnet_core::{Failure, LookupTotals, Reason, Reply, Route};

use crate::bench::{Bench, answer, ms, query};

fn delegated() -> dragnet_core::Query<crate::bench::Numbers> {
    query().route(Route::delegated()).fetch_providers()
}

#[test]
fn a_lookup_reports_many_times_and_its_providers_are_fetched_from() {
    let mut bench = Bench::new();
    let id = bench.start(delegated());
    let request = bench.lookups[0];
    for provider in [1, 2] {
        let reply = Reply::with_providers(vec![provider]);
        bench.engine.handle_progress(bench.now, request, Some(9), reply);
    }
    bench.drain();
    assert_eq!(bench.asked(), [1, 2]);
    bench.items(1, &[10]);
    bench.items(2, &[10, 11]);
    assert!(bench.is_live(id), "the lookup may bring more");
    let totals = LookupTotals { contacted: 20, replied: 18, failed: 2 };
    bench.lookups.clear();
    bench.engine.handle_done(bench.now, request, totals);
    bench.drain();
    let outcome = bench.outcome(id);
    assert_eq!(outcome.reason, Reason::Converged);
    assert_eq!(
        (outcome.stats.contacted, outcome.stats.replied, outcome.stats.failed),
        (22, 20, 2),
        "the lookup's totals and the fetches"
    );
    bench.assert_nothing_left();
}

#[test]
fn a_lookups_items_are_delivered_with_their_peer_if_it_is_known() {
    let mut bench = Bench::new();
    let id = bench.start(delegated());
    let request = bench.lookups[0];
    bench.engine.handle_progress(bench.now, request, None, Reply::with_items(vec![answer(1)]));
    bench.engine.handle_progress(bench.now, request, Some(3), Reply::with_items(vec![answer(1), answer(2)]));
    bench.drain();
    assert_eq!(
        bench.found[&id].iter().map(|f| (f.item.id, f.from)).collect::<Vec<_>>(),
        [(1, None), (2, Some(3))]
    );
    assert_eq!(bench.found[&id][0].response_time, None);
}

#[test]
fn a_lookup_has_no_timeout_but_the_querys_deadline() {
    let mut bench = Bench::new();
    let id = bench.start(delegated());
    bench.pass(ms(9_999));
    assert!(bench.is_live(id));
    bench.pass(ms(1));
    assert_eq!(bench.outcome(id).reason, Reason::DeadlineReached);
    assert_eq!(bench.released.len(), 1);
    let stats = &bench.outcome(id).stats;
    assert_eq!((stats.contacted, stats.replied, stats.failed), (1, 0, 1), "it leaves a trace");
    bench.assert_nothing_left();
}

#[test]
fn a_failed_lookup_leaves_the_query_exhausted() {
    let mut bench = Bench::new();
    let id = bench.start(delegated());
    bench.engine.handle_failure(bench.now, bench.lookups[0], Failure::Unsupported);
    bench.lookups.clear();
    bench.drain();
    let outcome = bench.outcome(id);
    assert_eq!(outcome.reason, Reason::Exhausted);
    assert_eq!((outcome.stats.contacted, outcome.stats.failed), (1, 1));
    let metrics = bench.engine.metrics();
    assert_eq!((metrics.lookups_started, metrics.lookups_failed, metrics.lookups_in_flight), (1, 1, 0));
    bench.assert_nothing_left();
}

#[test]
fn an_invalid_item_of_a_lookup_counts_against_its_peer() {
    let mut bench = Bench::new();
    bench.start(delegated().fetch_from([3]));
    let request = bench.lookups[0];
    let reply = || Reply { invalid: 1, ..Reply::default() };
    bench.engine.handle_progress(bench.now, request, Some(3), reply());
    bench.engine.handle_progress(bench.now, request, Some(77), reply());
    bench.engine.handle_progress(bench.now, request, None, reply());
    bench.drain();
    assert!(bench.score(3) < 500 && bench.score(77) < 500, "known or not");
    assert_eq!(bench.engine.metrics().invalid, 3);
}
