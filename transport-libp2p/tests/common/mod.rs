//! Small networks for the tests: nodes in this process, over memory or loopback TCP.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::future::Future;
use std::sync::mpsc;
use std::time::Duration;

use dragnet_core::{Found, Outcome, Query};
use dragnet_libp2p::exchange::FetchItem;
use dragnet_libp2p::{Client, Config, Libp2p, Node, NodeBuilder, encrypted, query};
use libp2p::core::transport::MemoryTransport;
use libp2p::identity::Keypair;
use libp2p::kad::RecordKey;
use libp2p::{Multiaddr, PeerId};
use smol::Task;

/// Far more than any test takes on two slow cores that are shared.
const WATCHDOG: Duration = Duration::from_secs(400);

/// Runs a test, and fails it if it hangs.
pub(crate) fn run<T>(test: impl Future<Output = T>) -> T {
    let (done, watched) = mpsc::channel::<()>();
    std::thread::spawn(move || {
        if watched.recv_timeout(WATCHDOG) == Err(mpsc::RecvTimeoutError::Timeout) {
            eprintln!("the test hangs: it has run for {WATCHDOG:?}");
            std::process::exit(101);
        }
    });
    let result = smol::block_on(test);
    drop(done);
    result
}

/// A node that runs.
pub(crate) struct Peer {
    pub(crate) client: Client,
    pub(crate) address: Option<Multiaddr>,
    pub(crate) task: Task<()>,
}

impl Peer {
    pub(crate) fn id(&self) -> PeerId {
        self.client.local_peer()
    }

    /// Its address with its id at the end, as `boot` wants it.
    pub(crate) fn boot_address(&self) -> String {
        format!("{}/p2p/{}", self.address.as_ref().expect("it listens"), self.id())
    }

    /// Ends it as an application would.
    pub(crate) async fn stop(self) {
        self.client.shutdown().await;
        self.task.await;
    }
}

/// A node over memory: fast, and free of ports.
pub(crate) fn memory(config: &Config) -> NodeBuilder {
    let keypair = Keypair::generate_ed25519();
    let transport =
        encrypted(MemoryTransport::new(), &keypair, Duration::from_secs(5)).expect("noise takes any key");
    let mut config = config.clone();
    config.confirm_listen_addresses = true;
    Node::builder(keypair).config(config).transport(transport)
}

/// Builds and starts a node.
pub(crate) async fn start(builder: NodeBuilder) -> Peer {
    let (node, client) = builder.build().expect("the node can be built");
    let task = smol::spawn(node);
    let address = client.listeners().await.expect("the node runs").into_iter().next();
    Peer { client, address, task }
}

/// So many nodes over memory, each joined by way of the first. In a small network each then knows all.
pub(crate) async fn network(count: usize, config: &Config) -> Vec<Peer> {
    let mut peers = vec![start(memory(config).listen("/memory/0")).await];
    while peers.len() < count {
        let boot = peers[0].boot_address();
        let peer = start(memory(config).listen("/memory/0").boot(boot)).await;
        peer.client.bootstrap().await.expect("the first node answers");
        peers.push(peer);
        // By then the first can tell the next one of it.
        let known = peers.len() - 1;
        knows(&peers[0], known.min(8)).await;
    }
    if count <= 8 {
        for peer in &peers {
            knows(peer, count - 1).await;
        }
    }
    peers
}

/// Waits until a node has so many peers in its routing table. That another has joined by way of it is no
/// sign of it: it learns of the other by identify, which may take longer than an answer.
pub(crate) async fn knows(peer: &Peer, count: usize) {
    until(|| async { peer.client.snapshot().await.expect("the node runs").known >= count }).await;
}

pub(crate) async fn stop(peers: Vec<Peer>) {
    futures::future::join_all(peers.into_iter().map(Peer::stop)).await;
}

/// Runs a query to its end.
pub(crate) async fn ask(client: &Client, query: Query<Libp2p>) -> (Vec<Found<Libp2p>>, Outcome) {
    client.query(query).expect("the query starts").collect().await.expect("the node runs")
}

/// Waits until a lookup finds all these providers of a key. That they were announced is no sign of it: an
/// announcement is not answered, so it may still be on its way.
pub(crate) async fn until_provided(client: &Client, key: &RecordKey, providers: &[PeerId]) {
    until(|| async {
        let (found, _) = ask(client, query::providers(key.clone())).await;
        providers.iter().all(|peer| found.iter().any(|found| found.item.peer() == Some(peer)))
    })
    .await;
}

/// Answers every question with the same items.
pub(crate) fn serve(peer: &Peer, items: Vec<FetchItem>) -> Task<()> {
    smol::spawn(peer.client.questions().serve(move |_question, _max| items.clone()))
}

pub(crate) fn item(id: &str, body: &str) -> FetchItem {
    FetchItem { id: id.as_bytes().to_vec().into(), body: body.as_bytes().to_vec().into() }
}

/// Waits until something holds. If it does not for long, says where it was waited for: the watchdog ends
/// the test.
#[track_caller]
pub(crate) fn until<F: Future<Output = bool>>(mut holds: impl FnMut() -> F) -> impl Future<Output = ()> {
    let caller = std::panic::Location::caller();
    async move {
        let mut patience = 4000;
        while !holds().await {
            smol::Timer::after(Duration::from_millis(5)).await;
            patience -= 1;
            if patience == 0 {
                eprintln!("still waiting at {caller}");
            }
        }
    }
}

/// Waits until the adapter holds nothing of a query or a publication.
pub(crate) async fn until_empty(client: &Client) {
    until(|| async {
        let now = client.snapshot().await.expect("the node runs");
        let held =
            [now.lookups, now.lookups_waiting, now.kad_queries, now.requests, now.events, now.publishing];
        held.iter().all(|count| *count == 0)
    })
    .await;
}
