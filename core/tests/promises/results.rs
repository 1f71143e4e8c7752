//! Promises 1 and 2: what is delivered.

use std::collections::{BTreeMap, BTreeSet};

use dragnet_core::{Item, Output};

use super::check::{Place, Verdict, ensure, read};
use super::scenario::Scenario;
use super::world::run;

pub(crate) fn no_item_id_is_delivered_twice(scenario: &Scenario) -> Verdict {
    let mut delivered = BTreeSet::new();
    read(&run(scenario), |_, _, place| match place {
        Place::Output(Output::Found { query, found }) => {
            let id = found.item.id();
            ensure(delivered.insert((*query, id)), || format!("item {id} was delivered twice to {query}"))
        }
        _ => Ok(()),
    })
}

pub(crate) fn at_most_max_results_are_delivered(scenario: &Scenario) -> Verdict {
    let mut delivered = BTreeMap::new();
    read(&run(scenario), |ledger, _, place| match place {
        Place::Output(Output::Found { query, .. }) => {
            let count = delivered.entry(*query).or_insert(0);
            *count += 1;
            let Some(asked) = ledger.queries.get(query) else { return Ok(()) };
            let max = asked.config().max_results;
            ensure(*count <= max, || format!("{count} items were delivered to {query}, which wants {max}"))
        }
        Place::Output(Output::Finished { query, outcome }) => {
            let count = delivered.get(query).copied().unwrap_or(0);
            ensure(outcome.results == count, || {
                format!("the outcome of {query} counts {} results of {count}", outcome.results)
            })
        }
        _ => Ok(()),
    })
}
