//! What is held back until enough agree, or for the end.

use dragnet_core::{Caps, Delivery, EngineConfig, LookupTotals, QueryConfig, Reason, Reply, Route};

use crate::bench::{Answer, Bench, Numbers, config, ms, query};

fn version(id: u32, version: u32) -> Answer {
    Answer { id, version }
}

fn quorum(votes: usize) -> QueryConfig {
    config().with_delivery(Delivery::Quorum(votes)).with_fan_out(100)
}

fn at_end() -> QueryConfig {
    config().with_delivery(Delivery::BestAtEnd).with_fan_out(100)
}

impl Bench {
    fn gives(&mut self, peer: u32, items: &[Answer]) {
        self.reply(peer, Reply::with_items(items.to_vec()));
    }

    /// Id, version, votes and first giver of what was found.
    fn elected(&self, query: dragnet_core::QueryId) -> Vec<(u32, u32, u32, Option<u32>)> {
        let found = self.found.get(&query).into_iter().flatten();
        found.map(|found| (found.item.id, found.item.version, found.votes, found.from)).collect()
    }
}

#[test]
fn an_item_is_delivered_when_enough_peers_have_given_the_same() {
    let mut bench = Bench::new();
    let id = bench.start(query().fetch_from(1..=5).config(quorum(3).with_max_results(1)));
    bench.pass(ms(40));
    bench.gives(1, &[version(7, 1)]);
    bench.gives(2, &[version(7, 2)]);
    bench.gives(3, &[version(7, 1)]);
    assert_eq!(bench.elected(id), []);
    bench.pass(ms(10));
    bench.gives(4, &[version(7, 1)]);
    assert_eq!(bench.elected(id), [(7, 1, 3, Some(1))]);
    let found = &bench.found[&id][0];
    assert_eq!((found.response_time, found.elapsed), (Some(ms(40)), ms(50)));
    let outcome = bench.outcome(id);
    assert_eq!((outcome.reason, outcome.results), (Reason::QuorumReached, 1));
    assert_eq!((outcome.stats.duplicate, outcome.stats.conflicting, outcome.stats.withheld), (3, 3, 0));
    assert_eq!(bench.released.len(), 1);
    bench.assert_nothing_left();
}

#[test]
fn a_peer_has_one_vote_for_each_id_however_often_it_gives_it() {
    let mut bench = Bench::new();
    let walk = Route::walk_from(crate::bench::key(0), vec![1]);
    let id = bench.start(query().route(walk).fetch_from([1, 2, 3]).config(quorum(2)));
    // Twice in one reply, another version, and again in the other lane.
    bench.gives(1, &[version(7, 1), version(7, 1), version(7, 2)]);
    bench.gives(1, &[version(7, 1)]);
    assert_eq!(bench.elected(id), []);
    bench.gives(2, &[version(7, 2)]);
    assert_eq!(bench.elected(id), [], "the second version of peer 1 does not count");
    bench.gives(3, &[version(7, 1)]);
    assert_eq!(bench.elected(id), [(7, 1, 2, Some(1))]);
    assert_eq!(bench.outcome(id).reason, Reason::Exhausted, "one item of twenty is not enough");
}

#[test]
fn what_has_no_quorum_is_delivered_at_the_end_the_most_votes_first() {
    let mut bench = Bench::new();
    let id = bench.start(query().fetch_from(1..=6).config(quorum(3).with_max_results(3)));
    bench.gives(1, &[version(7, 1), version(8, 1)]);
    bench.gives(2, &[version(7, 2), version(9, 1)]);
    bench.gives(3, &[version(7, 2), version(10, 1), version(10, 2)]);
    bench.gives(4, &[version(9, 1)]);
    bench.pass(ms(9_999));
    assert_eq!(bench.elected(id), []);
    bench.pass(ms(1));
    assert_eq!(bench.elected(id), [(7, 2, 2, Some(2)), (9, 1, 2, Some(2)), (8, 1, 1, Some(1))]);
    let outcome = bench.outcome(id);
    assert_eq!((outcome.reason, outcome.results, outcome.stats.withheld), (Reason::DeadlineReached, 3, 1));
    assert_eq!(outcome.stats.first_item, Some(ms(10_000)));
    bench.assert_nothing_left();
}

#[test]
fn the_best_by_the_selector_is_delivered_at_the_end() {
    let mut bench = Bench::new();
    let newest = |_: &&'static str, one: &Answer, other: &Answer| one.version.cmp(&other.version);
    let id = bench.start(query().fetch_from(1..=4).selector(newest).config(at_end()));
    bench.gives(1, &[version(7, 2)]);
    bench.gives(2, &[version(7, 9)]);
    bench.gives(3, &[version(7, 2), version(8, 0)]);
    assert_eq!(bench.elected(id), []);
    bench.gives(4, &[version(7, 2), version(8, 0)]);
    assert_eq!(bench.elected(id), [(8, 0, 2, Some(3)), (7, 9, 1, Some(2))]);
    assert_eq!(bench.outcome(id).reason, Reason::Exhausted);
}

#[test]
fn of_equals_the_one_with_more_votes_is_best_and_then_the_first() {
    let mut bench = Bench::new();
    let id = bench.start(query().fetch_from(1..=5).config(at_end()));
    bench.gives(1, &[version(7, 1), version(8, 1)]);
    bench.gives(2, &[version(7, 2), version(8, 2)]);
    bench.gives(3, &[version(7, 2)]);
    bench.gives(4, &[]);
    bench.gives(5, &[]);
    assert_eq!(bench.elected(id), [(7, 2, 2, Some(2)), (8, 1, 1, Some(1))]);
}

#[test]
fn a_cancelled_query_gives_nothing_of_what_it_held() {
    let mut bench = Bench::new();
    let id = bench.start(query().fetch_from([1, 2]).config(at_end()));
    bench.gives(1, &[version(7, 1), version(8, 1)]);
    bench.engine.cancel(bench.now, id);
    bench.drain();
    assert_eq!(bench.elected(id), []);
    let outcome = bench.outcome(id);
    assert_eq!((outcome.reason, outcome.stats.withheld), (Reason::Cancelled, 2));
    assert_eq!(bench.engine.metrics().withheld, 2);
    bench.assert_nothing_left();
}

#[test]
fn a_flood_fills_neither_the_table_nor_an_id() {
    let caps = Caps { held_max: 9, versions_max: 2, ..Caps::default() };
    let mut bench = Bench::with(EngineConfig::default().with_caps(caps));
    let id = bench.start(query().fetch_from(1..=9).config(quorum(2).with_max_results(4)));
    let flood: Vec<Answer> = (100..200).map(|id| version(id, 0)).collect();
    bench.gives(1, &flood);
    let dropped = |bench: &Bench| bench.engine.status(id).expect("it lives").dropped;
    assert_eq!(dropped(&bench), 96, "of one reply as many are held as are wanted");
    // A vote for what is held already needs no room.
    bench.gives(2, &flood);
    assert_eq!(bench.elected(id).len(), 4);
    assert_eq!(bench.outcome(id).reason, Reason::QuorumReached);

    let id = bench.start(query().fetch_from(1..=9).config(quorum(3).with_max_results(4)));
    for peer in 1..=3 {
        bench.gives(peer, &[version(7, peer)]);
    }
    assert_eq!(bench.engine.status(id).expect("it lives").dropped, 1, "a third version of one id");
    for peer in 4..=6 {
        bench.gives(peer, &(0..3).map(|n| version(peer * 10 + n, 0)).collect::<Vec<_>>());
    }
    assert_eq!(bench.engine.status(id).expect("it lives").dropped, 3, "nine are held, and no more");
}

#[test]
fn what_a_lookup_does_not_attribute_is_one_vote_of_its_route() {
    let mut bench = Bench::new();
    let id = bench.start(query().route(Route::delegated()).route(Route::delegated()).config(quorum(2)));
    let (first, second) = (bench.lookups[0], bench.lookups[1]);
    let reply = || Reply::<Numbers>::with_items(vec![version(7, 1)]);
    for _ in 0..3 {
        bench.engine.handle_progress(bench.now, first, None, reply());
    }
    bench.drain();
    assert_eq!(bench.elected(id), []);
    bench.engine.handle_progress(bench.now, second, None, reply());
    bench.drain();
    assert_eq!(bench.elected(id), [(7, 1, 2, None)]);

    let id = bench.start(query().route(Route::delegated()).config(quorum(2)));
    let lookup = *bench.lookups.last().expect("it has begun");
    for peer in [5, 5, 6] {
        assert_eq!(bench.elected(id), []);
        bench.engine.handle_progress(bench.now, lookup, Some(peer), reply());
        bench.drain();
    }
    assert_eq!(bench.elected(id), [(7, 1, 2, Some(5))]);
}

#[test]
fn a_quorum_of_one_delivers_the_first_and_counts_the_conflicts() {
    let mut bench = Bench::new();
    let id = bench.start(query().fetch_from(1..=3).config(quorum(1)));
    bench.gives(1, &[version(7, 1)]);
    assert_eq!(bench.elected(id), [(7, 1, 1, Some(1))]);
    bench.gives(2, &[version(7, 2)]);
    bench.gives(3, &[version(7, 1)]);
    let stats = bench.outcome(id).stats;
    assert_eq!((stats.duplicate, stats.conflicting, stats.withheld), (2, 1, 0));
}

#[test]
fn of_any_number_of_peers_that_a_lookup_names_only_so_many_have_votes() {
    let caps = Caps { held_max: 2, ..Caps::default() };
    let mut bench = Bench::with(EngineConfig::default().with_caps(caps));
    let id = bench.start(query().route(Route::delegated()).fetch_from([1]).config(at_end()));
    for peer in 100..200 {
        let reply = Reply::with_items(vec![version(7, 1)]);
        bench.engine.handle_progress(bench.now, bench.lookups[0], Some(peer), reply);
    }
    // One whom the engine asked itself has its vote still.
    bench.gives(1, &[version(7, 1)]);
    bench.engine.handle_done(bench.now, bench.lookups[0], LookupTotals::default());
    bench.lookups.clear();
    bench.drain();
    assert_eq!(bench.elected(id), [(7, 1, 4, Some(100))], "two, one of all others, and one");
    assert_eq!(bench.outcome(id).stats.dropped, 97);
    bench.assert_nothing_left();
}
