//! The flight recorder: what an engine is told, in a compact file, and the same engine again from that file.
//!
//! An engine is a function of its settings, its seed and its inputs: whoever has these has everything it
//! ever said. So a [`Recorder`] writes the inputs down, and a [`Replay`] gives them to an engine again. A bug
//! report is then one file.
//!
//! ```
//! use dragnet_core::record::{RecordConfig, Recorder, Replay};
//! use dragnet_core::{EngineConfig, Output, Query, QueryEngine, Reply, Time};
//! # use dragnet_core::doc::{Book, Library};
//!
//! // Sixteen bytes that nobody else knows.
//! let (recorder, writer) = Recorder::<Library>::new(RecordConfig::default(), [7; 16]);
//! let mut engine = QueryEngine::new(EngineConfig::default(), "me".to_string(), [7; 32]);
//! engine.record(recorder);
//!
//! engine.start(Time::ZERO, Query::new("nets".into()).fetch_from(["ada".to_string()]))?;
//! let Some(Output::Contact { request, .. }) = engine.poll_output() else { panic!() };
//! let book = Book { isbn: 1, title: "Nets".into() };
//! engine.handle_reply(Time::from_millis(80), request, Reply::with_items(vec![book]));
//! drop(engine);
//!
//! // It blocks until the recording ends: a program runs it on a thread, and into a file.
//! let mut file = Vec::new();
//! writer.run(&mut file)?;
//!
//! let mut replay = Replay::open(&file[..])?;
//! assert_eq!(replay.by_ref().filter(|input| input.is_as_recorded).count(), 2);
//! assert_eq!(replay.engine().metrics().results, 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! With the futures front it is [`Driver::record`](crate::front::Driver::record), and the writer runs on a
//! thread of its own, or in the executor's pool for work that blocks.
//!
//! # What it costs
//!
//! The engine's side neither blocks nor waits: it encodes an input into a buffer, and hands a full one to a
//! bounded queue. Without a recorder an input costs two branches more.
//!
//! # What ends it
//!
//! A recording is bounded ([`RecordConfig::bytes_max`]). When the file is as large as it may be, or the writer
//! does not keep up, it pauses after the last whole block, and goes on in another file at the next moment at
//! which no query lives; with one file only ([`two_files`](RecordConfig::two_files)) it ends. It ends too when
//! the disk is full, the writer is gone, or what the engine knows is more than a file may hold.
//! [`Recording::state`] says so, and the engine goes on without it.
//!
//! A block is handed over when it is full, when it is old ([`flush_every`](RecordConfig::flush_every)) and another
//! input comes, when no query lives any more, and when the engine is dropped, by a panic as well. What a
//! program that was killed has left is whole but for the last of these.
//!
//! # What is in the file, and what is not
//!
//! - **Items**: for each a hash of its id and one of the whole of it, and its size. Never what it says. Whether
//!   somebody who has an item can tell that it is in there is a choice: [`Bodies`].
//! - **Requests**: a hash, and their kind. In words only if [`texts`](RecordConfig::texts) is on. But a walk's target is
//!   in the file, since no walk can be repeated without it: whoever guesses the term can hash it and see that
//!   it is that one, as every peer that was asked could.
//! - **Peers**: their keys, and their names unless [`names`](RecordConfig::names) is off. A key is a hash of a name, so whoever
//!   has a list of the network's peers can tell which were asked.
//! - **Times and settings**, and what validators and selectors said, as one of two or three answers each.
//! - **The engine's seed**, or no replay would name its queries alike. A stranger who has it can predict the
//!   engine's hash tables and choose ids that collide: do not give away the recording of an engine that goes on
//!   under the same seed. One that drew it at its start, as `dragnet-libp2p` does by default, has another
//!   after a restart.

mod checkpoint;
mod checksum;
mod frame;
mod judges;
mod known;
mod names;
mod query;
mod reader;
mod recorded;
mod recorder;
mod replay;
mod settings;
mod tag;
mod wire;
mod writer;

use alloc::format;
use alloc::string::String;
use core::hash::{Hash, Hasher};
use core::time::Duration;

pub use reader::{Ending, OpenError};
pub use recorded::{Recorded, RecordedItem, RecordedPeer, RecordedRequest};
pub use recorder::Recorder;
pub use replay::{Head, Input, Replay, Replayed};
pub use writer::{FileWriter, RecordState, Recording, Stopped, WriteError, Writer, Written};

use crate::network::Network;

/// The version of the format that is written and read.
pub const FORMAT: u32 = 1;

/// Says whether a file begins as a recording does: its first eight bytes are enough.
pub fn is_recording(first_bytes: &[u8]) -> bool {
    first_bytes.starts_with(&frame::MAGIC)
}

/// A network whose engines can be recorded.
pub trait Recordable: Network<Peer: Send + Sync> {
    /// What a peer is called by whoever reads the recording.
    fn peer_name(peer: &Self::Peer) -> String {
        format!("{peer:?}")
    }

    /// What kind of request it is, in a word that says nothing of its content: it is always recorded.
    fn request_kind(request: &Self::Request) -> &'static str {
        let _ = request;
        ""
    }

    /// A request in words; recorded only where [`RecordConfig::texts`] says so.
    fn request_text(request: &Self::Request) -> String {
        format!("{request:?}")
    }

    /// Feeds all of a request to a hash. Its own [`Hash`] by default, which will not do where that leaves out
    /// what makes two of them differ.
    fn hash_request<H: Hasher>(request: &Self::Request, state: &mut H) {
        request.hash(state);
    }

    /// Feeds all of an item to a hash, so that two items feed it alike when they are equal, and only then.
    fn hash_item<H: Hasher>(item: &Self::Item, state: &mut H);
}

/// Whether an item can be recognised in a recording by whoever has it already.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[non_exhaustive]
pub enum Bodies {
    /// No: what is in the file tells equal items from others, and nothing else. They are hashed under a key that
    /// is not in the file, and gone with the recorder.
    #[default]
    LeftOut,
    /// Yes: the key is in the file. Whoever has an item, its id or a request can hash it and look whether it is there; so
    /// can whoever guesses it.
    Hashed,
}

/// The settings of a recording.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct RecordConfig {
    /// Bytes of the file at most, or of both together: each takes half of that. 64 MiB.
    ///
    /// It holds for what this recorder writes: an earlier recording that is set aside is as large as it is, until
    /// the next part takes its place.
    pub bytes_max: u64,
    /// Whether the recording goes on in another file when one is nearly half as large as all may be, and the
    /// older of two is thrown away: [`Writer::create`]. Otherwise it ends when the file is as large as it may
    /// be. Yes.
    pub two_files: bool,
    /// Whether items can be recognised. No ([`Bodies::LeftOut`]).
    pub bodies: Bodies,
    /// Whether peers' names are in it, beside their keys. Yes.
    pub names: bool,
    /// Whether requests are in it in words: what was searched for. No.
    pub texts: bool,
    /// A block is handed to the writer when it has so many bytes; 32 MiB at most. 32 KiB.
    pub block_bytes: usize,
    /// A block is handed to the writer at the first input that comes so long after its own first, or as soon as no
    /// query lives. 2 s.
    pub flush_every: Duration,
    /// Blocks that may wait for the writer, at least 2. One more pauses the recording, or ends one that has only
    /// one file. 64.
    pub blocks_waiting_max: usize,
    /// What records, for whoever reads the recording: a program and its version, at most 255 bytes. Empty.
    pub program: String,
    /// The time of [`Time::ZERO`](crate::Time::ZERO), since the Unix epoch, for whoever reads the recording. None.
    pub began: Option<Duration>,
}

impl Default for RecordConfig {
    fn default() -> Self {
        Self {
            bytes_max: 64 << 20,
            two_files: true,
            bodies: Bodies::LeftOut,
            names: true,
            texts: false,
            block_bytes: 32 << 10,
            flush_every: Duration::from_secs(2),
            blocks_waiting_max: 64,
            program: String::new(),
            began: None,
        }
    }
}

impl RecordConfig {
    /// Sets [`bytes_max`](Self::bytes_max).
    #[must_use]
    pub const fn with_bytes_max(mut self, bytes_max: u64) -> Self {
        self.bytes_max = bytes_max;
        self
    }

    /// Sets [`two_files`](Self::two_files).
    #[must_use]
    pub const fn with_two_files(mut self, two_files: bool) -> Self {
        self.two_files = two_files;
        self
    }

    /// Sets [`bodies`](Self::bodies).
    #[must_use]
    pub const fn with_bodies(mut self, bodies: Bodies) -> Self {
        self.bodies = bodies;
        self
    }

    /// Sets [`names`](Self::names).
    #[must_use]
    pub const fn with_names(mut self, names: bool) -> Self {
        self.names = names;
        self
    }

    /// Sets [`texts`](Self::texts).
    #[must_use]
    pub const fn with_texts(mut self, texts: bool) -> Self {
        self.texts = texts;
        self
    }

    /// Sets [`block_bytes`](Self::block_bytes).
    #[must_use]
    pub const fn with_block_bytes(mut self, block_bytes: usize) -> Self {
        self.block_bytes = block_bytes;
        self
    }

    /// Sets [`flush_every`](Self::flush_every).
    #[must_use]
    pub const fn with_flush_every(mut self, flush_every: Duration) -> Self {
        self.flush_every = flush_every;
        self
    }

    /// Sets [`blocks_waiting_max`](Self::blocks_waiting_max).
    #[must_use]
    pub const fn with_blocks_waiting_max(mut self, blocks_waiting_max: usize) -> Self {
        self.blocks_waiting_max = blocks_waiting_max;
        self
    }

    /// Sets [`program`](Self::program).
    #[must_use]
    pub fn with_program(mut self, program: impl Into<String>) -> Self {
        self.program = program.into();
        self
    }

    /// Sets [`began`](Self::began).
    #[must_use]
    pub const fn with_began(mut self, began: Duration) -> Self {
        self.began = Some(began);
        self
    }
}

/// What a network's peers, requests and items count as where outputs are compared.
pub(crate) trait Digests<N: Network> {
    fn peer(&self, peer: &N::Peer) -> u64;
    fn request(&self, request: &N::Request) -> u64;
    fn item(&self, item: &N::Item) -> [u64; 2];
}
