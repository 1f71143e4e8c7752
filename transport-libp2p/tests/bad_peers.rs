//! Peers that lie, keep silent, refuse or are not there.

mod common;

use std::borrow::Cow;
use std::time::Duration;

use common::{Peer, ask, item, memory, network, run, serve, start, stop, until_empty, until_provided};
use dragnet_core::{Invalid, QueryConfig, Reason};
use dragnet_libp2p::{
    Answer, Ask, Client, Config, ProvideHandle, encrypted, provider_key, query, record_key,
};
use futures::StreamExt;
use libp2p::core::transport::MemoryTransport;
use libp2p::identity::Keypair;
use libp2p::kad::store::{self, RecordStore};
use libp2p::kad::{self, ProviderRecord, Record, RecordKey};
use libp2p::multiaddr::Protocol;
use libp2p::swarm::{self, Swarm, SwarmEvent};
use libp2p::{Multiaddr, StreamProtocol};

/// Longer than a test may take.
const FOR_EVER: Duration = Duration::from_secs(3600);

/// Has a record for every key: one under another key.
struct WrongKeys;

impl RecordStore for WrongKeys {
    type RecordsIter<'a> = std::iter::Empty<Cow<'a, Record>>;
    type ProvidedIter<'a> = std::iter::Empty<Cow<'a, ProviderRecord>>;

    fn get(&self, _key: &RecordKey) -> Option<Cow<'_, Record>> {
        Some(Cow::Owned(Record::new(record_key("test", b"another"), b"a lie".to_vec())))
    }

    fn put(&mut self, _record: Record) -> store::Result<()> {
        Err(store::Error::MaxRecords)
    }

    fn remove(&mut self, _key: &RecordKey) {}

    fn records(&self) -> Self::RecordsIter<'_> {
        std::iter::empty()
    }

    fn add_provider(&mut self, _record: ProviderRecord) -> store::Result<()> {
        Ok(())
    }

    fn providers(&self, _key: &RecordKey) -> Vec<ProviderRecord> {
        Vec::new()
    }

    fn provided(&self) -> Self::ProvidedIter<'_> {
        std::iter::empty()
    }

    fn remove_provider(&mut self, _key: &RecordKey, _provider: &libp2p::PeerId) {}
}

/// Starts a Kademlia server of libp2p's own that lies about records.
async fn liar_of_records(to: &str) -> (String, smol::Task<()>) {
    let keypair = Keypair::generate_ed25519();
    let local = keypair.public().to_peer_id();
    let transport =
        encrypted(MemoryTransport::new(), &keypair, Duration::from_secs(5)).expect("noise takes any key");
    let config = kad::Config::new(StreamProtocol::new(dragnet_libp2p::KAD_PROTOCOL));
    let mut kad = kad::Behaviour::with_config(local, WrongKeys, config);
    kad.set_mode(Some(kad::Mode::Server));
    let mut swarm = Swarm::new(transport, kad, local, swarm::Config::without_executor());
    swarm.listen_on(Protocol::Memory(0).into()).expect("a free port");
    swarm.dial(to.parse::<Multiaddr>().expect("an address")).expect("it can be dialled");
    let address = loop {
        if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
            break address;
        }
    };
    let task = smol::spawn(async move {
        loop {
            swarm.next().await;
        }
    });
    (format!("{address}/p2p/{local}"), task)
}

/// A peer that provides a key.
async fn provider(boot: &Peer, config: &Config, key: &RecordKey) -> (Peer, ProvideHandle) {
    let peer = start(memory(config).listen("/memory/0").boot(boot.boot_address())).await;
    peer.client.bootstrap().await.expect("somebody answers");
    let mut provided = peer.client.provide(key.clone());
    provided.announced().await.expect("somebody is told");
    until_provided(&boot.client, key, &[peer.id()]).await;
    (peer, provided)
}

async fn is_barred(client: &Client, peer: &Peer) -> bool {
    let peers = client.peers().await.expect("the node runs");
    peers.iter().any(|report| report.peer == peer.id() && report.barred_for.is_some())
}

#[test]
fn a_record_under_another_key_is_invalid_and_counted() {
    run(async {
        let honest = network(2, &Config::default()).await;
        let key = record_key("test", b"asked for");
        honest[1].client.put(Record::new(key.clone(), b"the truth".to_vec())).await.unwrap();
        let (liar, running) = liar_of_records(&honest[0].boot_address()).await;
        let mut asking = Config::default();
        asking.mode = Some(kad::Mode::Client);
        let asker = start(memory(&asking).boot(honest[0].boot_address()).boot(liar)).await;
        asker.client.bootstrap().await.unwrap();
        common::until(|| async { asker.client.snapshot().await.unwrap().known >= 2 }).await;

        let mut get = query::get(key.clone());
        // All peers are asked, and not only until one has answered.
        get.config.max_results = 2;
        for get in [get.clone(), query::delegated(get)] {
            let (found, outcome) = ask(&asker.client, get).await;
            assert_eq!(found.len(), 1, "{outcome:?}");
            assert_eq!(found[0].item.record().unwrap().value, b"the truth");
            assert_eq!(outcome.stats.invalid, 1, "{outcome:?}");
        }
        running.cancel().await;
        asker.stop().await;
        stop(honest).await;
    });
}

#[test]
fn a_peer_of_unreadable_answers_is_barred_and_the_others_are_not() {
    run(async {
        let peers = network(2, &Config::default()).await;
        let key = provider_key(b"fruit");
        // Sends ids and bodies that are longer than anybody else accepts.
        let mut boundless = Config::default();
        boundless.exchange.fetch.id_bytes_max = 1 << 20;
        boundless.exchange.fetch.body_bytes_max = 1 << 20;
        boundless.exchange.fetch.response_bytes_max = 8 << 20;
        let (long_ids, _a) = provider(&peers[0], &boundless, &key).await;
        let (too_large, _b) = provider(&peers[0], &boundless, &key).await;
        let (honest, _c) = provider(&peers[0], &Config::default(), &key).await;
        let long = "x".repeat(1000);
        let _served = [
            serve(&long_ids, vec![item(&long, "")]),
            serve(&too_large, (0..20).map(|n| item(&n.to_string(), &"x".repeat(100_000))).collect()),
            serve(&honest, vec![item("apple", "red")]),
        ];

        let client = &peers[1].client;
        let mut invalid = 0;
        for _ in 0..4 {
            let (found, outcome) = ask(client, query::search(key.clone(), "?")).await;
            assert_eq!(found.len(), 1, "{outcome:?}");
            assert_eq!(found[0].from, Some(honest.id()));
            invalid += outcome.stats.invalid;
        }
        assert!(invalid >= 6, "{invalid}");
        assert!(is_barred(client, &long_ids).await && is_barred(client, &too_large).await);
        assert!(!is_barred(client, &honest).await);
        let (found, outcome) = ask(client, query::search(key.clone(), "?")).await;
        assert_eq!((found.len(), outcome.stats.contacted), (1, outcome.stats.replied), "{outcome:?}");
        assert_eq!(
            (outcome.stats.invalid, outcome.stats.barred),
            (0, 4),
            "they are asked again by neither lane"
        );
        for peer in [long_ids, too_large, honest] {
            peer.stop().await;
        }
        stop(peers).await;
    });
}

#[test]
fn lookups_that_a_silent_peer_holds_end_with_their_queries() {
    run(async {
        // As if for ever: so what ends in time was released.
        let mut config = Config::default();
        config.request_timeout = FOR_EVER;
        config.lookup_timeout = FOR_EVER;
        let peers = network(2, &config).await;
        // Joins, and then is not polled any more.
        let builder = memory(&Config::default()).listen("/memory/0").boot(peers[0].boot_address());
        let (mut node, silent) = builder.build().unwrap();
        let joined = silent.bootstrap();
        let known = common::until(|| async { peers[1].client.snapshot().await.unwrap().known == 2 });
        let both = Box::pin(async { (joined.await.unwrap(), known.await) });
        drop(futures::future::select(&mut node, both).await);

        let client = &peers[1].client;
        let asked =
            |config: QueryConfig| query::delegated(query::get(record_key("test", b"nothing"))).config(config);
        let (found, outcome) =
            ask(client, asked(QueryConfig::balanced().with_timeout(Duration::from_millis(300)))).await;
        assert_eq!((found.len(), outcome.reason), (0, Reason::DeadlineReached));

        let config = QueryConfig::balanced().with_timeout(FOR_EVER);
        let held: Vec<_> = (0..100).map(|_| client.query(asked(config.clone())).unwrap()).collect();
        common::until(|| async { client.snapshot().await.unwrap().lookups == 16 }).await;
        drop(held);
        common::until(|| async {
            let now = client.snapshot().await.unwrap();
            // Libp2p-kad may be refreshing its table by itself.
            now.lookups + now.lookups_waiting == 0 && now.kad_queries < 16
        })
        .await;
        drop(node);
        stop(peers).await;
    });
}

#[test]
fn a_validator_judges_what_can_be_decoded() {
    run(async {
        let peers = network(3, &Config::default()).await;
        let key = provider_key(b"fruit");
        let mut provided = peers[1].client.provide(key.clone());
        provided.announced().await.unwrap();
        until_provided(&peers[2].client, &key, &[peers[1].id()]).await;
        let _served = serve(&peers[1], vec![item("apple", "red"), item("stone", "grey")]);
        let search = query::search(key, "fruit").validator(|_: &Ask, answer: &Answer| {
            match answer.fetched().map(|item| &item.id[..]) {
                Some(b"stone") => Err(Invalid::new("no fruit")),
                _ => Ok(()),
            }
        });
        let (found, outcome) = ask(&peers[2].client, search).await;
        assert_eq!((found.len(), outcome.stats.invalid), (1, 1), "{outcome:?}");
        stop(peers).await;
    });
}

#[test]
fn a_silent_peer_does_not_hold_the_others() {
    run(async {
        let peers = network(2, &Config::default()).await;
        let key = provider_key(b"fruit");
        let (silent, _a) = provider(&peers[0], &Config::default(), &key).await;
        let (honest, _b) = provider(&peers[0], &Config::default(), &key).await;
        let mut questions = silent.client.questions();
        let kept = smol::spawn(async move {
            let mut kept = Vec::new();
            while let Some(question) = questions.next().await {
                kept.push(question);
            }
            kept.len()
        });
        let _served = serve(&honest, vec![item("apple", "red")]);

        let client = &peers[1].client;
        // One slot, and the silent peer may be in it: it is given to the next when it is overdue.
        let config =
            QueryConfig::low_latency().with_soft_timeout(Duration::from_millis(50)).with_timeout(FOR_EVER);
        for _ in 0..10 {
            let search = query::search(key.clone(), "?").config(config.clone().with_max_results(1));
            let (found, outcome) = ask(client, search).await;
            assert_eq!(found.len(), 1, "{outcome:?}");
            assert_eq!(outcome.reason, Reason::EnoughResults);
        }
        // Whoever wants all that there is waits until the silent peer is given up, no longer.
        let config = config.with_request_timeout(Duration::from_millis(200));
        let (found, outcome) = ask(client, query::search(key, "?").config(config)).await;
        assert_eq!((found.len(), outcome.stats.failed), (1, 1), "{outcome:?}");
        until_empty(client).await;
        silent.stop().await;
        assert!(kept.await > 0, "the silent peer was asked");
        honest.stop().await;
        stop(peers).await;
    });
}

#[test]
fn a_peer_that_answers_no_questions_and_one_that_is_gone_are_failures() {
    run(async {
        let peers = network(2, &Config::default()).await;
        let key = provider_key(b"fruit");
        let (mute, _a) = provider(&peers[0], &Config::default(), &key).await;
        let (gone, _b) = provider(&peers[0], &Config::default(), &key).await;
        gone.stop().await;
        let (found, outcome) = ask(&peers[1].client, query::search(key, "?")).await;
        assert_eq!((found.len(), outcome.reason), (0, Reason::Exhausted));
        // Both questions, and the lookup's request to the peer that is gone.
        assert!((2..=3).contains(&outcome.stats.failed), "{outcome:?}");
        mute.stop().await;
        stop(peers).await;
    });
}

#[test]
fn a_fixed_list_of_peers_is_asked_without_any_lookup() {
    run(async {
        let peers = network(3, &Config::default()).await;
        let _served = serve(&peers[1], vec![item("apple", "red")]);
        let unknown = libp2p::PeerId::random();
        let fetch = query::fetch("?", [peers[1].id(), unknown]);
        let (found, outcome) = ask(&peers[2].client, fetch).await;
        assert_eq!((found.len(), outcome.stats.failed), (1, 1), "{outcome:?}");
        assert_eq!(outcome.stats.contacted, 2);
        stop(peers).await;
    });
}
