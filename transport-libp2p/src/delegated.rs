//! Delegated lookups: libp2p-kad walks, the engine is told what it finds.
//!
//! libp2p-kad's events do not say which peer named a provider, where the providers are, or to whom an
//! announcement went. Its connection handlers do, and all they say passes through our hands; so some of
//! it is read in passing ([`Behaviour::overhear`], [`Behaviour::overhear_order`]).

use dragnet_core::front::{Event, Lookup};
use dragnet_core::{Failure, LookupTotals, Reply, RequestId};
use libp2p::PeerId;
use libp2p::kad::{
    self, GetClosestPeersError, GetClosestPeersOk, GetProvidersOk, GetRecordOk, QueryId, QueryResult,
    QueryStats, RecordKey,
};
use libp2p::swarm::{THandlerInEvent, THandlerOutEvent};

use crate::behaviour::{Behaviour, Event as Passed};
use crate::config::Walks;
use crate::network::{Answer, Ask, Libp2p};
use crate::store::Store;
use crate::turns::{Run, Task};

pub(crate) type Kad = kad::Behaviour<Store>;

/// What Kademlia tells its connection handlers. The enum has no public name but this.
pub(crate) type KadOrder = THandlerInEvent<Kad>;

/// What Kademlia's connection handlers tell it.
pub(crate) type KadNews = THandlerOutEvent<Kad>;

impl Behaviour {
    /// Queues a lookup of the engine's.
    pub(crate) fn lookup(&mut self, lookup: Lookup<Libp2p>) {
        let Lookup { request, ask, .. } = lookup;
        let Some(key) = ask.key() else {
            self.tell(Event::Failure { request, failure: Failure::Unsupported });
            return;
        };
        if ask.walks() == Walks::Driven {
            return self.look_at_home(request, &key.clone(), &ask);
        }
        self.turns.wait(Task::Lookup { request, ask });
    }

    /// Starts what waits, as far as there is room. Returns whether anything was started.
    pub(crate) fn start_turns(&mut self) -> bool {
        let mut started = false;
        while let Some(task) = self.turns.next() {
            started = true;
            match task {
                Task::Lookup { request, ask } => self.start_lookup(request, ask),
                Task::Put { record, reply } => self.start_put(record, reply),
                Task::PutAgain { key } => {
                    if let Some(record) = self.own_record(&key) {
                        self.start_put(record, None);
                    } else {
                        self.published.forget(&key);
                    }
                }
                Task::Announce { key } => self.start_announcement(key),
            }
        }
        started
    }

    fn start_lookup(&mut self, request: RequestId, ask: Ask) {
        let kad = &mut self.inner.kad;
        let id = match &ask {
            Ask::Get { key, .. } => kad.get_record(key.clone()),
            Ask::Providers { key, .. } | Ask::Search { key, .. } => kad.get_providers(key.clone()),
            Ask::Closest { key } => kad.get_n_closest_peers(key.to_vec(), self.config.replication),
            Ask::Fetch { .. } => {
                self.tell(Event::Failure { request, failure: Failure::Unsupported });
                return;
            }
        };
        self.turns.run(id, Run::Lookup { request, ask });
    }

    /// Ends a lookup that nobody wants any more; `false` if there is none of this name.
    pub(crate) fn release_lookup(&mut self, request: RequestId) {
        if let Some(id) = self.turns.release(request) {
            self.finish(&id);
        }
    }

    /// Ends one of Kademlia's queries. It says so by a last event.
    pub(crate) fn finish(&mut self, id: &QueryId) {
        if let Some(mut query) = self.inner.kad.query_mut(id) {
            query.finish();
        }
    }

    /// Reads what a peer's handler tells Kademlia.
    pub(crate) fn overhear(&mut self, peer: PeerId, news: &KadNews) {
        match news {
            KadNews::GetProvidersRes { provider_peers, closer_peers, query_id } => {
                let Some(Run::Lookup { request, ask }) = self.turns.running(query_id) else { return };
                let (request, ask) = (*request, ask.clone());
                self.read_addresses(&peer, closer_peers);
                self.read_addresses(&peer, provider_peers);
                let providers = provider_peers.iter().map(|provider| provider.node_id);
                self.tell_providers(request, &ask, Some(peer), providers);
            }
            KadNews::GetRecordRes { closer_peers, .. } => self.read_addresses(&peer, closer_peers),
            KadNews::FindNodeRes { query_id, closer_peers } => {
                // Of libp2p-kad's own queries too: of what it is told, only what is believed is dialled.
                self.read_addresses(&peer, closer_peers);
                self.bootstrap_answered(query_id);
            }
            KadNews::QueryError { query_id, error } => {
                self.bootstrap_refused(query_id, peer, error);
                // Before the announcement comes a lookup, whose failures are no news to anybody.
                if let Some(Run::Announce { told, failed, .. }) = self.turns.running(query_id)
                    && told.contains(&peer)
                {
                    failed.push(peer);
                }
            }
            _ => {}
        }
    }

    fn read_addresses(&mut self, teller: &PeerId, peers: &[kad::KadPeer]) {
        self.addresses.read_reply(teller, peers.iter().map(|peer| (peer.node_id, &peer.multiaddrs)));
    }

    /// Reads what Kademlia tells a peer's handler.
    pub(crate) fn overhear_order(&mut self, peer: PeerId, order: &KadOrder) {
        if let KadOrder::AddProvider { query_id, .. } = order
            && let Some(Run::Announce { told, .. }) = self.turns.running(query_id)
        {
            told.push(peer);
        }
    }

    /// Takes an event of Kademlia's, or hands it back if it is none of ours.
    pub(crate) fn on_kad_event(&mut self, event: kad::Event) -> Option<Passed> {
        match event {
            kad::Event::OutboundQueryProgressed { id, result, stats, step } => {
                self.on_progress(id, result, &stats, step.last);
                None
            }
            event => {
                if let kad::Event::RoutingUpdated { peer, old_peer, .. } = &event
                    && let Some(driver) = &mut self.driver
                {
                    driver.transport_mut().routing_updated(*peer, old_peer.as_ref());
                }
                if matches!(event, kad::Event::RoutingUpdated { .. }) {
                    self.provided.routing_updated();
                }
                Some(Passed::Kad(Box::new(event)))
            }
        }
    }

    fn on_progress(&mut self, id: QueryId, result: QueryResult, stats: &QueryStats, last: bool) {
        if let QueryResult::Bootstrap(_) = result {
            self.bootstrap_progressed(&id, stats);
            return;
        }
        match self.turns.running(&id) {
            Some(Run::Lookup { request, ask }) => {
                let (request, ask) = (*request, ask.clone());
                self.on_lookup(request, &ask, result, stats, last);
                if last {
                    self.turns.end(&id);
                }
            }
            Some(Run::Released) if last => drop(self.turns.end(&id)),
            // Kademlia says so before it has handed out all that it tells the peers.
            Some(Run::Announce { .. }) if last => self.settling.push((id, result)),
            Some(Run::Find { .. } | Run::Store { .. }) if last => self.end_publication(&id, result),
            // Not ours: Kademlia refreshes its table and puts records again by itself.
            _ => {}
        }
    }

    /// Ends the announcements of which all has been overheard: Kademlia has nothing more to hand out.
    pub(crate) fn settle(&mut self) {
        for (id, result) in std::mem::take(&mut self.settling) {
            self.end_publication(&id, result);
        }
    }

    fn end_publication(&mut self, id: &QueryId, result: QueryResult) {
        if let Some(run) = self.turns.end(id) {
            self.on_published(run, result);
        }
    }

    fn on_lookup(
        &mut self,
        request: RequestId,
        ask: &Ask,
        result: QueryResult,
        stats: &QueryStats,
        last: bool,
    ) {
        match result {
            QueryResult::GetRecord(Ok(GetRecordOk::FoundRecord(found))) => {
                let mut reply = Reply::default();
                if ask.key() == Some(&found.record.key) {
                    reply.items.push(Answer::Record(found.record));
                } else {
                    reply.invalid = 1;
                }
                self.tell(Event::Progress { request, from: found.peer, reply });
            }
            // Those that peers name were overheard already, with who named them. No request was made for
            // those in our own store.
            QueryResult::GetProviders(Ok(GetProvidersOk::FoundProviders { providers, .. }))
                if stats.num_requests() == 0 =>
            {
                self.tell_providers(request, ask, None, providers.into_iter());
            }
            QueryResult::GetClosestPeers(result) => {
                let (Ok(GetClosestPeersOk { peers, .. }) | Err(GetClosestPeersError::Timeout { peers, .. })) =
                    result;
                let items = peers.into_iter().map(|peer| Answer::Peer(peer.peer_id)).collect();
                self.tell(Event::Progress { request, from: None, reply: Reply::with_items(items) });
            }
            _ => {}
        }
        if last {
            // A timeout too ends a lookup that has told what it found, and has its costs.
            self.tell(Event::Done { request, totals: totals(stats) });
        }
    }

    fn tell_providers(
        &mut self,
        request: RequestId,
        ask: &Ask,
        from: Option<PeerId>,
        providers: impl Iterator<Item = PeerId>,
    ) {
        let reply = ask.found(providers);
        self.tell(Event::Progress { request, from, reply });
    }

    /// Hands an event to the driver. Without a driver nobody asks any more.
    pub(crate) fn tell(&mut self, event: Event<Libp2p>) {
        if let Some(driver) = &mut self.driver {
            driver.transport_mut().push(event);
        }
    }

    /// Looks for the peers closest to a key, for a put.
    pub(crate) fn find_closest(&mut self, key: &RecordKey) -> QueryId {
        self.inner.kad.get_n_closest_peers(key.to_vec(), self.config.replication)
    }
}

fn totals(stats: &QueryStats) -> LookupTotals {
    LookupTotals {
        contacted: stats.num_requests(),
        replied: stats.num_successes(),
        failed: stats.num_failures(),
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll};

    use dragnet_core::front::Transport;
    use futures::task::noop_waker;

    use super::*;
    use crate::network::provider_key;

    #[test]
    fn a_lookup_that_timed_out_tells_what_it_has_cost() {
        let (mut behaviour, _client) = Behaviour::new(PeerId::random(), crate::Config::default());
        let key = provider_key(b"fruit");
        let id = behaviour.inner.kad.get_providers(key.clone());
        let stats = *behaviour.inner.kad.query(&id).expect("it was just started").stats();
        let result = QueryResult::GetProviders(Err(kad::GetProvidersError::Timeout {
            key: key.clone(),
            closest_peers: Vec::new(),
        }));
        let request = RequestId::from_u64(1);
        behaviour.on_lookup(request, &Ask::Providers { key, walks: Walks::Delegated }, result, &stats, true);
        let waker = noop_waker();
        let driver = behaviour.driver.as_mut().expect("it was not polled");
        let told = driver.transport_mut().poll_event(&mut Context::from_waker(&waker));
        assert!(matches!(told, Poll::Ready(Event::Done { totals, .. }) if totals == super::totals(&stats)));
    }
}
