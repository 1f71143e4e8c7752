//! What the fuzz targets run: functions of bytes that panic when a promise is broken.
//!
//! They live here and not in the targets, so that stable Rust can run them on every file of the corpora.

pub mod engine_inputs;
#[cfg(feature = "libp2p")]
pub mod fetch_answers;
#[cfg(feature = "libp2p")]
pub mod kad_messages;
#[cfg(feature = "libp2p")]
pub mod multiaddrs;
pub mod recording;
pub mod records;
pub mod scenarios;
pub mod states;

use std::ffi::OsString;
use std::io;

/// Runs a target on each of these files, and says which before it does.
///
/// # Errors
///
/// When a file cannot be read.
pub fn replay_files(files: impl Iterator<Item = OsString>, target: impl Fn(&[u8])) -> io::Result<()> {
    for file in files {
        println!("{}:", file.display());
        target(&std::fs::read(file)?);
    }
    Ok(())
}
