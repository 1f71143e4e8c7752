//! A million peers and ten thousand lookups in flight: `cargo bench -p dragnet-sim --bench million`.
//!
//! Runs the scenario `million` a few times. On a machine that does other things too, the best CPU time
//! says most; it is told where `/proc` is.

#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

use std::fs::read_to_string;
use std::path::Path;
use std::time::{Duration, Instant};

use dragnet_sim::experiment::Experiment;
use dragnet_sim::scenario::Scenario;
use dragnet_sim::summary::Summary;

const RUNS: u32 = 5;

fn main() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios/million.toml");
    let scenario = Scenario::read(&path, &[]).expect("the scenario is good");
    println!("run  set-up   wall    CPU     events/s  events/CPU s  contacts/CPU s  bytes/peer  peak memory");
    for run in 1..=RUNS {
        let watch = Instant::now();
        let mut experiment = Experiment::new(scenario.clone(), None, false).expect("the scenario is good");
        let setup = watch.elapsed();
        let (watch, cpu) = (Instant::now(), cpu_time());
        experiment.run(|_| ());
        let wall = watch.elapsed();
        let cpu = cpu_time().zip(cpu).map(|(after, before)| after - before);
        let summary = Summary::new(&experiment, setup, wall);
        let per_cpu =
            |count: f64| cpu.map_or("-".to_owned(), |cpu| format!("{:.0}", count / cpu.as_secs_f64()));
        println!(
            "{run:>3}  {:>5.2} s  {:>5.2} s  {:>6}  {:>8.0}  {:>12}  {:>14}  {:>10.1}  {:>11}",
            setup.as_secs_f64(),
            wall.as_secs_f64(),
            cpu.map_or("-".to_owned(), |cpu| format!("{:.2} s", cpu.as_secs_f64())),
            summary.events_per_second,
            per_cpu(summary.events as f64),
            per_cpu(summary.contacts_per_lookup * summary.lookups as f64),
            summary.bytes_per_peer,
            peak_memory().map_or("-".to_owned(), |kib| format!("{} MB", kib * 1024 / 1_000_000)),
        );
    }
}

/// The CPU time of this process so far, in the kernel's ticks of 10 ms.
fn cpu_time() -> Option<Duration> {
    let stat = read_to_string("/proc/self/stat").ok()?;
    // What follows the name, which may hold anything, from field 3 on; fields 14 and 15 are wanted.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
    Some(Duration::from_millis(ticks * 10))
}

/// The most memory that this process has had resident, in KiB.
fn peak_memory() -> Option<u64> {
    let status = read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}
