//! `engines`: the same lookups by `QueryEngine`, by libp2p-kad and by the hand-written design, without a network.
//!
//! So many lookups live. Each is a walk that begins with twenty candidates and keeps three contacts in flight.
//! An *event* is one contact answered, with twenty closer peers that are known already and, one time in four, an
//! item; and all that follows from it, up to the next contact issued. With libp2p-kad that is one event of its
//! handler, and `poll` until it is pending, as a `Swarm` does. Whoever was asked first
//! answers first, except that the contacts of the beginning are shuffled: two answers in a row seldom belong to the
//! same lookup. A lookup that ends is replaced, and the making
//! of that and of the answers is not measured.

mod by_hand;
mod contender;
mod kad;
mod ours;
mod report;
mod turns;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use allocation_counter::measure;
use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

use crate::progress::Progress;
use crate::work::{FAN_OUT, World};
use by_hand::ByHand;
use contender::Contender;
use kad::Kad;
use ours::Ours;
use report::{Report, Row};

#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Lookups that live at once.
    #[arg(long, value_name = "N", value_delimiter = ',', default_values_t = [100, 1_000, 10_000, 100_000, 1_000_000])]
    live: Vec<usize>,
    /// Who runs them.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Engine::ALL)]
    engines: Vec<Engine>,
    /// With more lookups libp2p-kad is left out: what it needs to begin them grows with their square, and after
    /// 10 s it takes its contacts for lost.
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    kad_max: usize,
    /// Rounds in which they take turns; the median counts.
    #[arg(long, value_name = "N", default_value_t = 9)]
    rounds: usize,
    /// How long each of them is measured in a round.
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 50)]
    round_ms: u64,
    /// What peers and answers are drawn from.
    #[arg(long, value_name = "SEED", default_value_t = 1)]
    seed: u64,
    /// Print one JSON object instead of tables.
    #[arg(long)]
    json: bool,
    /// Draw the charts into this folder.
    #[arg(long, value_name = "FOLDER")]
    chart: Option<PathBuf>,
    /// Put the table into this Markdown file, between the marks for it.
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
}

/// Who runs the lookups.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
#[value(rename_all = "kebab-case")]
enum Engine {
    /// `QueryEngine`.
    Dragnet,
    /// `kad::Behaviour`.
    Libp2pKad,
    /// A map of contexts, a channel, a task and a timeout for each query.
    HandWritten,
}

impl Engine {
    const ALL: [Self; 3] = [Self::Dragnet, Self::Libp2pKad, Self::HandWritten];

    const fn name(self) -> &'static str {
        match self {
            Self::Dragnet => "dragnet",
            Self::Libp2pKad => "libp2p-kad",
            Self::HandWritten => "hand-written",
        }
    }

    fn make(self, world: &World, live: usize) -> Box<dyn Contender> {
        match self {
            Self::Dragnet => Box::new(Ours::new(world, live)),
            Self::Libp2pKad => Box::new(Kad::new(world, live)),
            Self::HandWritten => Box::new(ByHand::new()),
        }
    }
}

pub(crate) fn run(args: &Args) -> Result<()> {
    ensure!(args.rounds > 0, "--rounds is 0, and must be at least 1");
    ensure!(args.round_ms > 0, "--round-ms is 0, and must be at least 1");
    ensure!(!args.live.contains(&0), "--live has a 0, and each must be at least 1");
    let mut report = Report::default();
    let progress = Progress::new(args.live.len() as u64, "numbers of lookups");
    for &live in &args.live {
        report.rows.extend(compare(args, live, &progress));
        progress.step();
    }
    drop(progress);
    report.compare();
    if let Some(folder) = &args.chart {
        report.draw(folder)?;
    }
    if let Some(file) = &args.write {
        crate::markdown::replace(file, "engines", &report.table())?;
    }
    if args.json {
        println!("{:#}", serde_json::to_value(&report)?);
    } else {
        print!("{}", report.table());
    }
    Ok(())
}

/// One that takes part, and what was measured of it.
struct Entrant {
    engine: Engine,
    contender: Box<dyn Contender>,
    world: World,
    bytes_per_query: f64,
    bytes_shared: f64,
    rounds: Vec<Round>,
}

struct Round {
    events: u64,
    spent: Duration,
    allocations: u64,
}

/// Peers of a small network; in a larger one there are as many as lookups.
const PEERS_MIN: usize = 10_000;

fn compare(args: &Args, live: usize, progress: &Progress) -> Vec<Row> {
    let is_measured = |engine: Engine| engine != Engine::Libp2pKad || live <= args.kad_max;
    let mut engines: Vec<_> = args.engines.iter().copied().filter(|engine| is_measured(*engine)).collect();
    // Last: its contacts are not to grow old while the others begin.
    engines.sort_by_key(|engine| *engine == Engine::Libp2pKad);
    let mut entrants = Vec::new();
    for engine in engines {
        progress.say(&format!("{live} lookups, {}: they begin", engine.name()));
        match Entrant::new(engine, live, args.seed) {
            Some(entrant) => entrants.push(entrant),
            None => progress
                .say(&format!("{live} lookups, {}: left out, they did not begin in time", engine.name())),
        }
    }
    let budget = Duration::from_millis(args.round_ms);
    // The first round is for the caches and the allocator, and is not counted.
    for round in 0..=args.rounds {
        let mut events = 0;
        for entrant in &mut entrants {
            let measured = entrant.round(live, budget, events);
            events = events.max(measured.events);
            if round > 0 {
                entrant.rounds.push(measured);
            }
        }
    }
    let mut rows: Vec<_> = entrants.iter().map(|entrant| entrant.row(live)).collect();
    rows.sort_by_key(|row| args.engines.iter().position(|engine| *engine == row.engine));
    for row in &rows {
        progress.say(&format!(
            "{live} lookups, {}: {:.0} ns an event, {:.0} bytes a query",
            row.engine.name(),
            row.ns_per_event,
            row.bytes_per_query,
        ));
    }
    rows
}

impl Entrant {
    fn new(engine: Engine, live: usize, seed: u64) -> Option<Self> {
        let mut world = World::new(live.max(PEERS_MIN), seed);
        let mut made = None;
        let shared = measure(|| made = Some(engine.make(&world, live))).bytes_current;
        let mut contender = made.expect("it was made");
        let kept_before = contender.kept_by_bench();
        let mut is_full = false;
        let held = measure(|| is_full = contender.fill(&mut world, live)).bytes_current;
        if !is_full {
            return None;
        }
        let kept = contender.kept_by_bench() - kept_before;
        let per_query = |bytes: i64| bytes as f64 / live as f64;
        Some(Self {
            engine,
            contender,
            world,
            bytes_per_query: per_query(held - kept as i64),
            bytes_shared: per_query(shared),
            rounds: Vec::new(),
        })
    }

    /// Answers contacts for so long, or so many if who came before has answered so many: an event costs more or less
    /// by how far the lookups are, and that is to be alike. It would take libp2p-kad too long.
    fn round(&mut self, live: usize, budget: Duration, events: u64) -> Round {
        let wanted = if self.engine == Engine::Libp2pKad { 0 } else { events };
        // Few enough that they do not belong to the same few lookups, or outlast the budget by much.
        let batch = (live * FAN_OUT / 8).clamp(1, if self.engine == Engine::Libp2pKad { 8 } else { 1 << 12 });
        let mut round = Round { events: 0, spent: Duration::ZERO, allocations: 0 };
        let is_over = |round: &Round| {
            if wanted > 0 { round.events >= wanted } else { round.spent >= budget }
        };
        while !is_over(&round) {
            self.contender.fill(&mut self.world, live);
            self.contender.prepare(&mut self.world, batch);
            let contender = &mut self.contender;
            let (mut events, mut spent) = (0, Duration::ZERO);
            let counted = measure(|| {
                let started = Instant::now();
                events = contender.answer();
                spent = started.elapsed();
            });
            round.events += events;
            round.spent += spent;
            round.allocations += counted.count_total;
        }
        round
    }

    fn row(&self, live: usize) -> Row {
        let mut ns: Vec<f64> = self
            .rounds
            .iter()
            .map(|round| round.spent.as_nanos() as f64 / round.events.max(1) as f64)
            .collect();
        ns.sort_by(f64::total_cmp);
        let events: u64 = self.rounds.iter().map(|round| round.events).sum();
        let allocations: u64 = self.rounds.iter().map(|round| round.allocations).sum();
        Row {
            live,
            engine: self.engine,
            ns_per_event: ns[ns.len() / 2],
            ns_per_event_min: ns[0],
            ns_per_event_max: ns[ns.len() - 1],
            bytes_per_query: self.bytes_per_query,
            bytes_shared_per_query: self.bytes_shared,
            allocations_per_event: allocations as f64 / events.max(1) as f64,
            events,
        }
    }
}
