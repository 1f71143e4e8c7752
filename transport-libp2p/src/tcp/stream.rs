//! One connection.

use std::{
    io::{self, IoSlice, IoSliceMut},
    net::{Shutdown, SocketAddr, TcpStream},
    pin::Pin,
    task::{Context, Poll, ready},
};

use async_io::Async;
use futures::{AsyncRead, AsyncWrite};

/// A TCP connection on smol's reactor.
///
/// One task may read while another writes (see [`futures::AsyncReadExt::split`]). Closing it ends the sending
/// side only: the remote side reads the end, and may still send. Dropping it closes both.
#[derive(Debug)]
pub struct Stream(Async<TcpStream>);

impl Stream {
    pub(super) fn new(connection: Async<TcpStream>) -> Self {
        Self(connection)
    }

    /// The address of this side.
    ///
    /// # Errors
    ///
    /// On some systems, if the connection has been reset.
    pub fn local_address(&self) -> io::Result<SocketAddr> {
        self.0.get_ref().local_addr()
    }

    /// The address of the other side.
    ///
    /// # Errors
    ///
    /// If the connection has been reset.
    pub fn remote_address(&self) -> io::Result<SocketAddr> {
        self.0.get_ref().peer_addr()
    }
}

/// The socket itself, to look at or set its options. Making it blocking stalls whoever polls the stream.
impl AsRef<TcpStream> for Stream {
    fn as_ref(&self) -> &TcpStream {
        self.0.get_ref()
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }

    fn poll_read_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_read_vectored(cx, buffers)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, buffers)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // `Async` only flushes: the socket has to be told that nothing follows.
        ready!(self.as_mut().poll_flush(cx))?;
        match self.0.get_ref().shutdown(Shutdown::Write) {
            // There is no other side any more, so it is as closed as can be.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Poll::Ready(Ok(())),
            result => Poll::Ready(result),
        }
    }
}
