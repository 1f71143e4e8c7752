//! Scenarios run the same twice, are recorded, replayed and refused when they are wrong.

use std::path::{Path, PathBuf};
use std::time::Duration;

use dragnet_sim::Share;
use dragnet_sim::experiment::Experiment;
use dragnet_sim::judge::{Promise, judge};
use dragnet_sim::record::Record;
use dragnet_sim::report::{Show, html};
use dragnet_sim::scenario::Scenario;
use dragnet_sim::summary::Summary;

/// Every scenario of the project, made small enough for a test.
const SCENARIOS: [&str; 7] = ["internet", "dead-peers", "churn", "partition", "liars", "sybils", "million"];

fn small(name: &str) -> Scenario {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("scenarios/{name}.toml"));
    let set = ["network.peers=1200", "workload.lookups=60", "workload.clients=6"].map(String::from);
    Scenario::read(&path, &set).expect("a good scenario")
}

fn run(scenario: Scenario, trace: bool) -> (Experiment, Summary) {
    let mut experiment = Experiment::new(scenario, None, trace).expect("a good scenario");
    experiment.run(|_| ());
    let summary = Summary::new(&experiment, Duration::ZERO, Duration::ZERO);
    (experiment, summary)
}

fn parse(text: &str) -> Result<Scenario, String> {
    let scenario = Scenario::parse(text, "test.toml", "test", Path::new(""), &[]);
    scenario.map_err(|error| error.to_string())
}

#[test]
fn every_scenario_runs_the_same_twice_and_keeps_the_engines_promises() {
    for name in SCENARIOS {
        let (experiment, summary) = run(small(name), true);
        assert_eq!(run(small(name), false).1, summary, "{name}");
        let broken = judge(&experiment, &summary);
        let whole = |promise| matches!(promise, Promise::FoundShare | Promise::P50 | Promise::P95);
        assert!(broken.iter().all(|broken| whole(broken.promise)), "{name}: {broken:?}");
        let listed = experiment.sim.faults();
        for (kind, strikes) in &summary.faults {
            assert!(*strikes > 0 && listed.iter().any(|fault| fault.kind.name() == *kind), "{name}: {kind}");
        }
        assert!(summary.found_share > 0.3, "{name}: {}", summary.found_share);
    }
}

#[test]
fn bare_engines_and_fronts_come_to_the_same() {
    let mut scenario = small("internet");
    scenario.network.loss = Share::percent(3);
    let summary = |drive| {
        let mut scenario = scenario.clone();
        scenario.workload.drive = drive;
        let summary = run(scenario, false).1;
        (summary.found, summary.reasons, summary.p50_ms, summary.contacts_per_lookup)
    };
    use dragnet_sim::scenario::ClientKind::{Engine, Front};
    assert_eq!(summary(Engine), summary(Front));
}

#[test]
fn a_recorded_run_is_the_same_again_and_a_changed_one_is_told_apart() {
    let (experiment, _) = run(small("liars"), false);
    let record = Record::of(&experiment);
    let folder = Folder::new("record");
    let file = folder.file("run.json");
    record.write(&file).expect("writable");
    let read = Record::read(&file).expect("a record");
    assert_eq!(read, record);
    let again = |faults| {
        let mut again = Experiment::new(read.scenario.clone(), Some(faults), false).expect("a record");
        again.run(|_| ());
        Record::of(&again)
    };
    assert_eq!(read.difference(&again(&read.faults)), None);
    let difference = read.difference(&again(&read.faults[..10])).expect("other faults").what;
    assert!(difference.starts_with("the runs part between event 0"), "{difference}");
    assert!(difference.contains("the first query that ends otherwise is"), "{difference}");
}

#[test]
fn a_record_that_cannot_be_written_leaves_the_old_one_alone() {
    let (experiment, _) = run(small("sybils"), false);
    let folder = Folder::new("old");
    let file = folder.file("run.json");
    let record = Record::of(&experiment);
    record.write(&file).expect("writable");
    record.write(&file).expect("writable again");
    let names: Vec<_> =
        std::fs::read_dir(&folder.0).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["run.json"], "nothing is left beside it");
    let error = record.write(&folder.file("missing/run.json")).unwrap_err().to_string();
    assert!(error.contains("missing/run.json: cannot be written: "), "{error}");
}

#[test]
fn a_file_that_is_no_record_is_refused_by_name_and_place() {
    let (experiment, _) = run(small("liars"), false);
    let folder = Folder::new("bad");
    let file = folder.file("run.json");
    Record::of(&experiment).write(&file).expect("writable");
    let text = std::fs::read_to_string(&file).unwrap();
    let error = |text: &str| Record::parse(text, Path::new("run.json")).unwrap_err().to_string();
    for end in [0, 1, 30, text.len() / 2, text.len() - 1] {
        let error = error(&text[..end]);
        assert!(error.starts_with("run.json: cut off at line "), "cut at {end}: {error}");
    }
    let other = error(&text.replacen("\"dragnet_sim_record\":1", "\"dragnet_sim_record\":7", 1));
    assert_eq!(other, "run.json: a recorded run of version 7, expected version 1: record it again");
    assert!(error("{\"a\":1}").contains("missing field `dragnet_sim_record`"));
    assert!(error("hello").starts_with("run.json: not a recorded run: expected value at line 1 column 1"));
    let expected = "flood-items: count is 4000000000, and must be from 1 to 100000";
    let rule = text.replacen("\"count\":2000", "\"count\":4000000000", 1);
    assert_eq!(error(&rule), format!("run.json: the recorded scenario: fault 3: {expected}"));
    let (head, list) = text.split_once("\"faults\":[").expect("it has a list");
    let list = list.replacen("\"count\":2000", "\"count\":4000000000", 1);
    let flood = error(&format!("{head}\"faults\":[{list}"));
    assert!(flood.contains("of the list: ") && flood.ends_with(expected), "{flood}");
    let typo = text.replacen("\"checkpoints\"", "\"chekpoints\"", 1);
    assert!(error(&typo).contains("unknown field `chekpoints`"), "{}", error(&typo));
    let missing = Record::read(&folder.file("none.json")).unwrap_err().to_string();
    assert!(missing.contains("none.json: "), "{missing}");
}

#[test]
fn wrong_scenarios_are_refused_with_line_or_key_and_what_was_expected() {
    let cases = [
        ("[network]\npeers = 10\ncolour = 1", "TOML parse error at line 3, column 1"),
        ("[network]\npeers = 10\ncolour = 1", "unknown field `colour`, expected one of `peers`, `dead`"),
        ("[network]\npeers = 10\ndead = 1.5", "expected a share from 0 to 1, found 1.5"),
        ("[network]\npeers = 10\ndead = 1.5", "at line 3, column 8"),
        ("[network]\npeers = 10\ndead = nan", "expected a share from 0 to 1, found NaN"),
        ("[network]\npeers = 0", "network.peers is 0, and must be from 1 to 16777216"),
        ("[network]\npeers = -3", "at line 2, column 9"),
        ("[network]\n", "missing field `peers`"),
        ("seed = 1", "missing field `network`"),
        ("[network\npeers = 1", "at line 1"),
        ("[network]\npeers = 10\n[workload]\nlookups = 0", "workload.lookups is 0, and must be from 1"),
        (
            "[network]\npeers = 10\n[workload]\nproviders = 50",
            "workload.providers is 50, and must be from 1 to 10",
        ),
        (
            "[network]\npeers = 10\n[workload]\nkind = \"guess\"",
            "unknown variant `guess`, expected one of `find`",
        ),
        (
            "[network]\npeers = 10\n[workload]\nclients = 11\nclients_are_peers = true",
            "workload.clients (that are peers) is 11, and must be from 1 to 10",
        ),
        ("[network]\npeers = 10\n[query]\nfan_out = 0", "query.fan_out is 0, and must be from 1 to 1000"),
        (
            "[network]\npeers = 10\n[query]\ndelivery = \"quorum\"",
            "query.quorum is missing, and must be given where query.delivery is quorum, and only there",
        ),
        (
            "[network]\npeers = 10\n[query]\nquorum = 2",
            "query.quorum is given, and must be given where query.delivery is quorum, and only there",
        ),
        ("[network]\npeers = 10\n[query]\nroutes = 17", "query.routes is 17, and must be from 1 to 16"),
        (
            "[network]\npeers = 10\n[query]\nagreement = \"all\"",
            "query.agreement is given, and must be given where query.routes is, and only there",
        ),
        ("[network]\npeers = 10\nlatency = { fixed_ms = 0 }", "network.latency.fixed_ms is 0"),
        (
            "[network]\npeers = 10\n[network.sessions]\nshape = nan\nscale_s = 100",
            "network.sessions.shape is NaN",
        ),
        (
            "[network]\npeers = 10\n[network.sessions]\nshape = 0\nscale_s = 100",
            "network.sessions.shape is 0",
        ),
        (
            "[network]\npeers = 10\n[[fault]]\nkind = \"fire\"",
            "unknown variant `fire`, expected one of `silent`",
        ),
        (
            "[network]\npeers = 10\n[[fault]]\nkind = \"slow\"",
            "the figure of fault 1 (Slow) is missing, and must be by_ms",
        ),
        (
            "[network]\npeers = 10\n[[fault]]\nkind = \"silent\"\ncount = 2",
            "the figure of fault 1 (Silent) is count, and must be none of messages, by_ms, times, count and one_way",
        ),
        (
            "[network]\npeers = 10\n[[fault]]\nkind = \"silent\"\nfrom_ms = 5\nuntil_ms = 5",
            "fault 1 (silent): until_ms is 5, and must be above from_ms, which is 5",
        ),
        (
            "[network]\npeers = 10\n[[fault]]\nkind = \"sybils\"\ncount = 257",
            "fault 1: sybils: count is 257, and must be from 1 to 256",
        ),
        (
            "[network]\npeers = 10\n[[fault]]\nkind = \"crashed\"\nlasts_ms = 5",
            "fault 1 (crashed): until_ms is missing, and must be given where lasts_ms is",
        ),
        (
            "[network]\npeers = 10\n[[fault]]\nkind = \"clogged\"",
            "fault 1 (clogged): until_ms is missing, and must be given: a link that is clogged for ever",
        ),
    ];
    for (text, expected) in cases {
        let error = parse(text).expect_err(text);
        assert!(error.contains(expected), "{text}\ngave: {error}\nexpected: {expected}");
    }
    assert!(parse("[network]\npeers = 10\ncolour = 1").unwrap_err().starts_with("test.toml: "));
}

#[test]
fn settings_replace_values_and_wrong_ones_are_named() {
    let with = |settings: &[&str]| {
        let settings: Vec<String> = settings.iter().map(|s| (*s).to_owned()).collect();
        Scenario::parse("[network]\npeers = 10", "test.toml", "test", Path::new(""), &settings)
            .map_err(|error| error.to_string())
    };
    let set = ["query.fan_out=5", "workload.kind=get", "network.latency={ fixed_ms = 7 }", "name=\"mine\""];
    let scenario = with(&set).expect("good settings");
    assert_eq!((scenario.query.fan_out, scenario.name.as_str()), (Some(5), "mine"));
    for (setting, expected) in [
        ("query.fan_out", "--set query.fan_out: expected key=value"),
        ("=5", "--set =5: expected a key like network.peers"),
        ("seed.a=5", "--set seed.a=5: seed holds no keys"),
        ("query.colour=5", "test.toml with --set query.colour=5: unknown field `colour`"),
        ("network.dead=2", "expected a share from 0 to 1, found 2"),
        ("network.peers=many", "invalid type: string \"many\""),
    ] {
        let setting = if setting == "seed.a=5" { vec!["seed=1", setting] } else { vec![setting] };
        let error = with(&setting).expect_err(expected);
        assert!(error.contains(expected), "{error}\nexpected: {expected}");
    }
}

#[test]
fn a_matrix_is_found_beside_its_scenario_and_a_bad_one_named() {
    let folder = Folder::new("matrix");
    std::fs::write(folder.file("rtt.txt"), "0 100\n100 0\n").unwrap();
    let text = "[network]\npeers = 300\nlatency = { matrix = \"rtt.txt\" }\n[workload]\nlookups = 5\n";
    let parse = || Scenario::parse(text, "test.toml", "test", &folder.0, &[]).expect("good");
    let (_, summary) = run(parse(), false);
    assert_eq!(summary.found, 5);
    std::fs::write(folder.file("rtt.txt"), "0 100\n100 x\n").unwrap();
    let error = Experiment::new(parse(), None, false).unwrap_err();
    assert!(std::error::Error::source(&error).is_none(), "what the message has is not said again");
    let error = error.to_string();
    assert!(error.starts_with("network.latency.matrix = ") && error.contains("line 2, column 2"), "{error}");
}

#[test]
fn a_report_needs_nothing_else_and_escapes_what_it_is_given() {
    let mut scenario = small("liars");
    scenario.name = "<liars>".to_owned();
    let (experiment, summary) = run(scenario, true);
    let broken = judge(&experiment, &summary);
    let show = Show { command: "dragnet-sim run 'a&b.toml'", query: Some(3), broken: &broken };
    let page = html(&experiment, &summary, &show);
    for part in
        ["&lt;liars&gt;", "&#39;a&amp;b.toml&#39;", "seed <b>1</b>", "The contacts of query 3", "<svg"]
    {
        assert!(page.contains(part), "{part} is missing");
    }
    for part in ["<liars>", "http:", "https:", "src=", "<script", "<link", "@import", "url("] {
        assert!(!page.contains(part), "{part} is in the page");
    }
    assert!(page.contains("prefers-color-scheme: dark") && page.contains("width=device-width"));
}

/// A folder of one test's own, removed when the test is over.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("the target folder is writable");
        Self(folder)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Whatever is left is in the target folder.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
