//! A simulation: a network, the clients in it, and the queries that they run.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use dragnet_core::{
    EngineConfig, Found, Item, Key, Metrics, Outcome, Query, QueryId, Reason, StartError, Time,
};

use crate::agent::{Agent, Said};
use crate::config::{ConfigError, SimConfig};
use crate::digest::Digest;
use crate::draw::{Draw, Purpose};
use crate::faults::{Fault, Strikes};
use crate::network::{SimItem, SimNet};
use crate::peers::PeerId;
use crate::population::K;
use crate::trace::Trace;
use crate::transport::SimTransport;
use crate::world::{Counts, Due, World};

/// A simulated network, and clients whose queries run in it in virtual time.
///
/// Set it up, [`ask`](Self::ask), [`run`](Self::run), and look at what came of it. With the same
/// settings and the same calls, the same happens: [`digest`](Self::digest) tells.
///
/// ```
/// use dragnet_core::{EngineConfig, Key, Reason, Time};
/// use dragnet_sim::{Request, Share, Sim, SimConfig, SimItem};
///
/// let mut sim = Sim::new(SimConfig::new(5_000).with_seed(7).with_dead(Share::percent(10)))?;
/// let term = Key::of(b"kademlia");
/// let provider = sim.peer(42);
/// sim.provide(provider, [SimItem::new(term, 1)]);
///
/// let client = sim.client(EngineConfig::default());
/// let query = sim.ask(client, Time::ZERO, Request::Search(term).query());
/// sim.run();
///
/// let run = sim.query(query);
/// assert_eq!(run.outcome.as_ref().map(|outcome| outcome.reason), Some(Reason::Converged));
/// # Ok::<(), dragnet_sim::ConfigError>(())
/// ```
pub struct Sim {
    world: Rc<RefCell<World>>,
    seed: u64,
    clients: Vec<Agent>,
    asked: Vec<Asked>,
    live: usize,
}

/// Names a client of a simulation.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ClientId(u32);

/// Names a query of a simulation.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct AskId(u32);

struct Asked {
    client: ClientId,
    /// Until it starts.
    query: Option<Box<Query<SimNet>>>,
    run: QueryRun,
}

/// What came of a query.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct QueryRun {
    /// When it started, or will.
    pub started: Time,
    /// What its engine calls it, once it has started.
    pub id: Option<QueryId>,
    /// What it delivered, in order.
    pub found: Vec<Found<SimNet>>,
    /// How it ended, once it has.
    pub outcome: Option<Outcome>,
    /// Why it did not start, if it did not.
    pub refused: Option<StartError>,
}

impl Sim {
    /// A network without clients.
    ///
    /// # Errors
    ///
    /// A setting that is out of its range.
    pub fn new(config: SimConfig) -> Result<Self, ConfigError> {
        config.check()?;
        let seed = config.seed;
        let world = Rc::new(RefCell::new(World::new(config)));
        Ok(Self { world, seed, clients: Vec::new(), asked: Vec::new(), live: 0 })
    }

    /// How many peers there are.
    pub fn peers(&self) -> u32 {
        self.world.borrow().population.peers.len()
    }

    /// The peer of this rank by id, wrapping around at the number of peers.
    pub fn peer(&self, rank: u32) -> PeerId {
        let world = self.world.borrow();
        world.population.peers.id(rank % world.population.peers.len())
    }

    /// Whether a peer is there now.
    pub fn is_alive(&self, peer: PeerId) -> bool {
        let mut world = self.world.borrow_mut();
        let (now, index) = (world.now, world.population.peers.index(peer));
        index.is_some_and(|index| world.population.life.is_alive(index, now))
    }

    /// The `count` peers closest to a key of all that are there now, closest first: what a perfect walk
    /// would find.
    pub fn closest_alive(&self, key: &Key, count: usize) -> Vec<PeerId> {
        let mut world = self.world.borrow_mut();
        let now = world.now;
        let closest = world.population.closest_alive(key, count, now);
        closest.into_iter().map(|index| world.population.peers.id(index)).collect()
    }

    /// Stores a record on the 20 living peers closest to its key, and names them.
    pub fn put(&mut self, item: SimItem) -> Vec<PeerId> {
        let holders = self.closest_alive(item.key(), K);
        self.world.borrow_mut().placement.put(item, holders.clone());
        holders
    }

    /// Gives a peer these items and makes it a provider of their keys, known to the 20 living peers
    /// closest to each.
    pub fn provide(&mut self, provider: PeerId, items: impl IntoIterator<Item = SimItem>) {
        for item in items {
            let holders = self.closest_alive(item.key(), K);
            let mut world = self.world.borrow_mut();
            world.placement.provide(*item.key(), provider, holders);
            world.placement.give(provider, item);
        }
    }

    /// Adds a fault to the list.
    pub fn fault(&mut self, fault: Fault) {
        self.world.borrow_mut().trouble.add(fault);
    }

    /// All that goes wrong in this run.
    pub fn faults(&self) -> Vec<Fault> {
        self.world.borrow().trouble.faults().to_vec()
    }

    /// How often each kind of fault has struck.
    pub fn strikes(&self) -> Strikes {
        self.world.borrow().trouble.strikes
    }

    /// How often each fault of the list has struck.
    pub fn struck(&self) -> Vec<u64> {
        self.world.borrow().trouble.struck().to_vec()
    }

    /// A client that is no peer: it asks, and nobody asks it.
    pub fn client(&mut self, config: EngineConfig) -> ClientId {
        self.add(config, None)
    }

    /// A client that is this peer of the network too.
    pub fn client_at(&mut self, config: EngineConfig, peer: PeerId) -> ClientId {
        self.add(config, Some(peer))
    }

    /// The peer that a client is.
    pub fn peer_of(&self, client: ClientId) -> PeerId {
        self.world.borrow_mut().port(client.0).peer
    }

    /// Has a client start a query at a time; at one that has passed, now.
    pub fn ask(&mut self, client: ClientId, at: Time, query: Query<SimNet>) -> AskId {
        let number = self.asked.len() as u32;
        self.world.borrow_mut().schedule(at, number);
        let started = at.max(self.now());
        let run = QueryRun { started, id: None, found: Vec::new(), outcome: None, refused: None };
        self.asked.push(Asked { client, query: Some(Box::new(query)), run });
        self.live += 1;
        AskId(number)
    }

    /// Lets time pass until every query has ended.
    pub fn run(&mut self) {
        while self.live > 0 && self.advance(Time::MAX) {}
    }

    /// Lets time pass until this moment; everything that is due by then has happened.
    pub fn run_until(&mut self, until: Time) {
        while self.advance(until) {}
        let mut world = self.world.borrow_mut();
        world.now = world.now.max(until);
    }

    /// Now, in virtual time since the start.
    pub fn now(&self) -> Time {
        self.world.borrow().now
    }

    /// What came of a query so far.
    pub fn query(&self, query: AskId) -> &QueryRun {
        &self.asked[query.0 as usize].run
    }

    /// What came of all queries, in the order in which they were asked.
    pub fn queries(&self) -> impl Iterator<Item = &QueryRun> {
        self.asked.iter().map(|asked| &asked.run)
    }

    /// The metrics of a client's engine.
    pub fn metrics(&self, client: ClientId) -> Metrics {
        self.clients[client.0 as usize].engine().metrics()
    }

    /// What the run has counted so far.
    pub fn counts(&self) -> Counts {
        self.world.borrow().counts
    }

    /// The digest of all that has happened so far.
    pub fn digest(&self) -> Digest {
        self.world.borrow().recorder.digest()
    }

    /// The bytes that the network holds for its peers, data stored in it aside.
    pub fn bytes(&self) -> usize {
        self.world.borrow().population.bytes()
    }

    /// Looks at every contact so far; none unless the settings ask for a [`Trace`].
    pub fn with_trace<R>(&self, look: impl FnOnce(&Trace) -> R) -> R {
        let world = self.world.borrow();
        look(world.trace.as_ref().unwrap_or(&Trace::default()))
    }

    fn add(&mut self, config: EngineConfig, peer: Option<PeerId>) -> ClientId {
        let client = self.world.borrow_mut().attach(peer);
        let transport = SimTransport::new(Rc::clone(&self.world), client);
        self.clients.push(Agent::new(config, transport, engine_seed(self.seed, client)));
        ClientId(client)
    }

    /// One turn of one client. False when nothing is due until the time given.
    fn advance(&mut self, until: Time) -> bool {
        let due = self.world.borrow_mut().step(until);
        match due {
            None => return false,
            Some(Due::Client(client)) => self.drive(client),
            Some(Due::Start(number)) => self.start(number),
        }
        true
    }

    fn start(&mut self, number: u32) {
        let now = self.now();
        let asked = &mut self.asked[number as usize];
        let client = asked.client;
        let query = asked.query.take().expect("a query starts once");
        let (world, all, live) = (&self.world, &mut self.asked, &mut self.live);
        let agent = &mut self.clients[client.0 as usize];
        let started = agent.start(now, number, *query, &mut |n, said| hear(world, all, live, n, said));
        let run = &mut self.asked[number as usize].run;
        match started {
            Ok(id) => run.id = Some(id),
            Err(why) => {
                run.refused = Some(why);
                self.live -= 1;
            }
        }
        self.drive(client.0);
    }

    fn drive(&mut self, client: u32) {
        let now = self.now();
        let (world, all, live) = (&self.world, &mut self.asked, &mut self.live);
        let agent = &mut self.clients[client as usize];
        let next = agent.drive(now, &mut |number, said| hear(world, all, live, number, said));
        self.world.borrow_mut().arm(client, next);
    }
}

impl fmt::Debug for Sim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sim")
            .field("seed", &self.seed)
            .field("now", &self.now())
            .field("peers", &self.peers())
            .field("clients", &self.clients.len())
            .field("live", &self.live)
            .finish()
    }
}

/// Takes note of what an engine says of a query.
fn hear(world: &RefCell<World>, asked: &mut [Asked], live: &mut usize, number: u32, said: Said) {
    let run = &mut asked[number as usize].run;
    let mut world = world.borrow_mut();
    match said {
        Said::Found(found) => {
            world.note([4 << 32 | u64::from(number), found.item.id(), found.item.version()]);
            run.found.push(found);
        }
        Said::Finished(outcome) => {
            let contacted = u64::from(outcome.stats.contacted);
            let reason = reason_code(outcome.reason);
            world.note([5 << 32 | u64::from(number), reason << 32 | contacted, outcome.results as u64]);
            run.outcome = Some(outcome);
            *live -= 1;
        }
    }
}

fn reason_code(reason: Reason) -> u64 {
    match reason {
        Reason::EnoughResults => 1,
        Reason::Converged => 2,
        Reason::Exhausted => 3,
        Reason::DeadlineReached => 4,
        Reason::Cancelled => 5,
        _ => 0,
    }
}

fn engine_seed(seed: u64, client: u32) -> [u8; 32] {
    let draw = Draw::new(seed, Purpose::EngineSeeds);
    let mut bytes = [0; 32];
    for (n, word) in bytes.as_chunks_mut::<8>().0.iter_mut().enumerate() {
        *word = draw.word(u64::from(client), n as u64).to_le_bytes();
    }
    bytes
}

impl QueryRun {
    /// From the start to the first item.
    pub fn first_item(&self) -> Option<Duration> {
        self.found.first().map(|found| found.elapsed)
    }

    /// From the start to the end.
    pub fn total(&self) -> Option<Duration> {
        self.outcome.as_ref().map(|outcome| outcome.stats.total)
    }
}
