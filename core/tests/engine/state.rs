//! What an engine knows, taken to another one.

use std::sync::Arc;
use std::time::Duration;

use dragnet_core::{
    CacheConfig, CachePolicy, Caps, EngineConfig, EngineState, Failure, Invalid, Query, QueryConfig,
    QueryEngine, Reply, RestoreError, Restored, Time, Validator,
};

use crate::bench::{Answer, Bench, LOCAL, Numbers, answer, config, ms, query};

fn caching() -> EngineConfig {
    let cache =
        CacheConfig { ttl: ms(1_000), ttl_nothing: ms(200), stale_for: ms(2_000), ..CacheConfig::default() };
    EngineConfig::default().with_cache(cache)
}

fn fresh() -> QueryConfig {
    config().with_cache(CachePolicy::Fresh)
}

/// A question to one peer.
fn ask(peer: u32) -> Query<Numbers> {
    query().fetch_from([peer]).config(fresh())
}

/// A bench at its twentieth second, that knows a good peer 1 with two items, a failing peer 2, a liar 3
/// who is barred for ten minutes, and that peer 4 has nothing; all of it for a tenth of a second.
fn knowing() -> Bench {
    let mut bench = Bench::with(caching());
    bench.now = Time::from_millis(20_000);
    bench.start(ask(1));
    bench.pass(ms(30));
    bench.items(1, &[10, 11]);
    bench.start(query().fetch_from([2]));
    bench.fail(2, Failure::Closed);
    for _ in 0..3 {
        bench.start(query().fetch_from([3]));
        bench.reply(3, Reply { invalid: 1, ..Reply::default() });
    }
    bench.start(ask(4));
    bench.items(4, &[]);
    bench.pass(ms(100));
    bench
}

/// Another bench, at the beginning of its time, that has taken this in.
fn restored(state: EngineState<Numbers>, away: Duration, config: EngineConfig) -> (Bench, Restored) {
    let mut bench = Bench::with(config);
    let restored = bench.engine.restore(Time::ZERO, state, away).expect("it is fresh");
    (bench, restored)
}

fn reports(bench: &Bench) -> Vec<dragnet_core::PeerReport<u32>> {
    bench.engine.peers(bench.now).collect()
}

#[test]
fn what_is_known_goes_on_in_a_process_whose_time_begins_anew() {
    let before = knowing();
    let (mut bench, restored) = restored(before.engine.export(before.now), ms(0), caching());
    assert_eq!((restored.peers, restored.answers), (4, 2));
    assert_eq!(reports(&bench), reports(&before));
    let id = bench.start(ask(1));
    assert_eq!(bench.ids(id), [10, 11]);
    let found = &bench.found[&id][0];
    assert_eq!((found.age, found.from, found.response_time), (ms(100), Some(1), Some(ms(30))));
    let outcome = bench.outcome(id);
    assert_eq!((outcome.cached.unwrap().age, outcome.stats.contacted), (ms(100), 0));
    // Older than this engine's time, and yet it ends to the nanosecond.
    bench.pass(ms(900) - Duration::from_nanos(1));
    bench.start(ask(1));
    assert!(bench.asked().is_empty(), "it is fresh still");
    bench.pass(Duration::from_nanos(1));
    bench.start(ask(1));
    assert_eq!(bench.asked(), [1], "a second old");
}

#[test]
fn what_has_been_away_has_aged() {
    let before = knowing();
    let state = before.engine.export(before.now);
    let away = |secs| restored(state.clone(), Duration::from_secs(secs), caching());
    let (bench, counts) = away(1);
    assert_eq!(
        (counts.answers, counts.answers_expired),
        (1, 1),
        "of nothing no longer, and the rest is stale"
    );
    let barred = |bench: &Bench| {
        reports(bench).iter().find(|report| report.peer == 3).and_then(|report| report.barred_for)
    };
    assert_eq!(barred(&before), Some(Duration::from_secs(600) - ms(100)));
    assert_eq!(barred(&bench), Some(Duration::from_secs(599) - ms(100)));
    assert_eq!(away(3).1.answers_expired, 2);
    let (bench, counts) = away(600);
    assert_eq!(barred(&bench), None);
    assert_eq!(counts.peers, 4);
    let halves = |bench: &Bench| reports(bench).iter().map(|report| report.failures_milli).max().unwrap();
    assert_eq!((halves(&before), halves(&bench)), (1000, 500));
    // Of 2 and 3 nothing is left; how fast 1 and 4 answered is.
    let (bench, counts) = away(1_000_000);
    assert_eq!((counts.peers, counts.peers_forgotten), (2, 2));
    assert_eq!(bench.score(1), 500);
}

#[test]
fn an_engine_that_knows_something_takes_in_nothing_else() {
    let mut bench = knowing();
    let error = bench.engine.restore(bench.now, EngineState::default(), ms(0)).unwrap_err();
    assert_eq!(error, RestoreError::NotFresh { queries: 6, peers: 4, answers: 2 });
    assert!(
        error.to_string().contains("has started 6 queries, knows 4 peers and keeps 2 answers"),
        "{error}"
    );
}

#[test]
fn no_state_breaks_a_promise() {
    let before = knowing();
    let mut state = before.engine.export(before.now);
    // A peer twice, the local one, and one barred for ever with counts beyond all measure.
    state.peers.push(state.peers[0]);
    state.peers.push(dragnet_core::PeerState { peer: LOCAL, failures: 9, ..Default::default() });
    let (max, barred_for) = (u32::MAX, Duration::MAX);
    state.peers.push(dragnet_core::PeerState {
        peer: 5,
        successes: max,
        failures: max,
        invalid: max,
        smoothed_us: max,
        variation_us: max,
        barred_for,
    });
    state.conditions.overdue_share = max;
    for times in [&mut state.conditions.response_times, &mut state.conditions.waits] {
        (times.buckets, times.max) = (vec![max; 10_000], 0);
    }
    // An item twice in an answer; an answer twice; one of a query that may not start; one that was cut
    // off; more than a query may want; items older than their answer.
    let answer_of = |peer| state.answers.iter().find(|one| one.question.peers == [peer]).unwrap().clone();
    let good = answer_of(1);
    let with = |change: fn(&mut dragnet_core::AnswerState<Numbers>)| {
        let mut changed = good.clone();
        changed.question.peers = vec![6];
        change(&mut changed);
        changed
    };
    let bad = [
        good.clone(),
        with(|bad| bad.items[1] = bad.items[0].clone()),
        with(|bad| bad.question.config.fan_out = 0),
        with(|bad| bad.reason = dragnet_core::Reason::DeadlineReached),
        with(|bad| bad.results_max = 100_000),
        with(|bad| bad.results_max = 1),
        with(|bad| bad.items[0].age = Duration::MAX),
    ];
    state.answers.extend(bad.clone());
    state.hand = usize::MAX;
    let (mut bench, counts) = restored(state, ms(0), caching());
    assert_eq!((counts.peers, counts.peers_dropped), (5, 2));
    assert_eq!((counts.answers, counts.answers_dropped), (2, bad.len()));
    assert_eq!(reports(&bench).last().unwrap().barred_for, Some(Duration::from_secs(600)));
    // And it works.
    let id = bench.start(query().fetch_from([1, 2, 5, 6]).config(fresh()));
    bench.pass(Duration::from_secs(20));
    assert!(!bench.is_live(id));
    bench.assert_nothing_left();
}

#[test]
fn what_there_is_no_room_for_is_dropped_the_newest_answers_stay() {
    let mut bench = Bench::with(caching());
    for peer in 1..=5 {
        bench.start(ask(peer));
        bench.items(peer, &[peer]);
    }
    let cache = CacheConfig { entries_max: 2, ..caching().cache };
    let small = EngineConfig::default().with_cache(cache).with_caps(Caps { peers_max: 3, ..Caps::default() });
    let (mut small, counts) = restored(bench.engine.export(bench.now), ms(0), small);
    assert_eq!((counts.peers, counts.peers_dropped), (3, 2));
    assert_eq!((counts.answers, counts.answers_dropped), (2, 3));
    for peer in 1..=5 {
        small.start(ask(peer));
    }
    assert_eq!(small.asked(), [1, 2, 3]);
}

#[test]
fn a_checkpoint_waits_until_nothing_lives() {
    let mut bench = knowing();
    let id = bench.start(ask(7));
    assert!(bench.engine.checkpoint(bench.now, |_| true).is_none());
    assert!(bench.is_live(id), "and changes nothing");
    bench.items(7, &[70]);
    let metrics = bench.engine.metrics();
    let checkpoint = bench.engine.checkpoint(bench.now, |_| true).unwrap();
    assert_eq!(checkpoint.at, bench.now);
    assert_eq!(bench.engine.metrics(), metrics, "counters go on");
    bench.engine.handle_reply(bench.now, dragnet_core::RequestId::from_u64(0), Reply::default());
    assert_eq!(bench.engine.metrics().inputs_unknown, 1, "no request id comes back");
}

#[test]
fn a_checkpoint_keeps_what_can_be_written_down_here_and_there() {
    let mut bench = knowing();
    let judge: Arc<dyn Validator<Numbers>> = Arc::new(|_: &&str, _: &Answer| Ok::<_, Invalid>(()));
    let judged = || ask(8).shared_validator(Arc::clone(&judge));
    bench.start(judged());
    bench.items(8, &[80]);
    let is_unjudged = |answer: &dragnet_core::AnswerState<Numbers>| answer.question.validator.is_none();
    let checkpoint = bench.engine.checkpoint(bench.now, is_unjudged).unwrap();
    assert_eq!(checkpoint.state.answers.len(), 2);
    let mut resumed = Bench::new();
    resumed.engine = QueryEngine::resume(caching(), LOCAL, [7; 32], checkpoint);
    resumed.now = bench.now;
    for bench in [&mut bench, &mut resumed] {
        bench.log.clear();
        bench.start(judged());
        assert_eq!(bench.asked(), [8]);
        bench.start(ask(1));
    }
    assert_eq!(bench.log, resumed.log, "ids and all");
    assert_eq!(bench.found.values().flatten().last().unwrap().item, answer(11));
}
