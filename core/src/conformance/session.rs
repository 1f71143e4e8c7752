//! One check's hold on a transport: polls it only when woken, and notes what it does.

use core::future::poll_fn;
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::{Context, Poll};
use core::time::Duration;
use std::sync::Arc;

use futures::task::{ArcWake, AtomicWaker, waker};
use uuid::Uuid;

use super::{Peer, Request, Subject, Violation};
use crate::front::{Clock, Contact, Event, Lookup, Transport};
use crate::network::Source;
use crate::output::{RequestId, Step};
use crate::query::QueryId;
use crate::time::Time;

type Net<S> = <<S as Subject>::Transport as Transport>::Network;

/// Notes that the transport has woken its driver, and wakes the executor under it.
#[derive(Default)]
struct Woken {
    flag: AtomicBool,
    executor: AtomicWaker,
}

impl ArcWake for Woken {
    fn wake_by_ref(this: &Arc<Self>) {
        this.flag.store(true, Ordering::Release);
        this.executor.wake();
    }
}

pub(super) struct Session<S: Subject> {
    pub(super) transport: S::Transport,
    pub(super) clock: S::Clock,
    pub(super) ask: Request<S>,
    pub(super) step: Step,
    pub(super) answering: Peer<S>,
    pub(super) silent: Option<Peer<S>>,
    pub(super) missing: Option<Peer<S>>,
    pub(super) garbled: Option<Peer<S>>,
    pub(super) patience: Duration,
    pub(super) quiet: Duration,
    pub(super) violations: Vec<Violation>,
    call_max: Duration,
    check: &'static str,
    woken: Arc<Woken>,
    lookups: Vec<RequestId>,
    /// Contacts that were said to have been sent.
    sent: Vec<RequestId>,
    /// Requests of which an end was seen.
    ended: Vec<RequestId>,
}

impl<S: Subject> Session<S> {
    pub(super) fn new(subject: &mut S, check: &'static str) -> Self {
        Self {
            transport: subject.transport(),
            clock: subject.clock(),
            ask: subject.ask(),
            step: subject.step(),
            answering: subject.answering(),
            silent: subject.silent(),
            missing: subject.missing(),
            garbled: subject.garbled(),
            patience: subject.patience(),
            quiet: subject.quiet(),
            violations: Vec::new(),
            call_max: subject.call_max(),
            check,
            woken: Arc::default(),
            lookups: Vec::new(),
            sent: Vec::new(),
            ended: Vec::new(),
        }
    }

    pub(super) fn broken(&mut self, rule: u8, what: impl Into<String>) {
        let violation = Violation { rule, check: self.check, what: what.into() };
        if !self.violations.contains(&violation) {
            self.violations.push(violation);
        }
    }

    pub(super) fn contact(&mut self, request: RequestId, peer: &Peer<S>) {
        let (query, peer, ask, step) =
            (QueryId::from_uuid(Uuid::nil()), peer.clone(), self.ask.clone(), self.step);
        self.call("contact", |transport| transport.contact(Contact { request, query, peer, step, ask }));
    }

    pub(super) fn lookup(&mut self, request: RequestId) {
        self.lookups.push(request);
        let (query, ask) = (QueryId::from_uuid(Uuid::nil()), self.ask.clone());
        self.call("lookup", |transport| {
            transport.lookup(Lookup { request, query, route: 0, source: Source::default(), ask });
        });
    }

    pub(super) fn release(&mut self, request: RequestId) {
        self.call("release", |transport| transport.release(request));
    }

    /// Calls the transport, against the clock. After it, one poll is due.
    pub(super) fn call<A>(&mut self, name: &str, call: impl FnOnce(&mut S::Transport) -> A) -> A {
        let before = self.clock.now();
        let result = call(&mut self.transport);
        let took = self.clock.now() - before;
        if took > self.call_max {
            self.broken(1, format!("`{name}` blocks: it took {took:?}"));
        }
        self.woken.flag.store(true, Ordering::Release);
        result
    }

    /// The next event but for those of sending, if it comes within so long and the transport wakes for it.
    pub(super) async fn event(&mut self, within: Duration) -> Option<Event<Net<S>>> {
        let until = self.clock.now() + within;
        loop {
            let event = self.any_event(self.left(until)).await?;
            if !self.is_sending(&event) {
                return Some(event);
            }
        }
    }

    /// Whether the event says that a contact was sent; notes what is wrong with that.
    fn is_sending(&mut self, event: &Event<Net<S>>) -> bool {
        let request = event.request();
        match event {
            Event::Sent { .. } => {}
            Event::Progress { .. } => return false,
            _ => {
                self.ended.push(request);
                return false;
            }
        }
        let wrong = [
            (&self.sent, "is said to be sent twice"),
            (&self.ended, "is said to be sent after its end"),
            (&self.lookups, "is said to be sent, and is a lookup"),
        ];
        let wrong = wrong.into_iter().find(|(those, _)| those.contains(&request));
        if let Some((_, what)) = wrong {
            self.broken(8, format!("request {request} {what}"));
        }
        self.sent.push(request);
        true
    }

    async fn any_event(&mut self, within: Duration) -> Option<Event<Net<S>>> {
        let until = self.clock.now() + within;
        let woken = Arc::clone(&self.woken);
        let event = poll_fn(|cx| {
            woken.executor.register(cx.waker());
            if woken.flag.swap(false, Ordering::AcqRel)
                && let Poll::Ready(event) = self.poll_transport()
            {
                // There may be more.
                woken.flag.store(true, Ordering::Release);
                return Poll::Ready(Some(event));
            }
            self.clock.poll_until(cx, until).map(|()| None)
        })
        .await;
        match event {
            Some(event) => Some(event),
            None => self.event_without_waking().await,
        }
    }

    /// Time is up. Is there an event for which the transport has not woken?
    async fn event_without_waking(&mut self) -> Option<Event<Net<S>>> {
        if self.woken.flag.load(Ordering::Acquire) {
            return None;
        }
        let Poll::Ready(event) = self.poll_transport() else { return None };
        // It may have come just now, and the waking be under way.
        let until = self.clock.now() + self.quiet;
        let woken = Arc::clone(&self.woken);
        poll_fn(|cx| {
            woken.executor.register(cx.waker());
            if woken.flag.load(Ordering::Acquire) {
                return Poll::Ready(());
            }
            self.clock.poll_until(cx, until)
        })
        .await;
        if !self.woken.flag.swap(true, Ordering::AcqRel) {
            self.broken(4, "there is an event, but the waker of the last poll has not been woken for it");
        }
        Some(event)
    }

    fn poll_transport(&mut self) -> Poll<Event<Net<S>>> {
        let waker = waker(Arc::clone(&self.woken));
        let before = self.clock.now();
        let poll = self.transport.poll_event(&mut Context::from_waker(&waker));
        let took = self.clock.now() - before;
        if took > self.call_max {
            self.broken(1, format!("`poll_event` blocks: it took {took:?}"));
        }
        poll
    }

    /// Polls under another waker, as a driver that is then moved to another task.
    pub(super) fn poll_elsewhere(&mut self) -> Poll<Event<Net<S>>> {
        self.woken.flag.store(true, Ordering::Release);
        let elsewhere = waker(Arc::new(Woken::default()));
        loop {
            let poll = self.transport.poll_event(&mut Context::from_waker(&elsewhere));
            match &poll {
                Poll::Ready(event) if self.is_sending(event) => {}
                _ => return poll,
            }
        }
    }

    /// All events until none has come for so long.
    pub(super) async fn events(&mut self, quiet: Duration, most: usize) -> Vec<Event<Net<S>>> {
        let mut events = Vec::new();
        while events.len() < most {
            let Some(event) = self.event(quiet).await else { break };
            events.push(event);
        }
        events
    }

    /// All events until the requests have ended, or patience has; and then those that should not come.
    pub(super) async fn events_of(&mut self, requests: &[RequestId]) -> Vec<Event<Net<S>>> {
        self.events_beside(requests, &[]).await
    }

    /// The same, where other requests were released and may or may not have been too late. Gives the
    /// events of the former.
    pub(super) async fn events_beside(
        &mut self,
        requests: &[RequestId],
        released: &[RequestId],
    ) -> Vec<Event<Net<S>>> {
        let until = self.clock.now() + self.patience;
        let mut open = requests.to_vec();
        let mut events = Vec::new();
        while !open.is_empty() && events.len() < EVENTS_MAX {
            let Some(event) = self.event(self.left(until)).await else { break };
            if !matches!(event, Event::Progress { .. }) {
                open.retain(|request| *request != event.request());
            }
            events.push(event);
        }
        for request in open {
            self.broken(2, format!("request {request} has not ended after {:?}", self.patience));
        }
        events.extend(self.events(self.quiet, EVENTS_MAX).await);
        self.note_second_ends(&[requests, released].concat(), &events);
        events.retain(|event| requests.contains(&event.request()));
        events
    }

    fn left(&self, until: Time) -> Duration {
        until - self.clock.now()
    }

    fn note_second_ends(&mut self, requests: &[RequestId], events: &[Event<Net<S>>]) {
        let mut ended = Vec::new();
        for event in events {
            let request = event.request();
            if !requests.contains(&request) {
                self.broken(2, format!("an event names request {request}, which was never made"));
            } else if ended.contains(&request) {
                self.broken(2, format!("an event came for request {request} after its end: {event:?}"));
            } else if !matches!(event, Event::Progress { .. }) {
                ended.push(request);
            }
        }
    }
}

/// Nobody asks for so much that more events than these could be right.
const EVENTS_MAX: usize = 10_000;
