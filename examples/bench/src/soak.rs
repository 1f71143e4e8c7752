//! `soak`: mixed work with faults for as long as one likes, and a look at what it has left behind.
//!
//! Half of the time goes to the simulated network, in virtual time: one small network after the other, with every
//! kind of fault, each held against what is promised, and healthy ones between them in which all that was stored
//! must be found. The other half goes to real nodes on loopback, of which some are killed and come back, with
//! searches, gets, cancellations, dropped handles and short deadlines. In the end nothing may live, memory and file
//! descriptors must not have grown with the queries by more than an allowance, nothing may have been lost or have come
//! twice, and no deadline may have been missed by more than twice what the latest timer of the same executor was late,
//! and 50 ms on top: that is a bound on the machine it runs on, and no finer. Nor may one have come earlier than that
//! timer was late, and a millisecond.

mod check;
mod loopback;
mod simulated;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde::Serialize;

use crate::progress::Progress;
use check::Broken;
use simulated::Length;

/// Seconds of the longest soak: beyond, the times of its end might not be told by the clock.
const WEEK: u64 = 7 * 24 * 3600;

#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// How long it lasts, both halves together.
    #[arg(long, value_name = "SECONDS", default_value_t = 600, value_parser = clap::value_parser!(u64).range(1..=WEEK))]
    seconds: u64,
    /// Which halves.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Half::Simulated, Half::Loopback])]
    halves: Vec<Half>,
    /// What networks, faults and work are drawn from.
    #[arg(long, value_name = "SEED", default_value_t = 1)]
    seed: u64,
    /// Print one JSON object instead of text.
    #[arg(long)]
    json: bool,
    /// So many simulated networks, however long they take, so that a test runs the same ones on any machine.
    #[arg(long, value_name = "N", hide = true)]
    networks: Option<u64>,
    /// Breaks something, to see that it is noticed.
    #[arg(long, value_enum, value_delimiter = ',', hide = true)]
    plant: Vec<Plant>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
enum Half {
    /// Virtual time.
    Simulated,
    /// Real nodes.
    Loopback,
}

/// What can be broken on purpose.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
enum Plant {
    /// Some memory of every run is kept.
    Leak,
    /// An item of some healthy run is taken away.
    Loss,
    /// An item is counted twice.
    Twin,
    /// Descriptors are kept open, more of them every time that they are counted.
    Descriptor,
}

#[derive(Serialize, Debug, Default)]
struct Report {
    #[serde(skip_serializing_if = "Option::is_none")]
    simulated: Option<simulated::Figures>,
    #[serde(skip_serializing_if = "Option::is_none")]
    loopback: Option<loopback::Figures>,
    broken: Vec<String>,
}

/// Fails with 1 if something was broken.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    ensure!(!args.halves.is_empty(), "--halves names none, and must name one at least");
    let lasts = Duration::from_secs(args.seconds) / args.halves.len() as u32;
    let progress = Progress::new(args.seconds, "s");
    let (mut report, mut broken) = (Report::default(), Broken::default());
    if args.halves.contains(&Half::Simulated) {
        let length = args.networks.map_or(Length::Time(lasts), Length::Networks);
        report.simulated = Some(simulated::run(length, args.seed, &args.plant, &mut broken, &progress)?);
        progress.step_by(lasts.as_secs());
    }
    if args.halves.contains(&Half::Loopback) {
        report.loopback = Some(loopback::run(lasts, args.seed, &args.plant, &mut broken, &progress)?);
    }
    drop(progress);
    report.broken = broken.list();
    if args.json {
        println!("{:#}", serde_json::to_value(&report)?);
    } else {
        print(&report);
    }
    Ok(if report.broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn print(report: &Report) {
    if let Some(figures) = &report.simulated {
        println!("{figures}");
    }
    if let Some(figures) = &report.loopback {
        println!("{figures}");
    }
    match &report.broken[..] {
        [] => println!("nothing is broken"),
        broken => {
            println!("{} broken:", broken.len());
            broken.iter().for_each(|what| println!("  {what}"));
        }
    }
}
