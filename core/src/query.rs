//! What one asks, and what one gets.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use uuid::Uuid;

use crate::cache::{CachePolicy, Cached};
use crate::delivery::{Agreement, Delivery};
use crate::key::Key;
use crate::network::{Network, Selector, Source, Validator};

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
    /// ([`Delivery`]); without one, votes decide.
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

    /// Prefers the better of two items with one id, where they are held back: see [`Delivery`].
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

/// The limits and the pace of one query.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct QueryConfig {
    /// The query ends at latest this long after its start. 10 s.
    pub timeout: Duration,
    /// The query ends when it has delivered so many items: 1 to
    /// [`Caps::results_max`](crate::Caps::results_max). 20.
    pub max_results: usize,
    /// Contacts that each lane keeps in flight, per source: Kademlia's alpha. At least 1. 3.
    pub fan_out: usize,
    /// Overdue contacts that each lane may have outstanding, per source, beside its fan-out: what
    /// hedging may cost at most. 16.
    pub hedges_max: usize,
    /// Whether the fan-out rises with the share of contacts that are overdue, up to four times, and
    /// falls back with it. Yes.
    pub adaptive_fan_out: bool,
    /// Whether the query follows what is known of response times. Yes.
    ///
    /// - A contact's soft timeout is its peer's own (RFC 6298, without a floor of 1 s), and at most the 95th
    ///   percentile of recent response times, which is a stranger's; the median for a peer that has failed
    ///   more often than it has answered.
    /// - What a contact waits in the transport before it is sent, for a connection above all, comes on top: as
    ///   long as it has not been sent, the 95th percentile of what others have waited.
    /// - Overdue contacts that hold a lane up, because nothing else of it is under way or because they have used
    ///   up the hedges, are given up: in a walk after twice the 95th percentile; in the fetch lane after four
    ///   times that, or the 99.9th percentile if that is longer. Not so where few others have answered.
    /// - A walk prefers, among the nearest few candidates that are about as near, those that are expected to
    ///   answer soon.
    ///
    /// Without, soft timeouts are `soft_timeout`, nothing is given up before its `request_timeout`, and walks
    /// go by distance alone.
    pub adaptive_timeout: bool,
    /// How long a contact holds its slot; with `adaptive_timeout`, while no response times are known. After
    /// it the contact is overdue, its slot is given to the next candidate, and its answer still counts when
    /// it comes. 1 s.
    pub soft_timeout: Duration,
    /// A contact is given up and counted as a failure after so long, at latest. 10 s.
    pub request_timeout: Duration,
    /// A walk converges when so many of the closest have answered: Kademlia's k. At least 1. 20.
    pub closest: usize,
    /// When an item is delivered. Immediately.
    pub delivery: Delivery,
    /// Whether the query may be given kept answers, and what others find who ask the same. No
    /// ([`CachePolicy::Skip`]).
    pub cache: CachePolicy,
    /// No item, and no kept answer, is older than this when the query begins. No bound ([`Duration::MAX`])
    /// but those of [`CacheConfig`](crate::CacheConfig).
    pub max_age: Duration,
}

impl QueryConfig {
    /// For most: 10 s, 20 results, fan-out 3 and more where many are overdue.
    pub const fn balanced() -> Self {
        Self {
            timeout: Duration::from_secs(10),
            max_results: 20,
            fan_out: 3,
            hedges_max: 16,
            adaptive_fan_out: true,
            adaptive_timeout: true,
            soft_timeout: Duration::from_secs(1),
            request_timeout: Duration::from_secs(10),
            closest: 20,
            delivery: Delivery::Immediate,
            cache: CachePolicy::Skip,
            max_age: Duration::MAX,
        }
    }

    /// Many answers, more contacts at once: 5 s, 50 results, fan-out 5 and more where many are overdue.
    pub const fn high_throughput() -> Self {
        Self { timeout: Duration::from_secs(5), max_results: 50, fan_out: 5, ..Self::balanced() }
    }

    /// A few answers soon, from one peer at a time: 2 s, 10 results, fan-out 1 whatever happens.
    pub const fn low_latency() -> Self {
        Self {
            timeout: Duration::from_secs(2),
            max_results: 10,
            fan_out: 1,
            adaptive_fan_out: false,
            ..Self::balanced()
        }
    }

    /// Sets [`timeout`](Self::timeout).
    #[must_use]
    pub const fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets [`max_results`](Self::max_results).
    #[must_use]
    pub const fn with_max_results(mut self, max_results: usize) -> Self {
        self.max_results = max_results;
        self
    }

    /// Sets [`fan_out`](Self::fan_out).
    #[must_use]
    pub const fn with_fan_out(mut self, fan_out: usize) -> Self {
        self.fan_out = fan_out;
        self
    }

    /// Sets [`hedges_max`](Self::hedges_max).
    #[must_use]
    pub const fn with_hedges_max(mut self, hedges_max: usize) -> Self {
        self.hedges_max = hedges_max;
        self
    }

    /// Sets [`adaptive_fan_out`](Self::adaptive_fan_out).
    #[must_use]
    pub const fn with_adaptive_fan_out(mut self, adaptive: bool) -> Self {
        self.adaptive_fan_out = adaptive;
        self
    }

    /// Sets [`adaptive_timeout`](Self::adaptive_timeout).
    #[must_use]
    pub const fn with_adaptive_timeout(mut self, adaptive: bool) -> Self {
        self.adaptive_timeout = adaptive;
        self
    }

    /// Sets [`soft_timeout`](Self::soft_timeout).
    #[must_use]
    pub const fn with_soft_timeout(mut self, soft_timeout: Duration) -> Self {
        self.soft_timeout = soft_timeout;
        self
    }

    /// Sets [`request_timeout`](Self::request_timeout).
    #[must_use]
    pub const fn with_request_timeout(mut self, request_timeout: Duration) -> Self {
        self.request_timeout = request_timeout;
        self
    }

    /// Sets [`closest`](Self::closest).
    #[must_use]
    pub const fn with_closest(mut self, closest: usize) -> Self {
        self.closest = closest;
        self
    }

    /// Sets [`delivery`](Self::delivery).
    #[must_use]
    pub const fn with_delivery(mut self, delivery: Delivery) -> Self {
        self.delivery = delivery;
        self
    }

    /// Sets [`cache`](Self::cache).
    #[must_use]
    pub const fn with_cache(mut self, cache: CachePolicy) -> Self {
        self.cache = cache;
        self
    }

    /// Sets [`max_age`](Self::max_age).
    #[must_use]
    pub const fn with_max_age(mut self, max_age: Duration) -> Self {
        self.max_age = max_age;
        self
    }
}

/// [`QueryConfig::balanced`].
impl Default for QueryConfig {
    fn default() -> Self {
        Self::balanced()
    }
}

/// Why a query ended. None of these is an error.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Reason {
    /// `max_results` items were delivered.
    EnoughResults,
    /// `max_results` items were delivered, each by a [`Delivery::Quorum`] or [`Agreement`].
    QuorumReached,
    /// Every route came to its end, and nobody that it found is left to ask: no better answer can come.
    Converged,
    /// Nobody is left to ask, and a walk ran out of candidates before the k closest had answered, or
    /// there was no route.
    Exhausted,
    /// Time was up. What was found by then has been delivered; what was held back is delivered now.
    DeadlineReached,
    /// The asker no longer wants the answers.
    Cancelled,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::EnoughResults => "enough results",
            Self::QuorumReached => "quorum reached",
            Self::Converged => "converged",
            Self::Exhausted => "exhausted",
            Self::DeadlineReached => "deadline reached",
            Self::Cancelled => "cancelled",
        })
    }
}

/// How a query ended: the reason and the counts.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Outcome {
    /// Why.
    pub reason: Reason,
    /// Items delivered.
    pub results: usize,
    /// What it took: nothing, if it was given a kept answer; and all that the contacts took that it
    /// shared with other queries, those before its start included.
    pub stats: QueryStats,
    /// Whether it was given a kept answer, and how old that is.
    pub cached: Option<Cached>,
    /// The same for each of the networks that [`EngineConfig::sources`](crate::EngineConfig::sources)
    /// names, in their order. Those that the query did not ask, or could not, are there with zeros.
    pub sources: Vec<SourceStats>,
}

/// What one of several networks cost a query, and brought it.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct SourceStats {
    /// The network's name.
    pub name: Arc<str>,
    /// Requests sent to its peers, as in [`QueryStats`]; so are the next.
    pub contacted: u32,
    /// Requests that were answered.
    pub replied: u32,
    /// Requests that failed. A delegated lookup that had not ended at the deadline is one: a network that
    /// is slow, or still to be joined, is seen here.
    pub failed: u32,
    /// Contacts that outlived their soft timeout.
    pub overdue: u32,
    /// Answers, or parts of them, that were refused.
    pub invalid: u32,
    /// Valid items that the query had already, from whomever.
    pub duplicate: u32,
    /// Those of them that were not equal to what the query had. Found out only where items are held to be
    /// compared: with [`Delivery::Quorum`], of which a quorum of 1 delivers at once all the same, and with
    /// [`Delivery::BestAtEnd`].
    pub conflicting: u32,
    /// Items delivered that it gave first.
    pub results: usize,
}

/// What a query has cost and brought so far.
///
/// `contacted` = `replied` + `failed` + those released or still in flight.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct QueryStats {
    /// Requests sent, those of delegated lookups included once these have ended. A lookup that was released
    /// before counts as one.
    pub contacted: u32,
    /// Requests that were answered.
    pub replied: u32,
    /// Requests that failed, ran into `request_timeout`, or were overdue when the deadline came; and
    /// delegated lookups that had not ended then, whatever they had brought.
    pub failed: u32,
    /// Contacts that outlived their soft timeout.
    pub overdue: u32,
    /// Contacts begun in the slot of an overdue one.
    pub hedged: u32,
    /// Items refused by the validator or unreadable to the transport, and answers that were no answer.
    pub invalid: u32,
    /// Valid items whose id had been seen in this query.
    pub duplicate: u32,
    /// Of these, items that differed from an earlier one with their id. Noticed where items are held
    /// back ([`Delivery`]), 0 with [`Delivery::Immediate`].
    pub conflicting: u32,
    /// Ids of items that were held back and not delivered by the end: `max_results` others were, too few
    /// routes agreed, or the query was cancelled.
    pub withheld: u32,
    /// Items, closer peers and providers over a cap, and candidates pushed out by closer ones.
    pub dropped: u32,
    /// Candidates skipped because they were barred.
    pub barred: u32,
    /// From the start to the first delivered item.
    pub first_item: Option<Duration>,
    /// From the start to the end, or to now while the query lives.
    pub total: Duration,
}
