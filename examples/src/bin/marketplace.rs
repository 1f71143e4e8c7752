//! A marketplace of package descriptions over real peers. See `marketplace help`.

use std::io;
use std::process::ExitCode;

use clap::Parser;
use dragnet_examples::cli::{Cli, Command};
use dragnet_examples::output::Output;
use dragnet_examples::{commands, demo};
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let Cli { command, json } = Cli::parse();
    // Silent unless RUST_LOG asks for more.
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("off"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).init();

    let output = Output::new(json);
    let result = match command {
        Command::Demo(args) => demo::demo(&args, output),
        Command::Node(args) => smol::block_on(commands::node(&args, output)),
        Command::Search(args) => smol::block_on(commands::search(&args, output)),
        Command::Get(args) => smol::block_on(commands::get(&args, output)),
        Command::Put(args) => smol::block_on(commands::put(&args, output)),
        Command::Providers(args) => smol::block_on(commands::providers(&args, output)),
        Command::Provide(args) => smol::block_on(commands::provide(&args, output)),
    };
    match result {
        Ok(exit) => exit.into(),
        Err(error) => {
            if !error.is_silent() {
                eprintln!("{} {error}", console::style("error:").for_stderr().red().bold());
            }
            error.exit_code()
        }
    }
}
