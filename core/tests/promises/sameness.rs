//! Promises 10 and 11, and checkpoints: what the outputs do not depend on.

use std::fmt::Debug;

use dragnet_core::{Output, Time};

use super::check::{Verdict, ensure};
use super::ledger::{Ledger, is_due};
use super::network::Toy;
use super::scenario::Scenario;
use super::world::{Event, Input, Trace, View, replay, run};

pub(crate) fn same_seed_and_inputs_same_outputs(scenario: &Scenario) -> Verdict {
    let first = run(scenario);
    let again = run(scenario);
    for (event, other) in first.events.iter().zip(&again.events) {
        same_outputs(event, other)?;
        same_view(event, &other.view)?;
    }
    ensure(first.events.len() == again.events.len(), || "the second run is shorter".into())?;
    // Another seed chooses other ids; and, only when the table of peers is full, other peers to forget.
    if scenario.setup.remembers_peers() {
        let mut other = scenario.clone();
        other.setup.seed ^= 0xff;
        let other = run(&other);
        ensure(nameless(&first) == nameless(&other), || "another seed changes more than the ids".into())?;
    }
    Ok(())
}

/// All outputs, with queries numbered in the order they were started.
fn nameless(trace: &Trace) -> String {
    let outputs: Vec<&Output<Toy>> = trace.events.iter().flat_map(|event| &event.outputs).collect();
    let mut text = format!("{outputs:?}");
    let ids = trace.events.iter().filter_map(|event| event.started.as_ref()?.as_ref().ok());
    for (number, id) in ids.enumerate() {
        text = text.replace(&id.to_string(), &format!("#{number}"));
    }
    text
}

/// Runs the same inputs without the noise: an input that names nothing live becomes the mere passing of
/// time, and time that goes back stands still.
pub(crate) fn noise_changes_nothing(scenario: &Scenario) -> Verdict {
    let noisy = run(scenario);
    let (mut unknown, mut reversals) = (0, 0);
    let mut ledger = Ledger::new(&scenario.setup);
    let mut quiet: Vec<(Time, Input)> = Vec::new();
    let mut counts = Vec::new();
    for event in &noisy.events {
        let is_unknown = ledger.is_stale(event);
        let is_noise = is_unknown || cancels_nothing(&ledger, event);
        quiet.push((event.now, if is_noise { Input::Tick } else { event.input.clone() }));
        unknown += u64::from(is_unknown);
        reversals += u64::from(event.at < event.now);
        counts.push((unknown, reversals));
        ledger.begin(event);
        event.outputs.iter().for_each(|output| ledger.output(event, output));
    }
    let quiet = replay(&scenario.setup, quiet);
    for ((event, other), (unknown, reversals)) in noisy.events.iter().zip(&quiet.events).zip(counts) {
        same_outputs(event, other)?;
        let mut expected: View = other.view.clone();
        expected.metrics.inputs_unknown = unknown;
        expected.metrics.time_reversals = reversals;
        same_view(event, &expected)?;
    }
    Ok(())
}

/// Lets another engine go on at each checkpoint, with what the checkpoint says alone.
pub(crate) fn a_resumed_engine_goes_on_alike(scenario: &Scenario) -> Verdict {
    let mut resuming = scenario.clone();
    resuming.setup.resumes = true;
    let (same_one, others) = (run(scenario), run(&resuming));
    for (event, other) in same_one.events.iter().zip(&others.events) {
        same("inputs", event, &(event.at, &event.input), &(other.at, &other.input))?;
        same_outputs(event, other)?;
        // Counters begin anew.
        let mut expected = event.view.clone();
        expected.metrics = other.view.metrics.clone();
        same("view", event, &expected, &other.view)?;
        let kept = |event: &Event| (event.view.metrics.cache_entries, event.view.metrics.cache_bytes);
        same("kept answers", event, &kept(event), &kept(other))?;
    }
    Ok(())
}

fn cancels_nothing(ledger: &Ledger, event: &Event) -> bool {
    let Input::Cancel(query) = event.input else { return false };
    let asked = ledger.queries.get(&query);
    asked.is_none_or(|asked| asked.is_finished || is_due(asked.deadline, event.now))
}

fn same_outputs(event: &Event, other: &Event) -> Verdict {
    let are_none = event.outputs.is_empty() && other.outputs.is_empty();
    if are_none { Ok(()) } else { same("outputs", event, &event.outputs, &other.outputs) }
}

/// Views are long: their text is only made when they differ.
fn same_view(event: &Event, other: &View) -> Verdict {
    if event.view == *other { Ok(()) } else { same("view", event, &event.view, other) }
}

fn same(what: &str, event: &Event, one: &impl Debug, other: &impl Debug) -> Verdict {
    let (one, other) = (format!("{one:?}"), format!("{other:?}"));
    ensure(one == other, || format!("the {what} differ, {event}:\n{one}\n{other}"))
}
