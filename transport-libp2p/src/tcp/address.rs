//! Multiaddresses to socket addresses and back.

use std::net::{IpAddr, SocketAddr};

use libp2p::{Multiaddr, multiaddr::Protocol};

/// The socket address that `address` stands for, if it is a TCP address and nothing else:
/// `/ip4/<ip>/tcp/<port>` or `/ip6/<ip>/tcp/<port>`, with at most one `/p2p/<peer>` behind, which is ignored.
///
/// `None` for everything else: names, other transports, a protocol on top of TCP such as `/ws`, a part missing
/// or said twice. Whether the port is 0 or the address unspecified is not looked at.
#[must_use]
pub fn socket_address(address: &Multiaddr) -> Option<SocketAddr> {
    let mut parts = address.iter();
    let ip = match parts.next()? {
        Protocol::Ip4(ip) => IpAddr::V4(ip),
        Protocol::Ip6(ip) => IpAddr::V6(ip),
        _ => return None,
    };
    let Protocol::Tcp(port) = parts.next()? else { return None };
    match (parts.next(), parts.next()) {
        (None | Some(Protocol::P2p(_)), None) => Some(SocketAddr::new(ip, port)),
        _ => None,
    }
}

/// The multiaddress of a TCP socket: `/ip4/<ip>/tcp/<port>` or `/ip6/<ip>/tcp/<port>`.
///
/// An IPv6 address loses its scope and flow label, for which these parts have no place.
#[must_use]
pub fn multiaddr(address: SocketAddr) -> Multiaddr {
    Multiaddr::from(address.ip()).with(Protocol::Tcp(address.port()))
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    const PEER: &str = "/p2p/12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA";

    #[test]
    fn tcp_addresses_convert_both_ways() {
        for (text, socket) in [
            ("/ip4/127.0.0.1/tcp/4001", "127.0.0.1:4001"),
            ("/ip4/0.0.0.0/tcp/0", "0.0.0.0:0"),
            ("/ip4/255.255.255.255/tcp/65535", "255.255.255.255:65535"),
            ("/ip6/::1/tcp/4001", "[::1]:4001"),
            ("/ip6/::/tcp/0", "[::]:0"),
            ("/ip6/fd00::2/tcp/1", "[fd00::2]:1"),
        ] {
            let (address, socket): (Multiaddr, SocketAddr) = (text.parse().unwrap(), socket.parse().unwrap());
            assert_eq!(socket_address(&address), Some(socket), "{text}");
            assert_eq!(multiaddr(socket), address, "{text}");
            let with_peer: Multiaddr = format!("{text}{PEER}").parse().unwrap();
            assert_eq!(socket_address(&with_peer), Some(socket), "{with_peer}");
        }
    }

    #[test]
    fn other_addresses_are_not_taken_for_tcp() {
        for text in [
            "",
            "/ip4/127.0.0.1",
            "/tcp/4001",
            "/tcp/4001/ip4/127.0.0.1",
            "/ip4/127.0.0.1/udp/4001",
            "/ip4/127.0.0.1/udp/4001/quic-v1",
            "/ip4/127.0.0.1/tcp/4001/ws",
            "/ip4/127.0.0.1/tcp/4001/tls/ws",
            "/ip4/127.0.0.1/tcp/4001/tcp/4001",
            "/ip4/127.0.0.1/ip4/127.0.0.1/tcp/4001",
            "/dns4/localhost/tcp/4001",
            "/dnsaddr/example.org",
            "/ip6zone/eth0/ip6/fe80::1/tcp/4001",
            PEER,
            &format!("{PEER}/ip4/127.0.0.1/tcp/4001"),
            &format!("/ip4/127.0.0.1/tcp/4001{PEER}{PEER}"),
            &format!("/ip4/127.0.0.1/tcp/4001{PEER}/p2p-circuit"),
        ] {
            assert_eq!(socket_address(&text.parse().unwrap()), None, "{text}");
        }
    }

    fn part() -> impl Strategy<Value = Protocol<'static>> {
        prop_oneof![
            any::<[u8; 4]>().prop_map(|ip| Protocol::Ip4(ip.into())),
            any::<[u8; 16]>().prop_map(|ip| Protocol::Ip6(ip.into())),
            any::<u16>().prop_map(Protocol::Tcp),
            any::<u16>().prop_map(Protocol::Udp),
            Just(Protocol::P2p(PEER[5..].parse().unwrap())),
            Just(Protocol::Dns("localhost".into())),
            Just(Protocol::Ws("/".into())),
        ]
    }

    proptest! {
        #[test]
        fn a_socket_address_survives_the_way_there_and_back(ip: IpAddr, port: u16) {
            let address = SocketAddr::new(ip, port);
            prop_assert_eq!(socket_address(&multiaddr(address)), Some(address));
        }

        #[test]
        fn an_address_is_taken_exactly_if_it_comes_from_a_socket_address(parts in vec(part(), 0..5)) {
            let address: Multiaddr = parts.iter().cloned().collect();
            let behind = usize::from(matches!(parts.last(), Some(Protocol::P2p(_))));
            let front: Multiaddr = parts.iter().take(parts.len() - behind).cloned().collect();
            let back = socket_address(&address).map(multiaddr);
            let is_tcp = matches!(
                parts[..parts.len() - behind],
                [Protocol::Ip4(_) | Protocol::Ip6(_), Protocol::Tcp(_)]
            );
            prop_assert_eq!(back, Some(front).filter(|_| is_tcp));
        }
    }
}
