//! What the marketplace deals in: the description of a software package.

use std::collections::BTreeSet;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// The longest encoded package that is read from a peer, in bytes.
pub const PACKAGE_BYTES_MAX: usize = 16 << 10;
/// The longest name and the longest version, in bytes.
const NAME_BYTES_MAX: usize = 128;
/// The longest description that is kept; a longer one is cut, in bytes.
const DESCRIPTION_BYTES_MAX: usize = 2 << 10;
/// The most keywords, and the most categories.
const LABELS_MAX: usize = 32;
/// The longest keyword or category, in bytes.
const LABEL_BYTES_MAX: usize = 128;
/// The longest licence expression, in bytes.
const LICENSE_BYTES_MAX: usize = 512;

/// One version of a package, as its author describes it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// What it is for, in a sentence.
    pub description: Option<String>,
    /// What its author says it is about.
    pub keywords: Vec<String>,
    /// Where a registry files it.
    pub categories: Vec<String>,
    /// Its licence.
    pub license: Option<String>,
}

/// A package as it is written in a file or comes from a stranger.
#[derive(Deserialize)]
struct Unchecked {
    name: String,
    version: String,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    keywords: Vec<String>,
    #[serde(default)]
    categories: Vec<String>,
    #[serde(default)]
    license: Option<String>,
}

/// Why something is no package.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PackageError {
    /// Too many bytes.
    #[error("the package has {bytes} bytes, and may have {PACKAGE_BYTES_MAX}")]
    TooLarge {
        /// How many.
        bytes: usize,
    },
    /// A field that is empty or too long.
    #[error("`{field}` has {bytes} bytes, and must have 1 to {max}")]
    Field {
        /// Which.
        field: &'static str,
        /// Its length.
        bytes: usize,
        /// The most it may have.
        max: usize,
    },
    /// Too many keywords or categories.
    #[error("`{field}` has {count} entries, and may have {LABELS_MAX}")]
    Labels {
        /// Which.
        field: &'static str,
        /// How many.
        count: usize,
    },
    /// A field that would not print.
    #[error("`{field}` has a control character in it")]
    Control {
        /// Which.
        field: &'static str,
    },
    /// Not JSON, or not a package's.
    #[error("not a package: {0}")]
    Json(#[from] serde_json::Error),
}

impl Package {
    /// What two peers agree upon: `name@version`.
    pub fn id(&self) -> String {
        format!("{}@{}", self.name, self.version)
    }

    /// The words under which it is published: its name and the parts of it, its keywords and its
    /// categories, all in lower case.
    pub fn terms(&self) -> BTreeSet<String> {
        let name = self.name.to_lowercase();
        let parts = name.split(['-', '_']).filter(|part| is_telling(part)).map(String::from);
        let labels = self.keywords.iter().chain(&self.categories).map(|label| label.to_lowercase());
        let mut terms: BTreeSet<String> = parts.chain(labels).collect();
        terms.insert(name);
        terms
    }

    /// Its bytes on the wire.
    pub fn encode(&self) -> Bytes {
        serde_json::to_vec(self).expect("text and lists of text are always JSON").into()
    }

    /// Reads a stranger's bytes.
    ///
    /// # Errors
    ///
    /// When there are too many, or they are no package.
    pub fn decode(bytes: &[u8]) -> Result<Self, PackageError> {
        if bytes.len() > PACKAGE_BYTES_MAX {
            return Err(PackageError::TooLarge { bytes: bytes.len() });
        }
        Ok(serde_json::from_slice(bytes)?)
    }
}

/// Numbers and single letters say nothing.
fn is_telling(part: &str) -> bool {
    part.len() > 1 && !part.bytes().all(|byte| byte.is_ascii_digit())
}

impl TryFrom<Unchecked> for Package {
    type Error = PackageError;

    fn try_from(package: Unchecked) -> Result<Self, PackageError> {
        let Unchecked { name, version, description, keywords, categories, license } = package;
        check("name", &name, NAME_BYTES_MAX)?;
        check("version", &version, NAME_BYTES_MAX)?;
        for (field, labels) in [("keywords", &keywords), ("categories", &categories)] {
            if labels.len() > LABELS_MAX {
                return Err(PackageError::Labels { field, count: labels.len() });
            }
            labels.iter().try_for_each(|label| check(field, label, LABEL_BYTES_MAX))?;
        }
        if let Some(license) = &license {
            check("license", license, LICENSE_BYTES_MAX)?;
        }
        let description = description.map(|text| tidy(&text)).filter(|text| !text.is_empty());
        Ok(Self { name, version, description, keywords, categories, license })
    }
}

fn check(field: &'static str, text: &str, max: usize) -> Result<(), PackageError> {
    let bytes = text.len();
    if !(1..=max).contains(&bytes) {
        return Err(PackageError::Field { field, bytes, max });
    }
    // It goes to a terminal.
    if text.contains(char::is_control) { Err(PackageError::Control { field }) } else { Ok(()) }
}

/// One line of bounded length, without control characters: it goes to a terminal.
fn tidy(text: &str) -> String {
    let mut line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    line.retain(|letter| !letter.is_control());
    line.truncate(line.floor_char_boundary(DESCRIPTION_BYTES_MAX));
    line
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn package(name: &str, keywords: &[&str], categories: &[&str]) -> Package {
        let list = |labels: &[&str]| labels.iter().map(ToString::to_string).collect();
        Package {
            name: name.to_string(),
            version: "1.2.3".to_string(),
            description: Some(format!("About {name}")),
            keywords: list(keywords),
            categories: list(categories),
            license: None,
        }
    }

    #[test]
    fn terms_are_the_name_its_parts_and_the_labels() {
        let package = package("Async-io_2-x", &["Timer"], &["asynchronous"]);
        let terms: Vec<String> = package.terms().into_iter().collect();
        assert_eq!(terms, ["async", "async-io_2-x", "asynchronous", "io", "timer"]);
    }

    #[test]
    fn a_package_survives_the_wire() {
        let package = package("futures", &["async"], &["asynchronous"]);
        assert_eq!(Package::decode(&package.encode()).unwrap(), package);
    }

    #[test]
    fn what_is_no_package_is_refused_with_the_reason() {
        let wrong = |bytes: &[u8]| Package::decode(bytes).unwrap_err().to_string();
        assert!(wrong(b"\xff\xfe").starts_with("not a package"));
        assert!(wrong(br#"{"name":"a"}"#).contains("missing field `version`"));
        assert!(wrong(br#"{"name":"","version":"1"}"#).contains("`name` has 0 bytes"));
        assert!(wrong(br#"{"name":"a","version":"\u001b[2J"}"#).contains("`version` has a control"));
        let many = format!(r#"{{"name":"a","version":"1","keywords":[{}"k"]}}"#, r#""k","#.repeat(40));
        assert!(wrong(many.as_bytes()).contains("`keywords` has 41 entries"));
        assert!(wrong(&vec![b' '; PACKAGE_BYTES_MAX + 1]).contains("and may have 16384"));
    }

    #[test]
    fn a_description_is_one_bounded_line() {
        let text =
            format!(r#"{{"name":"a","version":"1","description":"x\n\t\u001b[31my {}"}}"#, "é".repeat(4000));
        let package = Package::decode(text.as_bytes()).unwrap();
        let description = package.description.unwrap();
        assert!(description.starts_with("x [31my é"), "{description}");
        assert!(description.len() <= DESCRIPTION_BYTES_MAX);
    }
}
