//! That the scenarios of the fixed seeds reach what the properties are about: one that never meets its case
//! proves nothing.

use std::collections::{BTreeMap, BTreeSet};

use dragnet_core::Reason;
use dragnet_sim::FaultKind;
use dragnet_sim::scenario::ClientKind;

use super::check::{CASES, FIRST, Seen, scenario_of};

/// What a scenario may reach, and in how many of a hundred it does at least. Every kind of fault strikes
/// in two of a hundred.
const WANTED: [(&str, u64); 19] = [
    ("a bare engine", 30),
    ("a front", 30),
    ("an item delivered", 20),
    ("a duplicate", 5),
    ("an invalid answer", 5),
    ("an overdue contact", 40),
    ("a hedge", 30),
    ("a contact failed", 30),
    ("a contact released", 30),
    ("something dropped", 5),
    ("a reply that comes again", 3),
    ("a message lost", 40),
    ("a request to the dead", 50),
    ("enough results", 10),
    ("quorum reached", 2),
    ("a query of several routes", 20),
    ("converged", 10),
    ("exhausted", 5),
    ("deadline reached", 20),
];
const STRIKES_PERCENT_MIN: u64 = 2;

#[test]
fn the_scenarios_reach_what_the_promises_are_about() {
    let mut reached: BTreeMap<&str, u64> = BTreeMap::new();
    for seed in FIRST..FIRST + CASES {
        let seen = Seen::new(&scenario_of(seed), &|_| ());
        for situation in situations(&seen) {
            *reached.entry(situation).or_default() += 1;
        }
    }
    let faults = FaultKind::NAMES.map(|name| (name, STRIKES_PERCENT_MIN));
    let mut missed = Vec::new();
    for (situation, percent_min) in WANTED.into_iter().chain(faults) {
        let percent = reached.get(situation).copied().unwrap_or(0) * 100 / CASES;
        println!("{percent:3} % {situation} (at least {percent_min} %)");
        if percent < percent_min {
            missed.push(situation);
        }
    }
    assert!(missed.is_empty(), "too seldom: {missed:?}");
}

fn situations(seen: &Seen) -> BTreeSet<&'static str> {
    let sim = &seen.experiment.sim;
    let drive = match seen.experiment.scenario().workload.drive {
        ClientKind::Engine => "a bare engine",
        ClientKind::Front => "a front",
    };
    let mut situations: BTreeSet<_> = sim.strikes().iter().map(|(kind, _)| kind).collect();
    situations.insert(drive);
    if seen.experiment.scenario().query.routes.is_some_and(|routes| routes > 1) {
        situations.insert("a query of several routes");
    }
    let world = sim.counts();
    let mut counts = vec![("a message lost", world.lost), ("a request to the dead", world.unanswered)];
    for client in sim.clients() {
        let metrics = sim.metrics(client);
        counts.extend([
            ("an item delivered", metrics.results),
            ("a duplicate", metrics.duplicate),
            ("an invalid answer", metrics.invalid),
            ("an overdue contact", metrics.contacts_overdue),
            ("a hedge", metrics.contacts_hedged),
            ("a contact failed", metrics.contacts_failed),
            ("a contact released", metrics.contacts_released),
            ("something dropped", metrics.dropped),
            ("a reply that comes again", metrics.inputs_unknown),
        ]);
    }
    situations.extend(counts.into_iter().filter(|(_, count)| *count > 0).map(|(situation, _)| situation));
    for outcome in seen.at_the_end.iter().filter_map(|run| run.outcome.as_ref()) {
        situations.insert(match outcome.reason {
            Reason::EnoughResults => "enough results",
            Reason::QuorumReached => "quorum reached",
            Reason::Converged => "converged",
            Reason::Exhausted => "exhausted",
            Reason::DeadlineReached => "deadline reached",
            _ => continue,
        });
    }
    situations
}
