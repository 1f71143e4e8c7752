//! The program as its users run it.

use std::process::Command;

use serde_json::Value;

fn bench(args: &[&str]) -> std::process::Output {
    let output = Command::new(env!("CARGO_BIN_EXE_dragnet-bench")).args(args).output();
    output.expect("the program runs")
}

#[test]
fn policies_prints_a_row_for_every_share_of_dead_peers_and_every_policy() {
    let output = bench(&["policies", "--peers", "300", "--lookups", "20", "--json"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
    let rows = report["rows"].as_array().expect("rows");
    let policies = ["fixed-10s", "fixed-5s", "fixed-1s", "fixed-0.4s", "fixed-10s-fan-out-10", "dragnet"];
    let expected = [0.0, 0.15, 0.3, 0.5].map(|dead| policies.map(|policy| (dead, policy)));
    let named = rows.iter().map(|row| (row["dead"].as_f64().unwrap(), row["policy"].as_str().unwrap()));
    assert_eq!(named.collect::<Vec<_>>(), expected.as_flattened());
    for row in rows {
        for figure in ["p50_ms", "p95_ms", "p99_ms", "contacts_per_lookup", "found_share"] {
            assert!(row[figure].as_f64().is_some_and(|figure| figure > 0.0), "{figure} of {row}");
        }
    }
    assert_eq!(report["slow_rows"].as_array().map(Vec::len), Some(2 * policies.len()));
    assert_eq!(report["ratios"].as_array().map(Vec::len), Some(4));
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    let output = bench(&["policies", "--lookups", "0"]);
    assert_eq!(output.status.code(), Some(2));
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.contains("--lookups is 0"), "{error}");
}

#[test]
fn lengths_that_are_nothing_or_beyond_the_clock_are_refused() {
    let longest = u64::MAX.to_string();
    for [command, option, value] in
        [["soak", "--seconds", "0"], ["soak", "--seconds", &longest], ["front", "--results", "0"]]
    {
        let output = bench(&[command, option, value]);
        assert_eq!(output.status.code(), Some(2), "{command} {option} {value}");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(error.contains(option) && error.contains(value), "{error}");
    }
}

#[test]
fn engines_prints_a_row_for_every_engine_draws_the_charts_and_renews_the_table() {
    let folder = tempfile::tempdir().expect("a folder");
    let page = folder.path().join("page.md");
    std::fs::write(&page, "before\n<!-- engines -->\n<!-- /engines -->\nafter\n").expect("written");
    let (charts, page_arg) = (folder.path().join("charts"), page.to_str().expect("text"));
    let small = ["engines", "--live", "5,20", "--rounds", "1", "--round-ms", "1", "--json"];
    let output =
        bench(&[&small[..], &["--chart", charts.to_str().expect("text"), "--write", page_arg]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
    let rows = report["rows"].as_array().expect("rows");
    let expected = [5, 20].map(|live| ["dragnet", "libp2p-kad", "hand-written"].map(|engine| (live, engine)));
    let named = rows.iter().map(|row| (row["live"].as_u64().unwrap(), row["engine"].as_str().unwrap()));
    assert_eq!(named.collect::<Vec<_>>(), expected.as_flattened());
    for row in rows {
        for figure in ["ns_per_event", "bytes_per_query"] {
            assert!(row[figure].as_f64().is_some_and(|figure| figure > 0.0), "{figure} of {row}");
        }
    }
    for chart in ["cost-per-event.svg", "memory-per-query.svg"] {
        let svg = std::fs::read_to_string(charts.join(chart)).expect("the chart");
        assert!(svg.starts_with("<svg") && svg.contains("hand-written, 20 live queries"), "{svg}");
    }
    let page = std::fs::read_to_string(&page).expect("the page");
    assert!(page.starts_with("before\n") && page.ends_with("after\n") && page.contains("ns/event"), "{page}");
}

#[test]
fn front_prints_a_row_for_everybody_each_kind_of_work_and_each_number_of_handles() {
    let output = bench(&["front", "--handles", "1,7", "--results", "300", "--rounds", "1", "--json"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
    let rows = report["rows"].as_array().expect("rows");
    assert_eq!(rows.len(), 3 * 2 * 3, "works, numbers of handles, and who");
    for row in rows {
        for figure in ["ns_per_result", "results_per_second", "queries_per_second"] {
            assert!(row[figure].as_f64().is_some_and(|figure| figure > 0.0), "{figure} of {row}");
        }
    }
    assert_eq!(report["ratios"].as_array().map(Vec::len), Some(3 * 2));
}

#[test]
fn soak_leaves_nothing_behind_in_virtual_time() {
    let output = bench(&["soak", "--networks", "8", "--halves", "simulated", "--json"]);
    let report: Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
    assert_eq!(output.status.code(), Some(0), "{report:#}");
    let figures = &report["simulated"];
    for figure in ["networks", "healthy", "queries", "events", "struck", "must_find"] {
        assert!(figures[figure].as_u64().is_some_and(|figure| figure > 0), "{figure} of {figures}");
    }
    assert_eq!(
        (figures["lateness_max_ns"].as_u64(), report["broken"].as_array().map(Vec::len)),
        (Some(0), Some(0))
    );
}

#[test]
fn soak_fails_when_memory_is_kept_items_are_lost_or_come_twice() {
    for (plant, says) in [("leak", "bytes were left behind"), ("loss", " items: "), ("twin", " items: ")] {
        let output = bench(&["soak", "--networks", "8", "--halves", "simulated", "--plant", plant]);
        let text = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(1), "{plant}: {text}");
        assert!(text.contains("broken:") && text.contains(says), "{plant}: {text}");
    }
}

#[test]
fn soak_among_real_nodes_fails_when_descriptors_are_kept_open() {
    let output =
        bench(&["soak", "--seconds", "2", "--halves", "loopback", "--plant", "descriptor", "--json"]);
    let report: Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
    assert_eq!(output.status.code(), Some(1), "{report:#}");
    assert!(report["loopback"]["queries"].as_u64().is_some_and(|queries| queries > 0), "{report:#}");
    let broken = report["broken"].as_array().expect("a list");
    let says = |what: &str| broken.iter().any(|line| line.as_str().is_some_and(|line| line.contains(what)));
    assert!(says("descriptors grow"), "{report:#}");
}

#[test]
fn live_prints_a_row_for_every_condition_and_client() {
    let small = ["--nodes", "5", "--lookups", "3", "--concurrency", "1,2", "--rounds", "1", "--json"];
    let output = bench(&[&["live", "--conditions", "healthy,lying"], &small[..]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
    let rows = report["rows"].as_array().expect("rows");
    let clients = ["libp2p-kad", "libp2p-kad-tuned", "delegated", "driven", "raw"];
    let mut expected = Vec::new();
    for condition in ["healthy", "lying"] {
        for concurrency in [1, 2] {
            expected.extend(clients.map(|client| (condition, concurrency, client)));
        }
    }
    let named = rows.iter().map(|row| {
        let text = |name: &str| row[name].as_str().unwrap();
        (text("condition"), row["concurrency"].as_u64().unwrap(), text("client"))
    });
    assert_eq!(named.collect::<Vec<_>>(), expected);
    let progress = String::from_utf8_lossy(&output.stderr);
    assert!(progress.contains("20/20: lying, 2 at once, raw: 3 lookups"), "{progress}");
    for row in rows {
        assert_eq!(row["lookups"], 3, "{row}");
        assert_eq!(row["found_share"], 1.0, "{row}");
        for figure in [
            "first_p50_ms",
            "first_p95_ms",
            "mean_ms",
            "p50_ms",
            "p95_ms",
            "p99_ms",
            "lookups_per_second",
            "contacts_per_second",
            "cpu_ms_per_lookup",
        ] {
            assert!(row[figure].as_f64().is_some_and(|figure| figure > 0.0), "{figure} of {row}");
        }
    }
    // The driven client beside each other.
    assert_eq!(report["ratios"].as_array().map(Vec::len), Some(2 * 2 * (clients.len() - 1)));
}

#[test]
fn a_network_of_nobody_is_refused() {
    let output = bench(&["live", "--nodes", "1"]);
    assert_eq!(output.status.code(), Some(2));
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.contains("--nodes is 1"), "{error}");
}
