//! What an application holds: queries, publishing, bootstrapping, the end.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use async_channel::{Receiver, Sender, TrySendError};
use bytes::Bytes;
use dragnet_core::front::{self, DriverGone, QueryHandle};
use dragnet_core::{Metrics, PeerRanking, PeerReport, Query, QueryId, QueryReport, QueryStats, StartError};
use futures::channel::oneshot;
use libp2p::kad::{Record, RecordKey};
use libp2p::{Multiaddr, PeerId};

use crate::config::{Config, Walks};
use crate::error::{BootstrapError, CommandError, PublishError};
use crate::handles::{ProvideHandle, Publication, PutHandle};
use crate::network::Libp2p;
use crate::query;
use crate::serve::{Question, Questions};
use crate::watch::Watched;

/// Asks and publishes by a [`Behaviour`](crate::Behaviour) that runs elsewhere. Cheap to clone, and can
/// be used from any thread; nothing happens unless the swarm with the behaviour is polled.
#[derive(Clone)]
pub struct Client {
    core: front::Client<Libp2p>,
    shared: Arc<Shared>,
}

struct Shared {
    local: PeerId,
    walks: Walks,
    commands: Sender<Command>,
    ended: Sender<u64>,
    questions: Receiver<Question>,
    answering: Arc<AtomicUsize>,
    closed: Receiver<()>,
    shut_down: Arc<AtomicBool>,
    provided: AtomicU64,
    watched: Arc<Watched>,
}

/// What a client asks of the behaviour.
#[derive(Debug)]
pub(crate) enum Command {
    Put {
        record: Record,
        reply: oneshot::Sender<Result<Publication, PublishError>>,
    },
    Provide {
        key: RecordKey,
        id: u64,
        reply: Sender<Result<Publication, PublishError>>,
    },
    Remove {
        key: RecordKey,
    },
    Bootstrap {
        reply: oneshot::Sender<Result<BootstrapReport, BootstrapError>>,
    },
    AddAddress {
        peer: PeerId,
        address: Multiaddr,
    },
    Listeners {
        reply: oneshot::Sender<Vec<Multiaddr>>,
    },
    ExternalAddresses {
        reply: oneshot::Sender<Vec<Multiaddr>>,
    },
    Snapshot {
        reply: oneshot::Sender<Snapshot>,
    },
    #[cfg(feature = "state")]
    Export {
        reply: oneshot::Sender<crate::state::NodeState>,
    },
    Watch,
}

/// The behaviour's ends of a client's channels.
pub(crate) struct Channels {
    pub(crate) commands: Pin<Box<Receiver<Command>>>,
    pub(crate) ended: Pin<Box<Receiver<u64>>>,
    pub(crate) questions: Sender<Question>,
    /// Live [`Questions`]: not the channel's own count, which a client keeps up and its end lowers.
    pub(crate) answering: Arc<AtomicUsize>,
    pub(crate) shut_down: Arc<AtomicBool>,
    pub(crate) watched: Arc<Watched>,
    /// Dropped when all is over.
    pub(crate) alive: Option<Sender<()>>,
}

/// What [`Client::bootstrap`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BootstrapReport {
    /// Peers that have answered so far: at least 1.
    pub answered: u32,
    /// Peers in the routing table now.
    pub known: usize,
}

/// What the adapter holds at the moment, beside the engine and the routing table. When nothing is asked
/// and nothing published, all but `provided`, `known`, `connections` and what is in the store are 0, and `kad_queries` too
/// unless libp2p-kad is refreshing its table or handing on others' records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Snapshot {
    /// Lookups of libp2p-kad's that run for queries and publishing.
    pub lookups: usize,
    /// Those that wait for their turn.
    pub lookups_waiting: usize,
    /// Lookups that libp2p-kad runs in all, its own refreshing and republishing included.
    pub kad_queries: usize,
    /// Questions to single peers that wait or are in flight: steps of driven walks, and those of the fetch
    /// protocol.
    pub requests: usize,
    /// Those that wait: for a connection, or for others to the same peer to end.
    pub requests_waiting: usize,
    /// Events on their way to the engine.
    pub events: usize,
    /// Records and announcements that are being published.
    pub publishing: usize,
    /// Keys that are provided.
    pub provided: usize,
    /// Peers in the routing table.
    pub known: usize,
    /// Established connections.
    pub connections: usize,
    /// Peers that are being dialled for a question.
    pub dialling: usize,
    /// Records that are kept in the store, our own.
    pub records: usize,
    /// Those that are kept for others.
    pub records_of_others: usize,
    /// Providers that are remembered for others.
    pub providers: usize,
}

impl Client {
    /// A client and the other ends of its channels.
    pub(crate) fn new(core: front::Client<Libp2p>, local: PeerId, config: &Config) -> (Self, Channels) {
        let Config { walks, commands_max, questions_max, .. } = *config;
        let (commands, commands_end) = async_channel::bounded(commands_max.max(1));
        let (ended, ended_end) = async_channel::unbounded();
        let (questions, questions_end) = async_channel::bounded(questions_max.max(1));
        let (alive, closed) = async_channel::bounded(1);
        let shut_down = Arc::new(AtomicBool::new(false));
        let answering = Arc::new(AtomicUsize::new(0));
        let watched = Arc::<Watched>::default();
        let channels = Channels {
            commands: Box::pin(commands_end),
            ended: Box::pin(ended_end),
            questions,
            answering: Arc::clone(&answering),
            shut_down: Arc::clone(&shut_down),
            watched: Arc::clone(&watched),
            alive: Some(alive),
        };
        let provided = AtomicU64::new(0);
        let questions = questions_end;
        let shared = Shared {
            local,
            walks,
            commands,
            ended,
            questions,
            answering,
            closed,
            shut_down,
            provided,
            watched,
        };
        (Self { core, shared: Arc::new(shared) }, channels)
    }

    /// This peer's id.
    pub fn local_peer(&self) -> PeerId {
        self.shared.local
    }

    /// The client of the engine alone, as every part of `dragnet-core` takes it: to make this network a
    /// source among others by [`Subqueries`](front::Subqueries).
    pub const fn front(&self) -> &front::Client<Libp2p> {
        &self.core
    }

    /// Starts a query; see [`query`](crate::query) for the usual ones. Dropping the handle cancels it.
    ///
    /// # Errors
    ///
    /// When too many queries live, a setting is out of its range, or the node is shut down.
    pub fn query(&self, query: Query<Libp2p>) -> Result<QueryHandle<Libp2p>, StartError> {
        self.core.query(query)
    }

    /// Asks the DHT for the record of a key.
    ///
    /// # Errors
    ///
    /// See [`query`](Self::query).
    pub fn get(&self, key: RecordKey) -> Result<QueryHandle<Libp2p>, StartError> {
        self.walk(query::get(key))
    }

    /// Asks the DHT who provides a key.
    ///
    /// # Errors
    ///
    /// See [`query`](Self::query).
    pub fn providers(&self, key: RecordKey) -> Result<QueryHandle<Libp2p>, StartError> {
        self.walk(query::providers(key))
    }

    /// Asks the DHT for the peers closest to a key.
    ///
    /// # Errors
    ///
    /// See [`query`](Self::query).
    pub fn closest(&self, key: RecordKey) -> Result<QueryHandle<Libp2p>, StartError> {
        self.query(query::closest(key))
    }

    /// Asks a question of every provider of a key. For a validator, limits or a pace of one's own see
    /// [`query::search`].
    ///
    /// # Errors
    ///
    /// See [`query`](Self::query).
    pub fn search(
        &self,
        key: RecordKey,
        question: impl Into<Bytes>,
    ) -> Result<QueryHandle<Libp2p>, StartError> {
        self.walk(query::search(key, question))
    }

    /// Starts a query whose walk is made by whoever [`Config::walks`] says.
    fn walk(&self, query: Query<Libp2p>) -> Result<QueryHandle<Libp2p>, StartError> {
        self.query(match self.shared.walks {
            Walks::Driven => query,
            Walks::Delegated => query::delegated(query),
        })
    }

    /// Stores a record here and at the peers closest to its key, now and at every
    /// [`record_interval`](crate::Publishing::record_interval). This peer becomes its publisher.
    pub fn put(&self, record: Record) -> PutHandle {
        let (reply, receiver) = oneshot::channel();
        let key = record.key.clone();
        PutHandle::new(key, self.publish(Command::Put { record, reply }).map(|()| receiver))
    }

    /// Removes a record of our own from the local store, so that it is not put again. Others keep it
    /// until its time to live ends.
    ///
    /// # Errors
    ///
    /// When the command queue is full or the node is shut down.
    pub fn remove(&self, key: RecordKey) -> Result<(), CommandError> {
        self.command(Command::Remove { key })
    }

    /// Announces this peer as a provider of a key, now and at every
    /// [`provider_interval`](crate::Publishing::provider_interval), until the handle is dropped.
    pub fn provide(&self, key: RecordKey) -> ProvideHandle {
        let (reply, receiver) = async_channel::bounded(1);
        let id = self.shared.provided.fetch_add(1, Ordering::Relaxed);
        let state = self.publish(Command::Provide { key: key.clone(), id, reply }).map(|()| receiver);
        ProvideHandle::new(key, id, state, self.shared.ended.clone())
    }

    /// Joins the network: dials the known peers and looks for those closest to this one. Resolves as soon
    /// as a peer has answered; the rest goes on.
    ///
    /// # Errors
    ///
    /// Why nobody answered, address by address, when all have failed or
    /// [`bootstrap_timeout`](crate::Config::bootstrap_timeout) has passed.
    pub async fn bootstrap(&self) -> Result<BootstrapReport, BootstrapError> {
        self.request(|reply| Command::Bootstrap { reply }).await?
    }

    /// Tells where a peer of the DHT can be dialled.
    ///
    /// # Errors
    ///
    /// When the command queue is full or the node is shut down.
    pub fn add_address(&self, peer: PeerId, address: Multiaddr) -> Result<(), CommandError> {
        self.command(Command::AddAddress { peer, address })
    }

    /// The addresses that are listened on, once every listener has one.
    ///
    /// # Errors
    ///
    /// When the command queue is full or the node is shut down.
    pub async fn listeners(&self) -> Result<Vec<Multiaddr>, CommandError> {
        self.request(|reply| Command::Listeners { reply }).await
    }

    /// The addresses at which others can dial this peer, as far as is confirmed.
    ///
    /// # Errors
    ///
    /// When the command queue is full or the node is shut down.
    pub async fn external_addresses(&self) -> Result<Vec<Multiaddr>, CommandError> {
        self.request(|reply| Command::ExternalAddresses { reply }).await
    }

    /// What the adapter holds at the moment.
    ///
    /// # Errors
    ///
    /// When the command queue is full or the node is shut down.
    pub async fn snapshot(&self) -> Result<Snapshot, CommandError> {
        self.request(|reply| Command::Snapshot { reply }).await
    }

    /// What the adapter held when it was polled last, 100 ms ago or less before that. Never waits: it is
    /// for a monitor. The behaviour keeps it from the first call on, which is answered with zeros, for as long
    /// as there is a call every five minutes; the first one after a longer rest is answered with what was so
    /// then.
    pub fn last_snapshot(&self) -> Snapshot {
        let watched = &self.shared.watched;
        if watched.want() && self.command(Command::Watch).is_err() {
            watched.unwant();
        }
        watched.last()
    }

    /// What this node knows that outlives it: see [`state`](crate::state). Nothing stops for it. To be asked
    /// for before [`shutdown`](Self::shutdown).
    ///
    /// # Errors
    ///
    /// When the command queue is full or the node is shut down.
    #[cfg(feature = "state")]
    pub async fn export(&self) -> Result<crate::state::NodeState, CommandError> {
        self.request(|reply| Command::Export { reply }).await
    }

    /// The questions that others ask of this peer. As long as nobody holds any of these, such questions
    /// are refused.
    pub fn questions(&self) -> Questions {
        Questions::new(self.shared.questions.clone(), Arc::clone(&self.shared.answering))
    }

    /// What a live query has cost and brought so far; `None` if it has ended.
    pub async fn status(&self, query: QueryId) -> Option<QueryStats> {
        self.core.status(query).await
    }

    /// The engine's counters. Never waits; at most 100 ms old.
    pub fn metrics(&self) -> Metrics {
        self.core.metrics()
    }

    /// The live queries that have lived longest, the oldest first, at most so many.
    ///
    /// # Errors
    ///
    /// When the behaviour is gone.
    pub async fn queries(&self, max: usize) -> Result<Vec<QueryReport<Libp2p>>, DriverGone> {
        self.core.queries(max).await
    }

    /// The peers that behave best and those that behave worst, at most so many of each.
    ///
    /// # Errors
    ///
    /// When the behaviour is gone.
    pub async fn ranking(&self, max: usize) -> Result<PeerRanking<PeerId>, DriverGone> {
        self.core.ranking(max).await
    }

    /// What the engine knows of its peers: reputation, response times, who is barred.
    ///
    /// # Errors
    ///
    /// When the behaviour is gone.
    pub async fn peers(&self) -> Result<Vec<PeerReport<PeerId>>, DriverGone> {
        self.core.peers().await
    }

    /// Bars a peer that the application knows to be bad. False for the local peer, and if the engine's
    /// table of peers is full of those of live queries.
    ///
    /// # Errors
    ///
    /// When the behaviour is gone.
    pub async fn bar(&self, peer: PeerId) -> Result<bool, DriverGone> {
        self.core.bar(peer).await
    }

    /// Ends all queries and all publishing, and refuses new ones, from this call on. A
    /// [`Node`](crate::Node) then closes its listeners and connections, and its future ends. The future
    /// of this call, which need not be awaited, is ready when that has been done.
    ///
    /// Of a behaviour in a swarm of somebody else's only the queries and the publishing end; its swarm
    /// lives on.
    pub fn shutdown(&self) -> impl Future<Output = ()> + Send + use<> {
        self.shared.shut_down.store(true, Ordering::Release);
        // Wakes the driver, and with it the behaviour.
        let queries = self.core.shutdown();
        let closed = self.shared.closed.clone();
        async move {
            queries.await;
            // Nothing is ever sent.
            let _closed = closed.recv().await;
        }
    }

    fn command(&self, command: Command) -> Result<(), CommandError> {
        self.shared.commands.try_send(command).map_err(|error| match error {
            TrySendError::Full(_) => CommandError::Busy,
            TrySendError::Closed(_) => CommandError::ShutDown,
        })
    }

    fn publish(&self, command: Command) -> Result<(), PublishError> {
        self.command(command).map_err(|error| match error {
            CommandError::Busy => {
                PublishError::Busy { max: self.shared.commands.capacity().unwrap_or(usize::MAX) }
            }
            CommandError::ShutDown => PublishError::ShutDown,
        })
    }

    async fn request<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<T>) -> Command,
    ) -> Result<T, CommandError> {
        let (reply, receiver) = oneshot::channel();
        self.command(command(reply))?;
        receiver.await.map_err(|_| CommandError::ShutDown)
    }
}

impl From<CommandError> for BootstrapError {
    fn from(error: CommandError) -> Self {
        match error {
            CommandError::Busy => Self::Busy,
            CommandError::ShutDown => Self::ShutDown,
        }
    }
}
