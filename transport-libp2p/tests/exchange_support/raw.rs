//! A peer that does with its streams whatever a test wants.

use std::collections::VecDeque;
use std::future::Future;
use std::task::{Context, Poll};

use futures::StreamExt;
use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::core::upgrade::ReadyUpgrade;
use libp2p::swarm::handler::{ConnectionEvent, FullyNegotiatedInbound, FullyNegotiatedOutbound};
use libp2p::swarm::{
    ConnectionDenied, ConnectionHandler, ConnectionHandlerEvent, ConnectionId, FromSwarm, NetworkBehaviour,
    NotifyHandler, SubstreamProtocol, SwarmEvent, ToSwarm,
};
use libp2p::{Multiaddr, PeerId, Stream, StreamProtocol};

use dragnet_libp2p::exchange::FETCH_PROTOCOL;

use super::{Served, channel, listen, spawn, swarm};

/// A peer that speaks the fetch protocol by a script, run for every stream that is opened to it.
pub async fn script<F>(script: impl Fn(Stream) -> F + 'static) -> Served
where
    F: Future<Output = ()> + 'static,
{
    script_of(FETCH_PROTOCOL, script).await
}

/// The same, of another protocol.
pub async fn script_of<F>(protocol: StreamProtocol, script: impl Fn(Stream) -> F + 'static) -> Served
where
    F: Future<Output = ()> + 'static,
{
    let mut swarm = swarm(Raw::new(protocol));
    let address = listen(&mut swarm).await;
    let peer = *swarm.local_peer_id();
    let (connected, connections) = channel();
    let task = spawn(async move {
        loop {
            match swarm.select_next_some().await {
                SwarmEvent::Behaviour(stream) => spawn(script(stream)).detach(),
                SwarmEvent::ConnectionEstablished { .. } => connected.try_send(()).unwrap(),
                _ => {}
            }
        }
    });
    let (_, questions) = channel();
    Served { peer, address, questions, connections, task }
}

/// Streams of the fetch protocol to a peer, one after another.
pub async fn open(to: &Served, count: usize) -> Vec<Stream> {
    let mut swarm = swarm(Raw::new(FETCH_PROTOCOL));
    swarm.dial(to.address.clone()).unwrap();
    loop {
        if let SwarmEvent::ConnectionEstablished { .. } = swarm.select_next_some().await {
            break;
        }
    }
    for _ in 0..count {
        let event = ToSwarm::NotifyHandler { peer_id: to.peer, handler: NotifyHandler::Any, event: () };
        swarm.behaviour_mut().events.push_back(event);
    }
    let mut streams = Vec::new();
    while streams.len() < count {
        if let SwarmEvent::Behaviour(stream) = swarm.select_next_some().await {
            streams.push(stream);
        }
    }
    spawn(async move {
        loop {
            swarm.select_next_some().await;
        }
    })
    .detach();
    streams
}

struct Raw {
    protocol: StreamProtocol,
    events: VecDeque<ToSwarm<Stream, ()>>,
}

impl Raw {
    fn new(protocol: StreamProtocol) -> Self {
        Self { protocol, events: VecDeque::new() }
    }

    fn handler(&self) -> RawHandler {
        RawHandler { protocol: self.protocol.clone(), events: VecDeque::new() }
    }
}

struct RawHandler {
    protocol: StreamProtocol,
    events: VecDeque<ConnectionHandlerEvent<ReadyUpgrade<StreamProtocol>, (), Stream>>,
}

impl NetworkBehaviour for Raw {
    type ConnectionHandler = RawHandler;
    type ToSwarm = Stream;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<RawHandler, ConnectionDenied> {
        Ok(self.handler())
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<RawHandler, ConnectionDenied> {
        Ok(self.handler())
    }

    fn on_swarm_event(&mut self, _: FromSwarm<'_>) {}

    fn on_connection_handler_event(&mut self, _: PeerId, _: ConnectionId, stream: Stream) {
        self.events.push_back(ToSwarm::GenerateEvent(stream));
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Stream, ()>> {
        self.events.pop_front().map_or(Poll::Pending, Poll::Ready)
    }
}

impl ConnectionHandler for RawHandler {
    type FromBehaviour = ();
    type ToBehaviour = Stream;
    type InboundProtocol = ReadyUpgrade<StreamProtocol>;
    type OutboundProtocol = ReadyUpgrade<StreamProtocol>;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = ();

    fn listen_protocol(&self) -> SubstreamProtocol<Self::InboundProtocol> {
        SubstreamProtocol::new(ReadyUpgrade::new(self.protocol.clone()), ())
    }

    fn poll(
        &mut self,
        _: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<Self::OutboundProtocol, (), Stream>> {
        self.events.pop_front().map_or(Poll::Pending, Poll::Ready)
    }

    fn on_behaviour_event(&mut self, (): ()) {
        let protocol = SubstreamProtocol::new(ReadyUpgrade::new(self.protocol.clone()), ());
        self.events.push_back(ConnectionHandlerEvent::OutboundSubstreamRequest { protocol });
    }

    fn on_connection_event(
        &mut self,
        event: ConnectionEvent<'_, Self::InboundProtocol, Self::OutboundProtocol>,
    ) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound { protocol, .. })
            | ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound { protocol, .. }) => {
                self.events.push_back(ConnectionHandlerEvent::NotifyBehaviour(protocol));
            }
            ConnectionEvent::DialUpgradeError(error) => panic!("{:?}", error.error),
            _ => {}
        }
    }
}
