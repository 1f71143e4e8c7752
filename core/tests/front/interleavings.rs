//! Anything in any order: what a front promises holds, and no wake-up is lost.

use dragnet_core::front::{Event, FrontConfig, QueryHandle};
use dragnet_core::{Caps, EngineConfig, Failure, QueryConfig, Reply, StartError};
use proptest::prelude::*;

use crate::kit::{Rig, WireView, Words, ask, ms, ready, walk, word};

#[derive(Clone, Copy, Debug)]
enum Act {
    Fetch { timeout_ms: u64, results_max: usize },
    Walk { timeout_ms: u64 },
    Drop(usize),
    Cancel(usize),
    Read(usize),
    Answer(usize, u64),
    Fail(usize),
    Advance(u64),
    Poll,
    Run,
    MoreClients,
    FewerClients,
    Shutdown,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (0..300u64, 1..5usize).prop_map(|(timeout_ms, results_max)| Act::Fetch { timeout_ms, results_max }),
        2 => (0..300u64).prop_map(|timeout_ms| Act::Walk { timeout_ms }),
        2 => any::<usize>().prop_map(Act::Drop),
        1 => any::<usize>().prop_map(Act::Cancel),
        2 => any::<usize>().prop_map(Act::Read),
        6 => (any::<usize>(), 0..8u64).prop_map(|(which, id)| Act::Answer(which, id)),
        2 => any::<usize>().prop_map(Act::Fail),
        3 => (0..100u64).prop_map(Act::Advance),
        4 => Just(Act::Poll),
        4 => Just(Act::Run),
        1 => Just(Act::MoreClients),
        1 => Just(Act::FewerClients),
        1 => Just(Act::Shutdown),
    ]
}

struct World {
    rig: Rig,
    wire: WireView,
    handles: Vec<(QueryHandle<Words>, Vec<u64>, usize)>,
    clients: Vec<dragnet_core::front::Client<Words>>,
    is_shut_down: bool,
}

impl World {
    fn new() -> Self {
        let caps = Caps { queries_max: 6, ..Caps::default() };
        let config =
            FrontConfig::default().with_engine(EngineConfig::default().with_caps(caps)).with_commands_max(4);
        let (mut rig, wire) = Rig::with_config(config);
        wire.silent(1..=10);
        let clients = rig.client.take().into_iter().collect();
        Self { rig, wire, handles: Vec::new(), clients, is_shut_down: false }
    }

    fn ask(&mut self, query: dragnet_core::Query<Words>) {
        let Some(client) = self.clients.last() else { return };
        let results_max = query.config.max_results;
        match client.query(query) {
            Ok(handle) => {
                assert!(!self.is_shut_down);
                self.handles.push((handle, Vec::new(), results_max));
            }
            Err(StartError::Busy { live, max, .. }) => assert!(live >= max),
            Err(error) => assert_eq!((error, self.is_shut_down), (StartError::ShutDown, true)),
        }
    }

    fn request(&self, which: usize) -> Option<dragnet_core::RequestId> {
        let open = self.wire.open_requests();
        (!open.is_empty()).then(|| open[which % open.len()].0)
    }

    fn read(&mut self, which: usize) {
        let (handle, read, _) = &mut self.handles[which];
        read.extend(ready(handle).into_iter().map(|found| found.item.id));
    }

    fn act(&mut self, act: Act) {
        let count = self.handles.len();
        match act {
            Act::Fetch { timeout_ms, results_max } => {
                let config =
                    QueryConfig::default().with_timeout(ms(timeout_ms)).with_max_results(results_max);
                self.ask(ask(1..=6).config(config));
            }
            Act::Walk { timeout_ms } => {
                self.ask(walk(b"target").config(QueryConfig::default().with_timeout(ms(timeout_ms))));
            }
            Act::Drop(which) if count > 0 => drop(self.handles.swap_remove(which % count)),
            Act::Cancel(which) if count > 0 => self.handles[which % count].0.cancel(),
            Act::Read(which) if count > 0 => self.read(which % count),
            Act::Answer(which, id) => {
                if let Some(request) = self.request(which) {
                    let reply = Reply { items: vec![word(id)], closer: vec![id as u32], ..Reply::default() };
                    self.wire.bring(Event::Reply { request, reply });
                }
            }
            Act::Fail(which) => {
                if let Some(request) = self.request(which) {
                    self.wire.bring(Event::Failure { request, failure: Failure::Closed });
                }
            }
            Act::Advance(by) => self.rig.clock.advance(ms(by)),
            Act::Poll => drop(self.rig.poll()),
            Act::Run => self.rig.run(),
            Act::MoreClients => self.clients.extend(self.clients.last().cloned()),
            Act::FewerClients => drop(self.clients.pop()),
            Act::Shutdown => {
                if let Some(client) = self.clients.last() {
                    drop(client.shutdown());
                    self.is_shut_down = true;
                }
            }
            Act::Drop(_) | Act::Cancel(_) | Act::Read(_) => {}
        }
        if self.clients.is_empty() && !self.is_shut_down {
            // Nobody can ask any more.
            self.is_shut_down = true;
        }
    }

    /// Lets everything come to its end, and looks at what is left.
    fn end(mut self) {
        self.rig.run_out();
        for which in 0..self.handles.len() {
            self.read(which);
        }
        for (handle, read, results_max) in &self.handles {
            let outcome = handle.outcome().expect("every query has ended");
            assert_eq!(outcome.results, read.len(), "every item was delivered");
            assert!(read.len() <= *results_max);
            let mut distinct = read.clone();
            distinct.sort_unstable();
            distinct.dedup();
            assert_eq!(distinct.len(), read.len(), "no item twice");
            assert_eq!(handle.error(), None);
        }
        self.rig.assert_empty(&self.wire);
        assert_eq!(self.rig.clock.next(), None, "nobody waits for anything");
        self.clients.clear();
        self.rig.run();
        assert!(self.rig.has_returned, "with the last client gone the driver returns");
    }
}

/// Twice as many cases as others have, for they are short.
fn config() -> ProptestConfig {
    let config = ProptestConfig::default();
    ProptestConfig { cases: config.cases.saturating_mul(2), failure_persistence: None, ..config }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn whatever_happens_every_query_ends_and_nothing_is_left(acts in prop::collection::vec(act(), 0..80)) {
        let mut world = World::new();
        acts.into_iter().for_each(|act| world.act(act));
        world.end();
    }
}
