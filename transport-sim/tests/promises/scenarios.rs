//! Random scenarios: small networks with all that can go wrong in them.

use dragnet_sim::scenario::{
    AgreementName, ClientKind, DeliveryName, EngineSpec, Expect, FaultRule, KindName, LatencySpec,
    NetworkSpec, QuerySpec, Scenario, SessionsSpec, Workload, WorkloadKind,
};
use dragnet_sim::{Share, Staleness};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::sample::select;

pub(crate) fn scenario() -> impl Strategy<Value = Scenario> {
    let parts = (any::<u64>(), network(), workload(), query(), engine(), vec(rule(), 0..=5));
    parts.prop_map(|(seed, network, workload, query, engine, faults)| Scenario {
        name: "random".to_owned(),
        // TOML has no larger numbers.
        seed: seed >> 1,
        network,
        workload,
        query,
        engine,
        faults,
        expect: Expect::default(),
    })
}

fn share(percent_max: u32) -> impl Strategy<Value = Share> {
    (0..=percent_max).prop_map(Share::percent)
}

fn network() -> impl Strategy<Value = NetworkSpec> {
    let latency = prop_oneof![
        3 => Just(LatencySpec::Internet),
        1 => (1u32..=300).prop_map(LatencySpec::FixedMs),
    ];
    let staleness = select(vec![Staleness::Measured, Staleness::Uniform]);
    let sessions = (60u32..=20_000).prop_map(|scale_s| SessionsSpec { shape: 0.68, scale_s });
    let parts = (50u32..=400, share(60), staleness, share(10), latency, option::weighted(0.2, sessions));
    parts.prop_map(|(peers, dead, staleness, loss, latency, sessions)| NetworkSpec {
        peers,
        dead,
        staleness,
        loss,
        latency,
        sessions,
    })
}

fn workload() -> impl Strategy<Value = Workload> {
    let kinds = vec![WorkloadKind::Find, WorkloadKind::Get, WorkloadKind::Search, WorkloadKind::Fetch];
    let who = (1u32..=3, select(vec![ClientKind::Engine, ClientKind::Front]), any::<bool>());
    let what = (select(kinds), 1u32..=24, 0u32..=2_000, share(30), 1u32..=8, 1u32..=4);
    (who, what).prop_map(|((clients, drive, clients_are_peers), what)| {
        let (kind, lookups, over_ms, missing, providers, items) = what;
        Workload { kind, lookups, clients, drive, clients_are_peers, over_ms, missing, providers, items }
    })
}

fn query() -> impl Strategy<Value = QuerySpec> {
    let times = (option::of(1u64..=10_000), option::of(1u64..=1_500), option::of(1u64..=10_000));
    let pace = (option::of(1usize..=8), option::of(0usize..=8));
    let adaptive = (option::of(any::<bool>()), option::of(any::<bool>()));
    let ends = (option::of(1usize..=12), option::of(1usize..=24));
    (times, pace, adaptive, ends, answers()).prop_map(|(times, pace, adaptive, ends, answers)| QuerySpec {
        timeout_ms: times.0,
        soft_timeout_ms: times.1,
        adaptive_timeout: adaptive.0,
        request_timeout_ms: times.2,
        fan_out: pace.0,
        adaptive_fan_out: adaptive.1,
        hedges_max: pace.1,
        max_results: ends.0,
        closest: ends.1,
        ..answers
    })
}

/// When items are delivered, and by how many routes.
fn answers() -> impl Strategy<Value = QuerySpec> {
    let quorum = (1usize..=4).prop_map(|votes| (Some(DeliveryName::Quorum), Some(votes)));
    let delivery =
        prop_oneof![3 => Just((None, None)), 2 => quorum, 1 => Just((Some(DeliveryName::BestAtEnd), None))];
    let agreement = option::of(select(vec![AgreementName::One, AgreementName::Majority, AgreementName::All]));
    (delivery, option::weighted(0.4, (1usize..=5, agreement))).prop_map(|((delivery, quorum), routes)| {
        let (routes, agreement) =
            routes.map_or((None, None), |(routes, agreement)| (Some(routes), agreement));
        QuerySpec { delivery, quorum, routes, agreement, ..QuerySpec::default() }
    })
}

fn engine() -> impl Strategy<Value = EngineSpec> {
    let parts = (option::of(1usize..=16), option::of(100usize..=1_000), option::of(20usize..=256));
    parts.prop_map(|(contacts_per_peer, peers_max, candidates_max)| EngineSpec {
        contacts_per_peer,
        peers_max,
        candidates_max,
    })
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

fn rule() -> impl Strategy<Value = FaultRule> {
    let when = (0u64..=1_500, option::of(100u64..=4_000), option::weighted(0.3, 1u64..=3_000));
    let figures = (1u32..=60, 1u32..=2_000, 1u32..=400, any::<bool>());
    (select(KINDS.to_vec()), 1u32..=100, when, figures).prop_map(|(kind, percent, when, figures)| {
        let (from_ms, span_ms, lasts_ms) = when;
        let (messages, by_ms, count, one_way) = figures;
        // What is clogged must become free, and what lasts for a while needs a time to lie in.
        let needs_end = matches!(kind, KindName::Clogged) || lasts_ms.is_some();
        let span_ms = if needs_end { Some(span_ms.unwrap_or(2_000)) } else { span_ms };
        let is_one_of = |kinds: &[KindName]| kinds.contains(&kind);
        let of_messages = is_one_of(&[KindName::Loss, KindName::Duplication, KindName::Reordering]);
        let of_peers = is_one_of(&[KindName::FloodItems, KindName::FloodPeers, KindName::Sybils]);
        let count = if matches!(kind, KindName::Sybils) { count.min(256) } else { count };
        FaultRule {
            kind,
            share: Share::percent(percent),
            from_ms,
            until_ms: span_ms.map(|span| from_ms + span),
            lasts_ms,
            messages: of_messages.then(|| Share::percent(messages)),
            by_ms: is_one_of(&[KindName::Slow, KindName::Reordering]).then_some(by_ms),
            times: is_one_of(&[KindName::Slower]).then_some(count.min(20)),
            count: of_peers.then_some(count),
            one_way: is_one_of(&[KindName::Partition]).then_some(one_way),
        }
    })
}
