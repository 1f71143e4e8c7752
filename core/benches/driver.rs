//! Replies through a driver, for counting instructions: see `scripts/tracing-cost`, which runs this under
//! callgrind.
//!
//! Everything around the driver is as cheap as can be (peers are numbers, the transport is a queue, the clock
//! stands still), so that what is added to each reply weighs as much as it can.

use std::collections::VecDeque;
use std::env;
use std::task::{Context, Poll, Waker};

use dragnet_core::front::{self, Clock, Contact, Driver, Event, FrontConfig, Lookup, QueryHandle, Transport};
use dragnet_core::{Caps, EngineConfig, Item, Key, Network, Query, QueryConfig, Reply, RequestId, Time};

/// Queries that live meanwhile, and the peers that each asks.
const QUERIES: u64 = 1_000;
const PEERS: u64 = 20;
/// Replies before any is counted.
const WARM_UP: usize = 5_000;
/// Replies counted.
const COUNTED: usize = 10_000;

fn main() {
    let mut arguments = env::args().skip(1).filter(|argument| argument != "--bench");
    let items = match arguments.next().as_deref() {
        None | Some("nothing") => 0,
        Some("item") => 1,
        Some(other) => {
            panic!("replies with {other:?}: there are those with \"nothing\" and with an \"item\"")
        }
    };
    let (mut driver, handles) = loaded(items);
    replies(&mut driver, WARM_UP);
    measured(&mut driver, COUNTED);
    let metrics = driver.engine().metrics();
    assert_eq!(metrics.contacts_replied as usize, WARM_UP + COUNTED);
    assert_eq!(metrics.results, metrics.contacts_replied * items);
    assert_eq!(metrics.queries_live as usize, handles.len(), "no end of a query is counted");
    println!("{COUNTED}");
}

/// What callgrind counts. Each reply makes room for the next contact of its query.
#[inline(never)]
fn measured(driver: &mut Driver<Queue, Still>, count: usize) {
    replies(driver, count);
}

fn replies(driver: &mut Driver<Queue, Still>, count: usize) {
    driver.transport_mut().wanted = count;
    while driver.transport().wanted > 0 {
        let _ = driver.poll(&mut Context::from_waker(Waker::noop()));
    }
}

/// A driver with live queries, each with contacts in flight.
fn loaded(items: u64) -> (Driver<Queue, Still>, Vec<QueryHandle<Numbers>>) {
    let caps = Caps { queries_max: QUERIES as usize, ..Caps::default() };
    let config = FrontConfig::default().with_engine(EngineConfig::default().with_caps(caps));
    let queue = Queue { asked: VecDeque::new(), wanted: 0, items, next: 0 };
    let (client, mut driver) = front::with_config(config, queue, Still, u64::MAX, [7; 32]);
    let mut handles = Vec::new();
    for query in 0..QUERIES {
        let peers = query * PEERS..(query + 1) * PEERS;
        let config = QueryConfig::balanced().with_max_results(PEERS as usize);
        handles
            .push(client.query(Query::new(query).fetch_from(peers).config(config)).expect("there is room"));
        let _ = driver.poll(&mut Context::from_waker(Waker::noop()));
    }
    (driver, handles)
}

#[derive(Debug)]
enum Numbers {}

#[derive(Clone, PartialEq, Debug)]
struct Number(u64);

impl Item for Number {
    type Id = u64;

    fn id(&self) -> u64 {
        self.0
    }
}

impl Network for Numbers {
    type Peer = u64;
    type Request = u64;
    type Item = Number;

    fn key(peer: &u64) -> Key {
        Key::of(&peer.to_be_bytes())
    }
}

/// Answers whoever was asked first, as often as is wanted.
struct Queue {
    asked: VecDeque<RequestId>,
    wanted: usize,
    /// In each reply.
    items: u64,
    next: u64,
}

impl Transport for Queue {
    type Network = Numbers;

    fn closest(&mut self, _target: &Key, _count: usize) -> Vec<u64> {
        Vec::new()
    }

    fn contact(&mut self, contact: Contact<Numbers>) {
        self.asked.push_back(contact.request);
    }

    fn lookup(&mut self, _lookup: Lookup<Numbers>) {}

    fn release(&mut self, _request: RequestId) {}

    fn poll_event(&mut self, _cx: &mut Context<'_>) -> Poll<Event<Numbers>> {
        if self.wanted == 0 {
            return Poll::Pending;
        }
        self.wanted -= 1;
        let request = self.asked.pop_front().expect("every query has contacts in flight");
        let items = (0..self.items).map(|_| {
            self.next += 1;
            Number(self.next)
        });
        let reply = Reply::with_items(items.collect());
        Poll::Ready(Event::Reply { request, reply })
    }
}

/// A clock at which it is always the same time.
struct Still;

impl Clock for Still {
    fn now(&self) -> Time {
        Time::from_millis(1)
    }

    fn poll_until(&mut self, _cx: &mut Context<'_>, _until: Time) -> Poll<()> {
        Poll::Pending
    }
}
