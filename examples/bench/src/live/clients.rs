//! Who asks: the same lookups by libp2p-kad, by ours, and by nobody who would have to find the way.

use std::collections::HashMap;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use dragnet_core::record::{RecordConfig, WriteError, Written};
use dragnet_core::{QueryConfig, Reason};
use dragnet_libp2p::exchange::{self, Outgoing};
use dragnet_libp2p::kad_messages::{AnswerLimits, Question};
use dragnet_libp2p::{Behaviour, Config, KAD_PROTOCOL, query};
use futures::{StreamExt, stream};
use libp2p::kad::store::MemoryStore;
use libp2p::kad::{self, GetRecordOk, Mode, QueryResult};
use libp2p::swarm::{Swarm, SwarmEvent};
use libp2p::{Multiaddr, PeerId, StreamProtocol};
use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;
use smol::LocalExecutor;

use super::network::{CLOSEST, Network, after, connect, identity, kad_config, swarm};

/// Requests that a lookup keeps in flight, Kademlia's alpha: everywhere at the start. The driven client follows
/// the network from there.
const FAN_OUT: usize = 3;

/// For how long the tuned libp2p-kad waits for an answer; by default it waits 10 s.
const TUNED: Duration = Duration::from_secs(1);

/// Beyond its deadline a lookup that has not ended is not waited for.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
#[value(rename_all = "kebab-case")]
pub(super) enum Client {
    /// libp2p-kad's own `get_record`, with its defaults.
    Libp2pKad,
    /// The same, that waits for an answer for 1 s only.
    Libp2pKadTuned,
    /// Ours, with the walk left to libp2p-kad.
    Delegated,
    /// Ours.
    Driven,
    /// Ours, with the flight recorder on, and the file written by a thread beside.
    DrivenRecorded,
    /// Requests to the twenty closest peers, who are known beforehand, through our handler: the ceiling.
    Raw,
}

/// What is to be done.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    pub(super) concurrency: usize,
    /// At most so many.
    pub(super) lookups: usize,
    /// At least so many, if the budget does not suffice for them.
    pub(super) lookups_min: usize,
    /// None is begun after so long.
    pub(super) budget: Duration,
    pub(super) deadline: Duration,
    pub(super) seed: u64,
}

impl Load {
    /// Whether another lookup may begin, after so many that have, and so long.
    fn goes_on(&self, begun: usize, elapsed: Duration) -> bool {
        begun < self.lookups_min || elapsed < self.budget
    }
}

/// What came of it, in all rounds.
#[derive(Clone, Debug, Default)]
pub(super) struct Measured {
    pub(super) lookups: Vec<Lookup>,
    /// From the first start to the last end, of each round.
    pub(super) wall: Duration,
    /// Of the client's thread.
    pub(super) cpu: Duration,
    /// Requests sent.
    pub(super) contacts: u64,
}

impl Measured {
    /// Adds what another round has brought.
    pub(super) fn add(&mut self, round: Self) {
        self.lookups.extend(round.lookups);
        self.wall += round.wall;
        self.cpu += round.cpu;
        self.contacts += round.contacts;
    }
}

/// One lookup.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lookup {
    /// When the right record came; `None` if it did not.
    pub(super) first: Option<Duration>,
    /// When it came to its end by itself; `None` if it did not within the deadline.
    pub(super) total: Option<Duration>,
}

impl Client {
    /// Runs a load on a thread of its own, whose processor time is its cost.
    pub(super) fn run(self, network: &Network, load: Load) -> Result<Measured> {
        let run = || match self {
            Self::Libp2pKad => libp2p_kad(network, load, None),
            Self::Libp2pKadTuned => libp2p_kad(network, load, Some(TUNED)),
            Self::Delegated => ours(network, load, true, false),
            Self::Driven => ours(network, load, false, false),
            Self::DrivenRecorded => ours(network, load, false, true),
            Self::Raw => raw(network, load),
        };
        std::thread::scope(|scope| scope.spawn(run).join().map_err(|_| anyhow!("the client has died"))?)
    }
}

/// The identity of every client: it has no number of a node.
fn keypair(load: Load) -> libp2p::identity::Keypair {
    identity(load.seed, u64::MAX)
}

/// The indices of the records to look up, the same for every client.
fn order(network: &Network, load: Load) -> impl Iterator<Item = usize> + use<> {
    let mut random = fastrand::Rng::with_seed(load.seed);
    let records = network.records.len();
    std::iter::repeat_with(move || random.usize(..records)).take(load.lookups)
}

/// Time begins when the client is connected and has settled.
struct Stopwatch {
    started: Instant,
    cpu: Duration,
}

impl Stopwatch {
    fn start() -> Self {
        Self { started: Instant::now(), cpu: thread_cpu() }
    }

    fn stop(self, lookups: Vec<Lookup>, contacts: u64) -> Measured {
        Measured { lookups, contacts, wall: self.started.elapsed(), cpu: thread_cpu() - self.cpu }
    }
}

fn thread_cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// A lookup of libp2p-kad's under way.
struct Running {
    record: usize,
    started: Instant,
    first: Option<Duration>,
}

fn libp2p_kad(network: &Network, load: Load, timeout: Option<Duration>) -> Result<Measured> {
    let keypair = keypair(load);
    let local = keypair.public().to_peer_id();
    let mut config = kad_config();
    config.set_query_timeout(load.deadline);
    if let Some(timeout) = timeout {
        config.set_substreams_timeout(timeout);
    }
    let mut kad = kad::Behaviour::with_config(local, MemoryStore::new(local), config);
    kad.set_mode(Some(Mode::Client));
    let mut swarm = swarm(&keypair, kad)?;
    let introduce = |swarm: &mut Swarm<kad::Behaviour<MemoryStore>>| {
        for node in &network.nodes {
            swarm.behaviour_mut().add_address(&node.peer, node.address.clone());
        }
    };
    introduce(&mut swarm);
    smol::block_on(async {
        connect(&mut swarm, network).await?;
        introduce(&mut swarm);
        let mut order = order(network, load);
        let mut running: HashMap<kad::QueryId, Running> = HashMap::new();
        let mut lookups = Vec::new();
        let mut contacts = 0;
        let stopwatch = Stopwatch::start();
        let mut given_up = after(Duration::MAX);
        let mut begun = 0;
        loop {
            while running.len() < load.concurrency && load.goes_on(begun, stopwatch.started.elapsed()) {
                let Some(record) = order.next() else { break };
                let started = Instant::now();
                let id = swarm.behaviour_mut().get_record(network.records[record].0.clone());
                running.insert(id, Running { record, started, first: None });
                begun += 1;
                given_up = after(load.deadline + PATIENCE);
            }
            if running.is_empty() {
                break;
            }
            let event = futures::select! {
                event = swarm.select_next_some() => event,
                () = given_up => break,
            };
            let SwarmEvent::Behaviour(kad::Event::OutboundQueryProgressed { id, result, stats, step }) =
                event
            else {
                continue;
            };
            let Some(lookup) = running.get_mut(&id) else { continue };
            if let QueryResult::GetRecord(Ok(GetRecordOk::FoundRecord(found))) = result {
                let (key, value) = &network.records[lookup.record];
                if found.record.key == *key && found.record.value == *value {
                    lookup.first.get_or_insert_with(|| lookup.started.elapsed());
                }
            }
            if step.last {
                contacts += u64::from(stats.num_requests());
                let Running { started, first, .. } = running.remove(&id).expect("it runs");
                lookups.push(Lookup { first, total: within(started.elapsed(), load) });
            }
        }
        lookups.extend(running.into_values().map(|lookup| Lookup { first: lookup.first, total: None }));
        Ok(stopwatch.stop(lookups, contacts))
    })
}

fn within(total: Duration, load: Load) -> Option<Duration> {
    (total < load.deadline).then_some(total)
}

fn ours(network: &Network, load: Load, delegated: bool, recorded: bool) -> Result<Measured> {
    let keypair = keypair(load);
    let mut config = Config::default();
    config.mode = Some(Mode::Client);
    config.bootstrap_interval = None;
    config.lookup_timeout = load.deadline;
    let (mut behaviour, client) = Behaviour::new(keypair.public().to_peer_id(), config);
    let writing = if recorded { Some(record(&mut behaviour)?) } else { None };
    let mut swarm = swarm(&keypair, behaviour)?;
    let introduce = |swarm: &mut Swarm<Behaviour>| {
        for node in &network.nodes {
            swarm.behaviour_mut().add_address(node.peer, node.address.clone());
        }
    };
    introduce(&mut swarm);
    smol::block_on(connect(&mut swarm, network))?;
    introduce(&mut swarm);

    let one = async |record: usize| {
        let (key, value) = &network.records[record];
        let started = Instant::now();
        let mut get = query::get(key.clone());
        // One more than there are: a record has one id, whoever gives it.
        get.config = QueryConfig::balanced()
            .with_timeout(load.deadline)
            .with_fan_out(FAN_OUT)
            .with_closest(CLOSEST)
            .with_max_results(2);
        let mut handle = client.query(if delegated { query::delegated(get) } else { get })?;
        let mut first = None;
        while let Some(found) = handle.next().await {
            if found.item.record().is_some_and(|record| record.value == *value) {
                first.get_or_insert_with(|| started.elapsed());
            }
        }
        let outcome = handle.outcome().ok_or_else(|| anyhow!("the driver is gone"))?;
        let total = within(started.elapsed(), load).filter(|_| outcome.reason != Reason::DeadlineReached);
        Ok::<_, anyhow::Error>((Lookup { first, total }, outcome.stats.contacted))
    };
    let executor = LocalExecutor::new();
    let running = executor.spawn(async move {
        loop {
            swarm.select_next_some().await;
        }
    });
    let measured = smol::block_on(executor.run(async {
        let stopwatch = Stopwatch::start();
        let started = stopwatch.started;
        let due = stream::iter(order(network, load).enumerate())
            .take_while(|&(begun, _)| std::future::ready(load.goes_on(begun, started.elapsed())));
        let mut ended = due.map(|(_, record)| one(record)).buffer_unordered(load.concurrency);
        let mut lookups = Vec::new();
        let mut contacts = 0;
        while let Some(result) = ended.next().await {
            let (lookup, contacted) = result?;
            lookups.push(lookup);
            contacts += u64::from(contacted);
        }
        Ok(stopwatch.stop(lookups, contacts))
    }));
    // Its connections close with it; the executor that would run it has come to rest.
    drop(running);
    drop(executor);
    if let Some(writing) = writing {
        let written = writing.join().map_err(|_| anyhow!("the writer has died"))??;
        eprintln!("recorded {} bytes: {}", written.bytes, written.end);
    }
    measured
}

/// Has a client recorded as an application would, into a file that is thrown away afterwards.
fn record(behaviour: &mut Behaviour) -> Result<JoinHandle<Result<Written, WriteError>>> {
    let (recorder, writer) = dragnet_libp2p::recorder(RecordConfig::default());
    behaviour.record(recorder);
    let path = std::env::temp_dir().join(format!("dragnet-bench-{}.rec", std::process::id()));
    let writer = writer.create(&path)?;
    Ok(std::thread::spawn(move || {
        let written = writer.run();
        for ending in ["rec", "rec.1"] {
            // The second is there only if it was full.
            let _ = std::fs::remove_file(path.with_extension(ending));
        }
        written
    }))
}

/// A lookup that knows the way.
struct Known {
    record: usize,
    started: Instant,
    first: Option<Duration>,
    /// Whom to ask yet, the closest last.
    left: Vec<(PeerId, Multiaddr)>,
    in_flight: usize,
}

fn raw(network: &Network, load: Load) -> Result<Measured> {
    let limits = AnswerLimits::default();
    let mut swarm = swarm(&keypair(load), exchange::Behaviour::new(exchange::Config::default()))?;
    smol::block_on(async {
        connect(&mut swarm, network).await?;
        let mut order = order(network, load);
        let mut running: HashMap<u64, Known> = HashMap::new();
        let mut requests: HashMap<u64, u64> = HashMap::new();
        let mut lookups = Vec::new();
        let (mut next_lookup, mut contacts) = (0, 0);
        let stopwatch = Stopwatch::start();
        loop {
            while running.len() < load.concurrency
                && load.goes_on(next_lookup as usize, stopwatch.started.elapsed())
            {
                let Some(record) = order.next() else { break };
                let closest = network.closest(&network.records[record].0);
                let left = closest.iter().rev().map(|node| (node.peer, node.address.clone())).collect();
                let mut known = Known { record, started: Instant::now(), first: None, left, in_flight: 0 };
                while known.in_flight < FAN_OUT && ask(&mut swarm, network, &mut known, contacts) {
                    requests.insert(contacts, next_lookup);
                    contacts += 1;
                }
                running.insert(next_lookup, known);
                next_lookup += 1;
            }
            if running.is_empty() {
                break;
            }
            let SwarmEvent::Behaviour(event) = swarm.select_next_some().await else { continue };
            let (id, answer) = match event {
                exchange::Event::Answered { id, answer, .. } => (id, Some(answer)),
                exchange::Event::Failed { id, .. } => (id, None),
                exchange::Event::Question { .. } | exchange::Event::Sent { .. } => continue,
            };
            let lookup = requests.remove(&id).expect("it was asked");
            let known = running.get_mut(&lookup).expect("it has not ended");
            known.in_flight -= 1;
            let (key, value) = &network.records[known.record];
            let answered = answer.map(|it| Question::GetValue(key.clone()).decode_answer(it, &limits));
            if let Some(Ok(answered)) = answered
                && answered.record.is_some_and(|record| record.value == *value)
            {
                known.first.get_or_insert_with(|| known.started.elapsed());
            }
            if known.started.elapsed() >= load.deadline {
                known.left.clear();
            }
            if ask(&mut swarm, network, known, contacts) {
                requests.insert(contacts, lookup);
                contacts += 1;
            } else if known.in_flight == 0 {
                let Known { started, first, .. } = running.remove(&lookup).expect("it has not ended");
                lookups.push(Lookup { first, total: within(started.elapsed(), load) });
            }
        }
        Ok(stopwatch.stop(lookups, contacts))
    })
}

/// Sends a lookup's next request, if there is one.
fn ask(swarm: &mut Swarm<exchange::Behaviour>, network: &Network, known: &mut Known, id: u64) -> bool {
    let Some((peer, address)) = known.left.pop() else { return false };
    known.in_flight += 1;
    let key = network.records[known.record].0.clone();
    swarm.behaviour_mut().ask(Outgoing {
        id,
        peer,
        addresses: vec![address],
        protocol: StreamProtocol::new(KAD_PROTOCOL),
        payload: Question::GetValue(key).encode(),
        timeout: Duration::from_secs(10),
        response_bytes_max: AnswerLimits::default().bytes_max,
    })
}
