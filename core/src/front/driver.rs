//! The one future that does the work.

mod queries;
mod spans;

use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use std::sync::Arc;

use futures::future::FusedFuture;
use tracing::debug;

use self::queries::Queries;
use super::clock::{Clock, SystemClock};
use super::shared::{Command, Inbox, Shared};
use super::transport::{Contact, Event, Lookup, Transport};
use crate::engine::QueryEngine;
use crate::output::Output;
use crate::query::QueryId;
use crate::state::{EngineState, RestoreError, Restored};
use crate::time::Time;

/// Rounds of one poll, each of at most one command, one cancellation and one event of the transport. Few, so
/// that handles on the same thread read what they were given while it is still in the cache.
const ROUNDS_PER_POLL: usize = 64;

/// Owns engine, transport and clock, and moves what happens from one to the other. A future: spawn it
/// on any executor, run it with `block_on`, or [`poll`](Self::poll) it from inside another poll
/// function.
///
/// It needs to be polled only when it has been woken, and does a bounded amount of work each time, but
/// for deadlines that fall together: when there is more, it wakes itself. It is [`Send`] when its transport, its clock and its network's
/// types are.
///
/// It returns when every [`Client`](super::Client) is gone and the last query has ended (those whose
/// handle was dropped are cancelled), or after [`Client::shutdown`](super::Client::shutdown); then
/// everything has been released at the transport. Dropping it earlier ends every handle with
/// [`DriverGone`](super::DriverGone).
///
/// # From inside another poll function
///
/// The owner may use the transport between two polls, to hand in what it has received:
///
/// ```
/// # use dragnet_core::{doc::Library, front::{Clock, Driver, Transport}};
/// # use std::task::{Context, Poll};
/// # trait Socket { fn received(&mut self) -> Option<Vec<u8>>; }
/// # trait Decode { fn decode(&mut self, bytes: &[u8]); }
/// fn poll<T, C>(socket: &mut impl Socket, driver: &mut Driver<T, C>, cx: &mut Context<'_>)
/// where
///     T: Transport<Network = Library> + Decode,
///     C: Clock,
/// {
///     while let Some(bytes) = socket.received() {
///         driver.transport_mut().decode(&bytes);
///     }
///     // Takes all events that the transport has now; `cx` is woken for those that come later.
///     let _ = driver.poll(cx);
/// }
/// ```
#[must_use = "a driver does nothing unless it is polled"]
pub struct Driver<T: Transport, C: Clock = SystemClock> {
    engine: QueryEngine<T::Network>,
    transport: T,
    clock: C,
    shared: Arc<Shared<T::Network>>,
    inbox: Inbox<T::Network>,
    live: Queries<T::Network>,
    /// What a shutdown has still to cancel, last first.
    stopping: Option<Vec<QueryId>>,
    /// When the clients were last given a snapshot of the metrics.
    published: Time,
    /// Whether the engine has been told anything since.
    dirty: bool,
    done: bool,
}

/// Nothing in a driver is pinned by its own pinning.
impl<T: Transport, C: Clock> Unpin for Driver<T, C> {}

impl<T: Transport, C: Clock> Driver<T, C> {
    pub(super) fn new(
        engine: QueryEngine<T::Network>,
        transport: T,
        clock: C,
        shared: Arc<Shared<T::Network>>,
        inbox: Inbox<T::Network>,
    ) -> Self {
        Self {
            engine,
            transport,
            clock,
            shared,
            inbox,
            live: Queries::default(),
            stopping: None,
            published: Time::ZERO,
            dirty: false,
            done: false,
        }
    }

    /// Does what there is to do, and registers the waker of `cx` for whatever comes next. Ready when
    /// the driver has nothing left to do for ever; then it may be polled again, and is ready again.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.done {
            return Poll::Ready(());
        }
        // Before anything is looked at: what is sent from now on wakes.
        self.shared.driver.register(cx.waker());
        let mut now = self.clock.now();
        for _ in 0..ROUNDS_PER_POLL {
            // First, or inputs without end would put off what is due.
            let ticked = self.tick(now);
            if !self.round(cx, now) && !ticked {
                if self.is_over() {
                    self.finish(now);
                    return Poll::Ready(());
                }
                if self.sleep(cx, now).is_pending() {
                    return Poll::Pending;
                }
            }
            now = self.clock.now();
        }
        self.publish_by(now);
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// The transport.
    pub const fn transport(&self) -> &T {
        &self.transport
    }

    /// The transport, to hand in what its network has received. Poll the driver afterwards, or let the
    /// transport wake it.
    pub const fn transport_mut(&mut self) -> &mut T {
        &mut self.transport
    }

    /// The engine: its metrics and its peers, exact and without a wait, also after the driver's end.
    pub const fn engine(&self) -> &QueryEngine<T::Network> {
        &self.engine
    }

    /// What is known that outlives the queries, as of now: as
    /// [`Client::export`](super::Client::export) gives it, for whoever owns the driver.
    pub fn export(&self) -> EngineState<T::Network> {
        self.engine.export(self.clock.now())
    }

    /// Takes in what another engine knew `away` before now: see
    /// [`QueryEngine::restore`](crate::QueryEngine::restore). To be done before the driver is polled for
    /// the first time.
    ///
    /// # Errors
    ///
    /// [`RestoreError::NotFresh`] if the engine has started a query, or knows anything.
    pub fn restore(
        &mut self,
        state: EngineState<T::Network>,
        away: Duration,
    ) -> Result<Restored, RestoreError> {
        let restored = self.engine.restore(self.clock.now(), state, away)?;
        self.shared.publish(self.engine.metrics());
        Ok(restored)
    }

    /// Records what the engine is told from now on: see [`record`](crate::record). The recording ends when the
    /// driver has returned or is dropped.
    #[cfg(feature = "record")]
    pub fn record(&mut self, recorder: crate::record::Recorder<T::Network>)
    where
        T::Network: crate::record::Recordable,
    {
        self.engine.record(recorder);
    }

    /// Ends the recording, if there is one. What was recorded is on its way to the writer.
    #[cfg(feature = "record")]
    pub fn stop_recording(&mut self) {
        self.engine.stop_recording();
    }

    /// The clock.
    pub const fn clock(&self) -> &C {
        &self.clock
    }

    /// How many queries have a handle to be served. As many as live in the engine, and none when all
    /// is done.
    pub fn live(&self) -> usize {
        self.live.len()
    }

    /// How many commands wait to be taken.
    pub fn waiting(&self) -> usize {
        self.inbox.commands.len() + self.inbox.cancelled.len()
    }

    /// Takes at most one input from each side, so that none starves another. Whether there was any.
    fn round(&mut self, cx: &mut Context<'_>, mut now: Time) -> bool {
        let mut busy = self.stop_one(now);
        // Looking is two loads; taking from an empty queue is a fence.
        if !self.inbox.cancelled.is_empty()
            && let Ok(query) = self.inbox.cancelled.try_recv()
        {
            self.cancel(now, query);
            busy = true;
        }
        if !self.inbox.commands.is_empty()
            && let Ok(command) = self.inbox.commands.try_recv()
        {
            // It may have been sent since the clock was read: no deadline begins before its query was asked.
            now = self.clock.now();
            self.obey(now, command);
            busy = true;
        }
        if let Poll::Ready(event) = self.transport.poll_event(cx) {
            self.take(now, event);
            busy = true;
        }
        busy
    }

    /// After a shutdown, cancels one of the queries that live.
    fn stop_one(&mut self, now: Time) -> bool {
        if !self.shared.is_shut_down() {
            return false;
        }
        let live = &self.live;
        let stopping = self.stopping.get_or_insert_with(|| {
            let mut queries: Vec<QueryId> = live.keys().copied().collect();
            // The table's order is nobody's business.
            queries.sort_unstable_by(|a, b| b.cmp(a));
            queries
        });
        let Some(query) = stopping.pop() else { return false };
        self.cancel(now, query);
        true
    }

    fn cancel(&mut self, now: Time, query: QueryId) -> bool {
        let was_live = self.engine.cancel(now, query);
        self.drain();
        was_live
    }

    fn obey(&mut self, now: Time, command: Command<T::Network>) {
        // A reply fails when its asker has lost interest.
        match command {
            Command::Start(start) => self.start(now, *start),
            Command::Cancel { query, reply } => {
                let was_live = self.cancel(now, query);
                let _ = reply.send(was_live);
            }
            Command::Status { query, reply } => {
                let _ = reply.send(self.engine.status(query));
            }
            Command::Peers { reply } => {
                let _ = reply.send(self.engine.peers(now).collect());
            }
            Command::Queries { max, reply } => {
                let _ = reply.send(self.engine.queries(now, max).collect());
            }
            Command::Ranking { max, reply } => {
                let _ = reply.send(self.engine.ranking(now, max));
            }
            Command::Export { reply } => {
                let _ = reply.send(self.engine.export(now));
            }
            Command::Bar { peer, reply } => {
                let is_barred = self.engine.bar(now, peer);
                self.drain();
                let _ = reply.send(is_barred);
            }
        }
    }

    fn take(&mut self, now: Time, event: Event<T::Network>) {
        self.say_event(&event);
        match event {
            Event::Sent { request } => self.engine.handle_sent(now, request),
            Event::Reply { request, reply } => self.engine.handle_reply(now, request, reply),
            Event::Failure { request, failure } => self.engine.handle_failure(now, request, failure),
            Event::Progress { request, from, reply } => {
                self.engine.handle_progress(now, request, from, reply);
            }
            Event::Done { request, totals } => self.engine.handle_done(now, request, totals),
        }
        self.drain();
    }

    /// Does what is due; whether anything was.
    fn tick(&mut self, now: Time) -> bool {
        let is_due = self.engine.poll_timeout().is_some_and(|due| due <= now);
        if is_due {
            self.engine.handle_tick(now);
            self.drain();
        }
        is_due
    }

    /// Ready when it is time for the next tick already; pending when there is nothing but to wait.
    fn sleep(&mut self, cx: &mut Context<'_>, now: Time) -> Poll<()> {
        let snapshot = self.publish_by(now);
        match self.engine.poll_timeout().into_iter().chain(snapshot).min() {
            Some(until) => self.clock.poll_until(cx, until),
            None => Poll::Pending,
        }
    }

    /// Does all that the engine wants done.
    fn drain(&mut self) {
        self.dirty = true;
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Contact { request, query, peer, step, ask } => {
                    self.say(Some(query), || debug!(%request, ?peer, ?step, "contact"));
                    self.transport.contact(Contact { request, query, peer, step, ask });
                }
                Output::Lookup { request, query, route, source, ask } => {
                    self.say(Some(query), || debug!(%request, route, source = source.0, "lookup"));
                    self.transport.lookup(Lookup { request, query, route, source, ask });
                }
                Output::Release { request } => {
                    debug!(%request, "release");
                    self.transport.release(request);
                }
                Output::Found { query, found } => self.deliver(query, found),
                Output::Finished { query, outcome } => self.end(query, outcome),
            }
        }
    }

    /// Publishes the metrics if it is time to; otherwise when it will be.
    fn publish_by(&mut self, now: Time) -> Option<Time> {
        let due = self.published + self.shared.config.metrics_every;
        if !self.dirty {
            return None;
        }
        // Refreshes behind count: each of their events would be a snapshot.
        if now < due && self.engine.has_work() {
            return Some(due);
        }
        self.published = now;
        self.publish();
        None
    }

    fn publish(&mut self) {
        if core::mem::take(&mut self.dirty) {
            self.shared.publish(self.engine.metrics());
        }
    }

    /// Whether nothing can come any more. Said after a round without input.
    fn is_over(&self) -> bool {
        self.live.is_empty() && (self.shared.is_shut_down() || !self.shared.has_clients())
    }

    /// Closes the doors: what came in at the last moment is answered, what comes later refused.
    fn finish(&mut self, now: Time) {
        debug_assert_eq!(self.engine.live(), 0, "every live query has a handle");
        // Nobody is left whom they could serve.
        self.engine.cancel_refreshes(now);
        self.drain();
        self.done = true;
        self.inbox.commands.close();
        while let Ok(command) = self.inbox.commands.try_recv() {
            if let Command::Start(start) = command {
                self.end_unstarted(start.admission, start.results);
            }
        }
        self.close();
    }

    fn close(&mut self) {
        // A panic on its way out may have left the engine in the middle of something.
        if !std::thread::panicking() {
            self.publish();
        }
        #[cfg(feature = "record")]
        self.engine.stop_recording();
        self.inbox.commands.close();
        // The clients keep the channel: what is left in it would never be dropped.
        while self.inbox.commands.try_recv().is_ok() {}
        self.inbox.cancelled.close();
        while self.inbox.cancelled.try_recv().is_ok() {}
        self.live.clear();
        self.inbox.over.close();
    }
}

impl<T: Transport, C: Clock> Future for Driver<T, C> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Driver::poll(self.get_mut(), cx)
    }
}

impl<T: Transport, C: Clock> FusedFuture for Driver<T, C> {
    fn is_terminated(&self) -> bool {
        self.done
    }
}

impl<T: Transport, C: Clock> Drop for Driver<T, C> {
    fn drop(&mut self) {
        self.close();
    }
}

impl<T: Transport, C: Clock> fmt::Debug for Driver<T, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver")
            .field("live", &self.live())
            .field("waiting", &self.waiting())
            .field("done", &self.done)
            .finish_non_exhaustive()
    }
}
