//! `QueryEngine` alone.

use std::collections::HashSet;
use std::time::Duration;

use dragnet_core::{
    Caps, EngineConfig, Output, Query, QueryConfig, QueryEngine, Reply, RequestId, Route, Time,
};
use libp2p::PeerId;

use super::contender::{Contender, Waiting};
use crate::work::{CLOSEST, Compared, Said, World, target};

/// How long every answer takes, in the engine's time: a round trip of the internet.
const TURN: Duration = Duration::from_millis(100);

/// Peers asked at once to make them known.
const INTRODUCED: usize = 100;

pub(super) struct Ours {
    engine: QueryEngine<Compared>,
    now: Time,
    step: Duration,
    waiting: Waiting<Contact, Reply<Compared>>,
    released: HashSet<RequestId>,
}

/// What is needed to answer.
struct Contact {
    request: RequestId,
    question: u64,
    peer: PeerId,
}

impl Ours {
    /// One that knows all peers: what it keeps of them is shared by its queries.
    pub(super) fn new(world: &World, live: usize) -> Self {
        // What a walk hears of is all in the pool; a quarter of the table is not for strangers.
        let peers_max = world.size() * 2;
        let caps = Caps { queries_max: live.max(1), peers_max, ..Caps::default() };
        let local = PeerId::random();
        let mut ours = Self {
            engine: QueryEngine::new(EngineConfig::default().with_caps(caps), local, [1; 32]),
            now: Time::ZERO,
            step: Duration::ZERO,
            waiting: Waiting::new(),
            released: HashSet::new(),
        };
        let all: Vec<_> = world.peers().collect();
        for peers in all.chunks(INTRODUCED) {
            let query = Query::new(0).fetch_from(peers.iter().copied());
            let id = ours.engine.start(ours.now, query).expect("there is room for one");
            ours.engine.cancel(ours.now, id);
            while ours.engine.poll_output().is_some() {}
        }
        ours
    }

    fn drain(&mut self) {
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Contact { request, peer, ask: question, .. } => {
                    self.waiting.in_flight.push(Contact { request, question, peer });
                }
                Output::Release { request } => {
                    self.released.insert(request);
                }
                Output::Found { found, .. } => drop(std::hint::black_box(found)),
                _ => {}
            }
        }
    }
}

impl Contender for Ours {
    fn fill(&mut self, world: &mut World, live: usize) -> bool {
        while self.engine.live() < live {
            let question = world.question();
            let config = QueryConfig::default().with_closest(CLOSEST).with_max_results(1_000);
            let route = Route::walk_from(target(question), world.candidates(question));
            let query = Query::new(question).route(route).config(config);
            self.engine.start(self.now, query).expect("there is room for so many");
            self.drain();
        }
        true
    }

    fn prepare(&mut self, world: &mut World, count: usize) {
        // Those in flight now are answered one after the other within a turn.
        self.step = TURN / u32::try_from(self.waiting.in_flight.len()).unwrap_or(u32::MAX).max(1);
        let released = &mut self.released;
        self.waiting.prepare(
            world,
            count,
            |contact| !released.remove(&contact.request),
            |contact, world| {
                let Said { item, closer } = world.answer(contact.question, &contact.peer);
                Reply { items: item.into_iter().collect(), closer, ..Reply::default() }
            },
        );
    }

    fn answer(&mut self) -> u64 {
        let mut prepared = std::mem::take(&mut self.waiting.prepared);
        let mut answered = 0;
        for (Contact { request, .. }, reply) in prepared.drain(..) {
            if self.released.remove(&request) {
                continue;
            }
            self.now = self.now + self.step;
            self.engine.handle_reply(self.now, request, reply);
            self.drain();
            answered += 1;
        }
        self.waiting.prepared = prepared;
        answered
    }

    fn kept_by_bench(&self) -> usize {
        self.waiting.bytes()
    }
}
