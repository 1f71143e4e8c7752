//! Every file of the corpora still passes, and does the same when it is run again.

use std::fs;
use std::path::Path;

#[test]
fn the_engine_keeps_its_promises_on_every_known_input_sequence() {
    let runs = replay("engine_inputs", dragnet_fuzz::engine_inputs::run);
    // A corpus that has come to nothing proves nothing.
    for word in ["Contact {", "Lookup {", "Release {", "Found {", "EnoughResults", "Converged", "Exhausted"] {
        assert!(runs.iter().flatten().any(|line| line.contains(word)), "no file leads to {word}");
    }
    for word in ["DeadlineReached", "Cancelled", "Busy {", "Limit {"] {
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
