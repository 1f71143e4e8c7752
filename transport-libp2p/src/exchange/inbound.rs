//! Questions of others: reading them, and answering from any thread.

use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::channel::oneshot;
use futures::future::{BoxFuture, Either, select};
use futures::stream::FuturesUnordered;
use futures::{AsyncRead, AsyncWrite, AsyncWriteExt, FutureExt, StreamExt};
use futures_timer::Delay;
use libp2p::Stream;

use super::{FetchConfig, FetchItem, ServeConfig, frame};

/// Answers one question, from any thread. Dropped, it resets the stream, and the asker learns that it
/// was refused.
#[derive(Debug)]
pub struct Responder {
    server: Arc<Server>,
    items_max: usize,
    answer: oneshot::Sender<Answer>,
}

/// Why an answer was not sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RespondError {
    /// The asker withdrew, the connection closed, or the time to answer has passed.
    #[error("the asker no longer waits for an answer")]
    AskerGone,
    /// Open questions and answers take too much already; the question is refused.
    #[error("an answer of {bytes} bytes does not fit: all that are open may take {max} together")]
    Full {
        /// The length of the answer.
        bytes: usize,
        /// What all may take: [`ServeConfig::bytes_max`].
        max: usize,
    },
}

impl Responder {
    /// Answers with as many of the items, from the first, as the question asks for and the protocol's
    /// bounds allow; an item without an id or over a bound is left out. No item is an answer too.
    ///
    /// Returns how many items the answer has.
    ///
    /// # Errors
    ///
    /// When nobody waits for it any more, or the answer would take more memory than is allowed.
    pub fn answer(self, items: impl IntoIterator<Item = FetchItem>) -> Result<usize, RespondError> {
        let (answer, count) = self.server.fetch.encode_answer(items, self.items_max);
        let bytes = answer.len();
        let Some(hold) = self.server.hold(bytes) else {
            return Err(RespondError::Full { bytes, max: self.server.serve.bytes_max });
        };
        let answer = Answer { frame: frame::encode(&answer), _hold: hold };
        self.answer.send(answer).map_err(|_| RespondError::AskerGone)?;
        Ok(count)
    }

    /// Whether the asker no longer waits, so that the work for an answer can be spared.
    pub fn is_gone(&self) -> bool {
        self.answer.is_canceled()
    }

    /// Waits until the asker no longer does, which is after the time to answer at the latest: to be
    /// raced with long work for an answer.
    pub async fn gone(&mut self) {
        self.answer.cancellation().await;
    }
}

/// What all connections of one behaviour share: the settings, and the memory in use.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) fetch: FetchConfig,
    pub(super) serve: ServeConfig,
    bytes: AtomicUsize,
}

impl Server {
    pub(super) fn new(fetch: FetchConfig, serve: ServeConfig) -> Self {
        Self { fetch, serve, bytes: AtomicUsize::new(0) }
    }

    /// Sets `bytes` of the allowance aside, if there are as many.
    fn hold(self: &Arc<Self>, bytes: usize) -> Option<Hold> {
        let add = |held: usize| held.checked_add(bytes).filter(|&sum| sum <= self.serve.bytes_max);
        self.bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).ok()?;
        Some(Hold { server: Arc::clone(self), bytes })
    }
}

/// A part of the allowance, returned when it is dropped.
#[derive(Debug)]
struct Hold {
    server: Arc<Server>,
    bytes: usize,
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.server.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// A framed answer on its way from the application to its stream.
#[derive(Debug)]
struct Answer {
    frame: Bytes,
    _hold: Hold,
}

/// A question, and how to answer it.
#[derive(Debug)]
pub struct Question {
    pub(super) question: Bytes,
    pub(super) items_max: usize,
    pub(super) responder: Responder,
}

/// The questions of one connection.
#[derive(Debug)]
pub(super) struct Inbound {
    server: Arc<Server>,
    open: FuturesUnordered<BoxFuture<'static, Option<Asked>>>,
}

/// A question that has been read, and its stream.
struct Asked {
    stream: Stream,
    question: Bytes,
    items_max: usize,
    hold: Hold,
}

impl Inbound {
    pub(super) fn new(server: Arc<Server>) -> Self {
        Self { server, open: FuturesUnordered::new() }
    }

    pub(super) fn server(&self) -> &Server {
        &self.server
    }

    /// Begins to read a question, or drops the stream, which resets it, when there are too many.
    pub(super) fn accept(&self, stream: Stream) {
        if self.open.len() >= self.server.serve.in_flight_max {
            tracing::debug!(max = self.server.serve.in_flight_max, "question refused: too many are open");
            return;
        }
        let Some(hold) = self.server.hold(self.server.fetch.request_bytes_max()) else {
            tracing::debug!(max = self.server.serve.bytes_max, "question refused: no memory is left for it");
            return;
        };
        self.open.push(read_question(Arc::clone(&self.server), stream, hold).boxed());
    }

    /// The next question.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Question> {
        while let Poll::Ready(Some(done)) = self.open.poll_next_unpin(cx) {
            let Some(Asked { stream, question, items_max, hold }) = done else { continue };
            let (sender, receiver) = oneshot::channel();
            self.open.push(write_answer(Arc::clone(&self.server), stream, receiver, hold).boxed());
            let responder = Responder { server: Arc::clone(&self.server), items_max, answer: sender };
            return Poll::Ready(Question { question, items_max, responder });
        }
        Poll::Pending
    }
}

async fn read_question(server: Arc<Server>, mut stream: Stream, hold: Hold) -> Option<Asked> {
    let request = {
        let read = pin!(frame::read(&mut stream, server.fetch.request_bytes_max()));
        match select(read, Delay::new(server.serve.question_timeout)).await {
            Either::Left((Ok(request), _)) => request,
            Either::Left((Err(error), _)) => {
                tracing::debug!(%error, "question not read");
                return None;
            }
            Either::Right(_) => {
                tracing::debug!(timeout = ?server.serve.question_timeout, "question not sent in time");
                return None;
            }
        }
    };
    match server.fetch.decode_question(&request) {
        Ok((question, items_max)) => Some(Asked { stream, question, items_max, hold }),
        Err(error) => {
            tracing::debug!(%error, "question not understood");
            None
        }
    }
}

/// Waits for the answer and writes it. Whatever goes wrong, the stream is dropped, and so reset.
async fn write_answer(
    server: Arc<Server>,
    mut stream: Stream,
    mut answer: oneshot::Receiver<Answer>,
    hold: Hold,
) -> Option<Asked> {
    let _hold = hold;
    let waiting = pin!(select(&mut answer, Withdrawn { stream: &mut stream, half_closed: false }));
    let answer = match select(waiting, Delay::new(server.serve.answer_timeout)).await {
        Either::Left((Either::Left((answer, _)), _)) => answer.ok()?,
        Either::Left((Either::Right(_), _)) => {
            tracing::debug!("the asker withdrew its question");
            return None;
        }
        Either::Right(_) => {
            tracing::debug!(timeout = ?server.serve.answer_timeout, "question not answered in time");
            return None;
        }
    };
    let write = pin!(async {
        stream.write_all(&answer.frame).await?;
        stream.flush().await?;
        // An orderly end, so that no implementation takes the answer for cut off.
        stream.close().await
    });
    match select(write, Delay::new(server.serve.answer_timeout)).await {
        Either::Left((Ok(()), _)) => {}
        Either::Left((Err(error), _)) => tracing::debug!(%error, "answer not written"),
        Either::Right(_) => {
            tracing::debug!(timeout = ?server.serve.answer_timeout, "answer not read in time");
        }
    }
    None
}

/// Resolves when the asker has reset its stream. Having asked, it has no more to say: more bytes are
/// taken for a reset too, unless a few came along with a short question; but it may close its half and wait.
struct Withdrawn<'a> {
    stream: &'a mut Stream,
    half_closed: bool,
}

impl Future for Withdrawn<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.half_closed {
            return Poll::Pending;
        }
        let mut byte = [0];
        match Pin::new(&mut *self.stream).poll_read(cx, &mut byte) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Ok(0)) => {}
            Poll::Ready(_) => return Poll::Ready(()),
        }
        // Yamux reports an end alike whether the asker closed its half or reset the stream; only in the
        // latter case is there nobody to write to.
        match probe(&mut *self.stream, cx) {
            Poll::Ready(Err(_)) => Poll::Ready(()),
            Poll::Ready(Ok(_)) => {
                self.half_closed = true;
                Poll::Pending
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

fn probe(stream: &mut Stream, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
    Pin::new(stream).poll_write(cx, &[])
}
