//! Names through the system's resolver, over the loopback interface.

#![allow(clippy::unwrap_used, reason = "clippy knows only `#[test]` functions for tests, not their helpers")]

mod watchdog;

use std::{
    future::poll_fn,
    net::{Ipv6Addr, SocketAddr, ToSocketAddrs},
    pin::Pin,
};

use dragnet_libp2p::{dns, tcp};
use futures::future::join;
use libp2p::{
    Multiaddr,
    core::{
        Endpoint, Transport as _,
        transport::{DialOpts, ListenerId, PortUse, TransportError, TransportEvent},
    },
};
use socket2::{Domain, Socket, Type};

use self::watchdog::within_a_minute;

type Names = dns::Transport<tcp::Transport>;
type Error = dns::Error<tcp::Error>;

const OPTS: DialOpts = DialOpts { role: Endpoint::Dialer, port_use: PortUse::New };

fn names() -> Names {
    dns::Transport::new(tcp::Transport::default())
}

fn address(text: &str) -> Multiaddr {
    text.parse().unwrap()
}

fn refusal(text: &str) -> Error {
    match names().dial(address(text), OPTS) {
        Err(TransportError::Other(error)) => error,
        Err(error) => panic!("{text}: {error:?}"),
        Ok(_) => panic!("{text} is dialled"),
    }
}

/// Whether the system's resolver knows `::1` under this name, and there is IPv6 at all.
fn is_ipv6_loopback(name: &str) -> bool {
    let mut resolved = (name, 0).to_socket_addrs().into_iter().flatten();
    let is_known = resolved.any(|found| found.ip() == Ipv6Addr::LOCALHOST);
    let is = is_known && std::net::TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok();
    if !is {
        eprintln!("{name} is not ::1 on this machine, which is not tested");
    }
    is
}

/// Listens on `listen`, dials `name`, such as `/dns/localhost`, and waits for the connection.
fn meet(listen: &str, name: &str) {
    within_a_minute(async {
        let mut transport = names();
        transport.listen_on(ListenerId::next(), address(listen)).unwrap();
        let event = poll_fn(|cx| Pin::new(&mut transport).poll(cx)).await;
        let listening = event.into_new_address().expect("the address comes first");
        let port = tcp::socket_address(&listening).unwrap().port();

        let dial = transport.dial(address(&format!("{name}/tcp/{port}")), OPTS).unwrap();
        let incoming = async {
            match poll_fn(|cx| Pin::new(&mut transport).poll(cx)).await {
                TransportEvent::Incoming { upgrade, local_addr, .. } => (upgrade.await.unwrap(), local_addr),
                event => panic!("{event:?} instead of a connection"),
            }
        };
        let (dialled, (_accepted, local)) = join(dial, incoming).await;
        assert_eq!(tcp::multiaddr(dialled.unwrap().remote_address().unwrap()), listening);
        assert_eq!(local, listening);
    });
}

#[test]
fn localhost_is_dialled_over_ipv4() {
    meet("/ip4/127.0.0.1/tcp/0", "/dns4/localhost");
    meet("/ip4/127.0.0.1/tcp/0", "/dns/localhost");
}

#[test]
fn names_are_dialled_over_ipv6() {
    // Not every machine has `localhost` for both families, but the resolver takes an address for a name.
    for name in ["localhost", "::1"] {
        if is_ipv6_loopback(name) {
            meet("/ip6/::1/tcp/0", &format!("/dns6/{name}"));
            meet("/ip6/::1/tcp/0", &format!("/dns/{name}"));
        }
    }
}

#[test]
fn an_address_without_a_name_is_dialled_as_it_is() {
    within_a_minute(async {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let listening = listener.local_addr().unwrap();
        let stream = names().dial(tcp::multiaddr(listening), OPTS).unwrap().await.unwrap();
        assert_eq!(stream.remote_address().unwrap(), listening);
    });
}

#[test]
fn what_nobody_speaks_is_refused_by_name() {
    for (text, part) in [
        ("/dnsaddr/bootstrap.libp2p.io", "dnsaddr"),
        ("/ip4/127.0.0.1/udp/4001/quic-v1", "quic-v1"),
        ("/ip4/127.0.0.1/udp/4001/quic", "quic"),
        ("/ip4/127.0.0.1/tcp/443/ws", "ws"),
        ("/dns4/localhost/tcp/443/wss", "wss"),
        ("/dns4/localhost/udp/4001/quic-v1", "quic-v1"),
        ("/unix/socket", "unix"),
    ] {
        let error = refusal(text);
        assert_eq!(error.to_string(), format!("cannot dial {}: /{part} is not supported", address(text)));
        assert!(
            matches!(error, Error::UnsupportedProtocol { protocol, .. } if protocol == part),
            "{error:?}"
        );
    }
}

#[test]
fn what_leads_nowhere_is_refused() {
    for text in ["/ip4/127.0.0.1/tcp/0", "/ip4/0.0.0.0/tcp/80", "/dns4/localhost/tcp/0", "/dns4/localhost"] {
        let error = refusal(text);
        assert!(matches!(error, Error::UnsupportedAddress { .. }), "{text}: {error:?}");
    }
}

#[test]
fn a_name_that_cannot_be_resolved_gives_a_typed_error() {
    within_a_minute(async {
        // Longer than a label may be (RFC 1035, 2.3.4), so that no name server is asked.
        let unknown = format!("{}.invalid", "x".repeat(64));
        let dial = names().dial(address(&format!("/dns/{unknown}/tcp/80")), OPTS).unwrap();
        let error = dial.await.unwrap_err();
        assert_eq!(error.to_string(), format!("cannot resolve {unknown}"));
        assert!(matches!(error, Error::Resolve { name, .. } if name == unknown));
    });
}

#[test]
fn a_name_that_nobody_answers_under_says_what_was_tried() {
    within_a_minute(async {
        // Bound so that nobody else can, and not listening.
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        let port = socket.local_addr().unwrap().as_socket().unwrap().port();
        let dial = names().dial(address(&format!("/dns4/localhost/tcp/{port}")), OPTS).unwrap();
        let error = dial.await.unwrap_err();
        assert!(error.to_string().contains(&format!("cannot dial 127.0.0.1:{port}: ")), "{error}");
        let Error::Unreachable { attempts, .. } = error else { panic!("{error:?}") };
        assert_eq!(attempts[0].address, address(&format!("/ip4/127.0.0.1/tcp/{port}")));
    });
}

#[test]
fn listening_on_a_name_is_left_to_other_transports() {
    let listened = names().listen_on(ListenerId::next(), address("/dns4/localhost/tcp/0"));
    assert!(matches!(listened, Err(TransportError::MultiaddrNotSupported(_))), "{listened:?}");
}
