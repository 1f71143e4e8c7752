//! What a listener needs of the machine.

use std::{
    future::Future,
    io,
    net::{SocketAddr, TcpListener, TcpStream},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use async_io::{Async, Timer};
use if_watch::{IfEvent, smol::IfWatcher};

/// What a listener asks of the machine: connections, the interfaces' addresses, and time.
pub(super) trait Host: Unpin {
    /// The next connection, and who it is from.
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<(TcpStream, SocketAddr)>>;

    /// The next change of an interface's address; at first, one for each that is there. Never, if the listener
    /// is bound to one address.
    fn poll_interface(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<IfEvent>>;

    /// Begins a rest of this length.
    fn rest(&mut self, length: Duration);

    /// Ready when the rest is over, and when there is none.
    fn poll_rested(&mut self, cx: &mut Context<'_>) -> Poll<()>;
}

/// The machine as it is.
pub(super) struct Machine {
    socket: Async<TcpListener>,
    interfaces: Option<IfWatcher>,
    rest: Option<Timer>,
}

impl Machine {
    /// This socket, and its interfaces if it is bound to all.
    pub(super) fn new(socket: Async<TcpListener>, interfaces: Option<IfWatcher>) -> Self {
        Self { socket, interfaces, rest: None }
    }
}

impl Host for Machine {
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<(TcpStream, SocketAddr)>> {
        loop {
            match self.socket.get_ref().accept() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return Poll::Ready(result),
            }
            ready!(self.socket.poll_readable(cx))?;
        }
    }

    fn poll_interface(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<IfEvent>> {
        match &mut self.interfaces {
            Some(interfaces) => interfaces.poll_if_event(cx),
            None => Poll::Pending,
        }
    }

    fn rest(&mut self, length: Duration) {
        self.rest = Some(Timer::after(length));
    }

    fn poll_rested(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(rest) = &mut self.rest {
            ready!(Pin::new(rest).poll(cx));
            self.rest = None;
        }
        Poll::Ready(())
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use futures::{
        executor::block_on,
        future::{Either, select},
    };

    use super::*;

    #[test]
    fn the_machine_rests_until_the_time_is_over() {
        let socket = Async::<TcpListener>::bind(([127, 0, 0, 1], 0)).unwrap();
        let mut machine = Machine::new(socket, None);
        block_on(poll_fn(|cx| machine.poll_rested(cx)));
        machine.rest(Duration::from_secs(3600));
        assert!(block_on(poll_fn(|cx| Poll::Ready(machine.poll_rested(cx)))).is_pending());
        machine.rest(Duration::from_millis(1));
        let rested = poll_fn(|cx| machine.poll_rested(cx));
        match block_on(select(rested, Timer::after(Duration::from_secs(60)))) {
            Either::Left(_) => assert!(machine.rest.is_none()),
            Either::Right(_) => panic!("the rest of 1 ms is not over after a minute"),
        }
    }
}
