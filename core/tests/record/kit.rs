//! An engine with a few busy queries.

use std::hash::{Hash, Hasher};
use std::time::Duration;

use dragnet_core::doc::{Book, Library};
use dragnet_core::record::{RecordConfig, Recordable, Recorder, Recording, Replay, Writer};
use dragnet_core::{
    CachePolicy, EngineConfig, Key, Output, Query, QueryConfig, QueryEngine, Reply, RequestId, Route, Time,
};

/// The library, with what a recording wants of it. Its titles are worth keeping to oneself.
pub(crate) type Net = Shelf;

#[derive(Debug)]
pub(crate) enum Shelf {}

impl dragnet_core::Network for Shelf {
    type Peer = String;
    type Request = String;
    type Item = Book;

    fn key(peer: &String) -> Key {
        Library::key(peer)
    }
}

impl Recordable for Shelf {
    fn peer_name(peer: &String) -> String {
        peer.clone()
    }

    fn request_kind(_: &String) -> &'static str {
        "title"
    }

    fn hash_item<H: Hasher>(book: &Book, state: &mut H) {
        (book.isbn, &book.title).hash(state);
    }
}

pub(crate) struct Desk {
    pub(crate) engine: QueryEngine<Net>,
    pub(crate) now: Time,
    open: Vec<(RequestId, String)>,
    answered: u32,
}

impl Desk {
    pub(crate) fn new() -> Self {
        let engine = QueryEngine::new(EngineConfig::default(), "me".to_string(), [7; 32]);
        Self { engine, now: Time::ZERO, open: Vec::new(), answered: 0 }
    }

    /// Asks a number of peers for a title, and lets all of them answer.
    pub(crate) fn search(&mut self, number: u32) {
        self.begin(number);
        self.answer_all();
    }

    pub(crate) fn begin(&mut self, number: u32) {
        let peers = (0..8).map(|n| format!("peer {} of shelf {}", n, number % 5));
        // Not all of them: what is kept has to fit into the beginning of a small file.
        let cache = if number < 20 { CachePolicy::Fresh } else { CachePolicy::Skip };
        let config = QueryConfig::balanced().with_max_results(1_000).with_cache(cache);
        let query = Query::new(format!("secret title {}", number % 7))
            .route(Route::walk_from(Key::of(&number.to_be_bytes()), peers.clone().collect()))
            .fetch_from(peers)
            .shared_validator(validator())
            .config(config);
        self.engine.start(self.now, query).expect("there is room");
        self.drain();
    }

    pub(crate) fn answer_all(&mut self) {
        self.answer(usize::MAX);
        assert_eq!(self.engine.live(), 0);
    }

    /// Lets at most so many answer.
    pub(crate) fn answer(&mut self, answers_max: usize) {
        for _ in 0..answers_max {
            let Some((request, peer)) = self.open.pop() else { break };
            self.now = self.now + Duration::from_millis(7);
            let book = |n: u64| Book { isbn: n, title: format!("secret body {n} by {peer}") };
            self.answered += 1;
            let reply = Reply {
                closer: vec![format!("friend {}", self.answered % 40)],
                ..Reply::with_items(vec![book(1), book(2)])
            };
            self.engine.handle_reply(self.now, request, reply);
            self.drain();
        }
    }

    fn drain(&mut self) {
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Contact { request, peer, .. } => self.open.push((request, peer)),
                Output::Release { request } => self.open.retain(|(other, _)| *other != request),
                _ => {}
            }
        }
    }
}

pub(crate) fn validator() -> std::sync::Arc<dyn dragnet_core::Validator<Net>> {
    use std::sync::{Arc, LazyLock};
    static ODD: LazyLock<Arc<dyn dragnet_core::Validator<Net>>> = LazyLock::new(|| {
        Arc::new(|_: &String, book: &Book| match book.title.len() % 5 {
            0 => Err(dragnet_core::Invalid::new("by its length")),
            _ => Ok(()),
        })
    });
    Arc::clone(&ODD)
}

pub(crate) fn recorder(config: RecordConfig) -> (Recorder<Net>, Writer, Recording) {
    let (recorder, writer) = Recorder::new(config, [9; 16]);
    let recording = recorder.recording();
    (recorder, writer, recording)
}

/// The recording of so many searches, one after the other.
pub(crate) fn recording_of(searches: u32, config: RecordConfig) -> Vec<u8> {
    let (recorder, writer, _) = recorder(config);
    let mut desk = Desk::new();
    desk.engine.record(recorder);
    (0..searches).for_each(|number| desk.search(number));
    drop(desk);
    let mut file = Vec::new();
    writer.run(&mut file).expect("memory takes it");
    file
}

/// Replays a file as far as it goes: how many inputs were as recorded, how many not, and how it ended.
pub(crate) fn replay(file: &[u8]) -> (usize, usize, String) {
    let mut replay = Replay::open(file).expect("its head stands");
    let (same, other): (Vec<bool>, Vec<bool>) =
        replay.by_ref().map(|input| input.is_as_recorded).partition(|is_same| *is_same);
    (same.len(), other.len(), replay.ending().expect("it has ended").to_string())
}
