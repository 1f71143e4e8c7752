//! A run on file: everything that makes it, and enough of what came of it to tell where another differs.

use std::io::Write;
use std::path::{Path, PathBuf};

use dragnet_core::Time;
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::experiment::{Checkpoint, Experiment};
use crate::faults::{Fault, FaultError};
use crate::log::QueryRun;
use crate::scenario::{Scenario, ScenarioError};

/// The version of the format that this program writes and reads.
pub const VERSION: u32 = 1;

/// A recorded run.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    dragnet_sim_record: u32,
    /// What was run.
    pub scenario: Scenario,
    /// Every fault of the run.
    pub faults: Vec<Fault>,
    /// Events, nanoseconds of virtual time and digest, from time to time.
    checkpoints: Vec<(u64, u64, String)>,
    /// How each query ended: reason, contacts, items, nanoseconds.
    queries: Vec<(String, u32, usize, u64)>,
    /// The digest at the end.
    pub digest: String,
}

/// Why a file is no record, or cannot be one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// The file cannot be read.
    #[error("{path}: {why}")]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        why: std::io::Error,
    },
    /// The file cannot be written. What was there before still is.
    #[error("{path}: cannot be written: {why}")]
    Unwritable {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        why: std::io::Error,
    },
    /// The file ends in its middle.
    #[error("{path}: cut off at line {line}, column {column}: expected a whole recorded run")]
    CutOff {
        /// Which file.
        path: PathBuf,
        /// The line.
        line: usize,
        /// The column.
        column: usize,
    },
    /// The file is something else.
    #[error("{path}: not a recorded run: {why}")]
    NotARecord {
        /// Which file.
        path: PathBuf,
        /// What was found where, and what was expected.
        why: serde_json::Error,
    },
    /// The file is of another version.
    #[error("{path}: a recorded run of version {found}, expected version {VERSION}: record it again")]
    Version {
        /// Which file.
        path: PathBuf,
        /// Its version.
        found: u64,
    },
    /// The recorded scenario cannot be.
    #[error("{path}: the recorded scenario: {why}")]
    Scenario {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        why: Box<ScenarioError>,
    },
    /// A fault of the list cannot be.
    #[error("{path}: fault {number} of the list: {why}")]
    Fault {
        /// Which file.
        path: PathBuf,
        /// Which fault; they count from 1.
        number: usize,
        /// What is wrong.
        why: FaultError,
    },
}

/// Where two runs part.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Difference {
    /// In words.
    pub what: String,
}

impl Record {
    /// Records a run that has ended.
    pub fn of(experiment: &Experiment) -> Self {
        let checkpoint = |c: &Checkpoint| (c.events, c.time.as_nanos(), c.digest.to_string());
        Self {
            dragnet_sim_record: VERSION,
            scenario: experiment.scenario().clone(),
            faults: experiment.sim.faults(),
            checkpoints: experiment.checkpoints().iter().map(checkpoint).collect(),
            queries: experiment.sim.queries().iter().map(ending).collect(),
            digest: experiment.sim.digest().to_string(),
        }
    }

    /// Reads a file.
    ///
    /// # Errors
    ///
    /// The file, and what is wrong with it.
    pub fn read(path: &Path) -> Result<Self, RecordError> {
        let text = std::fs::read_to_string(path)
            .map_err(|why| RecordError::Unreadable { path: path.to_owned(), why })?;
        Self::parse(&text, path)
    }

    /// Parses a text; the path is for errors.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn parse(text: &str, path: &Path) -> Result<Self, RecordError> {
        #[derive(Deserialize)]
        struct Head {
            dragnet_sim_record: u64,
        }
        let path = path.to_owned();
        let fail = |why: serde_json::Error| match why.is_eof() {
            true => RecordError::CutOff { path: path.clone(), line: why.line(), column: why.column() },
            false => RecordError::NotARecord { path: path.clone(), why },
        };
        // The version first: another one's other fields are no errors.
        let head: Head = serde_json::from_str(text).map_err(fail)?;
        if head.dragnet_sim_record != u64::from(VERSION) {
            return Err(RecordError::Version { path, found: head.dragnet_sim_record });
        }
        let record: Self = serde_json::from_str(text).map_err(fail)?;
        record
            .scenario
            .check()
            .map_err(|why| RecordError::Scenario { path: path.clone(), why: why.into() })?;
        for (n, fault) in record.faults.iter().enumerate() {
            fault.check().map_err(|why| RecordError::Fault { path: path.clone(), number: n + 1, why })?;
        }
        Ok(record)
    }

    /// Writes a file, whole or not at all.
    ///
    /// # Errors
    ///
    /// The file, and what the system says; what was there before still is.
    pub fn write(&self, path: &Path) -> Result<(), RecordError> {
        let text = serde_json::to_vec(self).expect("a record has only plain values");
        write_whole(path, &text).map_err(|why| RecordError::Unwritable { path: path.to_owned(), why })
    }

    /// Where a run parts from this one; `None` if it was the same.
    pub fn difference(&self, other: &Record) -> Option<Difference> {
        if self.digest == other.digest {
            return None;
        }
        let pairs = self.checkpoints.iter().zip(&other.checkpoints);
        let mut since = (0, 0);
        let parted = pairs.into_iter().find(|(a, b)| {
            if a == b {
                since = (a.0, a.1);
            }
            a != b
        });
        let until =
            parted.map_or_else(|| "the end".to_owned(), |(recorded, _)| format!("event {}", recorded.0));
        let mut what = format!(
            "the runs part between event {} (virtual time {:?}) and {until}",
            since.0,
            Time::from_nanos(since.1),
        );
        let queries = self.queries.iter().zip(&other.queries).enumerate();
        if let Some((number, (was, is))) = queries.into_iter().find(|(_, (was, is))| was != is) {
            let say = |(reason, contacts, items, nanos): &(String, u32, usize, u64)| {
                format!("{reason}, {contacts} contacts, {items} items, {} ms", nanos / 1_000_000)
            };
            what += &format!(
                "; the first query that ends otherwise is {number}: recorded {}, now {}",
                say(was),
                say(is)
            );
        }
        Some(Difference { what })
    }

    /// The digest at the end; `None` if the file's is none.
    pub fn digest(&self) -> Option<Digest> {
        Digest::parse(&self.digest)
    }
}

fn ending(run: &QueryRun) -> (String, u32, usize, u64) {
    match &run.outcome {
        Some(outcome) => {
            let nanos = u64::try_from(outcome.stats.total.as_nanos()).unwrap_or(u64::MAX);
            (outcome.reason.to_string(), outcome.stats.contacted, outcome.results, nanos)
        }
        None => (run.refused.map_or("never ended", |_| "refused").to_owned(), 0, run.found.len(), 0),
    }
}

/// Writes a file beside its place and moves it there when it is whole, so that nobody ever sees half of
/// it, and a failure leaves what was there before.
///
/// # Errors
///
/// What the system says.
pub fn write_whole(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut name = path.file_name().ok_or(std::io::ErrorKind::InvalidInput)?.to_owned();
    name.push(format!(".{}.part", std::process::id()));
    let part = path.with_file_name(name);
    let written = std::fs::File::create(&part).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    written.and_then(|()| std::fs::rename(&part, path)).inspect_err(|_| {
        // Nothing depends on whether it is there.
        let _ = std::fs::remove_file(&part);
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::SessionsSpec;

    /// A record of three checkpoints and two queries.
    fn record(digests: [&str; 3], contacts: u32) -> Record {
        let ending = |contacts| ("converged".to_owned(), contacts, 1, 5_000_000);
        Record {
            dragnet_sim_record: VERSION,
            scenario: toml::from_str("[network]\npeers = 10").unwrap(),
            faults: Vec::new(),
            checkpoints: (1u64..).zip(digests).map(|(n, d)| (n * 100, n * 1_000_000, d.to_owned())).collect(),
            queries: vec![ending(20), ending(contacts)],
            digest: digests[2].to_owned(),
        }
    }

    #[test]
    fn the_first_difference_is_named_by_event_time_and_query() {
        let recorded = record(["a", "b", "c"], 21);
        assert_eq!(recorded.difference(&record(["a", "b", "c"], 21)), None);
        let what = recorded.difference(&record(["a", "x", "y"], 22)).unwrap().what;
        assert_eq!(
            what,
            "the runs part between event 100 (virtual time 0.001000000s) and event 200; the first query that ends \
             otherwise is 1: recorded converged, 21 contacts, 1 items, 5 ms, now converged, 22 contacts, 1 items, 5 ms"
        );
    }

    #[test]
    fn a_float_is_read_as_it_was_written() {
        let mut record = record(["a", "b", "c"], 21);
        for n in 1..2_000 {
            let shape = f64::from(n).sqrt() / 10.0;
            record.scenario.network.sessions = Some(SessionsSpec { shape, scale_s: 60 });
            let again: Record = serde_json::from_str(&serde_json::to_string(&record).unwrap()).unwrap();
            assert_eq!(again.scenario.network.sessions.unwrap().shape.to_bits(), shape.to_bits(), "{shape}");
        }
    }
}
