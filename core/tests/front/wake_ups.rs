//! Each thing that can happen wakes a driver that sleeps, by itself and alone; and a driver sleeps when
//! nothing happens.

use core::task::{Context, Poll};
use std::sync::Arc;

use dragnet_core::front::Event;
use dragnet_core::{QueryConfig, Reply};
use futures::task::waker;

use crate::kit::{Rig, Woken, ask, ms, ready, word};

/// Runs until nothing wakes the driver at this moment, does `act`, and asserts that this woke it.
fn assert_wakes(rig: &mut Rig, act: impl FnOnce(&mut Rig)) {
    rig.run();
    let before = rig.woken.wakes();
    act(rig);
    assert!(rig.woken.wakes() > before, "the driver sleeps on");
}

#[test]
fn a_new_query_wakes() {
    let (mut rig, wire) = Rig::new();
    wire.silent([1]);
    let mut handle = None;
    assert_wakes(&mut rig, |rig| handle = Some(rig.query(ask([1]))));
    assert_wakes(&mut rig, |rig| handle = Some(rig.query(ask([1]))));
}

#[test]
fn a_dropped_handle_wakes() {
    let (mut rig, wire) = Rig::new();
    wire.silent([1]);
    let handle = rig.query(ask([1]));
    assert_wakes(&mut rig, |_| drop(handle));
}

#[test]
fn a_cancelled_handle_wakes() {
    let (mut rig, wire) = Rig::new();
    wire.silent([1]);
    let handle = rig.query(ask([1]));
    assert_wakes(&mut rig, |_| handle.cancel());
}

#[test]
fn the_last_client_wakes_when_it_goes() {
    let (mut rig, _) = Rig::new();
    let second = rig.client().clone();
    rig.run();
    let before = rig.woken.wakes();
    drop(second);
    assert_eq!(rig.woken.wakes(), before, "one client is left");
    assert_wakes(&mut rig, |rig| rig.client = None);
}

#[test]
fn a_shutdown_wakes() {
    let (mut rig, _) = Rig::new();
    assert_wakes(&mut rig, |rig| drop(rig.client().shutdown()));
}

#[test]
fn an_event_of_the_transport_wakes() {
    let (mut rig, wire) = Rig::new();
    wire.silent([1]);
    let mut handle = rig.query(ask([1]));
    rig.run();
    let (request, _) = wire.open_requests()[0];
    assert_wakes(&mut rig, |_| wire.bring(Event::Reply { request, reply: Reply::with_items(vec![word(1)]) }));
    rig.run();
    assert_eq!(ready(&mut handle).len(), 1);
}

#[test]
fn a_deadline_wakes_at_its_exact_time() {
    let (mut rig, wire) = Rig::new();
    wire.silent([1]);
    let config = QueryConfig::default().with_timeout(ms(777)).with_soft_timeout(ms(5000));
    let handle = rig.query(ask([1]).config(config));
    rig.run();
    // The first wake-up is for the metrics.
    rig.clock.advance(ms(500));
    rig.run();
    let before = rig.woken.wakes();
    rig.clock.advance(core::time::Duration::from_nanos(276_999_999));
    assert_eq!((rig.woken.wakes(), handle.outcome()), (before, None));
    assert_wakes(&mut rig, |rig| rig.clock.advance(core::time::Duration::from_nanos(1)));
    rig.run();
    assert_eq!(handle.outcome().map(|outcome| outcome.stats.total), Some(ms(777)));
}

#[test]
fn a_driver_with_nothing_to_do_sleeps() {
    let (mut rig, wire) = Rig::new();
    wire.silent([1]);
    let _handle = rig.query(ask([1]).config(QueryConfig::default().with_hedges_max(0)));
    rig.run();
    let polls = rig.polls;
    rig.clock.advance(ms(99));
    rig.run();
    assert_eq!(rig.polls, polls);
    // From here to the end: the metrics, the soft timeout, and the deadline.
    rig.run_out();
    assert_eq!(rig.polls - polls, 3);
    assert_eq!(rig.clock.next(), None, "nothing is left to wait for");
}

#[test]
fn a_driver_that_moves_to_another_task_wakes_that_one() {
    let (mut rig, wire) = Rig::new();
    wire.silent([1]);
    wire.answers(2, ms(50), [word(1)]);
    let handle = rig.query(ask([1, 2]));
    rig.run();

    let moved = Woken::new();
    let mut driver = rig.driver.take().expect("the driver is there");
    let new = waker(Arc::clone(&moved));
    let mut poll = |expected: &str| {
        assert!(moved.take(), "{expected} has not woken the new task");
        let poll = driver.poll(&mut Context::from_waker(&new));
        poll == Poll::Ready(())
    };
    poll("nothing");
    rig.clock.advance(ms(50));
    poll("an answer");
    let (request, _) = wire.open_requests()[0];
    wire.bring(Event::Reply { request, reply: Reply::default() });
    poll("an event");
    assert!(handle.outcome().is_some());
    let more = rig.query(ask([1]));
    poll("a query");
    drop(more);
    poll("a dropped handle");
    rig.client = None;
    assert!(poll("the last client"), "the driver returns");
}

#[test]
fn a_flood_of_events_is_taken_a_bounded_number_at_each_poll() {
    let (mut rig, wire) = Rig::new();
    wire.silent([1]);
    let handle = rig.query(ask([1]));
    rig.run();
    let (request, _) = wire.open_requests()[0];
    for _ in 0..10_000 {
        // Late events, which the engine ignores.
        let request = dragnet_core::RequestId::from_u64(request.as_u64() ^ 0xff00_0000_0000);
        wire.bring(Event::Reply { request, reply: Reply::default() });
    }
    let mut polls = 0;
    let mut most = 0;
    let mut taken = 0;
    while rig.poll() {
        polls += 1;
        most = most.max(wire.events_taken() - taken);
        taken = wire.events_taken();
    }
    assert_eq!(taken, 10_000);
    assert!(most <= 64, "{most} events in one poll");
    assert!(polls >= 150, "{polls} polls");
    assert!(handle.outcome().is_none());
}

#[test]
fn a_flood_of_events_holds_up_neither_commands_nor_deadlines() {
    let (mut rig, wire) = Rig::new();
    wire.silent([1]);
    let old = rig.query(ask([1]).config(QueryConfig::default().with_timeout(ms(100))));
    rig.run();
    for _ in 0..10_000 {
        let request = dragnet_core::RequestId::from_u64(u64::MAX);
        wire.bring(Event::Reply { request, reply: Reply::default() });
    }
    rig.clock.advance(ms(100));
    let new = rig.query(ask([1]));
    assert!(rig.poll());
    assert!(old.outcome().is_some(), "its deadline has come");
    assert!(new.id().is_some(), "it has started");
    assert!(wire.events_taken() < 10_000);
}
