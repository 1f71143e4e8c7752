//! What can go wrong, one small enum per concern.

use std::fmt;
use std::io;

use libp2p::{Multiaddr, PeerId, TransportError};

/// Why something was not published.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// So many commands wait for the behaviour, or so many puts for their turn.
    #[error("busy: {max} commands or puts wait; try again when some have ended")]
    Busy {
        /// How many may wait.
        max: usize,
    },
    /// The local store takes no more.
    #[error("the local store holds {max} {what}, and no more: raise `Config::store` or publish less")]
    StoreFull {
        /// What it is full of.
        what: &'static str,
        /// How many it takes.
        max: usize,
    },
    /// The value is too large for the store.
    #[error(
        "the value has {bytes} bytes, and at most {max} may be stored: raise `StoreLimits::value_bytes_max`"
    )]
    ValueTooLarge {
        /// Its size.
        bytes: usize,
        /// The largest that is taken.
        max: usize,
    },
    /// The key is too long for the store, and for those of others.
    #[error("the key has {bytes} bytes, and at most {max} may be stored: publish under a hash of it")]
    KeyTooLong {
        /// Its length.
        bytes: usize,
        /// The longest that is taken.
        max: usize,
    },
    /// Nobody is there to store it. It is in the local store, and is published once
    /// somebody comes.
    #[error("no peer of the DHT answered, so it is stored here alone: bootstrap first")]
    NoPeers,
    /// The lookup of the closest peers took longer than `Config::lookup_timeout`.
    #[error("the closest peers were not found in time")]
    TimedOut,
    /// The behaviour is gone.
    #[error("the node is shut down: start a new one")]
    ShutDown,
}

/// Why no peer could be reached.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BootstrapError {
    /// There is nobody to ask.
    #[error("no address of a peer is known: add one with `boot` or `add_address`")]
    NoAddresses,
    /// All addresses failed.
    #[error("no peer answered: {}", Listed(.0))]
    NoAnswer(
        /// What became of each address.
        Vec<AddressFailure>,
    ),
    /// The command queue is full.
    #[error("busy: too many commands wait for the behaviour; try again when it has been polled")]
    Busy,
    /// The behaviour is gone.
    #[error("the node is shut down: start a new one")]
    ShutDown,
}

/// Why one address was of no use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{address}: {reason}")]
pub struct AddressFailure {
    /// Who was expected there.
    pub peer: PeerId,
    /// Where.
    pub address: Multiaddr,
    /// What happened.
    pub reason: String,
}

struct Listed<'a>(&'a [AddressFailure]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, failure) in self.0.iter().enumerate() {
            write!(f, "{}{failure}", if index == 0 { "" } else { "; " })?;
        }
        Ok(())
    }
}

/// Why a node is not built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NodeError {
    /// The state cannot be gone on with.
    #[cfg(feature = "state")]
    #[error(transparent)]
    State(#[from] crate::state::RestoreError),
    /// An address that is none.
    #[error("`{text}` is no multiaddress ({source}): write one like /ip4/127.0.0.1/tcp/4001")]
    Address {
        /// What was given.
        text: String,
        /// What is wrong with it.
        source: libp2p::multiaddr::Error,
    },
    /// A bootstrap address that does not say who is there.
    #[error("the bootstrap address `{address}` does not end in the peer's id: append /p2p/<peer id>")]
    NoPeerId {
        /// The address.
        address: Multiaddr,
    },
    /// A bootstrap address of this node itself.
    #[error("the bootstrap address `{address}` is this node's own: name another peer")]
    OwnAddress {
        /// The address.
        address: Multiaddr,
    },
    /// A protocol name that is none.
    #[error("`{name}` is no protocol name: it must begin with a slash, like /dragnet/kad/1.0.0")]
    Protocol {
        /// What was given.
        name: String,
    },
    /// The node cannot listen there.
    #[error("cannot listen on `{address}`: {reason}")]
    Listen {
        /// The address.
        address: Multiaddr,
        /// Why, and what to do.
        reason: ListenError,
    },
    /// The encryption could not be set up.
    #[error("the noise handshake could not be set up: {0}")]
    Noise(#[from] libp2p::noise::Error),
}

/// Why a node cannot listen on an address.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ListenError {
    /// The port is taken.
    #[error("the port is taken: end the other program, or choose port 0 for a free one")]
    PortTaken,
    /// The transport does not know such addresses.
    #[error("no transport for such an address: use /ip4/../tcp/.. or /ip6/../tcp/..")]
    Unsupported,
    /// The system refused.
    #[error("{0}")]
    Io(#[source] io::Error),
}

impl From<TransportError<io::Error>> for ListenError {
    fn from(error: TransportError<io::Error>) -> Self {
        match error {
            TransportError::MultiaddrNotSupported(_) => Self::Unsupported,
            TransportError::Other(error) => match root_kind(&error) {
                io::ErrorKind::AddrInUse => Self::PortTaken,
                _ => Self::Io(error),
            },
        }
    }
}

/// The kind of the innermost I/O error: transports wrap each other's errors.
fn root_kind(error: &io::Error) -> io::ErrorKind {
    let mut kind = error.kind();
    let mut next: Option<&(dyn std::error::Error + 'static)> =
        error.get_ref().map(|inner| inner as &(dyn std::error::Error + 'static));
    while let Some(inner) = next {
        if let Some(io) = inner.downcast_ref::<io::Error>() {
            kind = io.kind();
            next = io.get_ref().map(|inner| inner as &(dyn std::error::Error + 'static));
            continue;
        }
        next = inner.source();
    }
    kind
}

/// Why a command to the behaviour failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// The command queue is full.
    #[error("busy: too many commands wait for the behaviour; try again when it has been polled")]
    Busy,
    /// The behaviour is gone.
    #[error("the node is shut down: start a new one")]
    ShutDown,
}
