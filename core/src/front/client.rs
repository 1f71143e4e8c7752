//! Where queries come in.

use core::fmt;
use core::future::{Future, poll_fn};
use std::sync::Arc;

use futures::stream::Stream;

use super::channel::channel;
use super::handle::{DriverGone, QueryHandle};
use super::shared::{Command, Shared, Start};
use crate::engine::QueryEngine;
use crate::network::Network;
use crate::output::StartError;
use crate::query::{Query, QueryId, QueryStats};
use crate::state::EngineState;
use crate::stats::{Metrics, PeerRanking, PeerReport, QueryReport};

/// Asks queries of one [`Driver`](super::Driver). Cheap to clone, and may be used from any thread.
///
/// What begins or ends something acts at once and never waits: [`query`](Self::query) and
/// [`shutdown`](Self::shutdown) do their part in the call itself, and wake the driver.
///
/// What reads comes in two kinds. [`metrics`](Self::metrics) never waits: it is for a monitor, which
/// must be answered above all when something else is stuck, and gives the driver's last snapshot.
/// [`status`](Self::status), [`queries`](Self::queries), [`peers`](Self::peers), [`ranking`](Self::ranking)
/// and [`cancel`](Self::cancel) ask the driver, and are exact as of its next poll: a copy of every live query's state, kept in case somebody asks, would
/// cost more than the queries do. They wait for a place in the command queue if it is full, and answer
/// at once when the driver has returned or was dropped.
pub struct Client<N: Network> {
    shared: Arc<Shared<N>>,
}

impl<N: Network> Client<N> {
    pub(super) fn new(shared: Arc<Shared<N>>) -> Self {
        shared.client_added();
        Self { shared }
    }

    /// Begins a query. Neither blocks nor waits; the driver starts it at its next poll, and its
    /// deadline counts from there.
    ///
    /// # Errors
    ///
    /// - [`StartError::Limit`] if a setting is out of its range;
    /// - [`StartError::Busy`] if [`Caps::queries_max`](crate::Caps::queries_max) queries are live or
    ///   waiting, or [`FrontConfig::commands_max`](super::FrontConfig::commands_max) commands wait;
    /// - [`StartError::ShutDown`] after [`shutdown`](Self::shutdown), and when the driver is gone.
    pub fn query(&self, query: Query<N>) -> Result<QueryHandle<N>, StartError> {
        let shared = &self.shared;
        if shared.is_shut_down() || shared.commands.is_closed() {
            return Err(StartError::ShutDown);
        }
        QueryEngine::<N>::check(&shared.config.engine, &query)?;
        let admission = shared.admit()?;
        // The query's limit, which `check` holds to at most `RESULTS_MAX`: the engine sends no more than
        // that, so that this is never full.
        let (results, found) = channel(query.config.max_results);
        shared.start(Box::new(Start { admission, query, results }))?;
        Ok(QueryHandle::new(found, Arc::clone(shared)))
    }

    /// Cancels a query by its name, as [`QueryHandle::cancel`] does. Whether there was one to cancel:
    /// `false` for a query that has ended, and when the driver is gone.
    pub async fn cancel(&self, query: QueryId) -> bool {
        self.shared.ask(|reply| Command::Cancel { query, reply }).await.unwrap_or(false)
    }

    /// What a live query has cost and brought so far; `None` if it has ended (its handle has the
    /// outcome), was never started, or the driver is gone.
    pub async fn status(&self, query: QueryId) -> Option<QueryStats> {
        self.shared.ask(|reply| Command::Status { query, reply }).await.flatten()
    }

    /// What the engine knows of its peers.
    ///
    /// # Errors
    ///
    /// [`DriverGone`] if the driver has returned or was dropped: ask before
    /// [`shutdown`](Self::shutdown), or ask [`Driver::engine`](super::Driver::engine).
    pub async fn peers(&self) -> Result<Vec<PeerReport<N::Peer>>, DriverGone> {
        self.shared.ask(|reply| Command::Peers { reply }).await.ok_or(DriverGone)
    }

    /// The live queries that have lived longest, the oldest first, at most so many. What it costs the
    /// driver grows with the live queries, by a few nanoseconds each.
    ///
    /// # Errors
    ///
    /// [`DriverGone`] if the driver has returned or was dropped.
    pub async fn queries(&self, max: usize) -> Result<Vec<QueryReport<N>>, DriverGone> {
        self.shared.ask(|reply| Command::Queries { max, reply }).await.ok_or(DriverGone)
    }

    /// The peers that behave best and those that behave worst, at most so many of each: for a monitor,
    /// which has no use for [all](Self::peers) of a hundred thousand.
    ///
    /// # Errors
    ///
    /// [`DriverGone`] if the driver has returned or was dropped.
    pub async fn ranking(&self, max: usize) -> Result<PeerRanking<N::Peer>, DriverGone> {
        self.shared.ask(|reply| Command::Ranking { max, reply }).await.ok_or(DriverGone)
    }

    /// What the engine knows that outlives its queries: to be saved, and taken in by
    /// [`Driver::restore`](super::Driver::restore) in another process. Nothing stops for it.
    ///
    /// # Errors
    ///
    /// [`DriverGone`] if the driver has returned or was dropped: ask before
    /// [`shutdown`](Self::shutdown), or ask [`Driver::export`](super::Driver::export).
    pub async fn export(&self) -> Result<EngineState<N>, DriverGone> {
        self.shared.ask(|reply| Command::Export { reply }).await.ok_or(DriverGone)
    }

    /// Bars a peer that the application knows to be bad: no query contacts it for
    /// [`ReputationConfig::bar_for`](crate::ReputationConfig::bar_for). False for the local peer, and if
    /// the engine's table of peers is full of those of live queries.
    ///
    /// # Errors
    ///
    /// [`DriverGone`] if the driver has returned or was dropped.
    pub async fn bar(&self, peer: N::Peer) -> Result<bool, DriverGone> {
        self.shared.ask(|reply| Command::Bar { peer, reply }).await.ok_or(DriverGone)
    }

    /// The counters of the driver's engine, queries refused by this front included. Never waits.
    ///
    /// While queries (refreshes behind included) are live or wait for their start the snapshot is at most
    /// [`FrontConfig::metrics_every`](super::FrontConfig::metrics_every) older than the last thing the
    /// driver did; otherwise it is exact once the driver sleeps, has returned or was dropped. Whoever sees
    /// the last stream end need not wait for that: it is exact at the end of a stream when no other query
    /// is live or waits, unless another thread is just starting one, even one that is then refused.
    pub fn metrics(&self) -> Metrics {
        self.shared.metrics()
    }

    /// Refuses new queries from this call on, and cancels those that are live or waiting. The future,
    /// which need not be awaited, is ready when everything has been released and the driver has
    /// returned (or was dropped). May be called again, from any client.
    pub fn shutdown(&self) -> impl Future<Output = ()> + Unpin + use<N> {
        self.shared.shut_down();
        let mut over = Box::pin(self.shared.over.clone());
        // Nothing is ever sent: the channel is closed, which ends the stream.
        poll_fn(move |cx| over.as_mut().poll_next(cx).map(|_closed| ()))
    }

    /// Whether the driver has been shut down, has returned, or was dropped.
    pub fn is_shut_down(&self) -> bool {
        self.shared.is_shut_down() || self.shared.commands.is_closed()
    }
}

impl<N: Network> Clone for Client<N> {
    fn clone(&self) -> Self {
        Self::new(Arc::clone(&self.shared))
    }
}

impl<N: Network> Drop for Client<N> {
    fn drop(&mut self) {
        self.shared.client_dropped();
    }
}

impl<N: Network> fmt::Debug for Client<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("is_shut_down", &self.is_shut_down()).finish_non_exhaustive()
    }
}
