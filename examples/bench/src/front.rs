//! `front`: results through driver, channel and handle, on one thread, from a transport that answers at once.
//!
//! So many tasks each ask one query after the other and take its results one by one. Ours and the hand-written
//! design run on the same executor, tokio's of one thread; the engine alone does the same work without any, so
//! that what is on top of it can be told. All work is counted, not timed: with one round it is the same in every
//! run, for an instruction counter.

mod bare;
mod by_hand;
mod ours;
mod report;

use std::time::Duration;

use anyhow::{Result, ensure};
use libp2p::PeerId;
use serde::Serialize;

use crate::progress::Progress;
use crate::work::{Answer, World};
use report::{Report, Row};

#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Tasks that ask at once, each with one handle at a time.
    #[arg(long, value_name = "N", value_delimiter = ',', default_values_t = [1, 100, 10_000])]
    handles: Vec<u32>,
    /// Who does it.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Who::ALL)]
    who: Vec<Who>,
    /// What is asked.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Work::ALL)]
    work: Vec<Work>,
    /// Results in each round, or somewhat more: each task asks one query at least.
    #[arg(long, value_name = "N", default_value_t = 200_000, value_parser = clap::value_parser!(u32).range(1..))]
    results: u32,
    /// Rounds in which they take turns; the median counts.
    #[arg(long, value_name = "N", default_value_t = 5)]
    rounds: usize,
    /// Print one JSON object instead of tables.
    #[arg(long)]
    json: bool,
    /// Put the table into this Markdown file, between the marks for it.
    #[arg(long, value_name = "FILE")]
    write: Option<std::path::PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
#[value(rename_all = "kebab-case")]
enum Who {
    /// Client, driver, channel and handle.
    Dragnet,
    /// `QueryEngine` alone.
    Engine,
    /// A map of contexts, a channel, a task and a timeout for each query.
    HandWritten,
}

impl Who {
    const ALL: [Self; 3] = [Self::Dragnet, Self::Engine, Self::HandWritten];

    const fn name(self) -> &'static str {
        match self {
            Self::Dragnet => "dragnet",
            Self::Engine => "engine",
            Self::HandWritten => "hand-written",
        }
    }

    fn run(self, load: Load, peers: &Peers) -> Done {
        match self {
            Self::Dragnet => ours::run(load, peers),
            Self::Engine => bare::run(load, peers),
            Self::HandWritten => by_hand::run(load, peers),
        }
    }
}

/// What a query asks: how many peers, and how many items each of them gives.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
#[value(rename_all = "kebab-case")]
enum Work {
    /// Ten peers with ten items each.
    Tens,
    /// Twenty peers with one item each.
    Ones,
    /// One peer with one item: what a query costs.
    Queries,
}

impl Work {
    const ALL: [Self; 3] = [Self::Tens, Self::Ones, Self::Queries];

    const fn name(self) -> &'static str {
        match self {
            Self::Tens => "tens",
            Self::Ones => "ones",
            Self::Queries => "queries",
        }
    }

    const fn peers(self) -> usize {
        match self {
            Self::Tens => 10,
            Self::Ones => 20,
            Self::Queries => 1,
        }
    }

    const fn items(self) -> usize {
        match self {
            Self::Tens => 10,
            Self::Ones | Self::Queries => 1,
        }
    }

    const fn results(self) -> usize {
        self.peers() * self.items()
    }
}

/// What is to be done in a round.
#[derive(Clone, Copy, Debug)]
struct Load {
    work: Work,
    handles: u32,
    queries_per_handle: u32,
}

impl Load {
    const fn queries(self) -> u64 {
        self.handles as u64 * self.queries_per_handle as u64
    }

    const fn results(self) -> u64 {
        self.queries() * self.work.results() as u64
    }
}

/// What was done in a round.
#[derive(Clone, Copy, Debug, Default)]
struct Done {
    results: u64,
    spent: Duration,
}

/// Whom the queries ask: each some who lie side by side in a list.
#[derive(Clone)]
struct Peers(std::sync::Arc<[PeerId]>);

impl Peers {
    fn some(&self, query: u64, count: usize) -> Vec<PeerId> {
        let from = query as usize * count;
        (from..from + count).map(|n| self.0[n % self.0.len()]).collect()
    }
}

/// Answers without end, no two of them alike.
#[derive(Clone, Copy, Default)]
struct Items(u64);

impl Items {
    fn next(&mut self, count: usize) -> Vec<Answer> {
        let first = self.0;
        self.0 += count as u64;
        (first..self.0).map(Answer::new).collect()
    }
}

/// Peers that are known.
const POOL: usize = 10_000;

pub(crate) fn run(args: &Args) -> Result<()> {
    ensure!(args.rounds > 0, "--rounds is 0, and must be at least 1");
    ensure!(!args.handles.contains(&0), "--handles has a 0, and each must be at least 1");
    let peers = Peers(World::new(POOL, 1).peers().collect());
    let cells = args.work.len() * args.handles.len();
    let progress = Progress::new(cells as u64, "kinds of work and numbers of handles");
    let mut report = Report::default();
    for &work in &args.work {
        for &handles in &args.handles {
            let queries = args.results.div_ceil(work.results() as u32);
            let load = Load { work, handles, queries_per_handle: queries.div_ceil(handles) };
            let mut rounds = vec![Vec::new(); args.who.len()];
            for _ in 0..args.rounds {
                for (who, rounds) in args.who.iter().zip(&mut rounds) {
                    let done = who.run(load, &peers);
                    ensure!(
                        done.results == load.results(),
                        "{} gave {} of {} results",
                        who.name(),
                        done.results,
                        load.results(),
                    );
                    rounds.push(done.spent.as_nanos() as f64 / done.results as f64);
                }
            }
            for (&who, mut ns) in args.who.iter().zip(rounds) {
                ns.sort_by(f64::total_cmp);
                let row = Row::new(load, who, ns[ns.len() / 2]);
                progress.say(&row.line());
                report.rows.push(row);
            }
            progress.step();
        }
    }
    drop(progress);
    report.compare();
    if let Some(file) = &args.write {
        crate::markdown::replace(file, "front", &report.table())?;
    }
    if args.json {
        println!("{:#}", serde_json::to_value(&report)?);
    } else {
        print!("{}", report.table());
    }
    Ok(())
}
