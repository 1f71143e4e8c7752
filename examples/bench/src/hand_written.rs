//! The design that one writes by hand: a map of contexts behind a lock, an unbounded channel and a task for
//! each query, a set of ids, and a timeout around it all.
//!
//! Done as well as its kind allows: a lock of the standard library, since nothing awaits under it, and one look
//! at the map for each answer. It does less than the engine: no contact has a timeout of its own, nobody's
//! past is weighed, and nothing is bounded.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::{Arc, PoisonError, RwLock, RwLockWriteGuard};
use std::time::Duration;

use dragnet_core::{Distance, Item, Key, Network};
use libp2p::PeerId;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::time::timeout;

use crate::work::{Answer, CLOSEST, Compared, FAN_OUT};

/// All queries that live. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct HandWritten {
    contexts: Arc<RwLock<HashMap<u64, Context>>>,
}

/// One peer to ask.
pub(crate) struct Contact {
    pub(crate) query: u64,
    pub(crate) peer: PeerId,
}

/// One query.
struct Context {
    results: UnboundedSender<Answer>,
    results_left: usize,
    seen: HashSet<u64>,
    asked: HashSet<PeerId>,
    in_flight: usize,
    lane: Lane,
}

enum Lane {
    Walk { target: Key, candidates: BTreeMap<Distance, Candidate> },
    Fetch(VecDeque<PeerId>),
}

struct Candidate {
    peer: PeerId,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    New,
    Asked,
    Answered,
}

impl HandWritten {
    /// Begins a walk: its first contacts.
    pub(crate) fn walk(
        &self,
        query: u64,
        target: Key,
        first: Vec<PeerId>,
        results_max: usize,
    ) -> (Results, Vec<Contact>) {
        let mut lane = Lane::Walk { target, candidates: BTreeMap::new() };
        lane.offer(first);
        self.begin(query, lane, results_max)
    }

    /// Begins to ask these peers.
    pub(crate) fn fetch(
        &self,
        query: u64,
        peers: Vec<PeerId>,
        results_max: usize,
    ) -> (Results, Vec<Contact>) {
        self.begin(query, Lane::Fetch(peers.into()), results_max)
    }

    fn begin(&self, query: u64, lane: Lane, results_left: usize) -> (Results, Vec<Contact>) {
        let (results, found) = mpsc::unbounded_channel();
        let (seen, asked) = (HashSet::new(), HashSet::new());
        let mut context = Context { results, results_left, seen, asked, in_flight: 0, lane };
        let mut contacts = Vec::new();
        context.fill(query, &mut contacts);
        self.lock().insert(query, context);
        (Results { query, found, all: self.clone() }, contacts)
    }

    /// A peer has answered; whom to ask next. False of a query that has ended.
    pub(crate) fn reply(
        &self,
        Contact { query, peer }: Contact,
        items: impl IntoIterator<Item = Answer>,
        closer: Vec<PeerId>,
        next: &mut Vec<Contact>,
    ) -> bool {
        let mut contexts = self.lock();
        let Some(context) = contexts.get_mut(&query) else { return false };
        context.in_flight -= 1;
        for item in items {
            if context.results_left > 0 && context.seen.insert(item.id()) {
                context.results_left -= 1;
                // The query's task may have timed out just now.
                let _ = context.results.send(item);
            }
        }
        context.lane.answered(&peer);
        context.lane.offer(closer);
        let is_over = context.results_left == 0 || context.lane.has_converged();
        if !is_over {
            context.fill(query, next);
        }
        if is_over || context.in_flight == 0 {
            // Which drops the sender, and so ends the task.
            contexts.remove(&query);
        }
        true
    }

    pub(crate) fn live(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> RwLockWriteGuard<'_, HashMap<u64, Context>> {
        self.contexts.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Context {
    fn fill(&mut self, query: u64, contacts: &mut Vec<Contact>) {
        while self.in_flight < FAN_OUT {
            let Some(peer) = self.lane.next() else { break };
            if self.asked.insert(peer) {
                self.in_flight += 1;
                contacts.push(Contact { query, peer });
            }
        }
    }
}

impl Lane {
    fn next(&mut self) -> Option<PeerId> {
        match self {
            Self::Walk { candidates, .. } => {
                let new = candidates.values_mut().find(|candidate| candidate.state == State::New)?;
                new.state = State::Asked;
                Some(new.peer)
            }
            Self::Fetch(peers) => peers.pop_front(),
        }
    }

    fn offer(&mut self, closer: Vec<PeerId>) {
        let Self::Walk { target, candidates } = self else { return };
        for peer in closer {
            let distance = Compared::key(&peer).distance(target);
            candidates.entry(distance).or_insert(Candidate { peer, state: State::New });
        }
    }

    fn answered(&mut self, peer: &PeerId) {
        let Self::Walk { target, candidates } = self else { return };
        if let Some(candidate) = candidates.get_mut(&Compared::key(peer).distance(target)) {
            candidate.state = State::Answered;
        }
    }

    /// Whether the closest have answered.
    fn has_converged(&self) -> bool {
        let Self::Walk { candidates, .. } = self else { return false };
        candidates.len() >= CLOSEST
            && candidates.values().take(CLOSEST).all(|candidate| candidate.state == State::Answered)
    }
}

/// The asker's side of a query. Dropping it ends the query.
pub(crate) struct Results {
    query: u64,
    found: UnboundedReceiver<Answer>,
    all: HandWritten,
}

impl Results {
    /// How many results came in time.
    pub(crate) async fn collect(mut self, deadline: Duration) -> usize {
        let mut results = 0;
        let all = async {
            while let Some(item) = self.found.recv().await {
                std::hint::black_box(item);
                results += 1;
            }
        };
        // Of what came before the deadline nothing is lost.
        let _ = timeout(deadline, all).await;
        results
    }
}

impl Drop for Results {
    fn drop(&mut self) {
        self.all.lock().remove(&self.query);
    }
}
