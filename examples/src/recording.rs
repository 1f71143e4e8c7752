//! The flight recorder of a node, from the command line.

use dragnet_core::record::{RecordConfig, WriteError};
use dragnet_libp2p::{NodeBuilder, recorder};
use smol::Task;

use crate::cli::RecordArgs;

/// The task that writes a recording, if one was asked for.
pub struct Writing(Option<Task<()>>);

/// Has a node recorded, if that was asked for.
///
/// # Errors
///
/// A file that cannot be made, or that is there and is no recording.
pub fn record(builder: NodeBuilder, args: &RecordArgs) -> Result<(NodeBuilder, Writing), WriteError> {
    let Some(path) = &args.record else { return Ok((builder, Writing(None))) };
    let config = RecordConfig::default()
        .with_bytes_max(args.record_max)
        .with_texts(args.record_words)
        .with_program(concat!("marketplace ", env!("CARGO_PKG_VERSION")));
    let (recorder, writer) = recorder(config);
    let writer = writer.create(path)?;
    let task = smol::unblock(move || {
        // It is not worth the node that it was to watch.
        if let Err(error) = writer.run() {
            eprintln!("marketplace: {error}");
        }
    });
    Ok((builder.record(recorder), Writing(Some(task))))
}

impl Writing {
    /// Waits until the file is whole, once the node is gone.
    pub async fn finish(self) {
        if let Some(task) = self.0 {
            task.await;
        }
    }
}
