//! What the engine asks of its driver.

use core::fmt;
use core::time::Duration;

use crate::network::{Network, Source};
use crate::query::{Outcome, QueryId};

/// Names one contact or lookup between the engine and a transport.
///
/// It carries a generation: once its contact has ended it names nothing any more, and a late, repeated
/// or forged answer under it is ignored.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId {
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

impl RequestId {
    /// Both parts as one number, unique in an engine until four billion contacts have used one slot.
    pub const fn as_u64(self) -> u64 {
        (self.generation as u64) << 32 | self.slot as u64
    }

    /// The id that [`as_u64`](Self::as_u64) gave. An id that no engine gave names no request.
    pub const fn from_u64(id: u64) -> Self {
        Self { slot: id as u32, generation: (id >> 32) as u32 }
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.slot, self.generation)
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RequestId({self})")
    }
}

/// Which lane asks.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Step {
    /// A walk on the query's route of this index: closer peers and providers are wanted, and items if
    /// there are any.
    Route(u16),
    /// The fetch lane: items are wanted.
    Fetch,
}

/// What the driver is to do. Drain with [`poll_output`](crate::QueryEngine::poll_output) after every
/// input.
#[non_exhaustive]
pub enum Output<N: Network> {
    /// Ask this peer. Ends with a reply, a failure or a `Release`.
    Contact {
        /// Names the contact.
        request: RequestId,
        /// The query that asks: one of them, if several share the answer; and of a refresh behind the
        /// one that caused it, which has ended ([`CachePolicy::Stale`](crate::CachePolicy::Stale)).
        query: QueryId,
        /// Whom.
        peer: N::Peer,
        /// For which lane.
        step: Step,
        /// What.
        ask: N::Request,
    },
    /// Let the transport's own DHT do this lookup. It may report many times, and ends with done, a
    /// failure or a `Release`.
    Lookup {
        /// Names the lookup.
        request: RequestId,
        /// The query that asks, as of a `Contact`.
        query: QueryId,
        /// The index of the route.
        route: u16,
        /// In which network.
        source: Source,
        /// What.
        ask: N::Request,
    },
    /// Cleanup: the answer is no longer wanted. Whatever the transport holds for it may go.
    Release {
        /// The contact or lookup.
        request: RequestId,
    },
    /// A distinct, valid answer.
    Found {
        /// Whose.
        query: QueryId,
        /// The answer.
        found: Found<N>,
    },
    /// The query has ended. Said once, after its last `Release`; nothing follows.
    Finished {
        /// Which.
        query: QueryId,
        /// Why and how.
        outcome: Outcome,
    },
}

impl<N: Network> fmt::Debug for Output<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Contact { request, query, peer, step, ask } => f
                .debug_struct("Contact")
                .field("request", request)
                .field("query", query)
                .field("peer", peer)
                .field("step", step)
                .field("ask", ask)
                .finish(),
            Self::Lookup { request, query, route, source, ask } => f
                .debug_struct("Lookup")
                .field("request", request)
                .field("query", query)
                .field("route", route)
                .field("source", source)
                .field("ask", ask)
                .finish(),
            Self::Release { request } => f.debug_struct("Release").field("request", request).finish(),
            Self::Found { query, found } => {
                f.debug_struct("Found").field("query", query).field("found", found).finish()
            }
            Self::Finished { query, outcome } => {
                f.debug_struct("Finished").field("query", query).field("outcome", outcome).finish()
            }
        }
    }
}

/// One delivered answer, and where it came from.
pub struct Found<N: Network> {
    /// The answer.
    pub item: N::Item,
    /// The first peer that gave it; `None` if a delegated lookup did not say.
    pub from: Option<N::Peer>,
    /// How long that peer took, time in the transport's queue not counted if the transport says when it
    /// sends; `None` for a lookup.
    pub response_time: Option<Duration>,
    /// From the start of the query to the delivery.
    pub elapsed: Duration,
    /// How many peers, or disjoint routes, had given this very item by then: see
    /// [`Delivery`](crate::Delivery) and [`Agreement`](crate::Agreement). Always 1 where the first is
    /// delivered at once.
    pub votes: u32,
    /// How long ago it was first delivered to anybody: zero, but for a query that shares
    /// ([`CachePolicy`](crate::CachePolicy)).
    pub age: Duration,
}

impl<N: Network> Clone for Found<N> {
    fn clone(&self) -> Self {
        Self { item: self.item.clone(), from: self.from.clone(), ..*self }
    }
}

impl<N: Network> fmt::Debug for Found<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Found")
            .field("item", &self.item)
            .field("from", &self.from)
            .field("response_time", &self.response_time)
            .field("elapsed", &self.elapsed)
            .field("votes", &self.votes)
            .field("age", &self.age)
            .finish()
    }
}

impl<N: Network> PartialEq for Found<N> {
    fn eq(&self, other: &Self) -> bool {
        self.item == other.item
            && self.from == other.from
            && self.response_time == other.response_time
            && self.elapsed == other.elapsed
            && self.votes == other.votes
            && self.age == other.age
    }
}

/// Why a query does not start.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// Too many live queries, or the driver's command queue is full. Try again later.
    #[error("busy: {live} {what}, and no more than {max} may")]
    Busy {
        /// What there are too many of, and what they do.
        what: &'static str,
        /// How many there are.
        live: usize,
        /// How many there may be.
        max: usize,
    },
    /// A setting of the query is out of its range.
    #[error("{what} is {value}, and must be from {min} to {max}")]
    Limit {
        /// Which setting.
        what: &'static str,
        /// Its value.
        value: usize,
        /// The least it may be.
        min: usize,
        /// The most it may be.
        max: usize,
    },
    /// The driver is shutting down or gone.
    #[error("the driver is shut down: start a new one")]
    ShutDown,
}
