//! A simulation: a network, the clients in it, and the queries that they run.

use std::cell::{Ref, RefCell};
use std::fmt;
use std::rc::Rc;

use dragnet_core::front::{self, Client, Driver, FrontConfig};
use dragnet_core::record::Recorder;
use dragnet_core::{EngineConfig, Key, LiveState, Metrics, Query, Time};
use futures::StreamExt;

use crate::agent::Agent;
use crate::clock::SimClock;
use crate::config::{ConfigError, SimConfig};
use crate::digest::Digest;
use crate::draw::{Draw, Purpose};
use crate::executor::Executor;
use crate::faults::{Fault, Strikes};
use crate::log::{Log, QueryRun};
use crate::network::{SimItem, SimNet};
use crate::peers::PeerId;
use crate::population::K;
use crate::probe::Probe;
use crate::trace::Trace;
use crate::transport::SimTransport;
use crate::world::{Counts, Due, World};

/// A simulated network, and clients whose queries run in it in virtual time.
///
/// Set it up, [`ask`](Self::ask), [`run`](Self::run), and look at what came of it. With the same
/// settings and the same calls, the same happens: [`digest`](Self::digest) tells.
///
/// A client is a bare engine ([`client`](Self::client)), or the whole futures front with its driver on
/// an executor of the simulation's own ([`front`](Self::front)).
///
/// ```
/// use dragnet_core::{EngineConfig, Key, Reason, Time};
/// use dragnet_sim::{Fault, FaultKind, Request, Share, Sim, SimConfig, SimItem, Whom};
///
/// let mut sim = Sim::new(SimConfig::new(5_000).with_seed(7).with_dead(Share::percent(10)))?;
/// let term = Key::of(b"kademlia");
/// let (near, far) = (sim.peer(42), sim.peer(4_000));
/// sim.provide(near, [SimItem::new(term, 1)]);
/// sim.provide(far, [SimItem::new(term, 2)]);
/// sim.fault(Fault::new(FaultKind::Silent, Whom::Peer(far)));
///
/// let client = sim.client(EngineConfig::default());
/// let query = sim.ask(client, Time::ZERO, Request::Search(term).query());
/// sim.run();
///
/// let run = sim.query(query);
/// assert_eq!(run.found.len(), 1);
/// assert_eq!(run.outcome.as_ref().map(|outcome| outcome.reason), Some(Reason::Converged));
/// # Ok::<(), dragnet_sim::ConfigError>(())
/// ```
pub struct Sim {
    world: Rc<RefCell<World>>,
    seed: u64,
    clients: Vec<Asker>,
    executor: Rc<Executor>,
    log: Log,
    /// The queries by number, each until it starts.
    waiting: Vec<Option<(ClientId, Box<Query<SimNet>>)>>,
}

/// Who asks.
enum Asker {
    Bare(Box<Agent>),
    /// A client of a front, until the user has shut it down or dropped the simulation.
    Front(Client<SimNet>),
}

/// Names a client of a simulation.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ClientId(u32);

/// Names a query of a simulation.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct AskId(u32);

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
        let log = Log::new(Rc::clone(&world));
        Ok(Self { world, seed, clients: Vec::new(), executor: Rc::default(), log, waiting: Vec::new() })
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

    /// Whether a peer is there now, faults aside.
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

    /// A client that is a bare engine and no peer: it asks, and nobody asks it.
    pub fn client(&mut self, config: EngineConfig) -> ClientId {
        self.attach(config, None)
    }

    /// A client that is a bare engine, and this peer of the network too.
    pub fn client_at(&mut self, config: EngineConfig, peer: PeerId) -> ClientId {
        self.attach(config, Some(peer))
    }

    /// A client that is the whole futures front: its driver runs on the simulation's executor and
    /// clock. As this peer of the network, or as none.
    ///
    /// Queries may be given to [`ask`](Self::ask), or to the [`front_client`](Self::front_client) by
    /// tasks of the user's own.
    pub fn front(&mut self, config: FrontConfig, peer: Option<PeerId>) -> ClientId {
        self.front_with(config, peer, |_| ())
    }

    /// The same, with a recorder that takes down what its engine is told, until the simulation is dropped.
    pub fn recorded_front(
        &mut self,
        config: FrontConfig,
        peer: Option<PeerId>,
        recorder: Recorder<SimNet>,
    ) -> ClientId {
        self.front_with(config, peer, |driver| driver.record(recorder))
    }

    fn front_with(
        &mut self,
        config: FrontConfig,
        peer: Option<PeerId>,
        prepare: impl FnOnce(&mut Driver<SimTransport, SimClock>),
    ) -> ClientId {
        let number = self.world.borrow_mut().attach(peer);
        let transport = SimTransport::new(Rc::clone(&self.world), number);
        let clock = SimClock::new(Rc::clone(&self.world), number);
        let (local, seed) = (transport.local(), engine_seed(self.seed, number));
        let (client, mut driver) = front::with_config(config, transport, clock, local, seed);
        prepare(&mut driver);
        self.executor.spawn(driver);
        self.clients.push(Asker::Front(client));
        ClientId(number)
    }

    /// The client of a front, to use as anywhere; `None` of a bare engine.
    pub fn front_client(&self, client: ClientId) -> Option<Client<SimNet>> {
        match &self.clients[client.0 as usize] {
            Asker::Front(client) => Some(client.clone()),
            Asker::Bare(_) => None,
        }
    }

    /// Runs a task on the simulation's executor, from the next [`run`](Self::run) on.
    pub fn spawn(&mut self, task: impl Future<Output = ()> + 'static) {
        self.executor.spawn(task);
    }

    /// The peer that a client is.
    pub fn peer_of(&self, client: ClientId) -> PeerId {
        self.world.borrow_mut().port(client.0).peer
    }

    /// Has a client start a query at a time; at one that has passed, now.
    pub fn ask(&mut self, client: ClientId, at: Time, query: Query<SimNet>) -> AskId {
        let number = self.log.asked(at.max(self.now()));
        self.world.borrow_mut().schedule(at, number);
        self.waiting.push(Some((client, Box::new(query))));
        AskId(number)
    }

    /// Lets time pass until every query that was asked has ended. Tasks of the user's own may have
    /// more to do: see [`run_until`](Self::run_until).
    pub fn run(&mut self) {
        self.executor.run();
        while self.live() > 0 && self.advance(Time::MAX) {}
    }

    /// Lets time pass until this moment; everything that is due by then has happened.
    pub fn run_until(&mut self, until: Time) {
        self.executor.run();
        while self.advance(until) {}
        let mut world = self.world.borrow_mut();
        world.now = world.now.max(until);
    }

    /// Now, in virtual time since the start.
    pub fn now(&self) -> Time {
        self.world.borrow().now
    }

    /// How many of the queries that were asked have not ended.
    pub fn live(&self) -> usize {
        self.log.runs().live
    }

    /// What came of a query so far.
    pub fn query(&self, query: AskId) -> Ref<'_, QueryRun> {
        Ref::map(self.log.runs(), |runs| &runs.all[query.0 as usize])
    }

    /// What came of all queries, in the order in which they were asked.
    pub fn queries(&self) -> Ref<'_, [QueryRun]> {
        Ref::map(self.log.runs(), |runs| runs.all.as_slice())
    }

    /// All clients, in the order in which they were made.
    pub fn clients(&self) -> impl Iterator<Item = ClientId> + use<> {
        (0..self.clients.len() as u32).map(ClientId)
    }

    /// What lives in a client's engine; `None` of a front, whose driver has the engine.
    pub fn live_state(&self, client: ClientId) -> Option<LiveState> {
        match &self.clients[client.0 as usize] {
            Asker::Bare(agent) => Some(agent.engine().live_state()),
            Asker::Front(_) => None,
        }
    }

    /// Tries every bare engine from now on, while it runs, with what no driver does. That leaves the run
    /// as it is, but slows it down.
    ///
    /// ```
    /// use dragnet_sim::{Probe, Request, Sim, SimConfig};
    /// use dragnet_core::{Key, Time};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let mut sim = Sim::new(SimConfig::new(1_000))?;
    /// let client = sim.client(Default::default());
    /// sim.probe(Probe::Ticks);
    /// sim.ask(client, Time::ZERO, Request::FindPeers(Key::of(b"somewhere")).query());
    /// sim.run();
    /// assert!(sim.findings().is_empty());
    /// # Ok(())
    /// # }
    /// ```
    pub fn probe(&mut self, probe: Probe) {
        for asker in &mut self.clients {
            if let Asker::Bare(agent) = asker {
                agent.probe(probe);
            }
        }
    }

    /// What the probes have found wrong.
    pub fn findings(&self) -> Vec<String> {
        let agents = self.clients.iter().filter_map(|asker| match asker {
            Asker::Bare(agent) => Some(agent.findings()),
            Asker::Front(_) => None,
        });
        agents.flatten().cloned().collect()
    }

    /// Breaks every bare engine from now on. For tests only.
    #[cfg(feature = "sabotage")]
    #[doc(hidden)]
    pub fn sabotage(&mut self, how: dragnet_core::Sabotage) {
        for asker in &mut self.clients {
            if let Asker::Bare(agent) = asker {
                agent.sabotage(how);
            }
        }
    }

    /// The metrics of a client's engine.
    pub fn metrics(&self, client: ClientId) -> Metrics {
        match &self.clients[client.0 as usize] {
            Asker::Bare(agent) => agent.engine().metrics(),
            Asker::Front(client) => client.metrics(),
        }
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

    fn attach(&mut self, config: EngineConfig, peer: Option<PeerId>) -> ClientId {
        let client = self.world.borrow_mut().attach(peer);
        let transport = SimTransport::new(Rc::clone(&self.world), client);
        let agent = Agent::new(config, transport, self.log.clone(), engine_seed(self.seed, client));
        self.clients.push(Asker::Bare(Box::new(agent)));
        ClientId(client)
    }

    /// One turn of one client. False when nothing is due until the time given.
    pub(crate) fn advance(&mut self, until: Time) -> bool {
        let due = self.world.borrow_mut().step(until);
        match due {
            None => return false,
            Some(Due::Client(client)) => self.act(client),
            Some(Due::Start(number)) => self.start(number),
            Some(Due::Probe(client)) => {
                let now = self.now();
                if let Asker::Bare(agent) = &mut self.clients[client as usize] {
                    agent.tick_early(now);
                }
            }
        }
        true
    }

    fn start(&mut self, number: u32) {
        let (client, query) = self.waiting[number as usize].take().expect("a query starts once");
        let now = self.now();
        match &mut self.clients[client.0 as usize] {
            Asker::Bare(agent) => agent.start(now, number, *query),
            Asker::Front(client) => {
                let log = self.log.clone();
                match client.query(*query) {
                    Err(why) => log.refused(number, why),
                    Ok(mut handle) => self.executor.spawn(async move {
                        while let Some(found) = handle.next().await {
                            log.found(number, found);
                        }
                        log.started(number, handle.id());
                        log.ended(number, handle.outcome().cloned());
                    }),
                }
            }
        }
        self.act(client.0);
    }

    /// Has a client act on what has come for it.
    fn act(&mut self, client: u32) {
        match &mut self.clients[client as usize] {
            Asker::Bare(agent) => {
                let now = self.world.borrow().now;
                let next = agent.drive(now);
                let mut world = self.world.borrow_mut();
                world.arm(client, next);
                if let Some(next) = next.filter(|_| agent.wants_early_ticks()) {
                    world.probe(client, Time::from_nanos(next.as_nanos() - 1));
                }
            }
            // Those who wait were woken.
            Asker::Front(_) => self.executor.run(),
        }
    }
}

impl fmt::Debug for Sim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sim")
            .field("seed", &self.seed)
            .field("now", &self.now())
            .field("peers", &self.peers())
            .field("clients", &self.clients.len())
            .field("live", &self.live())
            .finish()
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
