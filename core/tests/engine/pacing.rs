use std::time::Duration;

use dragnet_core::{Failure, QueryConfig, QueryId, Reason, Route};

use crate::bench::{Bench, config, key, ms, query};

/// Teaches the engine that peers answer in so long.
fn teach(bench: &mut Bench, peers: std::ops::Range<u32>, millis: u64) {
    for peer in peers {
        bench.start(query().fetch_from([peer]));
        bench.pass(ms(millis));
        bench.items(peer, &[]);
    }
}

/// When the answer of a peer would be late if it were asked now.
fn late_after(bench: &mut Bench, peer: u32, config: QueryConfig) -> Duration {
    let id = bench.start(query().fetch_from([peer]).config(config));
    let late = bench.engine.poll_timeout().expect("it is being asked") - bench.now;
    bench.engine.cancel(bench.now, id);
    bench.drain();
    late
}

#[test]
fn a_strangers_answer_is_late_by_what_others_took_and_a_known_peers_by_its_own_time() {
    let mut bench = Bench::new();
    assert_eq!(late_after(&mut bench, 500, config()), ms(1_000), "the start, while nothing is known");

    teach(&mut bench, 0..20, 40);
    let stranger = late_after(&mut bench, 600, config());
    assert_eq!(stranger, ms(50), "and 10 ms for the noise of schedulers");

    // SRTT 5 ms and RTTVAR 2.5 ms after one measurement.
    teach(&mut bench, 700..701, 5);
    assert_eq!(late_after(&mut bench, 700, config()), ms(25));
    teach(&mut bench, 701..702, 900);
    assert_eq!(late_after(&mut bench, 701, config()), stranger, "nobody holds a slot for longer");

    bench.start(query().fetch_from([702]));
    bench.fail(702, Failure::Closed);
    assert!(late_after(&mut bench, 702, config()) <= stranger, "who has failed is given less");

    let fixed = config().with_adaptive_timeout(false);
    assert_eq!(late_after(&mut bench, 700, fixed), ms(1_000), "fixed is fixed");
}

#[test]
fn late_answers_count_so_that_a_network_that_becomes_slow_is_waited_for() {
    let mut bench = Bench::new();
    teach(&mut bench, 0..100, 40);
    assert_eq!(late_after(&mut bench, 500, config()), ms(50));
    // Every answer is late now, and comes all the same.
    teach(&mut bench, 100..116, 200);
    assert!(late_after(&mut bench, 500, config()) >= ms(200));
}

/// A query with fan-out 2 and one hedge, whose first peers have answered and whose next are silent.
fn with_the_silent(bench: &mut Bench, config: QueryConfig) -> QueryId {
    teach(bench, 1_000..1_020, 40);
    let config = config.with_fan_out(2).with_adaptive_fan_out(false).with_hedges_max(1);
    let id = bench.start(query().fetch_from(0..8).config(config));
    bench.items(0, &[]);
    bench.items(1, &[]);
    assert_eq!(bench.asked(), [2, 3]);
    id
}

#[test]
fn overdue_contacts_that_use_up_the_hedges_are_given_up_when_an_answer_would_be_a_wonder() {
    let mut bench = Bench::new();
    with_the_silent(&mut bench, config());
    bench.pass(ms(110));
    assert_eq!(bench.asked(), [2, 3, 4], "the hedge is used");
    bench.pass(ms(70));
    assert_eq!(bench.asked(), [4, 5, 6], "after four times the 95th percentile");

    let mut bench = Bench::new();
    let id = with_the_silent(&mut bench, config().with_adaptive_timeout(false).with_timeout(ms(60_000)));
    bench.pass(ms(9_999));
    assert_eq!(bench.asked(), [2, 3, 4], "not where timeouts are fixed");
    bench.pass(ms(1));
    assert_eq!(bench.asked(), [4, 5, 6]);
    assert_eq!(bench.engine.status(id).unwrap().failed, 2);
}

#[test]
fn a_query_with_nobody_left_to_ask_does_not_wait_for_the_silent_until_their_request_timeout() {
    let mut bench = Bench::new();
    teach(&mut bench, 1_000..1_020, 40);
    let started = bench.now;
    let id = bench.start(query().fetch_from(0..3));
    bench.items(0, &[7]);
    bench.items(1, &[]);
    bench.pass(ms(160));
    assert!(bench.is_live(id), "late, but it may come");
    bench.pass(ms(50));
    assert_eq!(bench.outcome(id).reason, Reason::Exhausted);
    let stats = bench.outcome(id).stats;
    assert_eq!((stats.replied, stats.overdue, stats.failed), (2, 1, 1));
    assert!(bench.now - started <= ms(210));
    bench.assert_nothing_left();
}

#[test]
fn where_nobody_has_answered_yet_all_may_be_slow_and_are_waited_for() {
    let mut bench = Bench::new();
    teach(&mut bench, 1_000..1_020, 40);
    let id = bench.start(query().fetch_from([1]));
    bench.pass(ms(9_000));
    assert_eq!(bench.asked(), [1]);
    bench.items(1, &[7]);
    assert_eq!(bench.ids(id), [7]);
}

#[test]
fn a_walk_prefers_among_the_nearest_those_that_answer_soon() {
    let order = |config: QueryConfig| {
        let mut bench = Bench::new();
        teach(&mut bench, 1_000..1_020, 40);
        teach(&mut bench, 22..23, 5);
        bench.start(query().fetch_from([20]));
        bench.fail(20, Failure::Closed);
        // All but 40 share a bucket. 20 has failed, 22 is fast, 21 and 23 are strangers.
        let route = Route::walk_from(key(0), vec![40, 23, 22, 21, 20]);
        bench.start(query().route(route).config(config.with_fan_out(1)));
        let mut order = Vec::new();
        while let [peer] = bench.asked()[..] {
            order.push(peer);
            bench.closer(peer, &[]);
        }
        order
    };
    assert_eq!(order(config()), [22, 21, 23, 20, 40], "the k closest are asked all the same");
    assert_eq!(order(config().with_adaptive_timeout(false)), [20, 21, 22, 23, 40]);
}

#[test]
fn the_fan_out_rises_while_many_are_overdue_and_falls_back() {
    let mut bench = Bench::new();
    let walk = || {
        let route = Route::walk_from(key(0), (1_000..1_040).collect());
        query().route(route).config(config().with_adaptive_fan_out(true))
    };
    let fan_out = |bench: &mut Bench| {
        let id = bench.start(walk());
        let contacted = bench.engine.status(id).unwrap().contacted;
        bench.engine.cancel(bench.now, id);
        bench.drain();
        contacted
    };
    assert_eq!(fan_out(&mut bench), 3);
    let fixed = config().with_adaptive_timeout(false).with_soft_timeout(ms(1));
    for peer in 0..200 {
        bench.start(query().fetch_from([peer]).config(fixed.clone()));
    }
    bench.pass(ms(1));
    assert_eq!(fan_out(&mut bench), 12, "no more than four times");
    (0..200).for_each(|peer| bench.items(peer, &[]));
    teach(&mut bench, 0..300, 1);
    assert_eq!(fan_out(&mut bench), 3);
}

#[test]
fn timeouts_and_response_times_count_from_when_the_transport_has_sent() {
    let mut bench = Bench::new();
    let config = config().with_timeout(ms(60_000));
    let id = bench.start(query().fetch_from([1, 2, 3, 4]).config(config));
    bench.pass(ms(900));
    bench.sent(1);
    bench.pass(ms(100));
    // Those that are still in the transport's queue give their slots.
    assert_eq!(bench.asked(), [1, 2, 3, 4]);
    assert_eq!(bench.engine.status(id).unwrap().overdue, 2);
    bench.pass(ms(800));
    bench.sent(2);
    assert_eq!(bench.engine.status(id).unwrap().overdue, 2);
    bench.pass(ms(100));
    assert_eq!(bench.engine.status(id).unwrap().overdue, 3, "1 s after it was sent");

    // 3 has never left, and ends 10 s after its beginning; 1 and 2 so long after they were sent.
    bench.pass(ms(8_100));
    assert_eq!(bench.asked(), [1, 2, 4]);
    bench.pass(ms(900));
    assert_eq!(bench.asked(), [2, 4]);
    bench.pass(ms(900));
    assert!(!bench.is_live(id));
    assert_eq!(bench.outcome(id).stats.failed, 4);
}

#[test]
fn a_contact_is_sent_once() {
    let mut bench = Bench::new();
    let id = bench.start(query().fetch_from([1]));
    bench.pass(ms(10));
    bench.sent(1);
    bench.pass(ms(10));
    bench.sent(1);
    assert_eq!(bench.engine.metrics().inputs_unknown, 1);
    bench.pass(ms(20));
    bench.items(1, &[1]);
    assert_eq!(bench.found[&id][0].response_time, Some(ms(30)));
}

/// Teaches the engine that peers answer in so long, once they have been waited for in the transport.
fn teach_waiting(bench: &mut Bench, peers: std::ops::Range<u32>, wait: u64, millis: u64) {
    for peer in peers {
        bench.start(query().fetch_from([peer]));
        bench.pass(ms(wait));
        bench.sent(peer);
        bench.pass(ms(millis));
        bench.items(peer, &[]);
    }
}

#[test]
fn what_has_to_be_dialled_is_given_the_time_that_dialling_takes() {
    let mut bench = Bench::new();
    teach_waiting(&mut bench, 0..40, 300, 40);
    let stranger = late_after(&mut bench, 500, config());
    assert!((ms(350)..ms(400)).contains(&stranger), "{stranger:?}");

    let id = bench.start(query().fetch_from([501]));
    bench.pass(ms(300));
    bench.sent(501);
    assert_eq!(bench.engine.status(id).unwrap().overdue, 0);
    let late = bench.engine.poll_timeout().unwrap() - bench.now;
    assert!(late < ms(60), "and no more than that, once it is sent: {late:?}");
    bench.items(501, &[]);

    // Contacts that leave at once say nothing of what the others wait.
    teach_waiting(&mut bench, 600..700, 0, 40);
    let later = late_after(&mut bench, 502, config());
    assert!(later >= ms(340), "{later:?}");
}

#[test]
fn a_contact_that_is_sent_late_and_then_silent_holds_its_lane_up_no_longer_than_another() {
    let mut bench = Bench::new();
    teach(&mut bench, 0..20, 40);
    let id = bench.start(query().fetch_from([500, 501]));
    bench.items(500, &[]);
    bench.pass(ms(100));
    assert_eq!(bench.engine.status(id).unwrap().overdue, 1);
    bench.sent(501);
    bench.pass(ms(1_000));
    assert!(!bench.is_live(id), "four times what is late, and not the 10 s of the request timeout");
}
