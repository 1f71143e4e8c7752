//! What a node knows, for the next time that it runs (feature `state`).
//!
//! A node that begins anew has to be told of a peer, walks past dead ones that it has met before, and trusts
//! liars that it has barred. One that goes on with its state knows the peers of its routing table and where
//! they are, whom to trust, how long answers take here, and what it has been answered of late; and it is who
//! it was, for those who know it.
//!
//! ```no_run
//! use dragnet_libp2p::state::NodeStore;
//! use dragnet_libp2p::Node;
//!
//! # smol::block_on(async {
//! let store = NodeStore::open("/var/lib/mine")?;
//! let identity = store.identity()?;
//! let mut builder = Node::builder(identity.keypair).listen("/ip4/0.0.0.0/tcp/4001");
//! let remembered = store.load()?;
//! if let Some(trouble) = &remembered.set_aside {
//!     eprintln!("{trouble}");
//! }
//! if let Some(state) = remembered.state {
//!     builder = builder.state(state);
//! }
//! let (node, client) = builder.build()?;
//! let running = smol::spawn(node);
//! client.bootstrap().await?;
//! // Now and then, and before the end:
//! store.save(client.export().await?)?;
//! client.shutdown().await;
//! running.await;
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```
//!
//! # What is believed of it
//!
//! Addresses are hints: who answers at one proves who he is. Those that [`AddressFilter`] would not dial
//! today are left out. What has aged meanwhile counts as aged; if the clock was set back nobody knows how
//! much that is, and then kept answers are left out.
//!
//! [`AddressFilter`]: crate::AddressFilter

mod files;

use std::collections::HashSet;
use std::time::{Duration, Instant};

use dragnet_core::{EngineState, RestoreError, Restored};
use libp2p::kad::{Record, RecordKey};
use libp2p::{Multiaddr, PeerId};
use serde::{Deserialize, Serialize};

pub use dragnet_core::state::{Damage, Judges, StateError};
#[doc(hidden)]
pub use files::decode;
pub use files::{Identity, NodeStore, Remembered, Saved, SetAside};

use crate::addresses;
use crate::behaviour::Behaviour;
use crate::exchange::FetchItem;
use crate::network::{Answer, Libp2p};

/// Addresses that are kept of a peer.
const ADDRESSES_MAX: usize = 16;

/// What a node knows that outlives it.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct NodeState {
    /// What the engine knows: reputations, response times, kept answers.
    pub engine: EngineState<Libp2p>,
    /// Where peers are, those of the routing table first.
    pub peers: Vec<KnownPeer>,
}

/// A peer, and where it is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct KnownPeer {
    /// Who.
    pub peer: PeerId,
    /// Whether it was in the routing table: it serves the DHT.
    pub is_in_table: bool,
    /// Where, as far as is known; at most 16.
    pub addresses: Vec<Multiaddr>,
}

/// A state that was kept, and how long ago.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Loaded {
    /// What was known.
    pub state: NodeState,
    /// How long ago it was saved; `None` if the clock was set back meanwhile, so that nobody knows.
    pub away: Option<Duration>,
    /// Answers that are left out since nobody here is named as their validator or selector is.
    pub answers_left_out: usize,
}

impl Behaviour {
    /// What is known that outlives this behaviour.
    pub fn export(&mut self) -> NodeState {
        let engine = self.driver.as_ref().map(|driver| driver.export()).unwrap_or_default();
        let table = self.inner.kad.kbuckets();
        let table: Vec<PeerId> = table
            .flat_map(|bucket| bucket.iter().map(|entry| *entry.node.key.preimage()).collect::<Vec<_>>())
            .collect();
        let in_table = table.len();
        let others = self.joining.peers().chain(engine.peers.iter().map(|state| state.peer));
        let all: Vec<PeerId> = table.into_iter().chain(others).collect();
        let mut seen = HashSet::new();
        let mut peers = Vec::new();
        for (place, peer) in all.into_iter().enumerate() {
            if peer == self.local || !seen.insert(peer) {
                continue;
            }
            let addresses = self.addresses_of(peer);
            // Of who was met and is nowhere there is nothing to keep here.
            if !addresses.is_empty() {
                peers.push(KnownPeer { peer, is_in_table: place < in_table, addresses });
            }
            if peers.len() == self.config.addresses_max.get() {
                break;
            }
        }
        NodeState { engine, peers }
    }

    /// Begins with what a behaviour knew before. To be done before it is polled for the first time.
    ///
    /// # Errors
    ///
    /// [`RestoreError::NotFresh`] if its engine knows anything already; then nothing is taken in.
    pub fn restore(&mut self, loaded: Loaded) -> Result<Restored, RestoreError> {
        let Loaded { state: NodeState { mut engine, peers }, away, .. } = loaded;
        if away.is_none() {
            engine.answers.clear();
        }
        let away = away.unwrap_or(Duration::ZERO);
        let restored = match &mut self.driver {
            Some(driver) => driver.restore(engine, away)?,
            None => Restored::default(),
        };
        for KnownPeer { peer, is_in_table, addresses } in
            peers.into_iter().take(self.config.addresses_max.get())
        {
            if peer == self.local {
                continue;
            }
            let addresses = self.addresses.remember(peer, addresses);
            for address in addresses.into_iter().filter(|_| is_in_table) {
                self.inner.kad.add_address(&peer, address);
            }
        }
        Ok(restored)
    }

    /// Where a peer is, where it was dialled first.
    fn addresses_of(&mut self, peer: PeerId) -> Vec<Multiaddr> {
        let mut known: Vec<Multiaddr> = Vec::new();
        let named: Vec<_> = self.joining.named(peer).collect();
        let table = addresses::in_table(&mut self.inner.kad, peer);
        for address in self.addresses.of(&peer).chain(named).chain(table) {
            // With the peer's id at their ends, so that none is there twice.
            let Ok(address) = address.with_p2p(peer) else { continue };
            if known.len() < ADDRESSES_MAX && !known.contains(&address) {
                known.push(address);
            }
        }
        known
    }
}

/// An [`Answer`] as it is written down.
#[derive(Serialize, Deserialize)]
pub(crate) enum SavedAnswer {
    Record { key: RecordKey, value: Vec<u8>, publisher: Option<PeerId>, expires_in: Option<Duration> },
    Provider(PeerId),
    Peer(PeerId),
    Fetched(FetchItem),
}

impl From<Answer> for SavedAnswer {
    fn from(answer: Answer) -> Self {
        match answer {
            Answer::Record(Record { key, value, publisher, expires }) => {
                let expires_in = expires.map(|at| at.saturating_duration_since(Instant::now()));
                Self::Record { key, value, publisher, expires_in }
            }
            Answer::Provider(peer) => Self::Provider(peer),
            Answer::Peer(peer) => Self::Peer(peer),
            Answer::Fetched(item) => Self::Fetched(item),
        }
    }
}

impl From<SavedAnswer> for Answer {
    fn from(saved: SavedAnswer) -> Self {
        match saved {
            SavedAnswer::Record { key, value, publisher, expires_in } => {
                let expires = expires_in.and_then(|left| Instant::now().checked_add(left));
                Self::Record(Record { key, value, publisher, expires })
            }
            SavedAnswer::Provider(peer) => Self::Provider(peer),
            SavedAnswer::Peer(peer) => Self::Peer(peer),
            SavedAnswer::Fetched(item) => Self::Fetched(item),
        }
    }
}
