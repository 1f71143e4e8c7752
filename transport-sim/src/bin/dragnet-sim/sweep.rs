//! `sweep`: one scenario under many settings.

use std::process::ExitCode;

use anyhow::Result;
use dragnet_sim::experiment::Experiment;
use dragnet_sim::scenario::Scenario;
use dragnet_sim::summary::Summary;

use crate::args::Sweep;
use crate::watch::{Stopwatch, bar};

pub(crate) fn sweep(args: &Sweep) -> Result<ExitCode> {
    let scenarios = scenarios(args)?;
    let bar = bar(scenarios.len() as u64, "runs");
    let mut rows = Vec::new();
    for scenario in scenarios {
        rows.push(measure(scenario)?);
        bar.inc(1);
    }
    bar.finish_and_clear();
    if args.json {
        println!("{:#}", serde_json::Value::Array(rows));
        return Ok(ExitCode::SUCCESS);
    }
    for column in COLUMNS {
        print!("{column:>20}");
    }
    println!();
    for row in &rows {
        for column in COLUMNS {
            print!("{:>20}", row[column].to_string());
        }
        println!();
    }
    Ok(ExitCode::SUCCESS)
}

const COLUMNS: [&str; 8] = [
    "soft_timeout_ms",
    "fan_out",
    "dead",
    "found_share",
    "p50_ms",
    "p95_ms",
    "first_item_p50_ms",
    "contacts_per_lookup",
];

/// Every combination of the settings; one that is not given stays as it is. All are read, and wrong ones
/// refused, before any runs.
fn scenarios(args: &Sweep) -> Result<Vec<Scenario>> {
    let settings = |key: &str, values: Vec<String>| -> Vec<Option<String>> {
        let given = values.into_iter().map(|value| Some(format!("{key}={value}"))).collect::<Vec<_>>();
        if given.is_empty() { vec![None] } else { given }
    };
    let texts = |values: &[u64]| values.iter().map(u64::to_string).collect();
    let shares = args.dead_shares.iter().map(|share| format!("{share:?}")).collect();
    let mut scenarios = Vec::new();
    for dead in settings("network.dead", shares) {
        for fan_out in settings("query.fan_out", texts(&args.fan_outs)) {
            for timeout in settings("query.soft_timeout_ms", texts(&args.timeouts)) {
                let more: Vec<String> =
                    [dead.clone(), fan_out.clone(), timeout].into_iter().flatten().collect();
                scenarios.push(args.what.scenario(&more)?);
            }
        }
    }
    Ok(scenarios)
}

fn measure(scenario: Scenario) -> Result<serde_json::Value> {
    let config = scenario.query.config();
    let dead = scenario.network.dead;
    let watch = Stopwatch::start();
    let mut experiment = Experiment::new(scenario, None, false)?;
    let setup = watch.read();
    experiment.run(|_| ());
    let mut row = serde_json::to_value(Summary::new(&experiment, setup, watch.read() - setup))?;
    row["soft_timeout_ms"] = (config.soft_timeout.as_millis() as u64).into();
    row["fan_out"] = config.fan_out.into();
    row["dead"] = dead.as_f64().into();
    Ok(row)
}
