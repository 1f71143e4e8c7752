//! The flight recorder of a node, from the command line.

use std::path::PathBuf;

use dragnet_core::record::{RecordConfig, WriteError, Writer};
use dragnet_libp2p::{NodeBuilder, recorder};
use smol::Task;

use crate::cli::RecordArgs;

/// The task that writes a recording, if one was asked for.
pub struct Writing(Option<Task<()>>);

/// A recording that was asked for, and has no file yet.
#[must_use = "nothing is written before it is begun"]
pub struct Wanted(Option<(Writer, PathBuf)>);

/// Has a node recorded, if that was asked for. No file is touched before the node stands: one that cannot
/// start has nothing to record, and the earlier recording may be the one of its crash.
pub fn record(builder: NodeBuilder, args: &RecordArgs) -> (NodeBuilder, Wanted) {
    let Some(path) = &args.record else { return (builder, Wanted(None)) };
    let config = RecordConfig::default()
        .with_bytes_max(args.record_max)
        .with_texts(args.record_words)
        .with_program(concat!("marketplace ", env!("CARGO_PKG_VERSION")));
    let (recorder, writer) = recorder(config);
    (builder.record(recorder), Wanted(Some((writer, path.clone()))))
}

impl Wanted {
    /// Makes the file, and writes what is recorded.
    ///
    /// # Errors
    ///
    /// A file that cannot be made, or that is there and is no recording.
    pub fn begin(self) -> Result<Writing, WriteError> {
        let Some((writer, path)) = self.0 else { return Ok(Writing(None)) };
        let writer = writer.create(&path)?;
        let task = smol::unblock(move || {
            // It is not worth the node that it was to watch.
            if let Err(error) = writer.run() {
                eprintln!("marketplace: {error}");
            }
        });
        Ok(Writing(Some(task)))
    }
}

impl Writing {
    /// Waits until the file is whole, once the node is gone.
    pub async fn finish(self) {
        if let Some(task) = self.0 {
            task.await;
        }
    }
}
