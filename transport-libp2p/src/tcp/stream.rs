//! One connection.

use std::{
    io::{self, IoSlice, IoSliceMut, Read},
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
pub struct Stream {
    socket: Async<TcpStream>,
    /// Whether all that had come has been read. A muxer is polled for each of its streams, and whenever one of
    /// them has something to send, and reads every time: without this, most reads would ask the system in vain.
    drained: bool,
}

impl Stream {
    pub(super) fn new(connection: Async<TcpStream>) -> Self {
        Self { socket: connection, drained: false }
    }

    /// Reads by `read`, which returns how much; `room` is how much it may be. Asks the system only when there may
    /// be something to read.
    fn poll_socket(
        &mut self,
        cx: &mut Context<'_>,
        room: usize,
        mut read: impl FnMut(&mut &TcpStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        if room == 0 {
            // Nothing can be read, and nothing needs to come for that.
            return Poll::Ready(Ok(0));
        }
        loop {
            if self.drained {
                // What has come since counts as well: the reactor looks at the socket anew.
                ready!(self.socket.poll_readable(cx))?;
                self.drained = false;
            }
            match read(&mut self.socket.get_ref()) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.drained = true,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => {
                    // Less than there is room for was all; nothing is the end, which can be read again.
                    self.drained = matches!(result, Ok(read) if (1..room).contains(&read));
                    return Poll::Ready(result);
                }
            }
        }
    }

    /// The address of this side.
    ///
    /// # Errors
    ///
    /// On some systems, if the connection has been reset.
    pub fn local_address(&self) -> io::Result<SocketAddr> {
        self.socket.get_ref().local_addr()
    }

    /// The address of the other side.
    ///
    /// # Errors
    ///
    /// If the connection has been reset.
    pub fn remote_address(&self) -> io::Result<SocketAddr> {
        self.socket.get_ref().peer_addr()
    }
}

/// The socket itself, to look at or set its options. Making it blocking stalls whoever polls the stream.
impl AsRef<TcpStream> for Stream {
    fn as_ref(&self) -> &TcpStream {
        self.socket.get_ref()
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let room = buffer.len();
        self.poll_socket(cx, room, |socket| socket.read(buffer))
    }

    fn poll_read_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        let room = buffers.iter().map(|buffer| buffer.len()).sum();
        self.poll_socket(cx, room, |socket| socket.read_vectored(buffers))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(cx, buffers)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // `Async` only flushes: the socket has to be told that nothing follows.
        ready!(self.as_mut().poll_flush(cx))?;
        match self.socket.get_ref().shutdown(Shutdown::Write) {
            // There is no other side any more, so it is as closed as can be.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Poll::Ready(Ok(())),
            result => Poll::Ready(result),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::TcpListener;

    use futures::AsyncReadExt;
    use futures::future::poll_fn;
    use futures::task::noop_waker_ref;

    use super::*;

    fn pair() -> (Stream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let here = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (Stream::new(Async::new(here).unwrap()), listener.accept().unwrap().0)
    }

    #[test]
    fn a_socket_that_has_been_emptied_is_not_asked_again_before_something_comes() {
        let (mut stream, mut other) = pair();
        let mut asked = 0;
        let mut buffer = [0; 8];
        let mut poll = |cx: &mut Context<'_>, asked: &mut usize| {
            stream.poll_socket(cx, buffer.len(), |socket| {
                *asked += 1;
                socket.read(&mut buffer)
            })
        };
        // Until the first piece is read, and then in vain.
        for piece in [b"a".as_slice(), b"bc"] {
            other.write_all(piece).unwrap();
            let read = smol::block_on(poll_fn(|cx| poll(cx, &mut asked))).unwrap();
            assert_eq!(read, piece.len());
            let before = asked;
            for _ in 0..9 {
                assert!(poll(&mut Context::from_waker(noop_waker_ref()), &mut asked).is_pending());
            }
            assert_eq!(asked, before);
        }
    }

    #[test]
    fn pieces_shorter_longer_and_as_long_as_the_buffer_are_all_read_and_the_end_too() {
        smol::block_on(async {
            let (mut stream, mut other) = pair();
            for size in [1, 7, 8, 9, 16, 17] {
                other.write_all(&vec![1; size]).unwrap();
                let mut left = size;
                while left > 0 {
                    left -= stream.read(&mut [0; 8]).await.unwrap();
                }
            }
            drop(other);
            for _ in 0..2 {
                assert_eq!(stream.read(&mut [0; 8]).await.unwrap(), 0);
            }
        });
    }
}
