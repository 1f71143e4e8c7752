//! Sockets with their options set: to listen, to dial, accepted.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream},
};

use async_io::Async;
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::{Config, Stream};

/// Whether a listener may have a port that another already listens on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Claim {
    /// No: such a port is taken.
    Exclusive,
    /// Yes, if that one shares it.
    Shared,
}

/// A socket that listens on `address`, whose port can be dialled from.
pub(super) fn listen(config: &Config, address: SocketAddr, claim: Claim) -> io::Result<TcpListener> {
    let socket = open(config, address)?;
    if claim == Claim::Shared {
        share_port(&socket)?;
    }
    socket.bind(&address.into())?;
    socket.listen(i32::try_from(config.backlog).unwrap_or(i32::MAX))?;
    // Only now, for those who dial from the port. Set before, it would let any other program of this user listen
    // here as well, and each would get some of the connections.
    share_port(&socket)?;
    Ok(socket.into())
}

/// Connects to `remote`, from `local` if there is one and the system lets it, or else from a new port.
pub(super) async fn connect(
    config: &Config,
    remote: SocketAddr,
    local: Option<SocketAddr>,
) -> io::Result<Stream> {
    if local.is_some() {
        match attempt(config, remote, local).await {
            Err(error) if is_taken(&error) => {
                tracing::debug!(%remote, ?local, %error, "this port cannot be dialled from, taking a new one");
            }
            result => return result,
        }
    }
    attempt(config, remote, None).await
}

/// A stream over a connection just accepted from `remote`.
pub(super) fn accepted(config: &Config, connection: TcpStream, remote: SocketAddr) -> io::Result<Stream> {
    // On Linux it has them from the listener, which is not so everywhere.
    set_options(config, &SockRef::from(&connection), remote)?;
    Ok(Stream::new(Async::new(connection)?))
}

/// `0.0.0.0` or `::`, whichever is of the family of `ip`.
pub(super) fn unspecified(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    }
}

async fn attempt(config: &Config, remote: SocketAddr, local: Option<SocketAddr>) -> io::Result<Stream> {
    let socket = open(config, remote)?;
    if let Some(local) = local {
        share_port(&socket)?;
        socket.bind(&local.into())?;
    }
    match socket.connect(&remote.into()) {
        Err(error) if !is_in_progress(&error) => return Err(error),
        _ => {}
    }
    let connection = Async::new_nonblocking(TcpStream::from(socket))?;
    connection.writable().await?;
    if let Some(error) = connection.get_ref().take_error()? {
        return Err(error);
    }
    // A socket that dials the very port it is bound to meets itself (RFC 793, simultaneous open).
    if connection.get_ref().local_addr()? == connection.get_ref().peer_addr()? {
        return Err(io::Error::new(io::ErrorKind::AddrInUse, "the connection leads to itself"));
    }
    Ok(Stream::new(connection))
}

/// A socket that does not block, of the family of `address`.
fn open(config: &Config, address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    set_options(config, &SockRef::from(&socket), address)?;
    // Lets a listener come back while old connections of its port linger. On Windows the option means something
    // else, namely to take a port from whoever has it.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    Ok(socket)
}

/// Sets what is the same for all sockets. Either end's `address` tells the family.
fn set_options(config: &Config, socket: &SockRef<'_>, address: SocketAddr) -> io::Result<()> {
    socket.set_tcp_nodelay(config.nodelay)?;
    match config.ttl {
        Some(ttl) if address.is_ipv6() => socket.set_unicast_hops_v6(u32::from(ttl)),
        Some(ttl) => socket.set_ttl_v4(u32::from(ttl)),
        None => Ok(()),
    }
}

/// Lets several sockets of this user have one port. Where the system cannot, dialling takes a new port.
fn share_port(socket: &Socket) -> io::Result<()> {
    #[cfg(all(unix, not(any(target_os = "solaris", target_os = "illumos", target_os = "cygwin"))))]
    socket.set_reuse_port(true)?;
    let _ = socket;
    Ok(())
}

/// Whether a connection could not be accepted because the system lacks the means, and not because of something
/// wrong with that connection: Linux reports what the network did to it here as well (see `accept(2)`).
pub(super) fn is_lack(error: &io::Error) -> bool {
    #[cfg(unix)]
    let is_lack =
        matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM));
    #[cfg(not(unix))]
    let is_lack = error.kind() != io::ErrorKind::ConnectionReset;
    is_lack
}

/// Whether a local address cannot be dialled from, though a new port may do.
fn is_taken(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::AddrNotAvailable)
}

/// Whether this is how the system says that a connection is being made.
fn is_in_progress(error: &io::Error) -> bool {
    #[cfg(unix)]
    if error.raw_os_error() == Some(libc::EINPROGRESS) {
        return true;
    }
    error.kind() == io::ErrorKind::WouldBlock
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOPBACK: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

    /// Both sides of a connection: the dialler's and the listener's.
    fn connection(config: &Config) -> [Stream; 2] {
        let listener = listen(config, LOOPBACK, Claim::Exclusive).unwrap();
        let dialled = smol::block_on(connect(config, listener.local_addr().unwrap(), None)).unwrap();
        listener.set_nonblocking(false).unwrap();
        let (connection, remote) = listener.accept().unwrap();
        [dialled, accepted(config, connection, remote).unwrap()]
    }

    #[test]
    fn options_are_set_on_both_sides_of_a_connection() {
        for stream in connection(&Config::new().nodelay(false).ttl(7)) {
            assert_eq!(SockRef::from(stream.as_ref()).ttl_v4().unwrap(), 7);
            assert!(!stream.as_ref().nodelay().unwrap());
        }
    }

    #[test]
    fn small_writes_are_not_delayed_by_default() {
        for stream in connection(&Config::default()) {
            assert!(stream.as_ref().nodelay().unwrap());
        }
    }

    #[test]
    fn a_local_address_that_is_not_there_gives_way_to_a_new_port() {
        let config = Config::new();
        let listener = listen(&config, LOOPBACK, Claim::Exclusive).unwrap();
        // An address for documentation (RFC 5737), which no machine has.
        let elsewhere = "203.0.113.77:4001".parse().ok();
        let stream = smol::block_on(connect(&config, listener.local_addr().unwrap(), elsewhere)).unwrap();
        assert!(stream.local_address().unwrap().ip().is_loopback());
    }

    #[test]
    fn a_second_connection_between_the_same_ports_gives_way_to_a_new_port() {
        let config = Config::new();
        let (here, there) = (
            listen(&config, LOOPBACK, Claim::Exclusive).unwrap(),
            listen(&config, LOOPBACK, Claim::Exclusive).unwrap(),
        );
        let (local, remote) = (here.local_addr().unwrap(), there.local_addr().unwrap());
        let first = smol::block_on(connect(&config, remote, Some(local))).unwrap();
        assert_eq!(first.local_address().unwrap(), local);
        let second = smol::block_on(connect(&config, remote, Some(local))).unwrap();
        assert_ne!(second.local_address().unwrap(), local);
    }

    #[test]
    fn a_connection_does_not_lead_to_itself() {
        let config = Config::new();
        // Holds the port and does not listen: dialled from itself it would connect, from elsewhere it is refused.
        let holder = open(&config, LOOPBACK).unwrap();
        share_port(&holder).unwrap();
        holder.bind(&LOOPBACK.into()).unwrap();
        let own = holder.local_addr().unwrap().as_socket().unwrap();
        let error = smol::block_on(connect(&config, own, Some(own))).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    }

    #[test]
    fn an_ipv6_listener_takes_no_ipv4_connections() {
        match listen(&Config::new(), "[::]:0".parse().unwrap(), Claim::Exclusive) {
            Ok(listener) => assert!(SockRef::from(&listener).only_v6().unwrap()),
            Err(error) => assert!(TcpListener::bind("[::1]:0").is_err(), "there is IPv6, and yet: {error}"),
        }
    }

    #[test]
    fn a_time_to_live_of_zero_is_refused() {
        assert!(listen(&Config::new().ttl(0), LOOPBACK, Claim::Exclusive).is_err());
    }
}
