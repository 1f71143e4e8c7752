//! Whatever a registry does, it is one failure with a reason, and the others go on.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod support;

use std::time::Duration;

use dragnet_core::Failure;
use dragnet_registry::{Config, Error};
use support::{Asker, Conversation, JSON, always, failure_of, good, run, serve};

/// Soon enough for a test, and far more than an answer on loopback takes.
fn impatient() -> Config {
    Config::default().with_request_timeout(Duration::from_millis(400))
}

#[track_caller]
fn said(error: &Error, failure: Failure, parts: &[&str]) {
    assert_eq!(error.failure(), failure, "{error:?}");
    for part in parts {
        assert!(error.to_string().contains(part), "`{part}` is missing in: {error}");
    }
}

#[test]
fn html_is_no_answer_whatever_it_calls_itself() {
    run(async {
        let page = "<!doctype html><title>It works</title>";
        let honest = always("200 OK", "content-type: text/html; charset=utf-8\r\n", page).await;
        let error = failure_of(&honest, Config::default()).await;
        assert!(matches!(error, Error::ContentType { .. }));
        said(
            &error,
            Failure::Invalid,
            &[honest.url.as_str(), "`text/html; charset=utf-8`", "application/json"],
        );

        let error = failure_of(&always("200 OK", "", page).await, Config::default()).await;
        assert!(matches!(error, Error::ContentType { .. }));

        let error = failure_of(&always("200 OK", JSON, page).await, Config::default()).await;
        assert!(matches!(error, Error::Json { .. }));
        said(&error, Failure::Invalid, &["no JSON", "line 1 column 1"]);

        let zipped = "content-type: application/json\r\ncontent-encoding: gzip\r\n";
        let error = failure_of(&always("200 OK", zipped, "{}").await, Config::default()).await;
        assert!(matches!(error, Error::Encoding { .. }));
        said(&error, Failure::Invalid, &["`gzip`"]);
    });
}

#[test]
fn a_refusal_is_told_with_its_status() {
    run(async {
        for (status, code) in
            [("500 Internal Server Error", 500), ("404 Not Found", 404), ("429 Slow down", 429)]
        {
            let error =
                failure_of(&always(status, JSON, r#"{"words": ["x"]}"#).await, Config::default()).await;
            assert!(matches!(error, Error::Status { status, .. } if status == code), "{error:?}");
            said(&error, Failure::Refused, &[&code.to_string()]);
        }
        for status in ["204 No Content", "206 Partial Content", "300 Multiple Choices", "304 Not Modified"] {
            let error = failure_of(&always(status, JSON, "").await, Config::default()).await;
            assert!(matches!(error, Error::Status { .. }), "{status}: {error:?}");
            said(&error, Failure::Invalid, &[&status[..3]]);
        }
    });
}

#[test]
fn a_body_without_an_end_is_read_up_to_the_limit() {
    run(async {
        let (sent, told) = smol::channel::bounded(1);
        let endless = serve(move |mut talk| {
            let sent = sent.clone();
            async move {
                talk.asked().await;
                talk.send(format!("HTTP/1.1 200 OK\r\n{JSON}transfer-encoding: chunked\r\n\r\n")).await;
                let chunk = format!("1000\r\n{}\r\n", "[".repeat(0x1000));
                let mut bytes = 0;
                while talk.send(&chunk).await {
                    bytes += chunk.len();
                }
                let _ = sent.send(bytes).await;
            }
        })
        .await;
        let error = failure_of(&endless, Config::default().with_body_bytes_max(100_000)).await;
        assert!(matches!(error, Error::TooLarge { max: 100_000, .. }), "{error:?}");
        said(&error, Failure::Invalid, &["more than 100000 bytes"]);
        // It could not send on: what it sent is in the buffers of the two sockets.
        let bytes = told.recv().await.unwrap();
        assert!(bytes < 32 << 20, "{bytes} bytes were taken");
    });
}

#[test]
fn a_body_that_is_said_to_be_too_long_is_not_read() {
    run(async {
        let large = serve(|mut talk| async move {
            talk.asked().await;
            // No byte of it follows.
            talk.send(format!("HTTP/1.1 200 OK\r\n{JSON}content-length: 9999999999999\r\n\r\n")).await;
            talk.closed().await;
        })
        .await;
        let error = failure_of(&large, Config::default()).await;
        assert!(matches!(error, Error::TooLarge { .. }), "{error:?}");
    });
}

#[test]
fn the_limit_itself_is_not_too_long() {
    run(async {
        let server = always("200 OK", JSON, r#"{"words": ["a"]}"#).await;
        let asker = Asker::new(Config::default().with_body_bytes_max(16));
        assert_eq!(asker.ask(&server.url).await.words, ["a"]);
        asker.stop().await;
        let error = failure_of(&server, Config::default().with_body_bytes_max(15)).await;
        assert!(matches!(error, Error::TooLarge { max: 15, .. }), "{error:?}");
        // The same of a body that does not say how long it is.
        let silent = serve(|mut talk| async move {
            talk.asked().await;
            talk.send(format!("HTTP/1.1 200 OK\r\n{JSON}\r\n{{\"words\": [\"a\"]}}")).await;
        })
        .await;
        let asker = Asker::new(Config::default().with_body_bytes_max(16));
        assert_eq!(asker.ask(&silent.url).await.words, ["a"]);
        asker.stop().await;
        let error = failure_of(&silent, Config::default().with_body_bytes_max(15)).await;
        assert!(matches!(error, Error::TooLarge { max: 15, .. }), "{error:?}");
    });
}

/// Sends byte after byte, slowly, for as long as they are taken.
async fn drip(talk: &mut Conversation, byte: &str) {
    while talk.send(byte).await {
        smol::Timer::after(Duration::from_millis(10)).await;
    }
}

#[test]
fn one_byte_after_the_other_ends_by_the_timeout() {
    run(async {
        let slow_body = serve(|mut talk| async move {
            talk.asked().await;
            talk.send(format!("HTTP/1.1 200 OK\r\n{JSON}\r\n")).await;
            drip(&mut talk, " ").await;
        })
        .await;
        let error = failure_of(&slow_body, impatient()).await;
        assert!(matches!(error, Error::Timeout { .. }), "{error:?}");
        said(&error, Failure::TimedOut, &[slow_body.url.as_str(), "400ms"]);

        let slow_head = serve(|mut talk| async move {
            talk.asked().await;
            talk.send("HTTP/1.1 200 OK\r\nx-slow: ").await;
            drip(&mut talk, "x").await;
        })
        .await;
        let error = failure_of(&slow_head, impatient()).await;
        assert!(matches!(error, Error::Timeout { .. }), "{error:?}");
    });
}

#[test]
fn one_that_never_answers_ends_by_the_timeout() {
    run(async {
        let silent = serve(|mut talk| async move { talk.closed().await }).await;
        let error = failure_of(&silent, impatient()).await;
        assert!(matches!(error, Error::Timeout { .. }), "{error:?}");
    });
}

#[test]
fn redirects_end() {
    run(async {
        let circle = serve(|mut talk| async move {
            while let Some(asked) = talk.asked().await {
                let to = if asked.target.contains("/search") { "/b" } else { "/search?q=word" };
                talk.answer("302 Found", &format!("location: {to}\r\n"), "").await;
            }
        })
        .await;
        let error = failure_of(&circle, Config::default()).await;
        assert!(matches!(error, Error::RedirectLoop { .. }), "{error:?}");
        said(&error, Failure::Invalid, &[circle.url.as_str(), "/search?q=word", "circle"]);

        let spiral = serve(|mut talk| async move {
            while let Some(asked) = talk.asked().await {
                talk.answer("307 Temporary Redirect", &format!("location: {}x\r\n", asked.target), "").await;
            }
        })
        .await;
        let error = failure_of(&spiral, Config::default().with_redirects_max(3)).await;
        assert!(matches!(error, Error::Redirects { max: 3, .. }), "{error:?}");
        said(&error, Failure::Invalid, &["more than 3 redirects", "/search?q=wordxxxx: more"]);
        let error = failure_of(&spiral, Config::default().with_redirects_max(0)).await;
        assert!(matches!(error, Error::Redirects { max: 0, .. }), "{error:?}");

        for (to, reason) in [("file:///etc/passwd", "no URL of http"), ("http://me:pw@h/", "user name")] {
            let headers: &'static str = format!("location: {to}\r\n").leak();
            let error = failure_of(&always("301 Moved", headers, "").await, Config::default()).await;
            said(&error, Failure::Invalid, &[to, reason]);
        }
        // Without a target it is only a status.
        let error = failure_of(&always("302 Found", "", "").await, Config::default()).await;
        assert!(matches!(error, Error::Status { status: 302, .. }), "{error:?}");
    });
}

#[test]
fn json_of_another_shape_is_told_with_its_place() {
    run(async {
        for (body, part) in [
            (r#"{"words": "one"}"#, "expected a sequence"),
            (r#"{"wörter": []}"#, "missing field `words`"),
            ("[1, 2]", "invalid type: integer"),
            ("null", "invalid type: null"),
        ] {
            let error = failure_of(&always("200 OK", JSON, body).await, Config::default()).await;
            assert!(matches!(error, Error::Shape { .. }), "{body}: {error:?}");
            said(&error, Failure::Invalid, &["expected shape", part]);
        }
        let deep: &'static str = "[".repeat(100_000).leak();
        for body in ["", r#"{"words": ["one""#, r#"{"words": []} trailing"#, "\u{0}", deep] {
            let error = failure_of(&always("200 OK", JSON, body).await, Config::default()).await;
            said(&error, Failure::Invalid, &[]);
        }
    });
}

#[test]
fn one_bad_item_is_counted_and_the_rest_is_used() {
    run(async {
        let server = always("200 OK", JSON, r#"{"words": ["one", 2, "three", null, "one"]}"#).await;
        let asker = Asker::new(Config::default());
        let answered = asker.ask(&server.url).await;
        assert_eq!(answered.words, ["one", "three"]);
        assert_eq!(
            (answered.outcome.stats.invalid, answered.outcome.stats.duplicate),
            (2, 1),
            "{answered:?}"
        );
        assert_eq!(asker.health.of(&server.url).unwrap().invalid_items, 2);
        asker.stop().await;
    });
}

#[test]
fn a_connection_that_closes_too_early_is_told() {
    run(async {
        let mute = serve(|mut talk| async move { drop(talk.asked().await) }).await;
        let error = failure_of(&mute, Config::default()).await;
        assert!(matches!(error, Error::Closed { .. }), "{error:?}");
        said(&error, Failure::Closed, &[mute.url.as_str(), "closed"]);

        let half = serve(|mut talk| async move {
            talk.asked().await;
            talk.send(format!("HTTP/1.1 200 OK\r\n{JSON}content-length: 100\r\n\r\n{{\"words\": [")).await;
        })
        .await;
        let error = failure_of(&half, Config::default()).await;
        assert!(matches!(error, Error::Closed { .. }), "{error:?}");
    });
}

#[test]
fn what_is_no_http_is_told() {
    run(async {
        let many = format!("HTTP/1.1 200 OK\r\n{}", "x-more: and more\r\n".repeat(1_000));
        let long = format!("HTTP/1.1 200 OK\r\nx-long: {}", "x".repeat(1 << 20));
        let chunks = format!("HTTP/1.1 200 OK\r\n{JSON}transfer-encoding: chunked\r\n\r\nno chunk\r\n");
        for bytes in
            ["SSH-2.0-OpenSSH_9.9\r\n".to_string(), "\u{0}\u{1}\u{2}\r\n\r\n".to_string(), many, long, chunks]
        {
            let start = bytes.chars().take(40).collect::<String>();
            let stranger = serve(move |mut talk| {
                let bytes = bytes.clone();
                async move {
                    talk.asked().await;
                    talk.send(bytes).await;
                    talk.closed().await;
                }
            })
            .await;
            let error = failure_of(&stranger, Config::default()).await;
            assert!(matches!(error, Error::Http { .. }), "{start:?}: {error:?}");
            said(&error, Failure::Invalid, &["no HTTP"]);
        }
    });
}

#[test]
fn nobody_there_is_told() {
    run(async {
        let url = support::nobody();
        let asker = Asker::new(Config::default());
        let error = asker.failure(&url).await;
        assert!(matches!(error, Error::Connect { .. }), "{error:?}");
        said(&error, Failure::Unreachable, &[url.as_str().trim_end_matches('/'), "refused"]);
        asker.stop().await;
    });
}

#[test]
fn a_query_goes_on_beside_registries_that_fail() {
    run(async {
        let good = good().await;
        let broken = always("500 Oh", "", "").await;
        let page = always("200 OK", "content-type: text/html\r\n", "").await;
        let silent = serve(|mut talk| async move { talk.closed().await }).await;
        // Time enough for those that answer, on whatever machine.
        let asker = Asker::new(Config::default().with_request_timeout(Duration::from_secs(4)));
        let all = [&silent, &broken, &page, &good].map(|server| server.url.clone());
        let answered = asker.ask_all(&all).await;
        assert_eq!(answered.words, ["one", "two"]);
        let stats = &answered.outcome.stats;
        assert_eq!((stats.contacted, stats.replied, stats.failed), (4, 1, 3), "{answered:?}");
        let failing: Vec<bool> =
            all.iter().map(|url| asker.health.of(url).is_some_and(|health| health.is_failing)).collect();
        assert_eq!(failing, [true, true, true, false]);
        asker.stop().await;
    });
}
