//! Questions of others: reading them, and answering from any thread.

use super::FetchItem;

/// Answers one question, from any thread. Dropped, it resets the stream, and the asker learns that it
/// was refused.
#[derive(Debug)]
pub struct Responder {}

/// The asker no longer waits: it withdrew, the connection closed, or the time to answer has passed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the asker no longer waits for an answer")]
pub struct AskerGone;

impl Responder {
    /// Answers with as many of the items, from the first, as the question asks for and the protocol's
    /// bounds allow; an item without an id or over a bound is left out. No item is an answer too.
    ///
    /// Returns how many items the answer has.
    ///
    /// # Errors
    ///
    /// When nobody waits for it any more.
    pub fn answer(self, items: impl IntoIterator<Item = FetchItem>) -> Result<usize, AskerGone> {
        let _ = items;
        todo!()
    }

    /// Whether the asker no longer waits, so that the work for an answer can be spared.
    pub fn is_gone(&self) -> bool {
        todo!()
    }
}
