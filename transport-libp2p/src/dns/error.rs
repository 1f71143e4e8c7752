//! What can go wrong.

use std::{error, fmt, io};

use libp2p::{Multiaddr, core::transport::TransportError};

/// Why an address was not dialled, or a name not reached, where `E` is the inner transport's error.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error<E: error::Error + 'static> {
    /// The address needs a protocol that neither this transport nor the inner one speaks.
    #[error("cannot dial {address}: /{protocol} is not supported")]
    UnsupportedProtocol {
        /// What was to be dialled.
        address: Multiaddr,
        /// The name of the part that is not supported, such as `dnsaddr`, `quic-v1` or `ws`.
        protocol: &'static str,
    },
    /// The address has only parts that are spoken, but leads nowhere: port 0, an unspecified address, a part
    /// missing or said twice.
    #[error("cannot dial {address}: it takes an address or a name, and a TCP port other than 0")]
    UnsupportedAddress {
        /// What was to be dialled.
        address: Multiaddr,
    },
    /// The system's resolver does not know the name, or could not ask.
    #[error("cannot resolve {name}")]
    Resolve {
        /// The name.
        name: String,
        /// The resolver's reason.
        source: io::Error,
    },
    /// The name has addresses, if any, of the other IP family only.
    #[error("{name} has no {family} address")]
    NoAddress {
        /// The name.
        name: String,
        /// The family asked for: `IPv4` for `/dns4`, `IPv6` for `/dns6`, `IP` for `/dns`.
        family: String,
    },
    /// The name has addresses, none of which could be dialled.
    #[error("none of the addresses of {name} could be dialled: {}", list(attempts))]
    Unreachable {
        /// The name.
        name: String,
        /// One for each address dialled, in that order; from 1 to [`ADDRESSES_MAX`](super::ADDRESSES_MAX).
        attempts: Vec<Attempt<E>>,
    },
    /// The inner transport's own error.
    #[error(transparent)]
    Transport(E),
}

/// A dial of one of the addresses of a name, which failed.
#[derive(Debug)]
pub struct Attempt<E> {
    /// The address dialled.
    pub address: Multiaddr,
    /// What the inner transport said to it.
    pub error: TransportError<E>,
}

/// The error with its causes, as there is no one cause for [`Error::Unreachable`] to give as its source.
impl<E: error::Error + 'static> fmt::Display for Attempt<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut cause: Option<&dyn error::Error> = match &self.error {
            TransportError::Other(error) => Some(error),
            // Says the address itself.
            refused @ TransportError::MultiaddrNotSupported(_) => return write!(f, "{refused}"),
        };
        write!(f, "{}", self.address)?;
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

fn list<E: error::Error + 'static>(attempts: &[Attempt<E>]) -> String {
    attempts.iter().map(Attempt::to_string).collect::<Vec<_>>().join("; ")
}
