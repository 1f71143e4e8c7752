//! The query engine: takes each input to whom it concerns, and hands the outputs on.

mod absorb;
mod contacts;
mod finish;
mod offers;
mod progress;
#[cfg(feature = "sabotage")]
mod sabotage;
mod share;
mod start;
mod state;
mod tape;
mod timeouts;
mod view;

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;

use hashbrown::HashTable;
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

use crate::arena::Arena;
use crate::cache::Cache;
use crate::config::EngineConfig;
use crate::hash::Keyed;
use crate::lookup::{Contact, LiveQuery, Phase, Work};
use crate::network::{Failure, LookupTotals, Network, Reply};
#[cfg(feature = "futures")]
use crate::output::Found;
use crate::output::{Output, RequestId};
use crate::pacing::Conditions;
use crate::peers::{PeerIndex, PeerTable};
use crate::query::{QueryId, QueryStats, Reason};
use crate::stats::{LiveState, Metrics, PeerReport, SourceMetrics};
use crate::time::Time;
use crate::timers::Timers;

#[cfg(feature = "sabotage")]
pub use sabotage::Sabotage;
#[cfg(not(feature = "record"))]
use tape::Noted;
#[cfg(feature = "record")]
pub(crate) use tape::{Noted, Opening, Tape};

/// The state machine at the heart of Dragnet: decides everything, touches nothing.
///
/// # How it is driven
///
/// **Inputs** change its state: [`start`](Self::start), [`cancel`](Self::cancel),
/// [`handle_sent`](Self::handle_sent), [`handle_reply`](Self::handle_reply),
/// [`handle_failure`](Self::handle_failure),
/// [`handle_progress`](Self::handle_progress), [`handle_done`](Self::handle_done) and
/// [`handle_tick`](Self::handle_tick). **Outputs** say what to do:
/// [`poll_output`](Self::poll_output), and [`poll_timeout`](Self::poll_timeout) for when to come back.
///
/// The rule is: *after every input drain `poll_output` to `None`; sleep until `poll_timeout` or the next
/// input, whichever is first; at `poll_timeout` call `handle_tick`.* The [crate's](crate) first example
/// is that loop.
///
/// # Time
///
/// Every input carries the time, and first does whatever is due by then: a reply that comes at or after
/// a query's deadline delivers nothing. Time must not go back; if it does, the input counts as one at
/// the latest time seen, and is counted in
/// [`Metrics::time_reversals`](crate::Metrics::time_reversals).
///
/// # What it promises
///
/// In a query no item id is delivered twice, and at most `max_results` items; every started query
/// finishes exactly once, and at the first tick at or after its deadline at latest; every contact ends
/// exactly once, by a reply, a failure or a [`Release`](Output::Release), and none outlives its query; a
/// peer is contacted at most once per query and lane; every table stays within its cap; unknown, late
/// and repeated inputs change nothing; and the same seed and inputs give the same outputs, byte for byte.
pub struct QueryEngine<N: Network> {
    config: EngineConfig,
    now: Time,
    works: Arena<Work<N>>,
    queries: Arena<LiveQuery>,
    by_id: HashTable<u32>,
    /// Works that whoever asks the same may join, by their questions.
    shared_works: HashTable<u32>,
    cache: Cache<N>,
    /// Refreshes behind, the oldest first.
    refreshes: Vec<u32>,
    contacts: Arena<Contact>,
    peers: PeerTable<N>,
    timers: Timers,
    conditions: Conditions,
    /// Work to look at before the input returns, by slot and generation.
    ready: VecDeque<(u32, u32)>,
    /// Peers that have room again while contacts wait for them.
    freed: VecDeque<PeerIndex>,
    outputs: VecDeque<Output<N>>,
    hasher: Keyed,
    ids: ChaCha8Rng,
    metrics: Metrics,
    #[cfg(feature = "record")]
    recorder: tape::Slot<N>,
    #[cfg(feature = "sabotage")]
    sabotage: Option<Sabotage>,
}

/// Inputs and outputs.
impl<N: Network> QueryEngine<N> {
    /// An engine that acts for `local`, which is never a candidate itself. All that it draws at random
    /// comes from `seed`: keep it from strangers, who could otherwise choose ids that collide.
    pub fn new(mut config: EngineConfig, local: N::Peer, seed: [u8; 32]) -> Self {
        // With none, every contact would wait for ever.
        config.caps.contacts_per_peer = config.caps.contacts_per_peer.max(1);
        let mut ids = ChaCha8Rng::from_seed(seed);
        let hasher = Keyed::new(core::array::from_fn(|_| ids.next_u64()));
        let peers = PeerTable::new(local, config.caps.peers_max, &config.reputation, hasher, ids.next_u64());
        let cache = Cache::new(config.cache.clone());
        let sources = config.sources.iter().map(|name| SourceMetrics::new(Arc::clone(name))).collect();
        Self {
            config,
            now: Time::ZERO,
            works: Arena::new(),
            queries: Arena::new(),
            by_id: HashTable::new(),
            shared_works: HashTable::new(),
            cache,
            refreshes: Vec::new(),
            contacts: Arena::new(),
            peers,
            timers: Timers::new(),
            conditions: Conditions::default(),
            ready: VecDeque::new(),
            freed: VecDeque::new(),
            outputs: VecDeque::new(),
            hasher,
            ids,
            metrics: Metrics { sources, ..Metrics::default() },
            #[cfg(feature = "record")]
            recorder: tape::Slot::default(),
            #[cfg(feature = "sabotage")]
            sabotage: None,
        }
    }

    /// Ends a query whose asker has gone; false if it had ended already.
    pub fn cancel(&mut self, now: Time, query: QueryId) -> bool {
        self.note(now, Noted::Cancel(query));
        self.advance(now);
        let found = self.find(query);
        if let Some(query) = found {
            self.finish(query, Reason::Cancelled);
        }
        self.settle();
        found.is_some()
    }

    /// Ends the refreshes behind ([`CachePolicy::Stale`](crate::CachePolicy::Stale)): for a driver that
    /// returns when its last query has ended. Nothing is said but their releases.
    pub fn cancel_refreshes(&mut self, now: Time) {
        self.note(now, Noted::CancelRefreshes);
        self.advance(now);
        while let Some(&oldest) = self.refreshes.first() {
            self.finish(oldest, Reason::Cancelled);
        }
        self.settle();
    }

    /// A contact has left the transport's own queue: its response time and its timeouts count from now.
    ///
    /// Told at most once of a contact, by a transport in which requests wait: for a connection, or for
    /// their turn. Of a contact of which it is not told they count from its beginning; so one that never
    /// leaves ends at its `request_timeout` too.
    pub fn handle_sent(&mut self, now: Time, request: RequestId) {
        self.note(now, Noted::Sent(request));
        self.advance(now);
        match self.phase(request) {
            Some(Phase::InFlight | Phase::Overdue) if !self.contacts[request.slot].is_sent => {
                self.sent(request.slot);
            }
            _ => self.metrics.inputs_unknown += 1,
        }
        self.settle();
    }

    /// A peer has answered: ends the contact. Under the id of a lookup it counts as its last progress.
    pub fn handle_reply(&mut self, now: Time, request: RequestId, reply: Reply<N>) {
        self.note(now, Noted::Reply(request, &reply));
        self.advance(now);
        match self.phase(request) {
            Some(Phase::InFlight | Phase::Overdue) => self.absorb_reply(request.slot, reply),
            Some(Phase::Lookup) => {
                let Contact { work, lane, .. } = self.contacts[request.slot];
                // First its end: a lookup that has said its last is not released, even if that was enough.
                let totals = LookupTotals { contacted: 1, replied: 1, failed: 0 };
                self.end_lookup(request.slot, true, totals);
                self.absorb_progress(work, lane, None, reply);
            }
            Some(Phase::Waiting) | None => self.metrics.inputs_unknown += 1,
        }
        self.settle();
    }

    /// A contact or a lookup has failed: ends it.
    pub fn handle_failure(&mut self, now: Time, request: RequestId, failure: Failure) {
        self.note(now, Noted::Failure(request, failure));
        self.advance(now);
        match self.phase(request) {
            Some(Phase::InFlight | Phase::Overdue) => self.fail(request.slot, failure),
            Some(Phase::Lookup) => {
                let totals = LookupTotals { contacted: 1, replied: 0, failed: 1 };
                self.end_lookup(request.slot, false, totals);
            }
            Some(Phase::Waiting) | None => self.metrics.inputs_unknown += 1,
        }
        self.settle();
    }

    /// A lookup has found something, and goes on. `from` is the peer that gave it, if that is known.
    pub fn handle_progress(&mut self, now: Time, request: RequestId, from: Option<N::Peer>, reply: Reply<N>) {
        self.note(now, Noted::Progress(request, from.as_ref(), &reply));
        self.advance(now);
        match self.phase(request) {
            Some(Phase::Lookup) => {
                let Contact { work, lane, .. } = self.contacts[request.slot];
                self.absorb_progress(work, lane, from, reply);
            }
            _ => self.metrics.inputs_unknown += 1,
        }
        self.settle();
    }

    /// A lookup has come to its end.
    pub fn handle_done(&mut self, now: Time, request: RequestId, totals: LookupTotals) {
        self.note(now, Noted::Done(request, totals));
        self.advance(now);
        match self.phase(request) {
            Some(Phase::Lookup) => self.end_lookup(request.slot, true, totals),
            _ => self.metrics.inputs_unknown += 1,
        }
        self.settle();
    }

    /// Bars a peer for [`bar_for`](crate::ReputationConfig::bar_for), for what the application has found
    /// out about it by itself. What is in flight to it goes on. False for the local peer, and if the
    /// table of peers is full of those of live queries.
    pub fn bar(&mut self, now: Time, peer: N::Peer) -> bool {
        self.note(now, Noted::Bar(&peer));
        self.advance(now);
        let known = self.peers.intern(self.now, peer).filter(|peer| *peer != PeerIndex::LOCAL);
        if let Some(peer) = known {
            self.peers.bar(self.now, peer);
            self.metrics.peers_barred += 1;
        }
        self.settle();
        known.is_some()
    }

    /// Time has passed. Needed at [`poll_timeout`](Self::poll_timeout); harmless at any other time.
    pub fn handle_tick(&mut self, now: Time) {
        self.note(now, Noted::Tick);
        self.advance(now);
        self.settle();
    }

    /// What to do next. Drain to `None` after every input.
    pub fn poll_output(&mut self) -> Option<Output<N>> {
        self.outputs.pop_front()
    }

    /// The same, if it is an item for this query.
    #[cfg(feature = "futures")]
    pub(crate) fn poll_found(&mut self, query: QueryId) -> Option<Found<N>> {
        let is_for_it =
            |next: &mut Output<N>| matches!(next, Output::Found { query: its, .. } if *its == query);
        match self.outputs.pop_front_if(is_for_it)? {
            Output::Found { found, .. } => Some(found),
            _ => None,
        }
    }

    /// The exact next time at which a tick would do something: before it a tick changes nothing.
    /// `None` while nothing waits for time to pass.
    pub fn poll_timeout(&mut self) -> Option<Time> {
        #[cfg(feature = "sabotage")]
        return self.next_timeout().map(|at| self.spoil_timeout(at));
        #[cfg(not(feature = "sabotage"))]
        self.next_timeout()
    }
}

/// What can be seen.
impl<N: Network> QueryEngine<N> {
    /// What a live query has cost and brought by the latest input; `None` once it has ended.
    pub fn status(&self, query: QueryId) -> Option<QueryStats> {
        let query = &self.queries[self.find(query)?];
        Some(self.stats_of(query))
    }

    /// Counters and histograms, as they stand.
    pub fn metrics(&self) -> Metrics {
        let mut metrics = self.metrics.clone();
        metrics.queries_live = self.live() as u64;
        metrics.cache_entries = self.cache.len() as u64;
        metrics.cache_bytes = self.cache.bytes() as u64;
        metrics.cache_evicted = self.cache.evicted();
        let ended = metrics.lookups_done + metrics.lookups_failed + metrics.lookups_released;
        metrics.lookups_in_flight = metrics.lookups_started - ended;
        metrics.contacts_in_flight =
            self.contacts.len() as u64 - metrics.contacts_waiting - metrics.lookups_in_flight;
        metrics.peers_known = self.peers.len() as u64;
        metrics
    }

    /// What is known of every peer, in no particular order that means anything, but the same in every
    /// run.
    pub fn peers(&self, now: Time) -> impl Iterator<Item = PeerReport<N::Peer>> + '_ {
        self.peers.reports(now.max(self.now))
    }

    /// Live queries, refreshes behind not counted.
    pub fn live(&self) -> usize {
        self.queries.len() - self.refreshes.len()
    }

    /// Whether anything is under way, refreshes behind included.
    #[cfg(feature = "futures")]
    pub(crate) fn has_work(&self) -> bool {
        self.queries.len() > 0
    }

    /// The query in whose name a contact or lookup is in flight.
    #[cfg(feature = "futures")]
    pub(crate) fn asker_of(&self, RequestId { slot, generation }: RequestId) -> Option<QueryId> {
        self.contacts.get(slot, generation).map(|contact| self.asker(contact.work))
    }

    /// What the live queries hold: all of it zero when no query lives and the outputs are drained. Looks at each
    /// query and contact to count the timers: for reports and tests, and not for every event.
    pub fn live_state(&self) -> LiveState {
        LiveState {
            queries: self.live(),
            refreshes: self.refreshes.len(),
            work: self.works.len(),
            contacts: self.contacts.len(),
            timers: self.timers_set(),
            peers_held: self.peers.held(),
            outputs: self.outputs.len(),
        }
    }

    /// What the engine was made with.
    pub fn config(&self) -> &EngineConfig {
        &self.config
    }
}

/// Who is who.
impl<N: Network> QueryEngine<N> {
    fn find(&self, id: QueryId) -> Option<u32> {
        self.by_id.find(id_hash(id), |&query| self.queries[query].id == id).copied()
    }

    fn phase(&self, RequestId { slot, generation }: RequestId) -> Option<Phase> {
        #[cfg(feature = "sabotage")]
        if let Some(phase) = self.spoil_phase(slot) {
            return Some(phase);
        }
        self.contacts.get(slot, generation).map(|contact| contact.phase)
    }

    fn request_id(&self, slot: u32) -> RequestId {
        RequestId { slot, generation: self.contacts.generation(slot) }
    }
}

/// A query id is made of random bits already, and by us.
fn id_hash(id: QueryId) -> u64 {
    let (high, low) = id.as_uuid().as_u64_pair();
    high ^ low.rotate_left(32)
}
