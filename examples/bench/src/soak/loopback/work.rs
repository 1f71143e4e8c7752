//! What the askers do: searches and gets, and all the ways to lose interest.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::rc::Rc;
use std::time::{Duration, Instant};

use dragnet_core::front::QueryHandle;
use dragnet_core::{Item, Query, Reason};
use dragnet_libp2p::{Client, Libp2p, provider_key, query};
use fastrand::Rng;
use futures::StreamExt;

use super::Figures;
use super::nodes::{Stored, TERM};
use super::patience::{SLACK, within};
use crate::soak::check::Lateness;

/// Far more than a query takes that has nothing to wait for.
pub(super) const PATIENT: Duration = Duration::from_secs(20);

/// What the askers have seen, together.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) queries: Cell<u64>,
    items: Cell<u64>,
    cancelled: Cell<u64>,
    dropped: Cell<u64>,
    gave_up: Cell<u64>,
    could_give_up: Cell<u64>,
    pub(super) unended: Cell<u64>,
    pub(super) twins: Cell<u64>,
    pub(super) lost: RefCell<Vec<String>>,
    deadlines: RefCell<Lateness>,
}

impl Seen {
    pub(super) fn write_to(&self, figures: &mut Figures) {
        figures.queries = self.queries.get();
        figures.items = self.items.get();
        figures.gave_up = self.gave_up.get();
        figures.could_give_up = self.could_give_up.get();
        figures.cancelled = self.cancelled.get();
        figures.dropped = self.dropped.get();
        figures.deadlines = self.deadlines.borrow().clone();
    }

    /// Something did not come by its deadline, with the slack on top.
    fn hangs(&self, what: &str, deadline: Duration) {
        self.lost.borrow_mut().push(format!("{what} hangs, {SLACK:?} after its deadline of {deadline:?}"));
    }
}

/// To the end of the stream.
async fn read(handle: &mut QueryHandle<Libp2p>) {
    while handle.next().await.is_some() {}
}

/// One query after the other, until it is time.
pub(super) async fn ask(client: Client, stored: Stored, mut rng: Rng, until: Instant, seen: Rc<Seen>) {
    while Instant::now() < until {
        let is_search = rng.bool();
        let (key, value) = &stored.records[rng.usize(..stored.records.len())];
        let wanted = if is_search { stored.items } else { 1 };
        let query = match is_search {
            true => query::search(provider_key(TERM), "all"),
            false => query::get(key.clone()),
        };
        seen.queries.set(seen.queries.get() + 1);
        match rng.u8(..10) {
            0 => drop_early(&client, query, &mut rng, &seen).await,
            1 => cancel(&client, query, &seen).await,
            2 | 3 => hurry(&client, query, &mut rng, &seen).await,
            _ => {
                let value = (!is_search).then_some(&value[..]);
                find_all(&client, query, wanted, value, rng.bool(), &seen).await;
            }
        }
    }
}

/// All that is stored must be found by those who wait for the late; the others may have given up on somebody.
async fn find_all(
    client: &Client,
    query: Query<Libp2p>,
    wanted: usize,
    value: Option<&[u8]>,
    is_patient: bool,
    seen: &Seen,
) {
    let mut config = query.config.clone().with_timeout(PATIENT);
    if is_patient {
        config = config.with_adaptive_timeout(false).with_soft_timeout(PATIENT);
    }
    let Ok(handle) = client.query(query.config(config)) else {
        return seen.lost.borrow_mut().push("a query was refused".to_owned());
    };
    let (found, outcome) = match within(PATIENT + SLACK, handle.collect()).await {
        Some(Ok(collected)) => collected,
        Some(Err(_)) => return seen.unended.set(seen.unended.get() + 1),
        None => return seen.hangs("a query that was collected", PATIENT),
    };
    let ids: HashSet<_> = found.iter().map(|found| found.item.id()).collect();
    seen.items.set(seen.items.get() + found.len() as u64);
    seen.twins.set(seen.twins.get() + (found.len() - ids.len()) as u64);
    let is_true = found.iter().all(|found| found.item.record().map(|record| &record.value[..]) == value);
    let has_given_up = outcome.stats.overdue > 0 && outcome.stats.failed > 0;
    if !is_patient {
        seen.could_give_up.set(seen.could_give_up.get() + 1);
    }
    if !is_patient && ids.len() < wanted && is_true && has_given_up {
        seen.gave_up.set(seen.gave_up.get() + 1);
    } else if ids.len() < wanted || !is_true {
        seen.lost.borrow_mut().push(format!("{} of {wanted} items were found: {outcome:?}", ids.len()));
    }
}

/// A deadline that comes before the end, often. Measured from outside.
async fn hurry(client: &Client, query: Query<Libp2p>, rng: &mut Rng, seen: &Seen) {
    let timeout = Duration::from_micros(rng.u64(100..20_000));
    // As many as there could be, so that it does not end before.
    let config = query.config.clone().with_timeout(timeout).with_max_results(1_000);
    let started = Instant::now();
    let Ok(mut handle) = client.query(query.config(config)) else { return };
    if within(timeout + SLACK, read(&mut handle)).await.is_none() {
        return seen.hangs("a query with a short deadline", timeout);
    }
    let took = started.elapsed();
    match handle.outcome() {
        Some(outcome) if outcome.reason == Reason::DeadlineReached => {
            seen.deadlines.borrow_mut().add(took, timeout);
        }
        Some(_) => {}
        None => seen.unended.set(seen.unended.get() + 1),
    }
}

/// The handle goes while the query runs.
async fn drop_early(client: &Client, query: Query<Libp2p>, rng: &mut Rng, seen: &Seen) {
    let Ok(handle) = client.query(query) else { return };
    smol::Timer::after(Duration::from_micros(rng.u64(..5_000))).await;
    drop(handle);
    seen.dropped.set(seen.dropped.get() + 1);
}

/// Cancelled after the first item, and read to the end.
async fn cancel(client: &Client, query: Query<Libp2p>, seen: &Seen) {
    let timeout = query.config.timeout;
    let Ok(mut handle) = client.query(query) else { return };
    if within(timeout + SLACK, handle.next()).await.is_none() {
        return seen.hangs("the first item of a query", timeout);
    }
    handle.cancel();
    if within(SLACK, read(&mut handle)).await.is_none() {
        return seen.hangs("a cancelled query", Duration::ZERO);
    }
    if handle.outcome().is_none() {
        seen.unended.set(seen.unended.get() + 1);
    }
    seen.cancelled.set(seen.cancelled.get() + 1);
}
