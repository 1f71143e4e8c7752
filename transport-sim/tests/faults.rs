//! Every kind of fault strikes, is counted, and does what it says.

use std::time::Duration;

use dragnet_core::{Caps, Delivery, EngineConfig, Item, Key, Outcome, Query, QueryConfig, Reason, Time};
use dragnet_sim::{
    AskId, Fault, FaultKind, LatencyModel, PeerId, QueryRun, Request, Share, Sim, SimConfig, SimItem, SimNet,
    Whom, sound,
};

const SECOND: Time = Time::from_millis(1_000);

/// 600 peers at exactly 100 ms, a record with id 1 under `key`, and a provider of an item with id 2.
fn network(faults: impl IntoIterator<Item = Fault>) -> (Sim, Key, PeerId) {
    let config = SimConfig::new(600).with_latency(LatencyModel::Fixed(Duration::from_millis(100)));
    let mut sim = Sim::new(config.with_seed(5).with_trace()).expect("good settings");
    let key = Key::of(b"key");
    let provider = sim.peer(77);
    sim.put(SimItem::new(key, 1));
    sim.provide(provider, [SimItem::new(key, 2)]);
    faults.into_iter().for_each(|fault| sim.fault(fault));
    (sim, key, provider)
}

fn ask(sim: &mut Sim, query: Query<SimNet>) -> AskId {
    let client = sim.client(EngineConfig::default());
    sim.ask(client, Time::ZERO, query)
}

fn run(sim: &mut Sim, query: Query<SimNet>) -> QueryRun {
    let asked = ask(sim, query);
    sim.run();
    sim.query(asked).clone()
}

fn outcome(run: &QueryRun) -> &Outcome {
    run.outcome.as_ref().expect("the query has ended")
}

/// Asks the provider alone.
fn fetch(key: Key, provider: PeerId) -> Query<SimNet> {
    Query::new(Request::Search(key)).fetch_from([provider]).validator(sound)
}

#[test]
fn a_silent_peer_answers_nothing_until_its_fault_ends() {
    let silent = |provider| Fault::new(FaultKind::Silent, Whom::Peer(provider)).between(Time::ZERO, SECOND);
    let (mut sim, key, provider) = network([]);
    sim.fault(silent(provider));
    let early = ask(&mut sim, fetch(key, provider));
    let client = sim.client(EngineConfig::default());
    let late = sim.ask(client, SECOND, fetch(key, provider));
    sim.run();
    assert!(sim.query(early).found.is_empty());
    assert_eq!(outcome(&sim.query(early)).reason, Reason::DeadlineReached, "waited to the end");
    assert_eq!(sim.query(late).found.len(), 1);
    assert_eq!((sim.strikes().of(FaultKind::Silent), sim.struck()), (1, vec![1]));
}

#[test]
fn a_refusing_and_a_crashed_peer_fail_after_a_round_trip() {
    for kind in [FaultKind::Refusing, FaultKind::Crashed] {
        let (mut sim, key, provider) = network([]);
        sim.fault(Fault::new(kind, Whom::Peer(provider)));
        let run = run(&mut sim, fetch(key, provider));
        assert_eq!(outcome(&run).stats.failed, 1);
        assert_eq!(outcome(&run).stats.total, Duration::from_millis(100));
        assert_eq!(sim.strikes().of(kind), 1);
    }
}

#[test]
fn a_slow_peer_takes_longer() {
    let (mut sim, key, provider) = network([]);
    sim.fault(Fault::new(FaultKind::Slow { by_ms: 400 }, Whom::Peer(provider)));
    let run = run(&mut sim, fetch(key, provider));
    let took = run.found[0].elapsed.as_millis();
    assert!((300..=700).contains(&took), "{took} ms");
    assert_eq!(sim.strikes().of(FaultKind::Slow { by_ms: 0 }), 1);
}

#[test]
fn a_slower_peer_takes_so_many_times_as_long() {
    let (mut sim, key, provider) = network([]);
    sim.fault(Fault::new(FaultKind::Slower { times: 20 }, Whom::Peer(provider)));
    let run = run(&mut sim, fetch(key, provider));
    assert_eq!(run.found[0].elapsed, Duration::from_millis(2_000));
    assert_eq!(sim.strikes().of(FaultKind::Slower { times: 1 }), 1);
}

#[test]
fn loss_takes_its_share_of_the_messages() {
    let kind = FaultKind::Loss { share: Share::percent(20) };
    let (mut sim, key, _) = network([Fault::new(kind, Whom::All)]);
    for _ in 0..20 {
        ask(&mut sim, Request::Get(key).query());
    }
    sim.run();
    let (lost, messages) = (sim.strikes().of(kind), sim.counts().sent + sim.counts().arrived);
    let share = lost as f64 / messages as f64;
    assert!((0.15..0.25).contains(&share), "{lost} of {messages}");
    assert!(sim.queries().iter().all(|run| run.found.len() == 1));
}

#[test]
fn a_reply_that_comes_twice_counts_once() {
    let kind = FaultKind::Duplication { share: Share::ALL };
    let (mut sim, key, _) = network([Fault::new(kind, Whom::All)]);
    let client = sim.client(EngineConfig::default());
    let get = sim.ask(client, Time::ZERO, Request::Get(key).query());
    sim.run();
    let run = sim.query(get).clone();
    assert_eq!(run.found.len(), 1);
    assert_eq!(u64::from(outcome(&run).stats.replied), sim.counts().replied);
    sim.run_until(Time::from_millis(60_000));
    assert_eq!(sim.strikes().of(kind), sim.counts().replied);
    assert_eq!(sim.metrics(client).inputs_unknown, sim.counts().replied);
}

#[test]
fn reordered_messages_come_later_and_nothing_is_lost() {
    let kind = FaultKind::Reordering { share: Share::percent(50), by_ms: 80 };
    let (mut sim, key, _) = network([Fault::new(kind, Whom::All)]);
    let run = run(&mut sim, Request::FindPeers(key).query());
    assert_eq!(outcome(&run).reason, Reason::Converged);
    assert!(sim.strikes().of(kind) > 0);
    let times = sim.with_trace(|trace| {
        let took = |c: &dragnet_sim::TracedContact| c.ended.map(|end| (end - c.sent).as_millis());
        trace.contacts().iter().filter_map(took).collect::<Vec<_>>()
    });
    assert!(times.iter().all(|ms| (100..=260).contains(ms)), "{times:?}");
    assert!(times.iter().any(|ms| *ms > 101), "{times:?}");
}

#[test]
fn a_clogged_link_holds_its_messages_until_it_is_free() {
    let (mut sim, key, provider) = network([]);
    let client = sim.client(EngineConfig::default());
    let me = sim.peer_of(client);
    sim.fault(Fault::new(FaultKind::Clogged, Whom::Link(me, provider)).between(Time::ZERO, SECOND));
    let asked = sim.ask(client, Time::ZERO, fetch(key, provider));
    sim.run();
    assert_eq!(sim.query(asked).found[0].elapsed, Duration::from_millis(1_050));
    assert_eq!(sim.strikes().of(FaultKind::Clogged), 1);
}

#[test]
fn a_partition_cuts_off_and_heals_and_a_one_way_one_still_hears() {
    for (one_way, arrived) in [(false, 0), (true, 1)] {
        let (mut sim, key, provider) = network([]);
        let kind = FaultKind::Partition { one_way };
        sim.fault(Fault::new(kind, Whom::Peer(provider)).between(Time::ZERO, SECOND));
        let cut = ask(&mut sim, fetch(key, provider));
        sim.run_until(Time::from_millis(900));
        assert_eq!((sim.counts().arrived, sim.strikes().of(kind)), (arrived, 1), "one way: {one_way}");
        let client = sim.client(EngineConfig::default());
        let healed = sim.ask(client, SECOND, fetch(key, provider));
        sim.run();
        assert!(sim.query(cut).found.is_empty() && sim.query(healed).found.len() == 1);
    }
}

#[test]
fn tampered_and_misplaced_items_are_invalid() {
    for kind in [FaultKind::CorruptItems, FaultKind::OtherKeys] {
        let (mut sim, key, _) = network([Fault::new(kind, Whom::All)]);
        let run = run(&mut sim, Request::Get(key).query());
        assert!(outcome(&run).stats.invalid > 0, "{kind:?}: {run:?}");
        assert_eq!(run.found.len(), usize::from(kind == FaultKind::OtherKeys), "{kind:?}");
        assert!(sim.strikes().of(kind) > 0);
    }
}

#[test]
fn a_forged_item_looks_sound_and_only_the_votes_of_others_tell() {
    let kind = FaultKind::ForgedItems;
    let outvoted = |quorum, share| {
        let whom = Whom::Share { share: Share::percent(share), salt: 1 };
        let (mut sim, key, _) = network([Fault::new(kind, whom)]);
        let config = QueryConfig::default().with_max_results(1).with_delivery(Delivery::Quorum(quorum));
        let run = run(&mut sim, Request::Get(key).query().config(config));
        assert!(sim.strikes().of(kind) > 0);
        let stats = outcome(&run).stats;
        assert_eq!((run.found.len(), stats.invalid), (1, 0));
        (run.found[0].item.is_invented(), run.found[0].votes, stats.conflicting > 0)
    };
    assert_eq!(outvoted(1, 100), (true, 1, false));
    assert_eq!(outvoted(10, 100), (true, 10, false), "all of them say so");
    assert_eq!(outvoted(10, 30), (false, 10, true));
}

#[test]
fn a_flood_of_items_is_cut_and_ends_the_query_with_what_it_wanted() {
    let kind = FaultKind::FloodItems { count: 5_000 };
    let (mut sim, key, provider) = network([]);
    sim.fault(Fault::new(kind, Whom::Peer(provider)));
    let run = run(&mut sim, fetch(key, provider));
    assert_eq!((outcome(&run).reason, run.found.len()), (Reason::EnoughResults, 20));
    assert_eq!((run.found[0].item.id(), run.found[0].item.is_invented()), (2, false));
    assert!(run.found[1..].iter().all(|found| found.item.is_invented()));
    assert_eq!(sim.strikes().of(kind), 1);
}

#[test]
fn a_flood_of_peers_is_cut_and_the_walk_still_arrives() {
    let kind = FaultKind::FloodPeers { count: 1_000 };
    let whom = Whom::Share { share: Share::percent(10), salt: 1 };
    let (mut sim, key, _) = network([Fault::new(kind, whom)]);
    let config = QueryConfig::default().with_timeout(Duration::from_secs(60));
    let run = run(&mut sim, Request::Get(key).query().config(config));
    assert_eq!(run.found.len(), 1);
    assert!(sim.strikes().of(kind) > 0 && outcome(&run).stats.dropped > 0);
}

#[test]
fn sybils_stand_nearer_to_the_target_than_anybody_and_answer() {
    let kind = FaultKind::Sybils { count: 60 };
    let whom = Whom::Share { share: Share::percent(30), salt: 1 };
    let (mut sim, key, _) = network([Fault::new(kind, whom)]);
    let run = run(&mut sim, Request::FindPeers(key).query());
    assert!(sim.strikes().of(kind) > 20, "{:?}", sim.strikes());
    let id = run.id.expect("started");
    let known: Vec<PeerId> = (0..600).map(|rank| sim.peer(rank)).collect();
    let sybils = sim.with_trace(|trace| {
        trace.of(id).filter(|c| !known.contains(&c.peer)).filter(|c| c.ended.is_some()).count()
    });
    assert!(sybils >= 20, "{sybils} answered");
    assert_eq!(outcome(&run).reason, Reason::Converged, "on the sybils");
}

#[test]
fn walks_among_nothing_but_sybils_end_within_their_caps_and_by_their_deadline() {
    const ROUTES: usize = 4;
    const CANDIDATES: usize = 40;
    let kind = FaultKind::Sybils { count: 60 };
    let caps = Caps { candidates_max: CANDIDATES, ..Caps::default() };
    let ends = |timeout: Duration| {
        let (mut sim, key, _) = network([Fault::new(kind, Whom::All)]);
        let config = QueryConfig::default().with_timeout(timeout);
        let query = Query::new(Request::Get(key)).disjoint(key, ROUTES).config(config);
        let client = sim.client(EngineConfig::default().with_caps(caps.clone()));
        let asked = sim.ask(client, Time::ZERO, query);
        sim.run();
        let run = sim.query(asked).clone();
        let outcome = outcome(&run).clone();
        assert!(run.found.is_empty() && outcome.stats.dropped > 0, "{outcome:?}");
        assert!(outcome.stats.contacted as usize <= ROUTES * CANDIDATES, "{outcome:?}");
        (outcome.reason, outcome.stats.total, outcome.stats.contacted)
    };
    let (reason, total, contacted) = ends(Duration::from_secs(60));
    assert!(matches!(reason, Reason::Converged | Reason::Exhausted), "{reason:?}");
    assert!(total < Duration::from_secs(60) && contacted > 40, "{total:?} {contacted}");
    let second = Duration::from_secs(1);
    assert_eq!(ends(second).1, second);
    assert_eq!(ends(second).0, Reason::DeadlineReached);
}

#[test]
fn a_fault_in_one_place_moves_nothing_elsewhere() {
    let digest = |salt: Option<Fault>| {
        let (mut sim, key, _) = network(salt);
        run(&mut sim, Request::Get(key).query());
        sim.digest()
    };
    // Nobody asks that peer.
    let idle = Fault::new(FaultKind::Silent, Whom::Peer(PeerId::new(1)));
    assert_eq!(digest(None), digest(Some(idle)));
    assert_ne!(digest(None), digest(Some(Fault::new(FaultKind::Slow { by_ms: 10 }, Whom::All))));
}
