//! Queries that ask the same in the simulated network, by bare engines and by the whole front.

use std::time::Duration;

use dragnet_core::front::FrontConfig;
use dragnet_core::{CacheConfig, CachePolicy, EngineConfig, Item, Key, QueryConfig, Reason, Time};
use dragnet_sim::{AskId, ClientId, Request, Share, Sim, SimConfig, SimItem};

const TERM: &[u8] = b"kademlia";

/// A network of two thousand peers, a tenth of them dead, of whom six have something; and a client.
fn network(front: bool, cache: CacheConfig) -> (Sim, ClientId) {
    let config = SimConfig::new(2_000).with_seed(7).with_dead(Share::percent(10)).with_trace();
    let mut sim = Sim::new(config).expect("good settings");
    let term = Key::of(TERM);
    for provider in sim.closest_alive(&Key::of(b"elsewhere"), 6) {
        let items = [provider.key().as_bytes()[0].into(), 1_000];
        sim.provide(provider, items.map(|id| SimItem::new(term, id)));
    }
    let engine = EngineConfig::default().with_cache(cache);
    let client = if front {
        let mut config = FrontConfig::default();
        config.engine = engine;
        sim.front(config, None)
    } else {
        sim.client(engine)
    };
    (sim, client)
}

fn search(sim: &mut Sim, client: ClientId, at_ms: u64, cache: CachePolicy) -> AskId {
    let config = QueryConfig::default().with_timeout(Duration::from_secs(60)).with_cache(cache);
    sim.ask(client, Time::from_millis(at_ms), Request::Search(Key::of(TERM)).query().config(config))
}

fn ids(sim: &Sim, ask: AskId) -> Vec<u64> {
    sim.query(ask).found.iter().map(|found| found.item.id()).collect()
}

#[test]
fn queries_at_one_time_make_the_contacts_of_one_and_all_get_all() {
    for front in [false, true] {
        let (mut sim, client) = network(front, CacheConfig::default());
        let alone = search(&mut sim, client, 0, CachePolicy::Skip);
        sim.run();
        let contacts = sim.metrics(client).contacts_started;

        let (mut sim, client) = network(front, CacheConfig::default());
        let asks: Vec<AskId> = (0..100).map(|n| search(&mut sim, client, n, CachePolicy::Refresh)).collect();
        sim.run();
        let metrics = sim.metrics(client);
        assert_eq!((metrics.contacts_started, metrics.queries_joined), (contacts, 99));
        assert!(!ids(&sim, alone).is_empty());
        for ask in asks {
            assert_eq!(ids(&sim, ask), ids(&sim, alone));
            assert_eq!(sim.query(ask).outcome.as_ref().map(|o| o.reason), Some(Reason::Converged));
        }
    }
}

#[test]
fn a_repeated_query_is_given_the_kept_answer_at_once() {
    for front in [false, true] {
        let (mut sim, client) = network(front, CacheConfig::default());
        let first = search(&mut sim, client, 0, CachePolicy::Fresh);
        let again = search(&mut sim, client, 30_000, CachePolicy::Fresh);
        sim.run();
        assert_eq!(ids(&sim, again), ids(&sim, first));
        let (first, again) = (sim.query(first), sim.query(again));
        let (first, again) = (first.outcome.as_ref().unwrap(), again.outcome.as_ref().unwrap());
        assert_eq!(
            (again.stats.contacted, again.stats.total, again.reason),
            (0, Duration::ZERO, first.reason)
        );
        let age = again.cached.unwrap().age;
        let oldest = first.stats.first_item.unwrap();
        assert_eq!(age, Duration::from_secs(30) - oldest, "as old as its oldest item");
    }
}

#[test]
fn a_stale_answer_is_refreshed_behind_and_leaves_nothing() {
    let cache = CacheConfig { ttl: Duration::from_secs(10), ..CacheConfig::default() };
    for front in [false, true] {
        let (mut sim, client) = network(front, cache.clone());
        search(&mut sim, client, 0, CachePolicy::Stale);
        let stale = search(&mut sim, client, 30_000, CachePolicy::Stale);
        let fresh = search(&mut sim, client, 39_000, CachePolicy::Stale);
        sim.run();
        let cached = |ask| sim.query(ask).outcome.as_ref().unwrap().cached.unwrap();
        assert!(cached(stale).is_stale && !cached(fresh).is_stale);
        assert!(cached(fresh).age < Duration::from_secs(9));
        assert_eq!(ids(&sim, stale), ids(&sim, fresh));
        let metrics = sim.metrics(client);
        assert_eq!((metrics.cache_refreshes, metrics.cache_stale_hits, metrics.cache_hits), (1, 1, 1));
        assert_eq!(sim.live_state(client).unwrap_or_default(), Default::default());
    }
}
