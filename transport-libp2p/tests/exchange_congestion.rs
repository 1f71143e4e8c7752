//! Peers that take few streams at a time, libp2p's Kademlia server first of all.

#![allow(clippy::unwrap_used)]

mod exchange_support;

use std::cell::Cell;

use dragnet_core::Failure;
use dragnet_libp2p::exchange::{Config, Outgoing, ServeConfig};
use exchange_support::{
    Asker, Ended, LONG, Served, channel, echo, listen, raw, run_both, serve, spawn, swarm,
};
use futures::{AsyncReadExt, AsyncWriteExt, StreamExt};
use libp2p::kad::{self, store::MemoryStore};
use libp2p::swarm::SwarmEvent;
use libp2p::{PeerId, StreamProtocol};

const KAD: StreamProtocol = StreamProtocol::new("/ipfs/kad/1.0.0");

async fn kad_server() -> Served {
    let mut swarm = swarm(kad::Behaviour::new(PeerId::random(), MemoryStore::new(PeerId::random())));
    swarm.behaviour_mut().set_mode(Some(kad::Mode::Server));
    let address = listen(&mut swarm).await;
    let peer = *swarm.local_peer_id();
    let (connected, connections) = channel();
    let (_, questions) = channel();
    let task = spawn(async move {
        loop {
            if let SwarmEvent::ConnectionEstablished { .. } = swarm.select_next_some().await {
                connected.try_send(()).unwrap();
            }
        }
    });
    Served { peer, address, questions, connections, task }
}

/// FIND_NODE: type 4, and a key.
fn find_node(id: u64, to: &Served) -> Outgoing {
    Outgoing {
        id,
        peer: to.peer,
        addresses: vec![to.address.clone()],
        protocol: KAD,
        payload: vec![0x08, 4, 0x12, 2, b'k', id as u8].into(),
        timeout: LONG,
        response_bytes_max: 16 << 10,
    }
}

async fn burst(asker: &mut Asker, server: &Served, count: u64) {
    for id in 0..count {
        asker.ask(find_node(id, server));
    }
    for _ in 0..count {
        let (id, Ended::Answered(answer)) = asker.next().await else { panic!("not answered") };
        // A FIND_NODE again.
        assert_eq!(answer[..2], [0x08, 4], "request {id}");
    }
    asker.settle().await;
}

#[test]
fn a_kademlia_server_answers_a_burst_of_a_hundred() {
    run_both(async || {
        let server = kad_server().await;
        let mut asker = Asker::new(Config::default());
        burst(&mut asker, &server, 100).await;
        assert_eq!(server.connections.len(), 1);
    });
}

#[test]
fn what_a_kademlia_server_drops_for_congestion_is_asked_again() {
    run_both(async || {
        let server = kad_server().await;
        // Far more at once than the 32 streams that it takes.
        let mut asker = Asker::new(Config { in_flight_max: 100, ..Config::default() });
        burst(&mut asker, &server, 100).await;
    });
}

#[test]
fn what_a_fetch_server_drops_for_congestion_is_asked_again_and_the_last_time_alone() {
    run_both(async || {
        let serving = ServeConfig { in_flight_max: 3, ..ServeConfig::default() };
        let server = serve(Config { serve: Some(serving), ..Config::default() }).await;
        let mut asker = Asker::new(Config { in_flight_max: 4, ..Config::default() });
        for id in 0..4 {
            asker.ask(asker.question(id, &server, LONG));
        }
        let mut open = Vec::new();
        for _ in 0..3 {
            open.push(asker.beside(server.questions.recv()).await.unwrap());
        }
        // The fourth has been dropped, and waits until one of the others is done.
        while asker.counts().queued == 0 {
            asker.beside(smol::future::yield_now()).await;
        }
        assert_eq!(asker.counts().in_flight, 3);
        open.remove(0).responder.answer([]).unwrap();
        assert_eq!(asker.next().await.1, Ended::Answered(Vec::new()));
        let fourth = asker.beside(server.questions.recv()).await.unwrap();
        // Refused while so many others are in flight that it may be congestion.
        assert_eq!(asker.counts().in_flight, 3);
        drop(fourth.responder);
        for asked in open {
            while asker.counts().queued == 0 {
                asker.beside(smol::future::yield_now()).await;
            }
            asked.responder.answer([]).unwrap();
            assert_eq!(asker.next().await.1, Ended::Answered(Vec::new()));
        }
        let fourth = asker.beside(server.questions.recv()).await.unwrap();
        assert_eq!((asker.counts().in_flight, asker.counts().queued), (1, 0));
        drop(fourth.responder);
        assert_eq!(asker.next().await.1, Ended::Failed(Failure::Refused));
        asker.settle().await;
    });
}

#[test]
fn a_stream_that_was_one_too_many_is_asked_again_though_the_others_are_done() {
    run_both(async || {
        let (answered, was_answered) = channel();
        let streams = Cell::new(0);
        let server = raw::script(move |mut stream| {
            let was_answered = was_answered.clone();
            let number = streams.replace(streams.get() + 1);
            async move {
                stream.read_exact(&mut [0; 13]).await.unwrap();
                if number == 1 {
                    was_answered.recv().await.unwrap();
                    return;
                }
                stream.write_all(&[0]).await.unwrap();
                stream.close().await.unwrap();
            }
        })
        .await;
        let mut asker = Asker::new(Config { in_flight_max: 2, ..Config::default() });
        asker.ask(asker.question(1, &server, LONG));
        asker.ask(asker.question(2, &server, LONG));
        assert_eq!(asker.next().await.1, Ended::Answered(Vec::new()));
        answered.try_send(()).unwrap();
        assert_eq!(asker.next().await.1, Ended::Answered(Vec::new()));
        asker.settle().await;
    });
}

#[test]
fn a_server_of_few_streams_answers_a_burst_though_each_request_has_three_chances() {
    run_both(async || {
        for streams in [1, 3] {
            let serving = ServeConfig { in_flight_max: streams, ..ServeConfig::default() };
            let server = echo(Config { serve: Some(serving), ..Config::default() }).await;
            let mut asker = Asker::new(Config::default());
            for id in 0..100 {
                asker.ask(asker.question(id, &server, LONG));
            }
            for _ in 0..100 {
                asker.next_items().await;
            }
            asker.settle().await;
        }
    });
}
