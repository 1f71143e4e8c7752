//! Any text as a scenario of the simulated network: it is refused, or it can be set up and written down.
//!
//! A line `#set key=value`, a comment to TOML, is a setting as of the command line.

use std::path::Path;

use dragnet_sim::PEERS_MAX;
use dragnet_sim::experiment::Experiment;
use dragnet_sim::scenario::{LatencySpec, Scenario};

/// Parses the text; if it is a scenario, checks its bounds, writes it down, reads that again, and sets a
/// small one up. Returns the refusal, or the scenario.
///
/// # Panics
///
/// When an accepted scenario is out of bounds, differs when read again, or cannot be set up.
pub fn run(data: &[u8]) -> Vec<String> {
    let Ok(text) = str::from_utf8(data) else { return vec!["not UTF-8".to_owned()] };
    let settings: Vec<String> =
        text.lines().filter_map(|line| line.strip_prefix("#set ")).map(str::to_owned).collect();
    let scenario = match parse(text, &settings) {
        Ok(scenario) => scenario,
        Err(refusal) => return vec![refusal],
    };
    let written = toml::to_string(&scenario).expect("an accepted scenario can be written");
    let again = parse(&written, &[]).expect("an accepted scenario is accepted again");
    assert_eq!(again, scenario, "what is read again is the same");
    check(&scenario);
    vec![format!("{scenario:?}")]
}

fn parse(text: &str, settings: &[String]) -> Result<Scenario, String> {
    let scenario = Scenario::parse(text, "fuzz.toml", "fuzz", Path::new(""), settings);
    scenario.map_err(|error| error.to_string())
}

/// Checks the bounds of an accepted scenario, and that it can be set up.
pub(crate) fn check(scenario: &Scenario) {
    let (network, workload) = (&scenario.network, &scenario.workload);
    assert!((1..=PEERS_MAX).contains(&network.peers), "{network:?}");
    assert!((1..=10_000_000).contains(&workload.lookups), "{workload:?}");
    assert!((1..=100_000).contains(&workload.clients), "{workload:?}");
    assert!(scenario.query.config().fan_out > 0, "{:?}", scenario.query);
    if is_small(scenario) {
        Experiment::new(scenario.clone(), None, false).expect("an accepted scenario can be set up");
    }
}

/// Whether it takes no file, and little time, to set it up.
fn is_small(scenario: &Scenario) -> bool {
    let (network, workload) = (&scenario.network, &scenario.workload);
    !matches!(network.latency, LatencySpec::Matrix(_))
        && network.peers <= 200
        && workload.lookups <= 16
        && workload.clients <= 16
        && workload.providers <= 8
        && workload.items <= 8
        && scenario.faults.len() <= 16
}
