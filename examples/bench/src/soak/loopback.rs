//! The half among real nodes.

mod nodes;
mod patience;
mod work;

use std::fmt;
use std::fs::File;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use dragnet_libp2p::Client;
use fastrand::Rng;
use serde::Serialize;
use smol::{LocalExecutor, Timer};

use super::Plant;
use super::check::{Allowance, Broken, Lateness, growth, is_flat};
use crate::progress::Progress;
use nodes::Nodes;
use patience::{SLACK, within};
use work::Seen;

/// Queries under way at any time.
const AT_ONCE: usize = 16;

/// A node is killed or comes back so often.
const CHANGE_EVERY: Duration = Duration::from_millis(500);

/// Memory and descriptors are looked at so often.
const SAMPLE_EVERY: Duration = Duration::from_millis(250);

/// What a timer of the same executor is asked for, to see how late timers are here.
const TIMER: Duration = Duration::from_millis(20);

/// Deadlines may be later than such a timer by so much: a poll of the driver, and of who awaits the end, come on top.
const GRAIN: Duration = Duration::from_millis(50);

/// One in so many of the queries with the default timeouts may miss something, because it gave up on somebody late.
const GAVE_UP_ONE_IN: u64 = 50;

/// What memory may grow by: the pages of an allocator that has not come to its height, and less than any query would
/// keep that were left behind.
const MEMORY_KB: Allowance = Allowance { amount: 2_048.0, per_query: 0.064 };

/// What descriptors may grow by: connections to the nodes that come and go are some more or fewer at any moment.
const DESCRIPTORS: Allowance = Allowance { amount: 32.0, per_query: 0.0 };

/// How long the nodes have to come to rest in the end.
const REST: Duration = Duration::from_secs(20);

/// How long the nodes have to start and to store what must be found.
const SET_UP: Duration = Duration::from_secs(60);

#[derive(Serialize, Debug, Default)]
pub(super) struct Figures {
    queries: u64,
    items: u64,
    /// Queries with the default timeouts that missed something, of so many. They give up on who is late: on a machine
    /// that stands still for a tenth of a second everybody is.
    gave_up: u64,
    could_give_up: u64,
    cancelled: u64,
    dropped: u64,
    kills: u64,
    restarts: u64,
    /// Of queries that ended by their deadline, from outside: from the call to the end of the stream.
    deadlines: Lateness,
    /// Of timers on the same executor.
    timers: Lateness,
    /// Queries by then, and kilobytes.
    resident_kb: Vec<(u64, u64)>,
    /// Queries by then, and descriptors.
    descriptors: Vec<(u64, u64)>,
}

pub(super) fn run(
    lasts: Duration,
    seed: u64,
    plant: &[Plant],
    broken: &mut Broken,
    progress: &Progress,
) -> Result<Figures> {
    let executor = Rc::new(LocalExecutor::new());
    smol::block_on(executor.run(soak(&executor, lasts, seed, plant, broken, progress)))
}

async fn soak(
    executor: &Rc<LocalExecutor<'static>>,
    lasts: Duration,
    seed: u64,
    plant: &[Plant],
    broken: &mut Broken,
    progress: &Progress,
) -> Result<Figures> {
    let Some(nodes) = within(SET_UP, Nodes::start(seed)).await else {
        broken.add(format!("loopback: the nodes have not started within {SET_UP:?}"));
        return Ok(Figures::default());
    };
    let mut nodes = nodes?;
    let client = nodes.client().clone();
    let until = Instant::now() + lasts;
    let seen = Rc::new(Seen::default());
    let askers: Vec<_> = (0..AT_ONCE as u64)
        .map(|n| {
            let rng = Rng::with_seed(seed ^ (n << 32));
            executor.spawn(work::ask(client.clone(), nodes.stored(), rng, until, Rc::clone(&seen)))
        })
        .collect();
    let timers = executor.spawn(timers(until));
    let mut figures = Figures::default();
    let mut kept_open = Vec::new();
    let (mut changed, mut told) = (Instant::now(), Instant::now());
    while Instant::now() < until {
        Timer::after(SAMPLE_EVERY).await;
        figures.resident_kb.push((seen.queries.get(), resident_kb()?));
        figures.descriptors.push((seen.queries.get(), descriptors()?));
        if plant.contains(&Plant::Descriptor) {
            kept_open.push([(); 64].map(|()| File::open("/proc/self/stat")));
        }
        if plant.contains(&Plant::Twin) {
            seen.twins.set(seen.twins.get() + 1);
        }
        if plant.contains(&Plant::Loss) {
            seen.lost.borrow_mut().push("planted".to_owned());
        }
        if changed.elapsed() >= CHANGE_EVERY {
            changed = Instant::now();
            // A node that comes back may ask one that is away.
            match within(work::PATIENT + SLACK, nodes.change()).await {
                Some(changed) => changed?,
                None => broken.add("loopback: a node has neither stopped nor started"),
            }
        }
        if told.elapsed() > Duration::from_secs(10) {
            told = Instant::now();
            (figures.kills, figures.restarts) = (nodes.kills, nodes.restarts);
            seen.write_to(&mut figures);
            progress.say(&figures.to_string());
        }
    }
    for asker in askers {
        // Twice the slack: once for the query that it waits for, once for itself.
        if within(work::PATIENT + 2 * SLACK, asker).await.is_none() {
            broken.add("loopback: an asker has not ended");
        }
    }
    figures.timers = timers.await;
    seen.write_to(&mut figures);
    (figures.kills, figures.restarts) = (nodes.kills, nodes.restarts);
    judge(&figures, &seen, broken);
    broken.check(within(REST + SLACK, comes_to_rest(&client)).await == Some(true), || {
        "loopback: queries, contacts or requests are left".to_owned()
    });
    drop(kept_open);
    if within(REST + SLACK, nodes.stop()).await.is_none() {
        broken.add("loopback: the nodes have not stopped");
    }
    progress.step_by(lasts.as_secs());
    Ok(figures)
}

fn judge(figures: &Figures, seen: &Seen, broken: &mut Broken) {
    for lost in seen.lost.borrow().iter() {
        broken.add(format!("loopback: {lost}"));
    }
    broken.check(seen.twins.get() == 0, || format!("loopback: {} items came twice", seen.twins.get()));
    broken.check(seen.unended.get() == 0, || {
        format!("loopback: {} queries had no outcome", seen.unended.get())
    });
    broken.check(figures.gave_up * GAVE_UP_ONE_IN <= figures.could_give_up, || {
        format!("loopback: {} of {} queries gave up on somebody", figures.gave_up, figures.could_give_up)
    });
    broken.check(is_flat(&figures.resident_kb, MEMORY_KB), || {
        format!("loopback: memory grows: {:?} kB", figures.resident_kb)
    });
    broken.check(is_flat(&figures.descriptors, DESCRIPTORS), || {
        format!("loopback: descriptors grow: {:?}", figures.descriptors)
    });
    broken.check(figures.deadlines.is_within(&figures.timers, GRAIN), || {
        format!("loopback: deadlines {}; timers {}", figures.deadlines.line(), figures.timers.line())
    });
}

/// Whether nothing is under way any more, soon.
async fn comes_to_rest(client: &Client) -> bool {
    let patience = Instant::now() + REST;
    while Instant::now() < patience {
        let metrics = client.metrics();
        let engine = [metrics.queries_live, metrics.contacts_in_flight, metrics.contacts_waiting];
        if let Ok(now) = client.snapshot().await {
            let adapter = [now.lookups, now.lookups_waiting, now.kad_queries, now.requests, now.events];
            if engine == [0; 3] && adapter == [0; 5] {
                return true;
            }
        }
        Timer::after(Duration::from_millis(50)).await;
    }
    false
}

/// How late timers are, one after the other.
async fn timers(until: Instant) -> Lateness {
    let mut lateness = Lateness::default();
    while Instant::now() < until {
        let started = Instant::now();
        Timer::after(TIMER).await;
        lateness.add(started.elapsed(), TIMER);
    }
    lateness
}

fn resident_kb() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status").context("cannot read /proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("it has no VmRSS")?;
    line.trim().trim_end_matches(" kB").parse().context("its VmRSS is no number")
}

fn descriptors() -> Result<u64> {
    Ok(std::fs::read_dir("/proc/self/fd").context("cannot read /proc/self/fd")?.count() as u64)
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (memory, queries) = growth(&self.resident_kb);
        let (descriptors, _) = growth(&self.descriptors);
        let last = |samples: &[(u64, u64)]| samples.last().map_or(0, |sample| sample.1);
        writeln!(
            f,
            "loopback: {} queries, {} items; {} cancelled, {} handles dropped; {} nodes killed, {} came back",
            self.queries, self.items, self.cancelled, self.dropped, self.kills, self.restarts,
        )?;
        writeln!(
            f,
            "  of {} queries with the default timeouts {} missed items of who was late; of the others none may",
            self.could_give_up, self.gave_up,
        )?;
        writeln!(
            f,
            "  memory {} kB and {} descriptors at the last look; over the last {queries} queries they grew by \
             {memory:.0} kB and {descriptors:.1}",
            last(&self.resident_kb),
            last(&self.descriptors),
        )?;
        writeln!(f, "  deadlines were late: {}", self.deadlines.line())?;
        write!(f, "  timers were late: {}", self.timers.line())
    }
}
