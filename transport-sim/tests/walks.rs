//! Bare engines walk the simulated network, and what they find is compared with the truth.

use std::time::Duration;

use dragnet_core::{EngineConfig, Item, Key, QueryConfig, Reason, Time};
use dragnet_sim::{
    AskId, Ended, LatencyModel, PeerId, Request, Sessions, Share, Sim, SimConfig, SimItem, Staleness,
    TracedContact,
};

fn network(peers: u32, seed: u64, dead: u32) -> SimConfig {
    SimConfig::new(peers).with_seed(seed).with_dead(Share::percent(dead)).with_trace()
}

fn key(n: u64) -> Key {
    Key::of(&n.to_be_bytes())
}

/// The peers that answered a query, closest to the key first.
fn answered(sim: &Sim, query: AskId, key: &Key) -> Vec<PeerId> {
    let id = sim.query(query).id.expect("the query has started");
    let replied = |how| matches!(how, Ended::Replied { .. });
    let mut peers: Vec<PeerId> =
        sim.with_trace(|trace| trace.of(id).filter(|c| replied(c.how)).map(|c| c.peer).collect());
    peers.sort_by_key(|peer| peer.key().distance(key));
    peers
}

/// How many of 40 walks end for this reason and had answers of exactly the `count` closest living peers.
fn perfect_walks(config: SimConfig, count: usize, reasons: &[Reason]) -> usize {
    let mut sim = Sim::new(config).expect("good settings");
    let client = sim.client(EngineConfig::default());
    let settings = QueryConfig::default().with_timeout(Duration::from_secs(60));
    let walk = |sim: &mut Sim, n| {
        let query = Request::FindPeers(key(n)).query().config(settings.clone());
        sim.ask(client, Time::from_millis(n * 100), query)
    };
    let walks: Vec<(AskId, Key)> = (0..40).map(|n| (walk(&mut sim, n), key(n))).collect();
    sim.run();
    let perfect = |(query, key): &&(AskId, Key)| {
        let run = sim.query(*query);
        let outcome = run.outcome.as_ref().expect("the query has ended");
        let closest = sim.closest_alive(key, count);
        reasons.contains(&outcome.reason) && answered(&sim, *query, key).starts_with(&closest)
    };
    walks.iter().filter(perfect).count()
}

#[test]
fn a_walk_over_living_peers_finds_exactly_the_closest() {
    assert_eq!(perfect_walks(network(300, 1, 0), 20, &[Reason::Converged]), 40);
    assert_eq!(perfect_walks(network(5_000, 2, 0), 20, &[Reason::Converged]), 40);
}

/// Some of the 20 peers that a reply names are dead, so now and then nobody tells of the 20th living one.
#[test]
fn a_walk_among_a_quarter_of_dead_peers_finds_the_closest_living() {
    assert_eq!(perfect_walks(network(300, 3, 25), 18, &[Reason::Converged]), 40);
    assert_eq!(perfect_walks(network(5_000, 4, 25), 18, &[Reason::Converged]), 40);
}

/// Where nobody notices that peers are gone, a quarter of the 20 that a reply names are dead ones, and
/// all who are near name the same: nobody tells of the 20 closest living, only of about 15.
#[test]
fn where_tables_are_never_cleaned_a_walk_still_finds_the_closest_ten() {
    let config = |peers, seed| network(peers, seed, 25).with_staleness(Staleness::Uniform);
    let reasons = [Reason::Converged, Reason::Exhausted];
    assert_eq!(perfect_walks(config(300, 5), 10, &reasons), 40);
    assert_eq!(perfect_walks(config(5_000, 6), 10, &reasons), 40);
}

#[test]
fn a_get_finds_the_record_that_was_put() {
    let mut sim = Sim::new(network(2_000, 6, 20)).unwrap();
    let client = sim.client(EngineConfig::default());
    let item = SimItem::new(key(1), 77);
    let holders = sim.put(item);
    assert_eq!(holders, sim.closest_alive(&key(1), 20));
    let all = sim.ask(client, Time::ZERO, Request::Get(key(1)).query());
    let config = QueryConfig::default().with_max_results(1);
    let get = sim.ask(client, Time::ZERO, Request::Get(key(1)).query().config(config.clone()));
    let missing = sim.ask(client, Time::ZERO, Request::Get(key(2)).query().config(config));
    sim.run();
    let run = sim.query(get);
    assert_eq!(run.outcome.as_ref().unwrap().reason, Reason::EnoughResults);
    assert_eq!(run.found.iter().map(|found| found.item).collect::<Vec<_>>(), [item]);
    let run = sim.query(missing);
    assert_eq!((run.outcome.as_ref().unwrap().reason, run.found.len()), (Reason::Converged, 0));
    // Those who hold the record give it, and nobody else does.
    let id = sim.query(all).id.unwrap();
    let gave = |how| match how {
        Ended::Replied { items } => Some(items > 0),
        _ => None,
    };
    let right = |c: &TracedContact| gave(c.how).is_none_or(|gave| gave == holders.contains(&c.peer));
    assert!(sim.with_trace(|trace| trace.of(id).count() >= 20 && trace.of(id).all(right)));
}

#[test]
fn a_search_walks_to_the_providers_and_fetches_from_each() {
    let mut sim = Sim::new(network(2_000, 7, 0)).unwrap();
    let client = sim.client(EngineConfig::default());
    for (rank, id) in [(3, 30), (500, 31), (1_999, 32)] {
        let provider = sim.peer(rank);
        sim.provide(provider, [SimItem::new(key(1), id), SimItem::new(key(9), 99)]);
    }
    let search = sim.ask(client, Time::ZERO, Request::Search(key(1)).query());
    sim.run();
    let mut ids: Vec<u64> = sim.query(search).found.iter().map(|found| found.item.id()).collect();
    ids.sort_unstable();
    assert_eq!(ids, [30, 31, 32]);
    assert_eq!(sim.query(search).outcome.as_ref().unwrap().reason, Reason::Converged);
}

#[test]
fn at_the_deadline_what_was_found_has_been_delivered() {
    let mut sim = Sim::new(network(2_000, 8, 0)).unwrap();
    let client = sim.client(EngineConfig::default());
    let living = sim.peer(3);
    sim.provide(living, [SimItem::new(key(1), 5)]);
    let absent = PeerId::new(12_345);
    let config = QueryConfig::default().with_adaptive_timeout(false).with_timeout(Duration::from_secs(2));
    let query = Request::Search(key(1)).query().fetch_from([absent, living]).config(config);
    let search = sim.ask(client, Time::from_millis(250), query);
    sim.run();
    let run = sim.query(search);
    let outcome = run.outcome.as_ref().unwrap();
    assert_eq!((outcome.reason, outcome.results), (Reason::DeadlineReached, 1));
    assert_eq!(outcome.stats.total, Duration::from_secs(2));
    assert_eq!(sim.now(), Time::from_millis(2_250));
}

/// Several clients, one of them a peer, in a network with every kind of trouble.
fn troubled(seed: u64) -> Sim {
    let config = network(1_500, seed, 20)
        .with_sessions(Sessions { shape_milli: 680, scale_s: 300 })
        .with_loss(Share::percent(2));
    let mut sim = Sim::new(config).expect("good settings");
    let peer = sim.peer(9);
    let clients = [sim.client(EngineConfig::default()), sim.client_at(EngineConfig::default(), peer)];
    for n in 0..20 {
        sim.put(SimItem::new(key(n), n));
        let client = clients[n as usize % 2];
        sim.ask(client, Time::from_millis(n * 37), Request::Get(key(n)).query());
    }
    sim.run();
    sim
}

#[test]
fn the_same_seed_gives_the_same_run_and_another_seed_another() {
    let (first, again, other) = (troubled(1), troubled(1), troubled(2));
    assert_eq!(first.digest(), again.digest());
    assert_eq!(first.counts(), again.counts());
    assert!(*first.queries() == *again.queries());
    assert_ne!(first.digest(), other.digest());
    assert!(first.counts().lost > 0 && first.counts().unanswered > 0, "{:?}", first.counts());
    let found = first.queries().iter().filter(|run| !run.found.is_empty()).count();
    assert!(found >= 18, "{found} of 20 records found");
}

#[test]
fn virtual_time_stops_where_it_is_told_to() {
    let fixed = LatencyModel::Fixed(Duration::from_millis(100));
    let mut sim = Sim::new(network(200, 1, 0).with_latency(fixed)).unwrap();
    let client = sim.client(EngineConfig::default());
    let query = sim.ask(client, Time::from_millis(10), Request::FindPeers(key(1)).query());
    sim.run_until(Time::from_millis(109));
    assert_eq!((sim.now(), sim.counts().replied), (Time::from_millis(109), 0));
    sim.run_until(Time::from_millis(110));
    assert_eq!(sim.counts().replied, 3, "the fan-out, each after exactly its round trip");
    sim.run();
    assert!(sim.query(query).outcome.is_some());
    sim.run_until(Time::from_millis(20_000));
    assert_eq!(sim.counts().timers, 0, "a timer that was set anew does not wake at its old time");
}
