//! Answering others, good and bad.

#![allow(clippy::unwrap_used)]

mod exchange_support;

use dragnet_core::Failure;
use dragnet_libp2p::exchange::{Config, FetchConfig, RespondError, ServeConfig};
use exchange_support::{Asker, Ended, LONG, SHORT, item, raw, run_both, serve};
use futures::{AsyncReadExt, AsyncWriteExt};

const QUESTION: &[u8] = &[3, 0x0a, 1, b'q'];

fn serving(change: impl FnOnce(&mut ServeConfig)) -> Config {
    let mut serve = ServeConfig::default();
    change(&mut serve);
    Config { serve: Some(serve), ..Config::default() }
}

/// Waits for the end of a stream without an answer.
async fn no_answer(stream: &mut libp2p::Stream) {
    assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
}

#[test]
fn a_question_that_is_not_taken_up_is_refused() {
    run_both(async || {
        let server = serve(Config::default()).await;
        let mut asker = Asker::new(Config::default());
        asker.ask(asker.question(1, &server, LONG));
        drop(asker.beside(server.questions.recv()).await.unwrap().responder);
        assert_eq!(asker.next().await, (1, Ended::Failed(Failure::Refused)));
        asker.settle().await;
    });
}

#[test]
fn a_question_may_be_answered_from_another_thread() {
    run_both(async || {
        let server = serve(Config::default()).await;
        let mut asker = Asker::new(Config::default());
        asker.ask(asker.question(1, &server, LONG));
        let asked = asker.beside(server.questions.recv()).await.unwrap();
        let thread = std::thread::spawn(move || asked.responder.answer([item(b"far", b"")]));
        assert_eq!(asker.next_items().await, [item(b"far", b"")]);
        assert_eq!(thread.join().unwrap(), Ok(1));
    });
}

#[test]
fn an_answer_is_cut_to_what_is_asked_for_and_to_the_bounds() {
    run_both(async || {
        let server = serve(Config::default()).await;
        let mut asker = Asker::new(Config::default());
        let fetch = FetchConfig::default();
        let few = fetch.outgoing(1, server.peer, vec![server.address.clone()], b"q", 2, LONG).unwrap();
        asker.ask(few);
        let asked = asker.beside(server.questions.recv()).await.unwrap();
        assert_eq!(asked.items_max, 2);
        let [good, other, third] = [&b"a"[..], b"b", b"c"].map(|id| item(id, b""));
        let items = [item(b"", b"no id"), good.clone(), item(&[0; 257], b""), other.clone(), third];
        assert_eq!(asked.responder.answer(items), Ok(2));
        assert_eq!(asker.next_items().await, [good, other]);

        asker.ask(asker.question(2, &server, LONG));
        let asked = asker.beside(server.questions.recv()).await.unwrap();
        // An endless supply of 64 KiB: the first 15 and their ids fit into 1 MiB.
        let endless = std::iter::repeat_with(|| item(b"big", &[0; 64 << 10]));
        assert_eq!(asked.responder.answer(endless), Ok(15));
        assert_eq!(asker.next_items().await.len(), 15);
        asker.settle().await;
    });
}

#[test]
fn a_question_that_is_never_answered_holds_its_place_for_a_time_only() {
    run_both(async || {
        let config = serving(|serve| {
            serve.answer_timeout = SHORT;
            serve.in_flight_max = 1;
        });
        let server = serve(config).await;
        let mut asker = Asker::new(Config { in_flight_max: 1, ..Config::default() });
        asker.ask(asker.question(1, &server, LONG));
        asker.ask(asker.question(2, &server, LONG));
        let mut kept = asker.beside(server.questions.recv()).await.unwrap();
        assert_eq!(asker.next().await, (1, Ended::Failed(Failure::Refused)));
        asker.beside(kept.responder.gone()).await;
        assert_eq!(kept.responder.answer([]), Err(RespondError::AskerGone));
        let asked = asker.beside(server.questions.recv()).await.unwrap();
        asked.responder.answer([]).unwrap();
        assert_eq!(asker.next().await, (2, Ended::Answered(Vec::new())));
        asker.settle().await;
    });
}

#[test]
fn an_asker_may_close_its_half_and_is_answered() {
    run_both(async || {
        let server = serve(Config::default()).await;
        let [mut stream, mut next] = <[_; 2]>::try_from(raw::open(&server, 2).await).unwrap();
        stream.write_all(QUESTION).await.unwrap();
        stream.flush().await.unwrap();
        let asked = server.questions.recv().await.unwrap();
        assert_eq!(asked.question, b"q");
        stream.close().await.unwrap();
        // When this has come, so has the end of the other.
        next.write_all(QUESTION).await.unwrap();
        next.flush().await.unwrap();
        server.questions.recv().await.unwrap();
        assert!(!asked.responder.is_gone());
        asked.responder.answer([item(b"a", b"")]).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        assert_eq!(answer, [5, 0x0a, 3, 0x0a, 1, b'a']);
    });
}

#[test]
fn an_answer_is_followed_by_an_end_and_not_a_reset() {
    run_both(async || {
        let server = serve(Config::default()).await;
        let mut stream = raw::open(&server, 1).await.remove(0);
        stream.write_all(QUESTION).await.unwrap();
        stream.flush().await.unwrap();
        server.questions.recv().await.unwrap().responder.answer([]).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        assert_eq!(answer, [0]);
        // A reset stream takes nothing.
        stream.write_all(&[1]).await.unwrap();
    });
}

#[test]
fn an_asker_that_says_more_than_its_question_is_reset() {
    run_both(async || {
        let server = serve(Config::default()).await;
        let mut stream = raw::open(&server, 1).await.remove(0);
        stream.write_all(QUESTION).await.unwrap();
        stream.flush().await.unwrap();
        let mut asked = server.questions.recv().await.unwrap();
        stream.write_all(&[1]).await.unwrap();
        stream.flush().await.unwrap();
        asked.responder.gone().await;
        no_answer(&mut stream).await;
    });
}

#[test]
fn a_question_that_does_not_come_is_given_up() {
    run_both(async || {
        let server = serve(serving(|serve| serve.question_timeout = SHORT)).await;
        let mut streams = raw::open(&server, 2).await;
        // Half of one, unless it has been given up already.
        let _ = streams[1].write_all(&QUESTION[..2]).await;
        let _ = streams[1].flush().await;
        for stream in &mut streams {
            no_answer(stream).await;
        }
        assert!(server.questions.is_empty());
    });
}

#[test]
fn a_question_too_long_or_undecodable_is_reset() {
    run_both(async || {
        let server = serve(Config::default()).await;
        let mut streams = raw::open(&server, 3).await;
        // 16 KiB are announced; not a message; the question in it is 4 097 bytes.
        let long = [&[0x84, 0x20, 0x0a, 0x81, 0x20][..], &[0; 4097]].concat();
        for (stream, bytes) in streams.iter_mut().zip([&[0x80, 0x80, 0x01][..], &[1, 0xff], &long]) {
            stream.write_all(bytes).await.unwrap();
            stream.flush().await.unwrap();
            no_answer(stream).await;
        }
        assert!(server.questions.is_empty());
    });
}

#[test]
fn the_questions_of_one_connection_are_bounded() {
    run_both(async || {
        let server = serve(Config::default()).await;
        let mut streams = raw::open(&server, 33).await;
        no_answer(&mut streams[32]).await;
        for stream in &mut streams[..32] {
            stream.write_all(QUESTION).await.unwrap();
            stream.flush().await.unwrap();
        }
        for _ in 0..32 {
            server.questions.recv().await.unwrap().responder.answer([]).unwrap();
        }
        for stream in &mut streams[..32] {
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await.unwrap();
            assert_eq!(answer, [0]);
        }
        let mut more = raw::open(&server, 1).await;
        more[0].write_all(QUESTION).await.unwrap();
        server.questions.recv().await.unwrap();
    });
}

#[test]
fn the_memory_of_all_questions_is_bounded() {
    run_both(async || {
        // Room for two questions of up to 4 KiB, and 1 000 bytes.
        let server = serve(serving(|serve| serve.bytes_max = 2 * (4096 + 32) + 1000)).await;
        let [mut first, mut second] = <[_; 2]>::try_from(raw::open(&server, 2).await).unwrap();
        for stream in [&mut first, &mut second] {
            stream.write_all(QUESTION).await.unwrap();
            stream.flush().await.unwrap();
        }
        let [one, two] = [server.questions.recv().await.unwrap(), server.questions.recv().await.unwrap()];
        // Over another connection, too.
        no_answer(&mut raw::open(&server, 1).await[0]).await;
        let full = one.responder.answer([item(b"big", &[0; 1000])]);
        assert!(matches!(full, Err(RespondError::Full { max: 9256, .. })), "{full:?}");
        assert_eq!(two.responder.answer([item(b"small", &[0; 900])]), Ok(1));
        let mut answers = [Vec::new(), Vec::new()];
        first.read_to_end(&mut answers[0]).await.unwrap();
        second.read_to_end(&mut answers[1]).await.unwrap();
        assert_eq!(answers.iter().filter(|answer| answer.is_empty()).count(), 1);
        // All of it is returned.
        let mut again = raw::open(&server, 2).await;
        for stream in &mut again {
            stream.write_all(QUESTION).await.unwrap();
            stream.flush().await.unwrap();
            server.questions.recv().await.unwrap();
        }
    });
}
