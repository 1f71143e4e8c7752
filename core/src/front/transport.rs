//! What carries requests to peers: the trait that a network's adapter implements.

use core::task::{Context, Poll};

use crate::key::Key;
use crate::network::{Failure, LookupTotals, Network, Reply, Source};
use crate::output::{RequestId, Step};
use crate::query::QueryId;

/// A contact that the engine wants made.
pub struct Contact<N: Network> {
    /// Names it in events and in [`Transport::release`].
    pub request: RequestId,
    /// The query that asks, for logs.
    pub query: QueryId,
    /// Whom to ask.
    pub peer: N::Peer,
    /// For which lane.
    pub step: Step,
    /// What to ask.
    pub ask: N::Request,
}

/// A lookup that the engine leaves to the transport's own DHT.
pub struct Lookup<N: Network> {
    /// Names it in events and in [`Transport::release`].
    pub request: RequestId,
    /// The query that asks, for logs.
    pub query: QueryId,
    /// The index of the route.
    pub route: u16,
    /// In which network, if the transport has several.
    pub source: Source,
    /// What to look up.
    pub ask: N::Request,
}

/// What became of a contact or a lookup.
pub enum Event<N: Network> {
    /// A contact has left the transport's queue, and its response time counts from now.
    Sent {
        /// The contact.
        request: RequestId,
    },
    /// Ends a contact.
    Reply {
        /// The contact.
        request: RequestId,
        /// What came.
        reply: Reply<N>,
    },
    /// Ends a contact or a lookup.
    Failure {
        /// The contact or lookup.
        request: RequestId,
        /// Why.
        failure: Failure,
    },
    /// A lookup has found something, and goes on.
    Progress {
        /// The lookup.
        request: RequestId,
        /// Which peer gave it, if the transport's DHT says so.
        from: Option<N::Peer>,
        /// What came.
        reply: Reply<N>,
    },
    /// Ends a lookup.
    Done {
        /// The lookup.
        request: RequestId,
        /// What it took.
        totals: LookupTotals,
    },
}

/// Carries requests to the peers of one network and brings back what they answer.
///
/// A [`Driver`](super::Driver) owns the transport and calls it from its own `poll`, so an
/// implementation needs neither locks nor a runtime of its own: it starts work in [`contact`],
/// [`lookup`] and [`release`], and hands out what has happened in [`poll_event`].
///
/// # The rules
///
/// 1. **None of the methods blocks.** `contact`, `lookup` and `release` only note the work; they may
///    be called many times before the next `poll_event`.
/// 2. **Every contact ends once**: with one [`Event::Reply`] or one [`Event::Failure`], unless
///    `release` ends it. **Every lookup ends once**: after any number of [`Event::Progress`], with one
///    [`Event::Done`] or one [`Event::Failure`], unless `release` ends it.
/// 3. **After `release(request)`** the transport drops all that it holds for the request. An event
///    that was under way may still come, and is ignored by the engine.
/// 4. **`poll_event` registers the waker** of its context before it returns `Pending`, and wakes it
///    when there is an event. The driver polls only when it is woken; after a call of `contact`,
///    `lookup` or `release` it polls once more before it sleeps, so these need not wake.
/// 5. **Request ids are opaque** and are not reused for another request while the transport may still
///    answer the first.
/// 6. **Timeouts are the engine's**: it releases what it no longer wants. A transport that has a
///    timeout of its own reports [`Failure::TimedOut`].
/// 7. **Strangers' bytes stop here**: what cannot be decoded becomes [`Failure::Invalid`], or a count
///    in [`Reply::invalid`] when the rest of the reply is good.
/// 8. **What waits says when it leaves**: a transport in which contacts wait, for a connection or for
///    their turn, says [`Event::Sent`] of each when it goes on its way: at most once, before its end, and
///    of no lookup. Its response time and its timeouts count from there. Where none waits, none need say
///    so.
///
/// The suite in `dragnet_core::conformance` (feature `conformance`) checks these rules on any
/// implementation.
///
/// [`contact`]: Transport::contact
/// [`lookup`]: Transport::lookup
/// [`release`]: Transport::release
/// [`poll_event`]: Transport::poll_event
///
/// # Example
///
/// A transport to peers in the same process, each of them a function:
///
/// ```
/// use std::collections::{BTreeMap, VecDeque};
/// use std::task::{Context, Poll};
/// use dragnet_core::front::{Contact, Event, Lookup, Transport};
/// use dragnet_core::{Failure, Key, Network, Reply, RequestId, doc::{Book, Library}};
///
/// struct Local {
///     peers: BTreeMap<String, fn(&str) -> Vec<Book>>,
///     events: VecDeque<Event<Library>>,
/// }
///
/// impl Transport for Local {
///     type Network = Library;
///
///     fn closest(&mut self, target: &Key, count: usize) -> Vec<String> {
///         let mut peers: Vec<String> = self.peers.keys().cloned().collect();
///         peers.sort_by_cached_key(|peer| Library::key(peer).distance(target));
///         peers.truncate(count);
///         peers
///     }
///
///     fn contact(&mut self, contact: Contact<Library>) {
///         let request = contact.request;
///         self.events.push_back(match self.peers.get(&contact.peer) {
///             Some(answer) => Event::Reply { request, reply: Reply::with_items(answer(&contact.ask)) },
///             None => Event::Failure { request, failure: Failure::Unreachable },
///         });
///     }
///
///     fn lookup(&mut self, lookup: Lookup<Library>) {
///         let request = lookup.request;
///         self.events.push_back(Event::Failure { request, failure: Failure::Unsupported });
///     }
///
///     fn release(&mut self, request: RequestId) {
///         self.events.retain(|event| event.request() != request);
///     }
///
///     fn poll_event(&mut self, _cx: &mut Context<'_>) -> Poll<Event<Library>> {
///         // Nothing ever comes later, so there is no waker to keep.
///         self.events.pop_front().map_or(Poll::Pending, Poll::Ready)
///     }
/// }
/// ```
pub trait Transport {
    /// The network's types.
    type Network: Network;

    /// Up to `count` known peers, each once, closest to `target` first: the first candidates of a walk.
    /// May be empty. The driver asks when a query starts whose walk names none.
    fn closest(&mut self, target: &Key, count: usize) -> Vec<<Self::Network as Network>::Peer>;

    /// The same of one of several networks. A transport of one network need not care.
    fn closest_in(
        &mut self,
        source: Source,
        target: &Key,
        count: usize,
    ) -> Vec<<Self::Network as Network>::Peer> {
        let _ = source;
        self.closest(target, count)
    }

    /// The names of the networks behind this transport, in the order of their [`Source`] numbers, if it
    /// has several. Asked once, by the driver's maker.
    fn sources(&self) -> Vec<String> {
        Vec::new()
    }

    /// Begins a contact.
    fn contact(&mut self, contact: Contact<Self::Network>);

    /// Begins a lookup by the transport's own DHT. A transport without one answers with
    /// [`Failure::Unsupported`].
    fn lookup(&mut self, lookup: Lookup<Self::Network>);

    /// Ends a contact or a lookup whose answer is no longer wanted. One that has ended, or was never
    /// begun, is ignored.
    fn release(&mut self, request: RequestId);

    /// The next event, or `Pending` with the waker registered.
    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Event<Self::Network>>;
}

impl<N: Network> Event<N> {
    /// The contact or lookup that this is about.
    pub const fn request(&self) -> RequestId {
        match self {
            Self::Sent { request }
            | Self::Reply { request, .. }
            | Self::Failure { request, .. }
            | Self::Progress { request, .. }
            | Self::Done { request, .. } => *request,
        }
    }
}

impl<N: Network> Clone for Event<N> {
    fn clone(&self) -> Self {
        match self {
            Self::Sent { request } => Self::Sent { request: *request },
            Self::Reply { request, reply } => Self::Reply { request: *request, reply: reply.clone() },
            Self::Failure { request, failure } => Self::Failure { request: *request, failure: *failure },
            Self::Progress { request, from, reply } => {
                Self::Progress { request: *request, from: from.clone(), reply: reply.clone() }
            }
            Self::Done { request, totals } => Self::Done { request: *request, totals: *totals },
        }
    }
}

impl<N: Network> core::fmt::Debug for Contact<N> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Contact")
            .field("request", &self.request)
            .field("query", &self.query)
            .field("peer", &self.peer)
            .field("step", &self.step)
            .field("ask", &self.ask)
            .finish()
    }
}

impl<N: Network> core::fmt::Debug for Lookup<N> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Lookup")
            .field("request", &self.request)
            .field("query", &self.query)
            .field("route", &self.route)
            .field("source", &self.source)
            .field("ask", &self.ask)
            .finish()
    }
}

impl<N: Network> core::fmt::Debug for Event<N> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Sent { request } => f.debug_struct("Sent").field("request", request).finish(),
            Self::Reply { request, reply } => {
                f.debug_struct("Reply").field("request", request).field("reply", reply).finish()
            }
            Self::Failure { request, failure } => {
                f.debug_struct("Failure").field("request", request).field("failure", failure).finish()
            }
            Self::Progress { request, from, reply } => f
                .debug_struct("Progress")
                .field("request", request)
                .field("from", from)
                .field("reply", reply)
                .finish(),
            Self::Done { request, totals } => {
                f.debug_struct("Done").field("request", request).field("totals", totals).finish()
            }
        }
    }
}
