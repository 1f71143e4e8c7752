//! The behaviour: who is asked when, over which connection, and what became of it.

use std::task::{Context, Poll};

use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent,
    THandlerOutEvent, ToSwarm,
};
use libp2p::{Multiaddr, PeerId};

use super::handler::Handler;
use super::{Config, Counts, Event, Outgoing};

/// Asks peers questions and hands up theirs.
pub struct Behaviour {
    config: Config,
}

impl Behaviour {
    /// A behaviour that asks nothing yet.
    pub fn new(config: Config) -> Self {
        Self { config }
    }

    /// Its settings.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Asks a peer: at once if it is connected and has fewer than
    /// [`in_flight_max`](Config::in_flight_max) in flight, else when its turn comes. A peer that is not
    /// connected is dialled, once for all requests that wait for it.
    ///
    /// Returns whether the request was accepted. `false` says that another with its id has not ended;
    /// nothing has changed then. Whatever else is wrong is told by an [`Event::Failed`].
    pub fn ask(&mut self, request: Outgoing) -> bool {
        let _ = request;
        todo!()
    }

    /// Withdraws a request: no event follows for it, and its stream is reset. Returns `false` if no
    /// such request is waiting or in flight; an event that ends it may then be on its way.
    pub fn cancel(&mut self, id: u64) -> bool {
        let _ = id;
        todo!()
    }

    /// Whether the peer is connected.
    pub fn is_connected(&self, peer: &PeerId) -> bool {
        let _ = peer;
        todo!()
    }

    /// How much is held at the moment.
    pub fn counts(&self) -> Counts {
        todo!()
    }

    /// Whether nothing is asked, in flight, being dialled or waiting to be collected.
    pub fn is_idle(&self) -> bool {
        todo!()
    }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = Handler;
    type ToSwarm = Event;

    fn handle_established_inbound_connection(
        &mut self,
        _connection: ConnectionId,
        _peer: PeerId,
        _local: &Multiaddr,
        _remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        todo!()
    }

    fn handle_established_outbound_connection(
        &mut self,
        _connection: ConnectionId,
        _peer: PeerId,
        _address: &Multiaddr,
        _role: Endpoint,
        _port_use: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        todo!()
    }

    fn on_swarm_event(&mut self, _event: FromSwarm<'_>) {
        todo!()
    }

    fn on_connection_handler_event(
        &mut self,
        _peer: PeerId,
        _connection: ConnectionId,
        _event: THandlerOutEvent<Self>,
    ) {
        todo!()
    }

    fn poll(&mut self, _cx: &mut Context<'_>) -> Poll<ToSwarm<Event, THandlerInEvent<Self>>> {
        todo!()
    }
}
