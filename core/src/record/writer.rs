//! The side that writes: blocks from a queue to a file, wherever the user runs it.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::frame::{self, Kind};
use super::reader::{Blocks, Ending};

/// Brings what a [`Recorder`](super::Recorder) hands over to a file. It blocks, on the file and on the queue,
/// and so it belongs where blocking is allowed: on a thread of its own, or in a pool for such work.
///
/// The recorder never waits for it. One that falls behind by more blocks than
/// [`blocks_waiting_max`](super::RecordConfig::blocks_waiting_max) pauses the recording, or ends it where that has
/// only [one file](super::RecordConfig::two_files); one that fails or is dropped ends it. The engine goes on.
#[derive(Debug)]
#[must_use = "nothing is written unless the writer is run"]
pub struct Writer {
    messages: Receiver<Message>,
    shared: Arc<Shared>,
}

/// What has been written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Written {
    /// Bytes of the file.
    pub bytes: u64,
    /// Why the recording ended, in its last file.
    pub end: Stopped,
}

/// Why a recording, or one file of it, ended.
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
    /// It goes on in another file, and nothing is missing between them.
    GoesOn,
    /// What the engine knows, or what it was told at once, is more than a file may hold
    /// ([`bytes_max`](super::RecordConfig::bytes_max)), or a block of it (64 MiB).
    TooLarge,
}

impl Stopped {
    /// Whether the engine went on without being recorded: what it was told after that is missing.
    pub const fn is_early(self) -> bool {
        !matches!(self, Self::Finished | Self::GoesOn)
    }

    pub(super) const ALL: [Self; 7] = [
        Self::Finished,
        Self::Full,
        Self::Behind,
        Self::NoWriter,
        Self::Unwritable,
        Self::GoesOn,
        Self::TooLarge,
    ];
}

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Finished => "finished",
            Self::Full => "the file is as large as it may be",
            Self::Behind => "the writer did not keep up",
            Self::NoWriter => "the writer is gone",
            Self::Unwritable => "the file could not be written",
            Self::GoesOn => "it goes on in another file",
            Self::TooLarge => "what the engine knows is more than the file may hold",
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

/// What the recorder hands over.
#[derive(Debug)]
pub(super) enum Message {
    /// More of the file.
    Block(Vec<u8>),
    /// The file ends here, for this reason, and another one begins with these bytes.
    Next(Stopped, Vec<u8>),
}

/// Where a recording goes.
trait Sink {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Begins another file; false if there can be none.
    fn next(&mut self) -> io::Result<bool>;
}

impl Writer {
    pub(super) const fn new(messages: Receiver<Message>, shared: Arc<Shared>) -> Self {
        Self { messages, shared }
    }

    /// Writes until the recording ends, which is when its engine or driver is dropped or stops it. It cannot
    /// go on in another file: when one that may have [two](super::RecordConfig::two_files) would, it ends.
    ///
    /// # Errors
    ///
    /// [`WriteError`] as soon as something cannot be written. The recording ends with it.
    pub fn run(self, out: impl Write) -> Result<Written, WriteError> {
        let mut bytes = 0;
        let end = self.write(&mut Stream(out), &mut bytes);
        let end = end.map_err(|why| WriteError { path: None, bytes, why })?;
        Ok(Written { bytes, end })
    }

    /// Makes the file that the recording goes to, for nobody but its owner to read; then [`FileWriter::run`] writes
    /// it. What was there before is set aside, if it is a recording: `FILE` becomes `FILE.1`. One without any input
    /// is removed instead.
    ///
    /// So does a recording that goes on in another file ([`two_files`](super::RecordConfig::two_files)): the newest
    /// part is always at `path`, the one before it at `path` with `.1`, and older ones are gone. Each replays by
    /// itself.
    ///
    /// # Errors
    ///
    /// [`WriteError`], with the path: a file is there, or in the place of `FILE.1`, that is no recording, or it cannot
    /// be made. The recording ends with it.
    pub fn create(self, path: &Path) -> Result<FileWriter, WriteError> {
        let files = check_aside(path).and_then(|_| set_aside(path)).and_then(|()| Files::create(path));
        match files {
            Ok(files) => Ok(FileWriter { writer: self, files }),
            Err(why) => {
                self.shared.fail(&why);
                Err(WriteError { path: Some(path.to_owned()), bytes: 0, why })
            }
        }
    }

    /// Takes messages until there are no more. `bytes` of the file are whole at any time.
    fn write(&self, sink: &mut impl Sink, bytes: &mut u64) -> io::Result<Stopped> {
        let written = self.take_messages(sink, bytes);
        written.inspect_err(|why| self.shared.fail(why))
    }

    fn take_messages(&self, sink: &mut impl Sink, bytes: &mut u64) -> io::Result<Stopped> {
        while let Ok(message) = self.messages.recv() {
            self.shared.taken();
            let block = match message {
                Message::Block(block) => block,
                Message::Next(why, block) => {
                    put(sink, &last_block(why), bytes)?;
                    if !sink.next()? {
                        self.shared.stop(Stopped::Full);
                        return Ok(why);
                    }
                    *bytes = 0;
                    block
                }
            };
            put(sink, &block, bytes)?;
        }
        let end = self.shared.stopped().unwrap_or(Stopped::Finished);
        // What has not begun has no end either: nobody would know the file for a recording.
        if *bytes > 0 {
            put(sink, &last_block(end), bytes)?;
        }
        Ok(end)
    }
}

/// A [`Writer`] that has made its file.
#[derive(Debug)]
#[must_use = "nothing is written unless the writer is run"]
pub struct FileWriter {
    writer: Writer,
    files: Files,
}

impl FileWriter {
    /// Writes until the recording ends, as [`Writer::run`] does. When the disk is full, what was written of a block
    /// is taken away again, so that the file is whole as far as it goes.
    ///
    /// # Errors
    ///
    /// [`WriteError`], with the path, as soon as something cannot be written. The recording ends with it.
    pub fn run(self) -> Result<Written, WriteError> {
        let (Self { writer, mut files }, mut bytes) = (self, 0);
        match writer.write(&mut files, &mut bytes) {
            Ok(end) => {
                // What cannot be synchronised is written all the same.
                let _ = files.file.sync_all();
                Ok(Written { bytes, end })
            }
            Err(why) => {
                cut_back(&mut files.file, bytes);
                Err(WriteError { path: Some(files.path), bytes, why })
            }
        }
    }
}

fn put(sink: &mut impl Sink, block: &[u8], bytes: &mut u64) -> io::Result<()> {
    sink.put(block)?;
    *bytes += block.len() as u64;
    Ok(())
}

struct Stream<W>(W);

impl<W: Write> Sink for Stream<W> {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes).and_then(|()| self.0.flush())
    }

    fn next(&mut self) -> io::Result<bool> {
        Ok(false)
    }
}

#[derive(Debug)]
struct Files {
    file: File,
    path: PathBuf,
}

impl Files {
    fn create(path: &Path) -> io::Result<Self> {
        Ok(Self { file: create_private(path)?, path: path.to_owned() })
    }
}

impl Sink for Files {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)
    }

    fn next(&mut self) -> io::Result<bool> {
        set_aside(&self.path)?;
        self.file = create_private(&self.path)?;
        Ok(true)
    }
}

/// Moves an earlier recording out of the way.
fn set_aside(path: &Path) -> io::Result<()> {
    let mut earlier = match File::open(path) {
        // A pipe or a device is written to as it is.
        Ok(file) if file.metadata()?.is_file() => file,
        Ok(_) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let mut first = Vec::new();
    (&mut earlier).take(frame::MAGIC.len() as u64).read_to_end(&mut first)?;
    if !first.is_empty() && !super::is_recording(&first) {
        return Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "the file that is there is not a recording",
        ));
    }
    earlier.rewind()?;
    // One that says nothing does not take the place of one that does.
    if first.is_empty() || !holds_inputs(earlier) {
        return std::fs::remove_file(path);
    }
    std::fs::rename(path, check_aside(path)?)
}

/// Whether there may be anything to replay.
fn holds_inputs(file: File) -> bool {
    let Ok(mut blocks) = Blocks::open(file) else { return true };
    loop {
        match blocks.next() {
            Ok((Kind::Head, _)) => {}
            Ok((Kind::End, _)) | Err(Ending::CutOff { .. }) => return false,
            Ok((Kind::Inputs, _)) | Err(_) => return true,
        }
    }
}

/// Where an earlier recording goes; what is there is replaced, and so it has to be a recording too.
fn check_aside(path: &Path) -> io::Result<PathBuf> {
    let mut aside = path.to_owned().into_os_string();
    aside.push(".1");
    let aside = PathBuf::from(aside);
    let mut first = Vec::new();
    match File::open(&aside) {
        Ok(file) => file.take(frame::MAGIC.len() as u64).read_to_end(&mut first)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(aside),
        Err(error) => return Err(error),
    };
    if first.is_empty() || super::is_recording(&first) {
        return Ok(aside);
    }
    let what = "is in the place of the older part, and is not a recording: move it away";
    Err(io::Error::new(io::ErrorKind::AlreadyExists, std::format!("{} {what}", aside.display())))
}

/// Makes a file that nobody but its owner reads: the engine's seed is in it.
fn create_private(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
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
    /// No engine has been given the recorder, or queries live in it that began before.
    NotBegun,
    /// It goes on.
    Recording,
    /// Nothing is recorded until the next moment at which no query lives: then it goes on in another file.
    Paused {
        /// Why.
        why: Stopped,
    },
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
            None if let Some(why) = end.paused => RecordState::Paused { why },
            None if self.bytes() == 0 => RecordState::NotBegun,
            None => RecordState::Recording,
        }
    }

    /// How often inputs are missing between one file and the next: the recording was paused.
    pub fn gaps(&self) -> u64 {
        self.shared.gaps.load(Ordering::Relaxed)
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
    gaps: AtomicU64,
    /// Messages that wait for the writer.
    waiting: AtomicUsize,
    is_over: AtomicBool,
    end: Mutex<End>,
}

#[derive(Debug, Default)]
struct End {
    why: Option<Stopped>,
    paused: Option<Stopped>,
    error: Option<String>,
}

impl Shared {
    pub(super) fn handed_over(&self, inputs: u64, bytes: u64) {
        self.inputs.fetch_add(inputs, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn sent(&self) {
        self.waiting.fetch_add(1, Ordering::Relaxed);
    }

    fn taken(&self) {
        self.waiting.fetch_sub(1, Ordering::Relaxed);
    }

    /// Wraps for a moment if the writer takes a message before it has been counted.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    pub(super) fn pause(&self, why: Stopped) {
        self.end().paused = Some(why);
        self.gaps.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn go_on(&self) {
        self.end().paused = None;
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

    pub(super) fn paused(&self) -> Option<Stopped> {
        self.end().paused
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
