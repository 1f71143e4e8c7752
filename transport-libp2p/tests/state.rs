//! A node that begins where it ended.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod common;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{Peer, ask, item, knows, network, run, serve, start, stop, until_provided};
use dragnet_core::{CachePolicy, Invalid, Query, QueryConfig, Validator};
use dragnet_libp2p::state::{Damage, Judges, NodeStore, RestoreError, StateError};
use dragnet_libp2p::{
    AddressFilter, Answer, Ask, Config, Libp2p, Node, NodeBuilder, NodeError, encrypted, provider_key, query,
};
use libp2p::core::transport::MemoryTransport;
use libp2p::identity::Keypair;
use libp2p::kad::{Record, RecordKey};
use libp2p::{PeerId, StreamProtocol};
use tempfile::TempDir;

/// A node of this identity, over memory.
fn memory(keypair: Keypair, config: Config) -> NodeBuilder {
    let transport = encrypted(MemoryTransport::new(), &keypair, Duration::from_secs(5)).unwrap();
    Node::builder(keypair).config(config).transport(transport)
}

fn cached(query: Query<Libp2p>) -> Query<Libp2p> {
    query.config(QueryConfig::balanced().with_cache(CachePolicy::Fresh))
}

fn flip(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(path, bytes).unwrap();
}

fn any() -> Arc<dyn Validator<Libp2p>> {
    Arc::new(|_: &Ask, _: &Answer| Ok::<_, Invalid>(()))
}

fn open(place: &TempDir, any: &Arc<dyn Validator<Libp2p>>) -> NodeStore {
    NodeStore::open(place.path()).unwrap().judges(Judges::new().validator("any, 1", Arc::clone(any)))
}

/// A node's first run, in which it is told of a peer: it finds what the second of `peers` has, bars the third,
/// and saves that in `place`. Returns who it was, and how many peers it knew.
async fn first_run(peers: &[Peer], place: &TempDir, key: &RecordKey) -> (PeerId, usize) {
    let any = any();
    let store = open(place, &any);
    let identity = store.identity().unwrap();
    assert!(identity.is_new);
    assert!(store.load().unwrap().state.is_none());
    let node = start(memory(identity.keypair, Config::default()).boot(peers[0].boot_address())).await;
    node.client.bootstrap().await.unwrap();
    knows(&node, peers.len()).await;
    until_provided(&node.client, key, &[peers[1].id()]).await;
    let search = cached(query::search(key.clone(), "apple")).shared_validator(any);
    assert_eq!(ask(&node.client, search).await.0.len(), 1);
    assert!(node.client.bar(peers[2].id()).await.unwrap());
    let state = node.client.export().await.unwrap();
    let known = state.peers.len();
    let in_table = state.peers.iter().filter(|peer| peer.is_in_table).count();
    assert!(known >= peers.len() && in_table >= peers.len(), "{state:?}");
    let saved = store.save(state).unwrap();
    assert_eq!((saved.answers, saved.answers_left_out), (1, 0));
    let id = node.id();
    node.stop().await;
    (id, known)
}

#[test]
fn a_restarted_node_is_who_it_was_and_finds_its_network_without_being_told_of_a_peer() {
    run(async {
        let peers = network(4, &Config::default()).await;
        let place = TempDir::new().unwrap();
        let key = provider_key(b"fruit");
        let mut provided = peers[1].client.provide(key.clone());
        assert!(!provided.announced().await.unwrap().stored.is_empty());
        let _serving = serve(&peers[1], vec![item("apple", "red")]);
        let (id, known) = first_run(&peers, &place, &key).await;

        let any = any();
        let store = open(&place, &any);
        let identity = store.identity().unwrap();
        assert!(!identity.is_new);
        let state = store.load().unwrap().state.unwrap();
        assert!(state.away.is_some_and(|away| away < Duration::from_secs(60)));
        assert_eq!((state.state.peers.len(), state.answers_left_out), (known, 0));
        let node = start(memory(identity.keypair, Config::default()).state(state)).await;
        assert_eq!(node.id(), id);
        let search = cached(query::search(key.clone(), "apple")).shared_validator(any);
        let (found, outcome) = ask(&node.client, search).await;
        assert!(outcome.cached.is_some() && outcome.stats.contacted == 0, "{outcome:?}");
        assert_eq!(found[0].from, Some(peers[1].id()));
        let reports = node.client.peers().await.unwrap();
        let of = |id| reports.iter().find(|report| report.peer == id).unwrap();
        assert!(of(peers[2].id()).barred_for.is_some());
        assert!(of(peers[1].id()).response_time.is_some());
        // Nobody has told it of anyone, and it finds them.
        node.client.bootstrap().await.unwrap();
        let (found, _) = ask(&node.client, query::search(key, "apple")).await;
        assert_eq!(found.len(), 1);
        node.stop().await;
        stop(peers).await;
    });
}

#[test]
fn an_answer_with_a_record_that_has_expired_meanwhile_is_left_out() {
    run(async {
        let peers = network(3, &Config::default()).await;
        let place = TempDir::new().unwrap();
        let key = provider_key(b"fruit");
        let mut provided = peers[1].client.provide(key.clone());
        provided.announced().await.unwrap();
        let _serving = serve(&peers[1], vec![item("apple", "red")]);
        first_run(&peers, &place, &key).await;
        stop(peers).await;

        let store = open(&place, &any());
        for (left, kept) in [(Duration::ZERO, 0), (Duration::from_secs(3600), 1)] {
            let mut loaded = store.load().unwrap().state.unwrap();
            let mut record = Record::new(key.clone(), b"red".to_vec());
            record.expires = Some(Instant::now() + left);
            loaded.state.engine.answers[0].items[0].item = Answer::Record(record);
            let node = start(memory(Keypair::generate_ed25519(), Config::default()).state(loaded)).await;
            assert_eq!(node.client.export().await.unwrap().engine.answers.len(), kept, "{left:?}");
            node.stop().await;
        }
    });
}

#[test]
fn what_is_known_of_one_network_is_not_taken_into_another() {
    run(async {
        let place = TempDir::new().unwrap();
        let store = NodeStore::open(place.path()).unwrap();
        let mine = Config::default().with_protocol(StreamProtocol::new("/mine/kad/1"));
        let node = start(memory(Keypair::generate_ed25519(), mine.clone())).await;
        store.save(node.client.export().await.unwrap()).unwrap();
        node.stop().await;
        let build = |config: Config| {
            let state = store.load().unwrap().state.unwrap();
            memory(Keypair::generate_ed25519(), config).state(state).build().map(drop)
        };
        let theirs = mine.clone().with_protocol(StreamProtocol::new("/theirs/kad/1"));
        let error = build(theirs).unwrap_err();
        assert!(matches!(&error, NodeError::State(RestoreError::OtherNetwork { .. })), "{error}");
        let text = error.to_string();
        assert!(text.contains("of the network `/mine/kad/1`, and this node is of `/theirs/kad/1`"), "{text}");
        build(mine).unwrap();
    });
}

#[test]
fn what_is_damaged_is_set_aside_and_the_node_begins_anew() {
    run(async {
        let place = TempDir::new().unwrap();
        let store = NodeStore::open(place.path()).unwrap();
        let first = store.identity().unwrap().keypair;
        let peer = start(memory(first.clone(), Config::default())).await;
        store.save(peer.client.export().await.unwrap()).unwrap();
        peer.stop().await;

        flip(&place.path().join("node.state"));
        let remembered = store.load().unwrap();
        assert!(remembered.state.is_none());
        let aside = remembered.set_aside.unwrap();
        assert_eq!(aside.damage, Damage::Checksum);
        let text = aside.to_string();
        assert!(text.contains("node.state cannot be used: its checksum does not fit"), "{text}");
        assert!(text.ends_with("node.state.damaged-1") && aside.now_at.exists(), "{text}");
        assert!(store.load().unwrap().set_aside.is_none(), "told once");

        assert_eq!(store.identity().unwrap().keypair.public(), first.public());
        flip(&place.path().join("identity"));
        let identity = store.identity().unwrap();
        assert!(identity.is_new && identity.set_aside.is_some());
        assert_ne!(identity.keypair.public(), first.public());
        assert_eq!(store.identity().unwrap().keypair.public(), identity.keypair.public(), "and stays so");
    });
}

#[test]
fn two_nodes_do_not_share_a_directory() {
    let place = TempDir::new().unwrap();
    let _store = NodeStore::open(place.path()).unwrap();
    assert!(matches!(NodeStore::open(place.path()), Err(StateError::InUse { .. })));
}

#[test]
fn an_address_that_the_filter_forbids_is_not_remembered() {
    run(async {
        let peers = network(2, &Config::default()).await;
        let state = peers[0].client.export().await.unwrap();
        assert_eq!(state.peers.len(), 1);
        stop(peers).await;
        for (address_filter, known) in [(AddressFilter::Global, 0), (AddressFilter::InReach, 1)] {
            let mut config = Config::default();
            config.address_filter = address_filter;
            let loaded = dragnet_libp2p::state::Loaded::new(state.clone(), Duration::ZERO);
            let node = start(memory(Keypair::generate_ed25519(), config).state(loaded)).await;
            assert_eq!(node.client.export().await.unwrap().peers.len(), known, "{address_filter:?}");
            node.stop().await;
        }
    });
}
