//! A bare engine in the simulated network: takes in what the transport brings, does what it says.

use std::task::{Context, Poll, Waker};

use dragnet_core::front::{Contact, Event, Lookup, Transport};
use dragnet_core::{EngineConfig, Output, Query, QueryEngine, QueryId, Route, Time};

use crate::log::Log;
use crate::network::SimNet;
use crate::placement::FixedMap;
use crate::probe::{Patient, Probe, Prober};
use crate::transport::SimTransport;

/// An engine, its transport, and whose queries it runs.
pub(crate) struct Agent {
    engine: QueryEngine<SimNet>,
    transport: SimTransport,
    log: Log,
    /// The numbers that the log knows the live queries by.
    queries: FixedMap<QueryId, u32>,
    prober: Option<Box<Prober>>,
}

/// More timers than this at one moment and the engine does not get on.
const TICKS_MAX: u32 = 1_000_000;

impl Agent {
    pub(crate) fn new(config: EngineConfig, transport: SimTransport, log: Log, seed: [u8; 32]) -> Self {
        let engine = QueryEngine::new(config, transport.local(), seed);
        Self { engine, transport, log, queries: FixedMap::default(), prober: None }
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
        self.drain(now);
    }

    /// Takes in all that has come, and the time. Returns when the engine wants to act next.
    pub(crate) fn drive(&mut self, now: Time) -> Option<Time> {
        let mut cx = Context::from_waker(Waker::noop());
        while let Poll::Ready(event) = self.transport.poll_event(&mut cx) {
            self.probing(|prober, _| prober.ended(event.request()));
            match event {
                Event::Sent { request } => self.engine.handle_sent(now, request),
                Event::Reply { request, reply } => self.engine.handle_reply(now, request, reply),
                Event::Failure { request, failure } => self.engine.handle_failure(now, request, failure),
                Event::Progress { request, from, reply } => {
                    self.engine.handle_progress(now, request, from, reply);
                }
                Event::Done { request, totals } => self.engine.handle_done(now, request, totals),
            }
            self.drain(now);
        }
        for _ in 0..TICKS_MAX {
            match self.engine.poll_timeout() {
                Some(at) if at <= now => {
                    self.tick(now);
                    self.drain(now);
                }
                next => {
                    self.probing(|prober, patient| {
                        if prober.probe == Probe::Strays {
                            prober.stray(patient, now);
                        }
                    });
                    return next;
                }
            }
        }
        panic!("the engine's next timeout stays at or before {now:?} however often time is told")
    }

    /// From now on the engine is probed.
    pub(crate) fn probe(&mut self, probe: Probe) {
        self.prober = Some(Box::new(Prober::new(probe)));
    }

    /// Whether the engine is to be ticked before its timeouts.
    pub(crate) fn wants_early_ticks(&self) -> bool {
        self.prober.as_ref().is_some_and(|prober| prober.probe == Probe::Ticks)
    }

    /// Ticks the engine before its next timeout.
    pub(crate) fn tick_early(&mut self, now: Time) {
        self.probing(|prober, patient| prober.tick_early(patient, now));
    }

    /// What was found wrong.
    pub(crate) fn findings(&self) -> &[String] {
        self.prober.as_ref().map_or(&[], |prober| &prober.findings)
    }

    pub(crate) const fn engine(&self) -> &QueryEngine<SimNet> {
        &self.engine
    }

    #[cfg(feature = "sabotage")]
    pub(crate) fn sabotage(&mut self, how: dragnet_core::Sabotage) {
        self.engine.sabotage(how);
    }

    fn tick(&mut self, now: Time) {
        if self.wants_early_ticks() {
            self.probing(|prober, patient| prober.tick_due(patient, now));
        } else {
            self.engine.handle_tick(now);
        }
    }

    fn probing(&mut self, probe: impl FnOnce(&mut Prober, Patient<'_>)) {
        if let Some(prober) = &mut self.prober {
            // In the order of their numbers, and not of the map.
            let mut queries: Vec<_> = self.queries.iter().map(|(query, number)| (*number, *query)).collect();
            queries.sort_unstable();
            let queries = queries.into_iter().map(|(_, query)| query).collect();
            probe(prober, Patient { engine: &mut self.engine, queries });
        }
    }

    fn drain(&mut self, now: Time) {
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Contact { request, query, peer, step, ask } => {
                    if let Some(prober) = &mut self.prober {
                        prober.sent(request);
                        if prober.probe == Probe::Bars {
                            prober.contact(&self.engine, peer, now);
                        }
                    }
                    self.transport.contact(Contact { request, query, peer, step, ask });
                }
                Output::Lookup { request, query, route, source, ask } => {
                    self.transport.lookup(Lookup { request, query, route, source, ask });
                }
                Output::Release { request } => {
                    if let Some(prober) = &mut self.prober {
                        prober.ended(request);
                    }
                    self.transport.release(request);
                }
                Output::Found { query, found } => self.log.found(self.queries[&query], found),
                Output::Finished { query, outcome } => {
                    let number = self.queries.remove(&query).expect("a query finishes once");
                    if let Some(prober) = &mut self.prober {
                        prober.finished(query);
                    }
                    self.log.ended(number, Some(outcome));
                }
                other => unreachable!("an output that the simulator does not know: {other:?}"),
            }
        }
    }
}
