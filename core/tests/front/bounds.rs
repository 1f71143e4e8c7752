//! What is refused, and why.

use dragnet_core::front::{FrontConfig, QueryHandle, RESULTS_MAX};
use dragnet_core::{Caps, EngineConfig, QueryConfig, Reason, StartError};

use crate::kit::{Rig, WireView, Words, ask, ms, word};

fn with_caps(queries_max: usize, commands_max: usize) -> (Rig, WireView) {
    let caps = Caps { queries_max, ..Caps::default() };
    let config = FrontConfig::default()
        .with_engine(EngineConfig::default().with_caps(caps))
        .with_commands_max(commands_max);
    Rig::with_config(config)
}

fn refused(result: Result<QueryHandle<Words>, StartError>) -> StartError {
    result.expect_err("it is refused")
}

#[test]
fn a_limit_out_of_its_range_is_refused_at_once_and_by_name() {
    let (rig, _) = Rig::new();
    for max_results in [0, RESULTS_MAX + 1] {
        let query = ask([1]).config(QueryConfig::default().with_max_results(max_results));
        let error = refused(rig.client().query(query));
        assert_eq!(
            error,
            StartError::Limit { what: "max_results", value: max_results, min: 1, max: RESULTS_MAX }
        );
    }
    let query = ask([1]).config(QueryConfig::default().with_fan_out(0));
    assert!(matches!(refused(rig.client().query(query)), StartError::Limit { what: "fan_out", .. }));
    assert_eq!(rig.driver().waiting(), 0);
}

#[test]
fn a_cap_on_results_above_the_fronts_is_held_to_it() {
    let caps = Caps { results_max: 1 << 20, ..Caps::default() };
    let config = FrontConfig::default().with_engine(EngineConfig::default().with_caps(caps));
    let (rig, _) = Rig::with_config(config);
    assert_eq!(rig.driver().engine().config().caps.results_max, RESULTS_MAX);
    let query = ask([1]).config(QueryConfig::default().with_max_results(RESULTS_MAX + 1));
    assert!(matches!(refused(rig.client().query(query)), StartError::Limit { .. }));
}

#[test]
fn the_largest_query_fits_its_channel() {
    let (mut rig, wire) = Rig::new();
    for peer in 1..=3 {
        let first = u64::from(peer) * 500;
        wire.answers(peer, ms(1), (first..first + 500).map(word));
    }
    let handle = rig.query(ask(1..=3).config(QueryConfig::default().with_max_results(RESULTS_MAX)));
    rig.run_out();
    let (found, outcome) = rig.block_on(handle.collect()).expect("an outcome");
    assert_eq!((found.len(), outcome.reason), (RESULTS_MAX, Reason::EnoughResults));
}

fn busy(what: &'static str, live: usize) -> StartError {
    StartError::Busy { what, live, max: live }
}

#[test]
fn no_more_queries_are_admitted_than_may_live_whether_started_or_waiting() {
    let (mut rig, wire) = with_caps(3, 1024);
    wire.silent([1]);
    wire.answers(2, ms(1), []);
    let _live = [rig.query(ask([1])), rig.query(ask([1]))];
    rig.run();
    let short = rig.query(ask([2]));
    assert_eq!(refused(rig.client().query(ask([1]))), busy("queries live or wait to", 3));
    rig.block_on(short.collect()).expect("an outcome");
    let fourth = rig.query(ask([1]));
    assert_eq!(refused(rig.client().query(ask([1]))), busy("queries live or wait to", 3));
    drop(fourth);
    rig.run();
    let _fifth = rig.query(ask([1]));
    assert_eq!(rig.client().metrics().queries_refused, 2);
}

#[test]
fn who_sees_the_end_of_a_query_finds_a_place_for_the_next() {
    let (mut rig, wire) = with_caps(1, 1024);
    wire.answers(1, ms(1), [word(1)]);
    for _ in 0..100 {
        let handle = rig.query(ask([1]));
        rig.block_on(handle.collect()).expect("an outcome");
    }
}

#[test]
fn a_full_command_queue_is_busy_and_gives_the_place_back() {
    let (mut rig, wire) = with_caps(1000, 4);
    wire.silent([1]);
    let waiting: Vec<_> = (0..4).map(|_| rig.query(ask([1]))).collect();
    for _ in 0..2000 {
        assert_eq!(refused(rig.client().query(ask([1]))), busy("commands wait for the driver", 4));
    }
    rig.run();
    let more: Vec<_> = (0..4).map(|_| rig.query(ask([1]))).collect();
    rig.run();
    assert_eq!((rig.driver().live(), wire.open()), (8, 8));
    drop((waiting, more));
    rig.run();
    rig.assert_empty(&wire);
}

#[test]
fn questions_wait_for_a_place_in_a_full_command_queue() {
    let (mut rig, wire) = with_caps(1000, 1);
    wire.silent([1]);
    let handle = rig.query(ask([1]));
    rig.run();
    let id = handle.id().expect("it has started");
    let _waiting = rig.query(ask([1]));
    let client = rig.client().clone();
    let stats = rig.block_on(client.status(id)).expect("it lives");
    assert_eq!(stats.contacted, 1);
}

#[test]
fn dropping_handles_is_never_refused() {
    let (mut rig, wire) = with_caps(1000, 1);
    wire.silent([1]);
    let mut handles = Vec::new();
    for _ in 0..500 {
        handles.push(rig.query(ask([1])));
        rig.run();
    }
    let waiting = rig.query(ask([1]));
    handles.clear();
    assert_eq!(rig.driver().waiting(), 501);
    drop(waiting);
    rig.run();
    rig.assert_empty(&wire);
}

#[test]
fn after_a_shutdown_and_without_a_driver_queries_are_refused() {
    let (mut rig, _) = Rig::new();
    let client = rig.client().clone();
    drop(client.shutdown());
    assert!(client.is_shut_down());
    assert_eq!(refused(client.query(ask([1]))), StartError::ShutDown);
    rig.run();
    assert!(rig.has_returned);
    assert_eq!(refused(client.query(ask([1]))), StartError::ShutDown);

    let (mut rig, _) = Rig::new();
    rig.driver = None;
    assert_eq!(refused(rig.client().query(ask([1]))), StartError::ShutDown);
}
