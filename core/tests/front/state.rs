//! What one driver knows, taken to the next.

use core::time::Duration;

use dragnet_core::{CachePolicy, Query, QueryConfig, RestoreError};

use crate::kit::{Rig, Words, ask, ms, word};

fn asking(peer: u32) -> Query<Words> {
    ask([peer]).config(QueryConfig::default().with_cache(CachePolicy::Fresh))
}

/// Asks a peer that answers, and one that does not.
fn know(rig: &mut Rig, wire: &crate::kit::WireView) {
    wire.answers(1, ms(20), (0..5).map(word));
    wire.silent([2]);
    for peer in [1, 2] {
        let handle = rig.query(asking(peer));
        rig.block_on(handle.collect()).expect("an outcome");
    }
}

#[test]
fn a_new_driver_goes_on_with_what_a_client_has_exported_of_another() {
    let (mut rig, wire) = Rig::new();
    know(&mut rig, &wire);
    let client = rig.client().clone();
    let live = rig.query(asking(2));
    let state = rig.block_on(client.export()).expect("the driver is there");
    assert_eq!((state.peers.len(), state.answers.len()), (2, 1), "and a query lives on");
    drop(live);

    let (mut next, wire) = Rig::new();
    let away = Duration::from_secs(5);
    let restored =
        next.driver.as_mut().expect("it is there").restore(state.clone(), away).expect("it is fresh");
    assert_eq!((restored.peers, restored.answers), (2, 1));
    assert_eq!(next.client().metrics().peers_known, 2, "before the first poll");
    let handle = next.query(asking(1));
    let (found, outcome) = next.block_on(handle.collect()).expect("an outcome");
    assert_eq!(found.len(), 5);
    assert!(outcome.cached.is_some_and(|cached| cached.age >= away));
    assert_eq!(wire.contacts(), 0);

    let again = next.driver.as_mut().expect("it is there").restore(state, away);
    assert!(matches!(again, Err(RestoreError::NotFresh { .. })));
}

#[test]
fn who_owns_the_driver_can_export_when_its_clients_are_gone() {
    let (mut rig, wire) = Rig::new();
    know(&mut rig, &wire);
    rig.client = None;
    rig.run();
    assert!(rig.has_returned);
    assert_eq!(rig.driver().export().answers.len(), 1);
}

#[test]
fn a_client_is_told_that_there_is_nothing_left_to_export() {
    let (mut rig, _wire) = Rig::new();
    let client = rig.client().clone();
    rig.driver = None;
    assert!(rig.block_on(client.export()).is_err());
}
