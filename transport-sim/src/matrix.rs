//! A loaded matrix of measured round-trip times.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// Round-trip times between sites, loaded from a text of numbers: row i, column j, milliseconds,
/// separated by white space. Zero means "not measured". Lines that are empty or start with `#` are
/// skipped.
#[derive(Clone)]
pub struct RttMatrix {
    sites: u32,
    /// Microseconds; 32 bits reach 71 minutes.
    rtts_us: Arc<[u32]>,
    /// The measured ones in order, for pairs that were not.
    sorted_us: Arc<[u32]>,
}

/// Why a text is not a matrix. Lines count from 1, as in an editor.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum MatrixError {
    /// The file cannot be read.
    #[error("{path}: {why}")]
    Unreadable {
        /// Which file.
        path: String,
        /// What the system says.
        why: String,
    },
    /// A word is no round-trip time.
    #[error("line {line}, column {column}: expected milliseconds from 0 to 4000000, found {found:?}")]
    NotANumber {
        /// The line.
        line: usize,
        /// Which number of the line.
        column: usize,
        /// The word, cut at 40 characters.
        found: String,
    },
    /// A row is longer or shorter than the first.
    #[error("line {line}: expected {expected} numbers as in the first row, found {found}")]
    Ragged {
        /// The line.
        line: usize,
        /// How many the first row has.
        expected: usize,
        /// How many this one has.
        found: usize,
    },
    /// There are not as many rows as columns.
    #[error("expected a square matrix, found {rows} rows of {columns} numbers")]
    NotSquare {
        /// How many rows there are.
        rows: usize,
        /// How many numbers each has.
        columns: usize,
    },
    /// There are too many sites.
    #[error("expected at most {max} sites, found {found}")]
    TooLarge {
        /// How many there are.
        found: usize,
        /// How many there may be.
        max: usize,
    },
    /// There is nothing in it.
    #[error("expected at least two sites with a measured round-trip time, found none")]
    Empty,
}

impl RttMatrix {
    /// The most sites that a matrix may have: 64 MB.
    pub const SITES_MAX: usize = 4096;

    /// Parses a text.
    ///
    /// # Errors
    ///
    /// The line, and what was expected there.
    pub fn parse(text: &str) -> Result<Self, MatrixError> {
        let mut rtts_us = Vec::new();
        let (mut columns, mut rows) = (0, 0);
        for (number, line) in text.lines().enumerate() {
            if line.trim().is_empty() || line.trim_start().starts_with('#') {
                continue;
            }
            let before = rtts_us.len();
            for (column, word) in line.split_whitespace().enumerate() {
                rtts_us.push(microseconds(word).ok_or_else(|| MatrixError::NotANumber {
                    line: number + 1,
                    column: column + 1,
                    found: word.chars().take(40).collect(),
                })?);
            }
            let found = rtts_us.len() - before;
            if rows == 0 {
                columns = found;
            } else if found != columns {
                return Err(MatrixError::Ragged { line: number + 1, expected: columns, found });
            }
            rows += 1;
            if rows.max(columns) > Self::SITES_MAX {
                return Err(MatrixError::TooLarge { found: rows.max(columns), max: Self::SITES_MAX });
            }
        }
        if rows != columns {
            return Err(MatrixError::NotSquare { rows, columns });
        }
        let mut sorted_us: Vec<u32> = rtts_us
            .iter()
            .enumerate()
            .filter(|(n, rtt)| **rtt > 0 && n / columns != n % columns)
            .map(|(_, rtt)| *rtt)
            .collect();
        if sorted_us.is_empty() {
            return Err(MatrixError::Empty);
        }
        sorted_us.sort_unstable();
        Ok(Self { sites: rows as u32, rtts_us: rtts_us.into(), sorted_us: sorted_us.into() })
    }

    /// Reads a file.
    ///
    /// # Errors
    ///
    /// The file, or the line of the text and what was expected there.
    pub fn read(path: &Path) -> Result<Self, MatrixError> {
        let text = std::fs::read_to_string(path).map_err(|why| MatrixError::Unreadable {
            path: path.display().to_string(),
            why: why.to_string(),
        })?;
        Self::parse(&text)
    }

    /// How many sites there are.
    pub const fn sites(&self) -> u32 {
        self.sites
    }

    /// The measured round-trip time between two sites in microseconds; that of the other direction if
    /// only it was measured.
    pub(crate) fn measured_us(&self, from: u32, to: u32) -> Option<u64> {
        let at = |row: u32, column: u32| {
            let rtt = self.rtts_us[row as usize * self.sites as usize + column as usize];
            (rtt > 0).then_some(u64::from(rtt))
        };
        at(from, to).or_else(|| at(to, from))
    }

    /// The measured round-trip times between different sites, in order, in microseconds.
    pub(crate) fn sorted_us(&self) -> &[u32] {
        &self.sorted_us
    }
}

impl fmt::Debug for RttMatrix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RttMatrix({} sites, {} measured)", self.sites, self.sorted_us.len())
    }
}

fn microseconds(word: &str) -> Option<u32> {
    let ms: f64 = word.parse().ok()?;
    (0.0..=4_000_000.0).contains(&ms).then_some((ms * 1000.0 + 0.5) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_matrix_gives_back_what_was_measured() {
        let matrix = RttMatrix::parse("# three sites\n0 1.5 20\n1.6 0 0\n\n21 30 0\n").unwrap();
        assert_eq!(matrix.sites(), 3);
        assert_eq!(matrix.measured_us(0, 1), Some(1_500));
        assert_eq!(matrix.measured_us(1, 2), Some(30_000), "the other direction was measured");
        assert_eq!(matrix.measured_us(1, 1), None);
        assert_eq!(matrix.sorted_us(), [1_500, 1_600, 20_000, 21_000, 30_000]);
    }

    #[test]
    fn errors_name_the_line_and_what_was_expected() {
        let error = |text: &str| RttMatrix::parse(text).unwrap_err().to_string();
        assert_eq!(
            error("0 1\n# note\n1 x"),
            "line 3, column 2: expected milliseconds from 0 to 4000000, found \"x\""
        );
        assert_eq!(
            error("0 -1\n1 0"),
            "line 1, column 2: expected milliseconds from 0 to 4000000, found \"-1\""
        );
        assert_eq!(
            error("0 nan\n1 0"),
            "line 1, column 2: expected milliseconds from 0 to 4000000, found \"nan\""
        );
        assert_eq!(error("0 1\n1 0 3"), "line 2: expected 2 numbers as in the first row, found 3");
        assert_eq!(error("0 1 2\n1 0 3"), "expected a square matrix, found 2 rows of 3 numbers");
        assert_eq!(error(""), "expected at least two sites with a measured round-trip time, found none");
        assert_eq!(error("5"), "expected at least two sites with a measured round-trip time, found none");
        let wide = "0 ".repeat(RttMatrix::SITES_MAX + 1);
        assert_eq!(error(&wide), "expected at most 4096 sites, found 4097");
        let missing = RttMatrix::read(Path::new("/nowhere/at/all")).unwrap_err().to_string();
        assert!(missing.starts_with("/nowhere/at/all: "), "{missing}");
    }
}
