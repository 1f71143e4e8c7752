//! The exchange in a swarm that allows no connections.

#![allow(clippy::unwrap_used)]

mod exchange_support;

use dragnet_core::Failure;
use dragnet_libp2p::exchange::{self, Config, Event};
use exchange_support::{LONG, run, swarm};
use futures::StreamExt;
use libp2p::connection_limits::{self, ConnectionLimits};
use libp2p::swarm::{NetworkBehaviour, SwarmEvent};
use libp2p::{Multiaddr, PeerId};

#[derive(NetworkBehaviour)]
#[behaviour(prelude = "libp2p::swarm::derive_prelude")]
struct Limited {
    // It denies before the exchange is asked for addresses.
    limits: connection_limits::Behaviour,
    exchange: exchange::Behaviour,
}

async fn asked_under(limits: ConnectionLimits, address: Multiaddr) -> Failure {
    let config = Config::default();
    let outgoing = config.fetch.outgoing(1, PeerId::random(), vec![address], b"?", 0, LONG).unwrap();
    let mut swarm = swarm(Limited {
        limits: connection_limits::Behaviour::new(limits),
        exchange: exchange::Behaviour::new(config),
    });
    assert!(swarm.behaviour_mut().exchange.ask(outgoing));
    for _ in 0..50 {
        if let SwarmEvent::Behaviour(LimitedEvent::Exchange(Event::Failed { failure, .. })) =
            swarm.select_next_some().await
        {
            assert!(swarm.behaviour().exchange.is_idle());
            return failure;
        }
    }
    panic!("it dials again and again");
}

#[test]
fn a_dial_that_limits_deny_is_a_local_failure_and_is_not_repeated() {
    run(async {
        let limits = ConnectionLimits::default().with_max_pending_outgoing(Some(0));
        assert_eq!(asked_under(limits, "/memory/1".parse().unwrap()).await, Failure::Local);
    });
}
