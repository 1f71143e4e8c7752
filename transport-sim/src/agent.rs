//! A bare engine in the simulated network: takes in what the transport brings, does what it says.

use std::task::{Context, Poll, Waker};

use dragnet_core::front::{Contact, Event, Lookup, Transport};
use dragnet_core::{EngineConfig, Output, Query, QueryEngine, QueryId, Route, Time};

use crate::log::Log;
use crate::network::SimNet;
use crate::placement::FixedMap;
use crate::transport::SimTransport;

/// An engine, its transport, and whose queries it runs.
pub(crate) struct Agent {
    engine: QueryEngine<SimNet>,
    transport: SimTransport,
    log: Log,
    /// The numbers that the log knows the live queries by.
    queries: FixedMap<QueryId, u32>,
}

/// More timers than this at one moment and the engine does not get on.
const TICKS_MAX: u32 = 1_000_000;

impl Agent {
    pub(crate) fn new(config: EngineConfig, transport: SimTransport, log: Log, seed: [u8; 32]) -> Self {
        let engine = QueryEngine::new(config, transport.local(), seed);
        Self { engine, transport, log, queries: FixedMap::default() }
    }

    /// Starts a query; the transport names the first candidates of walks that have none.
    pub(crate) fn start(&mut self, now: Time, number: u32, mut query: Query<SimNet>) {
        let count = query.config.closest;
        for route in &mut query.routes {
            if let Route::Walk { target, candidates, .. } = route
                && candidates.is_empty()
            {
                *candidates = self.transport.closest(target, count);
            }
        }
        match self.engine.start(now, query) {
            Ok(id) => {
                self.queries.insert(id, number);
                self.log.started(number, Some(id));
            }
            Err(why) => self.log.refused(number, why),
        }
        self.drain();
    }

    /// Takes in all that has come, and the time. Returns when the engine wants to act next.
    pub(crate) fn drive(&mut self, now: Time) -> Option<Time> {
        let mut cx = Context::from_waker(Waker::noop());
        while let Poll::Ready(event) = self.transport.poll_event(&mut cx) {
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
        for _ in 0..TICKS_MAX {
            match self.engine.poll_timeout() {
                Some(at) if at <= now => {
                    self.engine.handle_tick(now);
                    self.drain();
                }
                next => return next,
            }
        }
        panic!("the engine's next timeout stays at or before {now:?} however often time is told")
    }

    pub(crate) const fn engine(&self) -> &QueryEngine<SimNet> {
        &self.engine
    }

    #[cfg(feature = "sabotage")]
    pub(crate) fn sabotage(&mut self, how: dragnet_core::Sabotage) {
        self.engine.sabotage(how);
    }

    fn drain(&mut self) {
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Contact { request, query, peer, step, ask } => {
                    self.transport.contact(Contact { request, query, peer, step, ask });
                }
                Output::Lookup { request, query, route, source, ask } => {
                    self.transport.lookup(Lookup { request, query, route, source, ask });
                }
                Output::Release { request } => self.transport.release(request),
                Output::Found { query, found } => self.log.found(self.queries[&query], found),
                Output::Finished { query, outcome } => {
                    let number = self.queries.remove(&query).expect("a query finishes once");
                    self.log.ended(number, Some(outcome));
                }
                other => unreachable!("an output that the simulator does not know: {other:?}"),
            }
        }
    }
}
