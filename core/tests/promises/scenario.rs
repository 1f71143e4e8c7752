//! Random sequences of inputs.
//!
//! A scenario is a plan, not a list of inputs: whom a reply is for is said by its place among the
//! contacts in flight, and when it comes by its relation to the engine's next timeout. Only when it runs
//! do the steps become inputs, so that every sequence goes deep, and shrinking one leaves a sequence.

use std::time::Duration;

use dragnet_core::{
    Agreement, CacheConfig, CachePolicy, Caps, Delivery, EngineConfig, Failure, LookupTotals, QueryConfig,
    ReputationConfig,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::network::{Note, PEERS, Prefers, Refuses};

#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    pub(crate) setup: Setup,
    pub(crate) steps: Vec<Step>,
}

/// What is fixed for the life of the engine.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) config: EngineConfig,
    pub(crate) local: u8,
    pub(crate) seed: u8,
    /// The time of the first input, in nanoseconds.
    pub(crate) origin: u64,
    /// Whether at each checkpoint another engine goes on.
    pub(crate) resumes: bool,
    /// How the engine is broken, if it is.
    #[cfg(feature = "sabotage")]
    pub(crate) sabotage: Option<dragnet_core::Sabotage>,
}

#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) moment: Moment,
    pub(crate) act: Act,
}

/// When a step happens.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Moment {
    Same,
    AfterMicros(u32),
    /// At `poll_timeout`, or so many nanoseconds before or after it.
    AtTimeout(i64),
    AfterSecs(u16),
    BackMicros(u32),
}

#[derive(Clone, Debug)]
pub(crate) enum Act {
    Tick,
    Start(Plan),
    /// Among those that were started.
    Repeat(u8, Own),
    Sent(Pick),
    Reply(Pick, ReplyPlan),
    Progress(Pick, Option<u8>, ReplyPlan),
    Fail(Pick, Failure),
    Done(Pick, LookupTotals),
    /// Among the live queries, then the ended ones, then one that never was.
    Cancel(u8),
    CancelRefreshes,
    Bar(u8),
    Checkpoint,
}

/// Under which request id an input comes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pick {
    /// One in flight, of the kind the input is for, while there is one.
    Apt(u8),
    /// One in flight.
    Live(u8),
    /// One that has ended.
    Ended(u8),
    /// One that may never have been: slot and generation.
    Forged(u8, u8),
}

#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) routes: Vec<RoutePlan>,
    pub(crate) peers: Vec<u8>,
    pub(crate) providers: bool,
    pub(crate) refuses: Option<Refuses>,
    pub(crate) prefers: Option<Prefers>,
    pub(crate) disjoint: Option<Agreement>,
    pub(crate) config: QueryConfig,
}

/// What a query has for itself when it asks what another has asked.
#[derive(Clone, Debug)]
pub(crate) struct Own {
    pub(crate) timeout: Duration,
    pub(crate) max_results: usize,
    pub(crate) cache: CachePolicy,
    pub(crate) max_age: Duration,
    /// Where its walks begin, if elsewhere.
    pub(crate) candidates: Option<Vec<u8>>,
}

#[derive(Clone, Debug)]
pub(crate) enum RoutePlan {
    Walk { target: u8, candidates: Vec<u8> },
    Delegated,
}

#[derive(Clone, Debug)]
pub(crate) struct ReplyPlan {
    pub(crate) items: Vec<Note>,
    pub(crate) closer: Vec<u8>,
    pub(crate) providers: Vec<u8>,
    pub(crate) invalid: u32,
}

/// Whether nothing is ever forgotten: neither a peer for want of room, nor what it did.
impl Setup {
    /// The same with room for every peer, and without decay.
    pub(crate) fn forget_nothing(&mut self) {
        // A quarter of the table is not for the peers that replies name.
        self.config.caps.peers_max = 2 * usize::from(PEERS);
        self.config.reputation.half_life = NEVER;
        // How many bytes a kept answer takes is nobody's business.
        self.config.cache.bytes_max = usize::MAX;
    }

    pub(crate) fn remembers_peers(&self) -> bool {
        self.config.caps.peers_max >= usize::from(PEERS)
    }

    pub(crate) fn remembers_deeds(&self) -> bool {
        self.remembers_peers() && self.config.reputation.half_life == NEVER
    }
}

pub(crate) const NEVER: Duration = Duration::MAX;

pub(crate) fn scenario() -> impl Strategy<Value = Scenario> {
    (setup(), first_steps(), vec(step(), 20..160)).prop_map(|(setup, mut steps, more)| {
        steps.extend(more);
        Scenario { setup, steps }
    })
}

/// Some queries at once, so that the sequence has something to go on with.
fn first_steps() -> impl Strategy<Value = Vec<Step>> {
    vec(plan().prop_map(|plan| Step { moment: Moment::Same, act: Act::Start(plan) }), 1..4)
}

fn setup() -> impl Strategy<Value = Setup> {
    let origin = prop_oneof![
        6 => Just(0),
        3 => Just(1_700_000_000_000_000_000),
        1 => (0u64..3_000_000_000).prop_map(|left| u64::MAX - left),
    ];
    let config = (caps(), reputation(), cache());
    (config, 0u8..4, any::<u8>(), origin).prop_map(|((caps, reputation, cache), local, seed, origin)| {
        let config = EngineConfig::default().with_caps(caps).with_reputation(reputation).with_cache(cache);
        Setup {
            config,
            local,
            seed,
            origin,
            resumes: false,
            #[cfg(feature = "sabotage")]
            sabotage: None,
        }
    })
}

fn caps() -> impl Strategy<Value = Caps> {
    let candidates_max = prop_oneof![1 => 0usize..3, 3 => 3usize..12, 4 => Just(256)];
    let peers_max = prop_oneof![1 => 0usize..4, 2 => 4usize..20, 6 => Just(64)];
    let contacts_per_peer = prop_oneof![1 => Just(0), 5 => Just(1), 4 => Just(2), 1 => Just(16)];
    let per_reply = || prop_oneof![1 => 0usize..3, 4 => Just(20)];
    let held = (prop_oneof![1 => 0usize..6, 4 => Just(64)], prop_oneof![1 => 0usize..3, 4 => Just(8)]);
    let per_reply = (per_reply(), per_reply(), per_reply());
    (1usize..7, candidates_max, peers_max, contacts_per_peer, per_reply, held).prop_map(
        |(
            queries_max,
            candidates_max,
            peers_max,
            contacts_per_peer,
            (items, closer, providers),
            (held_max, versions_max),
        )| Caps {
            queries_max,
            results_max: 6,
            routes_max: 3,
            candidates_max,
            peers_max,
            contacts_per_peer,
            items_per_reply: items,
            closer_per_reply: closer,
            providers_per_reply: providers,
            held_max,
            versions_max,
        },
    )
}

fn reputation() -> impl Strategy<Value = ReputationConfig> {
    let half_life = prop_oneof![
        6 => Just(NEVER),
        1 => Just(Duration::ZERO),
        1 => Just(Duration::from_millis(20)),
        2 => Just(Duration::from_secs(600)),
    ];
    let bar_for = prop_oneof![1 => Just(Duration::ZERO), 6 => millis(1..300), 2 => Just(NEVER)];
    (half_life, prop_oneof![1 => Just(0u32), 6 => 1u32..4, 1 => Just(u32::MAX)], bar_for)
        .prop_map(|(half_life, invalid_max, bar_for)| ReputationConfig { half_life, invalid_max, bar_for })
}

fn cache() -> impl Strategy<Value = CacheConfig> {
    let ttl = prop_oneof![2 => Just(Duration::ZERO), 6 => millis(1..60), 1 => Just(NEVER)];
    let ttl_nothing = prop_oneof![1 => Just(Duration::ZERO), 6 => millis(1..200), 1 => Just(NEVER)];
    let stale_for = prop_oneof![1 => Just(Duration::ZERO), 6 => millis(20..2000), 3 => Just(NEVER)];
    let entries_max = prop_oneof![1 => Just(0usize), 4 => 1usize..4, 4 => Just(64)];
    let bytes_max = prop_oneof![1 => 300usize..3_000, 3 => Just(usize::MAX)];
    let refreshes_max = prop_oneof![1 => 0usize..3, 2 => Just(8)];
    (ttl, ttl_nothing, stale_for, entries_max, bytes_max, refreshes_max).prop_map(
        |(ttl, ttl_nothing, stale_for, entries_max, bytes_max, refreshes_max)| CacheConfig {
            ttl,
            ttl_nothing,
            stale_for,
            entries_max,
            bytes_max,
            refreshes_max,
        },
    )
}

fn own() -> impl Strategy<Value = Own> {
    let max_age = prop_oneof![1 => Just(Duration::ZERO), 2 => millis(1..100), 6 => Just(NEVER)];
    let candidates = option::weighted(0.3, vec(peer(), 0..9));
    (timeout(), 1usize..7, policy(), max_age, candidates).prop_map(
        |(timeout, max_results, cache, max_age, candidates)| Own {
            timeout,
            max_results,
            cache,
            max_age,
            candidates,
        },
    )
}

fn policy() -> impl Strategy<Value = CachePolicy> {
    prop_oneof![
        1 => Just(CachePolicy::Skip),
        2 => Just(CachePolicy::Refresh),
        3 => Just(CachePolicy::Fresh),
        4 => Just(CachePolicy::Stale),
    ]
}

fn timeout() -> impl Strategy<Value = Duration> {
    prop_oneof![1 => Just(Duration::ZERO), 2 => millis(1..30), 20 => millis(30..1000), 2 => Just(NEVER)]
}

fn plan() -> impl Strategy<Value = Plan> {
    let refuses = option::weighted(0.5, (2u8..6).prop_map(Refuses));
    let prefers = option::weighted(0.5, (0u8..3).prop_map(Prefers));
    let agreement = select(vec![Agreement::One, Agreement::Majority, Agreement::All]);
    let judging = (refuses, prefers, option::weighted(0.4, agreement));
    (vec(route(), 0..4), vec(peer(), 0..8), any::<bool>(), judging, query_config()).prop_map(
        |(routes, peers, providers, (refuses, prefers, disjoint), config)| Plan {
            routes,
            peers,
            providers,
            refuses,
            prefers,
            disjoint,
            config,
        },
    )
}

fn route() -> impl Strategy<Value = RoutePlan> {
    prop_oneof![
        // Some to the same target.
        4 => (prop_oneof![2 => Just(0u8), 1 => any::<u8>()], vec(peer(), 0..9))
            .prop_map(|(target, candidates)| RoutePlan::Walk { target, candidates }),
        1 => Just(RoutePlan::Delegated),
    ]
}

fn query_config() -> impl Strategy<Value = QueryConfig> {
    let soft = prop_oneof![1 => Just(Duration::ZERO), 12 => millis(1..30), 1 => Just(NEVER)];
    let request = prop_oneof![1 => Just(Duration::ZERO), 12 => millis(10..200), 1 => Just(NEVER)];
    let max_results = prop_oneof![1 => select(vec![0usize, 7]), 30 => 1usize..7];
    let fan_out = prop_oneof![1 => select(vec![0usize, 65_535, 65_536]), 30 => 1usize..4];
    let hedges_max = prop_oneof![1 => Just(65_535usize), 20 => 0usize..4];
    let policy = prop_oneof![1 => Just(CachePolicy::Skip), 2 => policy()];
    let delivery = (delivery(), policy);
    let adapts = || proptest::bool::weighted(0.3);
    let times = (timeout(), soft, adapts(), request);
    let pace = (fan_out, adapts(), hedges_max);
    (times, pace, max_results, 1usize..7, delivery).prop_map(
        |(times, pace, max_results, closest, (delivery, cache))| {
            let (timeout, soft, adaptive_timeout, request) = times;
            let (fan_out, adaptive_fan_out, hedges_max) = pace;
            QueryConfig::balanced()
                .with_timeout(timeout)
                .with_soft_timeout(soft)
                .with_adaptive_timeout(adaptive_timeout)
                .with_request_timeout(request)
                .with_max_results(max_results)
                .with_fan_out(fan_out)
                .with_adaptive_fan_out(adaptive_fan_out)
                .with_hedges_max(hedges_max)
                .with_closest(closest)
                .with_delivery(delivery)
                .with_cache(cache)
        },
    )
}

fn delivery() -> impl Strategy<Value = Delivery> {
    prop_oneof![
        5 => Just(Delivery::Immediate),
        3 => prop_oneof![1 => select(vec![0usize, 65_536]), 30 => 1usize..4].prop_map(Delivery::Quorum),
        2 => Just(Delivery::BestAtEnd),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let moment = prop_oneof![
        5 => Just(Moment::Same),
        8 => (0u32..8_000).prop_map(Moment::AfterMicros),
        1 => (8_000u32..100_000).prop_map(Moment::AfterMicros),
        6 => select(vec![0i64, 0, 0, -1, -1, 1]).prop_map(Moment::AtTimeout),
        1 => (0u32..50_000).prop_map(Moment::BackMicros),
    ];
    let long = (0u16..20).prop_map(Moment::AfterSecs);
    (prop_oneof![60 => moment, 1 => long], act()).prop_map(|(moment, act)| Step { moment, act })
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        6 => Just(Act::Tick),
        3 => plan().prop_map(Act::Start),
        4 => (any::<u8>(), own()).prop_map(|(which, own)| Act::Repeat(which, own)),
        1 => Just(Act::CancelRefreshes),
        4 => pick().prop_map(Act::Sent),
        12 => (pick(), reply()).prop_map(|(pick, reply)| Act::Reply(pick, reply)),
        2 => (pick(), option::of(peer()), reply()).prop_map(|(pick, from, reply)| Act::Progress(pick, from, reply)),
        3 => (pick(), failure()).prop_map(|(pick, failure)| Act::Fail(pick, failure)),
        1 => (pick(), totals()).prop_map(|(pick, totals)| Act::Done(pick, totals)),
        1 => any::<u8>().prop_map(Act::Cancel),
        1 => peer().prop_map(Act::Bar),
        1 => Just(Act::Checkpoint),
    ]
}

fn pick() -> impl Strategy<Value = Pick> {
    prop_oneof![
        20 => any::<u8>().prop_map(Pick::Apt),
        1 => any::<u8>().prop_map(Pick::Live),
        2 => any::<u8>().prop_map(Pick::Ended),
        1 => (0u8..20, 0u8..5).prop_map(|(slot, generation)| Pick::Forged(slot, generation)),
    ]
}

fn reply() -> impl Strategy<Value = ReplyPlan> {
    let items = prop_oneof![3 => Just(vec![]), 6 => vec(note(), 1..3), 1 => vec(note(), 10..40)];
    let peers = || prop_oneof![3 => Just(vec![]), 6 => vec(peer(), 1..6), 1 => vec(peer(), 10..40)];
    let invalid = prop_oneof![12 => Just(0), 2 => Just(1), 1 => Just(u32::MAX)];
    (items, peers(), peers(), invalid).prop_map(|(items, closer, providers, invalid)| ReplyPlan {
        items,
        closer,
        providers,
        invalid,
    })
}

/// Some ids come from many, and mostly the same version.
fn note() -> impl Strategy<Value = Note> {
    let id = prop_oneof![1 => 0u8..4, 1 => 0u8..16];
    let version = prop_oneof![1 => Just(0), 1 => 0u8..3];
    (id, version).prop_map(|(id, version)| Note { id, version })
}

/// Some are met more often than others.
fn peer() -> impl Strategy<Value = u8> {
    prop_oneof![1 => 0u8..6, 2 => 0..PEERS]
}

fn failure() -> impl Strategy<Value = Failure> {
    select(vec![
        Failure::Unreachable,
        Failure::Closed,
        Failure::Refused,
        Failure::Unsupported,
        Failure::TimedOut,
        Failure::Invalid,
        Failure::Local,
    ])
}

fn totals() -> impl Strategy<Value = LookupTotals> {
    let count = || prop_oneof![4 => 0u32..9, 1 => Just(u32::MAX)];
    (count(), count(), count()).prop_map(|(contacted, replied, failed)| LookupTotals {
        contacted,
        replied,
        failed,
    })
}

fn millis(range: std::ops::Range<u64>) -> impl Strategy<Value = Duration> {
    range.prop_map(Duration::from_millis)
}
