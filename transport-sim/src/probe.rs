//! What no driver does to an engine, done while it runs, to see that it changes nothing.

use std::collections::VecDeque;
use std::time::Duration;

use dragnet_core::{
    Failure, Key, LiveState, LookupTotals, Metrics, QueryEngine, QueryId, QueryStats, Reply, RequestId, Time,
};

use crate::draw::{below, mix};
use crate::network::{SimItem, SimNet};
use crate::peers::PeerId;

/// How a bare engine is tried while it runs. Nothing of it may change what happens: the digest stays the
/// same, and what is wrong is found in [`Sim::findings`](crate::Sim::findings).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Probe {
    /// A nanosecond before each timeout that the engine names it is told the time, which must change
    /// nothing that can be seen; and the tick at that timeout must change something.
    Ticks,
    /// It gets answers to requests that have ended or are none of its own, reports of lookups under the
    /// ids of contacts, cancellations of nothing, and times that have passed. Each is counted, and that
    /// is all.
    Strays,
    /// None of its contacts goes to a peer that it says is barred.
    Bars,
}

/// One engine's probe.
#[derive(Debug)]
pub(crate) struct Prober {
    pub(crate) probe: Probe,
    pub(crate) findings: Vec<String>,
    /// The latest requests that were sent, ended or not.
    sent: Recent<RequestId>,
    ended: Recent<RequestId>,
    finished: Recent<QueryId>,
    strays: u64,
}

/// What can be seen of an engine.
#[derive(Clone, PartialEq, Debug)]
struct View {
    timeout: Option<Time>,
    state: LiveState,
    metrics: Metrics,
    /// Without their ages, which a tick changes.
    queries: Vec<QueryStats>,
    /// Their ages, which only the passing of time changes.
    ages: Vec<Duration>,
}

/// An engine and its live queries.
pub(crate) struct Patient<'a> {
    pub(crate) engine: &'a mut QueryEngine<SimNet>,
    pub(crate) queries: Vec<QueryId>,
}

impl Prober {
    pub(crate) fn new(probe: Probe) -> Self {
        let (sent, ended, finished) = (Recent::new(), Recent::new(), Recent::new());
        Self { probe, findings: Vec::new(), sent, ended, finished, strays: 0 }
    }

    pub(crate) fn sent(&mut self, request: RequestId) {
        self.sent.push(request);
    }

    pub(crate) fn ended(&mut self, request: RequestId) {
        self.ended.push(request);
    }

    pub(crate) fn finished(&mut self, query: QueryId) {
        self.finished.push(query);
    }

    /// Tells an engine the time before its next timeout.
    pub(crate) fn tick_early(&mut self, mut patient: Patient<'_>, now: Time) {
        if patient.engine.poll_timeout().is_none_or(|at| now < at) {
            let mut expected = patient.view();
            patient.engine.handle_tick(now);
            expected.ages = patient.view().ages;
            self.compare(patient, &expected, "a tick before the next timeout");
        }
    }

    /// Tells an engine the time at its timeout. Returns whether that changed something; its outputs are
    /// still to be taken.
    pub(crate) fn tick_due(&mut self, mut patient: Patient<'_>, now: Time) {
        let before = patient.view();
        patient.engine.handle_tick(now);
        if patient.view() == before {
            self.findings.push(format!("the tick at the timeout {:?} changed nothing", before.timeout));
        }
    }

    /// Gives an engine an input that it has no use for, when all that is due by now has been done.
    pub(crate) fn stray(&mut self, mut patient: Patient<'_>, now: Time) {
        self.strays += 1;
        let word = mix(self.strays);
        let reply = Reply {
            items: vec![SimItem::new(Key::of(b"stray"), word)],
            closer: vec![PeerId::new(word)],
            providers: vec![PeerId::new(!word)],
            ..Reply::default()
        };
        let past = Time::from_nanos(now.as_nanos().saturating_sub(1 + word % 1_000_000_000));
        let nothing = RequestId::from_u64(word);
        let [sent, ended] = [&self.sent, &self.ended].map(|recent| recent.pick(word).unwrap_or(nothing));
        let (mut unknown, mut reversals) = (1, 0);
        let mut expected = patient.view();
        let Patient { engine, .. } = &mut patient;
        let what = match self.strays % 8 {
            0 => {
                engine.handle_reply(now, ended, reply);
                "a reply again, or after a release"
            }
            1 => {
                engine.handle_failure(now, ended, Failure::Refused);
                "a failure of what has ended"
            }
            2 => {
                engine.handle_reply(now, nothing, reply);
                "a reply to nothing"
            }
            3 => {
                engine.handle_progress(now, sent, None, reply);
                "progress of a contact, as if it were a lookup"
            }
            4 => {
                engine.handle_done(now, sent, LookupTotals::default());
                "the end of a contact, as if it were a lookup"
            }
            5 => {
                (unknown, reversals) = (0, u64::from(past < now));
                engine.handle_tick(past);
                "a tick from the past"
            }
            6 => {
                reversals = u64::from(past < now);
                engine.handle_reply(past, ended, reply);
                "a late reply from the past"
            }
            _ => {
                unknown = 0;
                if let Some(query) = self.finished.pick(word) {
                    engine.cancel(now, query);
                }
                "the cancellation of what has ended"
            }
        };
        expected.metrics.inputs_unknown += unknown;
        expected.metrics.time_reversals += reversals;
        self.compare(patient, &expected, what);
    }

    /// Looks whether a peer that is contacted is barred.
    pub(crate) fn contact(&mut self, engine: &QueryEngine<SimNet>, peer: PeerId, now: Time) {
        let barred_for =
            engine.peers(now).find(|report| report.peer == peer).and_then(|report| report.barred_for);
        if let Some(left) = barred_for {
            self.findings.push(format!("{peer} is contacted, and barred for another {left:?}"));
        }
    }

    fn compare(&mut self, mut patient: Patient<'_>, expected: &View, what: &str) {
        if let Some(output) = patient.engine.poll_output() {
            self.findings.push(format!("{what} makes the engine say {output:?}"));
        }
        let seen = patient.view();
        if seen != *expected {
            self.findings.push(format!("{what} leaves {seen:?}, and before it was {expected:?}"));
        }
    }
}

impl Patient<'_> {
    fn view(&mut self) -> View {
        let mut queries: Vec<QueryStats> =
            self.queries.iter().filter_map(|query| self.engine.status(*query)).collect();
        let ages = queries.iter_mut().map(|stats| std::mem::take(&mut stats.total)).collect();
        View {
            timeout: self.engine.poll_timeout(),
            state: self.engine.live_state(),
            metrics: self.engine.metrics(),
            queries,
            ages,
        }
    }
}

/// The last few of something.
#[derive(Debug)]
struct Recent<T> {
    all: VecDeque<T>,
}

impl<T: Copy> Recent<T> {
    const MAX: usize = 32;

    fn new() -> Self {
        Self { all: VecDeque::new() }
    }

    fn push(&mut self, one: T) {
        if self.all.len() == Self::MAX {
            self.all.pop_front();
        }
        self.all.push_back(one);
    }

    fn pick(&self, word: u64) -> Option<T> {
        self.all.get(below(word, self.all.len() as u64) as usize).copied()
    }
}
