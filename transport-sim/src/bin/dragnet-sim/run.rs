//! `run` and `replay`.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use dragnet_core::record::is_recording;
use dragnet_sim::experiment::Experiment;
use dragnet_sim::judge::{Broken, judge};
use dragnet_sim::record::{Record, write_whole};
use dragnet_sim::report::{self, Show};
use dragnet_sim::summary::Summary;

use crate::args::{Replay, Run};
use crate::flight;
use crate::watch::{Stopwatch, bar};

pub(crate) fn run(args: &Run) -> Result<ExitCode> {
    let scenario = args.what.scenario(&[])?;
    let command = args.what.command("run", &scenario);
    let lookups = scenario.workload.lookups;
    ensure!(
        args.query.is_none_or(|query| query < lookups as usize),
        "--query is {}, and must be below workload.lookups, which is {lookups}",
        args.query.unwrap_or(0),
    );
    // Before a long run, not after it.
    for path in args.report.iter().chain(&args.record) {
        ensure_folder(path)?;
    }
    let watch = Stopwatch::start();
    let mut experiment = Experiment::new(scenario, None, args.report.is_some())?;
    let summary = finish(&mut experiment, watch.read());
    let broken = judge(&experiment, &summary);
    if let Some(path) = &args.record {
        Record::of(&experiment).write(path)?;
    }
    let show = Show { command: &command, query: args.query, broken: &broken };
    draw(args.report.as_deref(), &experiment, &summary, &show)?;
    print(&summary, args.json)?;
    Ok(verdict(&broken))
}

pub(crate) fn replay(args: &Replay) -> Result<ExitCode> {
    if let Some(path) = &args.report {
        ensure_folder(path)?;
    }
    if is_flight(&args.file) {
        return flight::replay(args);
    }
    let query = args.query.as_deref().map(run_query).transpose()?;
    ensure!(query.is_none() || args.report.is_some(), "--query chooses what a report shows: add --report");
    let record = Record::read(&args.file)?;
    let watch = Stopwatch::start();
    let mut experiment =
        Experiment::new(record.scenario.clone(), Some(&record.faults), args.report.is_some())?;
    let summary = finish(&mut experiment, watch.read());
    let broken = judge(&experiment, &summary);
    let command = format!("dragnet-sim replay {}", args.file.display());
    let show = Show { command: &command, query, broken: &broken };
    draw(args.report.as_deref(), &experiment, &summary, &show)?;
    print(&summary, args.json)?;
    match record.difference(&Record::of(&experiment)) {
        None => {
            eprintln!("the same run: digest {}", summary.digest);
            Ok(ExitCode::SUCCESS)
        }
        Some(difference) => {
            eprintln!("not the same run: recorded {}, now {}", record.digest, summary.digest);
            eprintln!("{}", difference.what);
            Ok(ExitCode::FAILURE)
        }
    }
}

/// Whether a file is the recording of a driver. What cannot be read is for others to say.
fn is_flight(path: &Path) -> bool {
    let mut first = Vec::new();
    let read = File::open(path).and_then(|file| file.take(8).read_to_end(&mut first));
    read.is_ok() && is_recording(&first)
}

fn run_query(named: &str) -> Result<usize> {
    named.parse().with_context(|| format!("--query {named}: a recorded run's queries have numbers"))
}

fn ensure_folder(path: &Path) -> Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let there = folder.is_none_or(Path::is_dir);
    ensure!(there, "{}: cannot be written: its folder does not exist", path.display());
    Ok(())
}

/// Runs a scenario that is set up, with a bar.
fn finish(experiment: &mut Experiment, setup: Duration) -> Summary {
    let bar = bar(u64::from(experiment.scenario().workload.lookups), "queries");
    let watch = Stopwatch::start();
    experiment.run(|done| bar.set_position(done));
    let wall = watch.read();
    bar.finish_and_clear();
    Summary::new(experiment, setup, wall)
}

fn draw(path: Option<&Path>, experiment: &Experiment, summary: &Summary, show: &Show<'_>) -> Result<()> {
    let Some(path) = path else { return Ok(()) };
    let page = report::html(experiment, summary, show);
    write_whole(path, page.as_bytes()).with_context(|| format!("{}: cannot be written", path.display()))
}

fn print(summary: &Summary, json: bool) -> Result<()> {
    if json {
        println!("{}", serde_json::to_string_pretty(summary)?);
        return Ok(());
    }
    let value = serde_json::to_value(summary)?;
    for (key, value) in value.as_object().into_iter().flatten() {
        match value {
            serde_json::Value::String(text) => println!("{key:>22}  {text}"),
            value => println!("{key:>22}  {value}"),
        }
    }
    Ok(())
}

/// Names the promises that were broken.
fn verdict(broken: &[Broken]) -> ExitCode {
    const SHOWN: usize = 10;
    if broken.is_empty() {
        return ExitCode::SUCCESS;
    }
    eprintln!("{} broken promises:", broken.len());
    broken.iter().take(SHOWN).for_each(|broken| eprintln!("  {broken}"));
    ExitCode::FAILURE
}
