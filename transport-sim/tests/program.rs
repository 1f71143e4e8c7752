//! The program `dragnet-sim`, called as from a shell.
#![cfg(feature = "program")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// Runs the program in a folder.
fn call(folder: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_dragnet-sim"))
        .args(args)
        .current_dir(folder)
        .output()
        .expect("it starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

fn folder(name: &str) -> PathBuf {
    let folder =
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("program-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("the target folder is writable");
    folder
}

#[test]
fn run_prints_every_named_figure_and_the_same_twice() {
    let folder = folder("run");
    let args = [
        "run",
        "--peers",
        "300",
        "--lookups",
        "20",
        "--clients",
        "3",
        "--dead",
        "0.2",
        "--seed",
        "9",
        "--json",
    ];
    let run = || -> Value {
        let output = call(&folder, &args);
        assert!(output.status.success(), "{}", text(&output.stderr));
        serde_json::from_slice(&output.stdout).expect("JSON")
    };
    let (first, again) = (run(), run());
    let keys = "peers lookups events events_per_second bytes_per_peer found found_share p50_ms p95_ms p99_ms \
                first_item_p50_ms contacts_per_lookup faults digest virtual_seconds wall_seconds";
    for key in keys.split_whitespace() {
        assert!(first.get(key).is_some(), "{key} is missing");
    }
    assert_eq!((&first["peers"], &first["lookups"]), (&300.into(), &20.into()));
    for key in ["digest", "events", "found", "p50_ms", "virtual_seconds"] {
        assert_eq!(first[key], again[key], "{key}");
    }
    std::fs::remove_dir_all(folder).expect("its own folder");
}

#[test]
fn a_failing_run_is_recorded_replayed_and_shrunk_to_what_breaks_it() {
    let folder = folder("shrink");
    // Twenty of the peers are silent; the search fails because the providers are.
    let scenario = "[network]\npeers = 40\n[workload]\nkind = \"fetch\"\nlookups = 1\nclients = 1\nproviders = 1\n\
                    [[fault]]\nkind = \"silent\"\nshare = 0.6\n[expect]\nfound_share = 1.0\n";
    std::fs::write(folder.join("fail.toml"), scenario).expect("writable");
    // A seed whose provider is silent.
    let seeds = ["1", "2", "3", "4", "5", "6", "7", "8"];
    let fails = |seed: &&&str| {
        let run = call(&folder, &["run", "fail.toml", "--seed", seed, "--record", "run.json"]);
        run.status.code() == Some(1)
    };
    assert!(seeds.iter().find(fails).is_some(), "no provider is silent");

    let replayed = call(&folder, &["replay", "run.json"]);
    assert!(replayed.status.success(), "{}", text(&replayed.stderr));
    assert!(text(&replayed.stderr).starts_with("the same run: digest "));

    let shrunk = call(&folder, &["shrink", "run.json", "--promise", "found-share", "--json"]);
    assert!(shrunk.status.success(), "{}", text(&shrunk.stderr));
    let faults: Value = serde_json::from_slice(&shrunk.stdout).expect("JSON");
    assert_eq!(faults.as_array().map(Vec::len), Some(1), "{faults}");
    assert_eq!(faults[0]["kind"], "silent");
    assert!(call(&folder, &["replay", "run.min.json"]).status.success());

    let kept = call(&folder, &["shrink", "run.json", "--promise", "deadline"]);
    assert_eq!(kept.status.code(), Some(2));
    assert!(text(&kept.stderr).contains("run.json: the run keeps the promise deadline: nothing to shrink"));

    // A record that was tampered with no longer tells the truth.
    let record = std::fs::read_to_string(folder.join("run.json")).expect("written above");
    let digest: Value = serde_json::from_str(&record).expect("JSON");
    let digest = digest["digest"].as_str().expect("a digest");
    std::fs::write(folder.join("other.json"), record.replace(digest, &"0".repeat(32))).expect("writable");
    let other = call(&folder, &["replay", "other.json"]);
    assert_eq!(other.status.code(), Some(1));
    assert!(text(&other.stderr).contains("the runs part between event 0"), "{}", text(&other.stderr));
    std::fs::remove_dir_all(folder).expect("its own folder");
}

#[test]
fn sweep_prints_a_row_for_every_combination() {
    let folder = folder("sweep");
    let args = [
        "sweep",
        "--peers",
        "200",
        "--lookups",
        "5",
        "--timeouts",
        "300,600",
        "--dead-shares",
        "0,0.3",
        "--json",
    ];
    let output = call(&folder, &args);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let rows: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let settings = |row: &Value| (row["dead"].as_f64(), row["soft_timeout_ms"].as_u64());
    let settings: Vec<_> = rows.as_array().expect("rows").iter().map(settings).collect();
    let expected = [(0.0, 300), (0.0, 600), (0.3, 300), (0.3, 600)].map(|(dead, ms)| (Some(dead), Some(ms)));
    assert_eq!(settings, expected);
    std::fs::remove_dir_all(folder).expect("its own folder");
}

#[test]
fn sweep_takes_seeds_together_and_says_how_sure_it_is() {
    let folder = folder("sweep-seeds");
    let attack = "fault=[{kind=\"sybils\",share=0.5,count=40}]";
    let args = [
        "sweep",
        "--peers",
        "500",
        "--lookups",
        "1",
        "--clients",
        "1",
        "--set",
        attack,
        "--set",
        "workload.kind=get",
        "--routes",
        "1,6",
        "--seeds",
        "40",
        "--json",
    ];
    let output = call(&folder, &args);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let rows: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let figure = |row: usize, name: &str| rows[row][name].as_f64().expect("a figure");
    for row in 0..2 {
        assert_eq!((figure(row, "lookups"), figure(row, "seeds")), (40.0, 40.0));
        let (low, share, high) =
            (figure(row, "found_low"), figure(row, "found_share"), figure(row, "found_high"));
        assert!(0.0 < low && low < share && share <= high && high <= 1.0, "{low} {share} {high}");
    }
    // The same seeds give the same figures: nothing here is left to chance.
    assert!(figure(0, "found_high") < figure(1, "found_low"), "six routes find what one does not: {rows}");
    std::fs::remove_dir_all(folder).expect("its own folder");
}

#[test]
fn wrong_arguments_are_refused_by_name() {
    let folder = folder("wrong");
    for (args, expected) in [
        (vec!["run", "none.toml"], "dragnet-sim: none.toml: "),
        (vec!["run", "--peers", "0"], "network.peers is 0, and must be from 1 to"),
        (vec!["run", "--dead", "1.5"], "expected a share from 0 to 1, found 1.5"),
        (
            vec!["run", "--lookups", "3", "--query", "3", "--report", "x.html"],
            "--query is 3, and must be below",
        ),
        (vec!["run", "--set", "peers"], "--set peers: expected key=value"),
        (vec!["replay", "none.json"], "dragnet-sim: none.json: "),
        (
            vec!["shrink", "none.json", "--promise", "luck"],
            "no promise is called \"luck\": expected distinct-items",
        ),
        (
            vec!["run", "--peers", "50", "--lookups", "1", "--report", "no/r.html"],
            "no/r.html: cannot be written",
        ),
        (
            vec!["run", "--peers", "50", "--lookups", "1", "--record", "no/r.json"],
            "no/r.json: cannot be written",
        ),
        (vec!["jump"], "unrecognized subcommand 'jump'"),
    ] {
        let output = call(&folder, &args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        let said = text(&output.stderr);
        assert!(said.contains(expected), "{args:?}: {said}");
    }
    std::fs::remove_dir_all(folder).expect("its own folder");
}

/// The recording of a front that asks so many queries in a small network.
fn driver_recording(queries: u64) -> Vec<u8> {
    use dragnet_core::front::FrontConfig;
    use dragnet_core::record::{RecordConfig, Recorder};
    use dragnet_core::{Key, Time};
    use dragnet_sim::{Request, Sim, SimConfig, SimItem};

    let (recorder, writer) = Recorder::new(RecordConfig::default().with_block_bytes(500), [3; 16]);
    let mut sim = Sim::new(SimConfig::new(100)).expect("good settings");
    let client = sim.recorded_front(FrontConfig::default(), None, recorder);
    for n in 0..queries {
        let key = Key::of(&n.to_be_bytes());
        sim.put(SimItem::new(key, n));
        sim.ask(client, Time::from_millis(n * 100), Request::Get(key).query());
    }
    sim.run();
    let front = sim.front_client(client).expect("a front");
    sim.spawn(async move { front.shutdown().await });
    sim.run();
    let mut file = Vec::new();
    writer.run(&mut file).expect("memory takes it");
    file
}

#[test]
fn a_drivers_recording_is_replayed_listed_and_drawn() {
    let folder = folder("flight");
    let file = driver_recording(4);
    std::fs::write(folder.join("node.rec"), &file).expect("writable");
    let replay = |args: &[&str]| call(&folder, &[&["replay", "node.rec"], args].concat());

    let listed = replay(&[]);
    let out = text(&listed.stdout);
    assert!(listed.status.success(), "{out}{}", text(&listed.stderr));
    for words in ["outputs  the recorded ones", "whole: finished", "queries  4", "get", "converged"] {
        assert!(out.contains(words), "{words}: {out}");
    }
    let object: Value = serde_json::from_slice(&replay(&["--json", "--query", "1"]).stdout).expect("JSON");
    assert_eq!(object["outputs_are_the_recorded_ones"], true);
    assert_eq!(object["queries"].as_array().map(Vec::len), Some(4));
    assert_eq!(object["queries"][1]["contacts"], object["contacts"].as_array().map_or(0, Vec::len));

    let id = object["queries"][2]["id"].as_str().expect("it started").to_owned();
    assert!(replay(&["--query", &id[..8], "--report", "it.html"]).status.success());
    let page = std::fs::read_to_string(folder.join("it.html")).expect("it was drawn");
    assert!(page.contains("Query 2: get") && page.contains("class=\"fall\""), "{page}");

    let wrong = replay(&["--query", "99"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(text(&wrong.stderr).contains("write a number from 0 to 3"), "{}", text(&wrong.stderr));

    std::fs::write(folder.join("node.rec"), &file[..file.len() / 2]).expect("writable");
    let cut = replay(&[]);
    assert_eq!(cut.status.code(), Some(3));
    assert!(text(&cut.stderr).contains("node.rec: cut off"), "{}", text(&cut.stderr));
    assert!(text(&cut.stdout).contains("outputs  the recorded ones"), "{}", text(&cut.stdout));
    std::fs::write(folder.join("node.rec"), &file[..20]).expect("writable");
    let nothing = replay(&[]);
    assert_eq!(nothing.status.code(), Some(2));
    assert!(text(&nothing.stderr).contains("node.rec: cut off after 20 bytes"), "{}", text(&nothing.stderr));
    std::fs::remove_dir_all(folder).expect("its own folder");
}
