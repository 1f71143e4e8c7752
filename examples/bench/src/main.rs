//! `dragnet-bench`: comparisons, each a command. What they have shown stands in `BENCHMARKS.md`.

mod chart;
mod engines;
mod front;
mod hand_written;
mod live;
mod markdown;
mod policies;
mod progress;
mod soak;
mod work;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Compares Dragnet with what else there is.
#[derive(Parser, Debug)]
#[command(version, max_term_width = 100)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Compares what one event costs, and a query holds, with so many live: the engine, libp2p-kad, and the
    /// design that one writes by hand.
    Engines(engines::Args),
    /// Compares results and queries per second through driver, channel and handle with the design that one
    /// writes by hand.
    Front(front::Args),
    /// Compares lookups by libp2p-kad and by ours in a network of real nodes on this machine.
    Live(live::Args),
    /// Runs mixed work with faults, in the simulated network and among real nodes, and fails if anything is lost,
    /// late, twice or left behind.
    Soak(soak::Args),
    /// Compares the engine's policies with fixed timeouts, in a simulated network with dead or slow peers.
    Policies(policies::Args),
}

fn main() -> ExitCode {
    let done = match Args::parse().command {
        Command::Engines(args) => engines::run(&args),
        Command::Front(args) => front::run(&args),
        Command::Live(args) => live::run(&args),
        Command::Policies(args) => policies::run(&args),
        Command::Soak(args) => match soak::run(&args) {
            Ok(code) => return code,
            Err(error) => Err(error),
        },
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("dragnet-bench: {error:#}");
            ExitCode::from(2)
        }
    }
}
