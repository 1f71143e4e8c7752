//! The checks, each on a transport of its own.

use core::future::Future;
use core::pin::{Pin, pin};
use core::time::Duration;

use super::session::Session;
use super::{Report, Subject, targets};
use crate::front::{Event, Transport};
use crate::network::{Failure, Network, Reply};
use crate::output::RequestId;

type Net<S> = <<S as Subject>::Transport as Transport>::Network;

/// What a check says of itself: whether it could be made.
type Made<'a> = Pin<Box<dyn Future<Output = bool> + 'a>>;
type Check<S> = for<'a> fn(&'a mut Session<S>) -> Made<'a>;

pub(super) fn all<S: Subject>() -> [(&'static str, Check<S>); 13] {
    [
        ("an answer ends a contact, once", |s| Box::pin(answer(s))),
        ("the failure of a missing peer ends a contact, once", |s| Box::pin(missing(s))),
        ("many contacts may begin before the next poll", |s| Box::pin(burst(s))),
        ("a lookup ends once", |s| Box::pin(lookup(s))),
        ("a released contact is dropped", |s| Box::pin(release(s))),
        ("a released lookup is dropped", |s| Box::pin(release_lookup(s))),
        ("a release touches no other request", |s| Box::pin(release_others(s))),
        ("a release of what is not there is ignored", |s| Box::pin(release_nothing(s))),
        ("the waker of the last poll is woken", |s| Box::pin(waker(s))),
        ("request ids are opaque", |s| Box::pin(opaque(s))),
        ("silence is not an answer", |s| Box::pin(silence(s))),
        ("what cannot be read is invalid", |s| Box::pin(garbled(s))),
        ("the closest peers come first, and no more than asked for", |s| Box::pin(closest(s))),
    ]
}

pub(super) fn run<S: Subject>(subject: &mut S, name: &'static str, check: Check<S>, report: &mut Report) {
    let mut session = Session::new(subject, name);
    let mut made = None;
    {
        let mut future = pin!(async { made = Some(check(&mut session).await) });
        subject.block_on(future.as_mut());
    }
    match made {
        Some(true) => report.checked.push(name),
        Some(false) => report.skipped.push(name),
        None => session.broken(0, "`Subject::block_on` has returned before the check had ended"),
    }
    report.violations.append(&mut session.violations);
}

const fn id(n: u64) -> RequestId {
    RequestId::from_u64(n)
}

async fn answer<S: Subject>(s: &mut Session<S>) -> bool {
    let peer = s.answering.clone();
    s.contact(id(1), &peer);
    let events = s.events_of(&[id(1)]).await;
    expect_answers(s, &events);
    nothing_held(s);
    true
}

async fn missing<S: Subject>(s: &mut Session<S>) -> bool {
    let Some(peer) = s.missing.clone() else { return false };
    s.contact(id(1), &peer);
    for event in s.events_of(&[id(1)]).await {
        if !matches!(event, Event::Failure { .. }) {
            s.broken(2, format!("a contact to a missing peer ended with {event:?}, not with a failure"));
        }
    }
    nothing_held(s);
    true
}

async fn burst<S: Subject>(s: &mut Session<S>) -> bool {
    let peers: Vec<_> = [Some(s.answering.clone()), s.missing.clone()].into_iter().flatten().collect();
    let requests: Vec<_> = (1..=64).map(id).collect();
    for (n, request) in requests.iter().enumerate() {
        s.contact(*request, &peers[n % peers.len()]);
    }
    if let Some(silent) = s.silent.clone() {
        s.contact(id(1000), &silent);
        s.release(id(1000));
    }
    let events = s.events_beside(&requests, &[id(1000)]).await;
    let (to_answering, _): (Vec<_>, Vec<_>) =
        events.into_iter().partition(|event| (event.request().as_u64() - 1) % peers.len() as u64 == 0);
    // Sixty-four at once may be too many for one peer.
    let judged: Vec<_> = to_answering.into_iter().filter(|event| !is_congestion(event)).collect();
    expect_answers(s, &judged);
    nothing_held(s);
    true
}

async fn lookup<S: Subject>(s: &mut Session<S>) -> bool {
    s.lookup(id(1));
    for event in s.events_of(&[id(1)]).await {
        if let Event::Reply { .. } = event {
            s.broken(2, "a lookup ended with a reply: it ends with `Done` or a failure");
        }
    }
    nothing_held(s);
    true
}

async fn release<S: Subject>(s: &mut Session<S>) -> bool {
    let peers: Vec<_> = [Some(s.answering.clone()), s.silent.clone()].into_iter().flatten().collect();
    for (n, peer) in (1..).zip(&peers) {
        s.contact(id(n), peer);
    }
    // Polled once, so that the contacts are under way.
    let mut ended: Vec<_> = s.event(Duration::ZERO).await.into_iter().collect();
    for n in 1..=peers.len() as u64 {
        s.release(id(n));
    }
    ended.extend(s.events(s.quiet, 100).await);
    at_most_one_end(s, &ended);
    nothing_held(s);
    true
}

async fn release_lookup<S: Subject>(s: &mut Session<S>) -> bool {
    s.lookup(id(1));
    let mut ended: Vec<_> = s.event(Duration::ZERO).await.into_iter().collect();
    s.release(id(1));
    ended.extend(s.events(s.quiet, 100).await);
    at_most_one_end(s, &ended);
    nothing_held(s);
    true
}

async fn release_others<S: Subject>(s: &mut Session<S>) -> bool {
    let peer = s.answering.clone();
    for n in 1..=4 {
        s.contact(id(n), &peer);
    }
    s.release(id(2));
    s.release(id(3));
    let mut events = s.events_beside(&[id(1), id(4)], &[id(2), id(3)]).await;
    events.retain(|event| !is_congestion(event));
    expect_answers(s, &events);
    nothing_held(s);
    true
}

async fn release_nothing<S: Subject>(s: &mut Session<S>) -> bool {
    let peer = s.answering.clone();
    s.release(id(7));
    s.contact(id(1), &peer);
    s.release(id(7));
    let events = s.events_of(&[id(1)]).await;
    expect_answers(s, &events);
    // It has ended, and ends no more.
    s.release(id(1));
    s.release(id(1));
    if !s.events(s.quiet, 1).await.is_empty() {
        s.broken(3, "the release of a contact that had ended brought an event");
    }
    // And the transport still works.
    s.contact(id(2), &peer);
    let events = s.events_of(&[id(2)]).await;
    expect_answers(s, &events);
    nothing_held(s);
    true
}

async fn waker<S: Subject>(s: &mut Session<S>) -> bool {
    let peer = s.answering.clone();
    // An idle transport, first under one waker, then under another.
    if s.poll_elsewhere().is_ready() || !s.events(s.quiet, 1).await.is_empty() {
        s.broken(2, "an event came before anything was asked");
    }
    for n in 1..=3 {
        s.contact(id(n), &peer);
        // The driver moves while the answer is under way.
        let early = s.poll_elsewhere();
        if early.is_pending() {
            s.events_of(&[id(n)]).await;
        }
    }
    true
}

async fn opaque<S: Subject>(s: &mut Session<S>) -> bool {
    let peer = s.answering.clone();
    // Pairs that agree in their low or in their high half, and the extremes.
    let requests = [0, 1, 1 << 32, (1 << 32) + 1, 7 << 32, u64::MAX, u64::MAX - 1, u64::MAX >> 32].map(id);
    for request in requests {
        s.contact(request, &peer);
    }
    s.release(requests[2]);
    let kept: Vec<_> = requests.into_iter().filter(|request| *request != requests[2]).collect();
    let before = s.violations.len();
    s.events_beside(&kept, &[requests[2]]).await;
    // Whatever went wrong here goes well with plain ids.
    for violation in &mut s.violations[before..] {
        violation.rule = 5;
    }
    nothing_held(s);
    true
}

async fn silence<S: Subject>(s: &mut Session<S>) -> bool {
    let Some(peer) = s.silent.clone() else { return false };
    s.contact(id(1), &peer);
    for event in s.events(s.patience, 2).await {
        if !matches!(event, Event::Failure { failure: Failure::TimedOut, .. }) {
            s.broken(6, format!("a contact to a silent peer ended with {event:?}: the engine decides how long to wait, and a transport's own timeout is `Failure::TimedOut`"));
        }
    }
    s.release(id(1));
    s.events(s.quiet, 100).await;
    nothing_held(s);
    true
}

async fn garbled<S: Subject>(s: &mut Session<S>) -> bool {
    let Some(peer) = s.garbled.clone() else { return false };
    s.contact(id(1), &peer);
    for event in s.events_of(&[id(1)]).await {
        let is_invalid = match &event {
            Event::Failure { failure, .. } => *failure == Failure::Invalid,
            Event::Reply { reply, .. } => reply.invalid > 0,
            Event::Sent { .. } | Event::Progress { .. } | Event::Done { .. } => false,
        };
        if !is_invalid {
            s.broken(7, format!("an answer that cannot be read became {event:?}: it is `Failure::Invalid`, or counts in `Reply::invalid`"));
        }
    }
    nothing_held(s);
    true
}

async fn closest<S: Subject>(s: &mut Session<S>) -> bool {
    for target in targets() {
        for count in [0, 1, 3, 20] {
            let peers = s.call("closest", |transport| transport.closest(&target, count));
            if peers.len() > count {
                s.broken(0, format!("`closest` named {} peers, {count} were asked for", peers.len()));
            }
            if !peers.is_sorted_by_key(|peer| Net::<S>::key(peer).distance(&target)) {
                s.broken(0, "`closest` does not name the closest first");
            }
            if (1..peers.len()).any(|n| peers[n..].contains(&peers[n - 1])) {
                s.broken(0, "`closest` names a peer twice");
            }
        }
    }
    true
}

/// Each of these is a reply with something in it and nothing wrong with it.
fn expect_answers<S: Subject>(s: &mut Session<S>, events: &[Event<Net<S>>]) {
    for event in events {
        match event {
            Event::Reply { reply, .. } if is_empty(reply) => {
                s.broken(2, "the reply of an answering peer is empty");
            }
            Event::Reply { reply, .. } if reply.invalid > 0 => {
                s.broken(7, format!("{} parts of a good answer were called invalid", reply.invalid));
            }
            Event::Reply { .. } => {}
            other => s.broken(2, format!("a contact to an answering peer ended with {other:?}")),
        }
    }
}

/// An event under way when its request was released may still come: one, and no more.
fn at_most_one_end<S: Subject>(s: &mut Session<S>, events: &[Event<Net<S>>]) {
    let mut ends: Vec<_> = events.iter().filter(|e| !matches!(e, Event::Progress { .. })).collect();
    ends.sort_by_key(|event| event.request());
    for pair in ends.windows(2).filter(|pair| pair[0].request() == pair[1].request()) {
        s.broken(2, format!("request {} ended twice", pair[0].request()));
    }
}

fn nothing_held<S: Subject>(s: &mut Session<S>) {
    if let Some(held @ 1..) = S::held(&s.transport) {
        s.broken(
            3,
            format!("the transport holds something for {held} requests, all of them ended or released"),
        );
    }
}

fn is_empty<N: Network>(reply: &Reply<N>) -> bool {
    reply.items.is_empty() && reply.closer.is_empty() && reply.providers.is_empty()
}

const fn is_congestion<N: Network>(event: &Event<N>) -> bool {
    matches!(event, Event::Failure { failure: Failure::Local | Failure::Refused | Failure::Closed, .. })
}
