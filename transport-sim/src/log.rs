//! What came of the queries of a simulation.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use dragnet_core::{Found, Item, Outcome, QueryId, Reason, StartError, Time};

use crate::network::SimNet;
use crate::world::World;

/// What came of a query.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct QueryRun {
    /// When it started, or will.
    pub started: Time,
    /// What its engine calls it, once it has started.
    pub id: Option<QueryId>,
    /// What it delivered, in order.
    pub found: Vec<Found<SimNet>>,
    /// When it ended, once it has.
    pub ended: Option<Time>,
    /// How it ended, once it has.
    pub outcome: Option<Outcome>,
    /// Why it did not start, if it did not.
    pub refused: Option<StartError>,
}

impl QueryRun {
    /// From the start to the first item.
    pub fn first_item(&self) -> Option<Duration> {
        self.found.first().map(|found| found.elapsed)
    }

    /// From the start to the end.
    pub fn total(&self) -> Option<Duration> {
        self.outcome.as_ref().map(|outcome| outcome.stats.total)
    }
}

/// All queries by number; written by whoever runs them.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    world: Rc<RefCell<World>>,
    runs: Rc<RefCell<Runs>>,
}

#[derive(Debug, Default)]
pub(crate) struct Runs {
    pub(crate) all: Vec<QueryRun>,
    pub(crate) live: usize,
}

impl Log {
    pub(crate) fn new(world: Rc<RefCell<World>>) -> Self {
        Self { world, runs: Rc::default() }
    }

    pub(crate) fn runs(&self) -> std::cell::Ref<'_, Runs> {
        self.runs.borrow()
    }

    /// Notes that a query will start, and gives it its number.
    pub(crate) fn asked(&self, at: Time) -> u32 {
        let mut runs = self.runs.borrow_mut();
        runs.live += 1;
        runs.all.push(QueryRun {
            started: at,
            id: None,
            found: Vec::new(),
            ended: None,
            outcome: None,
            refused: None,
        });
        runs.all.len() as u32 - 1
    }

    pub(crate) fn started(&self, number: u32, id: Option<QueryId>) {
        self.runs.borrow_mut().all[number as usize].id = id;
    }

    pub(crate) fn refused(&self, number: u32, why: StartError) {
        self.world.borrow_mut().note([6 << 32 | u64::from(number), 0, 0]);
        let mut runs = self.runs.borrow_mut();
        runs.all[number as usize].refused = Some(why);
        runs.live -= 1;
    }

    pub(crate) fn found(&self, number: u32, found: Found<SimNet>) {
        let what = 4 << 32 | u64::from(number);
        self.world.borrow_mut().note([what, found.item.id(), found.item.version()]);
        self.runs.borrow_mut().all[number as usize].found.push(found);
    }

    /// Notes how a query ended; `None` if its driver was dropped.
    pub(crate) fn ended(&self, number: u32, outcome: Option<Outcome>) {
        let (how, results) = outcome.as_ref().map_or((0, 0), |outcome| {
            let contacted = u64::from(outcome.stats.contacted);
            (reason_code(outcome.reason) << 32 | contacted, outcome.results as u64)
        });
        self.world.borrow_mut().note([5 << 32 | u64::from(number), how, results]);
        let mut runs = self.runs.borrow_mut();
        let run = &mut runs.all[number as usize];
        run.ended = Some(self.world.borrow().now);
        run.outcome = outcome;
        runs.live -= 1;
    }
}

/// A number for each reason that does not change when reasons are added.
const fn reason_code(reason: Reason) -> u64 {
    match reason {
        Reason::EnoughResults => 1,
        Reason::Converged => 2,
        Reason::Exhausted => 3,
        Reason::DeadlineReached => 4,
        Reason::Cancelled => 5,
        Reason::QuorumReached => 7,
        _ => 6,
    }
}
