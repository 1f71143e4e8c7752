//! What is fixed for the life of an engine: its caps, and how it judges peers.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

/// The settings of an engine.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct EngineConfig {
    /// A limit on everything.
    pub caps: Caps,
    /// How peers are judged.
    pub reputation: ReputationConfig,
    /// The names of the networks that queries may ask, in the order of their
    /// [`Source`](crate::Source) numbers. With names, every outcome counts for each
    /// ([`Outcome::sources`](crate::Outcome::sources)). None; the futures front takes those that the
    /// transport has.
    pub sources: Vec<Arc<str>>,
}

impl EngineConfig {
    /// Sets the caps.
    #[must_use]
    pub const fn with_caps(mut self, caps: Caps) -> Self {
        self.caps = caps;
        self
    }

    /// Sets the names of the networks that queries may ask.
    #[must_use]
    pub fn with_sources(mut self, names: impl IntoIterator<Item = impl Into<Arc<str>>>) -> Self {
        self.sources = names.into_iter().map(Into::into).collect();
        self
    }

    /// Sets how peers are judged.
    #[must_use]
    pub const fn with_reputation(mut self, reputation: ReputationConfig) -> Self {
        self.reputation = reputation;
        self
    }
}

/// Bounds against strangers and against ourselves. Over each, something is refused or dropped, and
/// counted; nothing grows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Caps {
    /// Live queries; one more is [`StartError::Busy`](crate::StartError::Busy). 1 048 576.
    pub queries_max: usize,
    /// The largest `max_results` a query may ask for. 1 024.
    pub results_max: usize,
    /// Routes of one query. 16.
    pub routes_max: usize,
    /// Candidates kept per route, those already contacted included, and as many in the fetch lane.
    /// 128.
    pub candidates_max: usize,
    /// Peers remembered, those of live queries included. A quarter is kept for the peers that the asker
    /// names; replies that would fill it make room in their own query, or are dropped. A query holds
    /// the peers of its candidates, so this is to grow with `queries_max` times the candidates that no
    /// other query has. 65 536.
    pub peers_max: usize,
    /// Contacts in flight to one peer, across all queries; further ones wait. rust-libp2p serves 32
    /// streams a connection. At least 1, and 0 means 1. 16.
    pub contacts_per_peer: usize,
    /// Items read from one reply. 1 024.
    pub items_per_reply: usize,
    /// Closer peers read from one reply. Kademlia's servers send at most 20. 20.
    pub closer_per_reply: usize,
    /// Providers read from one reply. 128.
    pub providers_per_reply: usize,
    /// Items that a query holds back for a quorum or its end, all versions counted
    /// ([`Delivery`](crate::Delivery)). 1 024.
    pub held_max: usize,
    /// Of these, with one id; the first is always held. 16.
    pub versions_max: usize,
}

impl Default for Caps {
    fn default() -> Self {
        Self {
            queries_max: 1 << 20,
            results_max: 1024,
            routes_max: 16,
            candidates_max: 128,
            peers_max: 1 << 16,
            contacts_per_peer: 16,
            items_per_reply: 1024,
            closer_per_reply: 20,
            providers_per_reply: 128,
            held_max: 1024,
            versions_max: 16,
        }
    }
}

/// How a peer's past is weighed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReputationConfig {
    /// After so long a success, a failure or an invalid answer weighs half. 10 min.
    pub half_life: Duration,
    /// A peer with so many invalid answers (decayed) is barred; 0 means 1. 3.
    pub invalid_max: u32,
    /// For how long. 10 min.
    pub bar_for: Duration,
}

impl Default for ReputationConfig {
    fn default() -> Self {
        Self { half_life: Duration::from_secs(600), invalid_max: 3, bar_for: Duration::from_secs(600) }
    }
}
