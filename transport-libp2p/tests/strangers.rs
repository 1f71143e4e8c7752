//! What strangers can and cannot do to a node.

mod common;

use std::time::Duration;

use common::{Peer, ask, item, memory, network, run, start, stop, until};
use dragnet_libp2p::{
    Answer, Config, KAD_PROTOCOL, PublishError, encrypted, provider_key, query, record_key,
};
use futures::StreamExt;
use libp2p::core::transport::MemoryTransport;
use libp2p::identity::Keypair;
use libp2p::kad::{self, QueryResult, Quorum, Record, store::MemoryStore};
use libp2p::swarm::{self, Swarm, SwarmEvent};
use libp2p::{Multiaddr, PeerId, StreamProtocol};

#[test]
fn a_node_whose_last_client_is_dropped_answers_still() {
    run(async {
        let mut peers = network(2, &Config::default()).await;
        let Peer { client, task, .. } = peers.remove(0);
        let id = client.local_peer();
        let served = smol::spawn(client.questions().serve(|_question, _max| [item("apple", "red")]));
        drop(client);
        let (found, outcome) = ask(&peers[0].client, query::fetch("?", [id])).await;
        assert_eq!(found.len(), 1, "{outcome:?}");
        served.cancel().await;
        let (found, outcome) = ask(&peers[0].client, query::fetch("?", [id])).await;
        assert_eq!((found.len(), outcome.stats.failed), (0, 1), "refused at once: {outcome:?}");
        task.cancel().await;
        stop(peers).await;
    });
}

#[test]
fn connections_from_outside_leave_room_for_our_own() {
    run(async {
        let crowded = start(memory(&Config::default()).connections_max(4).listen("/memory/0")).await;
        let mut crowd = Vec::new();
        for _ in 0..5 {
            let peer =
                start(memory(&Config::default()).listen("/memory/0").boot(crowded.boot_address())).await;
            // The last ones are turned away.
            let _ = peer.client.bootstrap().await;
            crowd.push(peer);
        }
        assert_eq!(crowded.client.snapshot().await.unwrap().connections, 3);
        let friend = start(memory(&Config::default()).listen("/memory/0")).await;
        crowded.client.add_address(friend.id(), friend.address.clone().unwrap()).unwrap();
        let _served = common::serve(&friend, vec![item("apple", "red")]);
        let (found, outcome) = ask(&crowded.client, query::fetch("?", [friend.id()])).await;
        assert_eq!(found.len(), 1, "{outcome:?}");
        crowd.extend([crowded, friend]);
        stop(crowd).await;
    });
}

/// What the flood is made of: below the 32 streams that a server takes on one connection.
const FLOOD: u8 = 12;

/// A Kademlia peer of libp2p's own that puts a record under the given key and a flood of others, and
/// provides a flood of keys. Returns how many of the records were taken, and the peer, which goes on.
async fn flood(victim: PeerId, address: Multiaddr, key: &kad::RecordKey) -> (usize, smol::Task<()>) {
    let keypair = Keypair::generate_ed25519();
    let local = keypair.public().to_peer_id();
    let transport =
        encrypted(MemoryTransport::new(), &keypair, Duration::from_secs(5)).expect("noise takes any key");
    let mut config = kad::Config::new(StreamProtocol::new(KAD_PROTOCOL));
    // A record that is refused is not answered.
    config.set_substreams_timeout(Duration::from_secs(1));
    let mut kad = kad::Behaviour::with_config(local, MemoryStore::new(local), config);
    kad.add_address(&victim, address);
    let mut puts = 0;
    for name in std::iter::once(key.clone()).chain((0..FLOOD).map(|n| record_key("junk", &[n]))) {
        kad.put_record(Record::new(name, b"junk".to_vec()), Quorum::One).expect("there is room");
        puts += 1;
    }
    for n in 0..FLOOD {
        kad.start_providing(provider_key(&[n])).expect("there is room");
    }
    let mut swarm = Swarm::new(transport, kad, local, swarm::Config::without_executor());
    let mut taken = 0;
    while puts > 0 {
        if let SwarmEvent::Behaviour(kad::Event::OutboundQueryProgressed {
            result: QueryResult::PutRecord(result),
            ..
        }) = swarm.select_next_some().await
        {
            puts -= 1;
            taken += usize::from(result.is_ok());
        }
    }
    let task = smol::spawn(async move {
        loop {
            swarm.select_next_some().await;
        }
    });
    (taken, task)
}

#[test]
fn a_flood_of_records_and_providers_does_not_stop_our_own_publishing() {
    run(async {
        let mut config = Config::default();
        config.store.records_max = 2;
        config.store.foreign_records_max = 4;
        config.store.provided_keys_max = 1;
        config.store.foreign_providers_max = 4;
        let node = start(memory(&config).listen("/memory/0")).await;
        let client = &node.client;
        let ours = |n: u8| Record::new(record_key("ours", &[n]), b"ours".to_vec());
        assert_eq!(client.put(ours(0)).await, Err(PublishError::NoPeers));

        let (taken, flooding) = flood(node.id(), node.address.clone().unwrap(), &ours(0).key).await;
        assert_eq!(taken, 4);
        let providers = || async {
            let mut providers = 0;
            for n in 0..FLOOD {
                providers += ask(client, query::providers(provider_key(&[n]))).await.0.len();
            }
            providers
        };
        until(|| async { providers().await >= 4 }).await;
        assert_eq!(providers().await, 4);
        let (found, outcome) = ask(client, query::get(ours(0).key)).await;
        let values: Vec<_> = found.iter().map(|found| found.item.clone()).collect();
        assert!(
            matches!(&values[..], [Answer::Record(record)] if record.value == b"ours"),
            "{values:?} {outcome:?}"
        );

        assert_eq!(client.put(ours(1)).await, Err(PublishError::NoPeers), "there was room");
        let mut provided = client.provide(provider_key(b"ours"));
        assert_eq!(provided.announced().await, Err(PublishError::NoPeers), "there was room");
        assert_eq!(client.snapshot().await.unwrap().provided, 1);
        flooding.cancel().await;
        node.stop().await;
    });
}

#[test]
fn a_key_that_others_would_refuse_is_a_typed_error() {
    run(async {
        let node = start(memory(&Config::default()).listen("/memory/0")).await;
        let long = PublishError::KeyTooLong { bytes: 129, max: 128 };
        let key = kad::RecordKey::from(vec![0; 129]);
        assert_eq!(node.client.put(Record::new(key.clone(), Vec::new())).await, Err(long.clone()));
        let mut provided = node.client.provide(key);
        assert_eq!(provided.announced().await, Err(long.clone()));
        assert_eq!(provided.announced().await, Err(long), "and it stays so");
        node.stop().await;
    });
}
