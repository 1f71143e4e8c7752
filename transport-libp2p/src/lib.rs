//! Dragnet over libp2p, without tokio.
//!
//! Two ways in:
//!
//! - [`Node`] is a whole peer on smol: TCP, noise, yamux, identify, Kademlia, the fetch protocol. A
//!   future to spawn or to await.
//! - [`Behaviour`] goes into a swarm of your own, beside your other behaviours, and needs no runtime at
//!   all.
//!
//! Both give a [`Client`], from which an application asks, publishes and answers:
//!
//! ```no_run
//! use dragnet_libp2p::{Node, provider_key};
//! use futures::StreamExt;
//!
//! # smol::block_on(async {
//! let keypair = libp2p::identity::Keypair::generate_ed25519();
//! let (node, client) = Node::builder(keypair)
//!     .listen("/ip4/0.0.0.0/tcp/0")
//!     .boot("/dns4/peer.example.org/tcp/4001/p2p/12D3KooWGRUgKGhwZc8pVHyYbDqQDLtVcvfKhNqNWZPtkEXKz4Rn")
//!     .build()?;
//! let running = smol::spawn(node);
//! client.bootstrap().await?;
//! let mut found = client.search(provider_key(b"kademlia"), "kademlia")?;
//! while let Some(found) = found.next().await {
//!     println!("{:?} from {:?}", found.item, found.from);
//! }
//! client.shutdown().await;
//! running.await;
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```

mod addresses;
mod batch;
mod behaviour;
mod bootstrap;
mod client;
mod config;
mod delegated;
pub mod dns;
mod driven;
mod error;
pub mod exchange;
mod handles;
pub mod kad_messages;
mod listening;
mod network;
mod node;
#[cfg(feature = "prometheus")]
pub mod prometheus;
mod publish;
pub mod query;
mod reach;
#[cfg(feature = "record")]
mod record;
mod schedule;
mod serve;
#[cfg(feature = "state")]
pub mod state;
mod store;
pub mod tcp;
mod transport;
mod turns;
mod watch;

pub use behaviour::{Behaviour, Event};
pub use client::{BootstrapReport, Client, Snapshot};
pub use config::{AddressFilter, Config, KAD_PROTOCOL, Publishing, StoreLimits, Walks};
pub use error::{AddressFailure, BootstrapError, CommandError, ListenError, NodeError, PublishError};
pub use exchange::FetchItem;
pub use handles::{ProvideHandle, Publication, PutHandle};
pub use network::{Answer, AnswerId, Ask, Libp2p, provider_key, record_key};
pub use node::{Node, NodeBuilder, encrypted};
#[cfg(feature = "record")]
pub use record::recorder;
pub use serve::{Question, Questions};

/// The code in the documents of the repository compiles, and what can be run there runs.
#[cfg(doctest)]
mod documents {
    #[doc = include_str!("../../README.md")]
    mod readme {}
    #[doc = include_str!("../../MIGRATING.md")]
    mod migrating {}
}
