//! Names: a transport that resolves `/dns`, `/dns4` and `/dns6` before it dials.
//!
//! [`Transport`] wraps another transport. Addresses that begin with a name are resolved by the system's resolver
//! (`getaddrinfo`, so `/etc/hosts` counts and `localhost` works), on smol's pool for blocking work. The results
//! are dialled one after the other through the inner transport, until one answers; if none does, the error of
//! each is kept. All other addresses go to the inner transport as they are.
//!
//! What cannot be dialled is refused by name: [`Error::UnsupportedProtocol`] says which part of the address
//! nobody here speaks, be it `/dnsaddr`, `/quic-v1` or `/ws`. Since that is not
//! [`TransportError::MultiaddrNotSupported`], this wrapper belongs last in a chain of
//! [`or_transport`](libp2p::core::Transport::or_transport).
//!
//! Limits: [`ADDRESSES_MAX`] addresses of a name are dialled, [`LOOKUPS_MAX`] lookups run at a time. There is no
//! timeout of its own; [`TransportTimeout`](libp2p::core::transport::timeout::TransportTimeout) brings one.
//!
//! ```
//! use dragnet_libp2p::{dns, tcp};
//! use libp2p::core::{Endpoint, Transport, transport::{DialOpts, PortUse}};
//!
//! # smol::block_on(async {
//! let mut transport = dns::Transport::new(tcp::Transport::default());
//! let opts = DialOpts { role: Endpoint::Dialer, port_use: PortUse::Reuse };
//! let refusal = transport.dial("/dns4/example.org/tcp/443/wss".parse()?, opts).err().expect("not plain TCP");
//! assert!(format!("{:?}", refusal).contains("wss"));
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```

use std::{
    error::Error as StdError,
    fmt, io, iter,
    net::{IpAddr, ToSocketAddrs},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use futures::{
    FutureExt, TryFutureExt,
    future::{BoxFuture, MapErr},
};
use libp2p::{
    Multiaddr,
    core::transport::{DialOpts, ListenerId, TransportError, TransportEvent},
    multiaddr::Protocol,
};
use smol::lock::Semaphore;

mod error;

pub use self::error::{Attempt, Error};

/// How many addresses of one name are dialled at most; the resolver's first ones, which it thinks the best.
pub const ADDRESSES_MAX: usize = 16;

/// How many names one transport looks up at the same time. More wait for their turn: each lookup takes a thread,
/// and the names come from strangers.
pub const LOOKUPS_MAX: usize = 32;

/// Finds the addresses of a name, in the order to dial them, however long that blocks.
type Resolver = fn(&str) -> io::Result<Vec<IpAddr>>;

/// A transport that dials names through `T`; see the [module](self).
///
/// Listening is left to `T`, which takes no names.
pub struct Transport<T> {
    /// Shared with the dials that wait for a name.
    inner: Arc<Mutex<T>>,
    lookups: Arc<Semaphore>,
    resolver: Resolver,
}

impl<T> Transport<T> {
    /// Resolves names for `inner`.
    #[must_use]
    pub fn new(inner: T) -> Self {
        Self::with_resolver(inner, system_resolver)
    }

    fn with_resolver(inner: T, resolver: Resolver) -> Self {
        let lookups = Arc::new(Semaphore::new(LOOKUPS_MAX));
        Self { inner: Arc::new(Mutex::new(inner)), lookups, resolver }
    }
}

impl<T> libp2p::core::Transport for Transport<T>
where
    T: libp2p::core::Transport + Send + Unpin + 'static,
    T::Error: Send + 'static,
    T::Dial: Send + 'static,
{
    type Output = T::Output;
    type Error = Error<T::Error>;
    type ListenerUpgrade = MapErr<T::ListenerUpgrade, fn(T::Error) -> Error<T::Error>>;
    type Dial = BoxFuture<'static, Result<T::Output, Error<T::Error>>>;

    fn listen_on(&mut self, id: ListenerId, address: Multiaddr) -> Result<(), TransportError<Self::Error>> {
        lock(&self.inner).listen_on(id, address).map_err(|error| error.map(Error::Transport))
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        lock(&self.inner).remove_listener(id)
    }

    fn dial(
        &mut self,
        address: Multiaddr,
        opts: DialOpts,
    ) -> Result<Self::Dial, TransportError<Self::Error>> {
        let Some(family) = Family::of(&address) else {
            return match lock(&self.inner).dial(address, opts) {
                Ok(dial) => Ok(dial.map_err(Error::Transport).boxed()),
                Err(TransportError::MultiaddrNotSupported(address)) => {
                    Err(TransportError::Other(refusal(address)))
                }
                Err(TransportError::Other(error)) => Err(TransportError::Other(Error::Transport(error))),
            };
        };
        let Some(name) = name(&address) else { return Err(TransportError::Other(refusal(address))) };
        let (inner, resolver, lookups) = (self.inner.clone(), self.resolver, self.lookups.clone());
        let dial = async move {
            let ips = look_up(&name, family, resolver, lookups).await?;
            dial_in_turn(&inner, name, resolved(&address, &ips), opts).await
        };
        Ok(dial.boxed())
    }

    fn poll(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<TransportEvent<Self::ListenerUpgrade, Self::Error>> {
        let wrap: fn(T::Error) -> Self::Error = Error::Transport;
        let event = Pin::new(&mut *lock(&self.inner)).poll(cx);
        event.map(|event| event.map_upgrade(|upgrade| upgrade.map_err(wrap)).map_err(wrap))
    }
}

/// The inner transport. It is no worse for a panic in someone else's thread.
fn lock<T>(inner: &Mutex<T>) -> MutexGuard<'_, T> {
    inner.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Which addresses of a name are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    Any,
    V4,
    V6,
}

impl Family {
    /// The one a name is to be resolved to, if `address` begins with a name.
    fn of(address: &Multiaddr) -> Option<Self> {
        match address.iter().next()? {
            Protocol::Dns(_) => Some(Self::Any),
            Protocol::Dns4(_) => Some(Self::V4),
            Protocol::Dns6(_) => Some(Self::V6),
            _ => None,
        }
    }

    fn has(self, ip: IpAddr) -> bool {
        match self {
            Self::Any => true,
            Self::V4 => ip.is_ipv4(),
            Self::V6 => ip.is_ipv6(),
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Any => "IP",
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        })
    }
}

/// The name in `/dns*/<name>/tcp/<port>` with at most one `/p2p/<peer>` behind, if it is that and can be dialled.
fn name(address: &Multiaddr) -> Option<String> {
    let mut parts = address.iter();
    let (Protocol::Dns(name) | Protocol::Dns4(name) | Protocol::Dns6(name)) = parts.next()? else {
        return None;
    };
    let Protocol::Tcp(1..) = parts.next()? else { return None };
    match (parts.next(), parts.next()) {
        (None | Some(Protocol::P2p(_)), None) => Some(name.into_owned()),
        _ => None,
    }
}

/// Why `address` cannot be dialled.
fn refusal<E: StdError + 'static>(address: Multiaddr) -> Error<E> {
    match unsupported(&address) {
        Some(protocol) => Error::UnsupportedProtocol { address, protocol },
        None => Error::UnsupportedAddress { address },
    }
}

/// The last part of `address` that plain TCP to an address or name does not have: what stands last is what one
/// would have to speak, such as the `/quic-v1` on top of `/udp`.
fn unsupported(address: &Multiaddr) -> Option<&'static str> {
    use Protocol::{Certhash, Dns, Dns4, Dns6, Ip4, Ip6, P2p, Tcp};
    let is_ours = |part: &Protocol<'_>| {
        matches!(part, Ip4(_) | Ip6(_) | Dns(_) | Dns4(_) | Dns6(_) | Tcp(_) | P2p(_) | Certhash(_))
    };
    address.iter().filter(|part| !is_ours(part)).last().map(|part| part.tag())
}

/// The first addresses of `name` that are of the family, at most [`ADDRESSES_MAX`] and at least one.
async fn look_up<E: StdError + 'static>(
    name: &str,
    family: Family,
    resolver: Resolver,
    lookups: Arc<Semaphore>,
) -> Result<Vec<IpAddr>, Error<E>> {
    let turn = lookups.acquire_arc().await;
    let owned = name.to_owned();
    let found = smol::unblock(move || {
        // The thread keeps its turn even if nobody waits for the answer any more: it is the thread that counts.
        let _turn = turn;
        resolver(&owned)
    })
    .await
    .map_err(|source| Error::Resolve { name: name.to_owned(), source })?;
    let mut ips = Vec::new();
    for ip in found.into_iter().filter(|ip| family.has(*ip)) {
        if ips.len() < ADDRESSES_MAX && !ips.contains(&ip) {
            ips.push(ip);
        }
    }
    tracing::debug!(name, ?ips, "resolved");
    if ips.is_empty() {
        return Err(Error::NoAddress { name: name.to_owned(), family: family.to_string() });
    }
    Ok(ips)
}

/// `address` with each of `ips` in the place of its name.
fn resolved(address: &Multiaddr, ips: &[IpAddr]) -> Vec<Multiaddr> {
    ips.iter().map(|ip| iter::once(Protocol::from(*ip)).chain(address.iter().skip(1)).collect()).collect()
}

/// Dials `addresses` one after the other until one answers.
async fn dial_in_turn<T>(
    inner: &Mutex<T>,
    name: String,
    addresses: Vec<Multiaddr>,
    opts: DialOpts,
) -> Result<T::Output, Error<T::Error>>
where
    T: libp2p::core::Transport,
    T::Error: 'static,
{
    let mut attempts = Vec::with_capacity(addresses.len());
    for address in addresses {
        let dial = lock(inner).dial(address.clone(), opts);
        let error = match dial {
            Ok(dial) => match dial.await {
                Ok(output) => return Ok(output),
                Err(error) => TransportError::Other(error),
            },
            Err(error) => error,
        };
        tracing::debug!(name, %address, "this address of the name could not be dialled");
        attempts.push(Attempt { address, error });
    }
    Err(Error::Unreachable { name, attempts })
}

fn system_resolver(name: &str) -> io::Result<Vec<IpAddr>> {
    // The port is not looked at; the function wants one.
    Ok((name, 0).to_socket_addrs()?.map(|address| address.ip()).collect())
}

#[cfg(test)]
mod tests {
    use std::{
        future::{Ready, ready},
        net::Ipv4Addr,
    };

    use libp2p::core::{Endpoint, Transport as _, transport::PortUse};
    use smol::block_on;

    use super::*;

    const OPTS: DialOpts = DialOpts { role: Endpoint::Dialer, port_use: PortUse::New };

    /// Takes note of what is dialled. Reaches 10.0.0.9 only, and does not take 10.0.0.2 for an address.
    #[derive(Default)]
    struct Notes(Arc<Mutex<Vec<String>>>);

    #[derive(Debug, thiserror::Error)]
    #[error("nobody at {0}")]
    struct Nobody(Multiaddr);

    impl libp2p::core::Transport for Notes {
        type Output = Multiaddr;
        type Error = Nobody;
        type ListenerUpgrade = Ready<Result<Multiaddr, Nobody>>;
        type Dial = Ready<Result<Multiaddr, Nobody>>;

        fn listen_on(&mut self, _: ListenerId, address: Multiaddr) -> Result<(), TransportError<Nobody>> {
            Err(TransportError::MultiaddrNotSupported(address))
        }

        fn remove_listener(&mut self, _: ListenerId) -> bool {
            false
        }

        fn dial(
            &mut self,
            address: Multiaddr,
            _: DialOpts,
        ) -> Result<Self::Dial, TransportError<Self::Error>> {
            self.0.lock().unwrap().push(address.to_string());
            let text = address.to_string();
            if text.starts_with("/ip4/10.0.0.2/") {
                return Err(TransportError::MultiaddrNotSupported(address));
            }
            Ok(ready(if text.starts_with("/ip4/10.0.0.9/") { Ok(address) } else { Err(Nobody(address)) }))
        }

        fn poll(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<TransportEvent<Self::ListenerUpgrade, Self::Error>> {
            Poll::Pending
        }
    }

    /// Resolves a name to the addresses it lists, between dashes.
    fn listed(name: &str) -> io::Result<Vec<IpAddr>> {
        name.split('-').map(|ip| ip.parse().map_err(io::Error::other)).collect()
    }

    /// What dialling `address` comes to, and what is dialled for it in which order.
    fn dial(address: &str, resolver: Resolver) -> (Result<Multiaddr, Error<Nobody>>, Vec<String>) {
        let notes = Arc::default();
        let mut transport = Transport::with_resolver(Notes(Arc::clone(&notes)), resolver);
        let result = match transport.dial(address.parse().unwrap(), OPTS) {
            Ok(dial) => block_on(dial),
            Err(TransportError::Other(error)) => Err(error),
            Err(TransportError::MultiaddrNotSupported(address)) => {
                panic!("{address} is refused without a name")
            }
        };
        let dialled = notes.lock().unwrap().clone();
        (result, dialled)
    }

    #[test]
    fn addresses_are_dialled_in_turn_until_one_answers() {
        let (result, dialled) = dial("/dns4/10.0.0.1-10.0.0.2-10.0.0.9-10.0.0.4/tcp/80", listed);
        assert_eq!(result.unwrap().to_string(), "/ip4/10.0.0.9/tcp/80");
        assert_eq!(dialled, ["/ip4/10.0.0.1/tcp/80", "/ip4/10.0.0.2/tcp/80", "/ip4/10.0.0.9/tcp/80"]);
    }

    #[test]
    fn the_error_of_each_attempt_is_kept() {
        let (result, _) = dial("/dns/10.0.0.1-10.0.0.2/tcp/80", listed);
        let error = result.unwrap_err();
        let Error::Unreachable { name, attempts } = &error else { panic!("{error:?}") };
        assert_eq!(name, "10.0.0.1-10.0.0.2");
        assert!(
            matches!(&attempts[0].error, TransportError::Other(Nobody(address)) if *address == attempts[0].address)
        );
        assert!(matches!(&attempts[1].error, TransportError::MultiaddrNotSupported(_)));
        assert!(error.to_string().contains("nobody at /ip4/10.0.0.1/tcp/80"), "{error}");
    }

    #[test]
    fn only_the_family_asked_for_is_dialled() {
        for (kind, expected) in [
            ("dns", ["/ip6/fd00::1/tcp/80", "/ip4/10.0.0.1/tcp/80"].as_slice()),
            ("dns4", &["/ip4/10.0.0.1/tcp/80"]),
            ("dns6", &["/ip6/fd00::1/tcp/80"]),
        ] {
            assert_eq!(dial(&format!("/{kind}/fd00::1-10.0.0.1/tcp/80"), listed).1, expected);
        }
    }

    #[test]
    fn a_name_without_an_address_of_the_family_gives_a_typed_error() {
        let (result, dialled) = dial("/dns6/10.0.0.1/tcp/80", listed);
        let error = result.unwrap_err();
        assert_eq!(error.to_string(), "10.0.0.1 has no IPv6 address");
        assert!(matches!(error, Error::NoAddress { .. }));
        assert_eq!(dialled, [""; 0]);
    }

    #[test]
    fn at_most_sixteen_addresses_are_dialled_and_each_once() {
        let many: Resolver = |_| Ok((0..100).map(|i| Ipv4Addr::new(10, 1, 0, i / 2).into()).collect());
        let (result, dialled) = dial("/dns4/many/tcp/80", many);
        assert!(
            matches!(result, Err(Error::Unreachable { attempts, .. }) if attempts.len() == ADDRESSES_MAX)
        );
        let expected: Vec<_> = (0..ADDRESSES_MAX).map(|i| format!("/ip4/10.1.0.{i}/tcp/80")).collect();
        assert_eq!(dialled, expected);
    }

    #[test]
    fn the_peer_behind_a_name_is_kept() {
        let peer = "/p2p/12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA";
        let (result, _) = dial(&format!("/dns4/10.0.0.9/tcp/80{peer}"), listed);
        assert_eq!(result.unwrap().to_string(), format!("/ip4/10.0.0.9/tcp/80{peer}"));
    }

    #[test]
    fn nothing_is_looked_up_before_it_is_polled() {
        let mut transport = Transport::with_resolver(Notes::default(), |name| panic!("looked up {name}"));
        drop(transport.dial("/dns/localhost/tcp/80".parse().unwrap(), OPTS).unwrap());
    }

    #[test]
    fn a_refusal_names_the_part_that_nobody_speaks() {
        for (address, part) in [
            ("/dnsaddr/bootstrap.libp2p.io", Some("dnsaddr")),
            ("/dns4/example.org/udp/4001/quic-v1", Some("quic-v1")),
            ("/dns/example.org/tcp/443/tls/ws", Some("ws")),
            ("/dns/example.org/tcp/443/wss", Some("wss")),
            ("/dns/example.org/udp/53", Some("udp")),
            ("/unix/socket", Some("unix")),
            ("/dns/example.org", None),
            ("/dns/example.org/tcp/0", None),
            ("/dns/example.org/tcp/1/tcp/2", None),
        ] {
            let address: Multiaddr = address.parse().unwrap();
            assert_eq!(name(&address), None, "{address}");
            assert_eq!(unsupported(&address), part, "{address}");
        }
    }
}
