//! What was measured, as rows and as ratios.

use std::time::Duration;

use serde::Serialize;

use super::clients::{Client, Measured};
use super::{CLOSEST, Condition};

/// With fewer lookups the 95th percentile is the slowest of them.
const FEW: usize = 20;

/// All that was measured, and what it comes to.
#[derive(Serialize, Debug)]
pub(super) struct Report {
    nodes: usize,
    seed: u64,
    deadline_ms: f64,
    cores: usize,
    ratios: Vec<Ratios>,
    rows: Vec<Row>,
}

/// One client in one condition.
#[derive(Serialize, Clone, Copy, Debug)]
struct Row {
    condition: Condition,
    concurrency: usize,
    client: Client,
    lookups: usize,
    /// Until the right record.
    first_p50_ms: f64,
    first_p95_ms: f64,
    /// Until the lookup has converged.
    mean_ms: f64,
    p50_ms: f64,
    p95_ms: f64,
    p99_ms: f64,
    lookups_per_second: f64,
    contacts_per_second: f64,
    contacts_per_lookup: f64,
    /// Processor time of the client's thread.
    cpu_ms_per_lookup: f64,
    found_share: f64,
}

/// The driven client beside another in the same condition: below 1 is better, of throughput above 1.
#[derive(Serialize, Clone, Copy, Debug)]
struct Ratios {
    condition: Condition,
    concurrency: usize,
    to: Client,
    first_p95: f64,
    mean: f64,
    p50: f64,
    p95: f64,
    lookups_per_second: f64,
    contacts_per_second: f64,
    cpu_per_lookup: f64,
}

impl Report {
    pub(super) fn new(nodes: usize, seed: u64, deadline: Duration) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self { nodes, seed, deadline_ms: ms(deadline), cores, ratios: Vec::new(), rows: Vec::new() }
    }

    pub(super) fn add(
        &mut self,
        condition: Condition,
        concurrency: usize,
        client: Client,
        measured: &Measured,
    ) {
        let Measured { lookups, wall, cpu, contacts } = measured;
        let count = lookups.len().max(1) as f64;
        let deadline_ms = self.deadline_ms;
        let first = sorted(lookups.iter().map(|lookup| lookup.first.map_or(deadline_ms, ms)));
        let total = sorted(lookups.iter().map(|lookup| match (lookup.first, lookup.total) {
            (Some(_), Some(total)) => ms(total),
            _ => deadline_ms,
        }));
        let found = lookups.iter().filter(|lookup| lookup.first.is_some()).count();
        self.rows.push(Row {
            condition,
            concurrency,
            client,
            lookups: lookups.len(),
            first_p50_ms: quantile(&first, 50),
            first_p95_ms: quantile(&first, 95),
            mean_ms: total.iter().sum::<f64>() / count,
            p50_ms: quantile(&total, 50),
            p95_ms: quantile(&total, 95),
            p99_ms: quantile(&total, 99),
            lookups_per_second: lookups.len() as f64 / wall.as_secs_f64(),
            contacts_per_second: *contacts as f64 / wall.as_secs_f64(),
            contacts_per_lookup: *contacts as f64 / count,
            cpu_ms_per_lookup: ms(*cpu) / count,
            found_share: found as f64 / count,
        });
    }

    /// Sets the driven client beside the others.
    pub(super) fn compare(&mut self) {
        for ours in self.rows.iter().filter(|row| row.client == Client::Driven) {
            let beside = |row: &&Row| {
                (row.condition, row.concurrency) == (ours.condition, ours.concurrency)
                    && row.client != Client::Driven
            };
            self.ratios.extend(self.rows.iter().filter(beside).map(|row| Ratios {
                condition: row.condition,
                concurrency: row.concurrency,
                to: row.client,
                first_p95: ours.first_p95_ms / row.first_p95_ms,
                mean: ours.mean_ms / row.mean_ms,
                p50: ours.p50_ms / row.p50_ms,
                p95: ours.p95_ms / row.p95_ms,
                lookups_per_second: ours.lookups_per_second / row.lookups_per_second,
                contacts_per_second: ours.contacts_per_second / row.contacts_per_second,
                cpu_per_lookup: ours.cpu_ms_per_lookup / row.cpu_ms_per_lookup,
            }));
        }
    }

    /// Prints the tables that people read, ratios first.
    pub(super) fn print(&self) {
        let Self { nodes, seed, deadline_ms, cores, .. } = self;
        println!(
            "{nodes} nodes, seed {seed}, {cores} cores, a deadline of {:.0} s; a lookup converges on {CLOSEST}\n",
            deadline_ms / 1000.0
        );
        println!("driven to another: times and cost below 1 are better, throughput above 1\n");
        println!(
            "{:>9} {:>7} {:>16} {:>10} {:>8} {:>8} {:>8} {:>10} {:>11} {:>7}",
            "condition", "at once", "to", "first p95", "mean", "p50", "p95", "lookups/s", "contacts/s", "cpu"
        );
        for ratios in &self.ratios {
            println!(
                "{:>9} {:>7} {:>16} {:>10.3} {:>8.3} {:>8.3} {:>8.3} {:>10.2} {:>11.2} {:>7.2}",
                name(&ratios.condition),
                ratios.concurrency,
                name(&ratios.to),
                ratios.first_p95,
                ratios.mean,
                ratios.p50,
                ratios.p95,
                ratios.lookups_per_second,
                ratios.contacts_per_second,
                ratios.cpu_per_lookup,
            );
        }
        println!(
            "\n{:>9} {:>7} {:>16} {:>7} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>10} {:>8} {:>7} {:>6}",
            "condition",
            "at once",
            "client",
            "lookups",
            "first p50",
            "first p95",
            "mean ms",
            "p50 ms",
            "p95 ms",
            "p99 ms",
            "lookups/s",
            "contacts/s",
            "contacts",
            "cpu ms",
            "found"
        );
        for row in &self.rows {
            println!(
                "{:>9} {:>7} {:>16} {:>7} {:>9.1} {:>9.1} {:>9.1} {:>9.1} {:>9.1} {:>9.1} {:>9.1} {:>10.0} {:>8.1} {:>7.2} {:>6.3}",
                name(&row.condition),
                row.concurrency,
                name(&row.client),
                format!("{}{}", row.lookups, if row.lookups < FEW { "*" } else { "" }),
                row.first_p50_ms,
                row.first_p95_ms,
                row.mean_ms,
                row.p50_ms,
                row.p95_ms,
                row.p99_ms,
                row.lookups_per_second,
                row.contacts_per_second,
                row.contacts_per_lookup,
                row.cpu_ms_per_lookup,
                row.found_share,
            );
        }
        if self.rows.iter().any(|row| row.lookups < FEW) {
            println!("\n* fewer than {FEW} lookups: p95 and p99 are the slowest of them");
        }
    }
}

/// As on the command line.
pub(super) fn name(value: &impl clap::ValueEnum) -> String {
    value.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

fn sorted(times: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut times: Vec<f64> = times.collect();
    times.sort_by(f64::total_cmp);
    times
}

/// The nearest rank.
fn quantile(sorted: &[f64], percent: usize) -> f64 {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or(f64::NAN)
}
