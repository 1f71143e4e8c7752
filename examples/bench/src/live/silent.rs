//! A peer that accepts connections and streams, and never answers.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::task::{Context, Poll};
use std::time::Duration;

use dragnet_libp2p::KAD_PROTOCOL;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{AsyncReadExt, AsyncWriteExt, FutureExt, StreamExt};
use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::core::upgrade::{DeniedUpgrade, ReadyUpgrade};
use libp2p::swarm::handler::{ConnectionEvent, FullyNegotiatedInbound};
use libp2p::swarm::{
    ConnectionDenied, ConnectionHandler, ConnectionHandlerEvent, ConnectionId, FromSwarm, NetworkBehaviour,
    SubstreamProtocol, THandlerInEvent, ToSwarm,
};
use libp2p::{Multiaddr, PeerId, StreamProtocol};

/// Longer than anybody here waits for an answer.
const PATIENCE: Duration = Duration::from_secs(12);

#[derive(Default)]
pub(super) struct Silent {
    events: VecDeque<ToSwarm<Infallible, Infallible>>,
}

/// Keeps each stream until its other end has reset it or has waited long enough.
#[derive(Default)]
pub(super) struct Holding(FuturesUnordered<BoxFuture<'static, ()>>);

impl NetworkBehaviour for Silent {
    type ConnectionHandler = Holding;
    type ToSwarm = Infallible;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<Holding, ConnectionDenied> {
        Ok(Holding::default())
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<Holding, ConnectionDenied> {
        Ok(Holding::default())
    }

    fn on_swarm_event(&mut self, _: FromSwarm<'_>) {}

    fn on_connection_handler_event(&mut self, _: PeerId, _: ConnectionId, never: Infallible) {
        match never {}
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Infallible, THandlerInEvent<Self>>> {
        self.events.pop_front().map_or(Poll::Pending, Poll::Ready)
    }
}

impl ConnectionHandler for Holding {
    type FromBehaviour = Infallible;
    type ToBehaviour = Infallible;
    type InboundProtocol = ReadyUpgrade<StreamProtocol>;
    type OutboundProtocol = DeniedUpgrade;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = ();

    fn listen_protocol(&self) -> SubstreamProtocol<Self::InboundProtocol> {
        SubstreamProtocol::new(ReadyUpgrade::new(StreamProtocol::new(KAD_PROTOCOL)), ())
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<Self::OutboundProtocol, (), Infallible>> {
        while let Poll::Ready(Some(())) = self.0.poll_next_unpin(cx) {}
        Poll::Pending
    }

    fn on_behaviour_event(&mut self, never: Infallible) {
        match never {}
    }

    fn on_connection_event(
        &mut self,
        event: ConnectionEvent<'_, Self::InboundProtocol, Self::OutboundProtocol>,
    ) {
        if let ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound {
            protocol: mut stream, ..
        }) = event
        {
            let hold = async move {
                let mut read = [0; 512];
                while let Ok(1..) = stream.read(&mut read).await {}
                // To read, a stream that was reset and one whose other end has closed its half are the same in
                // yamux (0.14): at an end. Only the first cannot be written to. It must be let go: yamux counts
                // it among the 512 that a connection may have until it is dropped, and closes the connection
                // at the next. Who closes its half still waits for an answer.
                if stream.write(&[]).await.is_ok() {
                    smol::Timer::after(PATIENCE).await;
                }
            };
            self.0.push(hold.boxed());
        }
    }
}

#[cfg(test)]
mod tests {
    use dragnet_core::Failure;
    use dragnet_libp2p::exchange::{Behaviour, Config, Event, Outgoing};
    use libp2p::swarm::SwarmEvent;

    use super::super::network::{identity, listen, swarm};
    use super::*;

    /// More than the 512 streams that yamux allows a connection at once.
    const REQUESTS: u64 = 700;

    /// Not more than a peer is asked at once, so that none waits in the queue.
    const AT_ONCE: u64 = 8;

    #[test]
    fn a_silent_peer_stays_connected_to_who_gives_up_on_it_again_and_again() {
        smol::block_on(async {
            let keypair = identity(1, 0);
            let peer = keypair.public().to_peer_id();
            let mut silent = swarm(&keypair, Silent::default()).expect("a swarm");
            let address = listen(&mut silent).await.expect("it listens");
            let mut client = swarm(&identity(1, 1), Behaviour::new(Config::default())).expect("a swarm");
            let ask = |client: &mut libp2p::Swarm<Behaviour>, id| {
                client.behaviour_mut().ask(Outgoing {
                    id,
                    peer,
                    addresses: vec![address.clone()],
                    protocol: StreamProtocol::new(KAD_PROTOCOL),
                    payload: vec![0].into(),
                    timeout: Duration::from_millis(10),
                    response_bytes_max: 1024,
                });
            };
            (0..AT_ONCE).for_each(|id| ask(&mut client, id));
            let mut ended = 0;
            while ended < REQUESTS {
                let event = futures::select! {
                    event = client.select_next_some() => event,
                    _ = silent.select_next_some() => continue,
                };
                match event {
                    SwarmEvent::Behaviour(Event::Failed { failure, .. }) => {
                        assert_eq!(failure, Failure::TimedOut, "after {ended}");
                        ask(&mut client, AT_ONCE + ended);
                        ended += 1;
                    }
                    SwarmEvent::ConnectionClosed { cause, .. } => panic!("after {ended}: {cause:?}"),
                    _ => {}
                }
            }
        });
    }
}
