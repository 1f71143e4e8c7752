//! The spans of `tracing`. A program of its own: whether a place in the code is worth logging is kept for the
//! whole process, and tests beside it, that listen to nothing, may have it kept as not worth it at just the
//! wrong moment.

#![cfg(feature = "futures")]

#[path = "front/kit/mod.rs"]
#[allow(dead_code, unused_imports, reason = "a part of it is enough here")]
mod kit;

use core::fmt::Debug;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use dragnet_core::front::Clock;
use dragnet_core::{QueryConfig, Time};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use crate::kit::{Rig, ask, lock, ms, ready, word};

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
    assert_eq!((span["peers"].as_str(), span["results"].as_str()), ("2", "2"));
    assert_eq!(span["reason"], "exhausted");

    let named = |name| kept.events.iter().filter(|(_, fields)| fields["message"] == name).collect::<Vec<_>>();
    assert_eq!(named("contact").len(), 2);
    assert!(named("contact").iter().all(|(span, fields)| *span == Some(1) && fields.contains_key("peer")));
    for name in ["reply", "failure"] {
        let [(span, fields)] = named(name)[..] else { panic!("{} of {name}", named(name).len()) };
        assert_eq!((*span, fields.contains_key("request")), (Some(1), true), "{name}");
    }
    let ended = named("ended");
    assert_eq!(ended.len(), 1);
    assert_eq!((ended[0].0, ended[0].1["contacted"].as_str()), (Some(1), "2"));
}
