//! Client, driver, channel and handle.

use std::collections::VecDeque;
use std::task::{Context, Poll};
use std::time::Instant;

use dragnet_core::front::{self, Client, Contact, Event, FrontConfig, Lookup, SystemClock, Transport};
use dragnet_core::{Key, Reply, RequestId};
use futures::StreamExt;
use libp2p::PeerId;

use super::bare::query;
use super::{Done, Items, Load, Peers};
use crate::work::Compared;

/// Answers at once.
struct AtOnce {
    items_per_reply: usize,
    items: Items,
    waiting: VecDeque<RequestId>,
}

impl Transport for AtOnce {
    type Network = Compared;

    fn closest(&mut self, _target: &Key, _count: usize) -> Vec<PeerId> {
        Vec::new()
    }

    fn contact(&mut self, contact: Contact<Compared>) {
        self.waiting.push_back(contact.request);
    }

    fn lookup(&mut self, _lookup: Lookup<Compared>) {
        unreachable!("no query of this bench has a route");
    }

    fn release(&mut self, _request: RequestId) {
        // Its answer comes all the same, and is ignored.
    }

    fn poll_event(&mut self, _cx: &mut Context<'_>) -> Poll<Event<Compared>> {
        let Some(request) = self.waiting.pop_front() else { return Poll::Pending };
        let reply = Reply::with_items(self.items.next(self.items_per_reply));
        Poll::Ready(Event::Reply { request, reply })
    }
}

pub(super) fn run(load: Load, peers: &Peers) -> Done {
    let runtime = super::by_hand::runtime();
    let items_per_reply = load.work.items();
    let transport = AtOnce { items_per_reply, items: Items::default(), waiting: VecDeque::new() };
    // Room for all that ask in the same moment.
    let config = FrontConfig::default().with_commands_max((load.handles as usize).max(1024));
    let started = Instant::now();
    let results = runtime.block_on(async {
        let clock = SystemClock::new();
        let (client, driver) = front::with_config(config, transport, clock, PeerId::random(), [1; 32]);
        let driver = tokio::spawn(driver);
        let tasks: Vec<_> = (0..load.handles)
            .map(|number| tokio::spawn(ask(load, number, client.clone(), peers.clone())))
            .collect();
        drop(client);
        let mut results = 0;
        for task in tasks {
            results += task.await.expect("no task panics");
        }
        driver.await.expect("nor does the driver");
        results
    });
    Done { results, spent: started.elapsed() }
}

/// One task: its queries, one after the other.
async fn ask(load: Load, task: u32, client: Client<Compared>, peers: Peers) -> u64 {
    let mut results = 0;
    for n in 0..load.queries_per_handle {
        let number = u64::from(n) * u64::from(load.handles) + u64::from(task);
        let asked = peers.some(number, load.work.peers());
        let mut handle = client.query(query(load, number, asked)).expect("there is room");
        while let Some(found) = handle.next().await {
            std::hint::black_box(found);
            results += 1;
        }
    }
    results
}
