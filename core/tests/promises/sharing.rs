//! Promise 12: who shares gets all that there is, and nothing that is too old.

use std::collections::BTreeMap;
use std::time::Duration;

use dragnet_core::{CachePolicy, Outcome, Output, QueryId, Reason, Time};

use super::check::{Place, Verdict, ensure, read};
use super::ledger::{Asked, Ledger};
use super::network::Note;
use super::reference::is_same;
use super::scenario::{Scenario, Setup};
use super::world::{Event, run};

pub(crate) fn who_shares_gets_all_and_nothing_too_old(scenario: &Scenario) -> Verdict {
    let mut given = Given::default();
    read(&run(scenario), |ledger, event, place| match place {
        Place::Output(Output::Found { query, found }) => {
            let Some(asked) = ledger.queries.get(query) else { return Ok(()) };
            given.items.entry(*query).or_default().push((found.item, event.now));
            let is_start = event.started == Some(Ok(*query));
            let age_max = if is_start { asked.config().max_age } else { Duration::ZERO };
            ensure(found.age <= age_max, || format!("{query} is given {found:?}, and allows {age_max:?}"))?;
            let since = Time::from_nanos(event.now.as_nanos() - found.age.as_nanos() as u64);
            let was_given = |(item, at): &(Note, Time)| *item == found.item && *at == since;
            let is_known = given.by_others(ledger, asked).any(|(_, items)| items.iter().any(was_given));
            ensure(is_known || ledger.has_refreshed(&asked.query), || {
                format!("{query} is given {found:?}, which nobody was given at {since:?}")
            })
        }
        Place::Output(Output::Finished { query, outcome }) => {
            let Some(asked) = ledger.queries.get(query) else { return Ok(()) };
            if outcome.cached.is_some() {
                served(&scenario.setup, &given, ledger, event, (*query, asked), outcome)?;
            }
            given.ended.insert(*query, outcome.reason);
            Ok(())
        }
        Place::Output(_) => Ok(()),
        Place::End => equals_have_equal(&given, ledger),
    })
}

/// Who was given what, and when; and why who has ended.
#[derive(Default)]
struct Given {
    items: BTreeMap<QueryId, Vec<(Note, Time)>>,
    ended: BTreeMap<QueryId, Reason>,
}

impl Given {
    fn to(&self, query: &QueryId) -> Vec<Note> {
        self.items.get(query).into_iter().flatten().map(|(item, _)| *item).collect()
    }

    /// What those have been given who asked the same, the query itself included.
    fn by_others<'a>(
        &'a self,
        ledger: &'a Ledger,
        asked: &'a Asked,
    ) -> impl Iterator<Item = (QueryId, &'a Vec<(Note, Time)>)> {
        let is_other = |query: &QueryId| is_same(&ledger.queries[query].query, &asked.query);
        self.items.iter().filter(move |(query, _)| is_other(query)).map(|(query, items)| (*query, items))
    }
}

/// All whom a piece of work serves have been given the same, and who has ended with what was delivered
/// at once was given the beginning of it.
fn equals_have_equal(given: &Given, ledger: &Ledger) -> Verdict {
    for (query, asked) in ledger.live() {
        let items = given.to(query);
        for (other, its) in ledger.members(asked.work).filter(|(other, _)| *other != query) {
            let others = given.to(other);
            let is_equal = match its.is_finished {
                // One that left a refresh behind was given an older answer.
                _ if its.is_served => true,
                false => items == others,
                true => its.holds_back() || items.starts_with(&others),
            };
            ensure(is_equal, || {
                format!("{query} was given {items:?}, and {other}, of the same work, {others:?}")
            })?;
        }
    }
    Ok(())
}

/// A kept answer is that of a query that ended by itself, and not older than it may be.
fn served(
    setup: &Setup,
    given: &Given,
    ledger: &Ledger,
    event: &Event,
    (query, asked): (QueryId, &Asked),
    outcome: &Outcome,
) -> Verdict {
    let Some(cached) = outcome.cached else { return Ok(()) };
    let cache = &setup.config.cache;
    let items = given.to(&query);
    let ttl = if items.is_empty() { cache.ttl_nothing } else { cache.ttl };
    let is_stale = cached.age >= ttl;
    let is_allowed = match asked.config().cache {
        CachePolicy::Fresh => !is_stale,
        CachePolicy::Stale => {
            !is_stale || !items.is_empty() && cached.age < ttl.saturating_add(cache.stale_for)
        }
        _ => false,
    };
    ensure(is_allowed && cached.is_stale == is_stale && cached.age <= asked.config().max_age, || {
        format!("{query} is given an answer that is too old: {cached:?}")
    })?;
    ensure(event.started == Some(Ok(query)) && outcome.stats.contacted == 0, || {
        format!("{query} has waited for a kept answer, or asked")
    })?;
    // What a refresh has found nobody was told.
    let mut sources = given.ended.iter().filter(|(source, reason)| {
        let is_by_itself = !matches!(reason, Reason::DeadlineReached | Reason::Cancelled);
        is_by_itself && is_same(&ledger.queries[source].query, &asked.query)
    });
    let is_its = |(source, _): (&QueryId, &Reason)| given.to(source).starts_with(&items);
    ensure(ledger.has_refreshed(&asked.query) || sources.any(is_its), || {
        format!("{query} is given {items:?}, which was the answer to nobody")
    })
}
