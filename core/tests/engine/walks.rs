use dragnet_core::{Failure, Reason, Reply, Route, Step};

use crate::bench::{Bench, LOCAL, answer, config, key, ms, query};

fn walk(candidates: &[u32]) -> dragnet_core::Query<crate::bench::Numbers> {
    query().route(Route::walk_from(key(0), candidates.to_vec()))
}

#[test]
fn the_closest_are_contacted_first_as_many_as_the_fan_out() {
    let mut bench = Bench::new();
    bench.start(walk(&[9, 3, 7, 1, 5]));
    assert_eq!(bench.asked(), [1, 3, 5]);
    assert!(bench.contacts.iter().all(|(_, _, step)| *step == Step::Route(0)));
}

#[test]
fn a_closer_peer_from_a_reply_goes_before_those_that_wait() {
    let mut bench = Bench::new();
    bench.start(walk(&[100, 200, 300, 400]));
    bench.closer(200, &[50, 150]);
    assert_eq!(bench.asked(), [100, 300, 50]);
}

#[test]
fn a_walk_converges_when_the_k_closest_have_answered() {
    let mut bench = Bench::new();
    let id = bench.start(walk(&[1, 2, 3, 4]).config(config().with_closest(2)));
    // Two slots for the two that count: the third would help only if one of them failed.
    assert_eq!(bench.asked(), [1, 2]);
    bench.closer(1, &[]);
    assert!(bench.is_live(id));
    bench.closer(2, &[]);
    assert_eq!(bench.outcome(id).reason, Reason::Converged);
    assert_eq!(bench.outcome(id).stats.contacted, 2);
    bench.assert_nothing_left();
}

#[test]
fn a_failed_candidate_is_replaced_among_the_k_closest() {
    let mut bench = Bench::new();
    let id = bench.start(walk(&[1, 2, 3]).config(config().with_closest(2)));
    bench.fail(1, Failure::Unreachable);
    assert_eq!(bench.asked(), [2, 3]);
    bench.closer(2, &[]);
    bench.closer(3, &[]);
    let outcome = bench.outcome(id);
    assert_eq!(outcome.reason, Reason::Converged);
    assert_eq!((outcome.stats.contacted, outcome.stats.replied, outcome.stats.failed), (3, 2, 1));
}

#[test]
fn a_walk_that_runs_out_of_candidates_is_exhausted() {
    let mut bench = Bench::new();
    let id = bench.start(walk(&[1, 2]));
    bench.closer(1, &[2, 1, LOCAL]);
    bench.closer(2, &[1]);
    assert_eq!(bench.outcome(id).reason, Reason::Exhausted);
    assert_eq!(bench.outcome(id).stats.contacted, 2, "neither twice nor the local peer");
    bench.assert_nothing_left();
}

#[test]
fn a_query_with_nobody_to_ask_ends_at_once() {
    let mut bench = Bench::new();
    let id = bench.start(walk(&[]));
    assert_eq!(bench.outcome(id).reason, Reason::Exhausted);
    let id = bench.start(query());
    assert_eq!(bench.outcome(id).reason, Reason::Exhausted);
    bench.assert_nothing_left();
}

#[test]
fn an_overdue_contact_gives_its_slot_away_and_its_late_answer_counts() {
    let mut bench = Bench::new();
    let id = bench.start(walk(&[1, 2, 3, 4]).config(config().with_fan_out(1).with_soft_timeout(ms(100))));
    bench.pass(ms(99));
    assert_eq!(bench.asked(), [1]);
    bench.pass(ms(1));
    assert_eq!(bench.asked(), [1, 2], "the slot went to the next");
    bench.reply(1, Reply { closer: vec![0], ..Reply::with_items(vec![answer(7)]) });
    assert_eq!(bench.ids(id), [7]);
    assert_eq!(bench.asked(), [2], "the late answer's slot is the hedge's now");
    bench.closer(2, &[]);
    assert_eq!(bench.asked(), [0], "and its closer peer is the next");
    let status = bench.engine.status(id).unwrap();
    assert_eq!((status.overdue, status.hedged, status.failed), (1, 1, 0));
}

#[test]
fn hedges_are_bounded_by_their_budget() {
    let mut bench = Bench::new();
    let config = config().with_fan_out(1).with_hedges_max(2).with_soft_timeout(ms(100));
    bench.start(walk(&[1, 2, 3, 4, 5]).config(config));
    bench.pass(ms(1_000));
    assert_eq!(bench.asked(), [1, 2, 3], "one slot and two hedges");
}

#[test]
fn an_overdue_candidate_does_not_hold_convergence_up() {
    let mut bench = Bench::new();
    let config = config().with_closest(2).with_fan_out(3).with_soft_timeout(ms(100));
    let id = bench.start(walk(&[1, 2, 3]).config(config));
    bench.closer(2, &[]);
    bench.pass(ms(100));
    assert_eq!(bench.asked(), [1, 3]);
    bench.closer(3, &[]);
    assert_eq!(bench.outcome(id).reason, Reason::Converged);
    assert_eq!(bench.released.len(), 1, "the overdue contact is released");
    assert_eq!(bench.outcome(id).stats.failed, 0, "and that is no failure");
    bench.assert_nothing_left();
}

#[test]
fn a_contact_is_given_up_at_its_request_timeout() {
    let mut bench = Bench::new();
    let config = config().with_soft_timeout(ms(100)).with_request_timeout(ms(300));
    let id = bench.start(walk(&[1]).config(config));
    bench.pass(ms(299));
    assert!(bench.is_live(id), "its answer may still come");
    bench.pass(ms(1));
    let outcome = bench.outcome(id);
    assert_eq!(outcome.reason, Reason::Exhausted);
    assert_eq!((outcome.stats.overdue, outcome.stats.failed), (1, 1));
    assert_eq!(bench.released.len(), 1);
    bench.assert_nothing_left();
}

#[test]
fn a_request_timeout_before_the_soft_one_fails_without_being_overdue() {
    let mut bench = Bench::new();
    let config = config().with_soft_timeout(ms(300)).with_request_timeout(ms(100));
    let id = bench.start(walk(&[1]).config(config));
    bench.pass(ms(100));
    let stats = bench.outcome(id).stats;
    assert_eq!((stats.overdue, stats.failed), (0, 1));
}

#[test]
fn two_routes_walk_side_by_side_and_share_results() {
    let mut bench = Bench::new();
    let routes = query()
        .route(Route::walk_from(key(0), vec![1]))
        .route(Route::walk_from(key(u32::MAX), vec![u32::MAX - 1]));
    let id = bench.start(routes);
    assert_eq!(bench.asked(), [1, u32::MAX - 1]);
    bench.items(1, &[4]);
    bench.items(u32::MAX - 1, &[4, 5]);
    assert_eq!(bench.ids(id), [4, 5]);
    assert_eq!(bench.outcome(id).stats.duplicate, 1);
}
