//! The simulated network as a transport like any other.

use std::cell::RefCell;
use std::rc::Rc;
use std::task::{Context, Poll};

use dragnet_core::front::{Contact, Event, Lookup, Transport};
use dragnet_core::{Key, RequestId};

use crate::network::SimNet;
use crate::peers::PeerId;
use crate::world::World;

/// One client's way into the simulated network. Made by [`Sim`](crate::Sim), whose virtual time moves
/// it; it lives on one thread.
#[derive(Debug)]
pub struct SimTransport {
    world: Rc<RefCell<World>>,
    client: u32,
}

impl SimTransport {
    pub(crate) const fn new(world: Rc<RefCell<World>>, client: u32) -> Self {
        Self { world, client }
    }

    /// The client's own peer.
    pub fn local(&self) -> PeerId {
        self.world.borrow_mut().port(self.client).peer
    }
}

impl Transport for SimTransport {
    type Network = SimNet;

    fn closest(&mut self, target: &Key, count: usize) -> Vec<PeerId> {
        self.world.borrow_mut().known(self.client, target, count)
    }

    fn contact(&mut self, contact: Contact<SimNet>) {
        self.world.borrow_mut().contact(self.client, &contact);
    }

    fn lookup(&mut self, lookup: Lookup<SimNet>) {
        self.world.borrow_mut().lookup(self.client, &lookup);
    }

    fn release(&mut self, request: RequestId) {
        self.world.borrow_mut().release(self.client, request);
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Event<SimNet>> {
        let mut world = self.world.borrow_mut();
        let port = world.port(self.client);
        match port.inbox.pop_front() {
            Some(event) => Poll::Ready(event),
            None => {
                port.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::task::{Wake, Waker};
    use std::time::Duration;

    use dragnet_core::Time;
    use dragnet_core::conformance::{Subject, check};

    use super::*;
    use crate::clock::SimClock;
    use crate::config::SimConfig;
    use crate::faults::{Fault, FaultKind, Whom};
    use crate::network::{Request, SimItem};
    use crate::peers::PeerId;

    /// A small network in which one peer has the item, one is silent and one has crashed.
    struct Network {
        world: Rc<RefCell<World>>,
        answering: PeerId,
        silent: PeerId,
        crashed: PeerId,
    }

    fn key() -> Key {
        Key::of(b"an item")
    }

    impl Network {
        fn new() -> Self {
            let mut world = World::new(SimConfig::new(100).with_seed(5));
            let [answering, silent, crashed] = [10, 20, 30].map(|rank| world.population.peers.id(rank));
            world.placement.give(answering, SimItem::new(key(), 1));
            for (peer, kind) in [(silent, FaultKind::Silent), (crashed, FaultKind::Crashed)] {
                world.trouble.add(Fault::new(kind, Whom::Peer(peer)));
            }
            Self { world: Rc::new(RefCell::new(world)), answering, silent, crashed }
        }
    }

    #[derive(Default)]
    struct Woken(AtomicBool);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    impl Subject for Network {
        type Transport = SimTransport;
        type Clock = SimClock;

        fn transport(&mut self) -> SimTransport {
            let client = self.world.borrow_mut().attach(None);
            SimTransport::new(Rc::clone(&self.world), client)
        }

        fn clock(&mut self) -> SimClock {
            let client = self.world.borrow_mut().attach(None);
            SimClock::new(Rc::clone(&self.world), client)
        }

        /// Polls the check when it was woken, and else lets time pass.
        fn block_on(&mut self, mut check: Pin<&mut dyn Future<Output = ()>>) {
            let woken = Arc::new(Woken(true.into()));
            let waker = Waker::from(Arc::clone(&woken));
            loop {
                if woken.0.swap(false, Ordering::Relaxed) {
                    if check.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
                        return;
                    }
                } else {
                    let due = self.world.borrow_mut().step(Time::MAX);
                    assert!(due.is_some(), "nothing will happen any more, and the check waits");
                }
            }
        }

        fn ask(&self) -> Request {
            Request::Search(key())
        }

        fn answering(&self) -> PeerId {
            self.answering
        }

        fn silent(&self) -> Option<PeerId> {
            Some(self.silent)
        }

        fn missing(&self) -> Option<PeerId> {
            Some(self.crashed)
        }

        fn held(transport: &SimTransport) -> Option<usize> {
            Some(transport.world.borrow().held(transport.client))
        }

        /// It is the wall's time, and none passes in a simulation but what the machine takes away.
        fn call_max(&self) -> Duration {
            Duration::from_secs(10)
        }
    }

    #[test]
    fn it_keeps_the_rules_of_a_transport() {
        let report = check(&mut Network::new());
        report.assert();
        // An answer here is a value, and always readable.
        assert_eq!(report.skipped, ["what cannot be read is invalid"]);
        assert_eq!(report.checked.len(), 12);
    }
}
