//! What the properties have found, each in its shortest form.

use std::time::Duration;

use dragnet_core::{
    CachePolicy, Caps, Delivery, EngineConfig, LookupTotals, Output, Query, QueryConfig, QueryEngine,
    QueryId, Reason, Reply, ReputationConfig, RequestId, Route, Step, Time,
};

use super::network::{Note, Toy};
use super::reference::the_engine_says_what_the_reference_says;
use super::sameness::noise_changes_nothing;
use super::scenario::{Act, Moment, Own, Pick, Plan, ReplyPlan, RoutePlan, Scenario, Setup, Step as Deed};

const NOW: Time = Time::ZERO;

fn engine(config: EngineConfig) -> QueryEngine<Toy> {
    QueryEngine::new(config, 0, [0; 32])
}

fn drain(engine: &mut QueryEngine<Toy>) -> Vec<Output<Toy>> {
    std::iter::from_fn(|| engine.poll_output()).collect()
}

/// The requests that begin among these outputs.
fn begun(outputs: &[Output<Toy>]) -> Vec<RequestId> {
    let begun = |output: &Output<Toy>| match output {
        Output::Contact { request, .. } | Output::Lookup { request, .. } => Some(*request),
        _ => None,
    };
    outputs.iter().filter_map(begun).collect()
}

fn start(engine: &mut QueryEngine<Toy>, query: Query<Toy>) -> (QueryId, Vec<RequestId>) {
    let id = engine.start(NOW, query).expect("it is within the limits");
    (id, begun(&drain(engine)))
}

fn unreadable(parts: u32) -> Reply<Toy> {
    Reply { invalid: parts, ..Reply::default() }
}

#[test]
fn a_limit_of_no_invalid_answers_bars_at_the_first() {
    let reputation = ReputationConfig { invalid_max: 0, ..ReputationConfig::default() };
    let mut engine = engine(EngineConfig::default().with_reputation(reputation));
    let (_, requests) = start(&mut engine, Query::new(7).fetch_from([1, 2]));
    engine.handle_reply(NOW, requests[0], unreadable(1));
    assert_eq!(engine.metrics().peers_barred, 1);
}

#[test]
fn counts_of_four_billion_saturate() {
    let mut engine = engine(EngineConfig::default());
    let query = Query::new(7).route(Route::delegated()).fetch_from([1, 2, 3]);
    let (query, requests) = start(&mut engine, query);
    let [lookup, contacts @ ..] = &requests[..] else { panic!("nobody is asked") };
    let most = LookupTotals { contacted: u32::MAX, replied: u32::MAX, failed: u32::MAX };
    engine.handle_done(NOW, *lookup, most);
    engine.handle_reply(NOW, contacts[0], unreadable(u32::MAX));
    engine.handle_reply(NOW, contacts[1], unreadable(u32::MAX));
    let stats = engine.status(query).expect("it lives");
    assert_eq!([stats.contacted, stats.replied, stats.failed, stats.invalid], [u32::MAX; 4]);
}

#[test]
fn a_lookup_whose_last_reply_is_enough_is_not_released() {
    let mut engine = engine(EngineConfig::default());
    let config = QueryConfig::balanced().with_max_results(1);
    let (_, requests) = start(&mut engine, Query::new(7).route(Route::delegated()).config(config));
    engine.handle_reply(NOW, requests[0], Reply::with_items(vec![Note { id: 1, version: 0 }]));
    let outputs = drain(&mut engine);
    let [Output::Found { .. }, Output::Finished { outcome, .. }] = &outputs[..] else {
        panic!("{outputs:?}")
    };
    assert_eq!(outcome.reason, Reason::EnoughResults);
}

#[test]
fn at_least_one_contact_may_be_in_flight_to_a_peer() {
    let caps = Caps { contacts_per_peer: 0, ..Caps::default() };
    let mut engine = engine(EngineConfig::default().with_caps(caps));
    let (_, requests) = start(&mut engine, Query::new(7).fetch_from([1]));
    assert_eq!(requests.len(), 1);
}

#[test]
fn the_first_to_wait_for_a_peer_is_the_first_to_be_let_through() {
    let caps = Caps { contacts_per_peer: 1, ..Caps::default() };
    let mut engine = engine(EngineConfig::default().with_caps(caps));
    let walk = Route::walk_from(dragnet_core::Key::of(b"here"), vec![1]);
    let (_, requests) = start(&mut engine, Query::new(7).route(walk).fetch_providers());
    let (second, waiting) = start(&mut engine, Query::new(7).fetch_from([1]));
    assert_eq!((requests.len(), waiting.len()), (1, 0));
    // The first query now wants the peer again, to fetch from it.
    engine.handle_reply(NOW, requests[0], Reply::with_providers(vec![1]));
    let outputs = drain(&mut engine);
    let [Output::Contact { query, peer: 1, step: Step::Fetch, .. }] = outputs[..] else {
        panic!("{outputs:?}")
    };
    assert_eq!(query, second);
}

#[test]
fn an_item_at_the_end_of_time_is_an_item() {
    let mut engine = engine(EngineConfig::default());
    let config = QueryConfig::balanced().with_timeout(Duration::MAX).with_request_timeout(Duration::MAX);
    let (query, requests) = start(&mut engine, Query::new(7).fetch_from([1, 2]).config(config));
    engine.handle_reply(Time::MAX, requests[0], Reply::with_items(vec![Note { id: 1, version: 0 }]));
    let stats = engine.status(query).expect("it lives");
    assert_eq!(stats.first_item, Some(Time::MAX - NOW));
}

/// The reader of the trace took it for a contact given up before it was said to have been sent.
#[test]
fn a_contact_released_since_its_query_has_converged_was_sent_before() {
    let config = QueryConfig::balanced()
        .with_fan_out(1)
        .with_closest(1)
        .with_adaptive_timeout(true)
        .with_soft_timeout(Duration::from_millis(1))
        .with_request_timeout(Duration::from_millis(10));
    let walk = RoutePlan::Walk { target: 0, candidates: vec![1, 4] };
    let plan = Plan { routes: vec![walk], ..fetch_from([7], config) };
    let nothing = ReplyPlan { items: vec![], closer: vec![], providers: vec![], invalid: 0 };
    let scenario = scenario([
        // The closer of the two, and the one to fetch from.
        (Moment::Same, Act::Start(plan)),
        // Both are overdue: the farther one.
        (Moment::AfterMicros(1_000), Act::Tick),
        (Moment::Same, Act::Reply(Pick::Live(0), nothing)),
        // The one to fetch from is given up; then the query has converged, with the farther one in flight.
        (Moment::AfterMicros(9_000), Act::Sent(Pick::Live(1))),
    ]);
    assert_eq!(noise_changes_nothing(&scenario), Ok(()));
}

/// The reference added to the longest time there is.
#[test]
fn no_timeout_at_all_and_a_wait_is_no_timeout_at_all() {
    let config = QueryConfig::balanced().with_fan_out(8).with_adaptive_timeout(true);
    let endless = config.clone().with_soft_timeout(Duration::MAX);
    let mut steps =
        vec![(Moment::Same, Act::Start(fetch_from(0..8, config))), (Moment::AfterMicros(2_000), Act::Tick)];
    // As many as it takes to know how long contacts wait before they are sent.
    steps.extend((0..8).map(|n| (Moment::Same, Act::Sent(Pick::Live(n)))));
    steps.push((Moment::Same, Act::Start(fetch_from([9], endless))));
    assert_eq!(the_engine_says_what_the_reference_says(&scenario(steps)), Ok(()));
}

/// The random scenarios hardly ever keep an answer that a quorum would have cut.
#[test]
fn who_is_given_a_kept_answer_ends_as_who_waits_for_it() {
    let note = |id| Note { id, version: 0 };
    let reply = |ids: [u8; 2]| ReplyPlan {
        items: ids.map(note).into(),
        closer: vec![],
        providers: vec![],
        invalid: 0,
    };
    let own = |max_results| Own {
        timeout: Duration::from_secs(1),
        max_results,
        cache: CachePolicy::Fresh,
        max_age: Duration::MAX,
        candidates: None,
    };
    for delivery in [Delivery::Immediate, Delivery::Quorum(2), Delivery::BestAtEnd] {
        let config = QueryConfig::balanced().with_cache(CachePolicy::Refresh).with_delivery(delivery);
        let mut steps = vec![
            (Moment::Same, Act::Start(fetch_from([1, 4], config))),
            (Moment::Same, Act::Reply(Pick::Live(0), reply([1, 2]))),
            (Moment::Same, Act::Reply(Pick::Live(0), reply([1, 3]))),
        ];
        steps.extend((1..5).map(|max_results| (Moment::Same, Act::Repeat(0, own(max_results)))));
        assert_eq!(the_engine_says_what_the_reference_says(&scenario(steps)), Ok(()), "{delivery:?}");
    }
}

/// The reference compared distances, of which two may be one, and not places.
#[test]
fn who_is_late_and_as_near_as_the_last_is_waited_for_if_it_came_first() {
    let nothing = || ReplyPlan { items: vec![], closer: vec![], providers: vec![], invalid: 0 };
    let config = QueryConfig::balanced().with_fan_out(8).with_closest(1).with_adaptive_timeout(true);
    let walk = RoutePlan::Walk { target: 0, candidates: vec![23, 19] };
    let mut steps = vec![(Moment::Same, Act::Start(fetch_from(0..8, config.clone())))];
    // As many as it takes to know what is late.
    steps.extend((0..8).map(|_| (Moment::Same, Act::Reply(Pick::Live(0), nothing()))));
    steps.push((Moment::Same, Act::Start(Plan { routes: vec![walk], ..fetch_from([], config) })));
    steps.push((Moment::AfterMicros(10_000), Act::Tick));
    steps.push((Moment::Same, Act::Reply(Pick::Live(1), nothing())));
    let mut scenario = scenario(steps);
    scenario.setup.local = 22;
    assert_eq!(the_engine_says_what_the_reference_says(&scenario), Ok(()));
}

fn fetch_from(peers: impl IntoIterator<Item = u8>, config: QueryConfig) -> Plan {
    Plan {
        routes: Vec::new(),
        peers: peers.into_iter().collect(),
        providers: false,
        refuses: None,
        prefers: None,
        disjoint: None,
        config,
    }
}

fn scenario(steps: impl IntoIterator<Item = (Moment, Act)>) -> Scenario {
    let setup = Setup {
        config: EngineConfig::default(),
        local: 23,
        seed: 0,
        origin: 0,
        resumes: false,
        #[cfg(feature = "sabotage")]
        sabotage: None,
    };
    let steps = steps.into_iter().map(|(moment, act)| Deed { moment, act });
    Scenario { setup, steps: steps.collect() }
}
