//! `dragnet-bench`: comparisons, each a command. What they have shown stands in `BENCHMARKS.md`.

mod live;
mod policies;

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
    /// Compares lookups by libp2p-kad and by ours in a network of real nodes on this machine.
    Live(live::Args),
    /// Compares the engine's policies with fixed timeouts, in a simulated network with dead or slow peers.
    Policies(policies::Args),
}

fn main() -> ExitCode {
    let done = match Args::parse().command {
        Command::Live(args) => live::run(&args),
        Command::Policies(args) => policies::run(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("dragnet-bench: {error:#}");
            ExitCode::from(2)
        }
    }
}
