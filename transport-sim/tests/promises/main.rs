//! The promises of the engine, as far as they can be seen from outside, each checked on random scenarios:
//! a small network, what goes wrong in it, who asks what, bare engines and the whole front.
//!
//! By default on the scenarios of fixed seeds; `.ci/run explore` draws others, as many as `PROPTEST_CASES`. A
//! failure prints the smallest scenario that shows it, its seed, and the command that brings it back; the scenario
//! is one that `dragnet-sim run` takes too.
//!
//! With `--features sabotage` the engines are also broken, and each property has to notice.

#[cfg(feature = "sabotage")]
mod can_fail;
mod check;
mod coverage;
mod properties;
mod scenarios;

use check::holds;

/// A test for each promise, named by it. The numbers are those of the engine's own tests.
macro_rules! promises {
    ($($name:ident: $property:ident;)*) => {$(
        #[test]
        fn $name() {
            holds(stringify!($name), properties::$property);
        }
    )*};
}

promises! {
    promise_01_no_item_id_is_delivered_twice: no_item_id_is_delivered_twice;
    promise_02_at_most_max_results_are_delivered: at_most_max_results_are_delivered;
    promise_03_every_query_finishes_exactly_once_and_is_silent_afterwards: every_query_finishes_once;
    promise_04_no_query_outlives_its_deadline_or_is_called_timed_out_before: deadlines_are_exact;
    promise_05_every_contact_ends_once_and_none_outlives_its_query: every_contact_ends_within_its_query;
    promise_06_no_contact_begins_while_fan_out_or_hedges_are_full: no_contact_begins_without_a_slot;
    promise_07_a_peer_is_contacted_at_most_once_per_query_and_lane: no_peer_is_contacted_twice;
    promise_07_a_barred_peer_is_not_contacted_at_all: no_barred_peer_is_contacted;
    promise_08_poll_timeout_is_exact: timeouts_are_exact;
    promise_09_the_live_state_is_empty_at_the_end: nothing_lives_at_the_end;
    promise_10_same_seed_same_digest: same_seed_same_digest;
    promise_11_unknown_late_and_repeated_inputs_and_time_that_goes_back_change_nothing: strays_change_nothing;
}
