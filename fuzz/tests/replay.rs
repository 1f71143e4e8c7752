//! Every file of the corpora still passes, and does the same when it is run again.

use std::fs;
use std::path::Path;

#[test]
fn the_engine_keeps_its_promises_on_every_known_input_sequence() {
    let runs = replay("engine_inputs", dragnet_fuzz::engine_inputs::run);
    leads_to(
        &runs,
        &["Contact {", "Lookup {", "Release {", "Found {", "EnoughResults", "Converged", "Exhausted"],
    );
    leads_to(&runs, &["DeadlineReached", "Cancelled", "QuorumReached", "votes: 2", "Busy {", "Limit {"]);
    leads_to(&runs, &["is_stale: true", "is_stale: false"]);
}

#[test]
fn a_known_scenario_is_refused_or_can_be_set_up_and_written_down() {
    let runs = replay("scenarios", dragnet_fuzz::scenarios::run);
    leads_to(&runs, &["Scenario {", "FaultRule {", "Matrix(", "peers: 60,", "unknown field `friends`"]);
    leads_to(&runs, &["line 3", "network.peers is 0", "network.sessions.shape is NaN", "expected key=value"]);
    leads_to(&runs, &["holds no keys", "expected a share", "must be count alone"]);
}

#[test]
fn a_known_recording_is_refused_or_replayed_as_far_as_it_goes() {
    let runs = replay("recording", dragnet_fuzz::recording::run);
    leads_to(&runs, &["differs: None, whole: finished", "cut off: ", "damaged after", "whole: it goes on"]);
    leads_to(
        &runs,
        &["a recording of format 2", "not a recording of a driver", "its checksum is another one"],
    );
    leads_to(&runs, &["differs: Some("]);
}

#[test]
fn a_known_record_is_refused_or_can_be_set_up_again() {
    let runs = replay("records", dragnet_fuzz::records::run);
    leads_to(
        &runs,
        &["Record {", "the runs part", "Link(", "cut off at line 1", "of version 2", "unknown field"],
    );
    leads_to(&runs, &["not a recorded run", "the recorded scenario: network.peers is 0", "no time at all"]);
    leads_to(&runs, &["by_ms is 0", "expected a peer id"]);
}

#[test]
fn a_known_state_is_refused_or_harmless() {
    let runs = replay("states", dragnet_fuzz::states::run);
    leads_to(&runs, &["no state that", "cut off: 100 bytes", "checksum", "of version 2", "holds `letters`"]);
    leads_to(&runs, &["peers: 2,", "answers: 2,", "2 left out", "answers_dropped: 1", "cannot be read"]);
}

#[test]
#[cfg(feature = "libp2p")]
fn of_a_known_answer_only_what_is_within_the_bounds_is_kept() {
    let runs = replay("fetch_answers", dragnet_fuzz::fetch_answers::run);
    leads_to(&runs, &["FetchItem {", "invalid: 1", "invalid: 2", "may have 200", "not a fetch response"]);
}

#[test]
#[cfg(feature = "libp2p")]
fn of_a_known_kademlia_answer_only_what_is_good_is_kept() {
    let runs = replay("kad_messages", dragnet_fuzz::kad_messages::run);
    leads_to(
        &runs,
        &["value: Some(([118], None)), expires: true", "Some(PeerId(", "/ip4/192.0.2.1/tcp/4001"],
    );
    leads_to(
        &runs,
        &["providers: [NamedPeer", "closer: [NamedPeer", "addresses: []", "invalid: 1", "invalid: 2"],
    );
    leads_to(&runs, &["may have 300", "no message of Kademlia", "of type 3", "another key, of 5 bytes"]);
}

#[test]
#[cfg(feature = "libp2p")]
fn a_known_multiaddress_is_a_socket_address_or_none() {
    let runs = replay("multiaddrs", dragnet_fuzz::multiaddrs::run);
    leads_to(&runs, &["is Some(127.0.0.1:4001)", "is Some([fd00::2]:1)", "is Some([::1]:0)", "is None"]);
}

/// Checks that some run has said each of the words: a corpus that has come to nothing proves nothing.
fn leads_to(runs: &[Vec<String>], words: &[&str]) {
    for word in words {
        assert!(runs.iter().flatten().any(|line| line.contains(word)), "no file leads to {word}");
    }
}

/// Runs a target twice on each file of its corpus; returns what each run has said.
fn replay(name: &str, target: impl Fn(&[u8]) -> Vec<String>) -> Vec<Vec<String>> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
    let entries = fs::read_dir(&corpus).unwrap_or_else(|error| panic!("{}: {error}", corpus.display()));
    let mut files: Vec<_> = entries.map(|entry| entry.expect("a readable corpus").path()).collect();
    files.sort();
    let runs = files.iter().map(|file| {
        // Shown when the test fails: the last one named is the one that did it.
        println!("{}", file.display());
        let data = fs::read(file).expect("a readable file");
        let said = target(&data);
        assert_eq!(said, target(&data), "two runs differ");
        said
    });
    let runs: Vec<_> = runs.collect();
    println!("{} files of {name} replayed", runs.len());
    runs
}
