//! `policies`: one workload under the engine's own policy and under fixed ones, in the same networks.
//!
//! A lookup walks to a record until it converges. All policies meet the same networks: the same peers,
//! keys and latencies, drawn from the seed. Dead peers are silent, and no routing table knows of it.

mod compare;
mod table;

use std::io::IsTerminal;
use std::time::Duration;

use anyhow::{Result, ensure};
use dragnet_sim::experiment::Experiment;
use dragnet_sim::scenario::{
    EngineSpec, Expect, FaultRule, KindName, LatencySpec, NetworkSpec, QuerySpec, Scenario, Workload,
    WorkloadKind,
};
use dragnet_sim::summary::Summary;
use dragnet_sim::{Share, Staleness};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use compare::{Ratios, SlowRatios};

#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Peers in the network.
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    peers: u32,
    /// Lookups under each policy, in each network.
    #[arg(long, value_name = "N", default_value_t = 2_000)]
    lookups: u32,
    /// What everything is drawn from.
    #[arg(long, value_name = "SEED", default_value_t = 1)]
    seed: u64,
    /// Print one JSON object instead of tables.
    #[arg(long)]
    json: bool,
}

/// All that was measured, and what it comes to.
#[derive(Serialize, Debug)]
struct Report {
    peers: u32,
    lookups: u32,
    seed: u64,
    rows: Vec<Row>,
    slow_rows: Vec<SlowRow>,
    ratios: Vec<Ratios>,
    slow_ratios: Vec<SlowRatios>,
}

/// One policy in a network of which some peers are dead.
#[derive(Serialize, Clone, PartialEq, Debug)]
struct Row {
    dead: f64,
    policy: &'static str,
    #[serde(flatten)]
    figures: Figures,
}

/// One policy in a network whose peers live, and some or all are slow.
#[derive(Serialize, Clone, PartialEq, Debug)]
struct SlowRow {
    condition: &'static str,
    policy: &'static str,
    #[serde(flatten)]
    figures: Figures,
}

#[derive(Serialize, Clone, Copy, PartialEq, Debug)]
struct Figures {
    p50_ms: f64,
    p95_ms: f64,
    p99_ms: f64,
    contacts_per_lookup: f64,
    found_share: f64,
}

/// Shares of dead peers, in percent.
const DEAD_PERCENT: [u32; 4] = [0, 15, 30, 50];

/// What slow networks are like: which share of the peers takes how many times as long.
const SLOW: [(&str, u32, u32); 2] = [("latency-x5", 100, 5), ("one-in-ten-x20", 10, 20)];

/// The engine's own policy: its defaults.
const OURS: &str = "dragnet";

/// A lookup that takes longer counts as this long.
const DEADLINE: Duration = Duration::from_secs(300);

pub(crate) fn run(args: &Args) -> Result<()> {
    ensure!(args.lookups > 0, "--lookups is 0, and must be at least 1");
    let policies = policies();
    let runs = policies.len() * (DEAD_PERCENT.len() + SLOW.len());
    let bar = bar(runs as u64);
    let measure = |dead: Share, slow: Option<(u32, u32)>, policy: &Policy| -> Result<Figures> {
        let figures = figures(scenario(args, dead, slow, policy))?;
        bar.inc(1);
        Ok(figures)
    };
    let (mut rows, mut slow_rows) = (Vec::new(), Vec::new());
    for percent in DEAD_PERCENT {
        let dead = Share::percent(percent);
        for policy in &policies {
            let figures = measure(dead, None, policy)?;
            rows.push(Row { dead: dead.as_f64(), policy: policy.name, figures });
        }
    }
    for (condition, percent, times) in SLOW {
        for policy in &policies {
            let figures = measure(Share::NONE, Some((percent, times)), policy)?;
            slow_rows.push(SlowRow { condition, policy: policy.name, figures });
        }
    }
    bar.finish_and_clear();
    let (ratios, slow_ratios) = (compare::with_fixed(&rows), compare::with_normal(&rows, &slow_rows));
    let Args { peers, lookups, seed, .. } = *args;
    let report = Report { peers, lookups, seed, rows, slow_rows, ratios, slow_ratios };
    if args.json {
        println!("{:#}", serde_json::to_value(&report)?);
    } else {
        table::print(&report);
    }
    Ok(())
}

/// A name, and what of the engine's defaults it changes.
struct Policy {
    name: &'static str,
    query: QuerySpec,
}

/// The fixed ones give an answer so long, and then give it up; the first is what libp2p-kad does.
fn policies() -> Vec<Policy> {
    let fixed = |name, timeout_ms, fan_out| {
        let query = QuerySpec {
            adaptive_timeout: Some(false),
            soft_timeout_ms: Some(timeout_ms),
            request_timeout_ms: Some(timeout_ms),
            adaptive_fan_out: Some(false),
            fan_out: Some(fan_out),
            ..QuerySpec::default()
        };
        Policy { name, query }
    };
    vec![
        fixed("fixed-10s", 10_000, 3),
        fixed("fixed-5s", 5_000, 3),
        fixed("fixed-1s", 1_000, 3),
        fixed("fixed-0.4s", 400, 3),
        fixed("fixed-10s-fan-out-10", 10_000, 10),
        Policy { name: OURS, query: QuerySpec::default() },
    ]
}

fn scenario(args: &Args, dead: Share, slow: Option<(u32, u32)>, policy: &Policy) -> Scenario {
    let slower = |(percent, times)| FaultRule {
        kind: KindName::Slower,
        share: Share::percent(percent),
        from_ms: 0,
        until_ms: None,
        lasts_ms: None,
        messages: None,
        by_ms: None,
        times: Some(times),
        count: None,
        one_way: None,
    };
    Scenario {
        name: policy.name.to_owned(),
        seed: args.seed,
        network: NetworkSpec {
            peers: args.peers,
            dead,
            staleness: Staleness::Uniform,
            loss: Share::NONE,
            latency: LatencySpec::Internet,
            sessions: None,
        },
        workload: Workload {
            kind: WorkloadKind::Get,
            lookups: args.lookups,
            clients: CLIENTS,
            over_ms: args.lookups.saturating_mul(LOOKUP_EVERY_MS),
            ..Workload::default()
        },
        query: QuerySpec { timeout_ms: Some(DEADLINE.as_millis() as u64), ..policy.query.clone() },
        engine: EngineSpec::default(),
        faults: slow.map(slower).into_iter().collect(),
        expect: Expect::default(),
    }
}

/// Each is an engine of its own, that knows nobody at first.
const CLIENTS: u32 = 10;

/// One of the clients starts a lookup so often.
const LOOKUP_EVERY_MS: u32 = 100;

fn figures(scenario: Scenario) -> Result<Figures> {
    let mut experiment = Experiment::new(scenario, None, false)?;
    experiment.run(|_| ());
    let summary = Summary::new(&experiment, Duration::ZERO, Duration::ZERO);
    let Summary { p50_ms, p95_ms, p99_ms, contacts_per_lookup, found_share, .. } = summary;
    Ok(Figures { p50_ms, p95_ms, p99_ms, contacts_per_lookup, found_share })
}

fn bar(runs: u64) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let template = "{bar:32} {pos}/{len} networks and policies, {elapsed}, {eta} left";
    let style = ProgressStyle::with_template(template).expect("the template is well-formed");
    ProgressBar::new(runs).with_style(style)
}
