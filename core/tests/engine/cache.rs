//! Answers that are kept, and served.

use std::sync::Arc;
use std::time::Duration;

use dragnet_core::{
    CacheConfig, CachePolicy, Cached, Caps, Delivery, EngineConfig, Failure, Invalid, Query, QueryConfig,
    QueryId, Reason, Reply, Route, Validator,
};

use crate::bench::{Answer, Bench, Numbers, config, key, ms, query};

fn fresh() -> QueryConfig {
    config().with_cache(CachePolicy::Fresh)
}

fn stale() -> QueryConfig {
    config().with_cache(CachePolicy::Stale)
}

fn refresh() -> QueryConfig {
    config().with_cache(CachePolicy::Refresh)
}

/// A query of one peer, so configured.
fn ask(config: QueryConfig) -> Query<Numbers> {
    query().fetch_from([1]).config(config)
}

/// Answers are fresh for 100 ms, and stale for 200 ms more; of nothing for 20 ms.
fn cache() -> CacheConfig {
    CacheConfig { ttl: ms(100), ttl_nothing: ms(20), stale_for: ms(200), ..CacheConfig::default() }
}

fn bench_with(cache: CacheConfig) -> Bench {
    Bench::with(EngineConfig::default().with_cache(cache))
}

/// A bench that keeps the answer of peer 1 to `ask`.
fn keeping(ids: &[u32]) -> Bench {
    let mut bench = bench_with(cache());
    bench.start(ask(refresh()));
    bench.items(1, ids);
    bench
}

fn cached(bench: &Bench, id: QueryId) -> Option<(Duration, bool)> {
    bench.outcome(id).cached.map(|Cached { age, is_stale, .. }| (age, is_stale))
}

#[test]
fn a_kept_answer_is_given_at_once_with_its_age_and_nobody_is_asked() {
    let mut bench = bench_with(cache());
    bench.start(query().fetch_from([1, 2]).config(refresh()));
    bench.pass(ms(5));
    bench.items(1, &[10]);
    bench.pass(ms(15));
    bench.items(2, &[11]);
    bench.pass(ms(30));
    let id = bench.start(query().fetch_from([1, 2]).config(fresh()));
    assert_eq!(bench.ids(id), [10, 11]);
    let ages: Vec<_> = bench.found[&id].iter().map(|found| (found.age, found.elapsed, found.from)).collect();
    assert_eq!(ages, [(ms(45), ms(0), Some(1)), (ms(30), ms(0), Some(2))]);
    assert_eq!(cached(&bench, id), Some((ms(45), false)), "as old as its oldest item");
    let outcome = bench.outcome(id);
    assert_eq!((outcome.reason, outcome.results), (Reason::Exhausted, 2));
    assert_eq!((outcome.stats.contacted, outcome.stats.total), (0, ms(0)));
    assert_eq!(outcome.stats.first_item, Some(ms(0)));
    assert!(!bench.engine.cancel(bench.now, id), "it has ended");
    let metrics = bench.engine.metrics();
    assert_eq!((metrics.cache_hits, metrics.cache_misses, metrics.cache_entries), (1, 0, 1));
    assert_eq!((metrics.queries_started, metrics.queries_finished, metrics.contacts_started), (2, 2, 2));
    assert_eq!(metrics.cache_saved.sum(), 20_000_000);
    bench.assert_nothing_left();
}

#[test]
fn a_query_asks_the_network_unless_it_says_otherwise() {
    let mut bench = keeping(&[10]);
    bench.start(ask(config()));
    assert_eq!(bench.asked(), [1]);
    bench.items(1, &[11]);
    bench.start(ask(refresh()));
    assert_eq!(bench.asked(), [1], "this one asks too");
    let id = bench.start(ask(fresh()));
    assert_eq!(bench.ids(id), [10], "what shared nothing was not kept");
}

#[test]
fn an_answer_is_served_up_to_its_time_to_live_and_not_at_it() {
    let mut bench = keeping(&[10]);
    bench.pass(ms(100) - Duration::from_nanos(1));
    let id = bench.start(ask(fresh()));
    assert_eq!(bench.ids(id), [10]);
    bench.pass(Duration::from_nanos(1));
    assert_eq!(bench.engine.poll_timeout(), None, "expiry is no timer");
    bench.start(ask(fresh()));
    assert_eq!(bench.asked(), [1]);
    assert_eq!(bench.engine.metrics().cache_misses, 1);
}

#[test]
fn nobody_is_given_an_answer_that_is_older_than_it_allows() {
    let mut bench = keeping(&[10]);
    bench.pass(ms(40));
    let id = bench.start(ask(fresh().with_max_age(ms(40))));
    assert_eq!(bench.ids(id), [10]);
    bench.start(ask(fresh().with_max_age(ms(39))));
    assert_eq!(bench.asked(), [1]);
    bench.items(1, &[11]);
    bench.pass(ms(150));
    bench.start(ask(stale().with_max_age(ms(149))));
    assert_eq!(bench.asked(), [1], "a bound on stale ones too");
}

#[test]
fn a_stale_answer_is_given_at_once_and_asked_for_again_behind() {
    let mut bench = keeping(&[10]);
    bench.pass(ms(150));
    let id = bench.start(ask(stale()));
    assert_eq!((bench.ids(id), cached(&bench, id)), (vec![10], Some((ms(150), true))));
    assert_eq!((bench.asked(), bench.engine.live()), (vec![1], 0));
    let live = bench.engine.live_state();
    assert_eq!((live.queries, live.refreshes, live.work, live.contacts), (0, 1, 1, 1));
    assert_eq!(bench.engine.metrics().queries_live, 0);
    assert!(bench.engine.status(id).is_none());
    let again = bench.start(ask(stale()));
    assert_eq!((bench.ids(again), bench.asked()), (vec![10], vec![1]), "one refresh is enough");
    let outputs = bench.log.len();
    bench.pass(ms(5));
    bench.items(1, &[11]);
    assert_eq!(bench.log.len(), outputs, "nothing is said of it");
    bench.assert_nothing_left();
    let next = bench.start(ask(fresh()));
    assert_eq!((bench.ids(next), cached(&bench, next)), (vec![11], Some((ms(0), false))));
    let metrics = bench.engine.metrics();
    assert_eq!((metrics.cache_stale_hits, metrics.cache_refreshes, metrics.cache_hits), (2, 1, 1));
    assert_eq!(metrics.queries_finished, metrics.queries_started);
}

#[test]
fn past_the_stale_limit_nobody_is_served() {
    let mut bench = keeping(&[10]);
    bench.pass(ms(299));
    let id = bench.start(ask(stale()));
    assert_eq!(bench.ids(id), [10]);
    bench.engine.cancel_refreshes(bench.now);
    bench.drain();
    bench.pass(ms(1));
    bench.start(ask(stale()));
    assert_eq!(bench.asked(), [1]);
    assert_eq!(bench.engine.metrics().cache_entries, 0, "what nobody can use is dropped when it is met");
}

#[test]
fn who_asks_while_a_refresh_is_under_way_joins_it() {
    let mut bench = keeping(&[10]);
    bench.pass(ms(150));
    bench.start(ask(stale()));
    let id = bench.start(ask(fresh()));
    assert_eq!((bench.asked(), bench.is_live(id)), (vec![1], true));
    bench.items(1, &[11]);
    assert_eq!(bench.ids(id), [11]);
    bench.assert_nothing_left();
}

#[test]
fn a_refresh_ends_at_its_deadline_and_the_old_answer_stays() {
    let mut bench = keeping(&[10]);
    bench.pass(ms(150));
    bench.start(ask(stale().with_timeout(ms(30))));
    let request = bench.request(1);
    bench.pass(ms(30));
    assert_eq!(bench.released, [request]);
    bench.assert_nothing_left();
    let id = bench.start(ask(stale()));
    assert_eq!(bench.ids(id), [10]);
}

#[test]
fn a_refresh_that_nobody_would_wait_for_is_bounded_too() {
    let mut bench = keeping(&[10]);
    bench.pass(ms(150));
    let forever = stale().with_timeout(Duration::MAX).with_request_timeout(Duration::MAX);
    bench.start(ask(refresh().with_request_timeout(Duration::MAX)));
    bench.items(1, &[10]);
    bench.pass(ms(150));
    bench.start(ask(forever));
    assert_eq!(bench.engine.live_state().refreshes, 1);
    bench.pass(ms(200));
    bench.assert_nothing_left();
}

#[test]
fn refreshes_are_ended_on_demand() {
    let mut bench = keeping(&[10]);
    bench.pass(ms(150));
    bench.start(ask(stale()));
    bench.engine.cancel_refreshes(bench.now);
    bench.drain();
    assert_eq!(bench.released.len(), 1);
    bench.assert_nothing_left();
}

#[test]
fn a_refresh_gives_its_place_up_to_a_query_and_takes_nobodys() {
    let caps = Caps { queries_max: 2, ..Caps::default() };
    let mut bench = Bench::with(EngineConfig::default().with_caps(caps).with_cache(cache()));
    bench.start(ask(refresh()));
    bench.items(1, &[10]);
    bench.pass(ms(150));
    bench.start(ask(stale()));
    bench.start(query().fetch_from([2]));
    assert_eq!(bench.asked(), [1, 2]);
    bench.start(query().fetch_from([3]));
    assert_eq!((bench.asked(), bench.engine.live_state().refreshes), (vec![2, 3], 0));
    assert!(bench.engine.start(bench.now, query()).is_err());
    bench.items(2, &[]);
    bench.items(3, &[]);
    bench.start(query().fetch_from([2]));
    bench.start(ask(stale()));
    assert_eq!(bench.engine.live_state().refreshes, 1);
    bench.items(1, &[11]);
    bench.start(query().fetch_from([3]));
    bench.engine.cancel(bench.now, QueryId::from_uuid(Default::default()));
    let full = bench.engine.start(bench.now, ask(stale()));
    assert!(full.is_err(), "what is served at once takes a place too");
}

#[test]
fn only_so_many_refreshes_at_once() {
    let mut bench = bench_with(CacheConfig { refreshes_max: 1, ..cache() });
    for peer in [1, 2] {
        bench.start(query().fetch_from([peer]).config(refresh()));
        bench.items(peer, &[peer]);
    }
    bench.pass(ms(150));
    let ids = [1, 2].map(|peer| bench.start(query().fetch_from([peer]).config(stale())));
    assert_eq!(ids.map(|id| bench.ids(id)), [[1], [2]]);
    assert_eq!(bench.asked(), [1]);
}

#[test]
fn a_refresh_asks_for_as_much_as_was_kept() {
    let mut bench = bench_with(cache());
    bench.start(ask(refresh().with_max_results(3)));
    bench.items(1, &[1, 2, 3, 4]);
    bench.pass(ms(150));
    bench.start(ask(stale().with_max_results(1)));
    bench.items(1, &[5, 6, 7, 8]);
    let id = bench.start(ask(fresh().with_max_results(3)));
    assert_eq!(bench.ids(id), [5, 6, 7]);
}

#[test]
fn that_nothing_was_found_is_kept_for_a_shorter_time_and_never_stale() {
    let mut bench = keeping(&[]);
    bench.pass(ms(19));
    let id = bench.start(ask(fresh()));
    assert_eq!((bench.outcome(id).reason, cached(&bench, id)), (Reason::Exhausted, Some((ms(19), false))));
    bench.pass(ms(1));
    let id = bench.start(ask(stale()));
    assert_eq!((bench.asked(), bench.is_live(id)), (vec![1], true));
}

#[test]
fn that_nothing_was_found_says_nothing_if_nobody_has_replied() {
    let mut bench = bench_with(cache());
    bench.start(ask(refresh()));
    bench.fail(1, Failure::Unreachable);
    bench.start(ask(fresh()));
    assert_eq!(bench.asked(), [1]);
    bench.start(query().config(refresh()));
    assert_eq!(bench.engine.metrics().cache_entries, 0, "nobody to ask is no answer");
}

#[test]
fn what_ended_by_its_deadline_or_was_cancelled_is_not_kept() {
    let mut bench = bench_with(cache());
    let two = |config| query().fetch_from([1, 2]).config(config);
    bench.start(two(refresh().with_timeout(ms(50))));
    bench.items(1, &[10]);
    bench.pass(ms(50));
    let id = bench.start(two(fresh()));
    bench.items(1, &[10]);
    bench.engine.cancel(bench.now, id);
    bench.drain();
    assert_eq!(bench.engine.metrics().cache_entries, 0);
    bench.start(two(fresh()));
    assert_eq!(bench.asked(), [1, 2]);
}

#[test]
fn what_was_enough_for_one_is_kept_though_another_waits_for_more_in_vain() {
    let mut bench = bench_with(cache());
    let two = |config| query().fetch_from([1, 2]).config(config);
    let all = bench.start(two(refresh()));
    bench.start(two(refresh().with_max_results(1)));
    bench.items(1, &[10, 11]);
    bench.engine.cancel(bench.now, all);
    bench.drain();
    let id = bench.start(two(fresh().with_max_results(1)));
    assert_eq!((bench.ids(id), bench.outcome(id).reason), (vec![10], Reason::EnoughResults));
    bench.start(two(fresh().with_max_results(2)));
    assert_eq!(bench.asked(), [1, 2]);
}

#[test]
fn what_was_enough_for_one_does_not_stand_for_what_all_found() {
    let mut bench = bench_with(cache());
    let two = |config| query().fetch_from([1, 2]).config(config);
    bench.start(two(refresh()));
    bench.start(two(refresh().with_max_results(1)));
    bench.items(1, &[10]);
    bench.items(2, &[11]);
    let id = bench.start(two(fresh()));
    assert_eq!((bench.ids(id), bench.outcome(id).reason), (vec![10, 11], Reason::Exhausted));
}

#[test]
fn an_answer_that_was_cut_serves_no_query_that_wants_more() {
    let mut bench = bench_with(cache());
    bench.start(ask(refresh().with_max_results(2)));
    bench.items(1, &[10, 11, 12]);
    let same = bench.start(ask(fresh().with_max_results(2)));
    assert_eq!((bench.ids(same), bench.outcome(same).reason), (vec![10, 11], Reason::EnoughResults));
    let fewer = bench.start(ask(fresh().with_max_results(1)));
    assert_eq!((bench.ids(fewer), bench.outcome(fewer).reason), (vec![10], Reason::EnoughResults));
    bench.start(ask(fresh().with_max_results(3)));
    assert_eq!(bench.asked(), [1]);
}

#[test]
fn a_whole_answer_serves_every_limit() {
    let mut bench = keeping(&[10, 11]);
    let more = bench.start(ask(fresh().with_max_results(100)));
    assert_eq!((bench.ids(more), bench.outcome(more).reason), (vec![10, 11], Reason::Exhausted));
    let fewer = bench.start(ask(fresh().with_max_results(1)));
    assert_eq!((bench.ids(fewer), bench.outcome(fewer).reason), (vec![10], Reason::EnoughResults));
}

#[test]
fn a_kept_answer_ends_a_query_for_the_reason_for_which_it_would_have_ended_itself() {
    let reasons = |delivery: Delivery| {
        let mut bench = bench_with(cache());
        let two = |config: QueryConfig| query().fetch_from([1, 2]).config(config.with_delivery(delivery));
        bench.start(two(refresh()));
        // 10 has two votes.
        bench.items(1, &[10, 11]);
        bench.items(2, &[10, 12]);
        [1, 2, 3, 4].map(|max_results| {
            let id = bench.start(two(fresh().with_max_results(max_results)));
            assert!(bench.outcome(id).cached.is_some());
            assert_eq!(bench.ids(id).len(), max_results.min(3));
            bench.outcome(id).reason
        })
    };
    let (enough, quorum, end) = (Reason::EnoughResults, Reason::QuorumReached, Reason::Exhausted);
    assert_eq!(reasons(Delivery::Immediate), [enough, enough, enough, end]);
    assert_eq!(reasons(Delivery::Quorum(2)), [quorum, end, end, end], "the others were held to the end");
    assert_eq!(reasons(Delivery::BestAtEnd), [end; 4]);
}

#[test]
fn what_was_held_back_is_kept_with_its_votes_as_far_as_it_was_wanted() {
    let mut bench = bench_with(cache());
    let two =
        |config: QueryConfig| query().fetch_from([1, 2]).config(config.with_delivery(Delivery::BestAtEnd));
    bench.start(two(refresh().with_max_results(2)));
    bench.items(1, &[10, 11]);
    bench.items(2, &[11, 12]);
    let same = bench.start(two(fresh().with_max_results(2)));
    let votes: Vec<_> = bench.found[&same].iter().map(|found| (found.item.id, found.votes)).collect();
    assert_eq!(votes, [(11, 2), (10, 1)]);
    bench.start(two(fresh().with_max_results(3)));
    assert_eq!(bench.asked(), [1, 2], "12 was withheld");
}

#[test]
fn another_validator_may_think_otherwise() {
    let mut bench = bench_with(cache());
    let any: Arc<dyn Validator<Numbers>> = Arc::new(|_: &&str, _: &Answer| Ok::<(), Invalid>(()));
    bench.start(ask(refresh()).shared_validator(Arc::clone(&any)));
    bench.items(1, &[10]);
    let same = bench.start(ask(fresh()).shared_validator(Arc::clone(&any)));
    assert_eq!(bench.ids(same), [10]);
    bench.start(ask(fresh()).validator(|_: &&str, _: &Answer| Ok(())));
    assert_eq!(bench.asked(), [1]);
    bench.start(ask(fresh()));
    assert_eq!(bench.asked(), [1, 1]);
}

#[test]
fn where_a_walk_begins_makes_no_difference() {
    let mut bench = bench_with(cache());
    let walk = |from, config| query().route(Route::walk_from(key(0), vec![from])).config(config);
    bench.start(walk(1, refresh()));
    bench.items(1, &[10]);
    let id = bench.start(walk(2, fresh()));
    assert_eq!(bench.ids(id), [10]);
}

#[test]
fn a_newer_answer_takes_the_place_of_the_older() {
    let mut bench = keeping(&[10]);
    bench.start(ask(refresh()));
    bench.items(1, &[11]);
    assert_eq!(bench.engine.metrics().cache_entries, 1);
    let id = bench.start(ask(fresh()));
    assert_eq!(bench.ids(id), [11]);
}

#[test]
fn an_older_answer_that_comes_later_does_not_take_the_place_of_the_newer() {
    let mut bench = bench_with(cache());
    let two = |config| query().fetch_from([1, 2]).config(config);
    bench.start(two(refresh()));
    bench.items(1, &[10]);
    bench.pass(ms(50));
    // Too old for this one, which asks for itself.
    bench.start(two(refresh().with_max_age(ms(1))));
    let [old, _, new] = bench.contacts[..] else { panic!("each has asked") };
    assert_eq!((old.1, new.1), (2, 2));
    bench.items(1, &[11]);
    bench.engine.handle_reply(bench.now, new.0, Reply::default());
    bench.engine.handle_reply(bench.now, old.0, Reply::default());
    bench.drain();
    let id = bench.start(two(fresh()));
    assert_eq!((bench.ids(id), cached(&bench, id)), (vec![11], Some((ms(0), false))));
}

#[test]
fn contacts_go_by_the_name_of_one_that_lives_rather_than_of_a_refresh() {
    let mut bench = bench_with(cache());
    let two = |config: QueryConfig| query().fetch_from([1, 2]).config(config.with_fan_out(1));
    bench.start(two(refresh()));
    bench.items(1, &[10]);
    bench.items(2, &[10]);
    bench.pass(ms(150));
    bench.start(two(stale()));
    let joined = bench.start(two(fresh()));
    bench.items(1, &[]);
    assert_eq!(bench.asked(), [2]);
    let last = bench.log.last().expect("the second peer is asked");
    assert!(last.contains(&joined.to_string()), "{last}");
}

/// Asks peer so and so, and lets it answer with one item.
fn keep(bench: &mut Bench, peer: u32) {
    bench.start(query().fetch_from([peer]).config(refresh()));
    bench.items(peer, &[peer]);
}

fn is_kept(bench: &mut Bench, peer: u32) -> bool {
    let id = bench.start(query().fetch_from([peer]).config(fresh()));
    let is_live = bench.engine.cancel(bench.now, id);
    bench.drain();
    !is_live
}

#[test]
fn the_least_useful_goes_first() {
    let mut bench = bench_with(CacheConfig { entries_max: 3, ..cache() });
    (1..=3).for_each(|peer| keep(&mut bench, peer));
    assert!(is_kept(&mut bench, 1), "and is used now");
    keep(&mut bench, 4);
    assert_eq!(bench.engine.metrics().cache_entries, 3);
    assert_eq!(bench.engine.metrics().cache_evicted, 1);
    assert_eq!([1, 2, 3, 4].map(|peer| is_kept(&mut bench, peer)), [true, false, true, true]);
    // All have been used: the search takes their marks, and comes back to where it began.
    keep(&mut bench, 5);
    assert_eq!([1, 3, 4, 5].map(|peer| is_kept(&mut bench, peer)), [true, false, true, true]);
}

#[test]
fn what_is_too_old_for_anybody_goes_though_it_has_been_used() {
    let mut bench = bench_with(CacheConfig { entries_max: 2, ..cache() });
    keep(&mut bench, 1);
    assert!(is_kept(&mut bench, 1));
    bench.pass(ms(300));
    keep(&mut bench, 2);
    keep(&mut bench, 3);
    assert_eq!([1, 2, 3].map(|peer| is_kept(&mut bench, peer)), [false, true, true]);
}

#[test]
fn the_bytes_are_bounded_too() {
    let mut bench = bench_with(cache());
    keep(&mut bench, 1);
    let one = bench.engine.metrics().cache_bytes as usize;
    let mut bench = bench_with(CacheConfig { bytes_max: 2 * one, ..cache() });
    (1..=5).for_each(|peer| keep(&mut bench, peer));
    let metrics = bench.engine.metrics();
    assert_eq!((metrics.cache_entries, metrics.cache_bytes as usize), (2, 2 * one));
    assert_eq!([1, 2, 3, 4, 5].map(|peer| is_kept(&mut bench, peer)), [false, false, false, true, true]);
    // One that needs all the room gets it, and one that needs more gets none.
    bench.start(query().fetch_from([6]).config(refresh()));
    bench.items(6, &[1, 2, 3]);
    let metrics = bench.engine.metrics();
    assert_eq!(metrics.cache_entries, 1);
    assert!(metrics.cache_bytes as usize <= 2 * one);
    bench.start(query().fetch_from([7]).config(refresh().with_max_results(1_000)));
    bench.items(7, &(0..1_000).collect::<Vec<_>>());
    assert!(!is_kept(&mut bench, 7));
    assert!(is_kept(&mut bench, 6));
}

#[test]
fn a_cache_of_no_entries_keeps_nothing_and_queries_share_all_the_same() {
    let mut bench = bench_with(CacheConfig { entries_max: 0, ..cache() });
    keep(&mut bench, 1);
    assert!(!is_kept(&mut bench, 1));
    let first = bench.start(ask(fresh()));
    let second = bench.start(ask(fresh()));
    bench.reply(1, Reply::with_items(vec![]));
    assert_eq!([first, second].map(|id| bench.outcome(id).stats.contacted), [1, 1]);
}

#[test]
fn a_part_does_not_take_the_place_of_a_fresh_answer_that_serves_more() {
    let mut bench = keeping(&[10, 11, 12]);
    bench.pass(ms(50));
    bench.start(ask(refresh().with_max_results(1)));
    bench.items(1, &[20]);
    let id = bench.start(ask(fresh()));
    assert_eq!((bench.ids(id), cached(&bench, id)), (vec![10, 11, 12], Some((ms(50), false))));
    // All there is takes its place, though it is less.
    bench.start(ask(refresh()));
    bench.items(1, &[21]);
    let id = bench.start(ask(fresh()));
    assert_eq!(bench.ids(id), [21]);
    // So does a part of as many when the one that is kept is fresh no more.
    bench.pass(ms(100));
    bench.start(ask(refresh().with_max_results(1)));
    bench.items(1, &[22]);
    let id = bench.start(ask(fresh().with_max_results(1)));
    assert_eq!(bench.ids(id), [22]);
}
