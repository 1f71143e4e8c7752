//! Who may use Kademlia now, and who waits.
//!
//! libp2p-kad scans all its live queries at every event and opens a stream for each request at once,
//! while its servers take 32 streams a connection. So at most
//! [`lookups_max`](crate::Config::lookups_max) of ours run at a time; the others wait here, first come,
//! first served.

use std::collections::{BTreeMap, HashMap};

use dragnet_core::RequestId;
use futures::channel::oneshot;
use libp2p::PeerId;
use libp2p::kad::{QueryId, Record, RecordKey};

use crate::error::PublishError;
use crate::handles::Publication;
use crate::network::Ask;

/// Where a put's result goes.
pub(crate) type PutReply = oneshot::Sender<Result<Publication, PublishError>>;

/// What waits for its turn.
pub(crate) enum Task {
    Lookup {
        request: RequestId,
        ask: Ask,
    },
    Put {
        record: Record,
        reply: Option<PutReply>,
    },
    /// A record of our own that was put before.
    PutAgain {
        key: RecordKey,
    },
    Announce {
        key: RecordKey,
    },
}

/// What one of Kademlia's queries is for.
pub(crate) enum Run {
    /// A lookup for the engine.
    Lookup { request: RequestId, ask: Ask },
    /// The first half of a put: who is closest?
    Find { record: Record, reply: Option<PutReply> },
    /// The second half: these are told to store it.
    Store { key: RecordKey, peers: Vec<PeerId>, reply: Option<PutReply> },
    /// The announcement of a provider: who was told so far, and with whom that failed.
    Announce { key: RecordKey, told: Vec<PeerId>, failed: Vec<PeerId> },
    /// Nobody wants its result. It was finished, and Kademlia will say so in a moment.
    Released,
}

/// What waits and what runs.
pub(crate) struct Turns {
    running_max: usize,
    /// By order of arrival.
    waiting: BTreeMap<u64, Task>,
    arrivals: u64,
    /// Those among the waiting that a client waits for.
    puts: usize,
    running: HashMap<QueryId, Run>,
    /// Where each of the engine's lookups is.
    lookups: HashMap<RequestId, Place>,
    /// Where each announcement is: at most one a key.
    announcements: HashMap<RecordKey, Place>,
}

#[derive(Clone, Copy)]
enum Place {
    Waiting(u64),
    Running(QueryId),
}

impl Turns {
    pub(crate) fn new(running_max: usize) -> Self {
        Self {
            running_max: running_max.max(1),
            waiting: BTreeMap::new(),
            arrivals: 0,
            puts: 0,
            running: HashMap::new(),
            lookups: HashMap::new(),
            announcements: HashMap::new(),
        }
    }

    /// Queues a task. A key that is being announced, or is about to be, is not announced twice.
    pub(crate) fn wait(&mut self, task: Task) {
        let place = Place::Waiting(self.arrivals);
        match &task {
            Task::Lookup { request, .. } => {
                self.lookups.insert(*request, place);
            }
            Task::Announce { key } if self.announcements.contains_key(key) => return,
            Task::Announce { key } => {
                self.announcements.insert(key.clone(), place);
            }
            Task::Put { .. } => self.puts += 1,
            Task::PutAgain { .. } => {}
        }
        self.waiting.insert(self.arrivals, task);
        self.arrivals += 1;
    }

    /// The next task whose turn it is. The caller says by [`run`](Self::run) what it became.
    pub(crate) fn next(&mut self) -> Option<Task> {
        if self.running.len() >= self.running_max {
            return None;
        }
        let (_, task) = self.waiting.pop_first()?;
        match &task {
            Task::Lookup { request, .. } => drop(self.lookups.remove(request)),
            Task::Announce { key } => drop(self.announcements.remove(key)),
            Task::Put { .. } => self.puts -= 1,
            Task::PutAgain { .. } => {}
        }
        Some(task)
    }

    pub(crate) fn run(&mut self, id: QueryId, run: Run) {
        match &run {
            Run::Lookup { request, .. } => {
                self.lookups.insert(*request, Place::Running(id));
            }
            Run::Announce { key, .. } => {
                self.announcements.insert(key.clone(), Place::Running(id));
            }
            Run::Find { .. } | Run::Store { .. } | Run::Released => {}
        }
        self.running.insert(id, run);
    }

    pub(crate) fn running(&mut self, id: &QueryId) -> Option<&mut Run> {
        self.running.get_mut(id)
    }

    /// Takes what a query was for, at its end.
    pub(crate) fn end(&mut self, id: &QueryId) -> Option<Run> {
        let run = self.running.remove(id)?;
        match &run {
            Run::Lookup { request, .. } => drop(self.lookups.remove(request)),
            Run::Announce { key, .. } => drop(self.announcements.remove(key)),
            Run::Find { .. } | Run::Store { .. } | Run::Released => {}
        }
        Some(run)
    }

    /// Gives up a lookup. If it runs, the query to be finished.
    pub(crate) fn release(&mut self, request: RequestId) -> Option<QueryId> {
        let place = self.lookups.remove(&request)?;
        self.give_up(place)
    }

    /// Gives up the announcement of a key. If it runs, the query to be finished.
    pub(crate) fn withdraw(&mut self, key: &RecordKey) -> Option<QueryId> {
        let place = self.announcements.remove(key)?;
        self.give_up(place)
    }

    /// Gives up everything but the engine's lookups, which the engine releases itself. What waits for
    /// the results is told by dropping its sender. Returns the queries to be finished.
    pub(crate) fn withdraw_all(&mut self) -> Vec<QueryId> {
        self.announcements.clear();
        self.puts = 0;
        self.waiting.retain(|_, task| matches!(task, Task::Lookup { .. }));
        let mut ended = Vec::new();
        for (id, run) in &mut self.running {
            if matches!(run, Run::Find { .. } | Run::Store { .. } | Run::Announce { .. }) {
                *run = Run::Released;
                ended.push(*id);
            }
        }
        ended
    }

    fn give_up(&mut self, place: Place) -> Option<QueryId> {
        match place {
            Place::Waiting(arrival) => {
                self.waiting.remove(&arrival);
                None
            }
            Place::Running(id) => {
                self.running.insert(id, Run::Released);
                Some(id)
            }
        }
    }

    /// Puts that wait for their turn.
    pub(crate) const fn puts_waiting(&self) -> usize {
        self.puts
    }

    /// How many run, and how many wait.
    pub(crate) fn counts(&self) -> (usize, usize) {
        (self.running.len(), self.waiting.len())
    }

    /// How many of both are puts and announcements.
    pub(crate) fn publishing(&self) -> usize {
        let waiting = self.waiting.values().filter(|task| !matches!(task, Task::Lookup { .. })).count();
        let running = self
            .running
            .values()
            .filter(|run| matches!(run, Run::Find { .. } | Run::Store { .. } | Run::Announce { .. }))
            .count();
        waiting + running
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Walks;
    use crate::network::record_key;

    fn lookup(n: u64) -> Task {
        let key = record_key("t", &n.to_be_bytes());
        Task::Lookup { request: RequestId::from_u64(n), ask: Ask::Get { key, walks: Walks::Delegated } }
    }

    #[test]
    fn a_released_lookup_leaves_the_queue_at_once() {
        let mut turns = Turns::new(2);
        (0..1000).for_each(|n| turns.wait(lookup(n)));
        (0..999).for_each(|n| assert_eq!(turns.release(RequestId::from_u64(n)), None));
        assert_eq!(turns.counts(), (0, 1));
        let Some(Task::Lookup { request, .. }) = turns.next() else { panic!("one is left") };
        assert_eq!(request, RequestId::from_u64(999));
        assert!(turns.next().is_none() && turns.lookups.is_empty());
    }

    #[test]
    fn a_key_is_announced_once_at_a_time() {
        let mut turns = Turns::new(2);
        let key = record_key("t", b"k");
        turns.wait(Task::Announce { key: key.clone() });
        turns.wait(Task::Announce { key: key.clone() });
        assert_eq!(turns.counts(), (0, 1));
        assert_eq!(turns.withdraw(&key), None);
        assert_eq!(turns.counts(), (0, 0));
    }
}
