//! Announcements: how often they are made, and what becomes of one that reached nobody.

mod common;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::{knows, memory, run, start, stop, until, until_empty};
use dragnet_libp2p::{Config, KAD_PROTOCOL, PublishError, encrypted, provider_key, record_key};
use futures::StreamExt;
use libp2p::core::transport::MemoryTransport;
use libp2p::identity::Keypair;
use libp2p::kad::store::MemoryStore;
use libp2p::kad::{self, InboundRequest, Record, RecordKey};
use libp2p::multiaddr::Protocol;
use libp2p::swarm::{self, Swarm, SwarmEvent};
use libp2p::{Multiaddr, StreamProtocol};

/// What a Kademlia server of libp2p's own was told.
#[derive(Default)]
struct Heard {
    providers: AtomicUsize,
    /// The key of each record, as they came.
    records: Mutex<Vec<RecordKey>>,
}

impl Heard {
    fn records_of(&self, key: &RecordKey) -> usize {
        self.records.lock().expect("nobody panics with it").iter().filter(|heard| *heard == key).count()
    }
}

/// Starts a Kademlia server of libp2p's own that counts what it is told.
async fn counting_server(heard: &Arc<Heard>) -> (String, smol::Task<()>) {
    let keypair = Keypair::generate_ed25519();
    let local = keypair.public().to_peer_id();
    let transport =
        encrypted(MemoryTransport::new(), &keypair, Duration::from_secs(5)).expect("noise takes any key");
    let mut config = kad::Config::new(StreamProtocol::new(KAD_PROTOCOL));
    // Records are shown and not stored.
    config.set_record_filtering(kad::StoreInserts::FilterBoth);
    let mut kad = kad::Behaviour::with_config(local, MemoryStore::new(local), config);
    kad.set_mode(Some(kad::Mode::Server));
    let mut swarm = Swarm::new(transport, kad, local, swarm::Config::without_executor());
    swarm.listen_on(Multiaddr::from(Protocol::Memory(0))).expect("a free port");
    let address = loop {
        if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
            break address;
        }
    };
    let heard = Arc::clone(heard);
    let task = smol::spawn(async move {
        loop {
            if let SwarmEvent::Behaviour(kad::Event::InboundRequest { request }) =
                swarm.select_next_some().await
            {
                match request {
                    InboundRequest::AddProvider { .. } => {
                        heard.providers.fetch_add(1, Ordering::Relaxed);
                    }
                    InboundRequest::PutRecord { record, .. } => {
                        let record = record.expect("records are filtered");
                        heard.records.lock().expect("nobody panics with it").push(record.key);
                    }
                    _ => {}
                }
            }
        }
    });
    (format!("{address}/p2p/{local}"), task)
}

#[test]
fn the_first_node_of_a_network_is_announced_as_soon_as_another_comes() {
    run(async {
        let first = start(memory(&Config::default()).listen("/memory/0")).await;
        let key = provider_key(b"fruit");
        let mut provided = first.client.provide(key.clone());
        assert_eq!(provided.announced().await, Err(PublishError::NoPeers));

        let other = start(memory(&Config::default()).listen("/memory/0").boot(first.boot_address())).await;
        other.client.bootstrap().await.unwrap();
        knows(&first, 1).await;
        // A second handle is not put off with a failure of the past.
        let mut second = first.client.provide(key);
        let published = second.announced().await.expect("there is a peer now");
        assert_eq!(published.stored, [other.id()]);
        assert_eq!(provided.announced().await, Ok(published));
        stop(vec![first, other]).await;
    });
}

#[test]
fn a_key_is_announced_once_an_interval() {
    run(async {
        let heard = Arc::new(Heard::default());
        let (server, running) = counting_server(&heard).await;
        let mut config = Config::default();
        config.publishing.provider_interval = Some(Duration::from_secs(1));
        let peer = start(memory(&config).listen("/memory/0").boot(server)).await;
        peer.client.bootstrap().await.unwrap();
        let started = Instant::now();
        let mut provided = peer.client.provide(provider_key(b"fruit"));
        for _ in 0..4 {
            provided.announced().await.expect("the server is told");
        }
        until(|| async { heard.providers.load(Ordering::Relaxed) >= 4 }).await;
        let told = heard.providers.load(Ordering::Relaxed) as u64;
        assert!(told <= started.elapsed().as_secs() + 1, "{told} announcements");
        running.cancel().await;
        peer.stop().await;
    });
}

#[test]
fn a_record_is_put_once_an_interval() {
    run(async {
        let heard = Arc::new(Heard::default());
        let (server, running) = counting_server(&heard).await;
        let mut config = Config::default();
        config.publishing.record_interval = Some(Duration::from_millis(500));
        let peer = start(memory(&config).listen("/memory/0").boot(server)).await;
        peer.client.bootstrap().await.unwrap();
        let key = record_key("test", b"k");
        let started = Instant::now();
        peer.client.put(Record::new(key.clone(), b"v".to_vec())).await.unwrap();
        until(|| async { heard.records_of(&key) >= 4 }).await;
        assert!(started.elapsed() >= Duration::from_millis(1500), "{:?}", started.elapsed());

        peer.client.remove(key.clone()).unwrap();
        until_empty(&peer.client).await;
        // Another record shows that the removed one has had its turns, and let them pass.
        let other = record_key("test", b"other");
        peer.client.put(Record::new(other.clone(), b"v".to_vec())).await.unwrap();
        until(|| async { heard.records_of(&other) >= 1 }).await;
        let before = heard.records_of(&key);
        until(|| async { heard.records_of(&other) >= 4 }).await;
        assert_eq!(heard.records_of(&key), before, "a removed record is not put again");
        running.cancel().await;
        peer.stop().await;
    });
}

#[test]
fn only_peers_that_were_told_can_have_failed() {
    run(async {
        let good = start(memory(&Config::default()).listen("/memory/0")).await;
        let elsewhere =
            start(memory(&Config::default()).protocol("/elsewhere/kad/1.0.0").listen("/memory/0")).await;
        let peer = start(
            memory(&Config::default())
                .listen("/memory/0")
                .boot(good.boot_address())
                .boot(elsewhere.boot_address()),
        )
        .await;
        let mut provided = peer.client.provide(provider_key(b"fruit"));
        let published = provided.announced().await.unwrap();
        assert_eq!((published.stored, published.failed), (vec![good.id()], vec![]));
        stop(vec![good, elsewhere, peer]).await;
    });
}
