//! One query over several transports: each a source of its own, none in another's way.

use core::time::Duration;

use dragnet_core::front::{
    self, Client, Clock, Event, Federation, FrontConfig, Mapped, Mapping, Subqueries, Transport,
};
use dragnet_core::{
    CachePolicy, Delivery, Failure, Invalid, Key, Network, Query, QueryConfig, Reason, Reply, RequestId,
    Route, Source, SourceStats, Time,
};
use futures::executor::LocalPool;
use futures::task::LocalSpawnExt;

use crate::kit::{LOCAL, Manner, VirtualClock, Wire, WireView, Word, Words, ask, ms, word};

/// Networks of words, several of them: a peer is the number of its network and its own.
#[derive(Debug)]
enum Many {}

impl Network for Many {
    type Peer = (u16, u32);
    type Request = &'static str;
    type Item = Word;

    fn key((_, peer): &(u16, u32)) -> Key {
        Words::key(peer)
    }

    fn source((network, _): &(u16, u32)) -> Source {
        Source(*network)
    }
}

/// The network of this number among the many.
struct Numbered(u16);

impl Mapping for Numbered {
    type Inner = Words;
    type Outer = Many;

    fn peer(&self, peer: u32) -> (u16, u32) {
        (self.0, peer)
    }

    fn inner_peer(&self, (network, peer): &(u16, u32)) -> Option<u32> {
        (*network == self.0).then_some(*peer)
    }

    fn request(&self, request: &&'static str) -> Option<&'static str> {
        (*request != "unsayable").then_some(*request)
    }

    fn item(&self, item: Word) -> Result<Word, Invalid> {
        if item.id == 666 { Err(Invalid::new("not here")) } else { Ok(item) }
    }
}

type AnyTransport = Box<dyn Transport<Network = Many>>;

/// A client of a federation of three networks, and a view of each.
struct Rig {
    client: Client<Many>,
    pool: LocalPool,
    clock: VirtualClock,
    wires: [WireView; 3],
}

const NAMES: [&str; 3] = ["north", "south", "registry"];

impl Rig {
    fn new() -> Self {
        let clock = VirtualClock::new();
        let wires = [0, 1, 2].map(|_| Wire::new(clock.clone()));
        let views = wires.each_ref().map(Wire::view);
        let mut federation = Federation::<AnyTransport>::new();
        for (number, wire) in wires.into_iter().enumerate() {
            let mapping = Numbered(u16::try_from(number).expect("three"));
            federation = federation.with(NAMES[number], Box::new(Mapped::new(wire, mapping)));
        }
        let (client, driver) = front::new(federation, clock.clone(), (0, LOCAL), [7; 32]);
        let pool = LocalPool::new();
        pool.spawner().spawn_local(driver).expect("the pool is there");
        Self { client, pool, clock, wires: views }
    }

    /// Runs a query to its end, and the time with it.
    fn run(&mut self, query: Query<Many>) -> (Vec<(u64, Duration)>, dragnet_core::Outcome) {
        let mut collected = Box::pin(self.client.query(query).expect("the query starts").collect());
        loop {
            self.pool.run_until_stalled();
            if let Some(ended) = futures::FutureExt::now_or_never(&mut collected) {
                let (found, outcome) = ended.expect("the driver is there");
                let items = found.into_iter().map(|found| (found.item.id, found.elapsed)).collect();
                return (items, outcome);
            }
            assert!(self.clock.step(), "nobody has been woken, and nobody will be");
        }
    }
}

fn counts(stats: &SourceStats) -> (&str, u32, u32, u32, usize) {
    (&stats.name, stats.contacted, stats.replied, stats.failed, stats.results)
}

#[test]
fn one_item_of_two_sources_is_delivered_once_and_counted_for_both() {
    let mut rig = Rig::new();
    rig.wires[0].answers(1, ms(10), [word(1), word(2)]);
    rig.wires[1].answers(1, ms(20), [word(2), word(3)]);
    let (found, outcome) = rig.run(Query::new("a question").fetch_from([(0, 1), (1, 1)]));
    assert_eq!(found, [(1, ms(10)), (2, ms(10)), (3, ms(20))]);
    assert_eq!((outcome.results, outcome.reason), (3, Reason::Exhausted));
    let sources: Vec<_> = outcome.sources.iter().map(counts).collect();
    assert_eq!(sources, [("north", 1, 1, 0, 2), ("south", 1, 1, 0, 1), ("registry", 0, 0, 0, 0)]);
    assert_eq!(outcome.sources[1].duplicate, 1);
    assert_eq!(outcome.stats.contacted, 2, "the counts of all are those of the sources");
}

#[test]
fn the_metrics_of_a_source_count_a_shared_contact_once_and_each_querys_results() {
    let mut rig = Rig::new();
    assert!(rig.client.metrics().sources.iter().map(|source| &*source.name).eq(NAMES), "from the beginning");
    rig.wires[0].answers(1, ms(10), [word(1), word(2)]);
    rig.wires[1].peer(1, Manner::Garbles);
    let query = || {
        let config = QueryConfig::default().with_cache(CachePolicy::Fresh);
        Query::new("a question").fetch_from([(0, 1), (1, 1)]).config(config)
    };
    let other = rig.client.query(query()).expect("the query starts");
    let (found, _) = rig.run(query());
    // Given a kept answer, which costs nothing and brings something.
    let (kept, outcome) = rig.run(query());
    assert_eq!((found.len(), kept.len(), outcome.cached.is_some()), (2, 2, true));
    drop(other);
    rig.pool.run_until_stalled();
    let metrics = rig.client.metrics();
    assert_eq!((metrics.queries_finished, metrics.queries_joined), (3, 1));
    let counts: Vec<_> = metrics
        .sources
        .iter()
        .map(|source| (source.contacted, source.replied, source.failed, source.results))
        .collect();
    assert_eq!(counts, [(1, 1, 0, 6), (1, 0, 1, 0), (0, 0, 0, 0)]);
}

#[test]
fn two_sources_that_disagree_are_told_apart_by_name() {
    let mut rig = Rig::new();
    rig.wires[0].answers(1, ms(10), [word(1), word(2)]);
    rig.wires[1].answers(1, ms(20), [Word { text: "another word", ..word(1) }, word(2)]);
    let config = QueryConfig::default().with_delivery(Delivery::Quorum(1));
    let (found, outcome) = rig.run(Query::new("a question").fetch_from([(0, 1), (1, 1)]).config(config));
    assert_eq!(found, [(1, ms(10)), (2, ms(10))], "at once, the first of each");
    let counts = |index: usize| (outcome.sources[index].duplicate, outcome.sources[index].conflicting);
    assert_eq!((counts(0), counts(1)), ((0, 0), (2, 1)));
}

#[test]
fn a_dead_and_a_slow_source_hold_nobody_up() {
    let alone = {
        let mut rig = Rig::new();
        (1..=30).for_each(|peer| rig.wires[2].answers(peer, ms(10), [word(peer.into())]));
        rig.run(Query::new("a question").fetch_from((1..=30).map(|peer| (2, peer)))).0
    };
    assert_eq!(alone.len(), 20);

    let mut rig = Rig::new();
    rig.wires[1].silent(1..=30);
    (1..=30).for_each(|peer| rig.wires[2].answers(peer, ms(10), [word(peer.into())]));
    let peers = [0, 1, 2].into_iter().flat_map(|network| (1..=30).map(move |peer| (network, peer)));
    let (found, outcome) = rig.run(Query::new("a question").fetch_from(peers));
    assert_eq!(found, alone, "each item at the same moment as from this source alone");
    let [dead, slow, quick] = &outcome.sources[..] else { panic!("three sources") };
    assert_eq!((dead.contacted, dead.failed), (30, 30), "nobody is there");
    assert_eq!((slow.replied, slow.failed, slow.results), (0, 0, 0));
    assert_eq!((quick.results, outcome.reason), (20, Reason::EnoughResults));
    assert!(rig.wires.iter().all(|wire| wire.open() == 0), "and nothing is left behind");
}

#[test]
fn a_walk_begins_with_the_peers_of_its_own_source() {
    let mut rig = Rig::new();
    (1..=5).for_each(|peer| rig.wires[0].answers(peer, ms(10), [word(peer.into())]));
    (1..=5).for_each(|peer| rig.wires[1].answers(peer, ms(10), [word(u64::from(peer) + 100)]));
    let walk = |network| Route::walk(Key::of(b"somewhere")).in_source(Source(network));
    let (_, outcome) = rig.run(Query::new("a question").route(walk(1)));
    let sources: Vec<_> = outcome.sources.iter().map(counts).collect();
    assert_eq!(sources, [("north", 0, 0, 0, 0), ("south", 5, 5, 0, 5), ("registry", 0, 0, 0, 0)]);
    let (_, outcome) = rig.run(Query::new("a question").route(walk(0)).route(walk(1)));
    assert_eq!(outcome.results, 10, "one walk in each");
    let (_, outcome) = rig.run(Query::new("a question").route(walk(2)).route(walk(7)));
    assert_eq!((outcome.results, outcome.reason), (0, Reason::Exhausted), "nobody is known there");
}

#[test]
fn what_a_source_cannot_be_asked_or_cannot_mean_is_its_failure_alone() {
    let mut rig = Rig::new();
    rig.wires[0].answers(1, ms(10), [word(666), word(1)]);
    let peers = [(0, 1), (9, 1)];
    let (found, outcome) = rig.run(Query::new("a question").fetch_from(peers));
    assert_eq!(found.len(), 1);
    assert_eq!((outcome.stats.contacted, outcome.stats.failed), (2, 1), "there is no network 9");
    assert_eq!(outcome.sources[0].invalid, 1);
    let (found, outcome) = rig.run(Query::new("unsayable").fetch_from([(0, 1)]));
    assert_eq!((found.len(), outcome.sources[0].failed), (0, 1));
    assert_eq!(rig.wires[0].contacts(), 1, "it was not asked");
}

/// A client of the many networks whose first is asked through a client of its own, for three peers there.
fn through_a_client(prepare: impl FnOnce(&WireView)) -> (Rig, WireView) {
    asking_inside(ask(1..=3), QueryConfig::default(), prepare)
}

/// The same for another query there, with two seconds.
fn asking_inside(
    inside: Query<Words>,
    config: QueryConfig,
    prepare: impl FnOnce(&WireView),
) -> (Rig, WireView) {
    let mut rig = Rig::new();
    let wire = Wire::new(rig.clock.clone());
    let view = wire.view();
    prepare(&view);
    let (inner, inner_driver) = front::new(wire, rig.clock.clone(), LOCAL, [8; 32]);
    let inside = inside.config(config.with_timeout(Duration::from_secs(2)));
    let source = Subqueries::new(inner, move |_| inside.clone());
    let federation =
        Federation::<AnyTransport>::new().with("inner", Box::new(Mapped::new(source, Numbered(0))));
    let (client, driver) = front::new(federation, rig.clock.clone(), (0, LOCAL), [7; 32]);
    rig.client = client;
    rig.pool.spawner().spawn_local(driver).expect("the pool is there");
    rig.pool.spawner().spawn_local(inner_driver).expect("the pool is there");
    (rig, view)
}

#[test]
fn another_clients_network_is_a_source_whose_items_come_as_it_finds_them() {
    let (mut rig, _wire) = through_a_client(|wire| {
        wire.answers(1, ms(10), [word(1)]);
        wire.answers(2, ms(30), [word(2)]);
    });
    let (found, outcome) = rig.run(Query::new("a question").route(Route::delegated()));
    assert_eq!(found, [(1, ms(10)), (2, ms(30))]);
    assert_eq!(outcome.reason, Reason::Converged);
    assert_eq!(counts(&outcome.sources[0]), ("inner", 3, 2, 1, 2), "peer 3 does not exist");
}

#[test]
fn a_source_of_which_nobody_answers_has_failed() {
    let (mut rig, _wire) = through_a_client(|wire| wire.silent(1..=3));
    let (found, outcome) = rig.run(Query::new("a question").route(Route::delegated()));
    assert_eq!((found.len(), outcome.reason), (0, Reason::Exhausted));
    assert_eq!(counts(&outcome.sources[0]), ("inner", 1, 0, 1, 0));
    assert_eq!(outcome.stats.total, Duration::from_secs(2), "at the source's own deadline");
}

#[test]
fn a_source_with_a_kept_answer_has_not_failed() {
    let fresh = QueryConfig::default().with_cache(CachePolicy::Fresh);
    let (mut rig, wire) = asking_inside(ask([1]), fresh, |wire| wire.answers(1, ms(10), [word(1), word(2)]));
    for asked in [(1, 1), (0, 0)] {
        let (found, outcome) = rig.run(Query::new("a question").route(Route::delegated()));
        assert_eq!((found.len(), outcome.reason), (2, Reason::Converged));
        assert_eq!(counts(&outcome.sources[0]), ("inner", asked.0, asked.1, 0, 2));
    }
    assert_eq!(wire.contacts(), 1, "the second time by what it had kept");
}

#[test]
fn a_source_whose_own_lookup_had_enough_before_its_end_has_not_failed() {
    let one = QueryConfig::default().with_max_results(1);
    let (mut rig, wire) = asking_inside(Query::new("a question").route(Route::delegated()), one, |wire| {
        let (request, reply) = (RequestId::from_u64(0), Reply::with_items(vec![word(1)]));
        wire.lookups(vec![(ms(10), Event::Progress { request, from: Some(1), reply })]);
    });
    let (found, outcome) = rig.run(Query::new("a question").route(Route::delegated()));
    assert_eq!((found.len(), outcome.reason), (1, Reason::Converged));
    assert_eq!(counts(&outcome.sources[0]), ("inner", 1, 0, 0, 1));
    assert_eq!((wire.open(), wire.released()), (0, 1));
}

#[test]
fn a_slow_source_is_counted_at_the_deadline() {
    let (mut rig, _wire) = through_a_client(|wire| wire.silent(1..=3));
    let short = QueryConfig::default().with_timeout(Duration::from_secs(1));
    let (_, outcome) = rig.run(Query::new("a question").route(Route::delegated()).config(short));
    assert_eq!(outcome.reason, Reason::DeadlineReached);
    assert_eq!(counts(&outcome.sources[0]), ("inner", 1, 0, 1, 0));
    assert_eq!((outcome.stats.contacted, outcome.stats.failed), (1, 1));
}

#[test]
fn who_gives_up_on_a_source_cancels_its_query() {
    let (mut rig, wire) = through_a_client(|wire| wire.silent(1..=3));
    let handle = rig.client.query(Query::new("a question").route(Route::delegated())).expect("a query");
    rig.pool.run_until_stalled();
    assert_eq!(wire.open(), 3);
    drop(handle);
    rig.pool.run_until_stalled();
    assert_eq!((wire.open(), wire.released()), (0, 3), "cancelled there, within the same wake-ups");
}

#[test]
fn a_source_whose_driver_is_gone_has_failed_and_the_rest_goes_on() {
    let clock = VirtualClock::new();
    let (inner, inner_driver) = front::new(Wire::new(clock.clone()), clock.clone(), LOCAL, [8; 32]);
    drop(inner_driver);
    let wire = Wire::new(clock.clone());
    wire.view().answers(1, ms(10), [word(1)]);
    let federation = Federation::<AnyTransport>::new()
        .with("gone", Box::new(Mapped::new(Subqueries::new(inner, |_| ask([1])), Numbered(0))))
        .with("there", Box::new(Mapped::new(wire, Numbered(1))));
    let (client, driver) =
        front::with_config(FrontConfig::default(), federation, clock.clone(), (0, LOCAL), [7; 32]);
    let mut rig = Rig { client, ..Rig::new() };
    rig.clock = clock;
    rig.pool.spawner().spawn_local(driver).expect("the pool is there");
    let (found, outcome) = rig.run(Query::new("a question").route(Route::delegated()).fetch_from([(1, 1)]));
    assert_eq!(found, [(1, ms(10))]);
    assert_eq!(counts(&outcome.sources[0]), ("gone", 1, 0, 1, 0));
    assert_eq!(counts(&outcome.sources[1]), ("there", 1, 1, 0, 1));
}

#[test]
fn a_network_that_is_still_to_be_joined_holds_up_only_itself() {
    for joins in [true, false] {
        let clock = VirtualClock::new();
        let wires = [0, 1].map(|_| Wire::new(clock.clone()));
        wires.iter().for_each(|wire| wire.view().answers(1, ms(10), [word(1), word(2)]));
        wires[0].view().answers(1, ms(10), [word(3)]);
        let [inner_wire, wire] = wires;
        let (inner, inner_driver) = front::new(inner_wire, clock.clone(), LOCAL, [8; 32]);
        let mut joining = clock.clone();
        let joined = async move {
            core::future::poll_fn(|cx| joining.poll_until(cx, Time::ZERO + ms(500))).await;
            if joins { Ok(()) } else { Err(Failure::Unreachable) }
        };
        let source = Subqueries::new(inner, |_| ask([1])).after(joined);
        let federation = Federation::<AnyTransport>::new()
            .with("late", Box::new(Mapped::new(source, Numbered(0))))
            .with("there", Box::new(Mapped::new(wire, Numbered(1))));
        let (client, driver) = front::new(federation, clock.clone(), (0, LOCAL), [7; 32]);
        let mut rig = Rig { client, clock, ..Rig::new() };
        rig.pool.spawner().spawn_local(driver).expect("the pool is there");
        rig.pool.spawner().spawn_local(inner_driver).expect("the pool is there");
        let query = || Query::new("a question").route(Route::delegated()).fetch_from([(1, 1)]);
        let (found, outcome) = rig.run(query());
        assert_eq!(found[..2], [(1, ms(10)), (2, ms(10))], "at once");
        assert_eq!(found.get(2), joins.then_some(&(3, ms(510))));
        assert_eq!(outcome.sources[0].failed, u32::from(!joins));
        let (found, outcome) = rig.run(query());
        assert_eq!((found.len(), outcome.stats.total), (if joins { 3 } else { 2 }, ms(10)), "decided by now");
    }
}
