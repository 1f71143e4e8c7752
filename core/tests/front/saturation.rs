//! A driver that always finds something more to do.

use std::task::{Context, Poll};

use dragnet_core::front::{self, Contact, Event, Lookup, Transport};
use dragnet_core::{Failure, Key, QueryConfig, Reason, RequestId};
use futures::executor::block_on;
use futures::future::poll_fn;
use futures::task::noop_waker_ref;

use crate::kit::{LOCAL, VirtualClock, Words, ask, ms};

/// Has no event, or always one more, about a request that nobody made.
struct Stub {
    babbles: bool,
}

impl Transport for Stub {
    type Network = Words;

    fn closest(&mut self, _target: &Key, _count: usize) -> Vec<u32> {
        Vec::new()
    }

    fn contact(&mut self, _contact: Contact<Words>) {}

    fn lookup(&mut self, _lookup: Lookup<Words>) {}

    fn release(&mut self, _request: RequestId) {}

    fn poll_event(&mut self, _cx: &mut Context<'_>) -> Poll<Event<Words>> {
        let request = RequestId::from_u64(u64::MAX);
        let nonsense = Event::Failure { request, failure: Failure::Closed };
        if self.babbles { Poll::Ready(nonsense) } else { Poll::Pending }
    }
}

#[test]
fn what_is_due_and_the_metrics_are_not_put_off_by_a_transport_that_never_rests() {
    let clock = VirtualClock::new();
    let (client, mut driver) = front::new(Stub { babbles: true }, clock.clone(), LOCAL, [1; 32]);
    let mut handle = client.query(ask([1]).config(QueryConfig::default().with_timeout(ms(500)))).unwrap();
    let mut cx = Context::from_waker(noop_waker_ref());
    assert!(driver.poll(&mut cx).is_pending());
    clock.advance(ms(200));
    assert!(driver.poll(&mut cx).is_pending());
    assert_eq!(client.metrics().queries_started, 1, "at most 100 ms old");
    clock.advance(ms(300));
    assert!(driver.poll(&mut cx).is_pending());
    block_on(poll_fn(|cx| futures::StreamExt::poll_next_unpin(&mut handle, cx)));
    assert_eq!(handle.outcome().unwrap().reason, Reason::DeadlineReached);
}

#[test]
fn a_deadline_is_not_put_off_by_questions_without_end() {
    let clock = VirtualClock::new();
    let (client, mut driver) = front::new(Stub { babbles: false }, clock.clone(), LOCAL, [1; 32]);
    let handle = client.query(ask([1]).config(QueryConfig::default().with_timeout(ms(500)))).unwrap();
    let mut cx = Context::from_waker(noop_waker_ref());
    assert!(driver.poll(&mut cx).is_pending());
    let id = handle.id().unwrap();
    clock.advance(ms(500));
    // Asked before the driver has seen that time has passed.
    let status = client.status(id);
    let mut status = std::pin::pin!(status);
    assert!(status.as_mut().poll(&mut cx).is_pending());
    assert!(driver.poll(&mut cx).is_pending());
    assert_eq!(block_on(status), None, "it has ended");
}
