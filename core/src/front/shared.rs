//! What a client, its handles and the driver have in common.

use core::convert::Infallible;
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_channel::{Receiver, Sender, TrySendError};
use futures::channel::oneshot;
use futures::task::AtomicWaker;

use super::{FrontConfig, channel};
use crate::network::Network;
use crate::output::StartError;
use crate::query::{Query, QueryId, QueryStats};
use crate::state::EngineState;
use crate::stats::{Metrics, PeerRanking, PeerReport, QueryReport};

/// What a client tells the driver.
pub(super) enum Command<N: Network> {
    Start(Box<Start<N>>),
    Cancel { query: QueryId, reply: oneshot::Sender<bool> },
    Status { query: QueryId, reply: oneshot::Sender<Option<QueryStats>> },
    Peers { reply: oneshot::Sender<Vec<PeerReport<N::Peer>>> },
    Queries { max: usize, reply: oneshot::Sender<Vec<QueryReport<N>>> },
    Ranking { max: usize, reply: oneshot::Sender<PeerRanking<N::Peer>> },
    Export { reply: oneshot::Sender<EngineState<N>> },
    Bar { peer: N::Peer, reply: oneshot::Sender<bool> },
}

/// A query that waits for its start. Dropping it ends the handle with an error.
pub(super) struct Start<N: Network> {
    pub(super) admission: Admission,
    pub(super) query: Query<N>,
    pub(super) results: channel::Sender<N>,
}

/// One place among the queries that may live; given back on drop.
pub(super) struct Admission(Arc<AtomicUsize>);

impl Drop for Admission {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The ends of the channels that the driver keeps.
pub(super) struct Inbox<N: Network> {
    pub(super) commands: Receiver<Command<N>>,
    pub(super) cancelled: Receiver<QueryId>,
    /// Closed when the driver has returned or is dropped.
    pub(super) over: Sender<Infallible>,
}

/// What client, handles and driver share. The only lock is held for as long as a pointer is swapped.
pub(super) struct Shared<N: Network> {
    pub(super) config: FrontConfig,
    pub(super) commands: Sender<Command<N>>,
    /// Unbounded to the channel, but each admitted query is named here at most once, by its handle.
    cancelled: Sender<QueryId>,
    pub(super) over: Receiver<Infallible>,
    pub(super) driver: AtomicWaker,
    clients: AtomicUsize,
    shut_down: AtomicBool,
    admitted: Arc<AtomicUsize>,
    /// Queries refused before they came to the engine.
    refused: AtomicU64,
    metrics: Mutex<Arc<Metrics>>,
}

impl<N: Network> Shared<N> {
    pub(super) fn new(config: FrontConfig) -> (Arc<Self>, Inbox<N>) {
        let (commands, commands_inbox) = async_channel::bounded(config.commands_max);
        let (cancelled, cancelled_inbox) = async_channel::unbounded();
        let (over_sender, over) = async_channel::bounded(1);
        let shared = Self {
            config,
            commands,
            cancelled,
            over,
            driver: AtomicWaker::new(),
            clients: AtomicUsize::new(0),
            shut_down: AtomicBool::new(false),
            admitted: Arc::default(),
            refused: AtomicU64::new(0),
            metrics: Mutex::default(),
        };
        let inbox = Inbox { commands: commands_inbox, cancelled: cancelled_inbox, over: over_sender };
        (Arc::new(shared), inbox)
    }

    /// Takes one of the places for live queries.
    pub(super) fn admit(&self) -> Result<Admission, StartError> {
        let max = self.config.engine.caps.queries_max;
        self.admitted
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |live| (live < max).then_some(live + 1))
            .map(|_| Admission(Arc::clone(&self.admitted)))
            .map_err(|live| self.refuse(StartError::Busy { what: "queries live or wait to", live, max }))
    }

    /// Whether any query lives or waits for its start.
    pub(super) fn has_admitted(&self) -> bool {
        self.admitted.load(Ordering::Acquire) > 0
    }

    /// Hands a query to the driver.
    pub(super) fn start(&self, start: Box<Start<N>>) -> Result<(), StartError> {
        match self.commands.try_send(Command::Start(start)) {
            Ok(()) => {
                self.driver.wake();
                Ok(())
            }
            Err(TrySendError::Closed(_)) => Err(StartError::ShutDown),
            Err(TrySendError::Full(_)) => {
                let max = self.config.commands_max;
                Err(self.refuse(StartError::Busy { what: "commands wait for the driver", live: max, max }))
            }
        }
    }

    fn refuse(&self, error: StartError) -> StartError {
        self.refused.fetch_add(1, Ordering::Relaxed);
        error
    }

    /// Asks the driver something, waiting for room in the queue; `None` if it is gone.
    pub(super) async fn ask<A>(&self, command: impl FnOnce(oneshot::Sender<A>) -> Command<N>) -> Option<A> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(command(reply)).await.ok()?;
        self.driver.wake();
        answer.await.ok()
    }

    /// Tells the driver that the handle of a live query wants no more.
    pub(super) fn cancel(&self, query: QueryId) {
        // Closed if the driver is gone: then there is nothing to cancel.
        let _ = self.cancelled.try_send(query);
        self.driver.wake();
    }

    pub(super) fn shut_down(&self) {
        self.shut_down.store(true, Ordering::Release);
        self.driver.wake();
    }

    pub(super) fn is_shut_down(&self) -> bool {
        self.shut_down.load(Ordering::Acquire)
    }

    pub(super) fn client_added(&self) {
        self.clients.fetch_add(1, Ordering::AcqRel);
    }

    pub(super) fn client_dropped(&self) {
        if self.clients.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.driver.wake();
        }
    }

    pub(super) fn has_clients(&self) -> bool {
        self.clients.load(Ordering::Acquire) > 0
    }

    pub(super) fn publish(&self, metrics: Metrics) {
        let metrics = Arc::new(metrics);
        *self.metrics.lock().unwrap_or_else(PoisonError::into_inner) = metrics;
    }

    pub(super) fn metrics(&self) -> Metrics {
        let last = Arc::clone(&self.metrics.lock().unwrap_or_else(PoisonError::into_inner));
        let mut metrics = Arc::unwrap_or_clone(last);
        metrics.queries_refused += self.refused.load(Ordering::Relaxed);
        metrics
    }
}
