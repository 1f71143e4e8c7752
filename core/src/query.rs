//! What one asks, and what one gets.

mod config;
mod outcome;

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use uuid::Uuid;

use crate::delivery::Agreement;
use crate::key::Key;
use crate::network::{Network, Selector, Source, Validator};

pub use config::QueryConfig;
pub use outcome::{Outcome, QueryStats, Reason, SourceStats};

/// Names a query for as long as anybody cares. Drawn from the engine's seed, so that two runs of one
/// seed name their queries alike.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueryId(pub(crate) Uuid);

impl QueryId {
    /// The UUID, for logs and interfaces.
    pub const fn as_uuid(&self) -> &Uuid {
        &self.0
    }

    /// The id that a UUID names. An id that no engine made names no query.
    pub const fn from_uuid(uuid: Uuid) -> Self {
        Self(uuid)
    }
}

impl fmt::Display for QueryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for QueryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "QueryId({})", self.0)
    }
}

/// One question: a request, the routes that find out whom to ask, and the peers to fetch from.
///
/// ```
/// # use dragnet_core::{Key, Query, QueryConfig, Route, doc::Library};
/// // `get`: a walk alone, whose replies bring the items.
/// let get = Query::<Library>::new("978-3".to_string())
///     .route(Route::walk(Key::of(b"978-3")));
/// // `search`: a walk that finds providers, and a fetch from each.
/// let search = Query::<Library>::new("kademlia".to_string())
///     .route(Route::walk(Key::of(b"kademlia")))
///     .fetch_providers();
/// // A fixed list of peers.
/// let ask = Query::<Library>::new("kademlia".to_string())
///     .fetch_from(["alice".to_string(), "bob".to_string()])
///     .config(QueryConfig::low_latency());
/// ```
#[non_exhaustive]
pub struct Query<N: Network> {
    /// What is asked, of every peer.
    pub request: N::Request,
    /// The route lane: finds out whom to ask. Empty if that is known.
    pub routes: Vec<Route<N>>,
    /// The fetch lane's first candidates.
    pub peers: Vec<N::Peer>,
    /// Whether providers that the routes bring are fetched from.
    pub providers: bool,
    /// Judges the items; without one, all are valid.
    pub validator: Option<Arc<dyn Validator<N>>>,
    /// Prefers one of several items with one id, where they are held back
    /// ([`Delivery`](crate::Delivery)); without one, votes decide.
    pub selector: Option<Arc<dyn Selector<N>>>,
    /// Whether its routes are disjoint: then walks to one target share no peer, and so many routes must
    /// agree on an item. At most 64 routes may be.
    pub disjoint: Option<Agreement>,
    /// Limits and pace.
    pub config: QueryConfig,
}

impl<N: Network> Query<N> {
    /// A query that asks nobody yet, with the default [`QueryConfig`].
    pub fn new(request: N::Request) -> Self {
        Self {
            request,
            routes: Vec::new(),
            peers: Vec::new(),
            providers: false,
            validator: None,
            selector: None,
            disjoint: None,
            config: QueryConfig::default(),
        }
    }

    /// Adds a route.
    #[must_use]
    pub fn route(mut self, route: Route<N>) -> Self {
        self.routes.push(route);
        self
    }

    /// Adds so many walks to one target that share no peer: each converges on the closest peers that no
    /// other has asked, so that whoever leads one of them astray has led one astray (S/Kademlia: Baumgart
    /// and Mies, 2007).
    ///
    /// The first candidates of all walks to the target are dealt out among them in turn, the closest
    /// first. A peer belongs to the walk that asks it first; until then it may be a candidate of several,
    /// so that invented ones that flood a walk take none from the others. Every walk has a fan-out of its
    /// own, and its own candidates.
    ///
    /// One walk's word is enough for an item to be delivered, unless [`agreement`](Self::agreement) says
    /// otherwise.
    ///
    /// ```
    /// # use dragnet_core::{Agreement, Key, Query, doc::Library};
    /// // Three of five walks must have found the same record.
    /// let get = Query::<Library>::new("978-3".to_string())
    ///     .disjoint(Key::of(b"978-3"), 5)
    ///     .agreement(Agreement::Majority);
    /// assert_eq!(get.routes.len(), 5);
    /// ```
    #[must_use]
    pub fn disjoint(mut self, target: Key, routes: usize) -> Self {
        self.routes.extend((0..routes).map(|_| Route::walk(target)));
        self.disjoint.get_or_insert_default();
        self
    }

    /// Makes the query's routes disjoint, however they were added, and says how many of them must agree
    /// on an item before it is delivered: see [`Agreement`].
    #[must_use]
    pub const fn agreement(mut self, agreement: Agreement) -> Self {
        self.disjoint = Some(agreement);
        self
    }

    /// Adds peers to ask directly.
    #[must_use]
    pub fn fetch_from(mut self, peers: impl IntoIterator<Item = N::Peer>) -> Self {
        self.peers.extend(peers);
        self
    }

    /// Fetches from the providers that the routes find.
    #[must_use]
    pub fn fetch_providers(mut self) -> Self {
        self.providers = true;
        self
    }

    /// Judges every item before it counts.
    #[must_use]
    pub fn validator(mut self, validator: impl Validator<N> + 'static) -> Self {
        self.validator = Some(Arc::new(validator));
        self
    }

    /// Judges every item by a validator that other queries share. Only queries that share their
    /// validator can ever share work.
    #[must_use]
    pub fn shared_validator(mut self, validator: Arc<dyn Validator<N>>) -> Self {
        self.validator = Some(validator);
        self
    }

    /// Prefers the better of two items with one id, where they are held back: see
    /// [`Delivery`](crate::Delivery).
    #[must_use]
    pub fn selector(mut self, selector: impl Selector<N> + 'static) -> Self {
        self.selector = Some(Arc::new(selector));
        self
    }

    /// Prefers the better of two items by a selector that other queries share.
    #[must_use]
    pub fn shared_selector(mut self, selector: Arc<dyn Selector<N>>) -> Self {
        self.selector = Some(selector);
        self
    }

    /// Sets limits and pace.
    #[must_use]
    pub fn config(mut self, config: QueryConfig) -> Self {
        self.config = config;
        self
    }
}

impl<N: Network> Clone for Query<N> {
    fn clone(&self) -> Self {
        Self {
            request: self.request.clone(),
            routes: self.routes.clone(),
            peers: self.peers.clone(),
            providers: self.providers,
            validator: self.validator.clone(),
            selector: self.selector.clone(),
            disjoint: self.disjoint,
            config: self.config.clone(),
        }
    }
}

impl<N: Network> fmt::Debug for Query<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Query")
            .field("request", &self.request)
            .field("routes", &self.routes)
            .field("peers", &self.peers)
            .field("providers", &self.providers)
            .field("validator", &self.validator.is_some())
            .field("selector", &self.selector.is_some())
            .field("disjoint", &self.disjoint)
            .field("config", &self.config)
            .finish()
    }
}

/// One way to find out whom to ask.
#[non_exhaustive]
pub enum Route<N: Network> {
    /// An iterative Kademlia lookup, driven by the engine contact by contact.
    Walk {
        /// Where to.
        target: Key,
        /// The first candidates. The futures front fills an empty list from
        /// [`Transport::closest`](crate::front::Transport::closest).
        candidates: Vec<N::Peer>,
        /// In which network, if the transport has several.
        source: Source,
    },
    /// A lookup that the transport's own DHT does.
    Delegated {
        /// In which network, if the transport has several.
        source: Source,
    },
}

impl<N: Network> Route<N> {
    /// A walk whose first candidates the transport names.
    pub const fn walk(target: Key) -> Self {
        Self::walk_from(target, Vec::new())
    }

    /// A walk from these candidates.
    pub const fn walk_from(target: Key, candidates: Vec<N::Peer>) -> Self {
        Self::Walk { target, candidates, source: Source(0) }
    }

    /// A lookup that the transport's own DHT does.
    pub const fn delegated() -> Self {
        Self::Delegated { source: Source(0) }
    }

    /// Sets the network that the route goes through, of those that the transport has. The first by
    /// default.
    #[must_use]
    pub fn in_source(mut self, in_source: Source) -> Self {
        match &mut self {
            Self::Walk { source, .. } | Self::Delegated { source } => *source = in_source,
        }
        self
    }

    /// The network that the route goes through.
    pub const fn source(&self) -> Source {
        match self {
            Self::Walk { source, .. } | Self::Delegated { source } => *source,
        }
    }
}

impl<N: Network> Clone for Route<N> {
    fn clone(&self) -> Self {
        match self {
            Self::Walk { target, candidates, source } => {
                Self::Walk { target: *target, candidates: candidates.clone(), source: *source }
            }
            Self::Delegated { source } => Self::Delegated { source: *source },
        }
    }
}

impl<N: Network> fmt::Debug for Route<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Walk { target, candidates, source } => f
                .debug_struct("Walk")
                .field("target", target)
                .field("candidates", candidates)
                .field("source", source)
                .finish(),
            Self::Delegated { source } => f.debug_struct("Delegated").field("source", source).finish(),
        }
    }
}
