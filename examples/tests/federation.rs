//! One search of two networks and a registry, from the command line.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod common;

use std::io::Write;

use common::{Ended, Program, run};
use serde_json::Value;

/// A file of packages of these names, all about `async`.
fn packages(names: &[&str], description: &str) -> tempfile::NamedTempFile {
    let package = |name: &&str| serde_json::json!({"name": name, "version": "1.0.0", "keywords": ["async"], "description": description});
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(Value::from_iter(names.iter().map(package)).to_string().as_bytes()).unwrap();
    file
}

/// A network of one node, and where it is.
fn network(names: &[&str]) -> (Program, String) {
    let file = packages(names, "The same everywhere");
    let path = file.path().to_str().unwrap();
    let mut node = Program::start(["node", "--json", "--listen", "/ip4/127.0.0.1/tcp/0", "--packages", path]);
    let address = node.object("listening")["address"].as_str().unwrap().to_string();
    node.object("sharing");
    (node, address)
}

fn registry(names: &[&str], description: &str) -> (Program, String) {
    let file = packages(names, description);
    let path = file.path().to_str().unwrap();
    let mut registry = Program::start(["registry", "--json", "--listen", "127.0.0.1:0", "--packages", path]);
    let url = registry.object("listening")["url"].as_str().unwrap().to_string();
    (registry, url)
}

fn search(sources: &[(&str, &str)]) -> Ended {
    search_for("20s", sources)
}

fn search_for(timeout: &str, sources: &[(&str, &str)]) -> Ended {
    let sources =
        sources.iter().flat_map(|(name, address)| ["--source".to_string(), format!("{name}={address}")]);
    let args = ["search", "--json", "--timeout", timeout].map(String::from).into_iter().chain(sources);
    run(args.chain(["async".to_string()]))
}

fn named<'a>(objects: &'a [Value], name: &str) -> &'a Value {
    objects.iter().find(|object| object["kind"] == "source" && object["name"] == name).unwrap()
}

fn found(objects: &[Value]) -> Vec<&str> {
    let hits = objects.iter().filter(|object| object["kind"] == "hit");
    let mut names: Vec<&str> = hits.map(|hit| hit["name"].as_str().unwrap()).collect();
    names.sort_unstable();
    names
}

#[test]
fn one_search_asks_two_networks_and_a_registry_and_goes_on_without_one() {
    let (north_node, north) = network(&["both", "north-only"]);
    let (_south_node, south) = network(&["both", "south-only"]);
    let (_registry, crates) = registry(&["both", "crates-only"], "The same everywhere");
    let sources = [("north", &*north), ("south", &*south), ("crates", &*crates)];

    let ended = search(&sources);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let objects = ended.objects();
    assert_eq!(found(&objects), ["both", "crates-only", "north-only", "south-only"]);
    for (name, _) in sources {
        let source = named(&objects, name);
        assert_eq!((&source["failed"], &source["problem"]), (&0.into(), &Value::Null), "{source}");
        assert_eq!(
            source["results"].as_u64().unwrap() + source["duplicates_removed"].as_u64().unwrap(),
            2,
            "{source}"
        );
    }

    // Killed, not asked to stop.
    drop(north_node);
    let ended = search(&sources);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let objects = ended.objects();
    assert_eq!(found(&objects), ["both", "crates-only", "south-only"]);
    let gone = named(&objects, "north");
    assert_eq!((&gone["results"], &gone["failed"]), (&0.into(), &1.into()));
    assert!(gone["problem"].as_str().unwrap().contains("no peer answered"), "{gone}");
}

#[test]
fn a_source_that_is_none_is_refused_by_name() {
    let refused = |source: &str| {
        let ended = run(["search", "--source", source, "async"]);
        assert_eq!(ended.code, Some(2), "{ended:?}");
        ended.errors
    };
    assert!(refused("http://127.0.0.1:1/").contains("NAME=ADDRESS"));
    assert!(refused("x=registry.example").contains("neither a peer's address"));
    assert!(refused("x=/ip4/nowhere").contains("source `x`"));
    let ended =
        run(["search", "--source", "x=http://127.0.0.1:1/", "--source", "x=http://127.0.0.1:2/", "async"]);
    assert_eq!(ended.code, Some(2));
    assert!(ended.errors.contains("two sources are called `x`"), "{ended:?}");
}

#[test]
fn what_only_dead_sources_have_is_not_found_and_both_say_why() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("http://127.0.0.1:{port}/");
    let peer = format!("/ip4/127.0.0.1/tcp/{port}/p2p/{}", libp2p::PeerId::random());
    let ended = search(&[("crates", &url), ("main", &peer)]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let objects = ended.objects();
    for name in ["crates", "main"] {
        let source = named(&objects, name);
        assert_eq!(source["failed"], 1, "{source}");
        assert!(source["problem"].is_string(), "{source}");
    }
}

#[test]
fn a_network_that_never_answers_is_counted_by_name_and_holds_nobody_up() {
    // Connections are accepted by the operating system, and no byte ever comes back.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let peer = format!("/ip4/127.0.0.1/tcp/{port}/p2p/{}", libp2p::PeerId::random());
    let (_registry, crates) = registry(&["one", "two"], "The same everywhere");
    let ended = search_for("4s", &[("slow", &peer), ("crates", &crates)]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let objects = ended.objects();
    assert_eq!(found(&objects), ["one", "two"]);
    let slow = named(&objects, "slow");
    assert_eq!(
        (&slow["results"], &slow["asked"], &slow["failed"]),
        (&0.into(), &1.into(), &1.into()),
        "{slow}"
    );
    assert_eq!(slow["problem"], "not joined yet");
    assert_eq!(named(&objects, "crates")["problem"], Value::Null);
}

#[test]
fn a_source_that_describes_a_package_otherwise_is_told_by_name() {
    let (_one, one) = registry(&["both", "one-only"], "What the author says");
    let (_other, other) = registry(&["both", "other-only"], "What somebody else says");
    let ended = search(&[("one", &one), ("other", &other)]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let objects = ended.objects();
    assert_eq!(found(&objects), ["both", "one-only", "other-only"]);
    let differ = ["one", "other"].map(|name| named(&objects, name)["differ"].as_u64().unwrap());
    assert!(differ == [0, 1] || differ == [1, 0], "the one that came second: {objects:?}");
}
