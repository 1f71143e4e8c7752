//! Each promise as a property of a scenario's run.

use std::time::Duration;

use dragnet_core::{LiveState, Reason};
use dragnet_sim::judge::Promise;
use dragnet_sim::scenario::{ClientKind, FaultRule, KindName, Scenario, WorkloadKind};
use dragnet_sim::{Probe, Share, Sim, TracedContact};

use super::check::{Seen, Verdict, ensure};

type Prepare<'a> = &'a dyn Fn(&mut Sim);

pub(crate) fn no_item_id_is_delivered_twice(scenario: &Scenario, prepare: Prepare<'_>) -> Verdict {
    Seen::new(scenario, prepare).judge(Promise::DistinctItems)
}

pub(crate) fn at_most_max_results_are_delivered(scenario: &Scenario, prepare: Prepare<'_>) -> Verdict {
    let seen = Seen::new(scenario, prepare);
    seen.judge(Promise::MaxResults)?;
    for (number, run) in seen.at_the_end.iter().enumerate() {
        let Some(outcome) = &run.outcome else { continue };
        let (counted, delivered) = (outcome.results, run.found.len());
        ensure(counted == delivered, || format!("query {number} delivers {delivered}, counts {counted}"))?;
    }
    Ok(())
}

/// That none ends twice, or delivers when it has ended, the simulator itself asserts.
pub(crate) fn every_query_finishes_once(scenario: &Scenario, prepare: Prepare<'_>) -> Verdict {
    let seen = Seen::new(scenario, prepare);
    seen.judge(Promise::Finishes)?;
    let sim = &seen.experiment.sim;
    for (number, (then, now)) in seen.at_the_end.iter().zip(sim.queries().iter()).enumerate() {
        ensure(then == now, || format!("query {number} had ended as {then:?}, and is now {now:?}"))?;
    }
    let metrics: Vec<_> = sim.clients().map(|client| sim.metrics(client)).collect();
    let started: u64 = metrics.iter().map(|metrics| metrics.queries_started).sum();
    let finished: u64 = metrics.iter().map(|metrics| metrics.queries_finished).sum();
    let ran = seen.at_the_end.iter().filter(|run| run.refused.is_none()).count() as u64;
    ensure((started, finished) == (ran, ran), || {
        format!("{ran} queries, {started} counted as started and {finished} as finished")
    })
}

/// By what the engine says, and by the simulation's clock.
pub(crate) fn deadlines_are_exact(scenario: &Scenario, prepare: Prepare<'_>) -> Verdict {
    let seen = Seen::new(scenario, prepare);
    seen.judge(Promise::Deadline)?;
    let timeout = scenario.query.config().timeout;
    for (number, run) in seen.at_the_end.iter().enumerate() {
        let (Some(ended), Some(outcome)) = (run.ended, &run.outcome) else { continue };
        let took = ended - run.started;
        let timed_out = outcome.reason == Reason::DeadlineReached;
        ensure(took <= timeout && (took == timeout || !timed_out), || {
            format!("query {number} ends after {took:?}, {}; its timeout is {timeout:?}", outcome.reason)
        })?;
    }
    Ok(())
}

pub(crate) fn every_contact_ends_within_its_query(scenario: &Scenario, prepare: Prepare<'_>) -> Verdict {
    let seen = Seen::new(scenario, prepare);
    let sim = &seen.experiment.sim;
    sim.with_trace(|trace| {
        for contact in trace.contacts() {
            let run = seen.of(contact.query);
            let query_ended = run.and_then(|run| run.ended);
            let within = contact.ended.is_some_and(|ended| query_ended.is_none_or(|end| ended <= end));
            ensure(within, || format!("the query ended at {query_ended:?}, not so {contact:?}"))?;
        }
        for run in &seen.at_the_end {
            let (Some(id), Some(outcome)) = (run.id, &run.outcome) else { continue };
            let (sent, counted) = (trace.of(id).count(), outcome.stats.contacted);
            ensure(sent == counted as usize, || format!("{sent} contacts, {counted} counted: {run:?}"))?;
        }
        Verdict::Ok(())
    })?;
    for client in sim.clients() {
        let metrics = sim.metrics(client);
        let ended = metrics.contacts_replied + metrics.contacts_failed + metrics.contacts_released;
        ensure(ended == metrics.contacts_started, || format!("contacts that never ended: {metrics:?}"))?;
    }
    Ok(())
}

pub(crate) fn no_contact_begins_without_a_slot(scenario: &Scenario, prepare: Prepare<'_>) -> Verdict {
    let seen = Seen::new(scenario, prepare);
    let config = scenario.query.config();
    // What an adaptive pace is only the engine knows; but no answer is late within 10 ms, and no fan-out
    // rises more than four times.
    let least = if config.adaptive_timeout { Duration::from_millis(10) } else { Duration::MAX };
    let holds = least.min(config.soft_timeout).min(config.request_timeout);
    let fan_out = if config.adaptive_fan_out { 4 * config.fan_out } else { config.fan_out };
    seen.experiment.sim.with_trace(|trace| {
        for run in &seen.at_the_end {
            let contacts: Vec<&TracedContact> = run.id.map(|id| trace.of(id).collect()).unwrap_or_default();
            for (index, new) in contacts.iter().enumerate() {
                let flies = |old: &&&TracedContact| {
                    old.step == new.step && old.ended.is_none_or(|ended| ended > new.sent)
                };
                let in_flight: Vec<_> = contacts[..index].iter().filter(flies).collect();
                let expected = in_flight.iter().filter(|old| new.sent < old.sent + holds).count();
                let has_slot = expected < fan_out && in_flight.len() < fan_out + config.hedges_max;
                ensure(has_slot, || {
                    format!("{expected} expected of {} in flight, and then {new:?}", in_flight.len())
                })?;
            }
        }
        Ok(())
    })
}

pub(crate) fn no_peer_is_contacted_twice(scenario: &Scenario, prepare: Prepare<'_>) -> Verdict {
    Seen::new(scenario, prepare).judge(Promise::ContactsOnce)
}

/// Among many liars, or few scenarios would bar anybody.
pub(crate) fn no_barred_peer_is_contacted(scenario: &Scenario, prepare: Prepare<'_>) -> Verdict {
    let mut scenario = scenario.clone();
    scenario.workload.kind = WorkloadKind::Get;
    scenario.faults.push(FaultRule {
        kind: KindName::CorruptItems,
        share: Share::percent(60),
        from_ms: 0,
        until_ms: None,
        lasts_ms: None,
        messages: None,
        by_ms: None,
        times: None,
        count: None,
        one_way: None,
    });
    probed(&scenario, prepare, Probe::Bars)
}

pub(crate) fn timeouts_are_exact(scenario: &Scenario, prepare: Prepare<'_>) -> Verdict {
    probed(scenario, prepare, Probe::Ticks)
}

pub(crate) fn strays_change_nothing(scenario: &Scenario, prepare: Prepare<'_>) -> Verdict {
    probed(scenario, prepare, Probe::Strays)
}

/// Bare engines are probed while they run: nothing is found wrong, and the run is as without.
fn probed(scenario: &Scenario, prepare: Prepare<'_>, probe: Probe) -> Verdict {
    let mut scenario = scenario.clone();
    scenario.workload.drive = ClientKind::Engine;
    let plain = Seen::new(&scenario, prepare);
    let probed = Seen::new(&scenario, &|sim| {
        prepare(sim);
        sim.probe(probe);
    });
    let findings = probed.experiment.sim.findings();
    ensure(findings.is_empty(), || format!("{} findings, first: {}", findings.len(), findings[0]))?;
    let (digest, again) = (plain.experiment.sim.digest(), probed.experiment.sim.digest());
    ensure(digest == again, || format!("{digest}, and {again} when probed"))?;
    ensure(plain.at_the_end == probed.at_the_end, || "the queries end otherwise when probed".to_owned())
}

pub(crate) fn nothing_lives_at_the_end(scenario: &Scenario, prepare: Prepare<'_>) -> Verdict {
    let seen = Seen::new(scenario, prepare);
    let sim = &seen.experiment.sim;
    let peers_max = scenario.engine.config().caps.peers_max as u64;
    for client in sim.clients() {
        let state = sim.live_state(client).unwrap_or_default();
        ensure(state == LiveState::default(), || format!("{client:?}: {state:?}"))?;
        let metrics = sim.metrics(client);
        let live = (metrics.queries_live, metrics.contacts_in_flight, metrics.contacts_waiting);
        ensure(live == (0, 0, 0), || format!("{client:?}: {metrics:?}"))?;
        ensure(metrics.peers_known <= peers_max, || format!("{} peers are known", metrics.peers_known))?;
    }
    Ok(())
}

pub(crate) fn same_seed_same_digest(scenario: &Scenario, prepare: Prepare<'_>) -> Verdict {
    let (one, other) = (Seen::new(scenario, prepare), Seen::new(scenario, prepare));
    let (digest, again) = (one.experiment.sim.digest(), other.experiment.sim.digest());
    ensure(digest == again, || format!("{digest}, and then {again}"))?;
    ensure(one.at_the_end == other.at_the_end, || "the queries end otherwise".to_owned())?;
    ensure(one.summary() == other.summary(), || "the figures are others".to_owned())
}
