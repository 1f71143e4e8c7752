//! The whole futures front - client, handle, driver - runs in the simulated network.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use dragnet_core::front::FrontConfig;
use dragnet_core::{EngineConfig, Item, Key, QueryConfig, Reason, StartError, Time};
use dragnet_sim::{Digest, Fault, FaultKind, Request, Share, Sim, SimConfig, SimItem, Whom};
use futures::StreamExt;

fn key(n: u64) -> Key {
    Key::of(&n.to_be_bytes())
}

fn network(seed: u64) -> Sim {
    let config = SimConfig::new(1_000).with_seed(seed).with_dead(Share::percent(20));
    let mut sim = Sim::new(config.with_loss(Share::percent(1))).expect("good settings");
    for n in 0..30 {
        sim.put(SimItem::new(key(n), n));
        let provider = sim.closest_alive(&key(n + 1_000), 1)[0];
        sim.provide(provider, [SimItem::new(key(n), n + 500)]);
    }
    sim
}

/// Three fronts, one of them a peer, and thirty queries of both kinds.
fn fronts(seed: u64) -> (Digest, usize) {
    let mut sim = network(seed);
    let peer = sim.closest_alive(&key(77), 1)[0];
    let clients = [None, None, Some(peer)].map(|peer| sim.front(FrontConfig::default(), peer));
    for n in 0..30 {
        let request = if n % 2 == 0 { Request::Get(key(n)) } else { Request::Search(key(n)) };
        sim.ask(clients[n as usize % 3], Time::from_millis(n * 20), request.query());
    }
    sim.run();
    assert!(sim.queries().iter().all(|run| run.outcome.is_some() && run.id.is_some()));
    let found = sim.queries().iter().filter(|run| !run.found.is_empty()).count();
    (sim.digest(), found)
}

#[test]
fn many_fronts_find_what_they_look_for_and_the_same_seed_gives_the_same_run() {
    let (digest, found) = fronts(1);
    assert!(found >= 28, "{found} of 30");
    assert_eq!(fronts(1), (digest, found));
    assert_ne!(fronts(2).0, digest);
}

#[test]
fn a_front_and_a_bare_engine_get_the_same() {
    let outcome = |front: bool| {
        let mut sim = network(3);
        let client =
            if front { sim.front(FrontConfig::default(), None) } else { sim.client(EngineConfig::default()) };
        let asked = sim.ask(client, Time::from_millis(7), Request::Search(key(4)).query());
        sim.run();
        let run = sim.query(asked).clone();
        (run.id, run.found, run.outcome)
    };
    assert_eq!(outcome(true), outcome(false));
}

#[test]
fn a_task_reads_a_query_as_a_stream_and_cancels_it_by_dropping_it() {
    let mut sim = network(4);
    let front = sim.front(FrontConfig::default(), None);
    let client = sim.front_client(front).expect("a front");
    let seen = Rc::new(RefCell::new(Vec::new()));
    let notes = Rc::clone(&seen);
    sim.spawn(async move {
        let mut first = client.query(Request::Get(key(1)).query()).expect("room");
        let dropped = client.query(Request::Get(key(2)).query()).expect("room");
        let item = first.next().await.map(|found| found.item);
        notes.borrow_mut().extend(item.map(|item| item.id()));
        drop(dropped);
        let (rest, outcome) = first.collect().await.expect("the driver lives");
        assert_eq!((rest.len(), outcome.reason), (0, Reason::Converged));
        client.shutdown().await;
        notes.borrow_mut().push(u64::MAX);
        let refused = client.query(Request::Get(key(3)).query());
        assert_eq!(refused.err(), Some(StartError::ShutDown));
    });
    sim.run_until(Time::from_millis(60_000));
    assert_eq!(*seen.borrow(), [1, u64::MAX]);
    let metrics = sim.metrics(front);
    assert_eq!((metrics.queries_finished, metrics.queries_cancelled, metrics.contacts_in_flight), (2, 1, 0));
}

#[test]
fn a_deadline_in_virtual_time_is_exact_whatever_the_network_does() {
    let mut sim = network(5);
    sim.fault(Fault::new(FaultKind::Silent, Whom::All));
    let front = sim.front(FrontConfig::default(), None);
    let config = QueryConfig::default().with_timeout(Duration::from_millis(1_234));
    let asked = sim.ask(front, Time::from_millis(100), Request::Get(key(1)).query().config(config));
    sim.run();
    let run = sim.query(asked).clone();
    let outcome = run.outcome.expect("ended");
    assert_eq!(
        (outcome.reason, outcome.stats.total),
        (Reason::DeadlineReached, Duration::from_millis(1_234))
    );
    assert_eq!(sim.now(), Time::from_millis(1_334));
    assert!(sim.strikes().of(FaultKind::Silent) > 0);
}
