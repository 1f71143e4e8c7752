//! A network small enough to reason about, and an engine whose contacts a test answers by hand.

use std::collections::BTreeMap;
use std::time::Duration;

use dragnet_core::{
    EngineConfig, Failure, Found, Item, Key, Network, Outcome, Output, Query, QueryConfig, QueryEngine,
    QueryId, Reply, RequestId, Step, Time,
};

/// Peers are numbers; a peer's key begins with its number, so that tests can read distances.
#[derive(Debug)]
pub(crate) enum Numbers {}

/// An answer with an id and a version.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) id: u32,
    pub(crate) version: u32,
}

impl Item for Answer {
    type Id = u32;

    fn id(&self) -> u32 {
        self.id
    }
}

impl Network for Numbers {
    type Peer = u32;
    type Request = &'static str;
    type Item = Answer;

    fn key(peer: &u32) -> Key {
        key(*peer)
    }
}

/// The local peer.
pub(crate) const LOCAL: u32 = u32::MAX;

/// The key of a number: the distance between two is the XOR of the numbers.
pub(crate) fn key(number: u32) -> Key {
    let mut bytes = [0; 32];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    Key::from_bytes(bytes)
}

pub(crate) fn answer(id: u32) -> Answer {
    Answer { id, version: 0 }
}

pub(crate) fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(crate) fn query() -> Query<Numbers> {
    Query::new("what")
}

pub(crate) fn config() -> QueryConfig {
    QueryConfig::default()
}

/// What the engine wants, kept by who must answer it.
pub(crate) struct Bench {
    pub(crate) engine: QueryEngine<Numbers>,
    pub(crate) now: Time,
    /// Contacts in flight, in the order in which they were begun.
    pub(crate) contacts: Vec<(RequestId, u32, Step)>,
    pub(crate) lookups: Vec<RequestId>,
    pub(crate) released: Vec<RequestId>,
    pub(crate) found: BTreeMap<QueryId, Vec<Found<Numbers>>>,
    pub(crate) finished: BTreeMap<QueryId, Outcome>,
    /// Everything, in order.
    pub(crate) log: Vec<String>,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::with(EngineConfig::default())
    }

    pub(crate) fn with(config: EngineConfig) -> Self {
        Self {
            engine: QueryEngine::new(config, LOCAL, [7; 32]),
            now: Time::ZERO,
            contacts: Vec::new(),
            lookups: Vec::new(),
            released: Vec::new(),
            found: BTreeMap::new(),
            finished: BTreeMap::new(),
            log: Vec::new(),
        }
    }

    pub(crate) fn start(&mut self, query: Query<Numbers>) -> QueryId {
        let id = self.engine.start(self.now, query).expect("the query is within its limits");
        self.drain();
        id
    }

    /// Moves the clock, stopping at every timer on the way.
    pub(crate) fn pass(&mut self, duration: Duration) {
        let until = self.now + duration;
        while let Some(due) = self.engine.poll_timeout().filter(|due| *due <= until) {
            self.now = due;
            self.engine.handle_tick(due);
            self.drain();
            assert_ne!(self.engine.poll_timeout(), Some(due), "a tick retires its timer");
        }
        self.now = until;
    }

    /// The peers that are being asked, in the order in which they were.
    pub(crate) fn asked(&self) -> Vec<u32> {
        self.contacts.iter().map(|(_, peer, _)| *peer).collect()
    }

    pub(crate) fn request(&self, peer: u32) -> RequestId {
        self.contacts.iter().find(|(_, p, _)| *p == peer).expect("the peer is being asked").0
    }

    pub(crate) fn reply(&mut self, peer: u32, reply: Reply<Numbers>) {
        let request = self.request(peer);
        self.contacts.retain(|(other, _, _)| *other != request);
        self.engine.handle_reply(self.now, request, reply);
        self.drain();
    }

    /// The transport says that the request to a peer has left it.
    pub(crate) fn sent(&mut self, peer: u32) {
        self.engine.handle_sent(self.now, self.request(peer));
        self.drain();
    }

    pub(crate) fn items(&mut self, peer: u32, ids: &[u32]) {
        self.reply(peer, Reply::with_items(ids.iter().copied().map(answer).collect()));
    }

    pub(crate) fn closer(&mut self, peer: u32, closer: &[u32]) {
        self.reply(peer, Reply::with_closer(closer.to_vec()));
    }

    pub(crate) fn fail(&mut self, peer: u32, failure: Failure) {
        let request = self.request(peer);
        self.contacts.retain(|(other, _, _)| *other != request);
        self.engine.handle_failure(self.now, request, failure);
        self.drain();
    }

    pub(crate) fn ids(&self, query: QueryId) -> Vec<u32> {
        self.found.get(&query).into_iter().flatten().map(|found| found.item.id).collect()
    }

    pub(crate) fn outcome(&self, query: QueryId) -> &Outcome {
        self.finished.get(&query).expect("the query has ended")
    }

    pub(crate) fn is_live(&self, query: QueryId) -> bool {
        self.engine.status(query).is_some()
    }

    pub(crate) fn score(&self, peer: u32) -> u16 {
        let report = self.engine.peers(self.now).find(|report| report.peer == peer);
        report.expect("the peer is known").score
    }

    pub(crate) fn assert_nothing_left(&self) {
        assert_eq!(self.engine.live_state(), Default::default());
        assert!(self.contacts.is_empty() && self.lookups.is_empty());
    }

    pub(crate) fn drain(&mut self) {
        while let Some(output) = self.engine.poll_output() {
            self.log.push(format!("{output:?}"));
            match output {
                Output::Contact { request, peer, step, .. } => self.contacts.push((request, peer, step)),
                Output::Lookup { request, .. } => self.lookups.push(request),
                Output::Release { request } => {
                    self.contacts.retain(|(other, _, _)| *other != request);
                    self.lookups.retain(|other| *other != request);
                    self.released.push(request);
                }
                Output::Found { query, found } => self.found.entry(query).or_default().push(found),
                Output::Finished { query, outcome } => {
                    let earlier = self.finished.insert(query, outcome);
                    assert!(earlier.is_none(), "{query} finished twice");
                }
                other => panic!("an output that the bench does not know: {other:?}"),
            }
        }
    }
}
