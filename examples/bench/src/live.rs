//! `live`: real nodes on loopback, and the same lookups by libp2p-kad's own `get_record` and by ours.
//!
//! Equal for all are nodes, identities, records, routing tables, open connections and the deadline. Requests in
//! flight per lookup are equal at the start only: three everywhere. With libp2p-kad, whether asked itself or by
//! the delegated client, and with the raw requests it stays at three. The driven client runs with its defaults,
//! which follow the network: where contacts are overdue, up to four times as many are in flight at once (twelve),
//! and hedges beside them. A lookup goes on until it has converged. One that has not by the deadline, or has
//! found nothing, counts as the deadline. The clients take turns, each time with a new swarm that knows nothing
//! of the last.

mod clients;
mod network;
mod rows;
mod silent;

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use clients::{Client, Load, Measured};
use network::{CLOSEST, Network, Role};
use rows::Report;

#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Nodes in the network.
    #[arg(long, value_name = "N", default_value_t = 60)]
    nodes: usize,
    /// What identities, and the order of the lookups, are drawn from.
    #[arg(long, value_name = "SEED", default_value_t = 1)]
    seed: u64,
    /// What is wrong with the network.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Condition::ALL)]
    conditions: Vec<Condition>,
    /// Lookups at once.
    #[arg(long, value_name = "N", value_delimiter = ',', default_values_t = [1, 100, 1000])]
    concurrency: Vec<usize>,
    /// Who looks.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [
        Client::Libp2pKad, Client::Libp2pKadTuned, Client::Delegated, Client::Driven, Client::Raw,
    ])]
    clients: Vec<Client>,
    /// Lookups of each client in each round; without it 100, or three for each at once.
    #[arg(long, value_name = "N")]
    lookups: Option<usize>,
    /// In each round of a client no lookup is begun after so many seconds. Those begun by then may take as
    /// long as the deadline, so a round ends within budget and deadline, about.
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    budget: u64,
    /// Lookups that each client begins in each round even if the budget has run out.
    #[arg(long, value_name = "N", default_value_t = 1)]
    lookups_min: usize,
    /// How often the clients take turns in each condition; what they measure is pooled, so that a busy
    /// moment of the machine does not meet one of them alone.
    #[arg(long, value_name = "N", default_value_t = 2)]
    rounds: usize,
    /// How long a lookup may take.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    deadline: u64,
    /// Print one JSON object instead of tables.
    #[arg(long)]
    json: bool,
}

/// What is wrong with the network.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
enum Condition {
    /// Nothing.
    Healthy,
    /// One node in five is gone, and no routing table knows.
    Stopped,
    /// One node in five accepts connections and requests, and never answers.
    Silent,
    /// One node in twenty gives records of other keys, and names peers that it has made up.
    Lying,
}

impl Condition {
    const ALL: [Self; 4] = [Self::Healthy, Self::Stopped, Self::Silent, Self::Lying];

    /// How many of the nodes are bad.
    const fn bad(self, nodes: usize) -> usize {
        match self {
            Self::Healthy => 0,
            Self::Stopped | Self::Silent => nodes / 5,
            Self::Lying => nodes.div_ceil(20),
        }
    }

    /// What the bad ones are.
    const fn role(self) -> Role {
        match self {
            Self::Healthy => Role::Honest,
            Self::Stopped => Role::Stopped,
            Self::Silent => Role::Silent,
            Self::Lying => Role::Lying,
        }
    }
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let &Args { nodes, seed, budget, deadline, .. } = args;
    ensure!(nodes >= 2, "--nodes is {nodes}, and must be at least 2");
    ensure!(args.lookups != Some(0), "--lookups is 0, and must be at least 1");
    ensure!(!args.concurrency.contains(&0), "--concurrency is 0, and must be at least 1");
    ensure!(budget > 0 && deadline > 0, "--budget and --deadline must be at least 1 s");
    let (budget, deadline) = (Duration::from_secs(budget), Duration::from_secs(deadline));
    ensure!(args.rounds > 0, "--rounds is 0, and must be at least 1");
    let clients = &args.clients;
    let cells = args.conditions.len() * args.concurrency.len() * clients.len();
    let bar = bar((cells * args.rounds) as u64);
    let mut report = Report::new(nodes, seed, deadline);
    for &condition in &args.conditions {
        let network = Network::start(condition, nodes, seed)?;
        for &concurrency in &args.concurrency {
            let lookups = args.lookups.unwrap_or_else(|| (3 * concurrency).max(100));
            let lookups_min = args.lookups_min;
            let load = Load { concurrency, lookups, lookups_min, budget, deadline, seed };
            let mut measured = vec![Measured::default(); clients.len()];
            for _ in 0..args.rounds {
                for (client, measured) in clients.iter().zip(&mut measured) {
                    let started = Instant::now();
                    let round = client.run(&network, load)?;
                    bar.inc(1);
                    // Asked beforehand: the bar is locked while it is suspended.
                    let done = bar.position();
                    bar.suspend(|| {
                        eprintln!(
                            "{done}/{}: {}, {concurrency} at once, {}: {} lookups, {:.0} s",
                            cells * args.rounds,
                            rows::name(&condition),
                            rows::name(client),
                            round.lookups.len(),
                            started.elapsed().as_secs_f64(),
                        );
                    });
                    measured.add(round);
                }
            }
            for (client, measured) in clients.iter().zip(&measured) {
                report.add(condition, concurrency, *client, measured);
            }
        }
    }
    bar.finish_and_clear();
    report.compare();
    if args.json {
        println!("{:#}", serde_json::to_value(&report)?);
    } else {
        report.print();
    }
    Ok(())
}

fn bar(cells: u64) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let template = "{bar:32} {pos}/{len} conditions and clients, {elapsed}";
    let style = ProgressStyle::with_template(template).expect("the template is well-formed");
    ProgressBar::new(cells).with_style(style)
}
