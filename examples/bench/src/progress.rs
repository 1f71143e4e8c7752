//! How far long work has come, on standard error.

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressStyle};

/// A bar on a terminal, and lines above it; elsewhere the lines alone.
pub(crate) struct Progress(ProgressBar);

impl Progress {
    pub(crate) fn new(steps: u64, what: &str) -> Self {
        if !std::io::stderr().is_terminal() {
            return Self(ProgressBar::hidden());
        }
        let template = format!("{{bar:32}} {{pos}}/{{len}} {what}, {{elapsed}}");
        let style = ProgressStyle::with_template(&template).expect("the template is well-formed");
        Self(ProgressBar::new(steps).with_style(style))
    }

    pub(crate) fn step(&self) {
        self.step_by(1);
    }

    pub(crate) fn step_by(&self, steps: u64) {
        self.0.inc(steps);
    }

    pub(crate) fn say(&self, line: &str) {
        self.0.suspend(|| eprintln!("{line}"));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
