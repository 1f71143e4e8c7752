//! A transport of one network, spoken to in the words of another.

use alloc::vec::Vec;
use core::task::{Context, Poll};

use crate::front::transport::{Contact, Event, Lookup, Transport};
use crate::key::Key;
use crate::network::{Failure, Invalid, Network, Reply};
use crate::output::RequestId;

/// How one network's words are said in another's: peers, requests and items of `Inner` as those of
/// `Outer`, which may stand for several networks.
pub trait Mapping {
    /// What the mapped transport speaks.
    type Inner: Network;
    /// What the queries speak.
    type Outer: Network;

    /// A peer of the inner network, seen from outside.
    fn peer(&self, peer: <Self::Inner as Network>::Peer) -> <Self::Outer as Network>::Peer;

    /// The inner peer that [`peer`](Self::peer) made this of; `None` if it is of another network.
    fn inner_peer(&self, peer: &<Self::Outer as Network>::Peer) -> Option<<Self::Inner as Network>::Peer>;

    /// What the inner network is asked; `None` if it has no words for it.
    fn request(
        &self,
        request: &<Self::Outer as Network>::Request,
    ) -> Option<<Self::Inner as Network>::Request>;

    /// An answer, seen from outside.
    ///
    /// # Errors
    ///
    /// Why it is none: it counts as an invalid answer of the peer that sent it.
    fn item(&self, item: <Self::Inner as Network>::Item) -> Result<<Self::Outer as Network>::Item, Invalid>;
}

/// A transport of one network as a transport of another, by a [`Mapping`].
#[derive(Debug)]
pub struct Mapped<T, M> {
    transport: T,
    mapping: M,
    /// Requests for which the inner network has no words.
    unsaid: Vec<RequestId>,
}

impl<T, M> Mapped<T, M>
where
    T: Transport,
    M: Mapping<Inner = T::Network>,
{
    /// Maps a transport.
    pub const fn new(transport: T, mapping: M) -> Self {
        Self { transport, mapping, unsaid: Vec::new() }
    }

    /// The transport inside.
    pub const fn inner_mut(&mut self) -> &mut T {
        &mut self.transport
    }

    fn reply(&self, reply: Reply<M::Inner>) -> Reply<M::Outer> {
        let mut outer = Reply { invalid: reply.invalid, ..Reply::default() };
        for item in reply.items {
            match self.mapping.item(item) {
                Ok(item) => outer.items.push(item),
                Err(_) => outer.invalid = outer.invalid.saturating_add(1),
            }
        }
        outer.closer = reply.closer.into_iter().map(|peer| self.mapping.peer(peer)).collect();
        outer.providers = reply.providers.into_iter().map(|peer| self.mapping.peer(peer)).collect();
        outer
    }
}

impl<T, M> Transport for Mapped<T, M>
where
    T: Transport,
    M: Mapping<Inner = T::Network>,
{
    type Network = M::Outer;

    fn closest(&mut self, target: &Key, count: usize) -> Vec<<M::Outer as Network>::Peer> {
        let peers = self.transport.closest(target, count);
        peers.into_iter().map(|peer| self.mapping.peer(peer)).collect()
    }

    fn contact(&mut self, contact: Contact<M::Outer>) {
        let Contact { request, query, peer, step, ask } = contact;
        match (self.mapping.inner_peer(&peer), self.mapping.request(&ask)) {
            (Some(peer), Some(ask)) => self.transport.contact(Contact { request, query, peer, step, ask }),
            _ => self.unsaid.push(request),
        }
    }

    fn lookup(&mut self, lookup: Lookup<M::Outer>) {
        let Lookup { request, query, route, source, ask } = lookup;
        match self.mapping.request(&ask) {
            Some(ask) => self.transport.lookup(Lookup { request, query, route, source, ask }),
            None => self.unsaid.push(request),
        }
    }

    fn release(&mut self, request: RequestId) {
        self.unsaid.retain(|unsaid| *unsaid != request);
        self.transport.release(request);
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Event<M::Outer>> {
        if let Some(request) = self.unsaid.pop() {
            return Poll::Ready(Event::Failure { request, failure: Failure::Unsupported });
        }
        self.transport.poll_event(cx).map(|event| match event {
            Event::Sent { request } => Event::Sent { request },
            Event::Reply { request, reply } => Event::Reply { request, reply: self.reply(reply) },
            Event::Progress { request, from, reply } => {
                let from = from.map(|peer| self.mapping.peer(peer));
                Event::Progress { request, from, reply: self.reply(reply) }
            }
            Event::Failure { request, failure } => Event::Failure { request, failure },
            Event::Done { request, totals } => Event::Done { request, totals },
        })
    }
}
