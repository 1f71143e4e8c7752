use dragnet_core::{Reason, Route, Step, Time};

use crate::bench::{Bench, config, key, ms, query};

/// Starts so many queries, answers their contacts in turn, and expects the same end of all.
fn many(count: u32) {
    let mut bench = Bench::new();
    let ids: Vec<_> = (0..count)
        .map(|n| {
            // Peers shared by some, so that some wait for others.
            let first = n / 8 * 4;
            let walk = Route::walk_from(key(0), vec![first, first + 1, first + 2]);
            bench.start(query().route(walk).fetch_providers())
        })
        .collect();
    assert_eq!(bench.engine.live(), count as usize);
    let mut rounds = 0;
    while !bench.contacts.is_empty() {
        rounds += 1;
        assert!(rounds < 50, "the queries come to an end");
        bench.now = bench.now + ms(1);
        for (request, peer, step) in core::mem::take(&mut bench.contacts) {
            let reply = dragnet_core::Reply {
                items: vec![crate::bench::answer(peer)],
                providers: if step == Step::Fetch { vec![] } else { vec![peer + 3] },
                ..Default::default()
            };
            bench.engine.handle_reply(bench.now, request, reply);
        }
        bench.drain();
    }
    for id in ids {
        let outcome = bench.outcome(id);
        assert_eq!(outcome.reason, Reason::Exhausted);
        assert_eq!(outcome.stats.contacted as usize, outcome.stats.replied as usize);
        let mut items = bench.ids(id);
        let delivered = items.len();
        items.sort_unstable();
        items.dedup();
        assert_eq!((items.len(), outcome.results), (delivered, delivered));
    }
    bench.assert_nothing_left();
}

#[test]
fn a_thousand_queries_at_once_all_end_and_leave_nothing() {
    many(1_000);
}

#[test]
fn ten_thousand_queries_at_once_all_end_and_leave_nothing() {
    many(10_000);
}

#[test]
fn ten_thousand_silent_queries_end_at_their_own_deadlines() {
    let mut bench = Bench::new();
    let ids: Vec<_> = (0..10_000u32)
        .map(|n| {
            let timeout = ms(u64::from(n % 97) + 1);
            (bench.start(query().fetch_from([n, n + 1]).config(config().with_timeout(timeout))), timeout)
        })
        .collect();
    bench.pass(ms(100));
    for (id, timeout) in ids {
        assert_eq!(bench.outcome(id).reason, Reason::DeadlineReached);
        assert_eq!(bench.outcome(id).stats.total, timeout);
    }
    assert_eq!(bench.engine.poll_timeout(), None::<Time>);
    bench.assert_nothing_left();
}

#[test]
fn the_counters_add_up() {
    let mut bench = Bench::new();
    let first = bench.start(query().fetch_from([1]).config(config().with_timeout(ms(100))));
    bench.start(query().fetch_from([2]).config(config().with_timeout(ms(100))));
    let third = bench.start(query().fetch_from([3]));
    bench.pass(ms(10));
    bench.items(1, &[1, 2]);
    bench.engine.cancel(bench.now, third);
    bench.pass(ms(90));
    bench.drain();
    let metrics = bench.engine.metrics();
    assert_eq!((metrics.queries_started, metrics.queries_finished, metrics.queries_live), (3, 3, 0));
    assert_eq!((metrics.queries_successful, metrics.queries_timed_out, metrics.queries_cancelled), (1, 1, 1));
    assert_eq!((metrics.contacts_started, metrics.contacts_replied, metrics.contacts_released), (3, 1, 2));
    assert_eq!((metrics.results, metrics.results_per_query.max()), (2, 2));
    assert_eq!(metrics.first_item.max(), 10_000_000);
    assert_eq!(metrics.query_duration.max(), 100_000_000);
    assert_eq!(bench.outcome(first).stats.total, ms(10));
}
