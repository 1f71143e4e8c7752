//! `sweep`: one scenario under many settings, each under one seed or many.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use dragnet_sim::experiment::Experiment;
use dragnet_sim::scenario::Scenario;
use dragnet_sim::summary::{Latencies, wilson};
use indicatif::ProgressBar;
use serde::Serialize;

use crate::args::Sweep;
use crate::watch::bar;

pub(crate) fn sweep(args: &Sweep) -> Result<ExitCode> {
    let scenarios = scenarios(args)?;
    let bar = bar(scenarios.len() as u64 * u64::from(args.seeds), "runs");
    let mut rows = Vec::new();
    for scenario in scenarios {
        rows.push(measure(&scenario, args.seeds, &bar)?);
    }
    bar.finish_and_clear();
    if args.json {
        println!("{}", serde_json::to_string_pretty(&rows)?);
        return Ok(ExitCode::SUCCESS);
    }
    print(&rows)?;
    Ok(ExitCode::SUCCESS)
}

/// What a combination of settings comes to, over all its seeds.
#[derive(Serialize)]
struct Row {
    dead: f64,
    routes: usize,
    /// 0 if items are not delivered by a quorum.
    quorum: usize,
    fan_out: usize,
    soft_timeout_ms: u64,
    seeds: u32,
    lookups: u64,
    found: u64,
    found_share: f64,
    /// The 95 % confidence interval of the share.
    found_low: f64,
    found_high: f64,
    /// The share of the queries that were given an item that somebody made up.
    misled_share: f64,
    p50_ms: f64,
    p95_ms: f64,
    first_item_p50_ms: f64,
    contacts_per_lookup: f64,
}

/// The columns, in this order.
const COLUMNS: [&str; 14] = [
    "dead",
    "routes",
    "quorum",
    "fan_out",
    "soft_timeout_ms",
    "lookups",
    "found_share",
    "found_low",
    "found_high",
    "misled_share",
    "p50_ms",
    "p95_ms",
    "first_item_p50_ms",
    "contacts_per_lookup",
];

fn print(rows: &[Row]) -> Result<()> {
    let width = |column: &str| column.len().max(9) + 2;
    for column in COLUMNS {
        print!("{column:>width$}", width = width(column));
    }
    println!();
    for row in rows {
        let row = serde_json::to_value(row)?;
        for column in COLUMNS {
            let cell = match row[column].as_f64() {
                Some(value) if row[column].is_f64() => format!("{value:.3}"),
                _ => row[column].to_string(),
            };
            print!("{cell:>width$}", width = width(column));
        }
        println!();
    }
    Ok(())
}

/// Every combination of the settings; one that is not given stays as it is. All are read, and wrong ones
/// refused, before any runs.
fn scenarios(args: &Sweep) -> Result<Vec<Scenario>> {
    let numbers = |values: &[u64]| values.iter().map(u64::to_string).collect();
    let shares: Vec<String> = args.dead_shares.iter().map(|share| format!("{share:?}")).collect();
    let settings: [(&str, Vec<String>); 5] = [
        ("network.dead", shares),
        ("query.routes", numbers(&args.routes)),
        ("query.quorum", numbers(&args.quorums)),
        ("query.fan_out", numbers(&args.fan_outs)),
        ("query.soft_timeout_ms", numbers(&args.timeouts)),
    ];
    let mut combinations: Vec<Vec<String>> = vec![Vec::new()];
    for (key, values) in settings.into_iter().filter(|(_, values)| !values.is_empty()) {
        let with = |combination: Vec<String>| {
            let longer = |value: &String| [&combination[..], &[format!("{key}={value}")]].concat();
            values.iter().map(longer).collect::<Vec<_>>()
        };
        combinations = combinations.into_iter().flat_map(with).collect();
    }
    if !args.quorums.is_empty() {
        combinations.iter_mut().for_each(|more| more.push("query.delivery=quorum".to_owned()));
    }
    combinations.iter().map(|more| args.what.scenario(more)).collect()
}

fn measure(scenario: &Scenario, seeds: u32, bar: &ProgressBar) -> Result<Row> {
    let (mut found, mut misled, mut lookups, mut contacts) = (0, 0, 0, 0);
    let (mut totals, mut firsts): (Vec<Duration>, Vec<Duration>) = (Vec::new(), Vec::new());
    for more in 0..seeds {
        let seed = scenario.seed.wrapping_add(u64::from(more));
        let mut experiment = Experiment::new(Scenario { seed, ..scenario.clone() }, None, false)?;
        experiment.run(|_| ());
        let runs = experiment.sim.queries();
        lookups += runs.len() as u64;
        found += runs.iter().filter(|run| experiment.has_found(run)).count() as u64;
        misled += runs.iter().filter(|run| experiment.is_misled(run)).count() as u64;
        contacts += experiment.sim.counts().sent;
        totals.extend(runs.iter().filter_map(|run| run.total()));
        firsts.extend(runs.iter().filter_map(|run| run.first_item()));
        bar.inc(1);
    }
    let (totals, firsts) = (Latencies::new(totals.into_iter()), Latencies::new(firsts.into_iter()));
    let config = scenario.query.config();
    let (found_low, found_high) = wilson(found, lookups);
    let share = |count: u64| count as f64 / lookups.max(1) as f64;
    Ok(Row {
        soft_timeout_ms: config.soft_timeout.as_millis() as u64,
        fan_out: config.fan_out,
        dead: scenario.network.dead.as_f64(),
        routes: scenario.query.routes.unwrap_or(1),
        quorum: scenario.query.quorum.unwrap_or(0),
        seeds,
        lookups,
        found,
        found_share: share(found),
        found_low,
        found_high,
        misled_share: share(misled),
        p50_ms: totals.permille_ms(500),
        p95_ms: totals.permille_ms(950),
        first_item_p50_ms: firsts.permille_ms(500),
        contacts_per_lookup: share(contacts),
    })
}
