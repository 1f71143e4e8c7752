//! Yamux frames of one moment, encrypted and sent together.
//!
//! Yamux flushes after every frame, so that each is a message of noise, a system call and a packet of its own: the
//! negotiation of a stream, the question on it, and its reset; and so on for each of the streams that are busy at
//! the same moment. It always reads when it has no more to write, and that is when all is sent here.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures::future::Ready;
use futures::{AsyncRead, AsyncWrite};
use libp2p::core::UpgradeInfo;
use libp2p::core::upgrade::{InboundConnectionUpgrade, OutboundConnectionUpgrade};
use libp2p::yamux;

/// Yamux over a connection that gathers what it writes.
#[derive(Clone, Default)]
pub(crate) struct Batching(yamux::Config);

/// A connection whose first flush after a write is put off: until the next read, or to the next flush, for which
/// the task is woken at once.
pub(crate) struct Batched<C> {
    inner: C,
    /// Whether something was written that has not been flushed.
    written: bool,
    /// Whether a flush was asked for since.
    put_off: bool,
}

impl UpgradeInfo for Batching {
    type Info = <yamux::Config as UpgradeInfo>::Info;
    type InfoIter = <yamux::Config as UpgradeInfo>::InfoIter;

    fn protocol_info(&self) -> Self::InfoIter {
        self.0.protocol_info()
    }
}

impl<C> InboundConnectionUpgrade<C> for Batching
where
    C: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    type Output = yamux::Muxer<Batched<C>>;
    type Error = io::Error;
    type Future = Ready<io::Result<Self::Output>>;

    fn upgrade_inbound(self, connection: C, info: Self::Info) -> Self::Future {
        self.0.upgrade_inbound(Batched::new(connection), info)
    }
}

impl<C> OutboundConnectionUpgrade<C> for Batching
where
    C: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    type Output = yamux::Muxer<Batched<C>>;
    type Error = io::Error;
    type Future = Ready<io::Result<Self::Output>>;

    fn upgrade_outbound(self, connection: C, info: Self::Info) -> Self::Future {
        self.0.upgrade_outbound(Batched::new(connection), info)
    }
}

impl<C> Batched<C> {
    const fn new(inner: C) -> Self {
        Self { inner, written: false, put_off: false }
    }
}

impl<C: AsyncWrite + Unpin> Batched<C> {
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.written {
            ready!(Pin::new(&mut self.inner).poll_flush(cx))?;
            self.written = false;
        }
        Poll::Ready(Ok(()))
    }
}

impl<C: AsyncRead + AsyncWrite + Unpin> AsyncRead for Batched<C> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        // What cannot be sent now, because the other side does not read, must not keep this one from reading.
        let _ = self.poll_send(cx)?;
        Pin::new(&mut self.inner).poll_read(cx, buffer)
    }
}

impl<C: AsyncWrite + Unpin> AsyncWrite for Batched<C> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.written = true;
        self.put_off = false;
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.written && !self.put_off {
            self.put_off = true;
            // Should nobody read: nothing may wait for ever.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.poll_send(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(cx))?;
        Pin::new(&mut self.inner).poll_close(cx)
    }
}

#[cfg(test)]
mod tests {
    use futures::AsyncWriteExt;
    use futures::executor::block_on;
    use futures::task::noop_waker_ref;

    use super::*;

    /// Remembers what each flush has sent, and has nothing to read.
    #[derive(Default)]
    struct Wire {
        buffered: Vec<u8>,
        sent: Vec<Vec<u8>>,
        is_closed: bool,
    }

    impl AsyncRead for Wire {
        fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut [u8]) -> Poll<io::Result<usize>> {
            Poll::Pending
        }
    }

    impl AsyncWrite for Wire {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.buffered.extend(bytes);
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            let batch = std::mem::take(&mut self.buffered);
            self.sent.push(batch);
            Poll::Ready(Ok(()))
        }

        fn poll_close(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.is_closed = true;
            Poll::Ready(Ok(()))
        }
    }

    #[test]
    fn frames_that_are_flushed_one_by_one_are_sent_together_when_there_is_nothing_more_to_write() {
        let mut cx = Context::from_waker(noop_waker_ref());
        let mut connection = Batched::new(Wire::default());
        for frame in [b"negotiation".as_slice(), b"question", b"reset"] {
            block_on(connection.write_all(frame)).unwrap();
            assert!(Pin::new(&mut connection).poll_flush(&mut cx).is_pending());
        }
        assert!(connection.inner.sent.is_empty());
        for _ in 0..3 {
            assert!(Pin::new(&mut connection).poll_read(&mut cx, &mut [0]).is_pending());
            assert_eq!(connection.inner.sent, [b"negotiationquestionreset"], "and nothing is sent twice");
            assert!(Pin::new(&mut connection).poll_flush(&mut cx).is_ready());
        }
    }

    #[test]
    fn who_flushes_and_does_not_read_is_woken_and_gets_it_done() {
        let mut connection = Batched::new(Wire::default());
        for sent in 1..3 {
            block_on(connection.write_all(b"frame")).unwrap();
            // Polled again only when woken.
            block_on(connection.flush()).unwrap();
            assert_eq!(connection.inner.sent.len(), sent);
        }
    }

    #[test]
    fn nothing_that_was_written_is_lost_by_closing() {
        let mut connection = Batched::new(Wire::default());
        block_on(connection.write_all(b"last words")).unwrap();
        block_on(connection.close()).unwrap();
        assert_eq!(connection.inner.sent, [b"last words"]);
        assert!(connection.inner.is_closed);
    }
}
