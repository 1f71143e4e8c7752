//! The network in virtual time: what is under way, and what happens next.

use std::collections::VecDeque;
use std::hint::black_box;
use std::task::Waker;
use std::time::Duration;

use dragnet_core::front::{Contact, Event, Lookup};
use dragnet_core::{Failure, Key, Reply, RequestId, Step, Time};
use hashbrown::HashTable;

use crate::config::SimConfig;
use crate::digest::Recorder;
use crate::draw::{Draw, Purpose, mix};
use crate::latency::Latency;
use crate::network::{Request, SimNet};
use crate::peers::{PeerId, Peers};
use crate::placement::{NumberMap, Placement};
use crate::population::{K, Population};
use crate::sessions::Liveness;
use crate::trace::{Ended, Trace};
use crate::trouble::{Manner, Trouble, Way};
use crate::wheel::{EventQueue, Wheel};

/// All that exists but the clients themselves.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) now: Time,
    pub(crate) population: Population,
    pub(crate) placement: Placement,
    pub(crate) counts: Counts,
    pub(crate) recorder: Recorder,
    pub(crate) trace: Option<Trace>,
    pub(crate) trouble: Trouble,
    latency: Latency,
    config: SimConfig,
    loss: Draw,
    queue: Wheel<Happening>,
    ports: Vec<Port>,
    flights: Vec<Flight>,
    free: Vec<u32>,
    /// The flights under way, by client and request.
    under_way: HashTable<u32>,
    /// For how many more of the events that come [`look_ahead`](Self::look_ahead) has looked.
    looked_ahead: usize,
    /// Replies that come a second time, by the number of their happening.
    echoes: NumberMap<(u32, RequestId, Reply<SimNet>)>,
    echoed: u64,
}

/// What a run has counted. Sending, arrival, reply and timer are one event each.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Counts {
    /// Requests sent.
    pub sent: u64,
    /// Requests that reached somebody who is there.
    pub arrived: u64,
    /// Requests that reached nobody.
    pub unanswered: u64,
    /// Replies that came back, those to released requests included.
    pub replied: u64,
    /// Requests released before their reply came.
    pub released: u64,
    /// Messages lost on the way.
    pub lost: u64,
    /// Timers of clients that came due.
    pub timers: u64,
}

impl Counts {
    /// How many events there were.
    pub const fn events(&self) -> u64 {
        self.sent + self.arrived + self.unanswered + self.replied + self.timers
    }
}

/// Who is to act.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Due {
    /// A client: its timer came, or something for it.
    Client(u32),
    /// A query is to be started.
    Start(u32),
    /// A client's engine is to be probed.
    Probe(u32),
}

#[derive(Clone, Copy, Debug)]
enum Happening {
    /// A request reaches its peer.
    Arrival(FlightRef),
    /// A reply reaches its client.
    Reply(FlightRef),
    /// A reply reaches its client once more.
    Echo(u64),
    /// A client's timer.
    Timer(u32),
    /// The start of a query.
    Start(u32),
    /// A probe of a client's engine.
    Probe(u32),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct FlightRef {
    slot: u32,
    generation: u32,
}

/// One contact under way.
#[derive(Debug)]
struct Flight {
    generation: u32,
    client: u32,
    request: RequestId,
    peer: PeerId,
    step: Step,
    ask: Request,
    /// What the peer answered, once it has.
    answer: Option<Answer>,
    /// Where the trace has it, if it does.
    traced: u32,
}

#[derive(Debug)]
enum Answer {
    Reply(Reply<SimNet>),
    Failure(Failure),
}

/// Where a client is attached to the network.
#[derive(Debug)]
pub(crate) struct Port {
    pub(crate) peer: PeerId,
    pub(crate) inbox: VecDeque<Event<SimNet>>,
    /// Woken when something comes.
    pub(crate) waker: Option<Waker>,
    /// Woken when the timer comes due.
    pub(crate) timer: Option<Waker>,
    armed: Option<Time>,
}

impl World {
    /// A network; its settings have been checked.
    pub(crate) fn new(config: SimConfig) -> Self {
        let seed = config.seed;
        let peers = Peers::generate(config.peers, seed);
        let life = Liveness::new(&peers, config.dead, config.sessions, seed);
        Self {
            now: Time::ZERO,
            population: Population::new(peers, life, config.dead, config.staleness, seed),
            placement: Placement::default(),
            counts: Counts::default(),
            recorder: Recorder::new(seed),
            trace: config.trace.then(Trace::default),
            trouble: Trouble::new(seed),
            latency: Latency::new(config.latency.clone(), seed),
            loss: Draw::new(seed, Purpose::Loss),
            config,
            queue: Wheel::new(),
            ports: Vec::new(),
            flights: Vec::new(),
            free: Vec::new(),
            under_way: HashTable::new(),
            looked_ahead: 0,
            echoes: NumberMap::default(),
            echoed: 0,
        }
    }

    /// Attaches a client: as the peer given, or as one that nobody knows.
    pub(crate) fn attach(&mut self, peer: Option<PeerId>) -> u32 {
        let client = self.ports.len() as u32;
        let peer = peer.unwrap_or_else(|| {
            PeerId::new(Draw::new(self.config.seed, Purpose::ClientIds).word(u64::from(client), 0))
        });
        self.ports.push(Port { peer, inbox: VecDeque::new(), waker: None, timer: None, armed: None });
        client
    }

    pub(crate) fn port(&mut self, client: u32) -> &mut Port {
        &mut self.ports[client as usize]
    }

    /// The client's known peers closest to a target.
    pub(crate) fn known(&mut self, client: u32, target: &Key, count: usize) -> Vec<PeerId> {
        let who = self.port(client).peer;
        self.population.closest(who, target, count, self.now)
    }

    /// Has a query started at a time; one that has passed is now.
    pub(crate) fn schedule(&mut self, at: Time, query: u32) {
        self.queue.push(at.max(self.now), Happening::Start(query));
    }

    /// Has the client act at this time, and not at one named before.
    pub(crate) fn arm(&mut self, client: u32, at: Option<Time>) {
        let now = self.now;
        let port = self.port(client);
        let at = at.map(|at| at.max(now));
        if at != port.armed {
            port.armed = at;
            if let Some(at) = at.filter(|at| *at < Time::MAX) {
                self.queue.push(at, Happening::Timer(client));
            }
        }
    }

    /// Has a client's engine probed at a time that is to come.
    pub(crate) fn probe(&mut self, client: u32, at: Time) {
        if at > self.now {
            self.queue.push(at, Happening::Probe(client));
        }
    }

    /// Sends a request.
    pub(crate) fn contact(&mut self, client: u32, contact: &Contact<SimNet>) {
        self.counts.sent += 1;
        let from = self.port(client).peer;
        let Contact { request, peer, step, ask, query } = *contact;
        self.note([1 << 32 | u64::from(client), request.as_u64(), peer.prefix()]);
        let traced = match &mut self.trace {
            Some(trace) => trace.sent(client, query, peer, step, self.now),
            None => 0,
        };
        let slot = self.free.pop().unwrap_or(self.flights.len() as u32);
        let generation = self.flights.get(slot as usize).map_or(0, |flight| flight.generation);
        let flight = Flight { generation, client, request, peer, step, ask, answer: None, traced };
        match self.flights.get_mut(slot as usize) {
            Some(free) => *free = flight,
            None => self.flights.push(flight),
        }
        let Self { flights, under_way, .. } = self;
        under_way.insert_unique(flights[slot as usize].hash(), slot, |&slot| flights[slot as usize].hash());
        let flight = FlightRef { slot, generation };
        self.send(from, peer, request, Duration::ZERO, Happening::Arrival(flight));
    }

    /// There is no DHT but the one that engines walk.
    pub(crate) fn lookup(&mut self, client: u32, lookup: &Lookup<SimNet>) {
        let failure = Failure::Unsupported;
        self.deliver(client, Event::Failure { request: lookup.request, failure });
    }

    /// Forgets a request.
    pub(crate) fn release(&mut self, client: u32, request: RequestId) {
        self.note([3 << 32 | u64::from(client), request.as_u64(), 0]);
        self.port(client).inbox.retain(|event| event.request() != request);
        let is_it = |&slot: &u32| {
            let flight = &self.flights[slot as usize];
            flight.client == client && flight.request == request
        };
        if let Some(&slot) = self.under_way.find(flight_hash(client, request), is_it) {
            self.counts.released += 1;
            self.end(slot, Ended::Released);
        }
    }

    /// How many requests of a client something is held for.
    #[cfg(test)]
    pub(crate) fn held(&self, client: u32) -> usize {
        let flying = self.under_way.iter().filter(|slot| self.flights[**slot as usize].client == client);
        flying.count() + self.ports[client as usize].inbox.len()
    }

    /// Lets things happen up to the time given, until it is a client's turn. `None` when nothing is left.
    pub(crate) fn step(&mut self, until: Time) -> Option<Due> {
        loop {
            if self.queue.next_time()? > until {
                return None;
            }
            self.look_ahead();
            let (time, happening) = self.queue.pop()?;
            self.now = self.now.max(time);
            match happening {
                Happening::Arrival(flight) => self.arrive(flight),
                Happening::Reply(flight) => {
                    if let Some(client) = self.reply(flight) {
                        return Some(Due::Client(client));
                    }
                }
                Happening::Echo(number) => {
                    if let Some((client, request, reply)) = self.echoes.remove(&number) {
                        self.deliver(client, Event::Reply { request, reply });
                        return Some(Due::Client(client));
                    }
                }
                Happening::Timer(client) => {
                    let port = self.port(client);
                    if port.armed == Some(time) {
                        port.armed = None;
                        if let Some(timer) = port.timer.take() {
                            timer.wake();
                        }
                        self.counts.timers += 1;
                        return Some(Due::Client(client));
                    }
                }
                Happening::Start(query) => return Some(Due::Start(query)),
                Happening::Probe(client) => return Some(Due::Probe(client)),
            }
        }
    }

    /// Takes note of something for the digest.
    pub(crate) fn note(&mut self, [what, about, content]: [u64; 3]) {
        self.recorder.note([self.now.as_nanos(), what, about, content]);
    }

    fn arrive(&mut self, flight: FlightRef) {
        let Some(flying) = self.flying(flight) else { return };
        let Flight { client, request, peer, step, ask, .. } = *flying;
        let to = self.port(client).peer;
        let (answer, after) = match self.meet(to, peer, request, step, &ask) {
            Some(answer) => answer,
            None => {
                self.counts.unanswered += 1;
                return;
            }
        };
        self.counts.arrived += 1;
        self.flights[flight.slot as usize].answer = Some(answer);
        self.send(peer, to, request, after, Happening::Reply(flight));
    }

    /// What a request finds at its peer, and how long it takes there. `None`: nobody, or silence.
    fn meet(
        &mut self,
        from: PeerId,
        peer: PeerId,
        request: RequestId,
        step: Step,
        ask: &Request,
    ) -> Option<(Answer, Duration)> {
        let now = self.now;
        let walking = matches!(step, Step::Route(_));
        let Some(index) = self.population.peers.index(peer) else {
            let reply = self.trouble.sybil(peer, ask, walking, now)?;
            return Some((Answer::Reply(reply), Duration::ZERO));
        };
        if !self.population.life.is_alive(index, now) {
            return None;
        }
        let after = match self.trouble.manner(peer, request.as_u64(), now) {
            Manner::Answers { after, times: 1 } => after,
            Manner::Answers { after, times } => {
                let there = self.latency.one_way(from, peer, request.as_u64());
                let back = self.latency.one_way(peer, from, request.as_u64());
                after + (there + back).saturating_mul(times.saturating_sub(1))
            }
            Manner::Silent => return None,
            Manner::Refuses => return Some((Answer::Failure(Failure::Refused), Duration::ZERO)),
            Manner::Down => return Some((Answer::Failure(Failure::Unreachable), Duration::ZERO)),
        };
        let mut reply = Reply::default();
        if walking {
            reply.closer = self.population.closest(peer, ask.key(), K, now);
        }
        self.placement.answer(peer, step, ask, &mut reply);
        self.trouble.lie(peer, ask, &mut reply, walking, now);
        Some((Answer::Reply(reply), after))
    }

    fn reply(&mut self, flight: FlightRef) -> Option<u32> {
        let flying = self.flying(flight)?;
        let (client, request, peer) = (flying.client, flying.request, flying.peer);
        let answer = flying.answer.take()?;
        self.counts.replied += 1;
        let (content, how, event) = match answer {
            Answer::Reply(reply) => {
                let items = reply.items.len() as u64;
                let closer = reply.closer.iter().fold(items, |sum, peer| sum.rotate_left(7) ^ peer.prefix());
                self.echo(client, peer, request, &reply);
                (closer, Ended::Replied { items: items as u32 }, Event::Reply { request, reply })
            }
            Answer::Failure(failure) => (u64::MAX, Ended::Failed, Event::Failure { request, failure }),
        };
        self.note([2 << 32 | u64::from(client), request.as_u64(), peer.prefix() ^ content]);
        self.end(flight.slot, how);
        self.deliver(client, event);
        Some(client)
    }

    /// Has a reply come a second time, if a fault wants it.
    fn echo(&mut self, client: u32, peer: PeerId, request: RequestId, reply: &Reply<SimNet>) {
        let to = self.port(client).peer;
        if self.trouble.repeats(peer, to, request.as_u64(), self.now) {
            self.echoed += 1;
            self.echoes.insert(self.echoed, (client, request, reply.clone()));
            let at = self.now + self.latency.one_way(peer, to, !request.as_u64());
            self.queue.push(at, Happening::Echo(self.echoed));
        }
    }

    /// Puts a message on its way after a while, unless it gets lost.
    fn send(&mut self, from: PeerId, to: PeerId, request: RequestId, after: Duration, arrival: Happening) {
        let message = request.as_u64();
        let word = self.loss.word(from.prefix().wrapping_sub(to.prefix().rotate_left(17)), message);
        if self.config.loss.hit(word) {
            self.counts.lost += 1;
            return;
        }
        match self.trouble.way(from, to, message, self.now) {
            Way::Lost => self.counts.lost += 1,
            Way::Open { longer, not_before } => {
                let travel = self.latency.one_way(from, to, message) + longer;
                let at = (self.now + after + travel).max(not_before);
                if at < Time::MAX {
                    self.queue.push(at.max(self.now + Duration::from_nanos(1)), arrival);
                }
            }
        }
    }

    fn deliver(&mut self, client: u32, event: Event<SimNet>) {
        let port = self.port(client);
        port.inbox.push_back(event);
        if let Some(waker) = port.waker.take() {
            waker.wake();
        }
    }

    fn flying(&mut self, flight: FlightRef) -> Option<&mut Flight> {
        let flying = &mut self.flights[flight.slot as usize];
        (flying.generation == flight.generation).then_some(flying)
    }

    /// Frees a flight; what still refers to it finds another generation.
    fn end(&mut self, slot: u32, how: Ended) {
        let flight = &mut self.flights[slot as usize];
        let entry = self.under_way.find_entry(flight.hash(), |&other| other == slot);
        entry.expect("a flight ends once").remove();
        flight.generation = flight.generation.wrapping_add(1);
        flight.answer = None;
        if let Some(trace) = &mut self.trace {
            trace.ended(flight.traced, self.now, how);
        }
        self.free.push(slot);
    }

    /// Every few events, loads what the next few will need. With ten thousand queries under way nothing
    /// of theirs is in the cache, and what is loaded together is waited for once.
    fn look_ahead(&mut self) {
        const EVENTS: usize = 16;
        if let Some(known) = self.looked_ahead.checked_sub(1) {
            self.looked_ahead = known;
            return;
        }
        let flights = || {
            self.queue.coming().take(EVENTS).filter_map(|happening| match happening {
                Happening::Arrival(flight) | Happening::Reply(flight) => {
                    Some(&self.flights[flight.slot as usize])
                }
                _ => None,
            })
        };
        for flight in flights() {
            black_box((flight.generation, flight.peer, flight.traced, flight.answer.is_some()));
        }
        for flight in flights() {
            black_box(self.under_way.find(flight.hash(), |_| true));
            match &flight.answer {
                Some(Answer::Reply(reply)) => {
                    reply.closer.iter().step_by(8).for_each(|peer| _ = black_box(*peer));
                }
                _ => self.population.peers.touch_index(flight.peer),
            }
        }
        self.looked_ahead = self.queue.coming().take(EVENTS).count();
    }
}

impl Flight {
    fn hash(&self) -> u64 {
        flight_hash(self.client, self.request)
    }
}

fn flight_hash(client: u32, request: RequestId) -> u64 {
    mix(request.as_u64() ^ u64::from(client).rotate_left(40))
}
