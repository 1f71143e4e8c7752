//! The behaviour: who is asked when, over which connection, and what became of it.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use dragnet_core::Failure;
use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::swarm::behaviour::{ConnectionClosed, ConnectionEstablished, DialFailure};
use libp2p::swarm::dial_opts::DialOpts;
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, DialError, FromSwarm, NetworkBehaviour, NotifyHandler, THandler,
    THandlerInEvent, THandlerOutEvent, ToSwarm,
};
use libp2p::{Multiaddr, PeerId};

use super::handler::{Ending, FromHandler, Handler, Start, Ticket, ToHandler};
use super::inbound::{Question, Server};
use super::queue::{Dial, Peer};
use super::{ADDRESSES_MAX, Config, Counts, Event, Outgoing};

/// How many addresses of all waiting requests together are dialled at once.
const DIALLED_MAX: usize = 64;

/// How often a request is put into the queue again because the peer had too many streams: the last time it goes
/// alone, and what is dropped then is refused.
const CONGESTED_MAX: u8 = 2;

/// Asks peers questions and hands up theirs.
///
/// Feed it with [`ask`](Self::ask) and [`cancel`](Self::cancel), which only note the work, and poll it
/// as a part of a swarm, which yields an [`Event`] for every request that ends. Its tables are bounded
/// by what is asked: it keeps nothing of a request that has ended, nor of a peer that is neither
/// connected nor asked.
pub struct Behaviour {
    config: Config,
    server: Option<Arc<Server>>,
    /// Looked up, never iterated where the order could show.
    peers: HashMap<PeerId, Peer>,
    /// The requests that have not ended, by id. Looked up, never iterated.
    requests: HashMap<u64, Request>,
    events: VecDeque<ToSwarm<Event, ToHandler>>,
    next_order: u64,
    next_ticket: u64,
    waker: Option<Waker>,
}

/// A request that has not ended.
struct Request {
    outgoing: Outgoing,
    asked_at: Instant,
    /// Its place in the queue, kept when it is tried again.
    order: u64,
    in_flight: Option<InFlight>,
    /// How often a local failure has been made good.
    retries: u8,
}

#[derive(Clone, Copy)]
struct InFlight {
    connection: ConnectionId,
    ticket: Ticket,
    queued: Duration,
}

impl Request {
    fn queued(&self) -> Duration {
        self.in_flight.map_or_else(|| self.asked_at.elapsed(), |in_flight| in_flight.queued)
    }
}

impl Behaviour {
    /// A behaviour that asks nothing yet.
    pub fn new(config: Config) -> Self {
        let server = config.serve.clone().map(|serve| Arc::new(Server::new(config.fetch.clone(), serve)));
        Self {
            config,
            server,
            peers: HashMap::new(),
            requests: HashMap::new(),
            events: VecDeque::new(),
            next_order: 0,
            next_ticket: 0,
            waker: None,
        }
    }

    /// Its settings.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Asks a peer: at once if it is connected and has fewer than
    /// [`in_flight_max`](Config::in_flight_max) in flight, else when its turn comes. A peer that is not
    /// connected is dialled, once for all requests that wait for it.
    ///
    /// Returns whether the request was accepted. `false` says that another with its id has not ended;
    /// nothing has changed then. Whatever else is wrong is told by an [`Event::Failed`].
    pub fn ask(&mut self, mut outgoing: Outgoing) -> bool {
        let Outgoing { id, peer: peer_id, .. } = outgoing;
        if self.requests.contains_key(&id) {
            tracing::debug!(id, "request not accepted: its id is in use");
            return false;
        }
        outgoing.addresses.truncate(ADDRESSES_MAX);
        let order = self.next_order;
        self.next_order += 1;
        let request = Request { outgoing, asked_at: Instant::now(), order, in_flight: None, retries: 0 };
        self.requests.insert(id, request);
        let max = self.config.in_flight_max;
        let peer = self.peers.entry(peer_id).or_insert_with(|| Peer::new(max));
        // The queue's bound is for what waits: where there is room in flight, nothing does.
        let waits = !peer.is_connected() || peer.is_full();
        if waits && peer.waiting_count() >= self.config.queued_max {
            tracing::debug!(id, %peer_id, max = self.config.queued_max, "request refused: the queue is full");
            self.fail(id, Failure::Local);
        } else {
            peer.enqueue(order, id);
        }
        self.advance(peer_id);
        self.wake();
        true
    }

    /// Withdraws a request: no event follows for it, and its stream is reset. Returns `false` if no
    /// such request is waiting or in flight; an event that ends it may then be on its way.
    pub fn cancel(&mut self, id: u64) -> bool {
        let Some(request) = self.requests.remove(&id) else { return false };
        let peer_id = request.outgoing.peer;
        if let Some(peer) = self.peers.get_mut(&peer_id) {
            match request.in_flight {
                None => peer.dequeue(request.order),
                Some(InFlight { connection, ticket, .. }) => {
                    peer.end(connection, ticket);
                    self.notify(peer_id, connection, ToHandler::Withdraw(ticket));
                }
            }
        }
        self.advance(peer_id);
        self.wake();
        true
    }

    /// Whether the peer is connected.
    pub fn is_connected(&self, peer: &PeerId) -> bool {
        self.peers.get(peer).is_some_and(Peer::is_connected)
    }

    /// How much is held at the moment. Walks the peers that are connected or asked.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts { events: self.events.len(), ..Counts::default() };
        for peer in self.peers.values() {
            counts.queued += peer.waiting_count();
            counts.in_flight += peer.in_flight_count();
            counts.connections += peer.connection_count();
            counts.dialling += usize::from(!matches!(peer.dial, Dial::No));
        }
        counts
    }

    /// Whether nothing is asked, in flight, being dialled or waiting to be collected.
    pub fn is_idle(&self) -> bool {
        let counts = self.counts();
        self.requests.is_empty() && counts == Counts { connections: counts.connections, ..Counts::default() }
    }

    /// Does for a peer whatever may be done now: puts waiting requests in flight, dials, forgets it.
    fn advance(&mut self, peer_id: PeerId) {
        let Some(peer) = self.peers.get_mut(&peer_id) else { return };
        let mut launched = Vec::new();
        while let Some((id, connection)) = peer.launch(Ticket(self.next_ticket)) {
            launched.push((id, connection, Ticket(self.next_ticket)));
            self.next_ticket += 1;
        }
        if peer.waiting_count() > 0 && !peer.is_connected() && matches!(peer.dial, Dial::No) {
            let opts = DialOpts::peer_id(peer_id).build();
            tracing::debug!(%peer_id, "dialling");
            peer.dial = Dial::Ours { connection: opts.connection_id(), tried: BTreeSet::new() };
            self.events.push_back(ToSwarm::Dial { opts });
        }
        if peer.is_empty() {
            self.peers.remove(&peer_id);
        }
        for (id, connection, ticket) in launched {
            self.start(id, connection, ticket);
        }
    }

    fn start(&mut self, id: u64, connection: ConnectionId, ticket: Ticket) {
        let request = self.requests.get_mut(&id).expect("what waits has not ended");
        let queued = request.asked_at.elapsed();
        request.in_flight = Some(InFlight { connection, ticket, queued });
        if request.retries == 0 {
            self.events.push_back(ToSwarm::GenerateEvent(Event::Sent { id }));
        }
        let outgoing = &request.outgoing;
        let start = Start {
            ticket,
            protocol: outgoing.protocol.clone(),
            payload: outgoing.payload.clone(),
            timeout: outgoing.timeout,
            response_bytes_max: outgoing.response_bytes_max,
        };
        tracing::debug!(id, peer = %outgoing.peer, protocol = %outgoing.protocol, ?queued, "asking");
        let peer_id = outgoing.peer;
        self.notify(peer_id, connection, ToHandler::Start(start));
    }

    /// Ends a request that is in no queue.
    fn fail(&mut self, id: u64, failure: Failure) {
        let Some(request) = self.requests.remove(&id) else { return };
        let (peer, queued) = (request.outgoing.peer, request.queued());
        tracing::debug!(id, %peer, ?failure, ?queued, "request failed");
        self.events.push_back(ToSwarm::GenerateEvent(Event::Failed { id, peer, failure, queued }));
    }

    /// Puts a request back into its peer's queue, unless that has been done so often before.
    fn retry(&mut self, id: u64, retries_max: u8) -> bool {
        let may_retry = |request: &&mut Request| request.retries < retries_max;
        let Some(request) = self.requests.get_mut(&id).filter(may_retry) else { return false };
        tracing::debug!(id, peer = %request.outgoing.peer, "trying again");
        request.retries += 1;
        request.in_flight = None;
        let Some(peer) = self.peers.get_mut(&request.outgoing.peer) else { return false };
        peer.enqueue(request.order, id);
        true
    }

    fn notify(&mut self, peer_id: PeerId, connection: ConnectionId, event: ToHandler) {
        let handler = NotifyHandler::One(connection);
        self.events.push_back(ToSwarm::NotifyHandler { peer_id, handler, event });
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// An attempt is over; at its busiest, `others` were in flight to the peer beside it.
    fn on_ended(&mut self, peer_id: PeerId, id: u64, ending: Ending, others: usize) {
        let failure = match ending {
            Ending::Answered(answer) => {
                let Some(request) = self.requests.remove(&id) else { return };
                if let Some(peer) = self.peers.get_mut(&peer_id) {
                    peer.answered();
                }
                let queued = request.queued();
                tracing::debug!(id, %peer_id, bytes = answer.len(), ?queued, "answered");
                let event = Event::Answered { id, peer: peer_id, answer, queued };
                self.events.push_back(ToSwarm::GenerateEvent(event));
                return;
            }
            Ending::CutOff { asked } => {
                // A server with too many streams open drops the newest, usually before it can be
                // written to; a refusal comes later. Alone in flight, a stream was not one too many.
                let many = if asked { self.peers.get(&peer_id).map_or(usize::MAX, Peer::many) } else { 1 };
                if others >= many && self.retry(id, CONGESTED_MAX) {
                    let is_last = self.requests.get(&id).is_some_and(|it| it.retries == CONGESTED_MAX);
                    if let Some(peer) = self.peers.get_mut(&peer_id) {
                        peer.congested(is_last);
                    }
                    return;
                }
                Failure::Refused
            }
            Ending::Failed(failure) => failure,
            Ending::Withdrawn => Failure::Local,
        };
        self.fail(id, failure);
    }

    fn on_connected(&mut self, peer_id: PeerId, connection: ConnectionId) {
        let max = self.config.in_flight_max;
        let peer = self.peers.entry(peer_id).or_insert_with(|| Peer::new(max));
        peer.connected(connection);
        peer.dial = Dial::No;
        self.advance(peer_id);
    }

    fn on_disconnected(&mut self, peer_id: PeerId, connection: ConnectionId) {
        let Some(peer) = self.peers.get_mut(&peer_id) else { return };
        // The handler has reported those whose question may have been read. The others crossed with
        // the closing and may be asked elsewhere.
        for id in peer.disconnected(connection) {
            if !self.retry(id, 1) {
                self.fail(id, Failure::Closed);
            }
        }
        self.advance(peer_id);
    }

    fn on_dial_failure(&mut self, peer_id: PeerId, connection: ConnectionId, error: &DialError) {
        let Some(peer) = self.peers.get_mut(&peer_id) else { return };
        match &mut peer.dial {
            Dial::Ours { connection: ours, .. } if *ours != connection => return,
            Dial::No => return,
            Dial::Ours { .. } if matches!(error, DialError::DialPeerConditionFalse(_)) => {
                peer.dial = if peer.is_connected() { Dial::No } else { Dial::Theirs };
            }
            Dial::Ours { tried, .. } => {
                let tried = std::mem::take(tried);
                peer.dial = Dial::No;
                self.fail_dialled(peer_id, &tried, error);
            }
            // Somebody else was told that the peer is being dialled.
            Dial::Theirs if matches!(error, DialError::DialPeerConditionFalse(_)) => return,
            // Their addresses need not have been ours.
            Dial::Theirs => peer.dial = Dial::No,
        }
        self.advance(peer_id);
    }

    /// Ends the requests of a peer that could not be dialled, but for those that came with an address
    /// while it was and may fare better.
    fn fail_dialled(&mut self, peer_id: PeerId, tried: &BTreeSet<Multiaddr>, error: &DialError) {
        let (failure, all) = match error {
            // Connection limits, or the swarm is going away: another address would fare no better.
            DialError::Denied { .. } | DialError::Aborted => (Failure::Local, true),
            _ => (Failure::Unreachable, false),
        };
        let Some(peer) = self.peers.get_mut(&peer_id) else { return };
        let waiting: Vec<u64> = peer.waiting().collect();
        tracing::debug!(%peer_id, %error, requests = waiting.len(), "not dialled");
        for id in waiting {
            let Some(request) = self.requests.get(&id) else { continue };
            if all || request.outgoing.addresses.iter().all(|address| tried.contains(address)) {
                if let Some(peer) = self.peers.get_mut(&peer_id) {
                    peer.dequeue(request.order);
                }
                self.fail(id, failure);
            }
        }
    }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = Handler;
    type ToSwarm = Event;

    /// The addresses that waiting requests gave for the peer.
    fn handle_pending_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer_id: Option<PeerId>,
        _: &[Multiaddr],
        _: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        let Some(peer) = peer_id.and_then(|peer_id| self.peers.get_mut(&peer_id)) else {
            return Ok(Vec::new());
        };
        let mut distinct = BTreeSet::new();
        let mut addresses = Vec::new();
        let offered = peer.waiting().filter_map(|id| self.requests.get(&id));
        for address in offered.flat_map(|request| &request.outgoing.addresses) {
            if addresses.len() == DIALLED_MAX {
                break;
            }
            if distinct.insert(address.clone()) {
                addresses.push(address.clone());
            }
        }
        match &mut peer.dial {
            Dial::Ours { connection: ours, tried } if *ours == connection => *tried = distinct,
            _ => {}
        }
        Ok(addresses)
    }

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(Handler::new(self.server.clone()))
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(Handler::new(self.server.clone()))
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionEstablished(ConnectionEstablished { peer_id, connection_id, .. }) => {
                self.on_connected(peer_id, connection_id);
            }
            FromSwarm::ConnectionClosed(ConnectionClosed { peer_id, connection_id, .. }) => {
                self.on_disconnected(peer_id, connection_id);
            }
            FromSwarm::DialFailure(DialFailure { peer_id: Some(peer_id), error, connection_id }) => {
                self.on_dial_failure(peer_id, connection_id, error);
            }
            _ => {}
        }
    }

    fn on_connection_handler_event(
        &mut self,
        peer_id: PeerId,
        connection: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        let Some(peer) = self.peers.get_mut(&peer_id) else { return };
        match event {
            FromHandler::Ended { ticket, ending, freed } => {
                let ended = peer.end(connection, ticket);
                if freed {
                    peer.free(connection, ticket);
                }
                if let Some((id, others)) = ended {
                    self.on_ended(peer_id, id, ending, others);
                }
            }
            FromHandler::Freed(ticket) => peer.free(connection, ticket),
            FromHandler::Question(Question { question, items_max, responder }) => {
                let event = Event::Question { peer: peer_id, question, items_max, responder };
                self.events.push_back(ToSwarm::GenerateEvent(event));
            }
        }
        self.advance(peer_id);
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ToSwarm<Event, THandlerInEvent<Self>>> {
        if let Some(event) = self.events.pop_front() {
            return Poll::Ready(event);
        }
        self.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl fmt::Debug for Behaviour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Behaviour").field("config", &self.config).field("counts", &self.counts()).finish()
    }
}
