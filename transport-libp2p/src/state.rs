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
//! today are left out. What has aged meanwhile counts as aged, and answers with a record that has expired are
//! left out; if the clock was set back nobody knows how much that is, and then all kept answers are.
//!
//! What is known of one network is of no use in another: a state names its Kademlia protocol, and a node of
//! another does not take it.
//!
//! [`AddressFilter`]: crate::AddressFilter

mod files;

use std::collections::HashSet;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use dragnet_core::{EngineState, Restored};
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
    /// The Kademlia protocol of the network that it is of; `None` if that is not known.
    pub protocol: Option<String>,
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

/// Why a behaviour does not begin with a state.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// Its engine knows something already.
    #[error(transparent)]
    NotFresh(#[from] dragnet_core::RestoreError),
    /// The state is of another network.
    #[error(
        "the state is of the network `{found}`, and this node is of `{expected}`: give each network a directory of its own"
    )]
    OtherNetwork {
        /// The Kademlia protocol of the state.
        found: String,
        /// That of the behaviour.
        expected: String,
    },
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
        NodeState { protocol: Some(self.config.kad_protocol.to_string()), engine, peers }
    }

    /// Begins with what a behaviour knew before. To be done before it is polled for the first time.
    ///
    /// # Errors
    ///
    /// [`RestoreError::NotFresh`] if its engine knows anything already, [`RestoreError::OtherNetwork`] if the
    /// state is of another; then nothing is taken in.
    pub fn restore(&mut self, loaded: Loaded) -> Result<Restored, RestoreError> {
        let Loaded { state: NodeState { protocol, mut engine, peers }, away, .. } = loaded;
        let expected = self.config.kad_protocol.as_ref();
        if let Some(found) = protocol.filter(|found| found != expected) {
            return Err(RestoreError::OtherNetwork { found, expected: expected.to_string() });
        }
        // What is left of an answer without some of its items would pass for all of it: it goes as a whole.
        engine
            .answers
            .retain(|answer| away.is_some() && !answer.items.iter().any(|state| has_expired(&state.item)));
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

fn has_expired(answer: &Answer) -> bool {
    matches!(answer, Answer::Record(Record { expires: Some(at), .. }) if *at <= Instant::now())
}

fn since_1970() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// An [`Answer`] as it is written down.
#[derive(Serialize, Deserialize)]
pub(crate) enum SavedAnswer {
    /// It expires so long after 1970: time goes on while it is on the disk.
    Record {
        key: RecordKey,
        value: Vec<u8>,
        publisher: Option<PeerId>,
        expires_at: Option<Duration>,
    },
    Provider(PeerId),
    Peer(PeerId),
    Fetched(FetchItem),
}

impl From<Answer> for SavedAnswer {
    fn from(answer: Answer) -> Self {
        match answer {
            Answer::Record(Record { key, value, publisher, expires }) => {
                let expires_at = expires.map(|at| {
                    let left = at.saturating_duration_since(Instant::now());
                    since_1970().saturating_add(left)
                });
                Self::Record { key, value, publisher, expires_at }
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
            SavedAnswer::Record { key, value, publisher, expires_at } => {
                // What has expired expires now; what does so later than can be told, never.
                let left = expires_at.map(|at| at.saturating_sub(since_1970()));
                let expires = left.and_then(|left| Instant::now().checked_add(left));
                Self::Record(Record { key, value, publisher, expires })
            }
            SavedAnswer::Provider(peer) => Self::Provider(peer),
            SavedAnswer::Peer(peer) => Self::Peer(peer),
            SavedAnswer::Fetched(item) => Self::Fetched(item),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is left of a record's time after a file has been away for as long as `at` is off.
    fn left(at: Duration) -> Duration {
        let key = RecordKey::new(b"k");
        let saved = SavedAnswer::Record { key, value: Vec::new(), publisher: None, expires_at: Some(at) };
        let Answer::Record(Record { expires: Some(expires), .. }) = Answer::from(saved) else {
            panic!("it expires")
        };
        expires.saturating_duration_since(Instant::now())
    }

    #[test]
    fn a_record_expires_when_it_would_have_had_it_not_been_on_the_disk() {
        let hour = Duration::from_secs(3600);
        let mut record = Record::new(b"k".to_vec(), Vec::new());
        record.expires = Some(Instant::now() + 2 * hour);
        let SavedAnswer::Record { expires_at: Some(at), .. } = Answer::Record(record).into() else {
            panic!("it expires")
        };
        // An hour passes, and three.
        assert!((hour / 2..=hour).contains(&left(at - hour)));
        assert_eq!(left(at - 3 * hour), Duration::ZERO);
    }
}
