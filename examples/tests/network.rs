//! A network of `marketplace node`s, and everything that is done with it from the command line.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod common;

use std::io::Write;

use common::{Ended, Program, run};
use serde_json::Value;

const PACKAGES: &str = r#"[
    {"name": "async-io", "version": "2.0.0", "description": "Timers", "keywords": ["async", "timer"],
     "categories": ["asynchronous"]},
    {"name": "async-task", "version": "4.0.0", "keywords": ["async"], "categories": ["concurrency"]},
    {"name": "serde", "version": "1.0.0", "keywords": ["encoding"]}
]"#;

fn package_file() -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(PACKAGES.as_bytes()).unwrap();
    file
}

/// Two nodes that share the same packages, and where the first is.
fn network() -> (Program, Program, String) {
    let file = package_file();
    let path = file.path().to_str().unwrap();
    let listen = ["node", "--json", "--listen", "/ip4/127.0.0.1/tcp/0", "--packages", path];
    let mut first = Program::start(listen);
    let address = first.object("listening")["address"].as_str().unwrap().to_string();
    let mut second = Program::start(listen.into_iter().chain(["--boot", &address]));
    assert_eq!(second.object("sharing")["packages"], 3);
    assert!(second.object("announced")["terms"].as_u64().unwrap() >= 8);
    // The first learns that somebody has come, and announces too.
    assert!(first.object("announced")["terms"].as_u64().unwrap() >= 1);
    (first, second, address)
}

fn stop(mut node: Program) {
    node.interrupt();
    let ended = node.end();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.lines.last().unwrap().contains("stopped"), "{ended:?}");
}

fn names(objects: &[Value]) -> Vec<&str> {
    let hits = objects.iter().filter(|object| object["kind"] == "hit");
    let mut names: Vec<&str> = hits.map(|hit| hit["name"].as_str().unwrap()).collect();
    names.sort_unstable();
    names
}

#[test]
fn packages_are_found_filtered_and_counted() {
    let (first, second, boot) = network();
    let search = |args: &[&str]| run([&["search", "--json", "--boot", &boot], args].concat());

    let found = search(&["async"]);
    assert_eq!(found.code, Some(0), "{found:?}");
    let objects = found.objects();
    assert_eq!(names(&objects), ["async-io", "async-task"]);
    let summary = objects.last().unwrap();
    assert_eq!((&summary["results"], &summary["duplicates_removed"]), (&2.into(), &2.into()), "{summary}");

    assert_eq!(names(&search(&["async", "timers"]).objects()), ["async-io"]);
    assert_eq!(names(&search(&["--category", "concurrency", "async"]).objects()), ["async-task"]);
    assert_eq!(names(&search(&["--tag", "encoding"]).objects()), ["serde"]);
    let one = search(&["--limit", "1", "async"]).objects();
    assert_eq!((names(&one).len(), &one.last().unwrap()["reason"]), (1, &"enough results".into()));

    let own = package_file();
    let own = search(&["--packages", own.path().to_str().unwrap(), "async"]).objects();
    assert_eq!(
        (names(&own), &own[0]["from"], &own[1]["from"]),
        (names(&objects), &"own".into(), &"own".into())
    );
    assert_eq!(own.last().unwrap()["duplicates_removed"], 4, "{own:?}");

    let nothing = search(&["--timeout", "3s", "nonesuch"]);
    assert_eq!(nothing.code, Some(1), "{nothing:?}");

    let text = run(["search", "--boot", &boot, "serde"]);
    assert!(text.lines[0].contains("serde 1.0.0"), "{text:?}");
    assert!(text.lines[1].starts_with("1 found, 1 duplicates removed"), "{text:?}");
    stop(second);
    stop(first);
}

/// A query that found nothing says so to programs too.
#[track_caller]
fn nothing(ended: &Ended, key: &str) {
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let objects = ended.objects();
    let summary = objects.last().unwrap();
    assert_eq!((&summary["kind"], &summary["key"]), (&"summary".into(), &key.into()), "{summary}");
    assert_eq!(summary["results"], 0, "{summary}");
    assert!(summary["peers_asked"].is_number() && summary["reason"].is_string(), "{summary}");
}

#[test]
fn records_and_providers_are_published_and_found() {
    let (first, second, boot) = network();

    let put = run(["put", "--json", "--boot", &boot, "/dragnet/greeting", "hello"]);
    assert_eq!((put.code, &put.objects()[0]["kind"]), (Some(0), &"stored".into()), "{put:?}");
    let got = run(["get", "--boot", &boot, "/dragnet/greeting"]);
    assert_eq!((got.code, got.lines), (Some(0), vec!["hello".to_string()]), "{}", got.errors);
    let missing = run(["get", "--boot", &boot, "--timeout", "3s", "/dragnet/none"]);
    assert_eq!(missing.code, Some(1), "{missing:?}");
    assert!(missing.errors.contains("no record under `/dragnet/none`"), "{missing:?}");
    let missing = run(["get", "--json", "--boot", &boot, "--timeout", "3s", "/dragnet/none"]);
    nothing(&missing, "/dragnet/none");

    let providers = run(["providers", "--json", "--boot", &boot, "--term", "serde"]);
    let objects = providers.objects();
    let kinds: Vec<&str> = objects.iter().map(|object| object["kind"].as_str().unwrap()).collect();
    assert_eq!((providers.code, kinds), (Some(0), vec!["provider", "provider", "summary"]), "{providers:?}");
    assert_eq!(objects[2]["results"], 2, "{objects:?}");

    let key = format!("1220{}", "ab".repeat(32));
    let none = run(["providers", "--boot", &boot, "--timeout", "3s", &key]);
    assert_eq!(none.code, Some(1), "{none:?}");
    nothing(&run(["providers", "--json", "--boot", &boot, "--timeout", "3s", &key]), &key);
    let provide = ["provide", "--json", "--boot", &boot, "--listen", "/ip4/127.0.0.1/tcp/0", &key];
    let mut provider = Program::start(provide);
    let peer = provider.object("listening")["peer"].clone();
    let providing = provider.object("providing");
    assert_eq!((&providing["key"], &providing["heard"]), (&key.as_str().into(), &true.into()));
    let found = run(["providers", "--json", "--boot", &boot, &key]);
    assert_eq!((found.code, &found.objects()[0]["peer"]), (Some(0), &peer), "{found:?}");
    stop(provider);
    stop(second);
    stop(first);
}

#[test]
fn what_a_search_and_a_node_recorded_replays_and_another_file_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_string();
    let (first, second, boot) = network();
    let (third, search) = (path("node.rec"), path("search.rec"));
    let mut node = Program::start([
        "node",
        "--json",
        "--listen",
        "/ip4/127.0.0.1/tcp/0",
        "--boot",
        &boot,
        "--record",
        &third,
    ]);
    node.object("joined");
    let found = run(["search", "--json", "--boot", &boot, "--record", &search, "--record-words", "async"]);
    assert_eq!(found.code, Some(0), "{found:?}");
    stop(node);
    for file in [&third, &search] {
        let mut replay = dragnet_core::record::Replay::open(std::fs::File::open(file).unwrap()).unwrap();
        assert!(replay.all(|input| input.is_as_recorded), "{file}");
        assert_eq!(replay.ending().unwrap().to_string(), "whole: finished", "{file}");
    }
    let metrics = |file: &str| {
        let mut replay = dragnet_core::record::Replay::open(std::fs::File::open(file).unwrap()).unwrap();
        replay.by_ref().for_each(drop);
        replay.engine().metrics()
    };
    assert!(metrics(&search).queries_successful > 0);

    // A node that cannot start leaves the earlier recording where it is.
    let whole = std::fs::read(&third).unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = format!("/ip4/127.0.0.1/tcp/{}", taken.local_addr().unwrap().port());
    let refused = run(["node", "--listen", &listen, "--record", &third]);
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert_eq!(std::fs::read(&third).unwrap(), whole);
    assert!(!std::path::Path::new(&format!("{third}.1")).exists());

    std::fs::write(path("letter"), "dear reader").unwrap();
    let refused = run(["search", "--boot", &boot, "--record", &path("letter"), "async"]);
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.errors.contains("the file that is there is not a recording"), "{refused:?}");
    assert_eq!(std::fs::read(path("letter")).unwrap(), b"dear reader");
    #[cfg(target_os = "linux")]
    {
        let full = run(["search", "--boot", &boot, "--record", "/dev/full", "async"]);
        assert_eq!(full.code, Some(0), "{full:?}");
        assert!(full.errors.contains("/dev/full: the recording ends after 0 bytes"), "{full:?}");
    }
    stop(first);
    stop(second);
}
