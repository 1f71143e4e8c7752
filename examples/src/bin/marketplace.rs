//! A marketplace of package descriptions over real peers. See `marketplace help`.

use std::io;
use std::process::ExitCode;

use clap::Parser;
use dragnet_examples::cli::{Cli, Command};
use dragnet_examples::output::{ErrorObject, Output};
use dragnet_examples::{commands, demo};
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let Cli { command, json } = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(answer) => return instead(&answer),
    };
    // Silent unless RUST_LOG asks for more.
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("off"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).init();

    let output = Output::new(json);
    let result = match command {
        Command::Demo(args) => demo::demo(&args, output),
        Command::Node(args) => smol::block_on(commands::node(&args, output)),
        Command::Top(args) => smol::block_on(commands::top(&args, output)),
        Command::Registry(args) => smol::block_on(commands::registry(&args, output)),
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
                tell(output, &error.to_string(), error.code());
            }
            error.code().into()
        }
    }
}

/// What is printed instead of doing something: help, or what is wrong with the command line.
fn instead(answer: &clap::Error) -> ExitCode {
    // As `parse` has it: there is nobody to tell that it could not be printed.
    let _ = answer.print();
    let code = u8::try_from(answer.exit_code()).unwrap_or(2);
    // The line was not understood, so whether it has the option is seen from its words.
    if answer.use_stderr() && std::env::args_os().any(|word| word == "--json") {
        let text = answer.to_string();
        tell(Output::new(true), text.trim_start_matches("error: ").trim_end(), code);
    }
    code.into()
}

/// Tells programs of an error. Those who read the text have it already.
fn tell(output: Output, message: &str, code: u8) {
    // When the output is gone, the exit code still says it.
    let _ = output.object(&ErrorObject { kind: "error", message, code });
}
