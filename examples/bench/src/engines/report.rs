//! What came out: rows, ratios, a table and charts.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::Engine;
use crate::chart::{Chart, Series};

/// One engine with so many lookups.
#[derive(Clone, Serialize, Deserialize, PartialEq, Debug)]
pub(super) struct Row {
    pub(super) live: usize,
    pub(super) engine: Engine,
    /// The median round, and the fastest and the slowest.
    pub(super) ns_per_event: f64,
    pub(super) ns_per_event_min: f64,
    pub(super) ns_per_event_max: f64,
    /// Of a lookup that has just begun, its contacts in flight.
    pub(super) bytes_per_query: f64,
    /// What all lookups share, that is known of peers above all.
    pub(super) bytes_shared_per_query: f64,
    pub(super) allocations_per_event: f64,
    /// Events measured.
    pub(super) events: u64,
}

/// Another to ours, with so many lookups: above 1 ours is better.
#[derive(Clone, Serialize, Deserialize, PartialEq, Debug)]
pub(super) struct Ratio {
    live: usize,
    engine: Engine,
    time: f64,
    memory: f64,
}

#[derive(Default, Serialize, Deserialize, Debug)]
pub(super) struct Report {
    pub(super) rows: Vec<Row>,
    ratios: Vec<Ratio>,
}

impl Report {
    /// The others beside ours.
    pub(super) fn compare(&mut self) {
        self.ratios.clear();
        for row in self.rows.iter().filter(|row| row.engine != Engine::Dragnet) {
            let is_ours = |other: &&Row| other.engine == Engine::Dragnet && other.live == row.live;
            let Some(ours) = self.rows.iter().find(is_ours) else { continue };
            self.ratios.push(Ratio {
                live: row.live,
                engine: row.engine,
                time: row.ns_per_event / ours.ns_per_event,
                memory: row.bytes_per_query / ours.bytes_per_query,
            });
        }
    }

    /// Ratios first.
    pub(super) fn table(&self) -> String {
        let mut table = String::new();
        self.write(&mut table).expect("a string takes all");
        table
    }

    fn write(&self, table: &mut String) -> std::fmt::Result {
        writeln!(table, "another to dragnet: above 1 dragnet is better\n")?;
        writeln!(table, "{:>9} {:>13} {:>9} {:>9}", "live", "engine", "time", "memory")?;
        for Ratio { live, engine, time, memory } in &self.ratios {
            writeln!(table, "{live:>9} {:>13} {time:>9.2} {memory:>9.2}", engine.name())?;
        }
        writeln!(
            table,
            "\n{:>9} {:>13} {:>10} {:>17} {:>12} {:>13} {:>12} {:>9}",
            "live",
            "engine",
            "ns/event",
            "min to max",
            "bytes/query",
            "shared/query",
            "allocs/event",
            "events"
        )?;
        for row in &self.rows {
            let range = format!("{:.0} to {:.0}", row.ns_per_event_min, row.ns_per_event_max);
            writeln!(
                table,
                "{:>9} {:>13} {:>10.0} {range:>17} {:>12.0} {:>13.0} {:>12.2} {:>9}",
                row.live,
                row.engine.name(),
                row.ns_per_event,
                row.bytes_per_query,
                row.bytes_shared_per_query,
                row.allocations_per_event,
                row.events,
            )?;
        }
        Ok(())
    }

    /// Cost and memory against the number of lookups.
    pub(super) fn draw(&self, folder: &Path) -> Result<()> {
        let cost = self.chart("Time per event", "ns", |row| row.ns_per_event);
        let memory = self.chart("Memory per live query", "B", |row| row.bytes_per_query);
        cost.write(&folder.join("cost-per-event.svg"))?;
        memory.write(&folder.join("memory-per-query.svg"))
    }

    fn chart(&self, title: &str, unit: &'static str, value: impl Fn(&Row) -> f64) -> Chart {
        let series = Engine::ALL.map(|engine| Series {
            name: engine.name().to_owned(),
            points: self
                .rows
                .iter()
                .filter(|row| row.engine == engine)
                .map(|row| (row.live as f64, value(row)))
                .collect(),
        });
        Chart { title: title.to_owned(), x: "live queries".to_owned(), unit, series: series.into() }
    }
}
