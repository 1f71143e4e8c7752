//! What came out: rows and ratios.

use std::fmt::Write as _;

use serde::Serialize;

use super::{Load, Who, Work};

/// One kind of work, by one of them, for so many handles.
#[derive(Clone, Serialize, Debug)]
pub(super) struct Row {
    work: Work,
    handles: u32,
    who: Who,
    /// The median round.
    ns_per_result: f64,
    results_per_second: f64,
    /// Begun and collected.
    queries_per_second: f64,
}

/// What the front costs on top of the engine, and beside the hand-written design.
#[derive(Clone, Serialize, Debug)]
pub(super) struct Ratio {
    work: Work,
    handles: u32,
    /// Our time less the engine's alone.
    ns_on_top_per_result: Option<f64>,
    /// The hand-written design's time to ours: above 1 ours is better.
    hand_written_to_dragnet: Option<f64>,
}

#[derive(Default, Serialize, Debug)]
pub(super) struct Report {
    pub(super) rows: Vec<Row>,
    ratios: Vec<Ratio>,
}

impl Row {
    pub(super) fn new(Load { work, handles, .. }: Load, who: Who, ns_per_result: f64) -> Self {
        let results_per_second = 1e9 / ns_per_result;
        let queries_per_second = results_per_second / work.results() as f64;
        Self { work, handles, who, ns_per_result, results_per_second, queries_per_second }
    }

    pub(super) fn line(&self) -> String {
        format!(
            "{:>8} {:>8} {:>13} {:>10.0} {:>12.0} {:>12.0}",
            self.work.name(),
            self.handles,
            self.who.name(),
            self.ns_per_result,
            self.results_per_second,
            self.queries_per_second,
        )
    }
}

impl Report {
    pub(super) fn compare(&mut self) {
        for same in self.rows.chunk_by(|a, b| (a.work, a.handles) == (b.work, b.handles)) {
            let ns = |who| same.iter().find(|row| row.who == who).map(|row| row.ns_per_result);
            let Some(ours) = ns(Who::Dragnet) else { continue };
            self.ratios.push(Ratio {
                work: same[0].work,
                handles: same[0].handles,
                ns_on_top_per_result: ns(Who::Engine).map(|engine| ours - engine),
                hand_written_to_dragnet: ns(Who::HandWritten).map(|hand_written| hand_written / ours),
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
        writeln!(table, "hand-written to dragnet: above 1 dragnet is better\n")?;
        writeln!(
            table,
            "{:>8} {:>8} {:>16} {:>24}",
            "work", "handles", "hand-written", "ns/result on the engine"
        )?;
        let text =
            |value: Option<f64>, digits| value.map_or_else(|| "-".to_owned(), |v| format!("{v:.digits$}"));
        for ratio in &self.ratios {
            writeln!(
                table,
                "{:>8} {:>8} {:>16} {:>24}",
                ratio.work.name(),
                ratio.handles,
                text(ratio.hand_written_to_dragnet, 2),
                text(ratio.ns_on_top_per_result, 0),
            )?;
        }
        writeln!(
            table,
            "\n{:>8} {:>8} {:>13} {:>10} {:>12} {:>12}",
            "work", "handles", "who", "ns/result", "results/s", "queries/s"
        )?;
        for row in &self.rows {
            writeln!(table, "{}", row.line())?;
        }
        Ok(())
    }
}
