//! Promise 9: every table stays within its cap, and in the end nothing is left.

use std::collections::{BTreeMap, BTreeSet};

use dragnet_core::{CachePolicy, LiveState, Output, QueryId, Route};

use super::check::{Place, Verdict, ensure, read};
use super::ledger::{Asked, Ledger};
use super::network::Toy;
use super::scenario::{Scenario, Setup};
use super::world::{Event, Input, run};

pub(crate) fn every_table_stays_within_its_cap_and_ends_empty(scenario: &Scenario) -> Verdict {
    let trace = run(scenario);
    let mut candidates: BTreeMap<(Option<QueryId>, String), BTreeSet<u8>> = BTreeMap::new();
    let mut known = 0;
    read(&trace, |ledger, event, place| match place {
        Place::Output(Output::Contact { query, peer, step, .. }) => {
            let work = ledger.queries.get(query).map(|asked| asked.work);
            let candidates = candidates.entry((work, format!("{step:?}"))).or_default();
            candidates.insert(*peer);
            at_most("peers contacted for one lane", candidates.len(), trace.setup.config.caps.candidates_max)
        }
        Place::Output(_) => Ok(()),
        Place::End => {
            tables(&trace.setup, ledger, event)?;
            let is_now_known = event.view.peers.len();
            one_input(&trace.setup, ledger, event, is_now_known.saturating_sub(known))?;
            known = is_now_known;
            let live = event.view.live;
            ensure(live.queries + live.refreshes > 0 || live == LiveState::default(), || {
                format!("no query lives, but {live:?}")
            })
        }
    })
}

fn tables(setup: &Setup, ledger: &Ledger, event: &Event) -> Verdict {
    let caps = &setup.config.caps;
    let (live, metrics) = (event.view.live, &event.view.metrics);
    let mut candidates_max = 0;
    let mut lookups_max = 0;
    let may_be_refresh = |asked: &&Asked| live.refreshes > 0 && asked.refresh.is_some();
    for asked in ledger.queries.values().filter(|asked| !asked.is_finished || may_be_refresh(asked)) {
        let routes = &asked.query.routes;
        let lookups = routes.iter().filter(|route| matches!(route, Route::Delegated { .. })).count();
        lookups_max += lookups;
        candidates_max += (routes.len() - lookups + 1) * caps.candidates_max;
    }
    let all = live.queries + live.refreshes;
    at_most("live queries", all, caps.queries_max)?;
    at_most("refreshes", live.refreshes, setup.config.cache.refreshes_max)?;
    at_most("pieces of work", live.work, all)?;
    at_most("kept answers", metrics.cache_entries as usize, setup.config.cache.entries_max)?;
    at_most("bytes of them", metrics.cache_bytes as usize, setup.config.cache.bytes_max)?;
    at_most("peers known", event.view.peers.len(), caps.peers_max)?;
    at_most("peers held", live.peers_held, candidates_max.min(caps.peers_max))?;
    at_most("contacts", live.contacts, candidates_max + lookups_max)?;
    at_most("timers", live.timers, all + ledger.contacts.len())?;
    at_most("outputs left", live.outputs, 0)?;
    let open = ledger.contacts.len() as u64;
    let told = metrics.contacts_in_flight + metrics.lookups_in_flight;
    ensure(told == open, || format!("{told} contacts and lookups are counted in flight, and {open} are"))?;
    let lookups = ledger.contacts.values().filter(|open| open.asked.is_none()).count() as u64;
    ensure(metrics.lookups_in_flight == lookups, || format!("{lookups} lookups are in flight"))?;
    let ended = metrics.contacts_replied + metrics.contacts_failed + metrics.contacts_released;
    ensure(metrics.contacts_started == ended + metrics.contacts_in_flight, || {
        format!("of {} contacts {ended} ended", metrics.contacts_started)
    })?;
    let waiting = live.contacts as u64 - open;
    ensure(metrics.contacts_waiting == waiting, || {
        format!("{} wait, not {waiting}", metrics.contacts_waiting)
    })?;
    let mut per_peer = BTreeMap::new();
    for (peer, _) in ledger.contacts.values().filter_map(|open| open.asked) {
        let count = per_peer.entry(peer).or_insert(0);
        *count += 1;
        at_most("contacts in flight to one peer", *count, caps.contacts_per_peer.max(1))?;
    }
    Ok(())
}

/// What one reply can add.
fn one_input(setup: &Setup, ledger: &Ledger, event: &Event, new_peers: usize) -> Verdict {
    let caps = &setup.config.caps;
    // What was held back comes when it may, with whatever input.
    let is_found = |output: &&Output<Toy>| {
        let Output::Found { query, .. } = output else { return false };
        let asked = ledger.queries.get(query);
        asked.is_some_and(|asked| !asked.holds_back())
    };
    // Each query that shares gets it all.
    let mut per_query = BTreeMap::new();
    for output in event.outputs.iter().filter(is_found) {
        let Output::Found { query, .. } = output else { continue };
        *per_query.entry(*query).or_insert(0) += 1;
    }
    let found = per_query.into_values().max().unwrap_or(0);
    let (items_max, peers_max) = match &event.input {
        Input::Start(query) => {
            let first = |route: &Route<_>| match route {
                Route::Walk { candidates, .. } => candidates.len(),
                _ => 0,
            };
            // What others have found by then.
            let given = if query.config.cache == CachePolicy::Skip { 0 } else { query.config.max_results };
            (given, query.peers.len() + query.routes.iter().map(first).sum::<usize>())
        }
        Input::Reply(..) => (caps.items_per_reply, caps.closer_per_reply + caps.providers_per_reply),
        // And the one who gave it.
        Input::Progress(..) => (caps.items_per_reply, caps.closer_per_reply + caps.providers_per_reply + 1),
        Input::Bar(_) => (0, 1),
        _ => (0, 0),
    };
    at_most("items of one input", found, items_max)?;
    at_most("new peers of one input", new_peers, peers_max)
}

fn at_most(what: &str, value: usize, max: usize) -> Verdict {
    ensure(value <= max, || format!("{what}: {value}, and {max} at most"))
}
