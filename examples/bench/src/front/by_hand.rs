//! The hand-written design: a task that is the network, and one for each that asks.

use std::collections::VecDeque;
use std::time::Instant;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::task::yield_now;

use super::bare::PATIENCE;
use super::{Done, Items, Load, Peers};
use crate::hand_written::{Contact, HandWritten};

/// Answers between two looks at what else there is to do.
const ANSWERS_PER_TURN: usize = 256;

/// One thread.
pub(super) fn runtime() -> Runtime {
    let runtime = Builder::new_current_thread().enable_time().build();
    runtime.expect("a runtime of one thread, without I/O")
}

pub(super) fn run(load: Load, peers: &Peers) -> Done {
    let started = Instant::now();
    let results = runtime().block_on(async {
        let queries = HandWritten::default();
        let (contacts, asked) = mpsc::unbounded_channel();
        let network = tokio::spawn(answer(load, queries.clone(), asked));
        let tasks: Vec<_> = (0..load.handles)
            .map(|number| tokio::spawn(ask(load, number, queries.clone(), contacts.clone(), peers.clone())))
            .collect();
        drop(contacts);
        let mut results = 0;
        for task in tasks {
            results += task.await.expect("no task panics");
        }
        network.await.expect("nor does the network");
        results
    });
    Done { results, spent: started.elapsed() }
}

/// Answers at once.
async fn answer(load: Load, queries: HandWritten, mut asked: UnboundedReceiver<Contact>) {
    let (mut waiting, mut items, mut next) = (VecDeque::new(), Items::default(), Vec::new());
    loop {
        if waiting.is_empty() {
            let Some(contact) = asked.recv().await else { return };
            waiting.push_back(contact);
        }
        for _ in 0..ANSWERS_PER_TURN {
            while let Ok(contact) = asked.try_recv() {
                waiting.push_back(contact);
            }
            let Some(contact) = waiting.pop_front() else { break };
            queries.reply(contact, items.next(load.work.items()), Vec::new(), &mut next);
            waiting.extend(next.drain(..));
        }
        yield_now().await;
    }
}

/// One task: its queries, one after the other.
async fn ask(
    load: Load,
    task: u32,
    queries: HandWritten,
    contacts: UnboundedSender<Contact>,
    peers: Peers,
) -> u64 {
    let mut results = 0;
    for n in 0..load.queries_per_handle {
        let number = u64::from(n) * u64::from(load.handles) + u64::from(task);
        let asked = peers.some(number, load.work.peers());
        let (found, first) = queries.fetch(number, asked, load.work.results());
        for contact in first {
            contacts.send(contact).expect("the network is there while somebody asks");
        }
        results += found.collect(PATIENCE).await as u64;
    }
    results
}
