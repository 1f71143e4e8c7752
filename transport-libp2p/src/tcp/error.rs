//! What can go wrong.

use std::{io, net::SocketAddr};

/// What went wrong with a socket, and where. The system's reason is its source.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No listener could be bound; for instance, the port is taken.
    #[error("cannot listen on {address}")]
    Listen {
        /// Where it should have listened.
        address: SocketAddr,
        /// The system's reason.
        source: io::Error,
    },
    /// The interfaces of a listener on all interfaces cannot be watched. Returned by `listen_on`, there is no
    /// listener. Reported by a listener, it goes on with the addresses it has announced.
    #[error("cannot watch the interfaces to listen on for {address}")]
    Interfaces {
        /// The unspecified address that stands for all interfaces.
        address: SocketAddr,
        /// The system's reason.
        source: io::Error,
    },
    /// A connection could not be accepted. The listener goes on: at once if it failed by itself, as when the
    /// remote side has given up already, after a rest of 100 ms if there are too many open files or too little
    /// memory.
    #[error("cannot accept a connection on {address}")]
    Accept {
        /// Where the listener is bound.
        address: SocketAddr,
        /// The system's reason.
        source: io::Error,
    },
    /// A connection was accepted, but its socket could not be set up; for instance, the remote side has closed
    /// it already. Only this connection is lost.
    #[error("cannot set up the connection accepted from {remote}")]
    SetUp {
        /// Whose connection it was.
        remote: SocketAddr,
        /// The system's reason.
        source: io::Error,
    },
    /// No connection could be made; for instance, it was refused.
    #[error("cannot dial {address}")]
    Dial {
        /// Where it should have led.
        address: SocketAddr,
        /// The system's reason.
        source: io::Error,
    },
}
