//! Another client's network as a transport: each lookup is a query there.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};

use alloc::collections::BTreeMap;
use futures::future::BoxFuture;
use futures::stream::{AbortHandle, Abortable, FusedStream, SelectAll, Stream, StreamExt};

use crate::front::client::Client;
use crate::front::handle::QueryHandle;
use crate::front::transport::{Contact, Event, Lookup, Transport};
use crate::key::Key;
use crate::network::{Failure, LookupTotals, Network, Reply};
use crate::output::RequestId;
use crate::query::{Outcome, Query, QueryStats, Reason};

/// Another [`Client`]'s network as a transport: what is asked of it by a
/// [delegated route](crate::Route::Delegated) becomes a query of that client, whose items are passed on
/// as they are found. Its own driver runs it, wherever that is polled; its engine keeps its own
/// deadline, and a release here cancels it there.
///
/// It serves lookups alone: single peers cannot be asked through it, and it names none.
pub struct Subqueries<N: Network> {
    client: Client<N>,
    make: Make<N>,
    live: SelectAll<Abortable<Subquery<N>>>,
    handles: BTreeMap<RequestId, AbortHandle>,
    failed: VecDeque<(RequestId, Failure)>,
    entry: Entry,
    /// Lookups that wait for the entry.
    waiting: VecDeque<Lookup<N>>,
}

/// Whether the client can be asked.
enum Entry {
    Open,
    Joining(BoxFuture<'static, Result<(), Failure>>),
    Closed(Failure),
}

/// Which query a request is there.
type Make<N> = Box<dyn FnMut(&<N as Network>::Request) -> Query<N> + Send>;

/// One query there, as the events of the lookup here.
struct Subquery<N: Network> {
    request: RequestId,
    handle: QueryHandle<N>,
    has_ended: bool,
}

impl<N: Network> Subqueries<N> {
    /// Asks by `client`; `make` says which query a request is there.
    pub fn new(client: Client<N>, make: impl FnMut(&N::Request) -> Query<N> + Send + 'static) -> Self {
        Self {
            client,
            make: Box::new(make),
            live: SelectAll::new(),
            handles: BTreeMap::new(),
            failed: VecDeque::new(),
            entry: Entry::Open,
            waiting: VecDeque::new(),
        }
    }

    /// Begins no query before `joined` is ready: a network that is still to be joined then holds up
    /// nobody but itself. If it fails, so does every lookup.
    #[must_use]
    pub fn after(mut self, joined: impl Future<Output = Result<(), Failure>> + Send + 'static) -> Self {
        self.entry = Entry::Joining(Box::pin(joined));
        self
    }

    /// Queries under way there.
    pub fn live(&self) -> usize {
        self.handles.len()
    }

    fn begin(&mut self, lookup: &Lookup<N>) {
        let request = lookup.request;
        match self.client.query((self.make)(&lookup.ask)) {
            Ok(handle) => {
                let (abort, registration) = AbortHandle::new_pair();
                let subquery = Subquery { request, handle, has_ended: false };
                self.live.push(Abortable::new(subquery, registration));
                self.handles.insert(request, abort);
            }
            Err(error) => {
                tracing::debug!(%request, %error, "a source takes no query");
                self.failed.push_back((request, Failure::Local));
            }
        }
    }

    /// Begins or fails what has waited for the entry, if that is decided now.
    fn enter(&mut self, cx: &mut Context<'_>) {
        if let Entry::Joining(joined) = &mut self.entry {
            match joined.as_mut().poll(cx) {
                Poll::Ready(Ok(())) => self.entry = Entry::Open,
                Poll::Ready(Err(failure)) => self.entry = Entry::Closed(failure),
                Poll::Pending => return,
            }
        }
        while let Some(lookup) = self.waiting.pop_front() {
            match self.entry {
                Entry::Closed(failure) => self.failed.push_back((lookup.request, failure)),
                Entry::Open | Entry::Joining(_) => self.begin(&lookup),
            }
        }
    }
}

impl<N: Network> Transport for Subqueries<N> {
    type Network = N;

    fn closest(&mut self, _: &Key, _: usize) -> Vec<N::Peer> {
        Vec::new()
    }

    fn contact(&mut self, contact: Contact<N>) {
        self.failed.push_back((contact.request, Failure::Unsupported));
    }

    fn lookup(&mut self, lookup: Lookup<N>) {
        self.waiting.push_back(lookup);
    }

    fn release(&mut self, request: RequestId) {
        self.waiting.retain(|waiting| waiting.request != request);
        self.failed.retain(|(failed, _)| *failed != request);
        if let Some(abort) = self.handles.remove(&request) {
            // The next poll drops it, which cancels the query there.
            abort.abort();
        }
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Event<N>> {
        self.enter(cx);
        if let Some((request, failure)) = self.failed.pop_front() {
            return Poll::Ready(Event::Failure { request, failure });
        }
        match self.live.poll_next_unpin(cx) {
            Poll::Ready(Some(event)) => {
                if !matches!(event, Event::Progress { .. }) {
                    self.handles.remove(&event.request());
                }
                Poll::Ready(event)
            }
            // None is under way, and the next is polled after `lookup` has begun it.
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }
}

impl<N: Network> Stream for Subquery<N> {
    type Item = Event<N>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event<N>>> {
        if self.has_ended {
            return Poll::Ready(None);
        }
        let request = self.request;
        self.handle.poll_next_unpin(cx).map(|found| {
            Some(match found {
                Some(found) => {
                    let reply = Reply::with_items(alloc::vec![found.item]);
                    Event::Progress { request, from: found.from, reply }
                }
                None => {
                    self.has_ended = true;
                    end(request, self.handle.outcome())
                }
            })
        })
    }
}

impl<N: Network> FusedStream for Subquery<N> {
    fn is_terminated(&self) -> bool {
        self.has_ended
    }
}

/// A query that nobody has answered is a failure of the source. One that brought something was answered,
/// though nobody replied in its time: by a kept answer, by what lay here, or by a lookup that had brought
/// enough before it ended.
fn end<N: Network>(request: RequestId, outcome: Option<&Outcome>) -> Event<N> {
    let Some(Outcome { reason, results, stats, cached, .. }) = outcome else {
        return Event::Failure { request, failure: Failure::Closed };
    };
    let QueryStats { contacted, replied, failed, .. } = *stats;
    if replied > 0 || *results > 0 || cached.is_some() {
        Event::Done { request, totals: LookupTotals { contacted, replied, failed } }
    } else if *reason == Reason::DeadlineReached {
        Event::Failure { request, failure: Failure::TimedOut }
    } else {
        Event::Failure { request, failure: Failure::Unreachable }
    }
}

impl<N: Network> fmt::Debug for Subqueries<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subqueries").field("live", &self.live()).finish_non_exhaustive()
    }
}
