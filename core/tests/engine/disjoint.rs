//! Several walks to one target that share no peer, and what they agree on.

use dragnet_core::{Agreement, Caps, Delivery, EngineConfig, Query, Reason, Reply, Route, StartError, Step};

use crate::bench::{Answer, Bench, Numbers, config, key, ms, query};

fn version(version: u32) -> Answer {
    Answer { id: 7, version }
}

/// So many disjoint walks to 0 from these peers.
fn walks(routes: usize, first: &[u32]) -> Query<Numbers> {
    let query = query().route(Route::walk_from(key(0), first.to_vec()));
    query.disjoint(key(0), routes - 1).config(config().with_fan_out(1).with_closest(3))
}

impl Bench {
    fn asked_by(&self, route: u16) -> Vec<u32> {
        let of_route = self.contacts.iter().filter(|(_, _, step)| *step == Step::Route(route));
        of_route.map(|(_, peer, _)| *peer).collect()
    }

    fn says(&mut self, peer: u32, item: Answer, closer: &[u32]) {
        self.reply(peer, Reply { items: vec![item], closer: closer.to_vec(), ..Reply::default() });
    }
}

#[test]
fn the_first_candidates_are_dealt_out_the_closest_first() {
    let mut bench = Bench::new();
    // Named in any order, by two routes, one of them twice.
    let first = Route::walk_from(key(0), vec![50, 10, 40]);
    let second = Route::walk_from(key(0), vec![20, 10, 30, 60]);
    let wide = config().with_fan_out(100).with_closest(100);
    bench.start(
        query().route(first).route(second).route(Route::walk(key(0))).agreement(Agreement::One).config(wide),
    );
    assert_eq!(bench.asked_by(0), [10, 40]);
    assert_eq!(bench.asked_by(1), [20, 50]);
    assert_eq!(bench.asked_by(2), [30, 60]);
}

#[test]
fn walks_to_other_targets_keep_their_candidates() {
    let mut bench = Bench::new();
    let first = Route::walk_from(key(0), vec![10]);
    let second = Route::walk_from(key(1), vec![10]);
    bench.start(query().route(first).route(second).agreement(Agreement::One));
    assert_eq!(bench.asked(), [10, 10]);
}

#[test]
fn a_peer_belongs_to_the_walk_that_asks_it_first() {
    let mut bench = Bench::new();
    let id = bench.start(walks(2, &[10, 20]));
    bench.closer(10, &[1, 2]);
    assert_eq!((bench.asked_by(0), bench.asked_by(1)), (vec![1], vec![20]));
    // 1 is the other's, and 2 is nobody's yet.
    bench.closer(20, &[1, 2, 3]);
    assert_eq!((bench.asked_by(0), bench.asked_by(1)), (vec![1], vec![2]));
    bench.closer(1, &[]);
    assert_eq!(bench.asked_by(0), [], "2 is asked by the other walk, and 3 was not named");
    bench.closer(2, &[]);
    bench.closer(3, &[]);
    assert_eq!(bench.outcome(id).reason, Reason::Exhausted);
    bench.assert_nothing_left();
}

#[test]
fn every_walk_converges_on_the_closest_that_no_other_has() {
    let mut bench = Bench::new();
    let id = bench.start(walks(2, &[10, 20]));
    let all: Vec<u32> = (1..9).collect();
    let mut asked = [Vec::new(), Vec::new()];
    while let Some(&(_, peer, Step::Route(route))) = bench.contacts.first() {
        asked[usize::from(route)].push(peer);
        bench.closer(peer, &all);
    }
    assert_eq!(asked, [[10, 1, 3, 5], [20, 2, 4, 6]]);
    assert_eq!(bench.outcome(id).reason, Reason::Converged);
}

#[test]
fn a_flood_of_invented_peers_takes_none_from_the_other_walk() {
    let mut bench =
        Bench::with(EngineConfig::default().with_caps(Caps { candidates_max: 8, ..Caps::default() }));
    bench.start(walks(2, &[100, 200]));
    // The first walk's peer names the peers near the target, and more; none is asked but one.
    bench.closer(100, &(10..30).collect::<Vec<_>>());
    assert_eq!(bench.asked_by(0), [10]);
    bench.closer(200, &(10..20).collect::<Vec<_>>());
    assert_eq!(bench.asked_by(1), [11]);
    bench.closer(11, &[]);
    assert_eq!(bench.asked_by(1), [12]);
}

#[test]
fn who_waits_for_a_peer_waits_no_longer_when_another_walk_has_it() {
    let caps = Caps { contacts_per_peer: 1, ..Caps::default() };
    let mut bench = Bench::with(EngineConfig::default().with_caps(caps));
    let busy = bench.start(query().fetch_from([1]));
    let id = bench.start(walks(2, &[10, 20]));
    bench.closer(10, &[1]);
    bench.closer(20, &[1]);
    assert_eq!(bench.engine.metrics().contacts_waiting, 2, "both walks want it");
    bench.engine.cancel(bench.now, busy);
    bench.drain();
    assert_eq!((bench.asked_by(0), bench.asked_by(1)), (vec![1], vec![]));
    assert_eq!(bench.engine.metrics().contacts_waiting, 0);
    bench.closer(1, &[]);
    assert_eq!(bench.outcome(id).stats.contacted, 3);
    bench.assert_nothing_left();
}

#[test]
fn a_majority_of_the_routes_must_have_found_an_item() {
    let mut bench = Bench::new();
    let id = bench.start(walks(3, &[10, 20, 30]).agreement(Agreement::Majority));
    bench.says(10, version(1), &[1, 2]);
    // A second peer of one route is the same witness.
    bench.says(1, version(1), &[]);
    assert!(!bench.found.contains_key(&id));
    bench.says(20, version(2), &[3]);
    bench.pass(ms(5));
    bench.says(30, version(1), &[]);
    let found = &bench.found[&id][0];
    assert_eq!((found.item.version, found.votes, found.from, found.elapsed), (1, 2, Some(10), ms(5)));
}

#[test]
fn what_too_few_routes_agree_on_is_never_delivered() {
    for agreement in [Agreement::Majority, Agreement::All] {
        let mut bench = Bench::new();
        let id = bench.start(walks(3, &[10, 20, 30]).agreement(agreement));
        bench.says(10, version(1), &[]);
        bench.closer(20, &[]);
        // Two of the three have ended without it.
        bench.closer(30, &[]);
        let outcome = bench.outcome(id);
        assert_eq!((outcome.results, outcome.stats.withheld), (0, 1), "{agreement:?}");
        assert!(!bench.found.contains_key(&id));
    }
}

#[test]
fn a_quorum_counts_routes_and_delivers_the_rest_at_the_end() {
    let mut bench = Bench::new();
    let quorum = config().with_delivery(Delivery::Quorum(2)).with_fan_out(1).with_max_results(1);
    let id = bench.start(walks(2, &[10, 20]).config(quorum.clone()));
    bench.says(10, version(1), &[1]);
    bench.says(1, version(1), &[]);
    bench.says(20, version(1), &[]);
    assert_eq!(bench.found[&id][0].votes, 2);
    assert_eq!(bench.outcome(id).reason, Reason::QuorumReached);

    let id = bench.start(walks(2, &[10, 20]).config(quorum));
    bench.says(10, version(1), &[1]);
    bench.says(1, version(1), &[]);
    bench.closer(20, &[]);
    assert_eq!(bench.found[&id][0].votes, 1);
}

#[test]
fn a_provider_speaks_for_every_route_that_has_named_it() {
    let search = walks(3, &[10, 20, 30]).fetch_providers().fetch_from([90]);
    let search = search.agreement(Agreement::Majority).config(config().with_fan_out(10));
    let mut bench = Bench::new();
    let id = bench.start(search.clone());
    bench.reply(10, Reply { providers: vec![91, 92], closer: vec![1], ..Reply::default() });
    // One's own is a witness too; two providers of one route are one.
    bench.says(91, version(1), &[]);
    bench.says(92, version(1), &[]);
    assert!(!bench.found.contains_key(&id));
    // Named after it has answered.
    bench.reply(20, Reply::with_providers(vec![91]));
    assert_eq!(bench.found[&id][0].votes, 2);

    let mut bench = Bench::new();
    let id = bench.start(search);
    bench.reply(10, Reply { providers: vec![91], closer: vec![1], ..Reply::default() });
    bench.says(90, version(1), &[]);
    bench.says(91, version(1), &[]);
    assert_eq!(bench.found[&id][0].votes, 2);
}

#[test]
fn who_is_named_in_the_fetch_lane_is_no_witness_more() {
    let search = walks(3, &[10, 20, 30]).fetch_providers();
    let search = search.agreement(Agreement::Majority).config(config().with_fan_out(10));
    let mut bench = Bench::new();
    let id = bench.start(search.clone());
    bench.reply(10, Reply { providers: vec![91], closer: vec![1], ..Reply::default() });
    // A liar that one route has found, its accomplices, and one of theirs.
    let lie = |providers| Reply { items: vec![version(1)], providers, ..Reply::default() };
    bench.reply(91, lie(vec![92, 93, 94]));
    bench.reply(92, lie(vec![95]));
    [93, 94, 95].into_iter().for_each(|peer| bench.reply(peer, lie(vec![])));
    assert!(!bench.found.contains_key(&id));
    // Named by another route too, one speaks for both.
    bench.reply(20, Reply::with_providers(vec![95]));
    assert_eq!(bench.found[&id][0].votes, 2);

    // Of the asker's own, one has accomplices; they add nothing to its vote.
    let mut bench = Bench::new();
    let id = bench.start(search.fetch_from([90, 96]));
    bench.reply(90, lie(vec![91, 92]));
    [91, 92].into_iter().for_each(|peer| bench.reply(peer, lie(vec![])));
    assert!(!bench.found.contains_key(&id));
    bench.reply(96, lie(vec![]));
    assert_eq!(bench.found[&id][0].votes, 2);

    // They are heard where nobody else speaks.
    let config = config().with_delivery(Delivery::BestAtEnd);
    let search = query().fetch_providers().fetch_from([90]).agreement(Agreement::One).config(config);
    let id = bench.start(search);
    bench.reply(90, Reply::with_providers(vec![91]));
    bench.says(91, version(1), &[]);
    assert_eq!(bench.found[&id][0].votes, 1);
}

#[test]
fn at_most_64_routes_are_disjoint() {
    let caps = Caps { routes_max: 100, ..Caps::default() };
    let mut bench = Bench::with(EngineConfig::default().with_caps(caps));
    let refused = bench.engine.start(bench.now, walks(65, &[1]));
    let what = "the number of disjoint routes";
    assert_eq!(refused, Err(StartError::Limit { what, value: 65, min: 0, max: 64 }));
    let id = bench.start(walks(64, &(1..=64).collect::<Vec<_>>()).agreement(Agreement::All));
    for peer in 1..=64 {
        assert!(!bench.found.contains_key(&id));
        bench.says(peer, version(1), &[]);
    }
    assert_eq!(bench.found[&id][0].votes, 64);
}
