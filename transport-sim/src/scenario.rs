//! Scenarios: a network, what goes wrong in it, and what is asked, as a file that people write.

mod rules;
mod spec;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use rules::{FaultRule, KindName};
pub use spec::{
    AgreementName, ClientKind, DeliveryName, EngineSpec, Expect, LatencySpec, NetworkSpec, QuerySpec,
    SessionsSpec, Workload, WorkloadKind,
};

use crate::config::ConfigError;
use crate::faults::FaultError;
use crate::matrix::MatrixError;

/// All that a run is made of. Written in TOML; every key but `network.peers` has a default.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// What reports call it. The file's name without its ending, if it gives none.
    #[serde(default)]
    pub name: String,
    /// What everything is drawn from. 1.
    #[serde(default = "one")]
    pub seed: u64,
    /// The peers.
    pub network: NetworkSpec,
    /// Who asks what, and when.
    #[serde(default)]
    pub workload: Workload,
    /// Limits and pace of each query.
    #[serde(default)]
    pub query: QuerySpec,
    /// Settings of each client's engine.
    #[serde(default)]
    pub engine: EngineSpec,
    /// What goes wrong, beside the network's own dead peers and lost messages.
    #[serde(default, rename = "fault")]
    pub faults: Vec<FaultRule>,
    /// What is promised of the run as a whole.
    #[serde(default)]
    pub expect: Expect,
}

const fn one() -> u64 {
    1
}

/// Why there is no such scenario.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScenarioError {
    /// The file cannot be read.
    #[error("{path}: {why}")]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        why: std::io::Error,
    },
    /// The file is not what a scenario looks like. The message names line and key.
    #[error("{place}: {message}")]
    Syntax {
        /// The file, or where else the text comes from.
        place: String,
        /// What was found, and what was expected.
        message: String,
    },
    /// A value is out of its range.
    #[error("{key} is {value}, and must be {expected}")]
    Value {
        /// The key, with its table.
        key: String,
        /// What it is.
        value: String,
        /// What it must be.
        expected: String,
    },
    /// A setting that replaces a value is no `key=value`.
    #[error("--set {setting}: {why}")]
    Setting {
        /// As it was given.
        setting: String,
        /// What is wrong with it.
        why: String,
    },
    /// The matrix of latencies is none.
    #[error("network.latency.matrix = {path:?}: {why}")]
    Matrix {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        why: MatrixError,
    },
    /// A fault cannot be.
    #[error("fault {number}: {why}")]
    Fault {
        /// Which; they count from 1.
        number: usize,
        /// What is wrong.
        why: FaultError,
    },
    /// The network cannot be.
    #[error("network: {0}")]
    Network(ConfigError),
}

/// Not as a source: the message has it, and a chain of errors would say it twice.
impl From<ConfigError> for ScenarioError {
    fn from(why: ConfigError) -> Self {
        Self::Network(why)
    }
}

impl Scenario {
    /// Reads a file, replaces values by `key=value` settings, and checks them all.
    ///
    /// # Errors
    ///
    /// File, line or key, and what was expected.
    pub fn read(path: &Path, settings: &[String]) -> Result<Self, ScenarioError> {
        let text = std::fs::read_to_string(path)
            .map_err(|why| ScenarioError::Unreadable { path: path.to_owned(), why })?;
        let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        let folder = path.parent().unwrap_or(Path::new(""));
        Self::parse(&text, &path.display().to_string(), &name, folder, settings)
    }

    /// Parses a text from a place that errors name. Paths in it are relative to the folder.
    ///
    /// # Errors
    ///
    /// Line or key, and what was expected.
    pub fn parse(
        text: &str,
        place: &str,
        name: &str,
        folder: &Path,
        settings: &[String],
    ) -> Result<Self, ScenarioError> {
        let syntax = |error: toml::de::Error| ScenarioError::Syntax {
            place: place.to_owned(),
            message: error.to_string().trim_end().to_owned(),
        };
        // First as it stands, so that errors name lines; then with the settings, if there are any.
        let mut scenario: Self = toml::from_str(text).map_err(syntax)?;
        if !settings.is_empty() {
            let mut table: toml::Table = toml::from_str(text).map_err(syntax)?;
            for setting in settings {
                replace(&mut table, setting)?;
            }
            scenario = table.try_into().map_err(|error: toml::de::Error| ScenarioError::Syntax {
                place: format!("{place} with --set {}", settings.join(" --set ")),
                message: error.to_string().trim_end().to_owned(),
            })?;
        }
        if scenario.name.is_empty() {
            name.clone_into(&mut scenario.name);
        }
        if let LatencySpec::Matrix(file) = &mut scenario.network.latency {
            *file = folder.join(&*file);
        }
        scenario.check()?;
        Ok(scenario)
    }

    /// Checks every value.
    ///
    /// # Errors
    ///
    /// The first key whose value is out of its range.
    pub fn check(&self) -> Result<(), ScenarioError> {
        self.network.check()?;
        self.workload.check(self.network.peers)?;
        self.query.check()?;
        self.engine.check()?;
        for (n, rule) in self.faults.iter().enumerate() {
            rule.check(n + 1)?;
        }
        Ok(())
    }
}

/// Replaces one value of a table, `a.b=value`. The value is TOML; a word that is none is a string.
fn replace(table: &mut toml::Table, setting: &str) -> Result<(), ScenarioError> {
    let error = |why: &str| ScenarioError::Setting { setting: setting.to_owned(), why: why.to_owned() };
    let (key, value) = setting.split_once('=').ok_or_else(|| error("expected key=value"))?;
    let (key, value) = (key.trim(), value.trim());
    let value = toml::from_str::<toml::Table>(&format!("v = {value}"))
        .ok()
        .and_then(|mut parsed| parsed.remove("v"))
        .unwrap_or_else(|| toml::Value::String(value.to_owned()));
    let mut table = table;
    let mut parts = key.split('.').peekable();
    while let Some(part) = parts.next() {
        if part.is_empty() {
            return Err(error("expected a key like network.peers"));
        }
        if parts.peek().is_none() {
            table.insert(part.to_owned(), value);
            return Ok(());
        }
        let inner = table.entry(part).or_insert_with(|| toml::Value::Table(toml::Table::new()));
        table = inner.as_table_mut().ok_or_else(|| error(&format!("{part} holds no keys")))?;
    }
    Err(error("expected a key like network.peers"))
}

/// Checks that a value is in a range; one that is no number is in none.
fn within<T: PartialOrd + Copy + std::fmt::Display>(
    key: &str,
    value: &T,
    min: T,
    max: T,
) -> Result<(), ScenarioError> {
    if !(min..=max).contains(value) {
        return Err(ScenarioError::Value {
            key: key.to_owned(),
            value: value.to_string(),
            expected: format!("from {min} to {max}"),
        });
    }
    Ok(())
}
