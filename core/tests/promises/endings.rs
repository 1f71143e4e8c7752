//! Promises 3, 4 and 5: how queries and contacts end.

use std::collections::BTreeSet;

use dragnet_core::{Output, QueryId, Reason, RequestId};

use super::check::{Place, Verdict, ensure, read};
use super::ledger::{Ledger, is_due};
use super::network::Toy;
use super::scenario::Scenario;
use super::world::{Event, Input, run};

pub(crate) fn every_query_finishes_once_and_is_silent_afterwards(scenario: &Scenario) -> Verdict {
    let trace = run(scenario);
    read(&trace, |ledger, event, place| match place {
        Place::Output(output) => {
            let Some(query) = query_of(ledger, output) else { return Ok(()) };
            let is_live = is_live(ledger, output, query);
            ensure(is_live, || format!("{output:?} speaks of {query}, which does not live"))
        }
        Place::End => {
            let (told, live) = (ledger.live().count(), event.view.live.queries);
            ensure(told == live, || format!("{live} queries live, and {told} have not finished"))?;
            let silent = event.view.statuses.iter().find(|(_, stats)| stats.is_none());
            ensure(silent.is_none(), || format!("there is no status of the live {silent:?}"))
        }
    })?;
    let left = trace.events.last().map_or(0, |event| event.view.live.queries);
    ensure(left == 0, || format!("{left} queries have never finished"))
}

/// Whether an output may be about this query: it has not finished, or it has left a refresh behind, or
/// others share its contacts.
fn is_live(ledger: &Ledger, output: &Output<Toy>, query: QueryId) -> bool {
    let Some(asked) = ledger.queries.get(&query) else { return false };
    let is_shared =
        |work| ledger.members(work).any(|(_, asked)| !asked.is_finished || asked.refresh.is_some());
    match output {
        Output::Contact { .. } | Output::Lookup { .. } => !asked.is_finished || asked.refresh.is_some(),
        Output::Release { request } => ledger.contacts.get(request).is_some_and(|open| is_shared(open.work)),
        _ => !asked.is_finished,
    }
}

/// Whom an output is about.
fn query_of(ledger: &Ledger, output: &Output<Toy>) -> Option<QueryId> {
    match output {
        Output::Contact { query, .. }
        | Output::Lookup { query, .. }
        | Output::Found { query, .. }
        | Output::Finished { query, .. } => Some(*query),
        Output::Release { request } => ledger.contacts.get(request).map(|open| open.query),
        _ => None,
    }
}

pub(crate) fn no_query_outlives_its_deadline_or_is_timed_out_before(scenario: &Scenario) -> Verdict {
    read(&run(scenario), |ledger, event, place| match place {
        Place::Output(output) => at_the_deadline(ledger, event, output),
        Place::End => {
            let late = ledger.live().find(|(_, asked)| is_due(asked.deadline, event.now));
            ensure(late.is_none(), || format!("{} outlives its deadline", late.expect("one is").0))?;
            let Input::Cancel(query) = event.input else { return Ok(()) };
            let due = ledger.queries.get(&query).is_some_and(|asked| is_due(asked.deadline, event.now));
            ensure(!due || event.cancelled == Some(false), || format!("{query} was cancelled, and over"))
        }
    })
}

fn at_the_deadline(ledger: &Ledger, event: &Event, output: &Output<Toy>) -> Verdict {
    let Some((query, asked)) = query_of(ledger, output).and_then(|id| Some((id, ledger.queries.get(&id)?)))
    else {
        return Ok(());
    };
    if asked.is_finished {
        // A contact that others share, or of a refresh.
        return Ok(());
    }
    let is_timed_out =
        matches!(output, Output::Finished { outcome, .. } if outcome.reason == Reason::DeadlineReached);
    let is_over = event.now >= asked.deadline;
    ensure(is_over || !is_timed_out, || format!("{query} timed out before {:?}", asked.deadline))?;
    let holds_back = asked.holds_back();
    let is_rest = holds_back && matches!(output, Output::Found { .. });
    let is_allowed = is_timed_out || is_rest || matches!(output, Output::Release { .. });
    ensure(!is_due(asked.deadline, event.now) || is_allowed, || {
        format!("{output:?} comes at {:?} or after it, the deadline of {query}", asked.deadline)
    })
}

pub(crate) fn every_contact_ends_exactly_once_and_within_its_query(scenario: &Scenario) -> Verdict {
    let mut begun = BTreeSet::new();
    let trace = run(scenario);
    read(&trace, |ledger, event, place| match place {
        Place::Output(output) => at_an_end(&mut begun, ledger, output),
        Place::End => {
            let late = ledger.contacts.iter().find(|(_, open)| is_due(ledger.given_up_at(open), event.now));
            // One that began just now, with a timeout of zero, ends with the next input.
            let late = late.filter(|(_, open)| open.sent < event.now);
            ensure(late.is_none(), || format!("{late:?} outlives its request timeout"))?;
            let left = ledger.contacts.iter().find(|(_, open)| !ledger.may_go_on(open.work, event.now));
            ensure(left.is_none(), || format!("{left:?} outlives all whom it could serve"))
        }
    })
}

fn at_an_end(begun: &mut BTreeSet<RequestId>, ledger: &Ledger, output: &Output<Toy>) -> Verdict {
    match output {
        Output::Contact { request, .. } | Output::Lookup { request, .. } => {
            ensure(begun.insert(*request), || format!("{request} names a second contact"))
        }
        Output::Release { request } => {
            ensure(ledger.contacts.contains_key(request), || format!("{request} is released, and not open"))
        }
        Output::Finished { query, .. } => {
            let work = ledger.queries.get(query).map(|asked| asked.work);
            let others = work.into_iter().flat_map(|work| ledger.members(work));
            let is_last = !others
                .into_iter()
                .any(|(other, asked)| (other != query && !asked.is_finished) || asked.refresh.is_some());
            let left = ledger.contacts.iter().find(|(_, open)| is_last && Some(open.work) == work);
            ensure(left.is_none(), || format!("{left:?} outlives its query"))
        }
        _ => Ok(()),
    }
}
