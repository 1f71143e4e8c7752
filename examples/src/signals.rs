//! Ctrl-C.

use std::io;

use async_signal::{Signal, Signals};
use futures::StreamExt;

/// Listens for Ctrl-C, and on Unix for the signal of `kill`, from now on.
#[derive(Debug)]
pub struct Interrupt(Signals);

impl Interrupt {
    /// # Errors
    ///
    /// When the system does not let us.
    pub fn new() -> io::Result<Self> {
        #[cfg(unix)]
        let signals = Signals::new([Signal::Int, Signal::Term])?;
        #[cfg(not(unix))]
        let signals = Signals::new([Signal::Int])?;
        Ok(Self(signals))
    }

    /// Ready when the signal has come.
    pub async fn wait(&mut self) {
        // Ends only if the system takes the signals away; then there is nothing left to wait for.
        let _signal = self.0.next().await;
    }
}
