//! What the transport saves, bounds and lets go of.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Waker};
use std::time::Duration;

use dragnet_core::front::{Contact, Event, Transport};
use dragnet_core::{Failure, Query, QueryId, RequestId, Step};
use dragnet_registry::{Config, RegistryTransport, RegistryUrl};
use futures::future::poll_fn;
use futures::{StreamExt, future};
use smol::channel::{Receiver, Sender, bounded};
use support::{Asker, Conversation, JSON, Server, Words, good, run, serve};
use uuid::Uuid;

#[test]
fn an_answer_comes_over_a_connection_that_is_used_again() {
    run(async {
        let server = good().await;
        let asker = Asker::new(Config::default());
        for _ in 0..5 {
            assert_eq!(asker.ask(&server.url).await.words, ["one", "two"]);
        }
        assert_eq!(server.connections(), 1);
        assert_eq!(asker.health.of(&server.url).unwrap().answered, 5);
        asker.stop().await;
    });
}

#[test]
fn a_kept_connection_that_the_registry_closed_is_replaced() {
    run(async {
        // One answer per connection, without a word of it.
        let server = serve(|mut talk| async move {
            talk.asked().await;
            talk.answer_json(r#"{"words": ["one"]}"#).await;
        })
        .await;
        let asker = Asker::new(Config::default());
        for asked in 1..=4 {
            assert_eq!(asker.ask(&server.url).await.words, ["one"]);
            assert_eq!(server.connections(), asked);
        }
        asker.stop().await;
    });
}

#[test]
fn a_request_that_a_kept_connection_swallows_is_sent_again() {
    run(async {
        // The first connection takes a second request, and closes on it.
        let server = serve(|mut talk| async move {
            talk.asked().await;
            talk.answer_json(r#"{"words": ["one"]}"#).await;
            talk.asked().await;
        })
        .await;
        let asker = Asker::new(Config::default());
        assert_eq!(asker.ask(&server.url).await.words, ["one"]);
        assert_eq!(asker.ask(&server.url).await.words, ["one"]);
        assert_eq!(server.connections(), 2);
        asker.stop().await;
    });
}

#[test]
fn an_idle_connection_is_closed_after_a_while() {
    run(async {
        let (closed, is_closed) = bounded(1);
        let server = serve(move |mut talk| {
            let closed = closed.clone();
            async move {
                talk.asked().await;
                talk.answer_json(r#"{"words": ["one"]}"#).await;
                talk.closed().await;
                let _ = closed.send(()).await;
            }
        })
        .await;
        let asker = Asker::new(Config::default().with_idle_timeout(Duration::from_millis(50)));
        assert_eq!(asker.ask(&server.url).await.words, ["one"]);
        // Though nothing is asked any more.
        is_closed.recv().await.unwrap();
        asker.stop().await;
    });
}

#[test]
fn a_redirect_is_followed_to_another_registry() {
    run(async {
        let target = good().await;
        let location: &'static str = format!("location: {}elsewhere?x=1#part\r\n", target.url).leak();
        for status in ["301 Moved", "302 Found", "303 See", "307 Temporary", "308 Permanent"] {
            let server = support::always(status, location, "").await;
            let asker = Asker::new(Config::default());
            assert_eq!(asker.ask(&server.url).await.words, ["one", "two"], "{status}");
            assert_eq!(asker.health.of(&server.url).unwrap().answered, 1);
            asker.stop().await;
        }
    });
}

/// Answers by version: unchanged for who has the current one.
async fn versioned() -> (Server, Arc<AtomicUsize>, Receiver<Option<String>>) {
    let version = Arc::new(AtomicUsize::new(1));
    let (seen, tags) = bounded(100);
    let current = Arc::clone(&version);
    let server = serve(move |mut talk| {
        let (current, seen) = (Arc::clone(&current), seen.clone());
        async move {
            while let Some(asked) = talk.asked().await {
                let version = current.load(Ordering::SeqCst);
                let (tag, known) =
                    (format!("\"{version}\""), asked.header("if-none-match").map(String::from));
                let headers = format!("etag: {tag}\r\n");
                if known.as_ref() == Some(&tag) {
                    talk.send(format!("HTTP/1.1 304 Not Modified\r\n{headers}\r\n")).await;
                } else {
                    let body = format!(r#"{{"words": ["version {version}"]}}"#);
                    talk.answer("200 OK", &format!("{JSON}{headers}"), &body).await;
                }
                seen.send(known).await.unwrap();
            }
        }
    })
    .await;
    (server, version, tags)
}

#[test]
fn an_answer_that_has_not_changed_is_used_once_more() {
    run(async {
        let (server, version, tags) = versioned().await;
        let asker = Asker::new(Config::default());
        for (now, tag, unchanged) in
            [(1, None, 0), (1, Some("\"1\""), 1), (2, Some("\"1\""), 1), (2, Some("\"2\""), 2)]
        {
            version.store(now, Ordering::SeqCst);
            assert_eq!(asker.ask(&server.url).await.words, [format!("version {now}")]);
            assert_eq!(tags.recv().await.unwrap().as_deref(), tag);
            assert_eq!(asker.health.of(&server.url).unwrap().unchanged, unchanged);
        }
        assert_eq!(server.connections(), 1, "nothing follows a 304");
        asker.stop().await;
    });
}

#[test]
fn without_a_cache_nothing_is_kept() {
    run(async {
        let (server, _, tags) = versioned().await;
        for (entries_max, bytes_max) in [(0, 1 << 20), (10, 0)] {
            let asker = Asker::new(Config::default().with_cache(entries_max, bytes_max));
            for _ in 0..2 {
                assert_eq!(asker.ask(&server.url).await.words, ["version 1"]);
                assert_eq!(tags.recv().await.unwrap(), None);
            }
            asker.stop().await;
        }
    });
}

/// Holds every request until it is told to answer; says how many it holds.
async fn held() -> (Server, Receiver<usize>, Sender<()>) {
    let (asked, counts) = bounded(100);
    let (answer, answers) = bounded::<()>(100);
    let now = Arc::new(AtomicUsize::new(0));
    let server = serve(move |mut talk: Conversation| {
        let (asked, answers, now) = (asked.clone(), answers.clone(), Arc::clone(&now));
        async move {
            while talk.asked().await.is_some() {
                asked.send(now.fetch_add(1, Ordering::SeqCst) + 1).await.unwrap();
                answers.recv().await.unwrap();
                now.fetch_sub(1, Ordering::SeqCst);
                talk.answer_json(r#"{"words": ["one"]}"#).await;
            }
        }
    })
    .await;
    (server, counts, answer)
}

#[test]
fn a_registry_is_asked_over_few_connections_and_the_others_wait() {
    run(async {
        let (server, counts, answer) = held().await;
        let asker = Asker::new(Config::default().with_connections_max(2));
        let queries: Vec<_> = (0..10)
            .map(|n| {
                asker.client.query(Query::new(format!("word {n}")).fetch_from([server.url.clone()])).unwrap()
            })
            .collect();
        let mut most = 0;
        let watching = async {
            for _ in 0..10 {
                most = most.max(counts.recv().await.unwrap());
                // From the second on there is always one more than is answered.
                answer.send(()).await.unwrap();
            }
        };
        let ends = future::join_all(queries.into_iter().map(|query| query.collect()));
        let ((), ends) = future::join(watching, ends).await;
        for end in ends {
            let (found, outcome) = end.unwrap();
            assert_eq!((found.len(), outcome.stats.replied), (1, 1), "{outcome:?}");
        }
        assert!(most <= 2, "{most} at once");
        assert!(server.connections() <= 2, "{} connections", server.connections());
        asker.stop().await;
    });
}

// ------------------------------------------------------------ the transport without a driver

/// Gives up long after the test.
fn patient() -> Config {
    Config::default().with_request_timeout(Duration::from_secs(3600))
}

fn transport(config: Config) -> RegistryTransport<Words> {
    RegistryTransport::new(Words, config).unwrap()
}

fn contact(transport: &mut RegistryTransport<Words>, request: u64, peer: &RegistryUrl, step: Step) {
    contact_for(transport, request, peer, step, "word");
}

fn contact_for(
    transport: &mut RegistryTransport<Words>,
    request: u64,
    peer: &RegistryUrl,
    step: Step,
    ask: &str,
) {
    transport.contact(Contact {
        request: RequestId::from_u64(request),
        query: QueryId::from_uuid(Uuid::nil()),
        peer: peer.clone(),
        step,
        ask: ask.to_string(),
    });
}

/// The next end of a request.
async fn event(transport: &mut RegistryTransport<Words>) -> (u64, Result<usize, Failure>) {
    loop {
        return match poll_fn(|cx| transport.poll_event(cx)).await {
            Event::Sent { .. } => continue,
            Event::Reply { request, reply } => (request.as_u64(), Ok(reply.items.len())),
            Event::Failure { request, failure } => (request.as_u64(), Err(failure)),
            other => panic!("{other:?}"),
        };
    }
}

#[test]
fn more_than_may_wait_is_refused_as_our_own_congestion() {
    run(async {
        let (server, counts, answer) = held().await;
        let mut transport = transport(Config::default().with_connections_max(1).with_waiting_max(2));
        (1..=4).for_each(|n| contact(&mut transport, n, &server.url, Step::Fetch));
        assert_eq!(transport.requests(), 3);
        assert_eq!(event(&mut transport).await, (4, Err(Failure::Local)));
        assert_eq!(transport.health().of(&server.url), None, "that says nothing of the registry");
        for n in 1..=3 {
            answer.send(()).await.unwrap();
            assert_eq!(event(&mut transport).await, (n, Ok(1)));
            assert_eq!(counts.recv().await.unwrap(), 1);
        }
        assert_eq!(transport.requests(), 0);
        // Who was released waits no more.
        (5..=7).for_each(|n| contact(&mut transport, n, &server.url, Step::Fetch));
        (6..=7).for_each(|n| transport.release(RequestId::from_u64(n)));
        (8..=9).for_each(|n| contact(&mut transport, n, &server.url, Step::Fetch));
        for n in [5, 8, 9] {
            answer.send(()).await.unwrap();
            assert_eq!(event(&mut transport).await, (n, Ok(1)));
        }
    });
}

#[test]
fn who_waits_for_his_turn_says_when_it_comes() {
    run(async {
        let (server, _counts, answer) = held().await;
        let mut transport = transport(patient().with_connections_max(1));
        (1..=2).for_each(|n| contact(&mut transport, n, &server.url, Step::Fetch));
        for _ in 0..2 {
            answer.send(()).await.unwrap();
        }
        let mut seen = Vec::new();
        while seen.len() < 4 {
            let event = poll_fn(|cx| transport.poll_event(cx)).await;
            seen.push((event.request().as_u64(), matches!(event, Event::Sent { .. })));
        }
        // The second is on its way no sooner than the first has ended.
        assert_eq!(seen, [(1, true), (1, false), (2, true), (2, false)]);
    });
}

#[test]
fn a_released_request_closes_its_connection_and_gives_its_turn_away() {
    run(async {
        let (asked, seen) = bounded(10);
        let (gone, is_gone) = bounded(10);
        // The first request is never answered.
        let server = serve(move |mut talk: Conversation| {
            let (asked, gone) = (asked.clone(), gone.clone());
            async move {
                talk.asked().await;
                asked.send(talk.number).await.unwrap();
                if talk.number > 0 {
                    talk.answer_json(r#"{"words": ["one"]}"#).await;
                }
                talk.closed().await;
                gone.send(talk.number).await.unwrap();
            }
        })
        .await;
        let mut transport = transport(patient().with_connections_max(1));
        (1..=3).for_each(|n| contact(&mut transport, n, &server.url, Step::Fetch));
        let first = {
            let event = Box::pin(event(&mut transport));
            let seen = Box::pin(seen.recv());
            match future::select(event, seen).await {
                future::Either::Left((event, _)) => panic!("{event:?}"),
                future::Either::Right((number, _)) => number.unwrap(),
            }
        };
        assert_eq!(first, 0);
        // One under way, one that waits.
        transport.release(RequestId::from_u64(1));
        transport.release(RequestId::from_u64(2));
        assert_eq!(event(&mut transport).await, (3, Ok(1)));
        assert_eq!(is_gone.recv().await.unwrap(), 0);
        assert_eq!(transport.requests(), 0);
    });
}

#[test]
fn a_walk_is_not_for_registries() {
    run(async {
        let server = good().await;
        let mut transport = transport(Config::default());
        contact(&mut transport, 1, &server.url, Step::Route(0));
        assert_eq!(event(&mut transport).await, (1, Err(Failure::Unsupported)));
        contact(&mut transport, 2, &server.url, Step::Fetch);
        contact(&mut transport, 3, &server.url, Step::Route(0));
        transport.release(RequestId::from_u64(3));
        assert_eq!(event(&mut transport).await, (2, Ok(2)));
        assert!(transport.poll_event(&mut Context::from_waker(Waker::noop())).is_pending());
    });
}

#[test]
fn a_url_that_cannot_be_asked_for_is_not_the_registrys_fault() {
    run(async {
        let server = good().await;
        let mut transport = transport(Config::default());
        let long = "x".repeat(1 << 17);
        for ask in ["elsewhere:file:///etc/passwd", &long] {
            contact_for(&mut transport, 1, &server.url, Step::Fetch, ask);
            assert_eq!(event(&mut transport).await, (1, Err(Failure::Local)));
        }
        assert_eq!((transport.health().of(&server.url), server.connections()), (None, 0));
    });
}

#[test]
fn dropping_a_query_lets_go_of_its_request() {
    run(async {
        let (gone, is_gone) = bounded(1);
        let (asked, is_asked) = bounded(1);
        let server = serve(move |mut talk| {
            let (asked, gone) = (asked.clone(), gone.clone());
            async move {
                talk.asked().await;
                asked.send(()).await.unwrap();
                talk.closed().await;
                gone.send(()).await.unwrap();
            }
        })
        .await;
        let asker = Asker::new(patient());
        let mut query =
            asker.client.query(Query::new("word".to_string()).fetch_from([server.url.clone()])).unwrap();
        let nothing = Box::pin(query.next());
        let asked = Box::pin(is_asked.recv());
        assert!(matches!(future::select(nothing, asked).await, future::Either::Right(_)));
        drop(query);
        is_gone.recv().await.unwrap();
        asker.stop().await;
    });
}
