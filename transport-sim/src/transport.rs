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
