//! One query as its asker sees it.

use core::fmt;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use std::sync::Arc;

use futures::stream::{FusedStream, Stream, StreamExt};

use super::channel::Receiver;
use super::shared::Shared;
use crate::network::Network;
use crate::output::Found;
use crate::query::{Outcome, QueryId};

/// One query: the stream of what it finds, and then how it ended.
///
/// The stream ends when the query does: with enough results, at its deadline, when nobody is left to
/// ask, or cancelled. None of these is an error, and [`outcome`](Self::outcome) says which it was. The
/// only error is a [`Driver`](super::Driver) that was dropped before the query's end; then
/// [`error`](Self::error) says so. What was found before either has been, or still is, handed out by
/// the stream.
///
/// Dropping the handle cancels the query.
///
/// ```
/// # use dragnet_core::{doc::Library, front::{QueryHandle, DriverGone}, Outcome};
/// use futures::StreamExt;
///
/// async fn print(mut books: QueryHandle<Library>) -> Result<Outcome, DriverGone> {
///     while let Some(found) = books.next().await {
///         println!("{} from {:?}", found.item.title, found.from);
///     }
///     books.outcome().cloned().ok_or(DriverGone)
/// }
/// ```
#[must_use = "dropping the handle cancels the query"]
pub struct QueryHandle<N: Network> {
    results: Receiver<N>,
    shared: Arc<Shared<N>>,
    ended: bool,
}

impl<N: Network> QueryHandle<N> {
    pub(super) const fn new(results: Receiver<N>, shared: Arc<Shared<N>>) -> Self {
        Self { results, shared, ended: false }
    }

    /// The query's name, once the driver has started it: at its next poll, and before the first item.
    /// A query that was cancelled before that never gets one.
    pub fn id(&self) -> Option<QueryId> {
        self.results.query()
    }

    /// Ends the query with [`Reason::Cancelled`](crate::Reason::Cancelled), unless it has ended. What
    /// it has found so far is still in the stream. Returns at once; the stream ends when the driver
    /// has done it.
    pub fn cancel(&self) {
        if let Some(query) = self.results.cancel() {
            self.shared.cancel(query);
        }
    }

    /// How the query ended; `None` while it runs, and if its driver was dropped. Set before the stream
    /// ends: it may be there while items still are to be read.
    pub fn outcome(&self) -> Option<&Outcome> {
        self.results.outcome()
    }

    /// Whether the stream has ended because the driver was dropped. `None` while the stream runs, and
    /// after an ordinary end.
    pub fn error(&self) -> Option<DriverGone> {
        (self.ended && self.outcome().is_none()).then_some(DriverGone)
    }

    /// Waits for the end: all that was found and not yet taken from the stream, and the outcome.
    ///
    /// # Errors
    ///
    /// [`Incomplete`] if the driver was dropped before. It holds what was found until then.
    pub async fn collect(mut self) -> Result<(Vec<Found<N>>, Outcome), Incomplete<N>> {
        let mut found = Vec::new();
        while let Some(item) = self.next().await {
            found.push(item);
        }
        match self.outcome() {
            Some(outcome) => Ok((found, outcome.clone())),
            None => Err(Incomplete { found, error: DriverGone }),
        }
    }
}

impl<N: Network> Stream for QueryHandle<N> {
    type Item = Found<N>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Found<N>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let next = ready!(self.results.poll_next(cx));
        self.ended = next.is_none();
        Poll::Ready(next)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let (there, more) = self.results.left();
        (there, Some(there + more))
    }
}

impl<N: Network> FusedStream for QueryHandle<N> {
    fn is_terminated(&self) -> bool {
        self.ended
    }
}

/// Nothing in a handle is pinned by its own pinning.
impl<N: Network> Unpin for QueryHandle<N> {}

impl<N: Network> Drop for QueryHandle<N> {
    fn drop(&mut self) {
        if !self.ended {
            self.cancel();
        }
    }
}

impl<N: Network> fmt::Debug for QueryHandle<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueryHandle")
            .field("id", &self.id())
            .field("waiting", &self.results.left().0)
            .field("outcome", &self.outcome())
            .finish_non_exhaustive()
    }
}

/// The driver was dropped before it could answer: nobody is left who would.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the driver was dropped: poll a driver until it returns, and end it by `Client::shutdown`")]
pub struct DriverGone;

/// [`QueryHandle::collect`] met a [`DriverGone`]. Nothing that was found before is lost.
#[derive(thiserror::Error)]
#[error("the query has no outcome, {} found before", found.len())]
pub struct Incomplete<N: Network> {
    /// What had been found, in order.
    pub found: Vec<Found<N>>,
    /// Why there is no outcome.
    #[source]
    pub error: DriverGone,
}

impl<N: Network> fmt::Debug for Incomplete<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incomplete").field("found", &self.found).field("error", &self.error).finish()
    }
}
