//! A driver inside somebody else's poll function, and on executors of other kinds.

use core::cell::Cell;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use dragnet_core::front::{
    self, Client, Contact, Driver, Event, FrontConfig, Lookup, QueryHandle, Transport,
};
use dragnet_core::{Item, Key, Network, Reply, RequestId};
use futures::StreamExt;
use futures::executor::LocalPool;
use futures::task::{LocalSpawnExt, waker};

use crate::kit::{LOCAL, Rig, VirtualClock, Wire, Woken, Words, ask, lock, ms, ready, walk, word};

/// A behaviour of somebody else's: it receives, hands in, and polls the driver, all in its own poll.
struct Behaviour {
    received: Vec<Event<Words>>,
    driver: Driver<Wire, VirtualClock>,
}

impl Behaviour {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        for event in self.received.drain(..) {
            self.driver.transport_mut().hand_in(event);
        }
        self.driver.poll(cx)
    }
}

#[test]
fn what_is_handed_in_before_a_poll_is_taken_by_that_poll() {
    let (mut rig, wire) = Rig::new();
    wire.silent([1, 2]);
    let mut handle = rig.query(ask([1, 2]));
    let mut behaviour = Behaviour { received: Vec::new(), driver: rig.driver.take().expect("a driver") };
    let woken = Woken::new();
    let swarm = waker(Arc::clone(&woken));
    let cx = &mut Context::from_waker(&swarm);
    while woken.take() {
        assert!(behaviour.poll(cx).is_pending());
    }

    for (request, peer) in wire.open_requests() {
        let words = vec![word(peer.expect("a contact").into())];
        behaviour.received.push(Event::Reply { request, reply: Reply::with_items(words) });
        assert!(behaviour.poll(cx).is_pending());
        assert_eq!(ready(&mut handle).len(), 1, "taken by the same poll");
        assert!(!woken.take(), "and nobody was woken for it");
    }
    assert!(handle.outcome().is_some());

    // And it still wakes for the rest.
    let _more = rig.query(ask([1]));
    assert!(woken.take());
    assert!(behaviour.poll(cx).is_pending());
    assert_eq!(behaviour.driver.transport().view().open(), 1);
    rig.client = None;
    assert!(woken.take());
}

/// A transport in which the asker gives up in the very middle of a start.
struct GivesUp {
    wire: Wire,
    handle: Arc<Mutex<Option<QueryHandle<Words>>>>,
}

impl Transport for GivesUp {
    type Network = Words;

    fn closest(&mut self, target: &Key, count: usize) -> Vec<u32> {
        drop(lock(&self.handle).take());
        self.wire.closest(target, count)
    }

    fn contact(&mut self, contact: Contact<Words>) {
        self.wire.contact(contact);
    }

    fn lookup(&mut self, lookup: Lookup<Words>) {
        self.wire.lookup(lookup);
    }

    fn release(&mut self, request: RequestId) {
        self.wire.release(request);
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Event<Words>> {
        self.wire.poll_event(cx)
    }
}

#[test]
fn a_handle_dropped_while_its_query_starts_cancels_it() {
    let clock = VirtualClock::new();
    let wire = Wire::new(clock.clone());
    let view = wire.view();
    view.silent(1..=20);
    let slot = Arc::new(Mutex::new(None));
    let transport = GivesUp { wire, handle: Arc::clone(&slot) };
    let (client, mut driver) = front::new(transport, clock, LOCAL, [7; 32]);
    *lock(&slot) = Some(client.query(walk(b"somewhere")).expect("the query starts"));
    assert!(driver.poll(&mut Context::from_waker(Waker::noop())).is_pending());
    assert_eq!((driver.live(), view.open(), client.metrics().queries_cancelled), (0, 0, 1));
}

/// A transport that only one thread can use.
struct Local(Wire, #[expect(dead_code, reason = "held for what it is not: Send")] Rc<()>);

impl Transport for Local {
    type Network = Words;

    fn closest(&mut self, target: &Key, count: usize) -> Vec<u32> {
        self.0.closest(target, count)
    }

    fn contact(&mut self, contact: Contact<Words>) {
        self.0.contact(contact);
    }

    fn lookup(&mut self, lookup: Lookup<Words>) {
        self.0.lookup(lookup);
    }

    fn release(&mut self, request: RequestId) {
        self.0.release(request);
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Event<Words>> {
        self.0.poll_event(cx)
    }
}

#[test]
fn a_transport_of_one_thread_runs_on_an_executor_of_one_thread() {
    let clock = VirtualClock::new();
    let wire = Wire::new(clock.clone());
    let view = wire.view();
    view.answers(1, ms(0), [word(1)]);
    view.silent([2]);
    let (client, driver) = front::new(Local(wire, Rc::new(())), clock, LOCAL, [7; 32]);
    let mut pool = LocalPool::new();
    pool.spawner().spawn_local(driver).expect("the pool is there");
    let found = pool.run_until(async move {
        let mut handle = client.query(ask([1, 2])).expect("the query starts");
        let found = handle.next().await;
        drop(handle);
        client.shutdown().await;
        found
    });
    assert_eq!(found.map(|found| found.item.id), Some(1));
    pool.run();
    assert_eq!((view.open(), view.released()), (0, 1));
}

#[test]
fn a_driver_is_a_future_that_needs_no_pinning() {
    let (mut rig, _) = Rig::new();
    let mut driver = rig.driver.take().expect("a driver");
    let woken = Woken::new();
    let waker = waker(Arc::clone(&woken));
    let cx = &mut Context::from_waker(&waker);
    assert!(Pin::new(&mut driver).poll(cx).is_pending());
    rig.client = None;
    assert!(woken.take());
    assert!(Future::poll(Pin::new(&mut driver), cx).is_ready());
    assert!(futures::future::FusedFuture::is_terminated(&driver));
}

/// A network whose items go from thread to thread, but are seen by one at a time.
#[derive(Debug)]
enum Counters {}

#[derive(Clone, PartialEq, Debug)]
struct Counter(Cell<u64>);

impl Item for Counter {
    type Id = u64;

    fn id(&self) -> u64 {
        self.0.get()
    }
}

impl Network for Counters {
    type Peer = u32;
    type Request = u32;
    type Item = Counter;

    fn key(peer: &u32) -> Key {
        Key::of(&peer.to_be_bytes())
    }
}

#[test]
fn what_goes_to_other_threads_can() {
    fn send<T: Send>() {}
    fn sync<T: Sync>() {}
    send::<Client<Words>>();
    sync::<Client<Words>>();
    send::<QueryHandle<Words>>();
    sync::<QueryHandle<Words>>();
    send::<QueryHandle<Counters>>();
    sync::<QueryHandle<Counters>>();
    send::<Driver<Wire, VirtualClock>>();
    send::<Driver<Wire, front::SystemClock>>();
    send::<front::DriverGone>();
    send::<front::Incomplete<Words>>();
    let (rig, _) = Rig::new();
    fn is_send<T: Send>(value: T) -> T {
        value
    }
    drop(is_send(rig.client().shutdown()));
    drop(is_send(rig.client().peers()));
    drop(is_send(rig.query_or_none()));
}

impl Rig {
    fn query_or_none(&self) -> impl Future<Output = ()> + use<> {
        let handle = self.client().query(ask([1]));
        async move {
            if let Ok(handle) = handle {
                let _ = handle.collect().await;
            }
        }
    }
}

/// `$type` is not `Send`: if it were, both impls would apply, and the call would be ambiguous.
macro_rules! assert_not_send {
    ($type:ty) => {{
        trait Ambiguous<A> {
            fn call() {}
        }
        struct Yes;
        impl<T: ?Sized> Ambiguous<()> for T {}
        impl<T: ?Sized + Send> Ambiguous<Yes> for T {}
        let _ = <$type as Ambiguous<_>>::call;
    }};
}

#[test]
fn a_driver_is_no_more_send_than_its_transport() {
    assert_not_send!(Rc<()>);
    assert_not_send!(Local);
    assert_not_send!(Driver<Local, VirtualClock>);
}

#[test]
fn defaults_are_as_documented() {
    let config = FrontConfig::default();
    assert_eq!((config.commands_max, config.metrics_every), (1024, ms(100)));
}
