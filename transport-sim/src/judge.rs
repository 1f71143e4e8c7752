//! Holds a run against what is promised: of each query by the engine, and of the whole by the scenario.

use std::fmt;
use std::str::FromStr;

use dragnet_core::{Item, Reason, Step};

use crate::experiment::Experiment;
use crate::log::QueryRun;
use crate::summary::Summary;

/// Something that is promised.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Promise {
    /// No item id is delivered twice in a query.
    DistinctItems,
    /// At most `max_results` items are delivered.
    MaxResults,
    /// Every query that started finishes.
    Finishes,
    /// No query outlives its deadline, and none is called timed out before.
    Deadline,
    /// A peer is contacted at most once in a query and lane. Judged only if there is a trace.
    ContactsOnce,
    /// The share of the queries that find something is as expected.
    FoundShare,
    /// Half of the queries are as fast as expected.
    P50,
    /// All but a twentieth are as fast as expected.
    P95,
}

/// A promise that was not kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Broken {
    /// Which.
    pub promise: Promise,
    /// By which query, if it was one; they count from 0.
    pub query: Option<usize>,
    /// What happened instead.
    pub what: String,
}

impl Promise {
    /// All promises, by name.
    pub const ALL: [(&'static str, Promise); 8] = [
        ("distinct-items", Self::DistinctItems),
        ("max-results", Self::MaxResults),
        ("finishes", Self::Finishes),
        ("deadline", Self::Deadline),
        ("contacts-once", Self::ContactsOnce),
        ("found-share", Self::FoundShare),
        ("p50", Self::P50),
        ("p95", Self::P95),
    ];
}

impl fmt::Display for Promise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, _) = Self::ALL.iter().find(|(_, promise)| promise == self).expect("all are listed");
        f.write_str(name)
    }
}

impl FromStr for Promise {
    type Err = NoSuchPromise;

    fn from_str(name: &str) -> Result<Self, NoSuchPromise> {
        let found = Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, promise)| *promise);
        found.ok_or_else(|| NoSuchPromise { name: name.to_owned() })
    }
}

/// A name that no promise has.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("no promise is called {name:?}: expected {}", Promise::ALL.map(|(name, _)| name).join(", "))]
pub struct NoSuchPromise {
    name: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.query {
            Some(query) => write!(f, "{}: query {query}: {}", self.promise, self.what),
            None => write!(f, "{}: {}", self.promise, self.what),
        }
    }
}

/// Every promise that a run broke, queries first.
pub fn judge(experiment: &Experiment, summary: &Summary) -> Vec<Broken> {
    let config = experiment.scenario().query.config();
    let mut broken = Vec::new();
    for (number, run) in experiment.sim.queries().iter().enumerate() {
        let mut add = |promise, what| broken.push(Broken { promise, query: Some(number), what });
        if let Some(id) = twin(run) {
            add(Promise::DistinctItems, format!("item {id} came twice"));
        }
        if run.found.len() > config.max_results {
            let what = format!("{} items, {} at most", run.found.len(), config.max_results);
            add(Promise::MaxResults, what);
        }
        match &run.outcome {
            None if run.refused.is_none() => add(Promise::Finishes, "it never ended".to_owned()),
            None => {}
            Some(outcome) => {
                let total = outcome.stats.total;
                let timed_out = outcome.reason == Reason::DeadlineReached;
                if total > config.timeout || (timed_out && total != config.timeout) {
                    let what = format!("{} after {total:?}, timeout {:?}", outcome.reason, config.timeout);
                    add(Promise::Deadline, what);
                }
            }
        }
    }
    broken.extend(repeated_contacts(experiment));
    broken.extend(unmet(experiment, summary));
    broken
}

/// An id that came twice.
fn twin(run: &QueryRun) -> Option<u64> {
    let mut ids: Vec<u64> = run.found.iter().map(|found| found.item.id()).collect();
    ids.sort_unstable();
    ids.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0])
}

/// Peers that were contacted twice in a query and lane.
fn repeated_contacts(experiment: &Experiment) -> Vec<Broken> {
    let mut contacts: Vec<_> = experiment.sim.with_trace(|trace| {
        let fetch = |step| matches!(step, Step::Fetch);
        trace.contacts().iter().map(|c| (c.query, fetch(c.step), c.peer)).collect()
    });
    contacts.sort_unstable();
    let runs = experiment.sim.queries();
    let twice = contacts.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]);
    let broken = twice.map(|(query, _, peer)| Broken {
        promise: Promise::ContactsOnce,
        query: runs.iter().position(|run| run.id == Some(query)),
        what: format!("peer {peer} was contacted twice in one lane"),
    });
    broken.collect()
}

/// What the scenario expects of the whole, and did not get.
fn unmet(experiment: &Experiment, summary: &Summary) -> Vec<Broken> {
    let expect = experiment.scenario().expect;
    let mut broken = Vec::new();
    if let Some(share) = expect.found_share.filter(|share| summary.found_share < share.as_f64()) {
        let what = format!("{:.4} found, expected at least {}", summary.found_share, share.as_f64());
        broken.push(Broken { promise: Promise::FoundShare, query: None, what });
    }
    for (promise, found, expected) in
        [(Promise::P50, summary.p50_ms, expect.p50_ms), (Promise::P95, summary.p95_ms, expect.p95_ms)]
    {
        if let Some(expected) = expected.filter(|expected| found > *expected as f64) {
            let what = format!("{found} ms, expected at most {expected} ms");
            broken.push(Broken { promise, query: None, what });
        }
    }
    broken
}
