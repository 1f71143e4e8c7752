use dragnet_core::{Failure, Reason, Reply};

use crate::bench::{Bench, config, ms, query};

#[test]
fn the_oldest_live_queries_are_named_first_and_no_more_than_wanted() {
    let mut bench = Bench::new();
    let mut started = Vec::new();
    for peer in 1..=5 {
        started.push(bench.start(query().fetch_from([peer])));
        bench.pass(ms(10));
    }
    // The second has ended, and its place is taken by the youngest.
    bench.items(3, &[7]);
    bench.fail(2, Failure::Closed);
    let youngest = bench.start(query().fetch_from([6]).config(config().with_max_results(9)));
    let named = |bench: &Bench, max| bench.engine.queries(bench.now, max).collect::<Vec<_>>();
    let all: Vec<_> = named(&bench, 100).iter().map(|report| report.query).collect();
    assert_eq!(all, [started[0], started[3], started[4], youngest], "the third found what it wanted");
    let two = named(&bench, 2);
    assert_eq!((two.len(), two[0].query, two[1].query), (2, started[0], started[3]));
    assert_eq!((two[0].stats.total, two[0].stats.contacted, two[0].results), (ms(50), 1, 0));
    assert_eq!(named(&bench, 9)[3].max_results, 9);
    assert!(named(&bench, 0).is_empty());
    // A query ages though nothing is told to the engine.
    let later = bench.engine.queries(bench.now + ms(7), 1).next().unwrap();
    assert_eq!(later.stats.total, ms(57));
}

#[test]
fn a_ranking_names_the_best_and_the_worst_and_nobody_of_whom_nothing_is_known() {
    let mut bench = Bench::new();
    let ask = |bench: &mut Bench, peer: u32, is_good: bool| {
        bench.start(query().fetch_from([peer]));
        if is_good {
            bench.items(peer, &[1]);
        } else {
            bench.fail(peer, Failure::Closed);
        }
    };
    for (peer, good, bad) in [(1, 1, 0), (2, 3, 0), (3, 2, 1), (4, 0, 1), (5, 0, 3), (6, 1, 1)] {
        (0..good).for_each(|_| ask(&mut bench, peer, true));
        (0..bad).for_each(|_| ask(&mut bench, peer, false));
    }
    for _ in 0..3 {
        bench.start(query().fetch_from([7]));
        bench.reply(7, Reply { invalid: 1, ..Reply::default() });
    }
    // Known, and nothing of it.
    bench.start(query().fetch_from([8]));
    bench.engine.bar(bench.now, 9);

    let ranking = bench.engine.ranking(bench.now, 3);
    let names =
        |peers: &[dragnet_core::PeerReport<u32>]| peers.iter().map(|report| report.peer).collect::<Vec<_>>();
    assert_eq!((ranking.known, ranking.barred), (9, 2));
    assert_eq!(names(&ranking.best), [2, 1, 3]);
    assert_eq!(names(&ranking.worst), [7, 9, 5]);
    let all = bench.engine.ranking(bench.now, 100);
    assert_eq!((names(&all.best), names(&all.worst)), (vec![2, 1, 3, 6], vec![7, 9, 5, 4]));
    assert_eq!(all.best[0], bench.engine.peers(bench.now).find(|report| report.peer == 2).unwrap());
    assert_eq!(bench.engine.ranking(bench.now, 0).best, []);
}

#[test]
fn every_end_is_counted_under_its_reason() {
    let mut bench = Bench::new();
    bench.start(query().fetch_from([1]).config(config().with_max_results(1)));
    bench.items(1, &[1]);
    bench.start(query().fetch_from([2]));
    bench.fail(2, Failure::Closed);
    let cancelled = bench.start(query().fetch_from([3]));
    bench.engine.cancel(bench.now, cancelled);
    bench.start(query().fetch_from([4]));
    bench.pass(ms(20_000));
    bench.start(query().fetch_from([5]));
    let metrics = bench.engine.metrics();
    let by_reason = metrics.finished_by_reason();
    assert_eq!(
        by_reason,
        [
            (Reason::EnoughResults, 1),
            (Reason::QuorumReached, 0),
            (Reason::Converged, 0),
            (Reason::Exhausted, 1),
            (Reason::DeadlineReached, 1),
            (Reason::Cancelled, 1),
        ]
    );
    let sum: u64 = by_reason.iter().map(|(_, count)| count).sum();
    assert_eq!((sum, metrics.queries_finished, metrics.queries_started), (4, 4, 5));
}
