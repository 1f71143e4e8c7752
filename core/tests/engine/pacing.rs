use dragnet_core::{Route, Time};

use crate::bench::{Bench, config, key, ms, query};

/// Teaches the engine that peers answer in so long.
fn teach(bench: &mut Bench, peers: std::ops::Range<u32>, millis: u64) {
    for peer in peers {
        bench.start(query().fetch_from([peer]));
        bench.pass(ms(millis));
        bench.items(peer, &[]);
    }
}

#[test]
fn a_strangers_answer_is_late_by_what_others_took_and_a_known_peers_by_its_own_time() {
    let mut bench = Bench::new();
    let adaptive = || config().with_adaptive_timeout(true);
    bench.start(query().fetch_from([500]).config(adaptive()));
    let due = bench.engine.poll_timeout().unwrap();
    assert_eq!(due, Time::from_millis(1_000), "the start, while nothing is known");
    bench.items(500, &[]);

    teach(&mut bench, 0..20, 40);
    bench.start(query().fetch_from([600]).config(adaptive()));
    let late = bench.engine.poll_timeout().unwrap() - bench.now;
    assert!((ms(40)..ms(46)).contains(&late), "{late:?}");
    bench.items(600, &[]);

    // SRTT 40 ms and RTTVAR 20 ms after one measurement.
    bench.start(query().fetch_from([7]).config(adaptive()));
    assert_eq!(bench.engine.poll_timeout().unwrap() - bench.now, ms(120));
    bench.items(7, &[]);

    bench.start(query().fetch_from([601]));
    assert_eq!(bench.engine.poll_timeout().unwrap() - bench.now, ms(1_000), "fixed is fixed");
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
    for peer in 0..200 {
        bench.start(query().fetch_from([peer]).config(config().with_soft_timeout(ms(1))));
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
