//! The hand-written design, with a task of tokio's for each query.

use std::time::Duration;

use libp2p::PeerId;
use tokio::runtime::{Builder, Runtime};
use tokio::task::yield_now;

use super::contender::{Contender, Waiting};
use crate::hand_written::{Contact, HandWritten};
use crate::work::{Answer, Said, World, target};

/// Longer than the bench takes.
const DEADLINE: Duration = Duration::from_secs(3600);

pub(super) struct ByHand {
    // First: its tasks end before the queries are dropped.
    runtime: Runtime,
    queries: HandWritten,
    waiting: Waiting<Contact, (Option<Answer>, Vec<PeerId>)>,
    next: Vec<Contact>,
}

impl ByHand {
    pub(super) fn new() -> Self {
        let runtime = Builder::new_current_thread().enable_time().build();
        Self {
            runtime: runtime.expect("a runtime of one thread, without I/O"),
            queries: HandWritten::default(),
            waiting: Waiting::new(),
            next: Vec::new(),
        }
    }
}

impl Contender for ByHand {
    fn fill(&mut self, world: &mut World, live: usize) -> bool {
        let mut begun = 0;
        while self.queries.live() < live {
            let query = world.question();
            let (results, contacts) = self.queries.walk(query, target(query), world.candidates(query), 1_000);
            self.runtime.spawn(results.collect(DEADLINE));
            self.waiting.in_flight.extend(contacts);
            begun += 1;
        }
        self.runtime.block_on(run_tasks(begun));
        true
    }

    fn prepare(&mut self, world: &mut World, count: usize) {
        self.waiting.prepare(
            world,
            count,
            |_| true,
            |Contact { query, peer }, world| {
                // Its question is its name.
                let Said { item, closer } = world.answer(*query, peer);
                (item, closer)
            },
        );
    }

    fn answer(&mut self) -> u64 {
        let mut answered = 0;
        let Self { runtime, queries, waiting: Waiting { in_flight, prepared }, next } = self;
        runtime.block_on(async {
            for (contact, (item, closer)) in prepared.drain(..) {
                answered += u64::from(queries.reply(contact, item, closer, next));
                in_flight.extend(next.drain(..));
            }
            run_tasks(answered).await;
        });
        answered
    }

    fn kept_by_bench(&self) -> usize {
        self.waiting.bytes() + self.next.capacity() * size_of::<Contact>()
    }
}

/// The runtime runs so many tasks before it comes back to the future that it blocks on: tokio's default.
const TASKS_PER_TURN: u64 = 61;

/// Lets the tasks run of which so many at most have been woken.
async fn run_tasks(woken: u64) {
    for _ in 0..woken / TASKS_PER_TURN + 2 {
        yield_now().await;
    }
}
