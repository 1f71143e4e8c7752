//! The driver's side of the behaviour: plain queues.
//!
//! The driver, polled from inside [`Behaviour::poll`](crate::Behaviour), leaves its orders here; the
//! behaviour takes them to Kademlia and the exchange, and leaves here what came of them.

use std::collections::{HashMap, VecDeque};
use std::task::{Context, Poll, Waker};

use dragnet_core::front::{Contact, Event, Lookup, Transport};
use dragnet_core::{Key, Network, RequestId};
use libp2p::PeerId;

use crate::network::Libp2p;

/// What the driver wants done.
pub(crate) enum Order {
    Contact(Contact<Libp2p>),
    Lookup(Lookup<Libp2p>),
    Release(RequestId),
}

/// The two queues, and who is in the routing table.
#[derive(Default)]
pub(crate) struct Wire {
    /// In the order in which they were given: a release never overtakes what it releases.
    orders: VecDeque<Order>,
    events: VecDeque<Event<Libp2p>>,
    /// The routing table's peers, kept here because a walk's first candidates are asked for while the
    /// driver, and not Kademlia, is at hand. At most 256 buckets of 20.
    known: HashMap<PeerId, Key>,
    waker: Option<Waker>,
}

impl Wire {
    pub(crate) fn take_orders(&mut self) -> VecDeque<Order> {
        std::mem::take(&mut self.orders)
    }

    pub(crate) fn push(&mut self, event: Event<Libp2p>) {
        self.events.push_back(event);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Events that the driver has yet to take.
    pub(crate) fn events(&self) -> usize {
        self.events.len()
    }

    /// Peers in the routing table.
    pub(crate) fn known(&self) -> usize {
        self.known.len()
    }

    pub(crate) fn routing_updated(&mut self, peer: PeerId, evicted: Option<&PeerId>) {
        if let Some(evicted) = evicted {
            self.known.remove(evicted);
        }
        self.known.entry(peer).or_insert_with(|| Libp2p::key(&peer));
    }
}

impl Transport for Wire {
    type Network = Libp2p;

    fn closest(&mut self, target: &Key, count: usize) -> Vec<PeerId> {
        let mut peers: Vec<_> = self.known.iter().map(|(peer, key)| (key.distance(target), *peer)).collect();
        if count < peers.len() {
            peers.select_nth_unstable_by_key(count, |(distance, _)| *distance);
            peers.truncate(count);
        }
        peers.sort_unstable_by_key(|(distance, _)| *distance);
        peers.into_iter().map(|(_, peer)| peer).collect()
    }

    fn contact(&mut self, contact: Contact<Libp2p>) {
        self.orders.push_back(Order::Contact(contact));
    }

    fn lookup(&mut self, lookup: Lookup<Libp2p>) {
        self.orders.push_back(Order::Lookup(lookup));
    }

    fn release(&mut self, request: RequestId) {
        self.orders.push_back(Order::Release(request));
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Event<Libp2p>> {
        match self.events.pop_front() {
            Some(event) => Poll::Ready(event),
            None => {
                if !self.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                    self.waker = Some(cx.waker().clone());
                }
                Poll::Pending
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closest_are_those_of_the_routing_table_closest_first() {
        let mut wire = Wire::default();
        let peers: Vec<_> = std::iter::repeat_with(PeerId::random).take(50).collect();
        for peer in &peers {
            wire.routing_updated(*peer, None);
        }
        let gone = peers[7];
        wire.routing_updated(peers[8], Some(&gone));

        let target = Key::of(b"target");
        let closest = wire.closest(&target, 20);

        let mut expected: Vec<_> = peers.into_iter().filter(|peer| *peer != gone).collect();
        expected.sort_by_key(|peer| Libp2p::key(peer).distance(&target));
        assert_eq!(closest, expected[..20]);
        assert_eq!(wire.known(), 49);
    }
}
