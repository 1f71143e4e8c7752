//! Nodes and searches that begin with what they knew: `--state`.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod common;

use std::fs;
use std::io::Write;
use std::path::Path;

use common::{Ended, Program, run};
use tempfile::{NamedTempFile, TempDir};

const PACKAGES: &str = r#"[{"name": "async-io", "version": "2.0.0", "keywords": ["async"]}]"#;

const LISTEN: [&str; 4] = ["node", "--json", "--listen", "/ip4/127.0.0.1/tcp/0"];

/// A node that shares a package, and where it is.
fn first() -> (Program, String) {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(PACKAGES.as_bytes()).unwrap();
    let packages = ["--packages", file.path().to_str().unwrap()];
    let mut node = Program::start(LISTEN.iter().chain(&packages));
    let address = node.object("listening")["address"].as_str().unwrap().to_string();
    // It has read its packages.
    node.object("sharing");
    (node, address)
}

fn node(state: &Path, more: &[&str]) -> Program {
    let state = ["--state", state.to_str().unwrap()];
    Program::start(LISTEN.iter().chain(&state).chain(more))
}

fn stop(mut node: Program) -> Ended {
    node.interrupt();
    let ended = node.end();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    ended
}

#[test]
fn a_node_that_begins_again_is_who_it_was_and_joins_without_being_told_of_a_peer() {
    let (first, boot) = first();
    let place = TempDir::new().unwrap();
    let state = place.path().join("kept/here");
    let mut told = node(&state, &["--boot", &boot]);
    let id = told.object("listening")["peer"].clone();
    told.object("joined");
    let ended = stop(told);
    let saved = ended.objects().into_iter().find(|object| object["kind"] == "saved").unwrap();
    assert!(saved["addresses"].as_u64().unwrap() >= 1, "{saved}");

    let mut again = node(&state, &[]);
    let restored = again.object("restored");
    assert_eq!(restored["addresses"], saved["addresses"]);
    assert!(restored["away_ms"].is_u64(), "{restored}");
    assert_eq!(again.object("listening")["peer"], id);
    assert!(again.object("joined")["known"].as_u64().unwrap() >= 1);
    // While it runs, the directory is its own.
    let other = node(&state, &[]).end();
    assert_eq!(other.code, Some(2), "{other:?}");
    assert!(other.errors.contains("is in use by another program"), "{other:?}");
    stop(again);

    // When nobody of those it knew is there, it is the first one of its network again.
    stop(first);
    let mut alone = node(&state, &[]);
    let warning = alone.object("warning")["message"].to_string();
    assert!(warning.contains("none of the peers known from before is there"), "{warning}");
    stop(alone);
}

#[test]
fn what_nobody_heard_is_announced_to_whoever_comes_though_dead_peers_are_remembered() {
    let (first, boot) = first();
    let place = TempDir::new().unwrap();
    let mut told = node(place.path(), &["--boot", &boot]);
    told.object("joined");
    stop(told);
    stop(first);

    let mut file = NamedTempFile::new().unwrap();
    file.write_all(PACKAGES.as_bytes()).unwrap();
    let mut again = node(place.path(), &["--packages", file.path().to_str().unwrap()]);
    let address = again.object("listening")["address"].as_str().unwrap().to_string();
    again.object("alone");
    let mut late = Program::start(LISTEN.iter().copied().chain(["--boot", &address]));
    assert!(again.object("announced")["terms"].as_u64().unwrap() >= 1);
    late.object("joined");
    stop(late);
    stop(again);
}

#[test]
fn a_damaged_file_is_told_of_and_set_aside_and_the_node_runs() {
    let place = TempDir::new().unwrap();
    let mut first = node(place.path(), &[]);
    let id = first.object("listening")["peer"].clone();
    stop(first);
    let file = place.path().join("node.state");
    let whole = fs::read(&file).unwrap();
    fs::write(&file, &whole[..whole.len() - 1]).unwrap();
    let mut again = node(place.path(), &[]);
    let warning = again.object("warning")["message"].to_string();
    assert!(warning.contains("node.state cannot be used: it is cut off"), "{warning}");
    assert_eq!(again.object("listening")["peer"], id, "who it is, is in a file of its own");
    let ended = stop(again);
    assert!(ended.errors.contains("node.state.damaged-1"), "{ended:?}");
    assert_eq!(fs::read(place.path().join("node.state.damaged-1")).unwrap().len(), whole.len() - 1);
    // And another was saved.
    node(place.path(), &[]).object("restored");
}

#[test]
fn a_node_that_cannot_save_says_so_and_runs_on() {
    let place = TempDir::new().unwrap();
    let state = place.path().join("state");
    let mut node = node(&state, &["--save-every", "50ms"]);
    node.object("saved");
    // Removing it would race with the saves.
    fs::rename(&state, place.path().join("elsewhere")).unwrap();
    let warning = node.object("warning")["message"].to_string();
    assert!(warning.contains("could not be saved") && warning.contains("node.state.new"), "{warning}");
    stop(node);
}

#[test]
fn the_same_search_again_asks_nobody_and_needs_no_address() {
    let (mut first, boot) = first();
    let place = TempDir::new().unwrap();
    let state = place.path().to_str().unwrap();
    let summary = |ended: Ended| {
        assert_eq!(ended.code, Some(0), "{ended:?}");
        ended.objects().pop().unwrap()
    };
    let mut second = node(&place.path().join("second"), &["--boot", &boot]);
    second.object("joined");
    // Now that somebody has come, somebody can be told of what it shares.
    assert!(first.object("announced")["terms"].as_u64().unwrap() >= 1);
    let search = ["search", "--json", "--state", state];
    let told = summary(run(search.iter().copied().chain(["--boot", &boot, "async"])));
    assert_eq!(told["results"], 1, "{told}");
    assert!(told["peers_asked"].as_u64().unwrap() >= 1, "{told}");
    let again = summary(run(search.iter().copied().chain(["async"])));
    assert_eq!((&again["results"], &again["peers_asked"]), (&1.into(), &0.into()), "{again}");
    stop(second);
    stop(first);
}
