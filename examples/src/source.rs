//! Where packages come from: a file, or the dependency graph of a workspace.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use cargo_metadata::MetadataCommand;
use serde::Deserialize;

use crate::package::{Package, PackageError};

/// The largest package file that is read, in bytes.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// Why there are no packages.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// The file cannot be read.
    #[error("the package file `{}` cannot be read: {source}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is too large.
    #[error(
        "the package file `{}` has {bytes} bytes, and may have {FILE_BYTES_MAX}: split it between nodes",
        path.display()
    )]
    TooLarge {
        /// Which.
        path: PathBuf,
        /// Its size.
        bytes: u64,
    },
    /// The file is no JSON, or not what it should be.
    #[error(
        "the package file `{}` is wrong at line {}, column {}: {source}\n\
         It must be a list of objects with `name` and `version`, and may have `description`, `keywords`, \
         `categories` and `license`; the output of `cargo metadata --format-version 1` will do",
        path.display(), source.line(), source.column()
    )]
    Json {
        /// Which.
        path: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },
    /// There is nothing in it.
    #[error("{origin} names no package: there is nothing to share")]
    Empty {
        /// What was read.
        origin: String,
    },
    /// Cargo did not say.
    #[error(
        "`cargo metadata` failed: {reason}\n\
         Run this inside a checkout of a Rust workspace with cargo at hand, or name a file with --packages"
    )]
    Cargo {
        /// What cargo said.
        reason: String,
    },
    /// Cargo named a package that is none.
    #[error("`cargo metadata` names a package that cannot be shared: {0}")]
    Package(#[from] PackageError),
}

/// What a package file may hold.
enum File {
    List(Vec<Package>),
    Metadata(Metadata),
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

/// The packages that a file names: a list, or what `cargo metadata` prints.
///
/// # Errors
///
/// When it cannot be read, is no JSON, or does not fit; with file, line and reason.
pub fn from_file(path: &Path) -> Result<Vec<Package>, SourceError> {
    let read_error = |source| SourceError::Read { path: path.to_path_buf(), source };
    let bytes = fs::metadata(path).map_err(read_error)?.len();
    if bytes > FILE_BYTES_MAX {
        return Err(SourceError::TooLarge { path: path.to_path_buf(), bytes });
    }
    let text = fs::read(path).map_err(read_error)?;
    let file = parse(&text).map_err(|source| SourceError::Json { path: path.to_path_buf(), source })?;
    let packages = match file {
        File::List(packages) | File::Metadata(Metadata { packages }) => packages,
    };
    if packages.is_empty() {
        return Err(SourceError::Empty { origin: format!("the package file `{}`", path.display()) });
    }
    Ok(packages)
}

/// Decided by the first letter: serde's untagged enums lose the line of an error.
fn parse(text: &[u8]) -> serde_json::Result<File> {
    if text.trim_ascii_start().starts_with(b"{") {
        serde_json::from_slice(text).map(File::Metadata)
    } else {
        serde_json::from_slice(text).map(File::List)
    }
}

/// The packages that the workspace of the current directory (or, under `cargo run`, of the running
/// package) depends on, itself included.
///
/// What cargo has at hand is enough after a build: the network is asked only if it is not. Packages
/// for other platforms are left out, since a build does not fetch them.
///
/// # Errors
///
/// When there is no cargo, no workspace, or its packages cannot be had.
pub fn from_cargo() -> Result<Vec<Package>, SourceError> {
    let platform = host_platform();
    let metadata = read_metadata(platform.as_deref(), &["--locked", "--offline"])
        .or_else(|_not_at_hand| read_metadata(platform.as_deref(), &[]))
        .map_err(|error| SourceError::Cargo { reason: reason(error) })?;
    let packages: Vec<Package> = metadata.packages.iter().map(from_metadata).collect::<Result<_, _>>()?;
    if packages.is_empty() {
        return Err(SourceError::Empty { origin: "`cargo metadata`".to_string() });
    }
    Ok(packages)
}

fn read_metadata(
    platform: Option<&str>,
    options: &[&str],
) -> Result<cargo_metadata::Metadata, cargo_metadata::Error> {
    let mut command = MetadataCommand::new();
    // Set by `cargo run`: wherever that was called from, it is this workspace that is meant.
    if let Some(folder) = std::env::var_os("CARGO_MANIFEST_DIR") {
        command.current_dir(PathBuf::from(folder));
    }
    let platform = platform.into_iter().flat_map(|triple| ["--filter-platform", triple]);
    command.other_options(platform.chain(options.iter().copied()).map(String::from).collect::<Vec<_>>());
    command.exec()
}

/// The triple of this machine, as its compiler names it; without one nothing is filtered.
fn host_platform() -> Option<String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).arg("-vV").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.lines().find_map(|line| line.strip_prefix("host: ")).map(String::from)
}

fn reason(error: cargo_metadata::Error) -> String {
    match error {
        cargo_metadata::Error::CargoMetadata { stderr } => stderr.trim().to_string(),
        other => other.to_string(),
    }
}

fn from_metadata(package: &cargo_metadata::Package) -> Result<Package, PackageError> {
    let unchecked = serde_json::json!({
        "name": package.name.to_string(),
        "version": package.version.to_string(),
        "description": package.description,
        "keywords": package.keywords,
        "categories": package.categories,
        "license": package.license,
    });
    Ok(serde_json::from_value(unchecked)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn file(text: &str) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file
    }

    #[test]
    fn a_list_and_the_output_of_cargo_metadata_are_read() {
        let list = file(r#"[{"name":"a","version":"1.0.0","keywords":["x"]}]"#);
        assert_eq!(from_file(list.path()).unwrap()[0].keywords, ["x"]);
        let metadata =
            file(r#"{"version":1,"packages":[{"name":"a","version":"1.0.0","description":null}]}"#);
        assert_eq!(from_file(metadata.path()).unwrap()[0].name, "a");
    }

    #[test]
    fn an_error_names_the_file_and_the_line() {
        let broken = file("[\n  {\"name\": \"a\", \"version\": 3}\n]");
        let error = from_file(broken.path()).unwrap_err().to_string();
        assert!(error.contains(&broken.path().display().to_string()), "{error}");
        assert!(error.contains("line 2") && error.contains("invalid type: integer `3`"), "{error}");
        let empty = from_file(file("[]").path()).unwrap_err().to_string();
        assert!(empty.contains("names no package"), "{empty}");
        let missing = from_file(Path::new("no-such-file.json")).unwrap_err().to_string();
        assert!(missing.contains("`no-such-file.json` cannot be read"), "{missing}");
    }

    #[test]
    fn the_workspace_itself_has_packages() {
        let packages = from_cargo().unwrap();
        assert!(packages.len() > 100, "{}", packages.len());
        assert!(packages.iter().any(|package| package.name == "dragnet-core"));
    }
}
