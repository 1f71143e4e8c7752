//! Promise 9: every table stays within its cap, and in the end nothing is left.

use std::collections::{BTreeMap, BTreeSet};

use dragnet_core::{LiveState, Output, QueryId, Route};

use super::check::{Place, Verdict, ensure, read};
use super::ledger::Ledger;
use super::network::Toy;
use super::scenario::{Scenario, Setup};
use super::world::{Event, Input, run};

pub(crate) fn every_table_stays_within_its_cap_and_ends_empty(scenario: &Scenario) -> Verdict {
    let trace = run(scenario);
    let mut candidates: BTreeMap<(QueryId, String), BTreeSet<u8>> = BTreeMap::new();
    let mut known = 0;
    read(&trace, |ledger, event, place| match place {
        Place::Output(Output::Contact { query, peer, step, .. }) => {
            let candidates = candidates.entry((*query, format!("{step:?}"))).or_default();
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
            ensure(live.queries > 0 || live == LiveState::default(), || {
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
    for (_, asked) in ledger.live() {
        let routes = &asked.query.routes;
        let lookups = routes.iter().filter(|route| matches!(route, Route::Delegated { .. })).count();
        lookups_max += lookups;
        candidates_max += (routes.len() - lookups + 1) * caps.candidates_max;
    }
    at_most("live queries", live.queries, caps.queries_max)?;
    at_most("pieces of work", live.work, live.queries)?;
    at_most("peers known", event.view.peers.len(), caps.peers_max)?;
    at_most("peers held", live.peers_held, candidates_max.min(caps.peers_max))?;
    at_most("contacts", live.contacts, candidates_max + lookups_max)?;
    at_most("timers", live.timers, live.queries + ledger.contacts.len())?;
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
    let found = event.outputs.iter().filter(is_found).count();
    let (items_max, peers_max) = match &event.input {
        Input::Start(query) => {
            let first = |route: &Route<_>| match route {
                Route::Walk { candidates, .. } => candidates.len(),
                _ => 0,
            };
            (0, query.peers.len() + query.routes.iter().map(first).sum::<usize>())
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
