//! A transport in memory, to peers that behave as told.

use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use dragnet_core::front::{Clock, Contact, Event, Lookup, Transport};
use dragnet_core::{Failure, Key, Network, Reply, RequestId, Time};

use super::{VirtualClock, Words, lock};

/// How a peer behaves. One of which nothing is said does not exist.
#[derive(Clone)]
pub(crate) enum Manner {
    /// Answers after a while.
    Answers(Duration, Reply<Words>),
    /// Never answers.
    Silent,
    /// Sends what nobody can read.
    Garbles,
}

pub(crate) struct Wire {
    state: Arc<Mutex<State>>,
    clock: VirtualClock,
}

/// The test's view of a wire.
#[derive(Clone)]
pub(crate) struct WireView(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    manners: BTreeMap<u32, Manner>,
    lookup: Option<Vec<(Duration, Event<Words>)>>,
    /// Requests begun and neither ended nor released.
    open: BTreeMap<RequestId, Open>,
    events: BTreeMap<(Time, u64), Event<Words>>,
    sent: u64,
    waker: Option<Waker>,
    contacts: usize,
    released: usize,
    asked_closest: Vec<usize>,
    events_taken: usize,
}

/// Whom a request asks, and which events will tell of it.
#[derive(Default)]
struct Open {
    peer: Option<u32>,
    events: Vec<(Time, u64)>,
}

impl Wire {
    pub(crate) fn new(clock: VirtualClock) -> Self {
        Self { state: Arc::default(), clock }
    }

    pub(crate) fn view(&self) -> WireView {
        WireView(Arc::clone(&self.state))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl WireView {
    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.0)
    }

    pub(crate) fn peer(&self, peer: u32, manner: Manner) {
        self.state().manners.insert(peer, manner);
    }

    /// A peer that answers with these words after so long.
    pub(crate) fn answers(&self, peer: u32, after: Duration, words: impl IntoIterator<Item = super::Word>) {
        self.peer(peer, Manner::Answers(after, Reply::with_items(words.into_iter().collect())));
    }

    pub(crate) fn silent(&self, peers: impl IntoIterator<Item = u32>) {
        peers.into_iter().for_each(|peer| self.peer(peer, Manner::Silent));
    }

    /// What a lookup brings, and when. Its request ids are filled in.
    pub(crate) fn lookups(&self, events: Vec<(Duration, Event<Words>)>) {
        self.state().lookup = Some(events);
    }

    /// Requests begun and neither ended nor released.
    pub(crate) fn open(&self) -> usize {
        self.state().open.len()
    }

    /// The open requests, and whom they ask.
    pub(crate) fn open_requests(&self) -> Vec<(RequestId, Option<u32>)> {
        self.state().open.iter().map(|(request, open)| (*request, open.peer)).collect()
    }

    pub(crate) fn contacts(&self) -> usize {
        self.state().contacts
    }

    pub(crate) fn released(&self) -> usize {
        self.state().released
    }

    pub(crate) fn asked_closest(&self) -> Vec<usize> {
        self.state().asked_closest.clone()
    }

    pub(crate) fn events_taken(&self) -> usize {
        self.state().events_taken
    }

    /// Something comes in from the network: the transport wakes its driver.
    pub(crate) fn bring(&self, event: Event<Words>) {
        let waker = {
            let mut state = self.state();
            state.push(Time::ZERO, event);
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl State {
    fn push(&mut self, at: Time, event: Event<Words>) {
        self.sent += 1;
        if let Some(open) = self.open.get_mut(&event.request()) {
            open.events.push((at, self.sent));
        }
        self.events.insert((at, self.sent), event);
    }
}

impl Wire {
    /// Something is handed in by the transport's owner, who will poll the driver: no waking.
    pub(crate) fn hand_in(&mut self, event: Event<Words>) {
        self.state().push(Time::ZERO, event);
    }
}

fn about(request: RequestId, event: Event<Words>) -> Event<Words> {
    match event {
        Event::Sent { .. } => Event::Sent { request },
        Event::Progress { from, reply, .. } => Event::Progress { request, from, reply },
        Event::Done { totals, .. } => Event::Done { request, totals },
        Event::Reply { reply, .. } => Event::Reply { request, reply },
        Event::Failure { failure, .. } => Event::Failure { request, failure },
    }
}

impl Transport for Wire {
    type Network = Words;

    fn closest(&mut self, target: &Key, count: usize) -> Vec<u32> {
        let mut state = self.state();
        state.asked_closest.push(count);
        let mut peers: Vec<u32> = state.manners.keys().copied().collect();
        peers.sort_by_key(|peer| Words::key(peer).distance(target));
        peers.truncate(count);
        peers
    }

    fn contact(&mut self, Contact { request, peer, .. }: Contact<Words>) {
        let now = self.clock.now();
        let mut state = self.state();
        state.contacts += 1;
        let open = Open { peer: Some(peer), ..Open::default() };
        assert!(state.open.insert(request, open).is_none(), "{request} is used twice");
        match state.manners.get(&peer).cloned() {
            Some(Manner::Answers(after, reply)) => state.push(now + after, Event::Reply { request, reply }),
            Some(Manner::Silent) => {}
            Some(Manner::Garbles) => state.push(now, Event::Failure { request, failure: Failure::Invalid }),
            None => state.push(now, Event::Failure { request, failure: Failure::Unreachable }),
        }
    }

    fn lookup(&mut self, Lookup { request, .. }: Lookup<Words>) {
        let now = self.clock.now();
        let mut state = self.state();
        assert!(state.open.insert(request, Open::default()).is_none(), "{request} is used twice");
        match state.lookup.clone() {
            Some(events) => {
                events.into_iter().for_each(|(after, event)| state.push(now + after, about(request, event)));
            }
            None => state.push(now, Event::Failure { request, failure: Failure::Unsupported }),
        }
    }

    fn release(&mut self, request: RequestId) {
        let mut state = self.state();
        if let Some(open) = state.open.remove(&request) {
            state.released += 1;
            for event in open.events {
                state.events.remove(&event);
            }
        }
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Event<Words>> {
        loop {
            let now = self.clock.now();
            let next = {
                let mut state = self.state();
                let Some(entry) = state.events.first_entry() else {
                    state.waker = Some(cx.waker().clone());
                    return Poll::Pending;
                };
                let (at, _) = *entry.key();
                if at <= now {
                    let event = entry.remove();
                    state.events_taken += 1;
                    if !matches!(event, Event::Progress { .. }) {
                        state.open.remove(&event.request());
                    }
                    return Poll::Ready(event);
                }
                state.waker = Some(cx.waker().clone());
                at
            };
            if self.clock.poll_until(cx, next).is_pending() {
                return Poll::Pending;
            }
        }
    }
}
