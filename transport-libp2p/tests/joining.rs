//! Building a node and joining a network, and what is said when that fails.

mod common;

use std::time::Duration;

use common::{Peer, memory, run, start};
use dragnet_libp2p::{BootstrapError, Config, ListenError, Node, NodeError};
use libp2p::PeerId;
use libp2p::identity::Keypair;

fn tcp() -> dragnet_libp2p::NodeBuilder {
    Node::builder(Keypair::generate_ed25519()).listen("/ip4/127.0.0.1/tcp/0")
}

async fn failures(peer: &Peer) -> Vec<dragnet_libp2p::AddressFailure> {
    match peer.client.bootstrap().await {
        Err(BootstrapError::NoAnswer(failures)) => failures,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_node_joins_by_tcp_and_knows_where_it_listens() {
    run(async {
        let first = start(tcp()).await;
        let address = first.address.clone().expect("it listens");
        assert_eq!(first.client.external_addresses().await.unwrap(), [address], "confirmed");
        let second = start(tcp().boot(first.boot_address())).await;
        let report = second.client.bootstrap().await.unwrap();
        assert!(report.answered >= 1 && report.known >= 1, "{report:?}");
        // The first learns of the second by identify.
        common::until(|| async { first.client.snapshot().await.unwrap().known == 1 }).await;
        assert!(second.client.bootstrap().await.is_ok(), "again, when it is connected already");
        second.stop().await;
        first.stop().await;
    });
}

#[test]
fn a_name_can_be_dialled() {
    run(async {
        let first = start(tcp()).await;
        let named = first.boot_address().replace("/ip4/127.0.0.1/", "/dns4/localhost/");
        let second = start(tcp().boot(named)).await;
        second.client.bootstrap().await.unwrap();
        second.stop().await;
        first.stop().await;
    });
}

#[test]
fn without_an_address_there_is_nobody_to_ask() {
    run(async {
        let alone = start(tcp()).await;
        assert_eq!(alone.client.bootstrap().await, Err(BootstrapError::NoAddresses));
        alone.stop().await;
    });
}

#[test]
fn when_nobody_answers_each_address_has_its_reason() {
    run(async {
        // A port that nobody listens on any more.
        let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let impostor = start(tcp()).await;
        let expected = PeerId::random();
        let elsewhere = start(tcp().protocol("/elsewhere/kad/1.0.0")).await;
        let refused = format!("/ip4/127.0.0.1/tcp/{gone}/p2p/{}", PeerId::random());
        let wrong_peer = format!("{}/p2p/{expected}", impostor.address.as_ref().unwrap());
        let peer = start(tcp().boot(&refused).boot(&wrong_peer).boot(elsewhere.boot_address())).await;

        let failures = failures(&peer).await;
        let reason = |text: &str| {
            let found = failures.iter().find(|f| format!("{}/p2p/{}", f.address, f.peer) == text);
            found.unwrap_or_else(|| panic!("nothing of {text} in {failures:?}")).reason.clone()
        };
        assert!(reason(&refused).contains("refused"), "{}", reason(&refused));
        assert!(reason(&wrong_peer).contains(&impostor.id().to_string()), "{}", reason(&wrong_peer));
        let protocol = reason(&elsewhere.boot_address());
        assert!(protocol.contains("/dragnet/kad/1.0.0"), "{protocol}");
        assert_eq!(failures.len(), 3, "{failures:?}");
        for peer in [peer, elsewhere, impostor] {
            peer.stop().await;
        }
    });
}

#[test]
fn a_silent_address_is_given_up_in_time() {
    run(async {
        // Takes connections, and never says a word.
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let boot = format!("/ip4/127.0.0.1/tcp/{port}/p2p/{}", PeerId::random());
        let peer = start(
            tcp().boot(&boot).configure(|config| config.bootstrap_timeout = Duration::from_millis(200)),
        )
        .await;
        let failures = failures(&peer).await;
        assert_eq!(failures.len(), 1);
        assert!(failures[0].reason.contains("200ms"), "{}", failures[0].reason);
        peer.stop().await;
    });
}

#[test]
fn a_bootstrap_can_be_tried_again() {
    run(async {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let late = Keypair::generate_ed25519();
        let boot = format!("/ip4/127.0.0.1/tcp/{port}/p2p/{}", late.public().to_peer_id());
        let peer = start(tcp().boot(&boot)).await;
        assert_eq!(failures(&peer).await.len(), 1);
        let late = start(Node::builder(late).listen(format!("/ip4/127.0.0.1/tcp/{port}"))).await;
        // Libp2p-kad may just be dialling by itself, from before it was there: that fails once more.
        common::until(|| async { peer.client.bootstrap().await.is_ok() }).await;
        late.stop().await;
        peer.stop().await;
    });
}

#[test]
fn bad_addresses_are_refused_by_name() {
    let build = |builder: dragnet_libp2p::NodeBuilder| builder.build().map(drop).unwrap_err();

    let error = build(tcp().boot("/ip4/127.0.0.1/tcp/4001"));
    assert!(matches!(error, NodeError::NoPeerId { .. }), "{error:?}");
    assert!(error.to_string().contains("/ip4/127.0.0.1/tcp/4001") && error.to_string().contains("/p2p/"));

    let error = build(tcp().boot("127.0.0.1:4001"));
    assert!(matches!(error, NodeError::Address { .. }), "{error:?}");
    assert!(error.to_string().contains("127.0.0.1:4001"));

    let keypair = Keypair::generate_ed25519();
    let own = format!("/ip4/127.0.0.1/tcp/4001/p2p/{}", keypair.public().to_peer_id());
    let error = build(Node::builder(keypair).boot(own));
    assert!(matches!(error, NodeError::OwnAddress { .. }), "{error:?}");

    let error = build(tcp().protocol("no slash"));
    assert!(matches!(error, NodeError::Protocol { .. }), "{error:?}");

    let error = build(tcp().listen("/ip4/127.0.0.1/udp/0/quic-v1"));
    assert!(matches!(error, NodeError::Listen { reason: ListenError::Unsupported, .. }), "{error:?}");
}

#[test]
fn an_occupied_port_is_named() {
    let occupied = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("/ip4/127.0.0.1/tcp/{}", occupied.local_addr().unwrap().port());
    let error = Node::builder(Keypair::generate_ed25519()).listen(&address).build().map(drop).unwrap_err();
    assert!(matches!(error, NodeError::Listen { reason: ListenError::PortTaken, .. }), "{error:?}");
    assert!(error.to_string().contains(&address), "{error}");
}

#[test]
fn a_shut_down_node_frees_its_port_and_closes_its_connections() {
    run(async {
        let first = start(tcp()).await;
        let second = start(tcp().boot(first.boot_address())).await;
        second.client.bootstrap().await.unwrap();
        let address = first.address.clone().unwrap();
        let client = first.client.clone();
        first.stop().await;
        assert!(client.listeners().await.is_err(), "nobody is there to say");
        common::until(|| async { second.client.snapshot().await.unwrap().connections == 0 }).await;
        let again = start(Node::builder(Keypair::generate_ed25519()).listen(&address)).await;
        assert_eq!(again.address, Some(address));
        again.stop().await;
        second.stop().await;
    });
}

#[test]
fn a_node_ends_by_shutdown_from_any_state() {
    run(async {
        // Before it is polled at all.
        let (node, client) = tcp().build().unwrap();
        let shutdown = client.shutdown();
        node.await;
        shutdown.await;
        client.shutdown().await;

        // While it is dropped: whoever waits is told.
        let (node, client) = memory(&Config::default()).build().unwrap();
        let running = smol::spawn(node);
        let listeners = client.listeners().await;
        assert_eq!(listeners, Ok(vec![]));
        let waiting = client.bootstrap();
        running.cancel().await;
        assert!(waiting.await.is_err());
        client.shutdown().await;
    });
}
