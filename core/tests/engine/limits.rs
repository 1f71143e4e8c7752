use dragnet_core::{Caps, Delivery, EngineConfig, QueryEngine, Reason, Reply, Route, StartError};

use crate::bench::{Bench, LOCAL, Numbers, config, key, ms, query};

fn capped(caps: Caps) -> Bench {
    Bench::with(EngineConfig::default().with_caps(caps))
}

#[test]
fn one_query_too_many_is_refused_and_told_why() {
    let mut bench = capped(Caps { queries_max: 2, ..Caps::default() });
    let first = bench.start(query().fetch_from([1]));
    bench.start(query().fetch_from([1]));
    let refused = bench.engine.start(bench.now, query().fetch_from([1]));
    assert_eq!(refused, Err(StartError::Busy { what: "queries live", live: 2, max: 2 }));
    assert_eq!(refused.unwrap_err().to_string(), "busy: 2 queries live, and no more than 2 may");
    assert_eq!(bench.engine.metrics().queries_refused, 1);
    bench.engine.cancel(bench.now, first);
    assert!(bench.engine.start(bench.now, query().fetch_from([1])).is_ok());
}

#[test]
fn a_setting_out_of_its_range_is_refused_by_name() {
    let mut bench = Bench::new();
    let too_many_routes = (0..17).fold(query(), |query, _| query.route(Route::delegated()));
    let cases = [
        (query().config(config().with_max_results(0)), "max_results is 0, and must be from 1 to 1024"),
        (query().config(config().with_max_results(1025)), "max_results is 1025, and must be from 1 to 1024"),
        (query().config(config().with_fan_out(0)), "fan_out is 0, and must be from 1 to 65535"),
        (query().config(config().with_closest(0)), "closest is 0, and must be from 1 to 65535"),
        (
            query().config(config().with_hedges_max(65_536)),
            "hedges_max is 65536, and must be from 0 to 65535",
        ),
        (
            query().config(config().with_delivery(Delivery::Quorum(0))),
            "the quorum is 0, and must be from 1 to 65535",
        ),
        (too_many_routes, "the number of routes is 17, and must be from 0 to 16"),
    ];
    for (query, message) in cases {
        let refused = bench.engine.start(bench.now, query).unwrap_err();
        assert_eq!(refused.to_string(), message);
    }
    assert_eq!(bench.engine.metrics().queries_started, 0);
}

#[test]
fn a_flood_in_a_reply_is_read_up_to_the_caps_and_the_rest_counted() {
    let caps = Caps { items_per_reply: 2, closer_per_reply: 3, providers_per_reply: 4, ..Caps::default() };
    let mut bench = capped(caps);
    let walk = Route::walk_from(key(0), vec![1]);
    let id = bench.start(query().route(walk).fetch_providers().config(config().with_fan_out(100)));
    bench.reply(
        1,
        Reply {
            items: (0..10).map(crate::bench::answer).collect(),
            closer: (100..110).collect(),
            providers: (200..210).collect(),
            ..Reply::default()
        },
    );
    assert_eq!(bench.ids(id), [0, 1]);
    assert_eq!(bench.asked(), [100, 101, 102, 200, 201, 202, 203]);
    assert_eq!(bench.engine.status(id).unwrap().dropped, 8 + 7 + 6);
}

#[test]
fn a_full_route_drops_the_farthest_that_was_not_contacted() {
    let mut bench = capped(Caps { candidates_max: 3, ..Caps::default() });
    let walk = Route::walk_from(key(0), vec![10, 20, 30]);
    let id = bench.start(query().route(walk).config(config().with_fan_out(1)));
    bench.closer(10, &[5, 40]);
    assert_eq!(bench.asked(), [5]);
    bench.closer(5, &[6, 7]);
    let status = bench.engine.status(id).unwrap();
    assert_eq!(status.dropped, 4, "30 for 5, 40 at once, 20 for 6, and 7 at once");
    assert_eq!(bench.asked(), [6]);
}

#[test]
fn more_first_candidates_than_the_cap_are_dropped_and_counted() {
    let mut bench = capped(Caps { candidates_max: 4, ..Caps::default() });
    let walk = Route::walk_from(key(0), (1..=10).collect());
    let id = bench.start(query().route(walk).fetch_from(100..110));
    assert_eq!(bench.engine.status(id).unwrap().dropped, 12);
}

#[test]
fn a_full_table_of_peers_drops_candidates_and_the_query_goes_on() {
    let mut bench = capped(Caps { peers_max: 2, ..Caps::default() });
    let id = bench.start(query().fetch_from([1, 2, 3]));
    assert_eq!(bench.asked(), [1, 2]);
    assert_eq!(bench.engine.status(id).unwrap().dropped, 1);
    bench.items(1, &[1]);
    bench.items(2, &[2]);
    assert_eq!(bench.outcome(id).results, 2);
    assert_eq!(bench.engine.metrics().peers_known, 2);
}

#[test]
fn further_contacts_to_a_busy_peer_wait_without_a_slot_or_a_timeout() {
    let mut bench = capped(Caps { contacts_per_peer: 2, ..Caps::default() });
    let one = || query().fetch_from([1, 2]).config(config().with_fan_out(1).with_soft_timeout(ms(100)));
    let ids: Vec<_> = (0..4).map(|_| bench.start(one())).collect();
    assert_eq!(bench.asked(), [1, 1, 2, 2], "the waiting ones' slots went to the next candidate");
    assert_eq!(bench.engine.metrics().contacts_waiting, 0, "and who has no slot does not wait");
    bench.items(2, &[7]);
    assert_eq!(bench.engine.metrics().contacts_waiting, 1, "its slot is free for peer 1");
    bench.pass(ms(50));
    bench.items(1, &[7]);
    assert_eq!(bench.engine.metrics().contacts_waiting, 0);
    assert_eq!(bench.asked().iter().filter(|peer| **peer == 1).count(), 2, "one left, one came");
    bench.pass(ms(60));
    assert_eq!(bench.engine.metrics().contacts_overdue, 2, "the time of waiting is not the peer's");
    for _ in 0..8 {
        let Some(&peer) = bench.asked().first() else { break };
        bench.items(peer, &[7]);
    }
    for id in ids {
        assert_eq!(bench.outcome(id).results, 1);
        assert_eq!(bench.outcome(id).stats.contacted, 2, "all in the end asked both");
    }
    bench.assert_nothing_left();
}

#[test]
fn a_reply_of_a_busy_peer_concerns_one_of_those_that_wait_for_it_and_not_all() {
    let mut bench = capped(Caps { contacts_per_peer: 1, ..Caps::default() });
    // Each wants the busy peer and one of its own, with one slot.
    let ids: Vec<_> = (0..100)
        .map(|n| bench.start(query().fetch_from([1, 100 + n]).config(config().with_fan_out(1))))
        .collect();
    assert_eq!(bench.engine.metrics().contacts_waiting, 0, "who has no slot left does not wait");
    // Their slots come free: now they wait, and each reply lets one through.
    (1..100).for_each(|n| bench.items(100 + n, &[]));
    assert_eq!(bench.engine.metrics().contacts_waiting, 99);
    for waiting in (0..99).rev() {
        bench.items(1, &[]);
        assert_eq!(bench.engine.metrics().contacts_waiting, waiting);
    }
    bench.items(1, &[]);
    bench.items(100, &[]);
    ids.iter().for_each(|id| assert_eq!(bench.outcome(*id).stats.replied, 2));
    bench.assert_nothing_left();
}

#[test]
fn invented_peers_leave_other_queries_their_candidates() {
    let mut bench = capped(Caps { peers_max: 400, ..Caps::default() });
    let mut invented = (1_000_000..).step_by(1);
    for liar in 0..10 {
        let walk = Route::walk_from(key(0), vec![liar + 1]);
        bench.start(query().route(walk).config(config().with_fan_out(1)));
        for _ in 0..5 {
            let (_, peer, _) = *bench.contacts.last().unwrap();
            bench.closer(peer, &invented.by_ref().take(20).collect::<Vec<_>>());
        }
    }
    let metrics = bench.engine.metrics();
    assert!(metrics.peers_refused > 0, "there were more than there is room for");
    assert!(bench.engine.live_state().peers_held <= 300, "a quarter is kept");
    let honest = bench.start(query().fetch_from(500..520).config(config().with_fan_out(20)));
    assert_eq!(bench.engine.status(honest).unwrap().contacted, 20);
    assert_eq!(bench.engine.status(honest).unwrap().dropped, 0);
}

#[test]
fn a_walk_that_may_hold_no_more_peers_takes_a_closer_one_for_a_farther() {
    let mut bench = capped(Caps { peers_max: 4, ..Caps::default() });
    let walk = Route::walk_from(key(0), vec![10, 20, 30]);
    bench.start(query().route(walk).config(config().with_fan_out(1)));
    bench.closer(10, &[40, 5]);
    assert_eq!(bench.asked(), [5], "in the place of 30");
    assert_eq!(bench.engine.metrics().peers_refused, 2);
}

#[test]
fn a_waiting_contact_whose_query_ends_leaves_its_peers_queue() {
    let mut bench = capped(Caps { contacts_per_peer: 1, ..Caps::default() });
    let ids: Vec<_> = (0..5).map(|_| bench.start(query().fetch_from([1]))).collect();
    assert_eq!(bench.engine.metrics().contacts_waiting, 4);
    for id in [ids[2], ids[4], ids[1]] {
        assert!(bench.engine.cancel(bench.now, id));
    }
    bench.drain();
    assert_eq!(bench.engine.metrics().contacts_waiting, 1);
    assert!(bench.released.is_empty(), "the transport never heard of them");
    bench.items(1, &[1]);
    bench.items(1, &[1]);
    assert_eq!(bench.outcome(ids[3]).reason, Reason::Exhausted);
    bench.assert_nothing_left();
}

#[test]
fn a_walk_waits_for_a_busy_peer_rather_than_converge_without_it() {
    let mut bench = capped(Caps { contacts_per_peer: 1, ..Caps::default() });
    let other = bench.start(query().fetch_from([1]));
    let walk = Route::walk_from(key(0), vec![1, 2]);
    let id = bench.start(query().route(walk).config(config().with_closest(2)));
    assert_eq!(bench.asked(), [1, 2]);
    bench.closer(2, &[]);
    assert!(bench.is_live(id));
    bench.items(1, &[]);
    assert!(!bench.is_live(other));
    bench.closer(1, &[]);
    assert_eq!(bench.outcome(id).reason, Reason::Converged);
    bench.assert_nothing_left();
}

#[test]
fn check_says_what_start_would_say() {
    let refused =
        QueryEngine::<Numbers>::check(&EngineConfig::default(), &query().config(config().with_fan_out(0)));
    assert!(matches!(refused, Err(StartError::Limit { what: "fan_out", value: 0, .. })));
}

#[test]
fn the_local_peer_is_never_asked() {
    let mut bench = Bench::new();
    let walk = Route::walk_from(key(0), vec![LOCAL]);
    let id = bench.start(query().route(walk).fetch_from([LOCAL]));
    assert_eq!(bench.outcome(id).stats.contacted, 0);
    bench.assert_nothing_left();
}
