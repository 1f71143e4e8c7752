//! Promises 6 and 7: how many contacts begin, and with whom.

use std::collections::{BTreeMap, BTreeSet};

use dragnet_core::{Failure, Key, Network, Output, Query, Reason, ReputationConfig, Route, Step, Time};

use super::check::{Place, Verdict, ensure, read};
use super::ledger::Ledger;
use super::network::{Note, Toy};
use super::scenario::Scenario;
use super::world::{Event, Input, Trace, run};

pub(crate) fn no_contact_begins_without_a_slot(scenario: &Scenario) -> Verdict {
    read(&run(scenario), |ledger, _, place| {
        let Place::Output(Output::Contact { query, peer, step, .. }) = place else { return Ok(()) };
        let Some(asked) = ledger.queries.get(query) else { return Ok(()) };
        let (fan_out, hedges_max) = (asked.config().fan_out, asked.config().hedges_max);
        // How far it has risen is for the reference to say.
        let fan_out = if asked.config().adaptive_fan_out { 4 * fan_out } else { fan_out };
        let (expected, overdue) = ledger.in_flight(asked.work, *step, Toy::source(peer));
        ensure(expected < fan_out && expected + overdue < fan_out + hedges_max, || {
            format!(
                "peer {peer} is contacted for {step:?} while {expected} are expected and {overdue} overdue, \
                 of fan-out {fan_out} and {hedges_max} hedges"
            )
        })
    })
}

pub(crate) fn no_peer_is_contacted_twice_for_one_lane_or_while_barred(scenario: &Scenario) -> Verdict {
    let trace = run(scenario);
    let mut contacted = BTreeSet::new();
    read(&trace, |ledger, event, place| {
        let Place::Output(Output::Contact { query, peer, step, .. }) = place else { return Ok(()) };
        ensure(*peer != scenario.setup.local, || "the local peer is contacted".into())?;
        // Disjoint walks to one target are as one.
        let Some(asked) = ledger.queries.get(query) else { return Ok(()) };
        let (work, target) = (asked.work, shared_target(&asked.query, *step));
        let lane = target.map_or_else(|| format!("{work} {step:?}"), |target| format!("{work} {target:?}"));
        ensure(contacted.insert((lane, *peer)), || format!("peer {peer} is contacted twice for {step:?}"))?;
        // Peers are barred by what an input brings, and contacted after that.
        let report = event.view.peers.iter().find(|report| report.peer == *peer);
        let is_barred = report.is_some_and(|report| report.barred_for.is_some());
        ensure(!is_barred, || format!("peer {peer} is contacted, and barred"))
    })?;
    if scenario.setup.remembers_deeds() { bars_are_as_earned(&trace) } else { Ok(()) }
}

/// Where a walk goes, if it shares no peer with the others that go there.
pub(crate) fn shared_target(query: &Query<Toy>, step: Step) -> Option<Key> {
    let Step::Route(route) = step else { return None };
    match query.routes.get(usize::from(route))? {
        Route::Walk { target, .. } if query.disjoint.is_some() => Some(*target),
        _ => None,
    }
}

/// That the engine knows whom to bar, and for how long, where nothing is forgotten.
fn bars_are_as_earned(trace: &Trace) -> Verdict {
    let mut bars = Bars::default();
    let mut before = Ledger::new(&trace.setup);
    for event in &trace.events {
        bars.learn(&before, event, trace);
        before.begin(event);
        event.outputs.iter().for_each(|output| before.output(event, output));
        for report in event.view.peers.iter().filter(|report| !bars.unsure.contains(&report.peer)) {
            let until = bars.until.get(&report.peer).copied().unwrap_or(Time::ZERO);
            let barred_for = (event.now < until).then(|| until - event.now);
            ensure(report.barred_for == barred_for, || {
                format!("{report:?} should be barred for {barred_for:?}, {event}")
            })?;
        }
    }
    Ok(())
}

#[derive(Default)]
struct Bars {
    invalid: BTreeMap<u8, u32>,
    until: BTreeMap<u8, Time>,
    /// Of whom a reader cannot tell: whether an item was judged, or a lookup's peer known.
    unsure: BTreeSet<u8>,
}

impl Bars {
    fn learn(&mut self, before: &Ledger, event: &Event, trace: &Trace) {
        let config = &trace.setup.config.reputation;
        if let Input::Bar(peer) = event.input {
            self.until.insert(peer, event.now + config.bar_for);
        }
        let Some(open) = event.input.request().and_then(|request| before.contacts.get(&request)) else {
            return;
        };
        if before.is_stale(event) {
            return;
        }
        let validator = before.queries[&open.query].query.validator.as_ref();
        let refuses = |note: &Note| validator.is_some_and(|validator| validator.validate(&7, note).is_err());
        match (&event.input, open.asked) {
            (Input::Progress(_, Some(peer), _), None) => {
                self.unsure.insert(*peer);
            }
            (Input::Failure(_, Failure::Invalid), Some((peer, _))) => self.invalid(peer, event.now, config),
            (Input::Reply(_, reply), Some((peer, _))) => {
                let read = reply.items.iter().take(trace.setup.config.caps.items_per_reply);
                let is_refused = read.into_iter().any(refuses);
                let is_enough = event.outputs.iter().any(|output| {
                    matches!(output, Output::Finished { outcome, .. }
                        if matches!(outcome.reason, Reason::EnoughResults | Reason::QuorumReached))
                });
                // Of a refresh nobody says when it has enough.
                let is_enough = is_enough || before.refresh(open.work).is_some();
                if reply.invalid > 0 || is_refused && !is_enough {
                    self.invalid(peer, event.now, config);
                } else if is_refused {
                    self.unsure.insert(peer);
                }
            }
            _ => {}
        }
    }

    fn invalid(&mut self, peer: u8, now: Time, config: &ReputationConfig) {
        let count = self.invalid.entry(peer).or_insert(0);
        *count += 1;
        let until = self.until.entry(peer).or_insert(Time::ZERO);
        if *count >= config.invalid_max && now >= *until {
            *until = now + config.bar_for;
        }
    }
}
