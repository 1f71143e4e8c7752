//! That every property can fail: bare engines are broken in a way that the property is about, and the
//! scenarios of fixed seeds have to show it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use dragnet_core::Sabotage;
use dragnet_sim::scenario::ClientKind;

use super::check::{CASES, FIRST, Property, scenario_of};
use super::properties;

/// Checks that the property notices the sabotage; a panic of the simulator, which asserts some of what
/// it relies on, counts too.
fn notices(sabotage: Sabotage, property: Property) {
    for seed in FIRST..FIRST + CASES {
        let mut scenario = scenario_of(seed);
        scenario.workload.drive = ClientKind::Engine;
        let sabotaged = || property(&scenario, &|sim| sim.sabotage(sabotage));
        let wrong = match catch_unwind(AssertUnwindSafe(sabotaged)) {
            Ok(Ok(())) => continue,
            Ok(Err(wrong)) => wrong,
            Err(_) => "the simulator panics".to_owned(),
        };
        println!("{sabotage:?}, seed {seed}: {wrong}");
        assert_eq!(property(&scenario, &|_| ()), Ok(()), "seed {seed} fails without {sabotage:?} too");
        return;
    }
    panic!("nobody noticed {sabotage:?}");
}

macro_rules! can_fail {
    ($($name:ident: $property:ident, $($sabotage:ident),+;)*) => {$(
        #[test]
        fn $name() {
            $(notices(Sabotage::$sabotage, properties::$property);)+
        }
    )*};
}

can_fail! {
    promise_01_can_fail: no_item_id_is_delivered_twice, DeliverTwice;
    promise_02_can_fail: at_most_max_results_are_delivered, OneResultTooMany;
    promise_03_can_fail: every_query_finishes_once, NeverFinish, FinishTwice, SpeakAfterFinish;
    promise_04_can_fail: deadlines_are_exact, FinishLate, FinishEarly;
    promise_05_can_fail: every_contact_ends_within_its_query, ForgetRelease;
    promise_06_can_fail: no_contact_begins_without_a_slot, OneContactTooMany, OneHedgeTooMany;
    promise_07_can_fail: no_peer_is_contacted_twice, ContactTwice, ShareRoutes;
    promise_07_of_the_barred_can_fail: no_barred_peer_is_contacted, ContactBarred;
    promise_08_can_fail: timeouts_are_exact, SpuriousTimeout, LateTimeout;
    promise_09_can_fail: nothing_lives_at_the_end, KeepPeers;
    promise_10_can_fail: same_seed_same_digest, HiddenState;
    promise_11_can_fail: strays_change_nothing, BelieveStale, GoBackInTime;
}
