use dragnet_core::{Failure, Reply, Route};

use crate::bench::{Bench, config, key, ms, query};

/// Asks one peer and lets it do this.
fn ask(bench: &mut Bench, peer: u32, act: impl FnOnce(&mut Bench)) {
    bench.start(query().fetch_from([peer]));
    act(bench);
}

fn lie(bench: &mut Bench, peer: u32) {
    ask(bench, peer, |bench| bench.reply(peer, Reply { invalid: 1, ..Reply::default() }));
}

#[test]
fn reputation_moves_both_ways_and_fades() {
    let mut bench = Bench::new();
    ask(&mut bench, 1, |bench| bench.items(1, &[1]));
    ask(&mut bench, 2, |bench| bench.fail(2, Failure::Closed));
    let (good, bad) = (bench.score(1), bench.score(2));
    assert!(good > 500 && bad < 500, "{good} {bad}");
    ask(&mut bench, 1, |bench| bench.fail(1, Failure::Closed));
    ask(&mut bench, 2, |bench| bench.items(2, &[1]));
    assert_eq!((bench.score(1), bench.score(2)), (500, 500));
    ask(&mut bench, 2, |bench| bench.items(2, &[1]));
    let before = bench.score(2);
    bench.pass(std::time::Duration::from_secs(3600));
    assert!(bench.score(2) < before);
    bench.pass(std::time::Duration::from_secs(36_000));
    assert_eq!(bench.score(2), 500);
}

#[test]
fn the_fetch_lane_asks_the_proven_first_and_the_failing_last() {
    let mut bench = Bench::new();
    ask(&mut bench, 5, |bench| bench.items(5, &[1]));
    ask(&mut bench, 1, |bench| bench.fail(1, Failure::Closed));
    // As good as 5, but slower.
    ask(&mut bench, 4, |bench| {
        bench.pass(ms(50));
        bench.items(4, &[1]);
    });
    bench.start(query().fetch_from([1, 2, 3, 4, 5]).config(config().with_fan_out(5)));
    assert_eq!(bench.asked(), [5, 4, 2, 3, 1]);
}

#[test]
fn a_liar_is_barred_for_a_while_and_skipped_by_fetches_and_walks() {
    let mut bench = Bench::new();
    (0..3).for_each(|_| lie(&mut bench, 1));
    assert_eq!(bench.engine.metrics().peers_barred, 1);
    let walk = Route::walk_from(key(0), vec![1, 2]);
    let id = bench.start(query().route(walk).fetch_from([1, 3]));
    assert_eq!(bench.asked(), [2, 3]);
    assert_eq!(bench.engine.status(id).unwrap().barred, 2);
    let report = bench.engine.peers(bench.now).find(|report| report.peer == 1).unwrap();
    assert_eq!(report.barred_for, Some(ms(600_000)));

    bench.engine.cancel(bench.now, id);
    bench.drain();
    bench.pass(ms(600_000));
    ask(&mut bench, 1, |bench| bench.items(1, &[1]));
}

#[test]
fn a_peer_skipped_once_stays_skipped_in_its_query() {
    let mut bench = Bench::new();
    bench.engine.bar(bench.now, 1);
    let id = bench.start(query().fetch_from([1, 2]).config(config().with_timeout(ms(2_000_000))));
    bench.pass(ms(9_000));
    assert_eq!(bench.asked(), [2]);
    bench.engine.cancel(bench.now, id);
    bench.drain();
    assert_eq!(bench.outcome(id).stats.contacted, 1);
}

#[test]
fn a_peer_barred_while_a_contact_waits_for_it_is_not_contacted() {
    use dragnet_core::{Caps, EngineConfig, Reason};
    let caps = Caps { contacts_per_peer: 1, ..Caps::default() };
    let mut bench = Bench::with(EngineConfig::default().with_caps(caps));
    bench.start(query().fetch_from([1]));
    let waiting = bench.start(query().fetch_from([1]));
    bench.engine.bar(bench.now, 1);
    bench.items(1, &[1]);
    let outcome = bench.outcome(waiting);
    assert_eq!((outcome.reason, outcome.stats.barred), (Reason::Exhausted, 1));
    assert_eq!(outcome.stats.contacted, 0);
    bench.assert_nothing_left();
}

#[test]
fn what_is_remembered_of_peers_is_bounded() {
    use dragnet_core::{Caps, EngineConfig};
    let caps = Caps { peers_max: 100, ..Caps::default() };
    let mut bench = Bench::with(EngineConfig::default().with_caps(caps));
    for peer in 0..1_000 {
        ask(&mut bench, peer, |bench| bench.items(peer, &[1]));
    }
    assert_eq!(bench.engine.metrics().peers_known, 100);
    bench.assert_nothing_left();
}
