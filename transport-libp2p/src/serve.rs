//! Others' questions, and how the application answers them.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::Stream;
use libp2p::PeerId;

use crate::exchange::{FetchItem, RespondError, Responder};

/// A question that another peer asks by the fetch protocol.
///
/// It may be kept and answered at any time, from any thread, until
/// [`answer_timeout`](crate::exchange::ServeConfig::answer_timeout) has passed. Dropped, it is refused.
#[derive(Debug)]
pub struct Question {
    peer: PeerId,
    question: Bytes,
    items_max: usize,
    responder: Responder,
}

impl Question {
    pub(crate) const fn new(peer: PeerId, question: Bytes, items_max: usize, responder: Responder) -> Self {
        Self { peer, question, items_max, responder }
    }

    /// Who asks.
    pub const fn peer(&self) -> PeerId {
        self.peer
    }

    /// What it asks, in the application's own format: a stranger's bytes, bounded by
    /// [`question_bytes_max`](crate::exchange::FetchConfig::question_bytes_max).
    pub const fn question(&self) -> &Bytes {
        &self.question
    }

    /// How many items are wanted, at least 1.
    pub const fn items_max(&self) -> usize {
        self.items_max
    }

    /// Answers. No items is an answer too. Returns how many items were sent: at most
    /// [`items_max`](Self::items_max), and what fits the protocol's bounds.
    ///
    /// # Errors
    ///
    /// When nobody waits for the answer any more, or it would take more memory than is allowed.
    pub fn answer(self, items: impl IntoIterator<Item = FetchItem>) -> Result<usize, RespondError> {
        self.responder.answer(items)
    }

    /// Refuses it: the asker sees its stream reset. The same as dropping it.
    pub fn refuse(self) {
        drop(self);
    }

    /// Whether nobody waits for the answer any more.
    pub fn is_gone(&self) -> bool {
        self.responder.is_gone()
    }
}

/// The questions of others, as they come. Several of these share them. While there is none, questions
/// are refused at once.
///
/// Ends when the behaviour is gone.
pub struct Questions {
    receiver: Pin<Box<async_channel::Receiver<Question>>>,
    /// How many of these there are.
    live: Arc<AtomicUsize>,
}

impl Questions {
    pub(crate) fn new(receiver: async_channel::Receiver<Question>, live: Arc<AtomicUsize>) -> Self {
        live.fetch_add(1, Ordering::Relaxed);
        Self { receiver: Box::pin(receiver), live }
    }

    /// The next question; `None` when the behaviour is gone.
    pub async fn next(&mut self) -> Option<Question> {
        self.receiver.recv().await.ok()
    }

    /// Answers every question by a function of the question and of how many items are wanted, until the
    /// behaviour is gone. The function should not block.
    pub async fn serve<I>(mut self, mut answer: impl FnMut(&Bytes, usize) -> I)
    where
        I: IntoIterator<Item = FetchItem>,
    {
        while let Some(question) = self.next().await {
            let items = answer(question.question(), question.items_max());
            if question.answer(items).is_err() {
                tracing::trace!("the asker no longer waits");
            }
        }
    }
}

impl Drop for Questions {
    fn drop(&mut self) {
        self.live.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Stream for Questions {
    type Item = Question;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Question>> {
        self.receiver.as_mut().poll_next(cx)
    }
}
