//! What can be seen from outside: status, metrics, peers, and the spans of `tracing`.

use core::fmt::Debug;
use core::task::{Context, Poll, Waker};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use dragnet_core::front::{Client, Clock, DriverGone, FrontConfig};
use dragnet_core::{Metrics, QueryConfig, QueryId, Time};
use futures::StreamExt;
use futures::task::{ArcWake, waker};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use crate::kit::{Rig, Words, ask, lock, ms, ready, word};

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

/// Keeps spans and events as text.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    spans: Vec<BTreeMap<&'static str, String>>,
    entered: Vec<u64>,
    events: Vec<(Option<u64>, BTreeMap<&'static str, String>)>,
}

struct Fields<'a>(&'a mut BTreeMap<&'static str, String>);

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("dragnet_core")
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut kept = lock(&self.0);
        let mut fields = BTreeMap::from([("span", span.metadata().name().to_string())]);
        span.record(&mut Fields(&mut fields));
        kept.spans.push(fields);
        Id::from_u64(kept.spans.len() as u64)
    }

    fn record(&self, span: &Id, values: &Record<'_>) {
        let mut kept = lock(&self.0);
        values.record(&mut Fields(&mut kept.spans[span.into_u64() as usize - 1]));
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut fields = BTreeMap::new();
        event.record(&mut Fields(&mut fields));
        let mut kept = lock(&self.0);
        let span = kept.entered.last().copied();
        kept.events.push((span, fields));
    }

    fn enter(&self, span: &Id) {
        lock(&self.0).entered.push(span.into_u64());
    }

    fn exit(&self, _: &Id) {
        lock(&self.0).entered.pop();
    }
}

#[test]
fn each_query_has_a_span_with_its_name_and_its_end() {
    let log = Log::default();
    let id = tracing::subscriber::with_default(log.clone(), || {
        let (mut rig, wire) = Rig::new();
        wire.answers(1, ms(10), [word(1), word(2)]);
        let mut handle = rig.query(ask([1, 2]).config(QueryConfig::default().with_timeout(ms(500))));
        rig.run_out();
        assert_eq!(ready(&mut handle).len(), 2);
        assert!(rig.clock.now() < Time::from_millis(1000));
        handle.id().expect("it has started")
    });
    let kept = lock(&log.0);
    assert_eq!(kept.spans.len(), 1);
    let span = &kept.spans[0];
    assert_eq!(span["span"], "query");
    assert_eq!(span["query_id"], id.to_string());
    assert_eq!(span["request"], "\"a question\"");
    assert_eq!((span["results"].as_str(), span["reason"].as_str()), ("2", "exhausted"));

    let named = |name| kept.events.iter().filter(|(_, fields)| fields["message"] == name).collect::<Vec<_>>();
    assert_eq!(named("contact").len(), 2);
    assert!(named("contact").iter().all(|(span, fields)| *span == Some(1) && fields.contains_key("peer")));
    assert_eq!((named("reply").len(), named("failure").len()), (1, 1));
    let ended = named("ended");
    assert_eq!(ended.len(), 1);
    assert_eq!((ended[0].0, ended[0].1["contacted"].as_str()), (Some(1), "2"));
}
