//! Alone in its binary: other tests would open descriptors of their own while this one counts.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "clippy knows only `#[test]` functions for tests, not their helpers")]

mod watchdog;

use std::{future::poll_fn, pin::Pin};

use dragnet_libp2p::tcp::Transport;
use futures::{AsyncReadExt, AsyncWriteExt, future::join};
use libp2p::{
    Multiaddr,
    core::{
        Endpoint, Transport as _,
        transport::{DialOpts, ListenerId, PortUse, TransportEvent},
    },
};

use self::watchdog::within_a_minute;

const CONNECTIONS: usize = 3000;
const OPTS: DialOpts = DialOpts { role: Endpoint::Dialer, port_use: PortUse::New };

fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Makes a connection, sends a byte each way and drops both ends.
async fn connect_once(transport: &mut Transport, listening: &Multiaddr) {
    // One that never begins.
    drop(transport.dial(listening.clone(), OPTS).unwrap());
    let dial = transport.dial(listening.clone(), OPTS).unwrap();
    let incoming = async {
        match poll_fn(|cx| Pin::new(&mut *transport).poll(cx)).await {
            TransportEvent::Incoming { upgrade, .. } => upgrade.await.unwrap(),
            event => panic!("{event:?} instead of a connection"),
        }
    };
    let (dialled, mut accepted) = join(dial, incoming).await;
    let mut dialled = dialled.unwrap();
    let mut byte = [1];
    dialled.write_all(&byte).await.unwrap();
    accepted.read_exact(&mut byte).await.unwrap();
    accepted.write_all(&byte).await.unwrap();
    dialled.read_exact(&mut byte).await.unwrap();
}

#[test]
fn thousands_of_short_connections_leak_no_descriptor() {
    within_a_minute(async {
        let mut transport = Transport::default();
        let id = ListenerId::next();
        let before_listening = {
            // The reactor's own descriptors come with the first use of it.
            let mut first = Transport::default();
            first.listen_on(id, "/ip4/127.0.0.1/tcp/0".parse().unwrap()).unwrap();
            drop(first);
            open_descriptors()
        };
        transport.listen_on(id, "/ip4/127.0.0.1/tcp/0".parse().unwrap()).unwrap();
        let event = poll_fn(|cx| Pin::new(&mut transport).poll(cx)).await;
        let listening = event.into_new_address().expect("the address comes first");

        connect_once(&mut transport, &listening).await;
        let before = open_descriptors();
        for _ in 0..CONNECTIONS {
            connect_once(&mut transport, &listening).await;
        }
        assert_eq!(open_descriptors(), before);

        transport.remove_listener(id);
        for _ in 0..16 {
            transport.dial(listening.clone(), OPTS).unwrap().await.expect_err("nobody listens any more");
        }
        for _ in 0..16 {
            transport.listen_on(id, "/ip4/0.0.0.0/tcp/0".parse().unwrap()).unwrap();
            transport.remove_listener(id);
        }
        assert_eq!(open_descriptors(), before_listening);
    });
}
