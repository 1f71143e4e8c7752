//! Peers that answer badly, or not at all.

#![allow(clippy::unwrap_used)]

mod exchange_support;

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use dragnet_core::Failure;
use dragnet_libp2p::exchange::{Config, FetchConfig};
use exchange_support::raw::script;
use exchange_support::{Asker, Ended, LONG, SHORT, channel, item, run_both};
use futures::{AsyncReadExt, AsyncWriteExt};
use libp2p::Stream;

const MILLISECOND: Duration = Duration::from_millis(1);

/// Reads the whole of a question of fewer than 128 bytes.
async fn read_question(stream: &mut Stream) -> Vec<u8> {
    let mut length = [0];
    stream.read_exact(&mut length).await.unwrap();
    let mut question = vec![0; length[0].into()];
    stream.read_exact(&mut question).await.unwrap();
    question
}

/// How a request ends to which a peer writes these bytes and then closes its stream.
fn answered_with(bytes: &'static [u8]) -> Ended {
    let result = Rc::new(Cell::new(None));
    let ended = Rc::clone(&result);
    run_both(async || {
        let server = script(move |mut stream| async move {
            read_question(&mut stream).await;
            stream.write_all(bytes).await.unwrap();
            stream.close().await.unwrap();
        })
        .await;
        let mut asker = Asker::new(Config::default());
        asker.ask(asker.question(1, &server, LONG));
        ended.set(Some(asker.next().await.1));
        asker.settle().await;
    });
    result.take().unwrap()
}

#[test]
fn an_undecodable_answer_is_an_error_of_the_codec() {
    let Ended::Answered(answer) = answered_with(&[3, 0xff, 0xff, 0xff]) else { panic!("not answered") };
    assert_eq!(answer, [0xff; 3]);
    assert!(FetchConfig::default().decode_answer(answer.into()).is_err());
}

#[test]
fn an_answer_longer_than_allowed_is_invalid_before_it_has_come() {
    // 2 MiB are announced.
    assert_eq!(answered_with(&[0x80, 0x80, 0x80, 0x01]), Ended::Failed(Failure::Invalid));
}

#[test]
fn a_length_that_is_no_number_is_invalid() {
    assert_eq!(answered_with(&[0xff; 12]), Ended::Failed(Failure::Invalid));
    assert_eq!(answered_with(&[0x80, 0x00]), Ended::Failed(Failure::Invalid));
}

#[test]
fn an_answer_that_breaks_off_is_refused() {
    assert_eq!(answered_with(&[9, 1, 2, 3]), Ended::Failed(Failure::Refused));
    assert_eq!(answered_with(&[0x80]), Ended::Failed(Failure::Refused));
}

#[test]
fn no_answer_at_all_is_refused() {
    assert_eq!(answered_with(&[]), Ended::Failed(Failure::Refused));
}

#[test]
fn an_empty_answer_has_no_items() {
    let Ended::Answered(answer) = answered_with(&[0]) else { panic!("not answered") };
    let fetched = FetchConfig::default().decode_answer(answer.into()).unwrap();
    assert_eq!((fetched.items.len(), fetched.invalid), (0, 0));
}

#[test]
fn what_follows_the_answer_is_ignored() {
    assert_eq!(answered_with(&[2, 5, 6, 7, 8, 9]), Ended::Answered(vec![5, 6]));
}

#[test]
fn items_without_an_id_or_over_a_bound_are_counted_and_the_rest_is_used() {
    // An item without an id, a good one, and one with an id of 257 bytes.
    let mut answer = vec![0x0a, 3, 0x12, 1, b'x', 0x0a, 3, 0x0a, 1, b'a', 0x0a, 0x84, 2, 0x0a, 0x81, 2];
    answer.extend([7; 257]);
    let length = [0x80 | (answer.len() & 0x7f) as u8, (answer.len() >> 7) as u8];
    let bytes = [&length[..], &answer].concat().leak();
    let Ended::Answered(answer) = answered_with(bytes) else { panic!("not answered") };
    let fetched = FetchConfig::default().decode_answer(answer.into()).unwrap();
    assert_eq!((fetched.items, fetched.invalid), (vec![item(b"a", b"")], 2));
}

#[test]
fn an_answer_may_come_a_byte_at_a_time() {
    run_both(async || {
        let answer: Vec<u8> = (0..200).collect();
        let (byte, bytes) = channel();
        let server = script(move |mut stream| {
            let bytes = bytes.clone();
            async move {
                read_question(&mut stream).await;
                while let Ok(byte) = bytes.recv().await {
                    stream.write_all(&[byte]).await.unwrap();
                    stream.flush().await.unwrap();
                }
            }
        })
        .await;
        let mut asker = Asker::new(Config::default());
        asker.ask(asker.question(1, &server, LONG));
        for sent in [&[0xc8, 0x01], &answer[..]].concat() {
            // What was sent before has been read by now.
            asker.idle().await;
            byte.try_send(sent).unwrap();
        }
        assert_eq!(asker.next().await, (1, Ended::Answered(answer)));
        asker.settle().await;
    });
}

#[test]
fn requests_to_a_silent_peer_time_out_each_by_its_own() {
    run_both(async || {
        let server = script(|stream| async move {
            std::future::pending::<()>().await;
            drop(stream);
        })
        .await;
        let mut asker = Asker::new(Config::default());
        for (id, timeout) in [(1, LONG), (2, 50 * MILLISECOND), (3, Duration::ZERO), (4, 100 * MILLISECOND)] {
            asker.ask(asker.question(id, &server, timeout));
        }
        let mut ended = [asker.next().await, asker.next().await, asker.next().await];
        ended.sort_by_key(|(id, _)| *id);
        assert_eq!(ended, [2, 3, 4].map(|id| (id, Ended::Failed(Failure::TimedOut))));
        assert!(asker.cancel(1));
        asker.settle().await;
    });
}

#[test]
fn an_answer_that_is_never_finished_times_out_and_is_reset() {
    run_both(async || {
        let (reset, was_reset) = channel();
        let server = script(move |mut stream| {
            let reset = reset.clone();
            async move {
                read_question(&mut stream).await;
                stream.write_all(&[9, 1]).await.unwrap();
                stream.flush().await.unwrap();
                // Nothing more is to come from the asker but the end.
                assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
                // Nor can it be written to: a reset, no half-close.
                assert!(stream.write_all(&[2]).await.is_err());
                reset.try_send(()).unwrap();
            }
        })
        .await;
        let mut asker = Asker::new(Config::default());
        asker.ask(asker.question(1, &server, SHORT));
        assert_eq!(asker.next().await, (1, Ended::Failed(Failure::TimedOut)));
        asker.beside(was_reset.recv()).await.unwrap();
        asker.settle().await;
    });
}

#[test]
fn the_asker_does_not_close_its_half_before_the_answer() {
    run_both(async || {
        let (first, first_came) = channel();
        let (second, second_came) = channel();
        let server = script(move |mut stream| {
            let (first, second, second_came) = (first.clone(), second.clone(), second_came.clone());
            async move {
                if read_question(&mut stream).await == b"\x0a\x0aquestion 1" {
                    first.try_send(()).unwrap();
                    // Had the first stream been closed, that would have come before the second question.
                    second_came.recv().await.unwrap();
                    assert!(futures::poll!(stream.read(&mut [0])).is_pending(), "closed");
                } else {
                    second.try_send(()).unwrap();
                }
                stream.write_all(&[0]).await.unwrap();
                stream.close().await.unwrap();
            }
        })
        .await;
        let mut asker = Asker::new(Config::default());
        asker.ask(asker.question(1, &server, LONG));
        asker.beside(first_came.recv()).await.unwrap();
        asker.ask(asker.question(2, &server, LONG));
        for _ in 0..2 {
            assert_eq!(asker.next().await.1, Ended::Answered(Vec::new()));
        }
        asker.settle().await;
    });
}

#[test]
fn a_peer_that_refuses_is_asked_once_when_it_is_asked_little() {
    run_both(async || {
        let (opened, streams) = channel();
        let server = script(move |mut stream| {
            let opened = opened.clone();
            async move {
                opened.try_send(()).unwrap();
                read_question(&mut stream).await;
            }
        })
        .await;
        let mut asker = Asker::new(Config::default());
        for id in 0..4 {
            asker.ask(asker.question(id, &server, LONG));
        }
        for _ in 0..4 {
            assert_eq!(asker.next().await.1, Ended::Failed(Failure::Refused));
        }
        asker.settle().await;
        assert_eq!(streams.len(), 4);
    });
}
