//! The half in virtual time.

use std::fmt;
use std::time::{Duration, Instant};

use allocation_counter::measure;
use anyhow::Result;
use dragnet_sim::experiment::Experiment;
use dragnet_sim::judge::judge;
use dragnet_sim::scenario::{
    ClientKind, EngineSpec, Expect, FaultRule, KindName, LatencySpec, NetworkSpec, QuerySpec, Scenario,
    SessionsSpec, Workload, WorkloadKind,
};
use dragnet_sim::summary::Summary;
use dragnet_sim::{Share, Staleness};
use fastrand::Rng;
use serde::Serialize;

use super::Plant;
use super::check::{Broken, median};
use crate::progress::Progress;

/// Of so many networks one is healthy.
const HEALTHY_EVERY: u64 = 4;

/// Networks before the memory is looked at: tables that are made once are made by then.
const WARM_UP: usize = 4;

/// Bytes that all networks after the warm-up may leave behind, together.
const LEFT_MAX: i64 = 64 << 10;

/// Bytes that a planted leak keeps of each network.
const PLANTED: usize = 128 << 10;

#[derive(Serialize, Debug, Default)]
pub(super) struct Figures {
    networks: u64,
    healthy: u64,
    queries: u64,
    events: u64,
    /// How often the faults struck.
    struck: u64,
    /// Queries of healthy networks, all of which must find what was stored.
    must_find: u64,
    virtual_s: f64,
    /// By how much the latest deadline was missed, in virtual time.
    lateness_max_ns: u64,
    /// Bytes held at the height of a network, the median; and left behind by all after the warm-up.
    bytes_max: u64,
    bytes_left: i64,
}

/// How long it lasts.
#[derive(Clone, Copy, Debug)]
pub(super) enum Length {
    Time(Duration),
    /// So many networks, or somewhat more: the memory is looked at after the warm-up.
    Networks(u64),
}

impl Length {
    fn is_over(self, elapsed: Duration, networks: u64) -> bool {
        match self {
            Self::Time(lasts) => elapsed >= lasts,
            Self::Networks(most) => networks >= most,
        }
    }
}

pub(super) fn run(
    length: Length,
    seed: u64,
    plant: &[Plant],
    broken: &mut Broken,
    progress: &Progress,
) -> Result<Figures> {
    let started = Instant::now();
    let mut figures = Figures::default();
    let mut heights = Vec::new();
    let mut left = Vec::new();
    let mut told = Duration::ZERO;
    while !length.is_over(started.elapsed(), figures.networks) || heights.len() <= WARM_UP {
        let number = figures.networks;
        let mut result = Ok(());
        let held = measure(|| result = one(number, seed, plant, &mut figures, broken));
        result?;
        heights.push(held.bytes_max);
        left.push(held.bytes_current);
        if plant.contains(&Plant::Leak) {
            let kept = measure(|| std::mem::forget(std::hint::black_box(vec![1u8; PLANTED])));
            *left.last_mut().expect("one was pushed") += kept.bytes_current;
        }
        if started.elapsed() - told > Duration::from_secs(10) {
            told = started.elapsed();
            figures.bytes_max = median(&heights);
            progress.say(&figures.to_string());
        }
    }
    figures.bytes_max = median(&heights);
    figures.bytes_left = left.iter().skip(WARM_UP).sum();
    broken.check(figures.bytes_left <= LEFT_MAX, || {
        format!("simulated: {} bytes were left behind, {LEFT_MAX} at most", figures.bytes_left)
    });
    Ok(figures)
}

/// One network, from its beginning to its end.
fn one(number: u64, seed: u64, plant: &[Plant], figures: &mut Figures, broken: &mut Broken) -> Result<()> {
    let is_healthy = number.is_multiple_of(HEALTHY_EVERY);
    let scenario = scenario(number, seed, is_healthy);
    let mut experiment = Experiment::new(scenario, None, true)?;
    experiment.run(|_| ());
    // What has been released may still be answered.
    experiment.sim.run();
    let summary = Summary::new(&experiment, Duration::ZERO, Duration::ZERO);
    let name = &experiment.scenario().name;
    let mut add = |what: String| broken.add(format!("simulated, {name}: {what}"));
    for promise in judge(&experiment, &summary) {
        add(promise.to_string());
    }
    for client in experiment.sim.clients() {
        // A front that has gone has none.
        let state = experiment.sim.live_state(client);
        if let Some(state) = state.filter(|state| *state != dragnet_core::LiveState::default()) {
            add(format!("{state:?} is left"));
        }
    }
    let workload = experiment.scenario().workload.clone();
    let timeout = experiment.scenario().query.config().timeout;
    for (query, run) in experiment.sim.queries().iter().enumerate() {
        let items = match workload.kind {
            WorkloadKind::Find => 0,
            WorkloadKind::Get => 1,
            WorkloadKind::Search | WorkloadKind::Fetch => (workload.providers * workload.items) as usize,
        };
        if let Some(outcome) = &run.outcome {
            let late = outcome.stats.total.saturating_sub(timeout).as_nanos() as u64;
            figures.lateness_max_ns = figures.lateness_max_ns.max(late);
        }
        let mut found = run.found.len();
        found += usize::from(plant.contains(&Plant::Twin) && query == 0);
        found -= usize::from(plant.contains(&Plant::Loss) && query == 0 && found > 0);
        if is_healthy {
            figures.must_find += 1;
            if found != items {
                add(format!("query {query} found {found} of {items} items: {:?}", run.outcome));
            }
        }
    }
    figures.networks += 1;
    figures.healthy += u64::from(is_healthy);
    figures.queries += experiment.sim.queries().len() as u64;
    figures.events += experiment.sim.counts().events();
    figures.struck += experiment.sim.struck().iter().sum::<u64>();
    figures.virtual_s += experiment.sim.now().since(dragnet_core::Time::ZERO).as_secs_f64();
    Ok(())
}

fn scenario(number: u64, seed: u64, is_healthy: bool) -> Scenario {
    let mut rng = Rng::with_seed(seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let kinds = [WorkloadKind::Find, WorkloadKind::Get, WorkloadKind::Search, WorkloadKind::Fetch];
    let kind = kinds[rng.usize(..kinds.len())];
    let drive = if rng.bool() { ClientKind::Engine } else { ClientKind::Front };
    let (providers, items) = (rng.u32(1..=4), rng.u32(1..=4));
    let percent = |rng: &mut Rng, max| Share::percent(if is_healthy { 0 } else { rng.u32(0..=max) });
    let mut faults = Vec::new();
    if !is_healthy {
        faults.extend((0..rng.usize(1..=5)).map(|_| fault(&mut rng)));
    }
    let has_sessions = !is_healthy && rng.u8(..5) == 0;
    Scenario {
        name: format!("network {number}"),
        // TOML has no larger numbers.
        seed: rng.u64(..) >> 1,
        network: NetworkSpec {
            peers: rng.u32(100..=500),
            dead: percent(&mut rng, 40),
            staleness: Staleness::Uniform,
            loss: percent(&mut rng, 10),
            latency: LatencySpec::Internet,
            sessions: has_sessions.then(|| SessionsSpec { shape: 0.68, scale_s: rng.u32(60..20_000) }),
        },
        workload: Workload {
            kind,
            lookups: rng.u32(20..=200),
            clients: rng.u32(1..=5),
            drive,
            clients_are_peers: false,
            over_ms: rng.u32(1_000..=20_000),
            missing: percent(&mut rng, 30),
            providers,
            items,
        },
        query: QuerySpec {
            timeout_ms: Some(if is_healthy { 60_000 } else { rng.u64(1..=10_000) }),
            max_results: Some(if is_healthy { 1_000 } else { rng.usize(1..=20) }),
            ..QuerySpec::default()
        },
        engine: EngineSpec::default(),
        faults,
        expect: Expect::default(),
    }
}

const KINDS: [KindName; 16] = [
    KindName::Silent,
    KindName::Refusing,
    KindName::Slow,
    KindName::Slower,
    KindName::Crashed,
    KindName::Loss,
    KindName::Duplication,
    KindName::Reordering,
    KindName::Clogged,
    KindName::Partition,
    KindName::CorruptItems,
    KindName::OtherKeys,
    KindName::ForgedItems,
    KindName::FloodItems,
    KindName::FloodPeers,
    KindName::Sybils,
];

/// Any fault, for some of the time or to the end.
fn fault(rng: &mut Rng) -> FaultRule {
    let kind = KINDS[rng.usize(..KINDS.len())];
    let from_ms = rng.u64(..5_000);
    // What is clogged must become free.
    let ends = kind == KindName::Clogged || rng.bool();
    let is_one_of = |kinds: &[KindName]| kinds.contains(&kind);
    let of_messages = is_one_of(&[KindName::Loss, KindName::Duplication, KindName::Reordering]);
    let of_peers = is_one_of(&[KindName::FloodItems, KindName::FloodPeers, KindName::Sybils]);
    FaultRule {
        kind,
        share: Share::percent(rng.u32(1..=50)),
        from_ms,
        until_ms: ends.then(|| from_ms + rng.u64(100..10_000)),
        lasts_ms: None,
        messages: of_messages.then(|| Share::percent(rng.u32(1..=50))),
        by_ms: is_one_of(&[KindName::Slow, KindName::Reordering]).then(|| rng.u32(1..2_000)),
        times: (kind == KindName::Slower).then(|| rng.u32(2..=20)),
        count: of_peers.then(|| rng.u32(1..=200)),
        one_way: (kind == KindName::Partition).then(|| rng.bool()),
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "simulated: {} networks ({} healthy), {} queries in {:.0} s of virtual time, {} events, faults struck {} \
             times; {} queries had to find all; memory {} kB at the height, {} bytes left; latest deadline {} ns",
            self.networks,
            self.healthy,
            self.queries,
            self.virtual_s,
            self.events,
            self.struck,
            self.must_find,
            self.bytes_max / 1000,
            self.bytes_left,
            self.lateness_max_ns,
        )
    }
}
