//! The behaviour: where the driver, Kademlia and the exchange meet.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use async_channel::Sender;
use dragnet_core::front::{self, Contact, Driver, Event as Told, FrontConfig};
use dragnet_core::{Failure, Reply, RequestId, Step};
use futures::Stream;
use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::identity::Keypair;
use libp2p::kad;
use libp2p::swarm::behaviour::DialFailure;
use libp2p::swarm::derive_prelude::{ConnectionHandlerSelect, Either};
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent, THandlerOutEvent,
    ToSwarm,
};
use libp2p::{Multiaddr, PeerId, identify};

use crate::addresses::{self, Addresses};
use crate::bootstrap::Joining;
use crate::client::{Channels, Client, Command, Snapshot};
use crate::config::Config;
use crate::delegated::Kad;
use crate::driven::Steps;
use crate::exchange;
use crate::listening::Listening;
use crate::network::{Answer, Libp2p};
use crate::publish::{Provided, Published};
use crate::serve::Question;
use crate::store::Store;
use crate::transport::{Order, Wire};
use crate::turns::Turns;
use crate::watch::{Watch, Watched};

/// Rounds of one poll. In a round the driver does its own bounded work, and Kademlia and the exchange do
/// what it ordered; what is left is done in the next poll, and others get their turn in between.
const ROUNDS_PER_POLL: usize = 16;

/// Events of Kademlia and the exchange that are taken before the driver is polled.
const EVENTS_PER_ROUND: usize = 64;

/// Commands of clients that are taken in one round.
const COMMANDS_PER_ROUND: usize = 64;

/// Dragnet as a [`NetworkBehaviour`]: Kademlia, the fetch protocol and the query engine.
///
/// It goes into your own `#[derive(NetworkBehaviour)]`, beside whatever else your swarm does, on any
/// executor or none. All its work is done while the swarm is polled. The [`Client`] that comes with it
/// asks, publishes and answers, from any thread.
///
/// Identify is not in it, because your swarm has its own: hand what it receives to
/// [`handle_identify`](Self::handle_identify). Without it, peers that connect to this one never become
/// known with their addresses.
///
/// ```
/// use dragnet_libp2p::{Behaviour, Client, Config};
/// use libp2p::identity::Keypair;
/// use libp2p::swarm::NetworkBehaviour;
/// use libp2p::{PeerId, identify};
///
/// #[derive(NetworkBehaviour)]
/// #[behaviour(prelude = "libp2p::swarm::derive_prelude")]
/// struct Mine {
///     dragnet: Behaviour,
///     identify: identify::Behaviour,
/// }
///
/// fn mine(keypair: &Keypair) -> (Mine, Client) {
///     let local = keypair.public().to_peer_id();
///     let (dragnet, client) = Behaviour::new(local, Config::default());
///     let config = identify::Config::new("/mine/id/1.0.0".to_string(), keypair.public());
///     (Mine { dragnet, identify: identify::Behaviour::new(config) }, client)
/// }
///
/// /// To be called with every event of the swarm's behaviours.
/// fn on_event(mine: &mut Mine, event: MineEvent) {
///     if let MineEvent::Identify(identify::Event::Received { peer_id, info, .. }) = event {
///         mine.dragnet.handle_identify(peer_id, &info);
///     }
/// }
/// ```
pub struct Behaviour {
    pub(crate) inner: Inner,
    pub(crate) config: Config,
    pub(crate) local: PeerId,
    /// `None` once it has returned.
    pub(crate) driver: Option<Driver<Wire>>,
    pub(crate) turns: Turns,
    /// Announcements that Kademlia has ended.
    pub(crate) settling: Vec<(kad::QueryId, kad::QueryResult)>,
    pub(crate) provided: Provided,
    pub(crate) published: Published,
    pub(crate) joining: Joining,
    pub(crate) addresses: Addresses,
    pub(crate) steps: Steps,
    listening: Listening,
    pub(crate) channels: Channels,
    /// Addresses to confirm or to take back, in the order in which they came and went.
    confirmations: VecDeque<ToSwarm<Event, THandlerInEvent<Inner>>>,
    /// Events since the driver was polled last: it gets its turn even when there is no end of them.
    unattended: usize,
    shutting_down: bool,
    /// `None` as long as nobody wants to see what is held.
    pub(crate) watch: Option<Watch>,
}

/// What happens in the DHT beside our own lookups, for whoever wants to look.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// An event of the Kademlia behaviour: requests of others, changes of the routing table.
    Kad(Box<kad::Event>),
}

#[derive(NetworkBehaviour)]
#[behaviour(prelude = "libp2p::swarm::derive_prelude")]
pub(crate) struct Inner {
    pub(crate) kad: Kad,
    pub(crate) exchange: exchange::Behaviour,
}

impl Behaviour {
    /// A behaviour for the peer of this id, and the client that asks by it.
    pub fn new(local: PeerId, config: Config) -> (Self, Client) {
        let front =
            FrontConfig::default().with_engine(config.engine.clone()).with_commands_max(config.commands_max);
        let seed = config.seed.unwrap_or_else(random_seed);
        let (core, driver) =
            front::with_config(front, Wire::default(), front::SystemClock::new(), local, seed);
        let (client, channels) = Client::new(core, local, &config);
        let store = Store::new(local, config.store.clone());
        let mut kad = kad::Behaviour::with_config(local, store, config.kad());
        kad.set_mode(config.mode);
        let behaviour = Self {
            inner: Inner { kad, exchange: exchange::Behaviour::new(config.exchange.clone()) },
            local,
            driver: Some(driver),
            turns: Turns::new(config.lookups_max),
            settling: Vec::new(),
            provided: Provided::default(),
            published: Published::default(),
            joining: Joining::default(),
            addresses: Addresses::new(config.addresses_max, config.address_filter),
            steps: Steps::default(),
            listening: Listening::default(),
            channels,
            confirmations: VecDeque::new(),
            unattended: 0,
            shutting_down: false,
            watch: None,
            config,
        };
        (behaviour, client)
    }

    /// Records what the query engine is told from now on; see [`recorder`](crate::recorder). Until the behaviour is
    /// dropped or shut down.
    #[cfg(feature = "record")]
    pub fn record(&mut self, recorder: dragnet_core::record::Recorder<Libp2p>) {
        if let Some(driver) = &mut self.driver {
            driver.record(recorder);
        }
    }

    /// Tells where a peer of the DHT can be dialled. It is also where every
    /// [`bootstrap`](Client::bootstrap) begins.
    pub fn add_address(&mut self, peer: PeerId, address: Multiaddr) {
        self.addresses.add(peer, address.clone());
        self.inner.kad.add_address(&peer, address.clone());
        self.joining.keep(peer, address);
    }

    /// Hands in what identify has received from a peer. If it speaks our Kademlia protocol, its addresses
    /// are remembered, and it becomes a candidate for the routing table; otherwise nothing happens.
    pub fn handle_identify(&mut self, peer: PeerId, info: &identify::Info) {
        if !info.protocols.contains(&self.config.kad_protocol) {
            return;
        }
        for address in self.addresses.identified(&peer, info) {
            self.inner.kad.add_address(&peer, address.clone());
            self.addresses.add(peer, address);
        }
        addresses::trim_entry(&mut self.inner.kad, peer, &info.listen_addrs);
    }

    /// Whether [`Client::shutdown`] was called, and every query has ended.
    pub const fn is_shut_down(&self) -> bool {
        self.shutting_down && self.driver.is_none()
    }

    /// Takes what tells clients that all is over, when it is dropped.
    pub(crate) fn take_alive(&mut self) -> Option<Sender<()>> {
        self.channels.alive.take()
    }

    /// Peers in the routing table.
    pub(crate) fn known(&self) -> usize {
        self.driver.as_ref().map_or(0, |driver| driver.transport().known())
    }

    /// Takes what clients want, lets the driver run, and starts what it ordered. Returns whether there is
    /// anything for Kademlia and the exchange to do.
    fn advance(&mut self, cx: &mut Context<'_>) -> bool {
        let mut moved = self.take_commands(cx);
        self.shut_down_if_asked();
        moved |= self.poll_driver(cx);
        moved |= self.announce_due(cx);
        self.poll_joining(cx);
        moved | self.start_turns()
    }

    fn poll_driver(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(driver) = &mut self.driver else { return false };
        let over = driver.poll(cx).is_ready();
        let orders = driver.transport_mut().take_orders();
        let moved = over || !orders.is_empty();
        for order in orders {
            match order {
                Order::Contact(contact) => self.contact(contact),
                Order::Lookup(lookup) => self.lookup(lookup),
                Order::Release(request) => {
                    self.release_lookup(request);
                    // Not both: an id names one request. Neither: it has ended meanwhile.
                    self.steps.forget(request);
                    self.inner.exchange.cancel(request.as_u64());
                }
            }
        }
        if over {
            self.driver = None;
            if self.shutting_down {
                self.channels.alive = None;
            }
        }
        moved
    }

    fn contact(&mut self, contact: Contact<Libp2p>) {
        let Contact { request, peer, step, ask, .. } = contact;
        let failure = match (step, ask.question()) {
            (Step::Fetch, Some(question)) => self.fetch(request, peer, question).err(),
            // A question for single peers is no question for the DHT, and the other way round.
            (Step::Fetch, None) => Some(Failure::Unsupported),
            (Step::Route(_), _) => self.step(request, peer, &ask).err(),
        };
        if let Some(failure) = failure {
            self.tell(Told::Failure { request, failure });
        }
    }

    fn fetch(&mut self, request: RequestId, peer: PeerId, question: &[u8]) -> Result<(), Failure> {
        let exchange = &mut self.inner.exchange;
        let timeout = self.config.fetch_timeout;
        // Where the peer is, `handle_pending_outbound_connection` says when it has to be dialled.
        let outgoing = exchange
            .config()
            .fetch
            .outgoing(request.as_u64(), peer, Vec::new(), question, 0, timeout)
            .map_err(|error| {
                tracing::warn!(%error, "a question cannot be sent");
                Failure::Local
            })?;
        if exchange.ask(outgoing) { Ok(()) } else { Err(Failure::Local) }
    }

    fn on_exchange_event(&mut self, event: exchange::Event) {
        match event {
            exchange::Event::Sent { id } => self.tell(Told::Sent { request: RequestId::from_u64(id) }),
            exchange::Event::Answered { id, peer, answer, .. } => {
                let request = RequestId::from_u64(id);
                if let Some(question) = self.steps.end(request) {
                    return self.step_answered(request, peer, &question, answer);
                }
                match self.inner.exchange.config().fetch.decode_answer(answer) {
                    Ok(exchange::Fetched { items, invalid }) => {
                        let items = items.into_iter().map(Answer::Fetched).collect();
                        let reply = Reply { invalid, ..Reply::with_items(items) };
                        self.tell(Told::Reply { request, reply });
                    }
                    Err(error) => {
                        tracing::debug!(%peer, %error, "an answer is refused");
                        self.tell(Told::Failure { request, failure: Failure::Invalid });
                    }
                }
            }
            exchange::Event::Failed { id, failure, .. } => {
                let request = RequestId::from_u64(id);
                self.steps.forget(request);
                self.tell(Told::Failure { request, failure });
            }
            exchange::Event::Question { peer, question, items_max, responder } => {
                // What is not taken is dropped, which refuses it.
                if self.channels.answering.load(Ordering::Relaxed) > 0 {
                    let question = Question::new(peer, question, items_max, responder);
                    if self.channels.questions.try_send(question).is_err() {
                        tracing::debug!(%peer, "a question is refused: too many wait for an answer");
                    }
                }
            }
        }
    }

    fn take_commands(&mut self, cx: &mut Context<'_>) -> bool {
        let mut moved = self.take_ended(cx);
        for _ in 0..COMMANDS_PER_ROUND {
            let Poll::Ready(Some(command)) = self.channels.commands.as_mut().poll_next(cx) else { break };
            // What was dropped before the command was given has made room for it.
            self.take_ended(cx);
            self.on_command(command);
            moved = true;
        }
        moved
    }

    /// Ends the providing of dropped handles: at most one message for each that there was.
    fn take_ended(&mut self, cx: &mut Context<'_>) -> bool {
        let mut moved = false;
        while let Poll::Ready(Some(handle)) = self.channels.ended.as_mut().poll_next(cx) {
            self.stop_providing(handle);
            moved = true;
        }
        moved
    }

    pub(crate) fn on_command(&mut self, command: Command) {
        match command {
            Command::Put { record, reply } => self.put(record, reply),
            Command::Provide { key, id, reply } => self.provide(key, id, reply),
            Command::Remove { key } => self.remove(&key),
            Command::Bootstrap { reply } => self.bootstrap(reply),
            Command::AddAddress { peer, address } => self.add_address(peer, address),
            Command::Listeners { reply } => self.listening.tell(reply),
            // Who no longer waits needs no answer.
            Command::ExternalAddresses { reply } => drop(reply.send(self.listening.external())),
            #[cfg(feature = "state")]
            Command::Export { reply } => drop(reply.send(self.export())),
            Command::Snapshot { reply } => drop(reply.send(self.snapshot())),
            Command::Watch => self.watch = Some(Watch::default()),
        }
    }

    pub(crate) fn watched(&self) -> &Watched {
        &self.channels.watched
    }

    pub(crate) fn snapshot(&mut self) -> Snapshot {
        let exchange = self.inner.exchange.counts();
        let (lookups, lookups_waiting) = self.turns.counts();
        let stored = self.inner.kad.store_mut().counts();
        Snapshot {
            lookups,
            lookups_waiting,
            kad_queries: self.inner.kad.iter_queries().count(),
            requests: exchange.queued + exchange.in_flight,
            requests_waiting: exchange.queued,
            events: self.driver.as_ref().map_or(0, |driver| driver.transport().events()),
            publishing: self.turns.publishing(),
            provided: self.provided.len(),
            known: self.known(),
            connections: exchange.connections,
            dialling: exchange.dialling,
            records: stored.records,
            records_of_others: stored.records_of_others,
            providers: stored.providers,
        }
    }

    fn shut_down_if_asked(&mut self) {
        if self.shutting_down || !self.channels.shut_down.load(Ordering::Acquire) {
            return;
        }
        self.shutting_down = true;
        self.channels.commands.close();
        while self.channels.commands.try_recv().is_ok() {}
        self.end_publishing();
        self.joining.abandon();
        self.listening.abandon();
    }

    /// Confirms, if so configured, that others can dial what is listened on.
    fn confirm(&mut self, event: &FromSwarm<'_>) {
        if !self.config.confirm_listen_addresses {
            return;
        }
        match event {
            FromSwarm::NewListenAddr(event) if addresses::is_dialable(event.addr) => {
                self.confirmations.push_back(ToSwarm::ExternalAddrConfirmed(event.addr.clone()));
            }
            FromSwarm::ExpiredListenAddr(event) => {
                self.confirmations.push_back(ToSwarm::ExternalAddrExpired(event.addr.clone()));
            }
            _ => {}
        }
    }
}

/// 32 bytes from the machine's random number generator, by way of a key that nobody uses.
pub(crate) fn random_seed() -> [u8; 32] {
    let pair = Keypair::generate_ed25519().try_into_ed25519().expect("it was made as an ed25519 key");
    pair.secret().as_ref().try_into().expect("an ed25519 secret has 32 bytes")
}

impl NetworkBehaviour for Behaviour {
    // That of `Inner`, which is nobody else's business.
    type ConnectionHandler = ConnectionHandlerSelect<THandler<Kad>, exchange::Handler>;
    type ToSwarm = Event;

    fn handle_pending_inbound_connection(
        &mut self,
        connection: ConnectionId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        self.inner.handle_pending_inbound_connection(connection, local, remote)
    }

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.inner.handle_established_inbound_connection(connection, peer, local, remote)
    }

    fn handle_pending_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: Option<PeerId>,
        known: &[Multiaddr],
        role: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        let mut addresses = self.inner.handle_pending_outbound_connection(connection, peer, known, role)?;
        if let Some(peer) = peer {
            let table = addresses::in_table(&mut self.inner.kad, peer);
            let named = self.joining.named(peer);
            self.addresses.complete(&peer, named, &table, &mut addresses);
        }
        Ok(addresses)
    }

    fn handle_established_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        address: &Multiaddr,
        role: Endpoint,
        port_use: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.inner.handle_established_outbound_connection(connection, peer, address, role, port_use)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        self.addresses.on_swarm_event(&event);
        self.listening.on_swarm_event(&event);
        self.confirm(&event);
        if let FromSwarm::DialFailure(DialFailure { peer_id: Some(peer), error, .. }) = &event {
            self.bootstrap_not_dialled(*peer, error);
        }
        self.inner.on_swarm_event(event);
    }

    fn on_connection_handler_event(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        if let Either::Left(news) = &event {
            self.overhear(peer, news);
        }
        self.inner.on_connection_handler_event(peer, connection, event);
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ToSwarm<Event, THandlerInEvent<Self>>> {
        for _ in 0..ROUNDS_PER_POLL {
            if let Some(confirmation) = self.confirmations.pop_front() {
                return Poll::Ready(confirmation);
            }
            let mut resting = false;
            while !resting && self.unattended < EVENTS_PER_ROUND {
                self.unattended += 1;
                match self.inner.poll(cx) {
                    Poll::Ready(ToSwarm::GenerateEvent(InnerEvent::Kad(event))) => {
                        if let Some(event) = self.on_kad_event(event) {
                            return Poll::Ready(ToSwarm::GenerateEvent(event));
                        }
                    }
                    Poll::Ready(ToSwarm::GenerateEvent(InnerEvent::Exchange(event))) => {
                        self.on_exchange_event(event);
                    }
                    Poll::Ready(to_swarm) => {
                        if let ToSwarm::NotifyHandler { peer_id, event: Either::Left(order), .. } = &to_swarm
                        {
                            self.overhear_order(*peer_id, order);
                        }
                        return Poll::Ready(to_swarm.map_out(|_| unreachable!("matched above")));
                    }
                    Poll::Pending => resting = true,
                }
            }
            if resting {
                self.settle();
            }
            self.unattended = 0;
            if !self.advance(cx) && resting {
                self.publish_snapshot(cx);
                return Poll::Pending;
            }
        }
        self.publish_snapshot(cx);
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}
