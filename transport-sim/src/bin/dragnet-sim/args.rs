//! What the program is told.

use std::path::PathBuf;

use anyhow::Result;
use clap::{Parser, Subcommand};
use dragnet_sim::judge::Promise;
use dragnet_sim::scenario::Scenario;

/// Simulates Dragnet's queries in a network of thousands to a million peers, in virtual time: the same
/// seed gives the same run.
#[derive(Parser, Debug)]
#[command(version, max_term_width = 100)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Runs a scenario and prints what came of it. Exits with 1 if a promise was broken.
    Run(Run),
    /// Runs a recorded run, or the recording of a driver, again. Exits with 1, and names the first difference,
    /// if it is not the same; with 3 if it is, and the recording of a driver is cut off or damaged.
    Replay(Replay),
    /// Cuts the faults of a recorded run down to the few that still break a promise.
    Shrink(Shrink),
    /// Runs a scenario under many settings, and prints a table.
    Sweep(Sweep),
}

#[derive(clap::Args, Debug)]
pub(crate) struct Run {
    #[command(flatten)]
    pub(crate) what: What,
    /// Print the figures as JSON.
    #[arg(long)]
    pub(crate) json: bool,
    /// Draw the run into this HTML file.
    #[arg(long, value_name = "FILE.html")]
    pub(crate) report: Option<PathBuf>,
    /// The query whose contacts the report shows, counted from 0; by default one at the 95th percentile.
    #[arg(long, value_name = "N", requires = "report")]
    pub(crate) query: Option<usize>,
    /// Record the run into this file, for `replay` and `shrink`.
    #[arg(long, value_name = "FILE")]
    pub(crate) record: Option<PathBuf>,
}

/// What to run.
#[derive(clap::Args, Debug)]
pub(crate) struct What {
    /// The scenario; without, 1 000 searches among 10 000 living peers with the internet's latencies.
    #[arg(value_name = "SCENARIO.toml")]
    scenario: Option<PathBuf>,
    /// Peers in the network (network.peers).
    #[arg(long, value_name = "N")]
    peers: Option<u32>,
    /// Queries (workload.lookups).
    #[arg(long, value_name = "N")]
    lookups: Option<u32>,
    /// Clients that ask them (workload.clients).
    #[arg(long, value_name = "N")]
    clients: Option<u32>,
    /// The share of dead peers, from 0 to 1 (network.dead).
    #[arg(long, value_name = "SHARE")]
    dead: Option<String>,
    /// What everything is drawn from (seed).
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// Replaces any value of the scenario, as `query.fan_out=5`. May be given again.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
}

#[derive(clap::Args, Debug)]
pub(crate) struct Replay {
    /// The recorded run, or the recording of a driver: which it is, the file says.
    pub(crate) file: PathBuf,
    /// Print the figures as JSON.
    #[arg(long)]
    pub(crate) json: bool,
    /// Draw the run into this HTML file.
    #[arg(long, value_name = "FILE.html")]
    pub(crate) report: Option<PathBuf>,
    /// The query whose contacts are shown: its number, counted from 0, or of a driver's recording also the
    /// beginning of its id. Without, of a driver's recording the slowest, in the report.
    #[arg(long, value_name = "N|ID")]
    pub(crate) query: Option<String>,
}

#[derive(clap::Args, Debug)]
pub(crate) struct Shrink {
    /// The recorded run.
    pub(crate) file: PathBuf,
    /// The promise that the faults break; without, the first that the run breaks.
    #[arg(long, value_name = "NAME")]
    pub(crate) promise: Option<Promise>,
    /// Record the shrunk run into this file; by default FILE with `.min` before its ending.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Print the faults that are left as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(clap::Args, Debug)]
pub(crate) struct Sweep {
    #[command(flatten)]
    pub(crate) what: What,
    /// Soft timeouts to try, in milliseconds (query.soft_timeout_ms).
    #[arg(long, value_name = "MS,..", value_delimiter = ',')]
    pub(crate) timeouts: Vec<u64>,
    /// Fan-outs to try (query.fan_out).
    #[arg(long, value_name = "N,..", value_delimiter = ',')]
    pub(crate) fan_outs: Vec<u64>,
    /// Numbers of disjoint routes to try (query.routes).
    #[arg(long, value_name = "N,..", value_delimiter = ',')]
    pub(crate) routes: Vec<u64>,
    /// Quorums to try (query.delivery and query.quorum).
    #[arg(long, value_name = "N,..", value_delimiter = ',')]
    pub(crate) quorums: Vec<u64>,
    /// Run each combination under so many seeds, from the scenario's on, and take them together.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) seeds: u32,
    /// Shares of dead peers to try (network.dead).
    #[arg(long, value_name = "SHARE,..", value_delimiter = ',')]
    pub(crate) dead_shares: Vec<f64>,
    /// Print the table as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

const DEFAULT: &str = "name = \"default\"\n[network]\npeers = 10_000\n";

impl What {
    /// Reads the scenario, with its replaced values and some more.
    pub(crate) fn scenario(&self, more: &[String]) -> Result<Scenario> {
        let settings: Vec<String> = self.settings().into_iter().chain(more.iter().cloned()).collect();
        Ok(match &self.scenario {
            Some(path) => Scenario::read(path, &settings)?,
            None => Scenario::parse(DEFAULT, "the default scenario", "default", "".as_ref(), &settings)?,
        })
    }

    /// The command that runs the same again.
    pub(crate) fn command(&self, name: &str, scenario: &Scenario) -> String {
        let file = self.scenario.as_ref().map(|path| format!(" {}", path.display())).unwrap_or_default();
        let mut settings = self.settings();
        settings.retain(|setting| !setting.starts_with("seed="));
        let settings: String =
            settings.iter().map(|s| format!(" --set '{}'", s.replace('\'', "'\\''"))).collect();
        format!("dragnet-sim {name}{file} --seed {}{settings}", scenario.seed)
    }

    fn settings(&self) -> Vec<String> {
        let flags = [
            ("network.peers", self.peers.map(|n| n.to_string())),
            ("workload.lookups", self.lookups.map(|n| n.to_string())),
            ("workload.clients", self.clients.map(|n| n.to_string())),
            ("network.dead", self.dead.clone()),
            ("seed", self.seed.map(|n| n.to_string())),
        ];
        let flags = flags.into_iter().filter_map(|(key, value)| Some(format!("{key}={}", value?)));
        flags.chain(self.settings.iter().cloned()).collect()
    }
}
