//! What can be seen from outside: status, metrics and peers. The spans of `tracing` are in `tests/spans.rs`.

use core::task::{Context, Poll, Waker};
use std::sync::{Arc, Mutex};

use dragnet_core::front::{Client, DriverGone, FrontConfig};
use dragnet_core::{Metrics, QueryId, Reason, Time};
use futures::StreamExt;
use futures::task::{ArcWake, waker};

use crate::kit::{Rig, Words, ask, lock, ms, word};

#[test]
fn the_status_of_a_query_is_exact_as_long_as_it_lives() {
    let (mut rig, wire) = Rig::new();
    wire.answers(1, ms(10), [word(1)]);
    wire.silent([2, 3]);
    let handle = rig.query(ask([1, 2, 3]));
    rig.run();
    let (id, client) = (handle.id().expect("it has started"), rig.client().clone());
    rig.clock.advance(ms(10));
    let stats = rig.block_on(client.status(id)).expect("it lives");
    // The question and the answer came at the same time; commands go first.
    assert_eq!((stats.contacted, stats.replied), (3, 0));
    let stats = rig.block_on(client.status(id)).expect("it lives");
    assert_eq!((stats.contacted, stats.replied, stats.first_item), (3, 1, Some(ms(10))));
    handle.cancel();
    rig.run();
    assert_eq!(rig.block_on(client.status(id)), None, "it has ended");
}

#[test]
fn live_queries_and_peers_are_listed_as_far_as_is_wanted() {
    let (mut rig, wire) = Rig::new();
    wire.answers(1, ms(10), [word(1)]);
    wire.silent([2, 3]);
    let first = rig.query(ask([1, 2]));
    rig.run();
    rig.clock.advance(ms(10));
    let _second = rig.query(ask([3]));
    rig.run();
    let client = rig.client().clone();
    let all = rig.block_on(client.queries(9)).expect("the driver is there");
    assert_eq!((all.len(), Some(all[0].query), all[0].results), (2, first.id(), 1));
    assert_eq!((all[0].stats.replied, all[0].stats.total, all[1].stats.total), (1, ms(10), ms(0)));
    assert_eq!(rig.block_on(client.queries(1)).expect("the driver is there").len(), 1);
    let ranking = rig.block_on(client.ranking(9)).expect("the driver is there");
    assert_eq!((ranking.known, ranking.best.len(), ranking.best[0].peer), (3, 1, 1));
}

#[test]
fn whoever_asks_a_driver_that_is_gone_gets_an_answer() {
    for drop_it in [false, true] {
        let (mut rig, wire) = Rig::new();
        wire.answers(1, ms(10), [word(1)]);
        wire.silent([2]);
        let handle = rig.query(ask([1, 2]));
        rig.run();
        rig.clock.advance(ms(10));
        rig.run();
        let (id, client) = (handle.id().expect("it has started"), rig.client().clone());
        if drop_it {
            rig.driver = None;
        } else {
            rig.block_on(client.shutdown());
        }
        let metrics = client.metrics();
        assert_eq!((metrics.queries_started, metrics.results), (1, 1), "the last snapshot");
        assert_eq!(metrics.queries_cancelled, u64::from(!drop_it));
        assert_eq!(rig.block_on(client.status(id)), None);
        assert!(!rig.block_on(client.cancel(id)));
        assert_eq!(rig.block_on(client.peers()), Err(DriverGone));
        assert_eq!(rig.block_on(client.ranking(9)), Err(DriverGone));
        assert_eq!(rig.block_on(client.queries(9)).err(), Some(DriverGone));
        assert_eq!(rig.block_on(client.bar(1)), Err(DriverGone));
    }
}

#[test]
fn a_question_that_waits_when_the_driver_goes_is_answered() {
    let (mut rig, _) = Rig::new();
    let client = rig.client().clone();
    let id = QueryId::from_uuid(uuid::Uuid::nil());
    let mut status = Box::pin(client.status(id));
    let cx = &mut Context::from_waker(Waker::noop());
    assert!(status.as_mut().poll(cx).is_pending());
    rig.driver = None;
    assert_eq!(rig.block_on(status), None);
}

#[test]
fn metrics_are_exact_when_nothing_lives_and_never_old_while_something_does() {
    let (mut rig, wire) = Rig::new();
    wire.answers(1, ms(10), [word(1)]);
    wire.silent([2]);
    let client = rig.client().clone();
    assert_eq!(client.metrics(), Metrics::default(), "before the first poll too");
    let live = rig.query(ask([1, 2]));
    rig.run();
    // The driver has been told something, and sleeps no longer than until it must say so.
    assert_eq!(rig.clock.next(), Some(Time::from_millis(10)));
    rig.clock.step();
    rig.run();
    assert_eq!(rig.clock.next(), Some(Time::from_millis(100)));
    rig.clock.step();
    rig.run();
    let metrics = client.metrics();
    assert_eq!((metrics.queries_live, metrics.results, metrics.contacts_in_flight), (1, 1, 1));
    assert!(rig.clock.next().is_some_and(|next| next > Time::from_millis(200)), "and now it may sleep");
    drop(live);
    rig.run();
    let metrics = client.metrics();
    assert_eq!((metrics.queries_live, metrics.queries_cancelled, metrics.contacts_in_flight), (0, 1, 0));
    assert_eq!(metrics, rig.driver().engine().metrics());
}

/// Reads the metrics in the very moment in which it is woken, as a task on another thread may.
struct Reader(Client<Words>, Mutex<Vec<u64>>);

impl ArcWake for Reader {
    fn wake_by_ref(this: &Arc<Self>) {
        lock(&this.1).push(this.0.metrics().queries_finished);
    }
}

#[test]
fn who_sees_the_last_query_end_sees_it_counted() {
    let (mut rig, wire) = Rig::new();
    wire.answers(1, ms(1), []);
    let mut handle = rig.query(ask([1]));
    rig.run();
    let reader = Arc::new(Reader(rig.client().clone(), Mutex::default()));
    let waker = waker(Arc::clone(&reader));
    assert!(handle.poll_next_unpin(&mut Context::from_waker(&waker)).is_pending());
    rig.run_out();
    assert_eq!(handle.poll_next_unpin(&mut Context::from_waker(&waker)), Poll::Ready(None));
    assert_eq!(*lock(&reader.1), [1], "before the driver's poll has returned");
}

#[test]
fn who_sees_the_end_of_a_query_that_never_started_sees_those_before_it_counted() {
    let (mut rig, _) = Rig::new();
    let _first = rig.query(ask([]));
    let mut second = rig.query(ask([1]));
    second.cancel();
    let reader = Arc::new(Reader(rig.client().clone(), Mutex::default()));
    let waker = waker(Arc::clone(&reader));
    assert!(second.poll_next_unpin(&mut Context::from_waker(&waker)).is_pending());
    rig.run();
    assert_eq!(second.outcome().map(|outcome| outcome.reason), Some(Reason::Cancelled));
    assert_eq!(*lock(&reader.1), [1], "the first has ended, and when that was seen the second still waited");
}

#[test]
fn metrics_may_be_had_as_fresh_as_one_likes() {
    let (mut rig, wire) = Rig::with_config(FrontConfig::default().with_metrics_every(ms(0)));
    wire.silent([1]);
    let _handle = rig.query(ask([1]));
    rig.run();
    assert_eq!(rig.client().metrics().queries_live, 1);
}

#[test]
fn peers_are_reported_and_can_be_barred() {
    let (mut rig, wire) = Rig::new();
    wire.answers(1, ms(10), [word(1)]);
    let client = rig.client().clone();
    let handle = rig.query(ask([1, 2]));
    rig.block_on(handle.collect()).expect("an outcome");
    let mut peers = rig.block_on(client.peers()).expect("the driver is there");
    peers.sort_by_key(|report| report.peer);
    assert_eq!(peers.iter().map(|report| report.peer).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(peers[0].response_time, Some(ms(10)));
    rig.block_on(client.bar(1)).expect("the driver is there");
    let handle = rig.query(ask([1]));
    let (found, outcome) = rig.block_on(handle.collect()).expect("an outcome");
    assert_eq!((found.len(), outcome.stats.barred), (0, 1));
}
