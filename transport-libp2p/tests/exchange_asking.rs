//! Asking peers: queues, dials, timeouts, cancellation.

#![allow(clippy::unwrap_used)]

mod exchange_support;

use std::task::{Context, Poll};
use std::time::Duration;

use dragnet_core::Failure;
use dragnet_libp2p::exchange::{Behaviour, Config, Counts, FetchConfig, Outgoing};
use exchange_support::{
    Asker, Ended, LONG, SHORT, echo, is_end, item, pausing, run, run_both, serve, swarm_idle,
};
use futures::task::noop_waker_ref;
use libp2p::swarm::behaviour::{DialFailure, FromSwarm};
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{ConnectionId, DialError, NetworkBehaviour, SwarmEvent, ToSwarm};
use libp2p::{Multiaddr, PeerId, StreamProtocol};

fn nobody() -> Multiaddr {
    "/memory/1".parse().unwrap()
}

#[test]
fn a_question_is_answered_with_the_items() {
    run_both(async || {
        let server = serve(Config::default()).await;
        let mut asker = Asker::new(Config::default());
        asker.ask(asker.question(7, &server, LONG));
        let asked = asker.beside(server.questions.recv()).await.unwrap();
        assert_eq!((&asked.question[..], asked.items_max), (&b"question 7"[..], 1024));
        assert_eq!(asker.counts().in_flight, 1);
        let items = [item(b"a", b"1"), item(b"b", &[9; 60_000])];
        assert_eq!(asked.responder.answer(items.clone()), Ok(2));
        assert_eq!(asker.next_items().await, items);
        asker.settle().await;
    });
}

#[test]
fn a_protocol_of_another_name_serves_as_well() {
    run_both(async || {
        let fetch = FetchConfig { protocol: StreamProtocol::new("/books/2"), ..FetchConfig::default() };
        let config = Config { fetch, ..Config::default() };
        let server = echo(config.clone()).await;
        let mut asker = Asker::new(config);
        asker.ask(asker.question(1, &server, LONG));
        assert_eq!(asker.next_items().await, [item(b"question 1", b"")]);
    });
}

#[test]
fn a_burst_of_a_hundred_is_served_sixteen_at_a_time_and_none_is_refused() {
    run_both(async || {
        let server = serve(Config::default()).await;
        let mut asker = Asker::new(Config::default());
        for id in 0..100 {
            asker.ask(asker.question(id, &server, LONG));
        }
        assert_eq!(asker.counts(), Counts { queued: 100, dialling: 1, events: 1, ..Counts::default() });
        let (mut open, mut seen, mut queued) = (Vec::new(), 0, Vec::new());
        while seen < 100 {
            // All that may be open are, before the first is answered.
            while open.len() < 16 && seen < 100 {
                open.push(asker.beside(server.questions.recv()).await.unwrap());
                seen += 1;
            }
            let counts = asker.counts();
            assert_eq!((counts.in_flight, counts.queued), (16, 100 - seen));
            assert!(server.questions.is_empty(), "more than 16 at once");
            open.remove(0).responder.answer([]).unwrap();
            let (_, ended, waited) = asker.next_queued().await;
            assert_eq!(ended, Ended::Answered(Vec::new()));
            queued.push(waited);
        }
        for asked in open {
            asked.responder.answer([]).unwrap();
            let (_, ended, waited) = asker.next_queued().await;
            assert_eq!(ended, Ended::Answered(Vec::new()));
            queued.push(waited);
        }
        assert_eq!(queued.len(), 100);
        assert!(queued[99] > queued[0], "who asked last has waited longest");
        assert_eq!(asker.sent, (0..100).collect::<Vec<u64>>(), "each is said to be sent, once and in turn");
        asker.settle().await;
    });
}

#[test]
fn a_request_times_out_by_itself_and_frees_the_remote() {
    run_both(async || {
        let server = serve(Config::default()).await;
        let mut asker = Asker::new(Config::default());
        asker.ask(asker.question(1, &server, SHORT));
        asker.ask(asker.question(2, &server, LONG));
        let mut first = asker.beside(server.questions.recv()).await.unwrap();
        let mut second = asker.beside(server.questions.recv()).await.unwrap();
        if first.question != b"question 1" {
            std::mem::swap(&mut first, &mut second);
        }
        assert_eq!(asker.next().await, (1, Ended::Failed(Failure::TimedOut)));
        asker.beside(first.responder.gone()).await;
        assert!(first.responder.is_gone() && !second.responder.is_gone());
        second.responder.answer([]).unwrap();
        assert_eq!(asker.next().await, (2, Ended::Answered(Vec::new())));
        asker.settle().await;
    });
}

#[test]
fn a_cancelled_request_is_reset_and_never_heard_of_again() {
    run_both(async || {
        let server = serve(Config::default()).await;
        let mut asker = Asker::new(Config::default());
        asker.ask(asker.question(1, &server, LONG));
        let mut asked = asker.beside(server.questions.recv()).await.unwrap();
        assert!(!asked.responder.is_gone());
        assert!(asker.cancel(1));
        assert!(!asker.cancel(1), "it is cancelled already");
        asker.beside(asked.responder.gone()).await;
        assert!(asked.responder.answer([item(b"late", b"")]).is_err());
        asker.settle().await;
        // The id is free again, and the connection in use.
        asker.ask(asker.question(1, &server, LONG));
        let asked = asker.beside(server.questions.recv()).await.unwrap();
        asked.responder.answer([]).unwrap();
        assert_eq!(asker.next().await, (1, Ended::Answered(Vec::new())));
        asker.settle().await;
        assert_eq!(asker.dials, 1);
    });
}

#[test]
fn a_request_may_be_cancelled_at_any_moment() {
    run_both(async || {
        let server = echo(Config::default()).await;
        // After each number of steps of the swarm: before the dial, during it, during negotiation.
        for steps in 0..6 {
            let mut asker = Asker::new(Config::default());
            asker.ask(asker.question(1, &server, LONG));
            let mut ended = false;
            for _ in 0..steps {
                ended |= is_end(&asker.step().await);
                if ended {
                    break;
                }
            }
            assert_eq!(asker.cancel(1), !ended);
            asker.settle().await;
            if ended {
                assert!(steps > 1, "cancelled too late");
                break;
            }
        }
    });
}

#[test]
fn a_request_cancelled_before_its_stream_is_opened_opens_none() {
    run_both(async || {
        let server = serve(Config::default()).await;
        let mut asker = Asker::new(Config { in_flight_max: 1, ..Config::default() });
        asker.ask(asker.question(1, &server, LONG));
        asker.ask(asker.question(2, &server, LONG));
        while asker.counts().in_flight == 0 {
            asker.step().await;
        }
        // The handler has not heard of it yet.
        assert!(asker.cancel(1));
        assert_eq!((asker.counts().in_flight, asker.counts().queued), (1, 1));
        let asked = asker.beside(server.questions.recv()).await.unwrap();
        assert_eq!(asked.question, b"question 2", "the cancelled one was not sent");
        asked.responder.answer([]).unwrap();
        assert_eq!(asker.next().await, (2, Ended::Answered(Vec::new())));
        asker.settle().await;
    });
}

#[test]
fn a_request_cancelled_during_negotiation_keeps_its_place_until_the_stream_is_gone() {
    // Where streams are negotiated lazily, they are gone at once.
    run(async {
        let (server, resume) = pausing(Config::default()).await;
        let mut asker = Asker::new(Config { in_flight_max: 1, ..Config::default() });
        asker.ask(asker.question(1, &server, LONG));
        asker.beside(server.connections.recv()).await.unwrap();
        // The stream is opened, and the remote does not respond.
        asker.idle().await;
        assert_eq!(asker.counts().in_flight, 1);
        assert!(asker.cancel(1));
        asker.ask(asker.question(2, &server, LONG));
        asker.idle().await;
        assert_eq!((asker.counts().in_flight, asker.counts().queued), (1, 1));
        resume.try_send(()).unwrap();
        let asked = asker.beside(server.questions.recv()).await.unwrap();
        assert_eq!(asked.question, b"question 2", "the cancelled one was not sent");
        asked.responder.answer([]).unwrap();
        assert_eq!(asker.next().await, (2, Ended::Answered(Vec::new())));
        asker.settle().await;
    });
}

#[test]
fn a_request_cancelled_in_the_queue_is_never_sent() {
    run_both(async || {
        let server = serve(Config::default()).await;
        let mut asker = Asker::new(Config { in_flight_max: 1, ..Config::default() });
        for id in 1..=3 {
            asker.ask(asker.question(id, &server, LONG));
        }
        let first = asker.beside(server.questions.recv()).await.unwrap();
        assert!(asker.cancel(2));
        assert_eq!(asker.counts().queued, 1);
        first.responder.answer([]).unwrap();
        assert_eq!(asker.next().await, (1, Ended::Answered(Vec::new())));
        let third = asker.beside(server.questions.recv()).await.unwrap();
        assert_eq!(third.question, b"question 3");
        third.responder.answer([]).unwrap();
        assert_eq!(asker.next().await, (3, Ended::Answered(Vec::new())));
        asker.settle().await;
    });
}

#[test]
fn a_cancel_of_nothing_changes_nothing() {
    run_both(async || {
        let mut asker = Asker::new(Config::default());
        assert!(!asker.cancel(5));
        assert!(asker.swarm.behaviour().is_idle());
        let server = echo(Config::default()).await;
        asker.ask(asker.question(5, &server, LONG));
        assert_eq!(asker.next_items().await.len(), 1);
        assert!(!asker.cancel(5), "it has ended");
        asker.settle().await;
    });
}

#[test]
fn an_id_in_use_is_not_accepted() {
    run_both(async || {
        let server = echo(Config::default()).await;
        let mut asker = Asker::new(Config::default());
        asker.ask(asker.question(5, &server, LONG));
        let again = asker.question(5, &server, LONG);
        assert!(!asker.swarm.behaviour_mut().ask(again));
        assert_eq!(asker.next_items().await.len(), 1);
        asker.settle().await;
    });
}

#[test]
fn a_full_queue_is_a_local_failure() {
    run_both(async || {
        let server = echo(Config::default()).await;
        let mut asker = Asker::new(Config { queued_max: 2, ..Config::default() });
        for id in 1..=3 {
            asker.ask(asker.question(id, &server, LONG));
        }
        assert_eq!(asker.next().await, (3, Ended::Failed(Failure::Local)));
        asker.next_items().await;
        asker.next_items().await;
        asker.settle().await;
    });
}

#[test]
fn a_peer_without_the_protocol_is_told_apart() {
    run_both(async || {
        let server = serve(Config { serve: None, ..Config::default() }).await;
        let mut asker = Asker::new(Config::default());
        asker.ask(asker.question(1, &server, LONG));
        assert_eq!(asker.next().await, (1, Ended::Failed(Failure::Unsupported)));
        asker.settle().await;
    });
}

#[test]
fn a_peer_that_cannot_be_dialled_is_unreachable() {
    run_both(async || {
        let server = serve(Config::default()).await;
        let mut asker = Asker::new(Config::default());
        let mut nowhere = asker.question(1, &server, LONG);
        nowhere.addresses = Vec::new();
        asker.ask(nowhere);
        assert_eq!(asker.next().await, (1, Ended::Failed(Failure::Unreachable)));
        let mut dead = asker.question(2, &server, LONG);
        dead.addresses = vec![nobody()];
        asker.ask(dead);
        assert_eq!(asker.next().await, (2, Ended::Failed(Failure::Unreachable)));
        // Somebody listens there, but it is another.
        let mut other = asker.question(3, &server, LONG);
        other.peer = PeerId::random();
        asker.ask(other);
        assert_eq!(asker.next().await, (3, Ended::Failed(Failure::Unreachable)));
        asker.settle().await;
        assert_eq!(asker.counts(), Counts::default());
    });
}

#[test]
fn two_requests_share_one_dial() {
    run_both(async || {
        let server = echo(Config::default()).await;
        let mut asker = Asker::new(Config::default());
        asker.ask(asker.question(1, &server, LONG));
        asker.ask(asker.question(2, &server, LONG));
        asker.next_items().await;
        asker.next_items().await;
        assert_eq!((asker.dials, server.connections.len(), asker.counts().connections), (1, 1, 1));
        assert!(asker.swarm.behaviour().is_connected(&server.peer));
        asker.settle().await;
    });
}

#[test]
fn an_address_that_comes_during_a_dial_is_dialled_after_it() {
    run_both(async || {
        let server = echo(Config::default()).await;
        let mut asker = Asker::new(Config::default());
        let mut dead = asker.question(1, &server, LONG);
        dead.addresses = vec![nobody()];
        asker.ask(dead);
        assert!(matches!(asker.step().await, SwarmEvent::Dialing { .. }));
        asker.ask(asker.question(2, &server, LONG));
        assert_eq!(asker.next().await, (1, Ended::Failed(Failure::Unreachable)));
        assert_eq!(asker.next_items().await, [item(b"question 2", b"")]);
        asker.settle().await;
    });
}

#[test]
fn a_failing_dial_of_others_does_not_fail_a_request_with_an_address() {
    run_both(async || {
        let server = echo(Config::default()).await;
        let mut asker = Asker::new(Config::default());
        let dead = DialOpts::peer_id(server.peer).addresses(vec![nobody()]).build();
        asker.swarm.dial(dead).unwrap();
        asker.ask(asker.question(1, &server, LONG));
        assert_eq!(asker.next_items().await.len(), 1);
        asker.settle().await;
    });
}

#[test]
fn a_dial_that_others_are_denied_is_waited_for() {
    let mut behaviour = Behaviour::new(Config::default());
    let peer_id = PeerId::random();
    behaviour.ask(Outgoing {
        id: 1,
        peer: peer_id,
        addresses: vec![nobody()],
        protocol: StreamProtocol::new("/books/2"),
        payload: Default::default(),
        timeout: LONG,
        response_bytes_max: 9,
    });
    let mut cx = Context::from_waker(noop_waker_ref());
    let Poll::Ready(ToSwarm::Dial { opts }) = behaviour.poll(&mut cx) else { panic!("no dial") };
    let refused = DialError::DialPeerConditionFalse(PeerCondition::NotDialing);
    // The dial is another behaviour's; then a third is told so.
    for connection_id in [opts.connection_id(), ConnectionId::new_unchecked(usize::MAX)] {
        let failure = DialFailure { peer_id: Some(peer_id), error: &refused, connection_id };
        behaviour.on_swarm_event(FromSwarm::DialFailure(failure));
        assert!(behaviour.poll(&mut cx).is_pending(), "it is being dialled");
        assert_eq!((behaviour.counts().dialling, behaviour.counts().queued), (1, 1));
    }
}

#[test]
fn a_connection_that_closes_ends_what_was_asked_on_it() {
    run_both(async || {
        let server = serve(Config::default()).await;
        let mut asker = Asker::new(Config { in_flight_max: 2, ..Config::default() });
        for id in 1..=3 {
            asker.ask(asker.question(id, &server, LONG));
        }
        asker.beside(server.questions.recv()).await.unwrap();
        asker.beside(server.questions.recv()).await.unwrap();
        drop(server);
        let mut ended = Vec::new();
        for _ in 0..3 {
            ended.push(asker.next().await);
        }
        ended.sort_by_key(|(id, _)| *id);
        let failed = [Failure::Closed, Failure::Closed, Failure::Unreachable];
        assert_eq!(ended, [1, 2, 3].map(|id| (id, Ended::Failed(failed[id as usize - 1]))));
        asker.settle().await;
        assert_eq!(asker.counts(), Counts::default());
    });
}

#[test]
fn our_own_closing_ends_what_was_asked() {
    run_both(async || {
        let server = serve(Config::default()).await;
        let mut asker = Asker::new(Config::default());
        asker.ask(asker.question(1, &server, LONG));
        let mut asked = asker.beside(server.questions.recv()).await.unwrap();
        asker.swarm.disconnect_peer_id(server.peer).unwrap();
        assert_eq!(asker.next().await, (1, Ended::Failed(Failure::Closed)));
        asker.beside(asked.responder.gone()).await;
        asker.settle().await;
    });
}

#[test]
fn a_request_that_crosses_with_the_closing_is_asked_over_a_new_connection() {
    run_both(async || {
        let server = echo(Config::default()).await;
        let mut asker = Asker::new(Config::default());
        asker.ask(asker.question(1, &server, LONG));
        asker.next_items().await;
        asker.swarm.disconnect_peer_id(server.peer).unwrap();
        // Not told yet that the connection is closing.
        assert!(asker.swarm.behaviour().is_connected(&server.peer));
        asker.ask(asker.question(2, &server, LONG));
        assert_eq!(asker.next_items().await, [item(b"question 2", b"")]);
        assert_eq!(asker.dials, 2);
        asker.settle().await;
    });
}

#[test]
fn an_idle_connection_is_not_kept() {
    run_both(async || {
        let server = echo(Config::default()).await;
        let mut asker = Asker::new(Config::default());
        asker.swarm = swarm_idle(Behaviour::new(Config::default()), Duration::ZERO);
        asker.ask(asker.question(1, &server, LONG));
        asker.next_items().await;
        while !matches!(asker.step().await, SwarmEvent::ConnectionClosed { .. }) {}
        assert_eq!(asker.counts(), Counts::default());
    });
}
