//! How a driver ends.

use core::future::Future;
use core::pin::pin;
use core::task::{Context, Waker};

use dragnet_core::front::DriverGone;
use dragnet_core::{QueryConfig, Reason};

use crate::kit::{Rig, ask, ms, walk, word};

#[test]
fn an_idle_driver_returns() {
    let (mut rig, wire) = Rig::new();
    rig.run();
    let shutdown = rig.client().shutdown();
    rig.block_on(shutdown);
    assert!(rig.has_returned);
    rig.assert_empty(&wire);
}

#[test]
fn a_driver_that_was_never_polled_returns() {
    let (mut rig, _) = Rig::new();
    let shutdown = rig.client().shutdown();
    rig.block_on(shutdown);
    assert!(rig.has_returned);
}

#[test]
fn a_query_that_has_not_started_is_cancelled_and_never_starts() {
    let (mut rig, wire) = Rig::new();
    wire.silent([1]);
    let handle = rig.query(ask([1]));
    let shutdown = rig.client().shutdown();
    rig.block_on(shutdown);
    let (found, outcome) = rig.block_on(handle.collect()).expect("an outcome");
    assert_eq!((found.len(), outcome.reason, wire.contacts()), (0, Reason::Cancelled, 0));
    rig.assert_empty(&wire);
}

#[test]
fn contacts_in_flight_are_released_before_it_is_over() {
    let (mut rig, wire) = Rig::new();
    wire.silent(1..=50);
    let handles = [rig.query(ask(1..=3)), rig.query(walk(b"somewhere"))];
    rig.run();
    assert_eq!(wire.open(), 6);
    let shutdown = rig.client().shutdown();
    rig.block_on(shutdown);
    assert_eq!((wire.open(), wire.released()), (0, 6));
    for handle in handles {
        let (_, outcome) = rig.block_on(handle.collect()).expect("an outcome");
        assert_eq!(outcome.reason, Reason::Cancelled);
    }
    rig.assert_empty(&wire);
}

#[test]
fn results_that_nobody_has_read_yet_are_still_there() {
    let (mut rig, wire) = Rig::new();
    wire.answers(1, ms(1), (0..10).map(word));
    wire.silent([2]);
    let handle = rig.query(ask([1, 2]));
    rig.run();
    rig.clock.advance(ms(1));
    rig.run();
    let shutdown = rig.client().shutdown();
    rig.block_on(shutdown);
    rig.driver = None;
    let (found, outcome) = rig.block_on(handle.collect()).expect("an outcome");
    assert_eq!((found.len(), outcome.reason), (10, Reason::Cancelled));
}

#[test]
fn a_deadline_that_is_pending_is_not_waited_for() {
    let (mut rig, wire) = Rig::new();
    wire.silent([1]);
    let handle = rig.query(ask([1]).config(QueryConfig::default().with_timeout(ms(3_600_000))));
    rig.run();
    let shutdown = rig.client().shutdown();
    rig.block_on(shutdown);
    assert_eq!(dragnet_core::front::Clock::now(&rig.clock), dragnet_core::Time::ZERO);
    assert_eq!(handle.outcome().map(|outcome| outcome.reason), Some(Reason::Cancelled));
    rig.assert_empty(&wire);
}

#[test]
fn shutting_down_twice_and_from_several_clients_is_the_same() {
    let (mut rig, wire) = Rig::new();
    wire.silent([1]);
    let _handle = rig.query(ask([1]));
    rig.run();
    let other = rig.client().clone();
    let (first, second) = (rig.client().shutdown(), other.shutdown());
    rig.block_on(futures::future::join(first, second));
    let again = other.shutdown();
    rig.block_on(again);
    assert!(rig.has_returned);
    // A driver that has returned may be polled again.
    let driver = rig.driver.as_mut().expect("the driver is there");
    assert!(driver.poll(&mut Context::from_waker(Waker::noop())).is_ready());
    rig.assert_empty(&wire);
}

#[test]
fn a_shutdown_takes_effect_without_being_awaited() {
    let (mut rig, _) = Rig::new();
    rig.run();
    drop(rig.client().shutdown());
    rig.run();
    assert!(rig.has_returned);
}

#[test]
fn a_shutdown_is_over_when_the_driver_is_dropped() {
    let (mut rig, wire) = Rig::new();
    wire.silent([1]);
    let handle = rig.query(ask([1]));
    rig.run();
    let mut shutdown = pin!(rig.client().shutdown());
    assert!(shutdown.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    rig.driver = None;
    rig.block_on(shutdown);
    let incomplete = rig.block_on(handle.collect()).expect_err("no outcome");
    assert_eq!(incomplete.error, DriverGone);
}

#[test]
fn without_clients_and_handles_the_driver_returns() {
    let (mut rig, wire) = Rig::new();
    wire.silent([1]);
    let handle = rig.query(ask([1]));
    let client = rig.client.take();
    let second = client.clone();
    rig.run();
    drop(client);
    drop(second);
    rig.run();
    assert!(!rig.has_returned, "a handle is left");
    drop(handle);
    rig.run();
    assert!(rig.has_returned);
    rig.assert_empty(&wire);
}

#[test]
fn without_clients_the_queries_of_the_handles_that_are_left_go_on_to_their_ends() {
    let (mut rig, wire) = Rig::new();
    wire.answers(1, ms(50), [word(1)]);
    let handle = rig.query(ask([1]));
    rig.client = None;
    rig.run();
    assert!(!rig.has_returned);
    let (found, outcome) = rig.block_on(handle.collect()).expect("an outcome");
    assert_eq!((found.len(), outcome.reason), (1, Reason::Exhausted));
    rig.run();
    assert!(rig.has_returned);
    rig.assert_empty(&wire);
}

#[test]
fn a_handle_dropped_before_its_start_holds_nobody_up() {
    let (mut rig, wire) = Rig::new();
    let handle = rig.query(ask([1]));
    rig.client = None;
    drop(handle);
    rig.run();
    assert!(rig.has_returned);
    assert_eq!(wire.contacts(), 0);
    rig.assert_empty(&wire);
}

#[test]
fn a_thousand_live_queries_are_cancelled_a_few_at_each_poll() {
    let (mut rig, wire) = Rig::new();
    wire.silent([1]);
    let handles: Vec<_> = (0..1000).map(|_| rig.query(ask([1]))).collect();
    rig.run();
    assert_eq!(rig.driver().live(), 1000);
    drop(rig.client().shutdown());
    rig.poll();
    assert!((1..1000).contains(&rig.driver().live()), "{} left", rig.driver().live());
    rig.run();
    assert!(rig.has_returned);
    assert!(handles.iter().all(|handle| handle.outcome().is_some()));
    rig.assert_empty(&wire);
}
