//! That every property can fail: the engine is broken in a way that the property is about, and the scenarios
//! of the fixed seeds have to show it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use dragnet_core::Sabotage;

use super::check::{CASES, FIRST, Verdict, scenario_of};
use super::scenario::{Scenario, Setup};
use super::{bounds, contacts, endings, reference, results, sameness, sharing, timeouts};

/// Checks that the property notices the sabotage. A panic of the broken engine does not count.
fn notices(sabotage: Sabotage, prepare: fn(&mut Setup), property: fn(&Scenario) -> Verdict) {
    for seed in FIRST..FIRST + CASES {
        let mut scenario = scenario_of(seed);
        prepare(&mut scenario.setup);
        scenario.setup.sabotage = Some(sabotage);
        if let Ok(Err(wrong)) = catch_unwind(AssertUnwindSafe(|| property(&scenario))) {
            println!("{sabotage:?}, seed {seed}: {}", wrong.lines().next().unwrap_or_default());
            scenario.setup.sabotage = None;
            assert_eq!(property(&scenario), Ok(()), "seed {seed} fails without {sabotage:?} too");
            return;
        }
    }
    panic!("nobody noticed {sabotage:?}");
}

macro_rules! can_fail {
    ($($name:ident: $property:path, $($sabotage:ident),+;)*) => {$(
        #[test]
        fn $name() {
            $(notices(Sabotage::$sabotage, |_| (), $property);)+
        }
    )*};
}

can_fail! {
    promise_01_can_fail: results::no_item_id_is_delivered_twice, DeliverTwice;
    promise_02_can_fail: results::at_most_max_results_are_delivered, OneResultTooMany;
    promise_03_can_fail: endings::every_query_finishes_once_and_is_silent_afterwards,
        NeverFinish, FinishTwice, SpeakAfterFinish;
    promise_04_can_fail: endings::no_query_outlives_its_deadline_or_is_timed_out_before,
        FinishLate, FinishEarly;
    promise_05_can_fail: endings::every_contact_ends_exactly_once_and_within_its_query,
        ForgetRelease, ReleaseTwice;
    promise_06_can_fail: contacts::no_contact_begins_without_a_slot,
        OneContactTooMany, OneHedgeTooMany, RiseTooFar;
    promise_07_can_fail: contacts::no_peer_is_contacted_twice_for_one_lane_or_while_barred,
        ContactTwice, ContactBarred, ShareRoutes;
    promise_08_can_fail: timeouts::poll_timeout_is_exact, SpuriousTimeout, LateTimeout;
    promise_09_can_fail: bounds::every_table_stays_within_its_cap_and_ends_empty, GrowCandidates, KeepPeers;
    promise_10_can_fail: sameness::same_seed_and_inputs_same_outputs, HiddenState;
    a_resumed_engine_can_differ: sameness::a_resumed_engine_goes_on_alike, KeepHidden;
    promise_11_can_fail: sameness::noise_changes_nothing, BelieveStale, GoBackInTime;
    promise_12_can_fail: sharing::who_shares_gets_all_and_nothing_too_old,
        ForgetAccepted, ServeTooOld, KeepUnfinished;
}

#[test]
#[cfg(feature = "record")]
fn a_replay_notices_an_engine_that_has_been_changed() {
    use Sabotage::{ContactTwice, DeliverTwice, FinishLate, ForgetRelease, OneContactTooMany, ServeTooOld};
    for sabotage in [ContactTwice, DeliverTwice, FinishLate, ForgetRelease, OneContactTooMany, ServeTooOld] {
        notices(sabotage, |_| (), super::recorded::a_recorded_run_replays_with_the_same_outputs);
    }
}

#[test]
fn the_reference_notices_what_is_delivered_early_or_held_beyond_the_cap() {
    let property = reference::the_engine_says_what_the_reference_says;
    notices(Sabotage::DeliverEarly, Setup::forget_nothing, property);
    notices(Sabotage::GrowHeld, Setup::forget_nothing, property);
}

#[test]
fn the_reference_notices_a_barred_peer_contacted() {
    let property = reference::the_engine_says_what_the_reference_says;
    notices(Sabotage::ContactBarred, Setup::forget_nothing, property);
}

#[test]
fn the_reference_notices_an_engine_that_does_not_adapt() {
    let property = reference::the_engine_says_what_the_reference_says;
    notices(Sabotage::NeverLearn, Setup::forget_nothing, property);
    notices(Sabotage::NeverHurry, Setup::forget_nothing, property);
    notices(Sabotage::NeverRise, Setup::forget_nothing, property);
}
