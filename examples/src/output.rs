//! Where results go: lines for people, or one JSON object a line for programs.

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use console::{Style, Term};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use crate::duration::as_ms;
use crate::market::Ending;
use crate::package::Package;

/// The standard output, in one of two languages. Results go there, and progress to the standard error.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    is_json: bool,
}

impl Output {
    /// Lines for people, or JSON.
    pub const fn new(is_json: bool) -> Self {
        Self { is_json }
    }

    /// Whether programs read it.
    pub const fn is_json(self) -> bool {
        self.is_json
    }

    /// A line for people; nothing in JSON.
    ///
    /// # Errors
    ///
    /// When the output has been closed or is full; so for all of these.
    pub fn text(self, text: impl fmt::Display) -> io::Result<()> {
        if self.is_json { Ok(()) } else { write_line(text) }
    }

    /// An object for programs; nothing for people.
    ///
    /// # Errors
    ///
    /// See [`text`](Self::text).
    pub fn object(self, object: &impl Serialize) -> io::Result<()> {
        if self.is_json { write_line(serde_json::to_string(object)?) } else { Ok(()) }
    }

    /// One or the other.
    ///
    /// # Errors
    ///
    /// See [`text`](Self::text).
    pub fn line(self, text: impl fmt::Display, object: &impl Serialize) -> io::Result<()> {
        self.text(text)?;
        self.object(object)
    }

    /// A heading over what follows, with an empty line before it.
    ///
    /// # Errors
    ///
    /// See [`text`](Self::text).
    pub fn heading(self, text: impl fmt::Display) -> io::Result<()> {
        self.text(format_args!("\n{}", Style::new().bold().cyan().apply_to(text)))
    }

    /// A progress bar on the standard error, unseen by programs and where that is no terminal.
    pub fn progress(self, what: &'static str, length: usize) -> ProgressBar {
        let bar =
            ProgressBar::with_draw_target(Some(length as u64), self.progress_target()).with_message(what);
        let style = ProgressStyle::with_template("{msg} {bar:30} {pos}/{len}, {eta} to go");
        bar.with_style(style.expect("a template of known fields"))
    }

    /// A sign of life for work whose length is not known, shown and hidden like a progress bar.
    pub fn spinner(self, what: &'static str) -> ProgressBar {
        let spinner = ProgressBar::with_draw_target(None, self.progress_target()).with_message(what);
        spinner.enable_steady_tick(Duration::from_millis(100));
        spinner
    }

    fn progress_target(self) -> ProgressDrawTarget {
        let is_seen = !self.is_json && io::stderr().is_terminal();
        if is_seen { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() }
    }

    /// Columns of the terminal; 80 where there is none.
    pub fn width(self) -> usize {
        Term::stdout().size_checked().map_or(80, |(_, columns)| usize::from(columns).max(40))
    }
}

fn write_line(text: impl fmt::Display) -> io::Result<()> {
    let mut output = io::stdout().lock();
    writeln!(output, "{text}")?;
    output.flush()
}

/// One result, as programs read it.
#[derive(Serialize, Debug)]
pub struct HitObject<'a> {
    /// Always `hit`.
    pub kind: &'static str,
    /// What was searched for.
    pub search: &'a str,
    /// The source that gave it first, if there are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<&'a str>,
    /// The peer that gave it first; `own` for this node itself.
    pub from: String,
    /// From the start of the search.
    pub elapsed_ms: f64,
    /// What was found.
    #[serde(flatten)]
    pub package: &'a Package,
}

/// How a search ended, as programs read it.
#[derive(Serialize, Debug)]
pub struct EndingObject<'a> {
    /// Whether it is all there was, `summary`, or one of several searches, `search`.
    kind: &'static str,
    #[serde(flatten)]
    asked: Asked<'a>,
    results: usize,
    duplicates_removed: u32,
    peers_asked: u32,
    peers_failed: u32,
    peers_overdue: u32,
    /// Asked in the place of overdue ones.
    peers_hedged: u32,
    peers_barred: u32,
    invalid: u32,
    first_result_ms: Option<f64>,
    total_ms: f64,
    reason: String,
}

/// What was asked for.
#[derive(Serialize, Clone, Copy, Debug)]
#[serde(rename_all = "lowercase")]
pub enum Asked<'a> {
    /// These words.
    Search(&'a str),
    /// This key.
    Key(&'a str),
}

impl<'a> EndingObject<'a> {
    /// The end of a search for this.
    pub fn new(kind: &'static str, asked: Asked<'a>, ending: &Ending) -> Self {
        let Ending { reason, results, stats, duplicates, .. } = ending;
        Self {
            kind,
            asked,
            results: *results,
            duplicates_removed: *duplicates,
            peers_asked: stats.contacted,
            peers_failed: stats.failed,
            peers_overdue: stats.overdue,
            peers_hedged: stats.hedged,
            peers_barred: stats.barred,
            invalid: stats.invalid,
            first_result_ms: stats.first_item.map(as_ms),
            total_ms: as_ms(stats.total),
            reason: reason.to_string(),
        }
    }
}

/// Why the program ended early, as programs read it.
#[derive(Serialize, Debug)]
pub struct ErrorObject<'a> {
    /// Always `error`.
    pub kind: &'static str,
    /// What went wrong with what.
    pub message: &'a str,
    /// The exit code.
    pub code: u8,
}

/// One result, as people read it: when, from whom, what; cut to the width.
pub fn hit_line(elapsed: Duration, from: &str, package: &Package, width: usize) -> String {
    let name = format!("{} {}", package.name, package.version);
    let start = format!("{:>8}  {from:<8}  ", crate::duration::show(elapsed));
    let about = package.description.as_deref().unwrap_or_default();
    let plain = format!("{start}{name:<28}  {about}");
    let cut = console::truncate_str(&plain, width, "…").into_owned();
    let (named, rest) = cut.split_at(cut.floor_char_boundary(start.len() + name.len()));
    let (start, named) = named.split_at(start.len().min(named.len()));
    let (dim, bold) = (Style::new().dim(), Style::new().bold());
    format!("{}{}{}", dim.apply_to(start), bold.apply_to(named), rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::package::tests::package;

    #[test]
    fn a_hit_is_one_line_of_the_terminals_width() {
        let package = package("async-io", &[], &[]);
        let line = hit_line(Duration::from_millis(3), "node-07", &package, 54);
        let plain = console::strip_ansi_codes(&line).into_owned();
        assert_eq!(plain, " 3.00 ms  node-07   async-io 1.2.3                Abo…");
    }
}
