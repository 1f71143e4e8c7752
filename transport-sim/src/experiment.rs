//! Runs a scenario: makes the network, stores the data, draws the faults, asks the queries.

use dragnet_core::front::FrontConfig;
use dragnet_core::{Key, Query, Reason, Time};

use crate::digest::Digest;
use crate::draw::{Draw, Purpose, below};
use crate::faults::Fault;
use crate::log::QueryRun;
use crate::network::{Request, SimItem, SimNet, all_sound};
use crate::peers::PeerId;
use crate::scenario::{ClientKind, Scenario, ScenarioError, WorkloadKind};
use crate::sim::{ClientId, Sim};

/// A scenario on its way.
#[derive(Debug)]
pub struct Experiment {
    /// The simulation itself.
    pub sim: Sim,
    scenario: Scenario,
    keys: Vec<Key>,
    checkpoints: Vec<Checkpoint>,
}

/// The digest after so many events, so that two runs that differ can be compared.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Checkpoint {
    /// How many events had happened.
    pub events: u64,
    /// In virtual time.
    pub time: Time,
    /// The digest by then.
    pub digest: Digest,
}

/// A checkpoint is taken every so many events.
const CHECKPOINT_EVERY: u64 = 1 << 14;

impl Experiment {
    /// Sets a scenario up. Its faults are drawn from the seed, or are those given: an earlier run's.
    ///
    /// # Errors
    ///
    /// A value out of its range, or a matrix that cannot be loaded.
    pub fn new(scenario: Scenario, faults: Option<&[Fault]>, trace: bool) -> Result<Self, ScenarioError> {
        scenario.check()?;
        let sim = Sim::new(scenario.network.config(scenario.seed, trace)?)?;
        let mut experiment = Self { sim, scenario, keys: Vec::new(), checkpoints: Vec::new() };
        match faults {
            Some(faults) => faults.iter().for_each(|fault| experiment.sim.fault(*fault)),
            None => experiment.draw_faults()?,
        }
        experiment.ask_all();
        Ok(experiment)
    }

    /// What is run.
    pub const fn scenario(&self) -> &Scenario {
        &self.scenario
    }

    /// Runs to the end, and tells from time to time how many queries have ended.
    pub fn run(&mut self, mut progress: impl FnMut(u64)) {
        let lookups = u64::from(self.scenario.workload.lookups);
        let mut next = CHECKPOINT_EVERY;
        while self.sim.live() > 0 && self.sim.advance(Time::MAX) {
            let events = self.sim.counts().events();
            if events >= next {
                next = events - events % CHECKPOINT_EVERY + CHECKPOINT_EVERY;
                let (time, digest) = (self.sim.now(), self.sim.digest());
                self.checkpoints.push(Checkpoint { events, time, digest });
                progress(lookups - self.sim.live() as u64);
            }
        }
        progress(lookups);
    }

    /// The checkpoints so far.
    pub fn checkpoints(&self) -> &[Checkpoint] {
        &self.checkpoints
    }

    /// The key that the `number`th query is about.
    pub fn key(&self, number: usize) -> &Key {
        &self.keys[number]
    }

    /// Whether the query found what it looked for: a true item, or the closest peers.
    pub fn has_found(&self, run: &QueryRun) -> bool {
        match self.scenario.workload.kind {
            WorkloadKind::Find => {
                run.outcome.as_ref().is_some_and(|outcome| outcome.reason == Reason::Converged)
            }
            _ => run.found.iter().any(|found| !found.item.is_invented()),
        }
    }

    /// Whether the query was given an item that somebody made up.
    pub fn is_misled(&self, run: &QueryRun) -> bool {
        run.found.iter().any(|found| found.item.is_invented())
    }

    fn draw_faults(&mut self) -> Result<(), ScenarioError> {
        for (n, rule) in self.scenario.faults.clone().iter().enumerate() {
            for fault in rule.draw(n + 1, &self.sim, self.scenario.seed)? {
                self.sim.fault(fault);
            }
        }
        Ok(())
    }

    fn ask_all(&mut self) {
        let clients = self.clients();
        let workload = self.scenario.workload.clone();
        let draw = Draw::new(self.scenario.seed, Purpose::Workload);
        let spec = self.scenario.query.clone();
        for number in 0..workload.lookups {
            let word = |what: u64| draw.word(u64::from(number), what);
            let key = PeerId::new(word(0)).key();
            let stored = !workload.missing.hit(word(1));
            let query = self.question(key, stored, draw.narrow(u64::from(number)));
            let at_us = below(word(2), u64::from(workload.over_ms) * 1000 + 1);
            let client = clients[number as usize % clients.len()];
            self.keys.push(key);
            self.sim.ask(client, Time::from_nanos(at_us * 1000), spec.apply(query));
        }
    }

    /// Stores what a query is about, and makes the query.
    fn question(&mut self, key: Key, stored: bool, draw: Draw) -> Query<SimNet> {
        let workload = &self.scenario.workload;
        let (count, items) = (workload.providers, workload.items);
        let id = |provider: u32, item: u32| draw.word(u64::from(provider), 1 + u64::from(item));
        match workload.kind {
            WorkloadKind::Find => Request::FindPeers(key).query(),
            WorkloadKind::Get => {
                if stored {
                    self.sim.put(SimItem::new(key, id(0, 0)));
                }
                Request::Get(key).query()
            }
            kind @ (WorkloadKind::Search | WorkloadKind::Fetch) => {
                let providers: Vec<PeerId> =
                    (0..count).map(|n| self.living(draw.word(u64::from(n), 0))).collect();
                for (n, provider) in (0..count).zip(&providers).take(if stored { count as usize } else { 0 })
                {
                    self.sim.provide(*provider, (0..items).map(|item| SimItem::new(key, id(n, item))));
                }
                match kind {
                    WorkloadKind::Search => Request::Search(key).query(),
                    _ => Query::new(Request::Search(key)).fetch_from(providers).shared_validator(all_sound()),
                }
            }
        }
    }

    /// A living peer drawn by a word: the closest to a random place.
    fn living(&self, word: u64) -> PeerId {
        let place = PeerId::new(word);
        self.sim.closest_alive(&place.key(), 1).first().copied().unwrap_or(place)
    }

    fn clients(&mut self) -> Vec<ClientId> {
        let (workload, config) = (self.scenario.workload.clone(), self.scenario.engine.config());
        let commands = workload.lookups as usize;
        let draw = Draw::new(self.scenario.seed, Purpose::Workload).narrow(u64::MAX);
        let mut peers: Vec<PeerId> = Vec::new();
        let mut clients = Vec::new();
        for n in 0..workload.clients {
            let mut word = draw.word(u64::from(n), 0);
            let peer = workload.clients_are_peers.then(|| {
                loop {
                    let peer = self.sim.peer(below(word, u64::from(self.sim.peers())) as u32);
                    if !peers.contains(&peer) {
                        peers.push(peer);
                        break peer;
                    }
                    word = crate::draw::mix(word);
                }
            });
            clients.push(match (workload.drive, peer) {
                (ClientKind::Front, peer) => {
                    let front = FrontConfig::default().with_engine(config.clone());
                    self.sim.front(front.with_commands_max(commands), peer)
                }
                (ClientKind::Engine, Some(peer)) => self.sim.client_at(config.clone(), peer),
                (ClientKind::Engine, None) => self.sim.client(config.clone()),
            });
        }
        clients
    }
}
