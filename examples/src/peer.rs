//! A node that runs in this process, and ends with it.

use dragnet_core::front::DriverGone;
use dragnet_libp2p::{Client, CommandError, KAD_PROTOCOL, Node, NodeBuilder, NodeError};
use futures::StreamExt;
use libp2p::identity::Keypair;
use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, kad};
use smol::Task;

use crate::cli::{NetworkArgs, RecordArgs};
use crate::error::Error;
use crate::recording::{self, Writing};

/// The largest message of the DHT in networks other than our own, in bytes: what go-libp2p takes.
const FOREIGN_PACKET_BYTES_MAX: usize = 4 << 20;

/// A node on smol's own executor, and its client.
pub struct Peer {
    /// Asks and publishes by it.
    pub client: Client,
    running: Task<()>,
    writing: Option<Writing>,
}

impl Peer {
    /// Builds a node and lets it run.
    ///
    /// # Errors
    ///
    /// A bad address or protocol name, an occupied port.
    pub fn start(builder: NodeBuilder) -> Result<Self, NodeError> {
        let (node, client) = builder.build()?;
        Ok(Self { client, running: smol::spawn(node), writing: None })
    }

    /// The same, recorded if that was asked for.
    ///
    /// # Errors
    ///
    /// As of [`start`](Self::start), or a file that cannot be written.
    pub fn start_recorded(builder: NodeBuilder, args: &RecordArgs) -> Result<Self, Error> {
        let (builder, wanted) = recording::record(builder, args);
        let (node, client) = builder.build()?;
        let writing = Some(wanted.begin()?);
        Ok(Self { client, running: smol::spawn(node), writing })
    }

    /// A node that only asks, in the network that a command line names, once a peer has answered it.
    ///
    /// # Errors
    ///
    /// A bad address or protocol name, or nobody who answers.
    pub async fn join(network: &NetworkArgs) -> Result<Self, Error> {
        Self::join_by(boot(builder(&network.protocol), &network.boot), &RecordArgs::default()).await
    }

    /// The same for a node that is still to be built, recorded if that was asked for.
    ///
    /// # Errors
    ///
    /// As of [`join`](Self::join), or a file that cannot be written.
    pub async fn join_by(builder: NodeBuilder, args: &RecordArgs) -> Result<Self, Error> {
        let builder = builder.configure(|config| config.mode = Some(kad::Mode::Client));
        let peer = Self::start_recorded(builder, args)?;
        match peer.client.bootstrap().await {
            Ok(_report) => Ok(peer),
            Err(error) => {
                peer.stop().await;
                Err(error.into())
            }
        }
    }

    /// Does something with the node and stops it, whatever came of that.
    ///
    /// # Errors
    ///
    /// What the doing ended with.
    pub async fn run<T>(self, doing: impl AsyncFnOnce(&Client) -> Result<T, Error>) -> Result<T, Error> {
        let result = doing(&self.client).await;
        self.stop().await;
        result
    }

    /// Ends it, with its listeners and connections.
    pub async fn stop(self) {
        self.client.shutdown().await;
        self.running.await;
        if let Some(writing) = self.writing {
            writing.finish().await;
        }
    }
}

/// A node of a new identity that speaks a network's protocol.
pub fn builder(protocol: &str) -> NodeBuilder {
    configured(Node::builder(Keypair::generate_ed25519()), protocol)
}

/// A node that speaks a network's protocol.
pub fn configured(builder: NodeBuilder, protocol: &str) -> NodeBuilder {
    let builder = builder.protocol(protocol);
    if protocol == KAD_PROTOCOL {
        return builder;
    }
    builder.configure(|config| config.packet_bytes_max = FOREIGN_PACKET_BYTES_MAX)
}

/// Adds the peers that a command line names.
pub fn boot(builder: NodeBuilder, addresses: &[String]) -> NodeBuilder {
    addresses.iter().fold(builder, NodeBuilder::boot)
}

/// The addresses that a node listens on, each with its peer id: what others take for `--boot`.
///
/// # Errors
///
/// When the node is gone.
pub async fn full_addresses(client: &Client) -> Result<Vec<Multiaddr>, CommandError> {
    let local = client.local_peer();
    let full = |address: Multiaddr| match address.iter().last() {
        Some(Protocol::P2p(_)) => address,
        _ => address.with(Protocol::P2p(local)),
    };
    Ok(client.listeners().await?.into_iter().map(full).collect())
}

/// Waits for a query's end without wanting its items.
///
/// # Errors
///
/// When the node is gone.
pub async fn drain(
    mut query: dragnet_core::front::QueryHandle<dragnet_libp2p::Libp2p>,
) -> Result<dragnet_core::Outcome, DriverGone> {
    while query.next().await.is_some() {}
    query.outcome().cloned().ok_or(DriverGone)
}
