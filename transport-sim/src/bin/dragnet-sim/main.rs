//! `dragnet-sim`: runs scenarios, runs them again, and cuts failing ones down.

mod args;
mod flight;
mod run;
mod shrink;
mod sweep;
mod watch;

use std::process::ExitCode;

use clap::Parser;

use args::{Args, Command};

fn main() -> ExitCode {
    let args = Args::parse();
    let done = match &args.command {
        Command::Run(run) => run::run(run),
        Command::Replay(replay) => run::replay(replay),
        Command::Shrink(shrink) => shrink::shrink(shrink),
        Command::Sweep(sweep) => sweep::sweep(sweep),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            eprintln!("dragnet-sim: {error:#}");
            ExitCode::from(2)
        }
    }
}
