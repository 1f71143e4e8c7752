//! The side that writes: blocks from a queue to a file, wherever the user runs it.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::fs::File;
use std::io::{self, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::frame::{self, Kind};

/// Brings what a [`Recorder`](super::Recorder) hands over to a file. It blocks, on the file and on the queue,
/// and so it belongs where blocking is allowed: on a thread of its own, or in a pool for such work.
///
/// The recorder never waits for it. One that falls behind by more blocks than
/// [`blocks_waiting_max`](super::RecordConfig::blocks_waiting_max) ends the recording, and so does one that
/// fails or is dropped; the engine goes on.
#[derive(Debug)]
#[must_use = "nothing is written unless the writer is run"]
pub struct Writer {
    blocks: Receiver<Vec<u8>>,
    shared: Arc<Shared>,
}

/// What has been written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Written {
    /// Bytes of the file.
    pub bytes: u64,
    /// Why the recording ended.
    pub end: Stopped,
}

/// Why a recording ended.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Stopped {
    /// The recorder was dropped, or the recording stopped: all is there.
    Finished,
    /// The file is as large as it may be ([`bytes_max`](super::RecordConfig::bytes_max)).
    Full,
    /// The writer did not keep up: [`blocks_waiting_max`](super::RecordConfig::blocks_waiting_max) blocks
    /// waited for it.
    Behind,
    /// The writer was dropped, or never run.
    NoWriter,
    /// The file could not be written.
    Unwritable,
    /// The engine had been told something before: a recording begins with a new one.
    InTheMiddle,
}

impl Stopped {
    pub(super) const ALL: [Self; 6] =
        [Self::Finished, Self::Full, Self::Behind, Self::NoWriter, Self::Unwritable, Self::InTheMiddle];
}

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Finished => "finished",
            Self::Full => "the file is as large as it may be",
            Self::Behind => "the writer did not keep up",
            Self::NoWriter => "the writer is gone",
            Self::Unwritable => "the file could not be written",
            Self::InTheMiddle => "the engine was not a new one",
        })
    }
}

/// Why a recording could not be written. What had been written whole is there, and can be replayed.
#[derive(Debug, thiserror::Error)]
#[error("{}the recording ends after {bytes} bytes: {why}", .path.as_ref().map_or(String::new(), |path| std::format!("{}: ", path.display())))]
#[non_exhaustive]
pub struct WriteError {
    /// Which file, if the writer was given its path.
    pub path: Option<PathBuf>,
    /// Bytes that had been written before.
    pub bytes: u64,
    /// What the system says.
    #[source]
    pub why: io::Error,
}

impl Writer {
    pub(super) const fn new(blocks: Receiver<Vec<u8>>, shared: Arc<Shared>) -> Self {
        Self { blocks, shared }
    }

    /// Writes until the recording ends, which is when its engine or driver is dropped or stops it.
    ///
    /// # Errors
    ///
    /// [`WriteError`] as soon as something cannot be written. The recording ends with it.
    pub fn run(self, mut out: impl Write) -> Result<Written, WriteError> {
        let fail = |bytes, why| WriteError { path: None, bytes, why };
        let mut bytes = 0;
        while let Ok(block) = self.blocks.recv() {
            if let Err(why) = out.write_all(&block).and_then(|()| out.flush()) {
                self.shared.fail(&why);
                return Err(fail(bytes, why));
            }
            bytes += block.len() as u64;
        }
        let end = self.shared.stopped().unwrap_or(Stopped::Finished);
        let last = last_block(end);
        out.write_all(&last).and_then(|()| out.flush()).map_err(|why| {
            self.shared.fail(&why);
            fail(bytes, why)
        })?;
        bytes += last.len() as u64;
        Ok(Written { bytes, end })
    }

    /// Writes to a file, which is made, or emptied if it is there. When the disk is full, what was written
    /// of a block is taken away again, so that the file is whole as far as it goes.
    ///
    /// # Errors
    ///
    /// [`WriteError`], with the path: it cannot be made, or not be written any more.
    pub fn run_to(self, path: &Path) -> Result<Written, WriteError> {
        let at_path = |error: WriteError| WriteError { path: Some(path.to_owned()), ..error };
        let mut file = File::create(path).map_err(|why| {
            self.shared.fail(&why);
            at_path(WriteError { path: None, bytes: 0, why })
        })?;
        let written = self.run(&mut file).map_err(at_path);
        match &written {
            Ok(_) => drop(file.sync_all()),
            Err(error) => cut_back(&mut file, error.bytes),
        }
        written
    }
}

/// Takes away what was written of a block, and says in its place that the recording ended here. Nothing
/// more can be done where that does not succeed: a reader finds the half of a block as well.
fn cut_back(file: &mut File, bytes: u64) {
    let is_cut = file.set_len(bytes).and_then(|()| file.seek(io::SeekFrom::Start(bytes)));
    if is_cut.is_ok() && bytes > 0 {
        let _ = file.write_all(&last_block(Stopped::Unwritable));
    }
}

fn last_block(end: Stopped) -> Vec<u8> {
    let code = Stopped::ALL.iter().position(|other| *other == end).unwrap_or(0);
    frame::block(Kind::End, &[code as u8], &[])
}

/// How a recording is doing. Cheap to clone, from any thread.
#[derive(Clone, Debug)]
pub struct Recording {
    shared: Arc<Shared>,
}

/// Whether it goes on.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum RecordState {
    /// No engine has been given the recorder.
    NotBegun,
    /// It goes on.
    Recording,
    /// It has ended.
    Ended {
        /// Why.
        why: Stopped,
        /// What the system said, if it could not be written.
        error: Option<String>,
    },
}

impl Recording {
    pub(super) const fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Whether it goes on.
    pub fn state(&self) -> RecordState {
        let end = self.shared.end();
        match end.why {
            Some(why) => RecordState::Ended { why, error: end.error.clone() },
            None if self.bytes() == 0 => RecordState::NotBegun,
            None => RecordState::Recording,
        }
    }

    /// Bytes handed to the writer so far.
    pub fn bytes(&self) -> u64 {
        self.shared.bytes.load(Ordering::Relaxed)
    }

    /// Inputs handed to the writer so far. Those of the last few seconds are still with the recorder.
    pub fn inputs(&self) -> u64 {
        self.shared.inputs.load(Ordering::Relaxed)
    }
}

/// What recorder, writer and whoever watches them have in common.
#[derive(Debug, Default)]
pub(super) struct Shared {
    bytes: AtomicU64,
    inputs: AtomicU64,
    is_over: AtomicBool,
    end: Mutex<End>,
}

#[derive(Debug, Default)]
struct End {
    why: Option<Stopped>,
    error: Option<String>,
}

impl Shared {
    pub(super) fn begin(&self, bytes: u64) {
        self.bytes.store(bytes, Ordering::Relaxed);
    }

    pub(super) fn recorded(&self, inputs: u64, bytes: u64) {
        self.inputs.store(inputs, Ordering::Relaxed);
        self.bytes.store(bytes, Ordering::Relaxed);
    }

    pub(super) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    /// Notes why the recording ends; the first reason is the one.
    pub(super) fn stop(&self, why: Stopped) {
        self.end().why.get_or_insert(why);
        self.is_over.store(true, Ordering::Relaxed);
    }

    fn fail(&self, why: &io::Error) {
        let mut end = self.end();
        end.why = Some(Stopped::Unwritable);
        end.error = Some(why.to_string());
        drop(end);
        self.is_over.store(true, Ordering::Relaxed);
    }

    fn stopped(&self) -> Option<Stopped> {
        self.end().why
    }

    /// Whoever panicked while it was locked has left it whole.
    fn end(&self) -> MutexGuard<'_, End> {
        self.end.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // `run` consumes it: at its end this changes nothing, since an end has been noted.
        self.shared.stop(Stopped::NoWriter);
    }
}
