//! The behaviour.

use std::task::{Context, Poll};

use async_channel::Sender;
use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::kad::{self, store::MemoryStore};
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent, THandlerOutEvent,
    ToSwarm,
};
use libp2p::{Multiaddr, PeerId, identify};

use crate::client::Client;
use crate::config::Config;
use crate::exchange;

/// Goes into your own `#[derive(NetworkBehaviour)]`.
pub struct Behaviour {
    inner: Inner,
}

/// What happens in the DHT beside our own lookups, for whoever wants to look.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// An event of the Kademlia behaviour: requests of others, changes of the routing table.
    Kad(Box<kad::Event>),
}

#[derive(NetworkBehaviour)]
#[behaviour(prelude = "libp2p::swarm::derive_prelude")]
struct Inner {
    kad: kad::Behaviour<MemoryStore>,
    exchange: exchange::Behaviour,
}

#[allow(clippy::todo, unused_variables, clippy::needless_pass_by_value)]
impl Behaviour {
    /// A behaviour for the peer of this id, and the client that asks by it.
    pub fn new(local: PeerId, config: Config) -> (Self, Client) {
        todo!()
    }

    /// Tells where a peer of the DHT can be dialled.
    pub fn add_address(&mut self, peer: PeerId, address: Multiaddr) {
        todo!()
    }

    /// Hands in what identify has received, so that peers of our DHT become known with their addresses.
    pub fn handle_identify(&mut self, peer: PeerId, info: &identify::Info) {
        todo!()
    }

    /// Whether [`Client::shutdown`] was called and every query has ended.
    pub fn is_shut_down(&self) -> bool {
        todo!()
    }

    pub(crate) fn take_alive(&mut self) -> Sender<()> {
        todo!()
    }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = <Inner as NetworkBehaviour>::ConnectionHandler;
    type ToSwarm = Event;

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.inner.handle_established_inbound_connection(connection, peer, local, remote)
    }

    fn handle_established_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        address: &Multiaddr,
        role: Endpoint,
        port_use: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.inner.handle_established_outbound_connection(connection, peer, address, role, port_use)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        self.inner.on_swarm_event(event);
    }

    fn on_connection_handler_event(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        self.inner.on_connection_handler_event(peer, connection, event);
    }

    fn poll(&mut self, _cx: &mut Context<'_>) -> Poll<ToSwarm<Event, THandlerInEvent<Self>>> {
        todo!()
    }
}
