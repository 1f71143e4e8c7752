//! One question of ours and its answer, over a stream of their own.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use dragnet_core::Failure;
use futures::AsyncWrite;
use libp2p::Stream;
use libp2p::core::upgrade::NegotiationError;

use super::frame::{self, FrameError};
use super::handler::{Ending, Ticket};

/// Writes the question and reads the answer. When that is done its stream is dropped, which resets it unless the
/// remote has ended it.
///
/// A state machine and no `async` block, so that the one allocation for it is its place among the others.
pub(super) struct Exchange {
    ticket: Ticket,
    /// `None` once it has been ended from outside.
    stream: Option<Stream>,
    stage: Stage,
    /// How it has been ended from outside.
    ending: Option<Ending>,
    /// Whom to wake then.
    waker: Option<Waker>,
}

enum Stage {
    Writing { question: Bytes, written: usize, response_bytes_max: usize },
    Reading(frame::Reader),
}

impl Exchange {
    /// Puts a question, without the length before it, over a stream that has just been opened.
    pub(super) fn new(ticket: Ticket, stream: Stream, payload: &[u8], response_bytes_max: usize) -> Self {
        let stage = Stage::Writing { question: frame::encode(payload), written: 0, response_bytes_max };
        Self { ticket, stream: Some(stream), stage, ending: None, waker: None }
    }

    pub(super) const fn ticket(&self) -> Ticket {
        self.ticket
    }

    /// Drops the stream now, and ends in this way.
    pub(super) fn end(&mut self, ending: Ending) {
        if self.stream.take().is_some() {
            self.ending = Some(ending);
            if let Some(waker) = self.waker.take() {
                waker.wake();
            }
        }
    }

    fn poll_stream(stage: &mut Stage, stream: &mut Stream, cx: &mut Context<'_>) -> Poll<Ending> {
        loop {
            match stage {
                Stage::Writing { question, written, response_bytes_max } => {
                    if let Err(error) = ready!(poll_write(stream, question, written, cx)) {
                        tracing::debug!(%error, "question not written");
                        return Poll::Ready(Ending::CutOff { asked: false });
                    }
                    *stage = Stage::Reading(frame::Reader::new(*response_bytes_max));
                }
                Stage::Reading(reader) => {
                    return Poll::Ready(match ready!(reader.poll(stream, cx)) {
                        Ok(answer) => Ending::Answered(answer),
                        Err(error) => {
                            tracing::debug!(%error, "answer not read");
                            unanswered(&error)
                        }
                    });
                }
            }
        }
    }
}

impl Future for Exchange {
    type Output = (Ticket, Ending);

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<(Ticket, Ending)> {
        let this = self.get_mut();
        let ending = match &mut this.stream {
            Some(stream) => match Self::poll_stream(&mut this.stage, stream, cx) {
                Poll::Ready(ending) => ending,
                Poll::Pending => {
                    match &mut this.waker {
                        Some(waker) => waker.clone_from(cx.waker()),
                        None => this.waker = Some(cx.waker().clone()),
                    }
                    return Poll::Pending;
                }
            },
            None => this.ending.take().unwrap_or(Ending::Withdrawn),
        };
        this.stream = None;
        Poll::Ready((this.ticket, ending))
    }
}

/// Writes what is left of the question, and flushes. The write half stays open, so that dropping the stream resets
/// it.
fn poll_write(
    stream: &mut Stream,
    question: &[u8],
    written: &mut usize,
    cx: &mut Context<'_>,
) -> Poll<io::Result<()>> {
    while *written < question.len() {
        match ready!(Pin::new(&mut *stream).poll_write(cx, &question[*written..]))? {
            0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            more => *written += more,
        }
    }
    Pin::new(stream).poll_flush(cx)
}

/// What has become of a request whose answer cannot be read.
fn unanswered(error: &FrameError) -> Ending {
    match error {
        FrameError::Ended => Ending::CutOff { asked: true },
        // In a swarm that negotiates lazily, the question is written before the remote has taken the stream.
        FrameError::Io(error) if is_unsupported(error) => Ending::Failed(Failure::Unsupported),
        FrameError::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            Ending::CutOff { asked: false }
        }
        FrameError::Truncated { .. } | FrameError::Io(_) => Ending::Failed(Failure::Refused),
        FrameError::Length(_) | FrameError::TooLong { .. } => Ending::Failed(Failure::Invalid),
    }
}

/// Whether the remote has said that it does not speak the protocol.
fn is_unsupported(error: &io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<NegotiationError>());
    matches!(inner, Some(NegotiationError::Failed))
}
