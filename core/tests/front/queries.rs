//! What a handle gives its asker.

use core::task::{Context, Poll};
use std::sync::Arc;

use dragnet_core::front::{DriverGone, Event};
use dragnet_core::{Delivery, Failure, LookupTotals, Query, QueryConfig, Reason, Reply, RequestId, Route};
use futures::stream::{FusedStream, Stream, StreamExt};
use futures::task::waker;

use crate::kit::{Manner, Rig, Woken, ask, ms, ready, walk, word};

#[test]
fn items_come_as_they_are_found_and_then_the_stream_ends_with_an_outcome() {
    let (mut rig, wire) = Rig::new();
    wire.answers(1, ms(10), [word(1)]);
    wire.answers(2, ms(30), [word(2), word(1)]);
    let mut handle = rig.query(ask([1, 2]));
    assert_eq!(handle.id(), None, "nothing has been polled yet");

    let first = rig.block_on(handle.next()).expect("an item");
    assert_eq!((first.item.id, first.from, first.elapsed), (1, Some(1), ms(10)));
    assert!(handle.id().is_some());
    assert_eq!(handle.outcome(), None);

    let second = rig.block_on(handle.next()).expect("another");
    assert_eq!((second.item.id, second.from, second.elapsed), (2, Some(2), ms(30)));
    assert_eq!(rig.block_on(handle.next()), None);
    assert!(handle.is_terminated());
    assert_eq!(handle.error(), None);
    let outcome = handle.outcome().expect("an outcome").clone();
    assert_eq!((outcome.reason, outcome.results), (Reason::Exhausted, 2));
    assert_eq!((outcome.stats.replied, outcome.stats.duplicate), (2, 1));
    assert_eq!(rig.block_on(handle.next()), None, "it stays ended");
    rig.assert_empty(&wire);
}

#[test]
fn collect_gives_what_was_found_and_the_outcome() {
    let (mut rig, wire) = Rig::new();
    wire.answers(1, ms(10), (0..5).map(word));
    let handle = rig.query(ask([1]).config(QueryConfig::default().with_max_results(3)));
    let (found, outcome) = rig.block_on(handle.collect()).expect("an outcome");
    assert_eq!(found.iter().map(|found| found.item.id).collect::<Vec<_>>(), [0, 1, 2]);
    assert_eq!((outcome.reason, outcome.results), (Reason::EnoughResults, 3));
    rig.assert_empty(&wire);
}

#[test]
fn whoever_waits_is_woken_once_for_all_that_is_found_before_he_looks() {
    let (mut rig, wire) = Rig::new();
    wire.answers(1, ms(10), (0..10).map(word));
    wire.answers(2, ms(20), (10..15).map(word));
    wire.silent([3]);
    let mut handle = rig.query(ask([1, 2, 3]));
    rig.run();
    let woken = Woken::new();
    let waker = waker(Arc::clone(&woken));
    let cx = &mut Context::from_waker(&waker);
    assert!(handle.poll_next_unpin(cx).is_pending());
    assert!(handle.poll_next_unpin(cx).is_pending(), "asked again, for whatever reason");
    rig.clock.advance(ms(10));
    rig.run();
    rig.clock.advance(ms(10));
    rig.run();
    assert_eq!(woken.wakes(), 1);
    for id in 0..15 {
        let Poll::Ready(Some(found)) = handle.poll_next_unpin(cx) else { panic!("{id} is missing") };
        assert_eq!(found.item.id, id);
    }
    assert!(handle.poll_next_unpin(cx).is_pending());
    rig.run_out();
    assert_eq!(woken.wakes(), 2, "for the end");
    assert_eq!(handle.poll_next_unpin(cx), Poll::Ready(None));
}

#[test]
fn a_dropped_handle_lets_go_of_whom_it_would_have_woken() {
    let (mut rig, wire) = Rig::new();
    wire.silent([1]);
    let mut handle = rig.query(ask([1]));
    rig.run();
    let woken = Woken::new();
    let waker = waker(Arc::clone(&woken));
    assert!(handle.poll_next_unpin(&mut Context::from_waker(&waker)).is_pending());
    drop((handle, waker));
    assert_eq!(Arc::strong_count(&woken), 1, "before the driver ends the query");
    rig.run();
    rig.assert_empty(&wire);
}

#[test]
fn a_stream_knows_how_much_is_there_and_how_much_may_come() {
    let (mut rig, wire) = Rig::new();
    wire.answers(1, ms(10), (0..3).map(word));
    wire.silent([2]);
    let mut handle = rig.query(ask([1, 2]).config(QueryConfig::default().with_max_results(5)));
    assert_eq!(handle.size_hint(), (0, Some(5)));
    rig.clock.advance(ms(10));
    rig.run();
    rig.clock.step();
    rig.run();
    assert_eq!(handle.size_hint(), (3, Some(5)));
    rig.block_on(handle.next()).expect("an item");
    assert_eq!(handle.size_hint(), (2, Some(4)));
    handle.cancel();
    rig.run();
    assert_eq!(handle.size_hint(), (2, Some(2)), "nothing more will");
}

#[test]
fn what_was_held_back_comes_with_the_end_and_marked_with_its_votes() {
    let (mut rig, wire) = Rig::new();
    wire.answers(1, ms(10), (0..30).map(word));
    wire.answers(2, ms(20), [word(7), word(9)]);
    wire.answers(3, ms(30), [word(9)]);
    wire.silent([4]);
    let config = QueryConfig::low_latency().with_fan_out(4).with_max_results(12);
    let mut handle = rig.query(ask([1, 2, 3, 4]).config(config.with_delivery(Delivery::BestAtEnd)));
    let first = rig.block_on(handle.next()).expect("an item");
    assert_eq!((first.item.id, first.from, first.votes, first.elapsed), (9, Some(1), 3, ms(2_000)));
    let (rest, outcome) = rig.block_on(handle.collect()).expect("an outcome");
    assert_eq!((rest.len(), rest[0].item.id, rest[0].votes), (11, 7, 2));
    assert_eq!((outcome.reason, outcome.results, outcome.stats.dropped), (Reason::DeadlineReached, 12, 18));
    rig.assert_empty(&wire);
}

#[test]
fn at_the_deadline_the_stream_ends_with_what_was_found_by_then() {
    let (mut rig, wire) = Rig::new();
    wire.answers(1, ms(10), [word(1)]);
    wire.silent([2]);
    wire.answers(3, ms(2500), [word(3)]);
    let handle = rig.query(ask([1, 2, 3]).config(QueryConfig::low_latency().with_fan_out(3)));
    let (found, outcome) = rig.block_on(handle.collect()).expect("a deadline is an ordinary end");
    assert_eq!(found.len(), 1);
    assert_eq!(outcome.reason, Reason::DeadlineReached);
    assert_eq!(outcome.stats.total, ms(2000), "neither before nor after");
    rig.assert_empty(&wire);
    assert_eq!(wire.released(), 2);
}

#[test]
fn the_outcome_is_there_before_the_last_items_are_read() {
    let (mut rig, wire) = Rig::new();
    wire.answers(1, ms(10), (0..20).map(word));
    let mut handle = rig.query(ask([1]));
    rig.run_out();
    assert_eq!(handle.outcome().map(|outcome| outcome.results), Some(20));
    assert_eq!(handle.size_hint().0, 20);
    assert_eq!(ready(&mut handle).len(), 20);
    assert!(handle.is_terminated());
}

#[test]
fn a_walk_without_candidates_begins_at_those_the_transport_names() {
    let (mut rig, wire) = Rig::new();
    (1..=50).for_each(|peer| wire.answers(peer, ms(1), []));
    let handle = rig.query(walk(b"somewhere"));
    let (_, outcome) = rig.block_on(handle.collect()).expect("an outcome");
    assert_eq!(wire.asked_closest(), [20]);
    assert_eq!((outcome.reason, outcome.stats.contacted), (Reason::Converged, 20));

    let wide = walk(b"somewhere").config(QueryConfig::default().with_closest(30));
    let handle = rig.query(wide);
    rig.block_on(handle.collect()).expect("an outcome");
    assert_eq!(wire.asked_closest(), [20, 30]);

    let named =
        Query::new("a question").route(Route::walk_from(dragnet_core::Key::of(b"somewhere"), vec![7]));
    let handle = rig.query(named);
    let (_, outcome) = rig.block_on(handle.collect()).expect("an outcome");
    assert_eq!(outcome.stats.contacted, 1);
    assert_eq!(wire.asked_closest().len(), 2, "who names candidates is not asked");
}

#[test]
fn a_delegated_lookup_reports_many_times() {
    let (mut rig, wire) = Rig::new();
    let request = RequestId::from_u64(0);
    let bring = |id| Event::Progress { request, from: Some(9), reply: Reply::with_items(vec![word(id)]) };
    let totals = LookupTotals { contacted: 12, replied: 10, failed: 2 };
    wire.lookups(vec![
        (ms(10), bring(1)),
        (ms(20), bring(1)),
        (ms(30), bring(2)),
        (ms(40), Event::Done { request, totals }),
    ]);
    let handle = rig.query(Query::new("a question").route(Route::delegated()));
    let (found, outcome) = rig.block_on(handle.collect()).expect("an outcome");
    assert_eq!(found.iter().map(|found| found.item.id).collect::<Vec<_>>(), [1, 2]);
    assert_eq!((outcome.reason, outcome.stats.contacted), (Reason::Converged, 12));
    rig.assert_empty(&wire);
}

#[test]
fn a_query_that_is_cancelled_keeps_what_it_has_found() {
    let (mut rig, wire) = Rig::new();
    wire.answers(1, ms(10), [word(1)]);
    wire.silent([2, 3]);
    let handle = rig.query(ask([1, 2, 3]));
    rig.run();
    rig.clock.advance(ms(10));
    rig.run();
    handle.cancel();
    handle.cancel();
    let (found, outcome) = rig.block_on(handle.collect()).expect("an outcome");
    assert_eq!((found.len(), outcome.reason), (1, Reason::Cancelled));
    assert_eq!((wire.released(), outcome.stats.contacted), (2, 3));
    rig.assert_empty(&wire);
}

#[test]
fn a_query_cancelled_before_its_start_never_starts() {
    let (mut rig, wire) = Rig::new();
    wire.silent([1]);
    let handle = rig.query(ask([1]));
    handle.cancel();
    let (found, outcome) = rig.block_on(handle.collect()).expect("an outcome");
    assert_eq!((found.len(), outcome.reason), (0, Reason::Cancelled));
    assert_eq!((wire.contacts(), rig.client().metrics().queries_started), (0, 0));
    rig.assert_empty(&wire);
}

#[test]
fn a_query_can_be_cancelled_by_its_name() {
    let (mut rig, wire) = Rig::new();
    wire.silent([1]);
    let handle = rig.query(ask([1]));
    rig.run();
    let id = handle.id().expect("it has started");
    let client = rig.client().clone();
    assert!(rig.block_on(client.cancel(id)));
    assert!(!rig.block_on(client.cancel(id)), "it has ended");
    let (_, outcome) = rig.block_on(handle.collect()).expect("an outcome");
    assert_eq!(outcome.reason, Reason::Cancelled);
    rig.assert_empty(&wire);
}

#[test]
fn a_dropped_handle_cancels_its_query_and_releases_its_contacts() {
    let (mut rig, wire) = Rig::new();
    wire.silent(1..=3);
    let handle = rig.query(ask(1..=3));
    rig.run();
    assert_eq!(wire.open(), 3);
    drop(handle);
    rig.run();
    assert_eq!((wire.open(), wire.released()), (0, 3));
    assert_eq!(rig.client().metrics().queries_cancelled, 1);
    rig.assert_empty(&wire);
}

#[test]
fn a_dropped_handle_of_a_query_that_has_ended_tells_the_driver_nothing() {
    let (mut rig, wire) = Rig::new();
    wire.answers(1, ms(1), [word(1)]);
    let handle = rig.query(ask([1]));
    rig.run_out();
    let wakes = rig.woken.wakes();
    drop(handle);
    assert_eq!((rig.woken.wakes(), rig.driver().waiting()), (wakes, 0));
}

#[test]
fn a_dropped_driver_ends_every_handle_with_an_error_and_loses_no_item() {
    let (mut rig, wire) = Rig::new();
    wire.answers(1, ms(10), [word(1), word(2)]);
    wire.silent([2]);
    wire.answers(3, ms(5), [word(3)]);
    let streamed = rig.query(ask([1, 2]));
    let collected = rig.query(ask([1, 2]));
    let ended = rig.query(ask([3]));
    rig.run();
    rig.clock.advance(ms(10));
    rig.run();
    let waiting = rig.query(ask([1]));
    rig.driver = None;

    let mut streamed = streamed;
    assert_eq!(streamed.error(), None, "two items are still to be read");
    assert_eq!(rig.block_on(streamed.next()).map(|found| found.item.id), Some(1));
    assert_eq!(rig.block_on(streamed.next()).map(|found| found.item.id), Some(2));
    assert_eq!(rig.block_on(streamed.next()), None);
    assert_eq!((streamed.error(), streamed.outcome()), (Some(DriverGone), None));

    let incomplete = rig.block_on(collected.collect()).expect_err("no outcome");
    assert_eq!((incomplete.found.len(), incomplete.error), (2, DriverGone));
    assert_eq!(incomplete.to_string(), "the query has no outcome, 2 found before");

    let incomplete = rig.block_on(waiting.collect()).expect_err("no outcome");
    assert!(incomplete.found.is_empty());

    let (found, outcome) = rig.block_on(ended.collect()).expect("it had ended before");
    assert_eq!((found.len(), outcome.reason), (1, Reason::Exhausted));
}

#[test]
fn failures_and_unreadable_answers_end_contacts_too() {
    let (mut rig, wire) = Rig::new();
    wire.peer(1, Manner::Garbles);
    let handle = rig.query(ask([1, 2]));
    let (_, outcome) = rig.block_on(handle.collect()).expect("an outcome");
    assert_eq!((outcome.stats.failed, outcome.stats.invalid), (2, 1));
    assert_eq!(outcome.reason, Reason::Exhausted);
    rig.assert_empty(&wire);
}

#[test]
fn events_about_requests_that_have_ended_change_nothing() {
    let (mut rig, wire) = Rig::new();
    wire.silent([1, 2]);
    let handle = rig.query(ask([1, 2]));
    rig.run();
    let (request, _) = wire.open_requests()[0];
    let reply = |id| Event::Reply { request, reply: Reply::with_items(vec![word(id)]) };
    wire.bring(reply(1));
    wire.bring(reply(2));
    wire.bring(Event::Failure { request, failure: Failure::Closed });
    wire.bring(Event::Reply { request: RequestId::from_u64(u64::MAX), reply: Reply::default() });
    rig.run();
    let metrics = rig.driver().engine().metrics();
    assert_eq!((metrics.inputs_unknown, metrics.results), (3, 1));
    drop(handle);
    rig.run();
    rig.assert_empty(&wire);
}
