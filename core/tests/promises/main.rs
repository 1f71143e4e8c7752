//! The promises of the engine, each checked on random sequences of inputs.
//!
//! By default on the sequences of fixed seeds; `.ci/run explore` draws others, as many as `PROPTEST_CASES`. A
//! failure prints the shortest run that shows it, its seed, and the command that brings it back.
//!
//! With `--features sabotage` the engine is also broken on purpose, in every way that `Sabotage` lists, and each has to be
//! noticed.

mod bounds;
#[cfg(feature = "sabotage")]
mod can_fail;
mod check;
mod contacts;
mod coverage;
mod endings;
mod ledger;
mod network;
#[cfg(feature = "record")]
mod recorded;
mod reference;
mod regressions;
mod results;
mod sameness;
mod scenario;
mod sharing;
mod timeouts;
mod world;

use check::holds;
use scenario::Setup;

/// A test for each promise, named by it.
macro_rules! promises {
    ($($name:ident: $property:path;)*) => {$(
        #[test]
        fn $name() {
            holds(stringify!($name), |_| (), $property);
        }
    )*};
}

promises! {
    promise_01_no_item_id_is_delivered_twice: results::no_item_id_is_delivered_twice;
    promise_02_at_most_max_results_are_delivered: results::at_most_max_results_are_delivered;
    promise_03_every_query_finishes_exactly_once_and_is_silent_afterwards:
        endings::every_query_finishes_once_and_is_silent_afterwards;
    promise_04_no_query_outlives_its_deadline_or_is_called_timed_out_before:
        endings::no_query_outlives_its_deadline_or_is_timed_out_before;
    promise_05_every_contact_ends_exactly_once_and_none_outlives_its_query:
        endings::every_contact_ends_exactly_once_and_within_its_query;
    promise_06_no_contact_begins_while_fan_out_or_hedges_are_full:
        contacts::no_contact_begins_without_a_slot;
    promise_07_no_peer_is_contacted_twice_for_one_lane_and_a_barred_one_not_at_all:
        contacts::no_peer_is_contacted_twice_for_one_lane_or_while_barred;
    promise_08_poll_timeout_is_exact: timeouts::poll_timeout_is_exact;
    promise_09_every_table_stays_within_its_cap_and_ends_empty:
        bounds::every_table_stays_within_its_cap_and_ends_empty;
    promise_10_same_seed_and_inputs_same_outputs: sameness::same_seed_and_inputs_same_outputs;
    a_resumed_engine_goes_on_exactly_alike: sameness::a_resumed_engine_goes_on_alike;
    promise_11_unknown_late_repeated_and_backward_inputs_change_nothing: sameness::noise_changes_nothing;
    promise_12_who_shares_gets_all_and_no_kept_answer_is_older_than_allowed:
        sharing::who_shares_gets_all_and_nothing_too_old;
}

#[test]
fn the_engine_says_what_the_reference_says() {
    let test = "the_engine_says_what_the_reference_says";
    holds(test, Setup::forget_nothing, reference::the_engine_says_what_the_reference_says);
}

#[test]
#[cfg(feature = "record")]
fn a_recorded_run_replays_with_the_same_outputs() {
    let test = "a_recorded_run_replays_with_the_same_outputs";
    holds(test, |_| (), recorded::a_recorded_run_replays_with_the_same_outputs);
}
