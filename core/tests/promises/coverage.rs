//! That the scenarios of the fixed seeds reach what the properties are about: one that never meets its case
//! proves nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use dragnet_core::{Agreement, LiveState, Network, Output, QueryId, Reason, RequestId, Step, Time};

use super::check::{CASES, FIRST, scenario_of};
use super::contacts::shared_target;
use super::ledger::{Ledger, is_due};
use super::network::Toy;
use super::world::{Event, Input, Trace, View, run};

/// What a scenario may reach, and in how many of a hundred it does at least.
const WANTED: [(&str, u64); 49] = [
    ("an item delivered", 60),
    ("a duplicate", 40),
    ("an invalid answer", 60),
    ("an overdue contact", 60),
    ("an answer of an overdue contact", 60),
    ("a contact that was sent after its beginning", 60),
    ("an overdue contact that was sent", 40),
    ("a hedge", 60),
    ("a contact given up", 60),
    ("a timeout that was learnt", 30),
    ("a wait that was learnt", 2),
    ("a contact given up early", 3),
    ("a fan-out that has risen", 15),
    ("a contact waiting", 60),
    ("a contact begun after a wait", 15),
    ("a contact released", 60),
    ("a peer barred", 60),
    ("a barred candidate skipped", 40),
    ("something dropped", 60),
    ("a walk and a fetch in one query", 60),
    ("two sources in one lane", 60),
    ("a lookup that reported", 25),
    ("enough results", 45),
    ("quorum reached", 10),
    ("an item that more than one gave", 15),
    ("an item held to the deadline", 20),
    ("a conflict", 25),
    ("something withheld", 25),
    ("disjoint walks to one target", 25),
    ("routes that agree", 4),
    ("converged", 15),
    ("exhausted", 60),
    ("deadline reached", 60),
    ("cancelled", 20),
    ("a query that joins", 40),
    ("an earlier item for one that joins", 10),
    ("an answer kept", 40),
    ("a kept answer given", 15),
    ("a kept answer of nothing", 5),
    ("a kept answer cut", 5),
    ("a stale answer given", 8),
    ("a refresh behind", 6),
    ("a contact of a refresh", 5),
    ("a kept answer thrown out", 5),
    ("an input under an unknown id", 60),
    ("time going back", 60),
    ("a checkpoint after a reply", 10),
    ("a tick at the timeout", 50),
    ("a tick just before the timeout", 40),
];

#[test]
fn the_scenarios_reach_what_the_promises_are_about() {
    let mut reached: BTreeMap<&str, u64> = BTreeMap::new();
    let mut inputs = 0;
    for seed in FIRST..FIRST + CASES {
        let trace = run(&scenario_of(seed));
        inputs += trace.events.len();
        for situation in situations(&trace) {
            *reached.entry(situation).or_default() += 1;
        }
    }
    let mut missed = Vec::new();
    for (situation, percent_min) in WANTED {
        let percent = reached.get(situation).copied().unwrap_or(0) * 100 / CASES;
        println!("{percent:3} % {situation} (at least {percent_min} %)");
        if percent < percent_min {
            missed.push(situation);
        }
    }
    println!("{} inputs a scenario", inputs as u64 / CASES);
    assert!(missed.is_empty(), "too seldom: {missed:?}");
}

fn situations(trace: &Trace) -> Vec<&'static str> {
    let mut situations = counted(trace);
    situations.extend(ends(trace));
    situations.extend(seen_in_order(trace));
    situations
}

/// What the engine's own counters say.
fn counted(trace: &Trace) -> Vec<&'static str> {
    let Some(last) = trace.events.last() else { return Vec::new() };
    let metrics = &last.view.metrics;
    let waiting = trace.events.iter().map(|event| event.view.metrics.contacts_waiting).max();
    let counts = [
        ("an item delivered", metrics.results),
        ("a duplicate", metrics.duplicate),
        ("an invalid answer", metrics.invalid),
        ("a conflict", metrics.conflicting),
        ("something withheld", metrics.withheld),
        ("an overdue contact", metrics.contacts_overdue),
        ("a hedge", metrics.contacts_hedged),
        ("a contact waiting", waiting.unwrap_or(0)),
        ("a contact released", metrics.contacts_released),
        ("a peer barred", metrics.peers_barred),
        ("something dropped", metrics.dropped),
        ("a query that joins", metrics.queries_joined),
        ("an answer kept", metrics.cache_entries),
        ("a kept answer given", metrics.cache_hits),
        ("a stale answer given", metrics.cache_stale_hits),
        ("a refresh behind", metrics.cache_refreshes),
        ("a kept answer thrown out", metrics.cache_evicted),
        ("an input under an unknown id", metrics.inputs_unknown),
        ("time going back", metrics.time_reversals),
    ];
    counts.into_iter().filter(|(_, count)| *count > 0).map(|(situation, _)| situation).collect()
}

fn ends(trace: &Trace) -> Vec<&'static str> {
    let mut situations = Vec::new();
    let outputs = trace.events.iter().flat_map(|event| &event.outputs);
    for output in outputs {
        let Output::Finished { outcome, .. } = output else { continue };
        let situation = match outcome.reason {
            Reason::EnoughResults => "enough results",
            Reason::QuorumReached => "quorum reached",
            Reason::Converged => "converged",
            Reason::Exhausted => "exhausted",
            Reason::DeadlineReached => "deadline reached",
            Reason::Cancelled => "cancelled",
            _ => continue,
        };
        situations.push(situation);
        if outcome.cached.is_some() && outcome.results == 0 {
            situations.push("a kept answer of nothing");
        }
        if outcome.cached.is_some() && outcome.reason == Reason::EnoughResults {
            situations.push("a kept answer cut");
        }
        if outcome.stats.barred > 0 {
            situations.push("a barred candidate skipped");
        }
    }
    situations.sort_unstable();
    situations.dedup();
    situations
}

/// What only a reader of inputs and outputs sees.
fn seen_in_order(trace: &Trace) -> BTreeSet<&'static str> {
    let mut seen = BTreeSet::new();
    let mut ledger = Ledger::new(&trace.setup);
    let mut before = &trace.first;
    let mut waits = 0;
    for event in &trace.events {
        seen.extend(seen_before(&ledger, event, before.timeout));
        waits += u64::from(has_waited(&ledger, event));
        let is_one_fewer = event.view.metrics.contacts_waiting < before.metrics.contacts_waiting;
        if is_one_fewer && matches!(event.outputs[..], [Output::Contact { .. }]) {
            seen.insert("a contact begun after a wait");
        }
        ledger.begin(event);
        for output in &event.outputs {
            if let Output::Release { request } = output
                && let Some(open) = ledger.contacts.get(request)
                && is_due(ledger.given_up_at(open), event.now)
            {
                seen.insert("a contact given up");
            }
            if let Output::Contact { query, peer, step, .. } = output {
                seen.extend(adapted(&ledger, (*query, *peer, *step), before, waits));
            }
            if let Output::Release { request } = output
                && is_given_up_early(&ledger, *request, event)
            {
                seen.insert("a contact given up early");
            }
            if let Output::Found { query, found } = output {
                let deadline = ledger.queries.get(query).map(|asked| asked.deadline);
                if deadline.is_some_and(|deadline| is_due(deadline, event.now)) {
                    seen.insert("an item held to the deadline");
                }
                let is_start = event.started == Some(Ok(*query));
                if is_start && event.view.metrics.queries_joined > before.metrics.queries_joined {
                    seen.insert("an earlier item for one that joins");
                }
                if found.votes > 1 {
                    seen.insert("an item that more than one gave");
                }
                let disjoint = ledger.queries.get(query).and_then(|asked| asked.query.disjoint);
                if found.votes > 1 && disjoint.is_some_and(|agreement| agreement != Agreement::One) {
                    seen.insert("routes that agree");
                }
            }
            if let Output::Contact { query, .. } = output
                && ledger.queries.get(query).is_some_and(|asked| asked.is_finished)
            {
                seen.insert("a contact of a refresh");
            }
            ledger.output(event, output);
        }
        let open: Vec<_> =
            ledger.contacts.values().filter_map(|open| Some((open.query, open.asked?))).collect();
        for (query, (peer, step)) in &open {
            for (_, (other_peer, other_step)) in open.iter().filter(|(other, _)| other == query) {
                if step == other_step && Toy::source(peer) != Toy::source(other_peer) {
                    seen.insert("two sources in one lane");
                }
                let target = |step| shared_target(&ledger.queries[query].query, step);
                if step != other_step && target(*step).is_some() && target(*step) == target(*other_step) {
                    seen.insert("disjoint walks to one target");
                }
                if *step == Step::Fetch && *other_step != Step::Fetch {
                    seen.insert("a walk and a fetch in one query");
                }
            }
        }
        before = &event.view;
    }
    seen
}

/// Whether a contact is said to be sent that had to wait for it.
fn has_waited(ledger: &Ledger, event: &Event) -> bool {
    let open = event.input.request().and_then(|request| ledger.contacts.get(&request));
    let least = Duration::from_millis(1);
    matches!(event.input, Input::Sent(_))
        && !ledger.is_stale(event)
        && open.is_some_and(|open| open.sent + least <= event.now)
}

/// By what a contact that begins is known to adapt, after so many waits.
fn adapted(
    ledger: &Ledger,
    (query, peer, step): (QueryId, u8, Step),
    before: &View,
    waits: u64,
) -> Vec<&'static str> {
    let Some(asked) = ledger.queries.get(&query) else { return Vec::new() };
    let config = asked.config();
    let mut seen = Vec::new();
    let samples_min = 8;
    if config.adaptive_timeout && before.metrics.response_time.count() >= samples_min {
        seen.push("a timeout that was learnt");
    }
    if config.adaptive_timeout && waits >= samples_min {
        seen.push("a wait that was learnt");
    }
    let (expected, _) = ledger.in_flight(asked.work, step, Toy::source(&peer));
    // With an adaptive timeout only the engine knows who is expected.
    if config.adaptive_fan_out && !config.adaptive_timeout && expected >= config.fan_out {
        seen.push("a fan-out that has risen");
    }
    seen
}

/// Whether a contact is given up before its time, since it holds its lane up: one of a query that goes on is
/// released for no other reason.
fn is_given_up_early(ledger: &Ledger, request: RequestId, event: &Event) -> bool {
    let Some(open) = ledger.contacts.get(&request) else { return false };
    let goes_on = event.view.statuses.iter().any(|(query, _)| *query == open.query);
    goes_on && !is_due(ledger.given_up_at(open), event.now)
}

fn seen_before(ledger: &Ledger, event: &Event, timeout: Option<Time>) -> Option<&'static str> {
    let open = event.input.request().and_then(|request| ledger.contacts.get(&request));
    let open = open.filter(|_| !ledger.is_stale(event));
    match (&event.input, open) {
        (Input::Tick, _) if timeout == Some(event.at) => Some("a tick at the timeout"),
        (Input::Tick, _) if timeout == Some(event.at + Duration::from_nanos(1)) => {
            Some("a tick just before the timeout")
        }
        (Input::Checkpoint, _) if is_checkpoint(event) && event.view.metrics.contacts_replied > 0 => {
            Some("a checkpoint after a reply")
        }
        (Input::Progress(..), Some(_)) => Some("a lookup that reported"),
        (Input::Sent(_), Some(open)) if open.is_overdue => Some("an overdue contact that was sent"),
        (Input::Sent(_), Some(open)) if open.sent < event.now => {
            Some("a contact that was sent after its beginning")
        }
        (Input::Reply(..), Some(open)) if open.is_overdue => Some("an answer of an overdue contact"),
        _ => None,
    }
}

/// Whether nothing lived, and nothing was left to say.
fn is_checkpoint(event: &Event) -> bool {
    event.view.live == LiveState::default() && event.outputs.is_empty()
}
