//! What a front was told in the simulated network, with faults and all, is replayed from its recording.

use std::time::Duration;

use dragnet_core::front::FrontConfig;
use dragnet_core::record::{Ending, RecordConfig, Recorder, Stopped};
use dragnet_core::{Agreement, CachePolicy, Delivery, Key, Query, QueryConfig, Reason, Route, Time};
use dragnet_sim::flight::Flight;
use dragnet_sim::{Fault, FaultKind, Request, Share, Sim, SimConfig, SimItem, SimNet, Whom, all_sound};

fn key(n: u64) -> Key {
    Key::of(&n.to_be_bytes())
}

/// A network in which much goes wrong.
fn network() -> Sim {
    let config = SimConfig::new(800).with_seed(11).with_dead(Share::percent(20));
    let mut sim = Sim::new(config.with_loss(Share::percent(3))).expect("good settings");
    for n in 0..12 {
        sim.put(SimItem::new(key(n), n));
        let provider = sim.closest_alive(&key(n + 1_000), 1)[0];
        sim.provide(provider, [SimItem::new(key(n), n + 500), SimItem::new(key(n), n + 600)]);
    }
    // The providers lie, each in its own way, and one says nothing.
    let providers: Vec<_> = (0..4).map(|n| sim.closest_alive(&key(n + 1_000), 1)[0]).collect();
    let kinds = [FaultKind::CorruptItems, FaultKind::FloodItems { count: 30 }, FaultKind::Silent];
    for (kind, provider) in kinds.into_iter().zip(providers) {
        sim.fault(Fault::new(kind, Whom::Peer(provider)));
    }
    sim
}

/// Queries of every kind: shared, held back for a quorum or the end, disjoint, delegated, cut short.
fn query(n: u64) -> Query<SimNet> {
    let asked = Request::Search(key(n % 5)).query();
    let mut config = QueryConfig::balanced().with_cache(CachePolicy::Stale);
    match n % 6 {
        1 => config = config.with_delivery(Delivery::Quorum(2)),
        2 => config = config.with_delivery(Delivery::BestAtEnd),
        3 => config = config.with_timeout(Duration::from_millis(150)),
        _ => {}
    }
    let query = match n % 7 {
        4 => Query::new(Request::Get(key(n % 5))).disjoint(key(n % 5), 3).agreement(Agreement::Majority),
        5 => asked.route(Route::delegated()),
        6 => {
            asked.selector(|_: &Request, one: &SimItem, other: &SimItem| one.version().cmp(&other.version()))
        }
        _ => asked,
    };
    query.shared_validator(all_sound()).config(config)
}

fn record(queries: u64, config: RecordConfig) -> (Sim, Vec<u8>) {
    let (recorder, writer) = Recorder::new(config, [3; 16]);
    let mut sim = network();
    let client = sim.recorded_front(FrontConfig::default(), None, recorder);
    for n in 0..queries {
        sim.ask(client, Time::from_millis(n * 40), query(n));
    }
    sim.run();
    // The driver ends its recording when nobody is left to ask anything.
    let front = sim.front_client(client).expect("a front");
    sim.spawn(async move { front.shutdown().await });
    sim.run();
    let mut file = Vec::new();
    writer.run(&mut file).expect("memory takes it");
    (sim, file)
}

#[test]
fn a_front_in_trouble_replays_to_the_last_output() {
    let (sim, file) =
        record(60, RecordConfig::default().with_block_bytes(4_000).with_blocks_waiting_max(10_000));
    let flight = Flight::replay(&file[..]).expect("a whole recording");
    assert_eq!(flight.differs_at, None);
    assert_eq!(flight.ending, Ending::Whole(Stopped::Finished));
    assert_eq!(flight.bytes, file.len() as u64);
    for kind in [FaultKind::CorruptItems, FaultKind::FloodItems { count: 0 }, FaultKind::Silent] {
        assert!(sim.strikes().of(kind) > 0, "{kind:?}");
    }
    let runs = sim.queries();
    assert_eq!(flight.queries.len(), runs.len());
    for (flown, run) in flight.queries.iter().zip(runs.iter()) {
        assert_eq!((flown.id, &flown.outcome), (run.id, &run.outcome));
    }
    let reasons: Vec<Reason> = runs.iter().filter_map(|run| Some(run.outcome.as_ref()?.reason)).collect();
    assert!(reasons.contains(&Reason::DeadlineReached), "{reasons:?}");
    assert!(runs.iter().any(|run| run.outcome.as_ref().is_some_and(|outcome| outcome.cached.is_some())));
    assert!(runs.iter().any(|run| run.outcome.as_ref().is_some_and(|outcome| outcome.stats.invalid > 0)));
}

#[test]
fn what_a_cut_has_left_is_shown_and_the_cut_is_told() {
    let (_, file) =
        record(20, RecordConfig::default().with_block_bytes(1_000).with_blocks_waiting_max(10_000));
    let cut = Flight::replay(&file[..file.len() / 2]).expect("its head stands");
    assert!(cut.inputs > 0 && cut.differs_at.is_none() && !cut.is_whole());
    assert!(matches!(cut.ending, Ending::CutOff { .. }), "{}", cut.ending);
    let whole = Flight::replay(&file[..]).expect("whole");
    assert!(whole.is_whole() && !whole.is_early());
    let (_, full) = record(
        20,
        RecordConfig::default().with_bytes_max(9_000).with_two_files(false).with_block_bytes(1_000),
    );
    let full = Flight::replay(&full[..]).expect("whole");
    assert!(full.is_whole() && full.is_early(), "{}", full.ending);
    assert!(cut.queries.len() <= whole.queries.len() && !cut.queries.is_empty());
    let first = cut.queries[0].id.expect("it started").to_string();
    assert_eq!((cut.find(&first[..8]), cut.find("0"), cut.find("zzz")), (Some(0), Some(0), None));
}
