//! `kad::Behaviour` of libp2p-kad without a network: as a `Swarm` does, an answer is given to it as its
//! handler's event, and then it is polled until it has nothing more to say.

use std::collections::HashSet;
use std::num::NonZeroUsize;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures::task::noop_waker_ref;
use libp2p::core::transport::PortUse;
use libp2p::core::{ConnectedPoint, Endpoint};
use libp2p::kad::store::MemoryStore;
use libp2p::kad::{self, ConnectionType, KadPeer, QueryId, Record, RecordKey};
use libp2p::swarm::behaviour::ConnectionEstablished;
use libp2p::swarm::{ConnectionId, FromSwarm, NetworkBehaviour, THandlerInEvent, THandlerOutEvent, ToSwarm};
use libp2p::{Multiaddr, PeerId, StreamProtocol};

use super::contender::{Contender, Waiting};
use crate::work::{FAN_OUT, Said, World};

type Behaviour = kad::Behaviour<MemoryStore>;
type FromHandler = THandlerOutEvent<Behaviour>;
type ToHandler = THandlerInEvent<Behaviour>;

/// With more lookups each keeps one contact in flight and not three. To begin them all takes time that grows with
/// their square, and what has not been answered 10 s later is given up for lost.
const THREE_IN_FLIGHT_MAX: usize = 5_000;

/// How long they may take to begin: some of the 10 s are for the measurement.
const PATIENCE: Duration = Duration::from_secs(8);

/// Longer than the bench takes.
const DEADLINE: Duration = Duration::from_secs(3600);

pub(super) struct Kad {
    behaviour: Behaviour,
    live: HashSet<QueryId>,
    waiting: Waiting<Contact, FromHandler>,
}

#[derive(Clone)]
struct Contact {
    query: QueryId,
    peer: PeerId,
    key: RecordKey,
}

impl Kad {
    /// One that is connected to all peers, and has those in its routing table that have room there.
    pub(super) fn new(world: &World, live: usize) -> Self {
        let fan_out = if live > THREE_IN_FLIGHT_MAX { 1 } else { FAN_OUT };
        let local = PeerId::random();
        let mut config = kad::Config::new(StreamProtocol::new("/ipfs/kad/1.0.0"));
        config
            .set_parallelism(NonZeroUsize::new(fan_out).expect("it is not zero"))
            .set_query_timeout(DEADLINE)
            .set_periodic_bootstrap_interval(None)
            .set_publication_interval(None)
            .set_replication_interval(None)
            .set_provider_publication_interval(None)
            .set_caching(kad::Caching::Disabled);
        let behaviour = Behaviour::with_config(local, MemoryStore::new(local), config);
        let mut kad = Self { behaviour, live: HashSet::new(), waiting: Waiting::new() };
        let address: Multiaddr = "/ip4/127.0.0.1/tcp/1".parse().expect("an address");
        let endpoint = ConnectedPoint::Dialer {
            address: address.clone(),
            role_override: Endpoint::Dialer,
            port_use: PortUse::Reuse,
        };
        for (number, peer_id) in world.peers().enumerate() {
            kad.behaviour.on_swarm_event(FromSwarm::ConnectionEstablished(ConnectionEstablished {
                peer_id,
                connection_id: ConnectionId::new_unchecked(number),
                endpoint: &endpoint,
                failed_addresses: &[],
                other_established: 0,
            }));
            kad.behaviour.add_address(&peer_id, address.clone());
        }
        kad.poll();
        kad
    }

    fn poll(&mut self) {
        let mut cx = Context::from_waker(noop_waker_ref());
        while let Poll::Ready(event) = self.behaviour.poll(&mut cx) {
            match event {
                ToSwarm::NotifyHandler {
                    peer_id: peer,
                    event: ToHandler::GetRecord { key, query_id: query },
                    ..
                } => {
                    self.waiting.in_flight.push(Contact { query, peer, key });
                }
                ToSwarm::GenerateEvent(kad::Event::OutboundQueryProgressed { id, result, step, .. }) => {
                    std::hint::black_box(result);
                    if step.last {
                        self.live.remove(&id);
                    }
                }
                _ => {}
            }
        }
    }
}

impl Contender for Kad {
    fn fill(&mut self, world: &mut World, live: usize) -> bool {
        let began = Instant::now();
        while self.live.len() < live {
            if began.elapsed() > PATIENCE {
                return false;
            }
            // Few at a time: no call of `poll` is to take long.
            for _ in 0..(live - self.live.len()).min(100) {
                let question = world.question();
                let query = self.behaviour.get_record(RecordKey::new(&question.to_le_bytes()));
                self.live.insert(query);
            }
            self.poll();
        }
        true
    }

    fn prepare(&mut self, world: &mut World, count: usize) {
        let live = &self.live;
        self.waiting.prepare(
            world,
            count,
            |contact| live.contains(&contact.query),
            |Contact { query, peer, key }, world| {
                let question = key.as_ref().try_into().expect("a key is made of a question's bytes");
                let Said { item, closer } = world.answer(u64::from_le_bytes(question), peer);
                FromHandler::GetRecordRes {
                    record: item.map(|item| Record::new(key.clone(), item.value.to_vec())),
                    closer_peers: closer.into_iter().map(known_peer).collect(),
                    query_id: *query,
                }
            },
        );
    }

    fn answer(&mut self) -> u64 {
        let mut prepared = std::mem::take(&mut self.waiting.prepared);
        let mut answered = 0;
        for (Contact { query, peer, .. }, answer) in prepared.drain(..) {
            if !self.live.contains(&query) {
                continue;
            }
            self.behaviour.on_connection_handler_event(peer, ConnectionId::new_unchecked(0), answer);
            self.poll();
            answered += 1;
        }
        self.waiting.prepared = prepared;
        answered
    }

    fn kept_by_bench(&self) -> usize {
        self.waiting.bytes() + self.live.capacity() * size_of::<QueryId>()
    }
}

/// Its addresses are left out: ours are kept elsewhere, once for all queries.
fn known_peer(node_id: PeerId) -> KadPeer {
    KadPeer { node_id, multiaddrs: Vec::new(), connection_ty: ConnectionType::Connected }
}
