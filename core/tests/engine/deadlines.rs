use dragnet_core::{Reason, Reply, Route, Time};

use crate::bench::{Bench, answer, config, key, ms, query};

#[test]
fn what_was_found_by_the_deadline_is_delivered_and_the_end_is_an_ordinary_one() {
    let mut bench = Bench::new();
    let id = bench.start(query().fetch_from([1, 2]).config(config().with_timeout(ms(500))));
    bench.pass(ms(100));
    bench.items(1, &[10, 11]);
    bench.pass(ms(399));
    assert!(bench.is_live(id), "never called timed out before");
    assert_eq!(bench.engine.poll_timeout(), Some(Time::from_millis(500)));
    bench.pass(ms(1));
    let outcome = bench.outcome(id);
    assert_eq!((outcome.reason, outcome.results), (Reason::DeadlineReached, 2));
    assert_eq!(outcome.stats.total, ms(500));
    bench.assert_nothing_left();
}

#[test]
fn a_reply_at_the_deadline_delivers_nothing_even_if_no_tick_came_before_it() {
    let mut bench = Bench::new();
    let id = bench.start(query().fetch_from([1]).config(config().with_timeout(ms(500))));
    let request = bench.request(1);
    let deadline = Time::from_millis(500);
    bench.engine.handle_reply(deadline, request, Reply::with_items(vec![answer(1)]));
    bench.drain();
    assert!(bench.ids(id).is_empty());
    assert_eq!(bench.outcome(id).reason, Reason::DeadlineReached);
    assert_eq!(bench.released, [request]);
}

#[test]
fn every_query_has_its_own_deadline() {
    let mut bench = Bench::new();
    let ids: Vec<_> = [300, 100, 200]
        .into_iter()
        .map(|timeout| bench.start(query().fetch_from([1]).config(config().with_timeout(ms(timeout)))))
        .collect();
    for (passed, ended) in [(100, ids[1]), (200, ids[2]), (300, ids[0])] {
        assert_eq!(bench.engine.poll_timeout(), Some(Time::from_millis(passed)));
        bench.pass(ms(100));
        assert_eq!(bench.outcome(ended).stats.total, ms(passed));
    }
}

#[test]
fn at_the_deadline_only_the_overdue_are_failures() {
    let mut bench = Bench::new();
    let config = config().with_timeout(ms(500)).with_fan_out(1).with_soft_timeout(ms(300));
    let id = bench.start(query().fetch_from([1, 2]).config(config));
    bench.pass(ms(500));
    let stats = bench.outcome(id).stats;
    assert_eq!((stats.contacted, stats.overdue, stats.failed), (2, 1, 1));
    assert!(bench.score(1) < 500);
    assert_eq!(bench.score(2), 500);
}

#[test]
fn an_overdue_contact_that_is_released_teaches_how_slow_its_peer_is() {
    let mut bench = Bench::new();
    let config = config().with_soft_timeout(ms(100)).with_max_results(1);
    bench.start(query().fetch_from([1, 2]).config(config));
    bench.pass(ms(400));
    bench.items(2, &[5]);
    let slow = bench.engine.peers(bench.now).find(|report| report.peer == 1).unwrap();
    assert_eq!(slow.response_time, Some(ms(400)));
    assert_eq!(slow.score, 500, "but an early stop is no failure of its");
}

#[test]
fn a_contact_due_at_the_deadline_is_not_begun() {
    let mut bench = Bench::new();
    let config = config().with_timeout(ms(100)).with_soft_timeout(ms(100)).with_fan_out(1);
    let id = bench.start(query().fetch_from([1, 2]).config(config));
    bench.pass(ms(100));
    let stats = bench.outcome(id).stats;
    assert_eq!((stats.contacted, stats.overdue), (1, 0));
}

#[test]
fn a_late_tick_finds_everything_as_it_was_due() {
    let mut bench = Bench::new();
    let config = config().with_timeout(ms(500)).with_soft_timeout(ms(100)).with_request_timeout(ms(200));
    let id = bench.start(query().fetch_from([1, 2]).config(config));
    bench.engine.handle_tick(Time::from_millis(60_000));
    bench.drain();
    let outcome = bench.outcome(id);
    // Overdue at 100 ms, given up at 200 ms: nobody was left to ask, but the deadline had come first.
    assert_eq!((outcome.stats.overdue, outcome.stats.failed), (2, 2));
    assert_eq!(outcome.reason, Reason::DeadlineReached);
    bench.assert_nothing_left();
}

#[test]
fn what_the_driver_slept_through_is_not_the_peers_fault() {
    let mut bench = Bench::new();
    let short = config().with_timeout(ms(500)).with_soft_timeout(ms(100));
    bench.start(query().fetch_from([1]).config(short));
    let given_up = config().with_soft_timeout(ms(100)).with_request_timeout(ms(200));
    bench.start(query().fetch_from([2]).config(given_up));
    bench.engine.handle_tick(Time::from_millis(60_000));
    bench.drain();
    let response_time = |peer| {
        let report = bench.engine.peers(bench.now).find(|report| report.peer == peer).unwrap();
        report.response_time
    };
    assert_eq!((response_time(1), response_time(2)), (Some(ms(500)), Some(ms(200))));
}

#[test]
fn a_query_without_time_asks_nobody() {
    let mut bench = Bench::new();
    let id = bench.start(query().fetch_from([1]).config(config().with_timeout(ms(0))));
    assert_eq!(bench.outcome(id).reason, Reason::DeadlineReached);
    assert_eq!(bench.outcome(id).stats.contacted, 0);
    bench.assert_nothing_left();
}

#[test]
fn a_query_without_end_has_no_timer_but_its_contacts() {
    let mut bench = Bench::new();
    let forever = config().with_timeout(std::time::Duration::MAX).with_request_timeout(ms(200));
    let id = bench.start(query().route(Route::delegated()).fetch_from([1]).config(forever));
    bench.pass(ms(200));
    assert_eq!(bench.engine.poll_timeout(), None);
    assert!(bench.is_live(id), "the lookup is still under way");
}

#[test]
fn time_that_goes_back_counts_as_the_latest_seen() {
    let mut bench = Bench::new();
    bench.pass(ms(1_000));
    bench.engine.handle_tick(bench.now);
    let id = bench.engine.start(Time::ZERO, query().fetch_from([1]).config(config().with_timeout(ms(500))));
    bench.drain();
    assert_eq!(bench.engine.metrics().time_reversals, 1);
    bench.pass(ms(499));
    assert!(bench.is_live(id.unwrap()));
    bench.pass(ms(1));
    assert_eq!(bench.outcome(id.unwrap()).stats.total, ms(500));
}

#[test]
fn a_cancelled_query_releases_all_and_says_so_once() {
    let mut bench = Bench::new();
    let walk = Route::walk_from(key(0), vec![1, 2, 3, 4]);
    let id = bench.start(query().route(walk).route(Route::delegated()).fetch_from([7]));
    assert!(bench.engine.cancel(bench.now, id));
    assert!(!bench.engine.cancel(bench.now, id), "only once");
    bench.drain();
    assert_eq!(bench.outcome(id).reason, Reason::Cancelled);
    assert_eq!(bench.released.len(), 5);
    assert_eq!((bench.outcome(id).stats.contacted, bench.outcome(id).stats.failed), (5, 0), "nobody's fault");
    assert!(bench.log.last().unwrap().starts_with("Finished"), "the end comes after the last release");
    bench.assert_nothing_left();
}

#[test]
fn a_timeout_whose_contact_has_gone_is_not_named_though_another_query_has_taken_its_slot() {
    let mut bench = Bench::new();
    let config = config().with_soft_timeout(ms(100));
    // Goes on without a contact, since the transport's lookup does.
    bench.start(query().route(Route::delegated()).fetch_from([1]).config(config.clone()));
    bench.pass(ms(40));
    bench.items(1, &[]);
    bench.start(query().fetch_from([2]).config(config));
    assert_eq!(bench.engine.poll_timeout(), Some(Time::from_millis(140)));
    bench.pass(ms(20));
    bench.sent(2);
    assert_eq!(bench.engine.poll_timeout(), Some(Time::from_millis(160)), "moved to later in its place");
    bench.items(2, &[]);
    assert_eq!(bench.engine.poll_timeout(), Some(Time::from_millis(10_000)), "the deadline is left");
}
