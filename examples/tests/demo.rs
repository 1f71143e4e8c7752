//! The demo, small: with some of the workspace's own packages, since an unoptimised build takes long to
//! publish them all.

mod common;

use std::ffi::OsString;

use common::run;
use dragnet_examples::package::Package;
use dragnet_examples::source;
use serde_json::Value;

/// A file with a twentieth of the packages, and a demo's command line with it.
fn demo(options: &[&str]) -> common::Ended {
    let packages = source::from_cargo().expect("this is a workspace");
    let some: Vec<Package> = packages.into_iter().step_by(20).collect();
    let file = tempfile::NamedTempFile::new().expect("a place for a file");
    serde_json::to_writer(&file, &some).expect("a list of packages");
    let start = ["demo".into(), "--packages".into(), file.path().into()];
    run(start.into_iter().chain(options.iter().map(OsString::from)))
}

fn of_kind<'a>(objects: &'a [Value], kind: &str) -> Vec<&'a Value> {
    objects.iter().filter(|object| object["kind"] == kind).collect()
}

#[test]
fn real_packages_are_found_and_the_bad_peers_sink() {
    let ended = demo(&["--json", "--nodes", "8", "--queries", "120", "--concurrency", "8", "async"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let objects = ended.objects();
    assert!(!of_kind(&objects, "hit").is_empty());
    assert_eq!(of_kind(&objects, "search").len(), 1);

    let summary = objects.last().unwrap();
    assert_eq!((&summary["nodes"], &summary["queries"]), (&8.into(), &120.into()), "{summary}");
    assert_eq!((&summary["peers_barred"], &summary["deadline_reached"]), (&1.into(), &0.into()), "{summary}");
    for figure in ["packages", "results", "duplicates_removed", "queries_per_second"] {
        assert!(summary[figure].as_f64().unwrap() > 0.0, "{figure}: {summary}");
    }
    for time in ["first_result_p50_ms", "p50_ms", "p95_ms", "p99_ms"] {
        assert!(summary[time].is_number(), "{time}: {summary}");
    }

    let peers = of_kind(&objects, "peer");
    let score = |role: &str| {
        let scores =
            peers.iter().filter(|peer| peer["role"] == role).map(|peer| peer["score"].as_u64().unwrap());
        scores.collect::<Vec<u64>>()
    };
    let worst_honest = score("honest").into_iter().min().unwrap();
    assert!(worst_honest > 500, "{peers:?}");
    assert!(score("liar")[0] < 500, "{peers:?}");
    // They answer the steps of walks: the silent one still does, the stopped one did.
    for bad in ["silent", "stopped"] {
        assert!(score(bad)[0] < worst_honest, "{bad}: {peers:?}");
    }
    assert!(summary["overdue"].as_u64() >= summary["hedged"].as_u64(), "{summary}");
    assert!(summary["overdue"].as_u64().unwrap() > 0, "a silent peer is overdue: {summary}");
    let again = &summary["again"];
    assert!(
        again["hit_share"].as_f64().unwrap() > 0.0 && again["saved_s"].as_f64().unwrap() > 0.0,
        "{again}"
    );
    assert!(again["hit_p50_ms"].as_f64() < summary["p50_ms"].as_f64(), "{summary}");
    let barred = peers.iter().find(|peer| peer["barred_for_s"].is_number()).unwrap();
    assert_eq!(barred["role"], "liar");
}

#[test]
fn the_same_seed_gives_the_same_peers_and_shares() {
    let drawn = |seed| {
        let ended = demo(&["--json", "--nodes", "5", "--queries", "3", "--seed", seed]);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        let objects = ended.objects();
        let nodes: Vec<Value> = of_kind(&objects, "node").into_iter().cloned().collect();
        let searches = of_kind(&objects, "search").into_iter();
        (nodes, searches.map(|search| search["search"].clone()).collect::<Vec<_>>())
    };
    let first = drawn("4");
    assert_eq!(first, drawn("4"));
    assert_ne!(first.0, drawn("5").0);
}

#[test]
fn a_text_for_people_has_no_escapes_where_there_is_no_terminal() {
    let ended = demo(&["--nodes", "5", "--queries", "10"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let text = ended.lines.join("\n");
    assert!(!text.contains('\u{1b}'), "{text}");
    for part in ["The searches shown", "All 10 searches", "What the asker thinks", "liar", "silent"] {
        assert!(text.contains(part), "{part}: {text}");
    }
}
