//! The limits and the pace of one query.

use core::time::Duration;

use crate::cache::CachePolicy;
use crate::delivery::Delivery;

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
