//! The behaviour inside a swarm of somebody else's.

mod common;

use std::time::Duration;

use common::{ask, run};
use dragnet_core::StartError;
use dragnet_libp2p::{Behaviour, Client, Config, encrypted, query, record_key};
use futures::StreamExt;
use libp2p::core::transport::MemoryTransport;
use libp2p::identity::Keypair;
use libp2p::kad::Record;
use libp2p::multiaddr::Protocol;
use libp2p::swarm::{self, NetworkBehaviour, Swarm, SwarmEvent};
use libp2p::{Multiaddr, identify};

#[derive(NetworkBehaviour)]
#[behaviour(prelude = "libp2p::swarm::derive_prelude")]
struct Mine {
    identify: identify::Behaviour,
    dragnet: Behaviour,
    // A second DHT beside it, of another protocol name.
    other: Behaviour,
}

/// A swarm that is polled by whoever owns it.
fn mine() -> (Swarm<Mine>, Client, Client) {
    let keypair = Keypair::generate_ed25519();
    let local = keypair.public().to_peer_id();
    let transport =
        encrypted(MemoryTransport::new(), &keypair, Duration::from_secs(5)).expect("noise takes any key");
    let mut config = Config::default();
    config.confirm_listen_addresses = true;
    let (dragnet, client) = Behaviour::new(local, config.clone());
    let mut config = config.with_protocol(libp2p::StreamProtocol::new("/other/kad/1.0.0"));
    config.exchange.fetch.protocol = libp2p::StreamProtocol::new("/other/fetch/1.0.0");
    let (other, other_client) = Behaviour::new(local, config);
    let identify =
        identify::Behaviour::new(identify::Config::new("/mine/id/1.0.0".to_string(), keypair.public()));
    let mut swarm = Swarm::new(
        transport,
        Mine { identify, dragnet, other },
        local,
        // A user's choice: tasks of connections on an executor of theirs.
        swarm::Config::with_executor(|task| smol::spawn(task).detach()),
    );
    swarm.listen_on(Protocol::Memory(0).into()).expect("a free port");
    (swarm, client, other_client)
}

fn run_swarm(mut swarm: Swarm<Mine>) -> smol::Task<()> {
    smol::spawn(async move {
        loop {
            if let SwarmEvent::Behaviour(MineEvent::Identify(identify::Event::Received {
                peer_id,
                info,
                ..
            })) = swarm.select_next_some().await
            {
                swarm.behaviour_mut().dragnet.handle_identify(peer_id, &info);
                swarm.behaviour_mut().other.handle_identify(peer_id, &info);
            }
        }
    })
}

async fn listening(client: &Client) -> Multiaddr {
    client.listeners().await.expect("the swarm is polled").remove(0)
}

#[test]
fn the_behaviour_works_in_a_swarm_of_somebody_elses() {
    run(async {
        let (first, first_client, first_other) = mine();
        let (second, second_client, second_other) = mine();
        let running = [run_swarm(first), run_swarm(second)];
        let address = listening(&first_client).await;
        second_client.add_address(first_client.local_peer(), address).unwrap();
        second_client.bootstrap().await.unwrap();
        common::until(|| async { first_client.snapshot().await.unwrap().known == 1 }).await;

        let key = record_key("test", b"k");
        first_client.put(Record::new(key.clone(), b"v".to_vec())).await.unwrap();
        let (found, outcome) = ask(&second_client, query::get(key.clone())).await;
        assert_eq!(found.len(), 1, "{outcome:?}");
        // Identify told the other DHT of the same peer, and the record is not in it.
        common::until(|| async { second_other.snapshot().await.unwrap().known == 1 }).await;
        let (found, outcome) = ask(&second_other, query::get(key.clone())).await;
        assert_eq!((found.len(), outcome.stats.replied), (0, 1), "{outcome:?}");

        // The queries end, the swarm lives on, and so does the other DHT in it.
        second_client.shutdown().await;
        assert_eq!(second_client.get(key.clone()).map(drop), Err(StartError::ShutDown));
        assert!(second_client.snapshot().await.is_err());
        assert!(second_other.bootstrap().await.is_ok());

        // A swarm that is dropped ends what runs in it.
        let handle = first_other.closest(key).unwrap();
        for task in running {
            task.cancel().await;
        }
        assert!(handle.collect().await.is_err(), "it has no outcome");
        first_client.shutdown().await;
    });
}

#[test]
fn nothing_is_done_by_a_swarm_that_is_not_polled() {
    run(async {
        let (swarm, client, _other) = mine();
        let handle = client.get(record_key("test", b"k")).unwrap();
        assert_eq!(client.metrics().queries_started, 0);
        assert!(handle.id().is_none());
        drop(swarm);
        assert!(handle.collect().await.is_err());
    });
}
