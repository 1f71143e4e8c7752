//! TCP on smol's reactor: a libp2p transport without tokio.
//!
//! [`Transport`] implements [`libp2p::core::Transport`] over [`async_io`] and follows the machine's interfaces
//! with [`if_watch`]. It needs no executor: the reactor runs on a thread of its own, and whoever polls the
//! transport and the futures it returns does the rest.
//!
//! What it promises:
//!
//! - Nothing is dialled, not even a socket opened, until the future returned by `dial` is polled.
//! - Only `/ip4/../tcp/..` and `/ip6/../tcp/..` are its addresses, with or without a `/p2p/..` behind, which it
//!   ignores. Everything else, and dialling port 0 or an unspecified address, is refused with
//!   [`TransportError::MultiaddrNotSupported`], so that another transport may try. Names are resolved by the
//!   wrapper in [`crate::dns`].
//! - A listener announces an address (`NewAddress`) before it hands over any connection (`Incoming`). One bound
//!   to `0.0.0.0` or `::` announces each address of the machine's interfaces, of its own IP family only, and
//!   takes it back (`AddressExpired`) when the interface goes.
//! - An IPv6 listener takes no IPv4 connections, so that one of each can share a port.
//! - A port that somebody else listens on is taken. Only one and the same transport may listen on a port twice.
//! - An error while accepting is reported (`ListenerError`), and the listener goes on: at once if only this
//!   connection is lost, after a rest of 100 ms if the system lacks the means, such as open files or memory.
//! - `remove_listener` frees the port at once, and wakes the task that polls the transport to hear of it
//!   (`ListenerClosed`).
//! - A dial with [`PortUse::Reuse`] leaves from the port of a listener of the same family, if there is one, and
//!   from a new port if that one is taken for this remote address.
//!
//! ```
//! use dragnet_libp2p::tcp;
//! use futures::StreamExt;
//! use libp2p::core::{Transport, transport::ListenerId};
//!
//! # smol::block_on(async {
//! let mut transport = tcp::Transport::new(tcp::Config::new()).boxed();
//! transport.listen_on(ListenerId::next(), "/ip4/127.0.0.1/tcp/0".parse()?)?;
//! let address = transport.select_next_some().await.into_new_address().expect("a listener says first where it is");
//! assert!(tcp::socket_address(&address).is_some_and(|address| address.port() != 0));
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```

mod address;
mod config;
mod error;
mod host;
mod listener;
mod socket;
mod stream;

use std::{
    future::Ready,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use futures::{FutureExt, StreamExt, future::BoxFuture, stream::SelectAll};
use libp2p::{
    Multiaddr,
    core::transport::{DialOpts, ListenerId, PortUse, TransportError, TransportEvent},
};

pub use self::{
    address::{multiaddr, socket_address},
    config::Config,
    error::Error,
    stream::Stream,
};
use self::{
    host::Machine,
    listener::Listener,
    socket::{Claim, connect},
};

/// The TCP transport; see the [module](self) for what it promises.
///
/// Dropping it closes its listeners. The connections made through it live on.
#[derive(Default)]
pub struct Transport {
    config: Config,
    listeners: SelectAll<Listener<Machine>>,
    /// Who polled last. `SelectAll::push` does not wake it, so `listen_on` must.
    waker: Option<Waker>,
}

impl Transport {
    /// A transport whose sockets are all set up as `config` says.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self { config, ..Self::default() }
    }
}

impl libp2p::core::Transport for Transport {
    type Output = Stream;
    type Error = Error;
    type ListenerUpgrade = Ready<Result<Stream, Error>>;
    type Dial = BoxFuture<'static, Result<Stream, Error>>;

    fn listen_on(&mut self, id: ListenerId, address: Multiaddr) -> Result<(), TransportError<Error>> {
        let Some(socket_address) = socket_address(&address) else {
            return Err(TransportError::MultiaddrNotSupported(address));
        };
        let is_ours = self.listeners.iter().any(|listener| listener.overlaps(socket_address));
        let claim = if is_ours { Claim::Shared } else { Claim::Exclusive };
        let listener =
            Listener::bind(id, socket_address, claim, &self.config).map_err(TransportError::Other)?;
        self.listeners.push(listener);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
        Ok(())
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        match self.listeners.iter_mut().find(|listener| listener.id() == id) {
            Some(listener) => listener.close(),
            None => false,
        }
    }

    fn dial(&mut self, address: Multiaddr, opts: DialOpts) -> Result<Self::Dial, TransportError<Error>> {
        let remote = match socket_address(&address) {
            Some(remote) if remote.port() != 0 && !remote.ip().is_unspecified() => remote,
            _ => return Err(TransportError::MultiaddrNotSupported(address)),
        };
        let local = match opts.port_use {
            PortUse::Reuse => dial_from(remote, self.listeners.iter().flat_map(Listener::addresses)),
            PortUse::New => None,
        };
        let config = self.config.clone();
        let dial = async move {
            tracing::debug!(%remote, ?local, "dialling");
            connect(&config, remote, local).await.map_err(|source| Error::Dial { address: remote, source })
        };
        Ok(dial.boxed())
    }

    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<TransportEvent<Self::ListenerUpgrade, Error>> {
        match self.listeners.poll_next_unpin(cx) {
            Poll::Ready(Some(event)) => Poll::Ready(event),
            // Without listeners the stream ends, the transport does not: another may come.
            Poll::Ready(None) | Poll::Pending => {
                self.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

/// The local address to dial `remote` from so that it sees the port of a listener: any address, with the port of
/// the first in `listening` of the same family that is on the loopback interface if and only if `remote` is.
fn dial_from(remote: SocketAddr, mut listening: impl Iterator<Item = SocketAddr>) -> Option<SocketAddr> {
    let port = listening.find_map(|local| {
        let is_alike =
            local.is_ipv4() == remote.is_ipv4() && local.ip().is_loopback() == remote.ip().is_loopback();
        is_alike.then_some(local.port())
    })?;
    // The routing table, not the listener, decides which interface leads to the remote address.
    Some(SocketAddr::new(socket::unspecified(remote.ip()), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dial_leaves_from_the_port_of_a_listener_of_its_kind() {
        for (remote, listening, from) in [
            ("127.0.0.1:9", ["10.0.0.1:1", "[::1]:2", "127.0.0.1:3"].as_slice(), Some("0.0.0.0:3")),
            ("10.9.9.9:9", &["127.0.0.1:1", "[fd00::1]:2", "10.0.0.1:3", "10.0.0.2:4"], Some("0.0.0.0:3")),
            ("[::1]:9", &["127.0.0.1:1", "[fd00::1]:2", "[::1]:3"], Some("[::]:3")),
            ("[fd00::9]:9", &["10.0.0.1:1", "[::1]:2", "[fd00::1]:3"], Some("[::]:3")),
            ("10.9.9.9:9", &["127.0.0.1:1", "[fd00::1]:2"], None),
            ("10.9.9.9:9", &[], None),
        ] {
            let listening = listening.iter().map(|address| address.parse().unwrap());
            let from = from.map(|address| address.parse().unwrap());
            assert_eq!(dial_from(remote.parse().unwrap(), listening), from, "{remote}");
        }
    }
}
