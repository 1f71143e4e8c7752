//! The TCP transport seen from outside, over the loopback interface.

#![allow(clippy::unwrap_used, reason = "clippy knows only `#[test]` functions for tests, not their helpers")]

mod watchdog;

use std::{
    future::{Ready, poll_fn},
    io,
    net::{SocketAddr, TcpListener, TcpStream},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use dragnet_libp2p::tcp::{Config, Error, Stream, Transport, multiaddr, socket_address};
use futures::{AsyncReadExt, AsyncWriteExt, future::join, task::ArcWake};
use libp2p::{
    Multiaddr,
    core::{
        Endpoint, Transport as _,
        transport::{DialOpts, ListenerId, PortUse, TransportError, TransportEvent},
    },
};
use socket2::{Domain, Socket, Type};

use self::watchdog::within_a_minute;

type Event = TransportEvent<Ready<Result<Stream, Error>>, Error>;

const NEW_PORT: DialOpts = DialOpts { role: Endpoint::Dialer, port_use: PortUse::New };
const LISTENING_PORT: DialOpts = DialOpts { role: Endpoint::Dialer, port_use: PortUse::Reuse };

fn address(text: &str) -> Multiaddr {
    text.parse().unwrap()
}

fn port(address: &Multiaddr) -> u16 {
    socket_address(address).expect("a TCP address").port()
}

/// `/ip4/127.0.0.1/tcp/0`, and `/ip6/::1/tcp/0` if this machine has IPv6.
fn loopback() -> Vec<Multiaddr> {
    with_ipv6_if_any("/ip4/127.0.0.1/tcp/0", "/ip6/::1/tcp/0")
}

fn with_ipv6_if_any(ipv4: &str, ipv6: &str) -> Vec<Multiaddr> {
    let mut addresses = vec![address(ipv4)];
    match TcpListener::bind("[::1]:0") {
        Ok(_) => addresses.push(address(ipv6)),
        Err(error) => eprintln!("this machine has no IPv6, {ipv6} is not tested: {error}"),
    }
    addresses
}

async fn next(transport: &mut Transport) -> Event {
    poll_fn(|cx| Pin::new(&mut *transport).poll(cx)).await
}

/// Listens on `address` and waits for the address to dial.
async fn listen(transport: &mut Transport, address: Multiaddr) -> (ListenerId, Multiaddr) {
    let id = ListenerId::next();
    transport.listen_on(id, address).unwrap();
    (id, next(transport).await.into_new_address().expect("the address comes first"))
}

/// Waits until a wildcard listener has announced its loopback address.
async fn loopback_address(transport: &mut Transport) -> Multiaddr {
    loop {
        let announced = next(transport).await.into_new_address().expect("addresses come first");
        if socket_address(&announced).expect("a TCP address").ip().is_loopback() {
            return announced;
        }
    }
}

/// Waits for a connection: it, the address it came to, and the one it came from.
async fn accept(transport: &mut Transport) -> (Stream, Multiaddr, Multiaddr) {
    loop {
        match next(transport).await {
            Event::Incoming { upgrade, local_addr, send_back_addr, .. } => {
                return (upgrade.await.unwrap(), local_addr, send_back_addr);
            }
            Event::NewAddress { .. } => {}
            event => panic!("{event:?} instead of a connection"),
        }
    }
}

async fn dial(transport: &mut Transport, address: Multiaddr, opts: DialOpts) -> Result<Stream, Error> {
    transport.dial(address, opts).unwrap().await
}

/// A socket that keeps a port of `127.0.0.1` from everybody but our listeners, and does not listen.
fn hold(port: u16) -> Socket {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.set_reuse_port(true).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], port)).into()).unwrap();
    socket
}

/// Counts how often it is woken.
#[derive(Default)]
struct Bell(AtomicUsize);

impl ArcWake for Bell {
    fn wake_by_ref(this: &Arc<Self>) {
        this.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn dialler_and_listener_talk() {
    for any_port in loopback() {
        within_a_minute(async {
            let (mut here, mut there) = (Transport::default(), Transport::default());
            let (_, listening) = listen(&mut there, any_port).await;
            let (dialled, accepted) =
                join(dial(&mut here, listening.clone(), NEW_PORT), accept(&mut there)).await;
            let (mut dialled, (mut accepted, local, remote)) = (dialled.unwrap(), accepted);
            assert_eq!(local, listening);
            assert_eq!(remote, multiaddr(dialled.local_address().unwrap()));
            assert_eq!(listening, multiaddr(dialled.remote_address().unwrap()));

            dialled.write_all(b"question").await.unwrap();
            dialled.close().await.unwrap();
            let mut question = Vec::new();
            accepted.read_to_end(&mut question).await.unwrap();
            assert_eq!(question, b"question");
            // Closing ended one direction only.
            accepted.write_all(b"answer").await.unwrap();
            drop(accepted);
            let mut answer = Vec::new();
            dialled.read_to_end(&mut answer).await.unwrap();
            assert_eq!(answer, b"answer");
        });
    }
}

#[test]
fn port_zero_takes_a_free_port_each_time() {
    for any_port in loopback() {
        within_a_minute(async {
            let mut transport = Transport::default();
            let (_, first) = listen(&mut transport, any_port.clone()).await;
            let (_, second) = listen(&mut transport, any_port).await;
            assert_ne!(port(&first), 0);
            assert_ne!(port(&second), 0);
            assert_ne!(first, second);
        });
    }
}

#[test]
fn a_wildcard_listener_announces_the_interfaces_of_its_family() {
    for wildcard in with_ipv6_if_any("/ip4/0.0.0.0/tcp/0", "/ip6/::/tcp/0") {
        within_a_minute(async {
            let is_ipv4 = socket_address(&wildcard).unwrap().is_ipv4();
            let (mut here, mut there) = (Transport::default(), Transport::default());
            there.listen_on(ListenerId::next(), wildcard).unwrap();
            let mut announced = Vec::new();
            while announced.last().is_none_or(|last: &SocketAddr| !last.ip().is_loopback()) {
                let new = next(&mut there).await.into_new_address().expect("no one has dialled yet");
                announced.push(socket_address(&new).expect("a TCP address"));
            }
            for new in &announced {
                assert!(!new.ip().is_unspecified(), "{new}");
                assert_eq!(new.is_ipv4(), is_ipv4, "{new}");
                assert_eq!(new.port(), announced[0].port(), "{new}");
                assert_ne!(new.port(), 0);
            }
            let loopback = multiaddr(announced[announced.len() - 1]);
            let (dialled, (_, local, _)) =
                join(dial(&mut here, loopback.clone(), NEW_PORT), accept(&mut there)).await;
            dialled.unwrap();
            assert_eq!(local, loopback);
        });
    }
}

#[test]
fn the_address_comes_before_a_connection_that_was_there_first() {
    for any_port in [address("/ip4/127.0.0.1/tcp/0"), address("/ip4/0.0.0.0/tcp/0")] {
        within_a_minute(async {
            let mut transport = Transport::default();
            // The first listener finds a port, the second takes it over.
            let (first, found) = listen(&mut transport, any_port.clone()).await;
            let ip = socket_address(&any_port).unwrap().ip();
            let second = ListenerId::next();
            transport.listen_on(second, multiaddr((ip, port(&found)).into())).unwrap();
            assert!(transport.remove_listener(first));

            let _waiting = TcpStream::connect(("127.0.0.1", port(&found))).unwrap();
            loop {
                match next(&mut transport).await {
                    TransportEvent::ListenerClosed { listener_id, .. } if listener_id == first => {}
                    TransportEvent::NewAddress { listener_id, .. } if listener_id == second => break,
                    event => panic!("the address comes first: {event:?}"),
                }
            }
            accept(&mut transport).await;
        });
    }
}

#[test]
fn dialling_reuses_the_listening_port_if_asked_to() {
    let wildcards = with_ipv6_if_any("/ip4/0.0.0.0/tcp/0", "/ip6/::/tcp/0");
    for (remote, local) in loopback().into_iter().zip(loopback().into_iter().zip(wildcards)) {
        for local in [local.0, local.1] {
            within_a_minute(async {
                let (mut here, mut there) = (Transport::default(), Transport::default());
                let (_, listening) = listen(&mut there, remote.clone()).await;
                here.listen_on(ListenerId::next(), local).unwrap();
                let own_port = port(&loopback_address(&mut here).await);

                let (new, (_, _, seen)) =
                    join(dial(&mut here, listening.clone(), NEW_PORT), accept(&mut there)).await;
                assert_ne!(port(&seen), own_port);

                let (dialled, (_, _, seen)) =
                    join(dial(&mut here, listening.clone(), LISTENING_PORT), accept(&mut there)).await;
                assert_eq!(port(&seen), own_port);

                // Two connections between the same ports cannot be: the second takes a new one.
                let (again, (_, _, seen)) =
                    join(dial(&mut here, listening, LISTENING_PORT), accept(&mut there)).await;
                assert_ne!(port(&seen), own_port);

                for stream in [new, dialled, again] {
                    stream.unwrap();
                }
            });
        }
    }
}

#[test]
fn a_closed_listener_lends_its_port_no_more() {
    within_a_minute(async {
        let (mut here, mut there) = (Transport::default(), Transport::default());
        let (_, listening) = listen(&mut there, address("/ip4/127.0.0.1/tcp/0")).await;
        let (id, own) = listen(&mut here, address("/ip4/127.0.0.1/tcp/0")).await;
        here.remove_listener(id);
        let (dialled, (_, _, seen)) =
            join(dial(&mut here, listening, LISTENING_PORT), accept(&mut there)).await;
        dialled.unwrap();
        assert_ne!(port(&seen), port(&own));
    });
}

#[test]
fn a_port_can_be_listened_on_twice() {
    within_a_minute(async {
        let mut transport = Transport::default();
        let (_, first) = listen(&mut transport, address("/ip4/127.0.0.1/tcp/0")).await;
        let (_, second) = listen(&mut transport, first.clone()).await;
        assert_eq!(first, second);
    });
}

#[test]
fn a_port_that_another_transport_listens_on_is_taken() {
    for any_port in ["/ip4/127.0.0.1/tcp/0", "/ip4/0.0.0.0/tcp/0"] {
        within_a_minute(async {
            let (mut first, mut second) = (Transport::default(), Transport::default());
            first.listen_on(ListenerId::next(), address(any_port)).unwrap();
            let taken = port(&loopback_address(&mut first).await);
            for ip in ["127.0.0.1", "0.0.0.0"] {
                let listened =
                    second.listen_on(ListenerId::next(), address(&format!("/ip4/{ip}/tcp/{taken}")));
                let Err(TransportError::Other(Error::Listen { address, source })) = listened else {
                    panic!("{ip} beside {any_port}: {listened:?}")
                };
                assert_eq!((address.port(), source.kind()), (taken, io::ErrorKind::AddrInUse));
            }
        });
    }
}

#[test]
fn a_port_is_free_again_while_a_connection_dialled_from_it_lives() {
    within_a_minute(async {
        let (mut here, mut there) = (Transport::default(), Transport::default());
        let (_, remote) = listen(&mut there, address("/ip4/127.0.0.1/tcp/0")).await;
        let (id, own) = listen(&mut here, address("/ip4/127.0.0.1/tcp/0")).await;
        let (dialled, (_, _, seen)) = join(dial(&mut here, remote, LISTENING_PORT), accept(&mut there)).await;
        let _alive = dialled.unwrap();
        assert_eq!(port(&seen), port(&own));
        here.remove_listener(id);
        let mut later = Transport::default();
        later.listen_on(ListenerId::next(), own.clone()).unwrap();
        assert_eq!(loopback_address(&mut later).await, own);
    });
}

/// An IPv4 listener and its address, and an IPv6 listener on the same port.
async fn share_a_port(wildcard_v4: &Multiaddr) -> (Transport, Multiaddr, Transport) {
    // Somebody else may happen to have the port that is free for IPv4, for IPv6.
    for _ in 0..16 {
        let (mut v4, mut v6) = (Transport::default(), Transport::default());
        v4.listen_on(ListenerId::next(), wildcard_v4.clone()).unwrap();
        let loopback_v4 = loopback_address(&mut v4).await;
        let wildcard_v6 = address(&format!("/ip6/::/tcp/{}", port(&loopback_v4)));
        match v6.listen_on(ListenerId::next(), wildcard_v6) {
            Ok(()) => return (v4, loopback_v4, v6),
            Err(error) => eprintln!("another port: {error:?}"),
        }
    }
    panic!("an IPv6 listener cannot have the port of an IPv4 listener")
}

#[test]
fn an_ipv4_and_an_ipv6_listener_share_a_port() {
    let wildcards = with_ipv6_if_any("/ip4/0.0.0.0/tcp/0", "/ip6/::/tcp/0");
    if wildcards.len() < 2 {
        return;
    }
    within_a_minute(async {
        let mut here = Transport::default();
        let (mut v4, loopback_v4, mut v6) = share_a_port(&wildcards[0]).await;
        let loopback_v6 = loopback_address(&mut v6).await;
        assert_eq!(port(&loopback_v4), port(&loopback_v6));
        for (there, listening) in [(&mut v4, loopback_v4), (&mut v6, loopback_v6)] {
            let (dialled, (_, local, _)) =
                join(dial(&mut here, listening.clone(), NEW_PORT), accept(there)).await;
            dialled.unwrap();
            assert_eq!(local, listening);
        }
    });
}

#[test]
fn what_is_no_tcp_address_is_left_to_other_transports() {
    let mut transport = Transport::default();
    for text in [
        "/ip4/127.0.0.1/tcp/12345/tcp/12345",
        "/ip4/127.0.0.1/udp/12345",
        "/ip4/127.0.0.1/tcp/12345/ws",
        "/ip4/127.0.0.1",
        "/dns4/localhost/tcp/12345",
    ] {
        let listened = transport.listen_on(ListenerId::next(), address(text));
        assert!(
            matches!(&listened, Err(TransportError::MultiaddrNotSupported(refused)) if *refused == address(text)),
            "{listened:?}"
        );
    }
    for text in [
        "/ip4/127.0.0.1/tcp/12345/tcp/12345",
        "/ip4/127.0.0.1/udp/12345",
        "/dns4/localhost/tcp/12345",
        "/ip4/127.0.0.1/tcp/0",
        "/ip6/::1/tcp/0",
        "/ip4/0.0.0.0/tcp/12345",
        "/ip6/::/tcp/12345",
    ] {
        let dialled = transport.dial(address(text), NEW_PORT).map(|_| ());
        assert!(
            matches!(&dialled, Err(TransportError::MultiaddrNotSupported(refused)) if *refused == address(text)),
            "{dialled:?}"
        );
    }
}

#[test]
fn the_peer_behind_an_address_is_ignored_when_dialling() {
    within_a_minute(async {
        let (mut here, mut there) = (Transport::default(), Transport::default());
        let (_, listening) = listen(&mut there, address("/ip4/127.0.0.1/tcp/0")).await;
        let with_peer = listening.with(libp2p::multiaddr::Protocol::P2p(libp2p::PeerId::random()));
        let (dialled, _) = join(dial(&mut here, with_peer, NEW_PORT), accept(&mut there)).await;
        dialled.unwrap();
    });
}

#[test]
fn nothing_is_dialled_before_it_is_polled() {
    within_a_minute(async {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let listening = multiaddr(listener.local_addr().unwrap());
        let mut transport = Transport::default();

        let dial = transport.dial(listening, NEW_PORT).unwrap();
        assert_eq!(listener.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
        let stream = dial.await.unwrap();
        assert_eq!(listener.accept().unwrap().1, stream.local_address().unwrap());
    });
}

#[test]
fn a_refused_dial_names_the_address() {
    within_a_minute(async {
        let holder = hold(0);
        let remote = holder.local_addr().unwrap().as_socket().unwrap();
        let error = dial(&mut Transport::default(), multiaddr(remote), NEW_PORT).await.unwrap_err();
        assert_eq!(error.to_string(), format!("cannot dial {remote}"));
        let Error::Dial { address, source } = error else { panic!("{error:?}") };
        assert_eq!(address, remote);
        assert_eq!(source.kind(), io::ErrorKind::ConnectionRefused);
    });
}

#[test]
fn an_occupied_port_gives_an_error_that_names_the_address() {
    let occupier = TcpListener::bind("127.0.0.1:0").unwrap();
    let occupied = occupier.local_addr().unwrap();
    let listened = Transport::default().listen_on(ListenerId::next(), multiaddr(occupied));
    let Err(TransportError::Other(error)) = listened else { panic!("{listened:?}") };
    assert_eq!(error.to_string(), format!("cannot listen on {occupied}"));
    let Error::Listen { address, source } = error else { panic!("{error:?}") };
    assert_eq!(address, occupied);
    assert_eq!(source.kind(), io::ErrorKind::AddrInUse);
}

#[test]
fn removing_a_listener_wakes_the_task_and_closes_the_port_and_ends() {
    for any_port in [address("/ip4/127.0.0.1/tcp/0"), address("/ip4/0.0.0.0/tcp/0")] {
        within_a_minute(async {
            let mut transport = Transport::default();
            let (id, listening) = listen(&mut transport, any_port).await;
            let _holder = hold(port(&listening));
            let bell = Arc::new(Bell::default());
            let waker = futures::task::waker(bell.clone());
            let mut cx = Context::from_waker(&waker);
            while Pin::new(&mut transport).poll(&mut cx).is_ready() {}
            let rung = bell.0.load(Ordering::SeqCst);

            assert!(transport.remove_listener(id));
            assert!(bell.0.load(Ordering::SeqCst) > rung, "the task is woken");
            let refusal = TcpStream::connect(("127.0.0.1", port(&listening))).expect_err("nobody listens");
            assert_eq!(refusal.kind(), io::ErrorKind::ConnectionRefused);
            let event = next(&mut transport).await;
            assert!(
                matches!(event, Event::ListenerClosed { listener_id, reason: Ok(()) } if listener_id == id),
                "{event:?}"
            );
            assert!(matches!(Pin::new(&mut transport).poll(&mut cx), Poll::Pending), "nothing follows");
            assert!(!transport.remove_listener(id));
        });
    }
}

#[test]
fn a_listener_that_is_not_there_cannot_be_removed() {
    assert!(!Transport::default().remove_listener(ListenerId::next()));
}

#[test]
fn a_new_listener_wakes_the_task() {
    let mut transport = Transport::new(Config::new());
    let bell = Arc::new(Bell::default());
    let waker = futures::task::waker(bell.clone());
    assert!(Pin::new(&mut transport).poll(&mut Context::from_waker(&waker)).is_pending());
    transport.listen_on(ListenerId::next(), address("/ip4/127.0.0.1/tcp/0")).unwrap();
    assert_eq!(bell.0.load(Ordering::SeqCst), 1);
}
