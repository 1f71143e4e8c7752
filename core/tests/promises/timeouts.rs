//! Promise 8: the next timeout is exact.

use super::check::{Place, Verdict, ensure, read};
use super::scenario::Scenario;
use super::world::{Event, Input, View, run};

pub(crate) fn poll_timeout_is_exact(scenario: &Scenario) -> Verdict {
    let trace = run(scenario);
    let mut before = trace.first.clone();
    read(&trace, |ledger, event, place| {
        let Place::End = place else { return Ok(()) };
        let (told, expected) = (event.view.timeout, ledger.timeout());
        // Of a refresh that waits for its peers a reader cannot tell whether it lives: the reference can.
        let is_of_refresh = event.view.live.refreshes > 0
            && told.is_some_and(|told| ledger.queries.values().any(|asked| asked.refresh == Some(told)))
            && expected.is_none_or(|expected| told <= Some(expected));
        // Nor can it tell when an answer is late by an adaptive timeout.
        ensure(told == expected || is_of_refresh || ledger.has_adaptive(), || {
            format!("poll_timeout is {told:?}, and should be {expected:?}")
        })?;
        if matches!(event.input, Input::Tick) {
            a_tick(&before, event)?;
        }
        before = event.view.clone();
        Ok(())
    })
}

fn a_tick(before: &View, event: &Event) -> Verdict {
    let mut expected = before.timeless();
    if event.at < event.now {
        expected.metrics.time_reversals += 1;
    }
    let has_changed = !event.outputs.is_empty() || event.view.timeless() != expected;
    if before.timeout.is_some_and(|timeout| timeout <= event.now) {
        ensure(has_changed, || format!("the tick at its timeout {:?} did nothing", before.timeout))
    } else {
        ensure(!has_changed, || format!("a tick before {:?} did something", before.timeout))
    }
}
