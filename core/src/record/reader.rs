//! Blocks from a file, as far as they stand.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use std::io::{self, Read};

use super::FORMAT;
use super::frame::{self, Kind};
use super::wire::Malformed;
use super::writer::Stopped;

/// Why a file cannot be replayed at all.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The file cannot be read.
    #[error("cannot be read: {0}")]
    Unreadable(#[from] io::Error),
    /// The file is something else.
    #[error(
        "not a recording of a driver: it begins with {found:02x?}, and one begins with {:02x?}",
        frame::MAGIC
    )]
    NotARecording {
        /// The first bytes.
        found: Vec<u8>,
    },
    /// The file is of another version of the format.
    #[error(
        "a recording of format {found}, and this program reads format {FORMAT}: replay it with the version of dragnet-sim that belongs to the program that recorded it"
    )]
    Format {
        /// Its format.
        found: u32,
    },
    /// It ends before the first input could.
    #[error("cut off after {bytes} bytes, before its first input: nothing can be replayed")]
    CutOff {
        /// How long it is.
        bytes: u64,
    },
    /// What it begins with is damaged.
    #[error("damaged at its beginning ({what}): nothing can be replayed")]
    Damaged {
        /// What is wrong.
        what: String,
    },
}

/// How a recording ended that was replayed as far as it goes.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Ending {
    /// All that was recorded is there. What came after it is not, where that stopped [early](Stopped::is_early).
    Whole(Stopped),
    /// The file ends in its middle: its program died, or goes on.
    CutOff {
        /// Bytes that stand.
        whole_bytes: u64,
        /// Bytes after them that are part of something.
        more_bytes: u64,
    },
    /// Something is wrong with the block that begins at this byte; what comes after it is of no use.
    Damaged {
        /// Where it begins, which is how many bytes stand.
        whole_bytes: u64,
        /// What is wrong.
        what: String,
    },
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(why) => write!(f, "whole: {why}"),
            Self::CutOff { whole_bytes, more_bytes: 0 } => {
                write!(f, "cut off after {whole_bytes} bytes, between two blocks")
            }
            Self::CutOff { whole_bytes, more_bytes } => {
                write!(f, "cut off: {whole_bytes} bytes stand, and {more_bytes} after them are half a block")
            }
            Self::Damaged { whole_bytes, what } => {
                write!(f, "damaged after {whole_bytes} bytes: {what}; the rest cannot be replayed")
            }
        }
    }
}

/// Reads blocks.
pub(super) struct Blocks<R> {
    file: R,
    /// Bytes that stand.
    at: u64,
}

impl<R: Read> Blocks<R> {
    /// Reads what a file begins with.
    pub(super) fn open(mut file: R) -> Result<Self, OpenError> {
        let mut head = Vec::new();
        let length = frame::file_head(FORMAT).len();
        (&mut file).take(length as u64).read_to_end(&mut head)?;
        let is_magic = head.iter().zip(&frame::MAGIC).all(|(found, magic)| found == magic);
        if head.is_empty() || !is_magic {
            head.truncate(frame::MAGIC.len());
            return Err(OpenError::NotARecording { found: head });
        }
        let Some((_, format)) = head.split_last_chunk().filter(|_| head.len() == length) else {
            return Err(OpenError::CutOff { bytes: head.len() as u64 });
        };
        match u32::from_le_bytes(*format) {
            FORMAT => Ok(Self { file, at: length as u64 }),
            found => Err(OpenError::Format { found }),
        }
    }

    /// Bytes read that stand.
    pub(super) const fn whole_bytes(&self) -> u64 {
        self.at
    }

    pub(super) fn damaged(&self, what: Malformed) -> Ending {
        Ending::Damaged { whole_bytes: self.at, what: what.0.to_string() }
    }

    /// The next block.
    ///
    /// # Errors
    ///
    /// Why there is none.
    pub(super) fn next(&mut self) -> Result<(Kind, Vec<u8>), Ending> {
        let mut frame = Vec::new();
        self.read(frame::FRAME_BYTES, &mut frame)?;
        let (length, checksum) = match frame.as_chunks::<4>().0 {
            [length, checksum] => (u32::from_le_bytes(*length), u32::from_le_bytes(*checksum)),
            _ => return Err(self.cut_off(frame.len())),
        };
        if length as usize > frame::BLOCK_MAX || length == 0 {
            return Err(self.damaged(Malformed("a block of an impossible length")));
        }
        let mut block = Vec::new();
        self.read(length as usize, &mut block)?;
        if block.len() < length as usize {
            return Err(self.cut_off(frame.len() + block.len()));
        }
        if frame::checksum(length, &block) != checksum {
            return Err(self.damaged(Malformed("its checksum is another one")));
        }
        let kind = Kind::of(block[0]).ok_or_else(|| self.damaged(Malformed("a block of an unknown kind")))?;
        block.remove(0);
        Ok((kind, block))
    }

    /// Notes that the last block was good.
    pub(super) const fn accept(&mut self, block: usize) {
        self.at += (frame::FRAME_BYTES + 1 + block) as u64;
    }

    /// Reads so many bytes, or fewer if there are no more. Memory is taken as they come.
    fn read(&mut self, length: usize, into: &mut Vec<u8>) -> Result<(), Ending> {
        match (&mut self.file).take(length as u64).read_to_end(into) {
            Ok(_) => Ok(()),
            Err(why) => Err(Ending::Damaged {
                whole_bytes: self.at,
                what: alloc::format!("it cannot be read: {why}"),
            }),
        }
    }

    const fn cut_off(&self, more: usize) -> Ending {
        Ending::CutOff { whole_bytes: self.at, more_bytes: more as u64 }
    }
}
