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
    /// Which answers are kept, and for how long.
    pub cache: CacheConfig,
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

    /// Sets which answers are kept, and for how long.
    #[must_use]
    pub const fn with_cache(mut self, cache: CacheConfig) -> Self {
        self.cache = cache;
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
    /// ([`Delivery`](crate::Delivery)); and votes for one id beyond which those whom a delegated lookup
    /// names have only one more, together. 1 024.
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

/// Which answers are kept, for the queries that accept one: see [`CachePolicy`](crate::CachePolicy).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CacheConfig {
    /// For how long an answer with items serves those who want a fresh one. Counted from its oldest item.
    /// 60 s.
    pub ttl: Duration,
    /// For how long it is known that nothing was found: shorter, since what is missed now may come. 5 s.
    pub ttl_nothing: Duration,
    /// For how long after `ttl` an answer with items serves those who accept a stale one. 10 min.
    pub stale_for: Duration,
    /// Answers kept; with 0, none. When there is no room, the least useful goes first: of those that
    /// nobody has used since the search last came by, the oldest. 4 096.
    pub entries_max: usize,
    /// Bytes of them: questions, items by their [`Item::size`](crate::Item::size), and peers, without
    /// what a request or a peer owns on the heap. An answer that is larger is not kept. 16 MiB.
    pub bytes_max: usize,
    /// Refreshes behind at once ([`CachePolicy::Stale`](crate::CachePolicy::Stale)). With so many under
    /// way a stale answer is served all the same, and whoever comes later asks. 64.
    pub refreshes_max: usize,
}

impl CacheConfig {
    /// For how long an answer is fresh.
    pub(crate) const fn fresh_for(&self, is_nothing: bool) -> Duration {
        if is_nothing { self.ttl_nothing } else { self.ttl }
    }

    /// For how long an answer serves anybody.
    pub(crate) const fn served_for(&self, is_nothing: bool) -> Duration {
        if is_nothing { self.ttl_nothing } else { self.ttl.saturating_add(self.stale_for) }
    }
}

impl Default for CacheConfig {
    fn default() -> Self {
        Self {
            ttl: Duration::from_secs(60),
            ttl_nothing: Duration::from_secs(5),
            stale_for: Duration::from_secs(600),
            entries_max: 4096,
            bytes_max: 16 << 20,
            refreshes_max: 64,
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
