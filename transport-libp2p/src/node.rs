//! A whole peer: a swarm with everything in it, on no runtime but smol's reactor.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use async_channel::Sender;
use futures::StreamExt;
use futures_timer::Delay;
use libp2p::connection_limits::ConnectionLimits;
use libp2p::core::muxing::StreamMuxerBox;
use libp2p::core::transport::timeout::TransportTimeout;
use libp2p::core::transport::{Boxed, ListenerId, Transport};
use libp2p::core::upgrade::Version;
use libp2p::identity::Keypair;
use libp2p::multiaddr::Protocol;
use libp2p::swarm::{self, Executor, NetworkBehaviour, Swarm, SwarmEvent};
use libp2p::{Multiaddr, PeerId, StreamProtocol, connection_limits, identify, noise};

use crate::batch::Batching;
use crate::behaviour::{Behaviour, Event};
use crate::client::Client;
use crate::config::Config;
use crate::error::{ListenError, NodeError};
use crate::{dns, tcp};

/// Swarm events taken in one poll, so that a busy node leaves its executor to others now and then.
const EVENTS_PER_POLL: usize = 256;

/// Connections with one peer: both may dial at the same time, and by several addresses.
const CONNECTIONS_PER_PEER: u32 = 8;

/// How long a node that shuts down waits for its connections to close.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// A peer with everything in it: TCP with names resolved, noise, yamux, identify, Kademlia and the fetch
/// protocol.
///
/// It is a future and does nothing unless it is polled: spawn it on any executor, or run it on a thread
/// of its own with [`smol::block_on`]. It starts no task behind your back (the reactor and the resolver
/// of smol have their threads, and the timers theirs). It ends after
/// [`Client::shutdown`](crate::Client::shutdown), with every listener and connection closed; dropping it
/// closes them too. It lives on when the last client is dropped, since it serves others.
///
/// ```no_run
/// use dragnet_libp2p::{Node, provider_key};
/// use futures::StreamExt;
///
/// smol::block_on(async {
///     let keypair = libp2p::identity::Keypair::generate_ed25519();
///     let boot = "/ip4/192.0.2.1/tcp/4001/p2p/12D3KooWGRUgKGhwZc8pVHyYbDqQDLtVcvfKhNqNWZPtkEXKz4Rn";
///     let (node, client) = Node::builder(keypair).listen("/ip4/0.0.0.0/tcp/0").boot(boot).build()?;
///     let running = smol::spawn(node);
///     client.bootstrap().await?;
///     let mut found = client.search(provider_key(b"kademlia"), "kademlia")?;
///     while let Some(found) = found.next().await {
///         println!("{:?} from {:?}", found.item, found.from);
///     }
///     client.shutdown().await;
///     running.await;
///     Ok::<_, Box<dyn std::error::Error>>(())
/// })?;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[must_use = "a node does nothing unless it is polled"]
pub struct Node {
    swarm: Swarm<Stack>,
    listeners: Vec<ListenerId>,
    /// Set while connections close.
    closing: Option<Delay>,
    /// Dropped with the node: whoever waits for its end is told.
    _alive: Option<Sender<()>>,
}

#[derive(NetworkBehaviour)]
#[behaviour(to_swarm = "StackEvent", prelude = "libp2p::swarm::derive_prelude")]
struct Stack {
    // First, so that what is over a limit is refused before anybody else hears of it.
    limits: connection_limits::Behaviour,
    dragnet: Behaviour,
    identify: identify::Behaviour,
}

enum StackEvent {
    Dragnet,
    Identify(Box<identify::Event>),
}

impl From<Event> for StackEvent {
    fn from(_: Event) -> Self {
        Self::Dragnet
    }
}

impl From<Infallible> for StackEvent {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

impl From<identify::Event> for StackEvent {
    fn from(event: identify::Event) -> Self {
        Self::Identify(Box::new(event))
    }
}

impl Node {
    /// A node of this identity, to be configured.
    pub fn builder(keypair: Keypair) -> NodeBuilder {
        NodeBuilder {
            keypair,
            config: Config { confirm_listen_addresses: true, ..Config::default() },
            listen: Vec::new(),
            boot: Vec::new(),
            protocol: None,
            agent: concat!("dragnet/", env!("CARGO_PKG_VERSION")).to_string(),
            idle_timeout: Duration::from_secs(60),
            dial_timeout: Duration::from_secs(10),
            connections_max: 1024,
            transport: None,
            #[cfg(feature = "state")]
            state: None,
            swarm: swarm::Config::without_executor(),
            #[cfg(feature = "record")]
            recorder: None,
        }
    }

    /// This peer's id.
    pub fn local_peer(&self) -> PeerId {
        *self.swarm.local_peer_id()
    }

    /// Runs until [`Client::shutdown`](crate::Client::shutdown): the same as awaiting the node.
    pub async fn run(self) {
        self.await;
    }

    fn on_event(&mut self, event: SwarmEvent<StackEvent>) {
        match event {
            SwarmEvent::Behaviour(StackEvent::Identify(event)) => {
                if let identify::Event::Received { peer_id, info, .. } = *event {
                    self.swarm.behaviour_mut().dragnet.handle_identify(peer_id, &info);
                }
            }
            SwarmEvent::NewListenAddr { address, .. } => tracing::info!(%address, "listening"),
            SwarmEvent::ListenerClosed { addresses, reason, .. } => {
                tracing::warn!(?addresses, ?reason, "a listener closed");
            }
            SwarmEvent::ListenerError { error, .. } => tracing::warn!(%error, "a listener failed"),
            SwarmEvent::OutgoingConnectionError { peer_id, error, .. } => {
                tracing::debug!(?peer_id, %error, "a peer could not be dialled");
            }
            SwarmEvent::IncomingConnectionError { send_back_addr, error, .. } => {
                tracing::debug!(%send_back_addr, %error, "a connection from outside failed");
            }
            _ => {}
        }
    }

    fn begin_to_close(&mut self) {
        self.closing = Some(Delay::new(CLOSE_TIMEOUT));
        for listener in std::mem::take(&mut self.listeners) {
            self.swarm.remove_listener(listener);
        }
        for peer in self.swarm.connected_peers().copied().collect::<Vec<_>>() {
            // Fails only for a peer that has gone meanwhile.
            let _ = self.swarm.disconnect_peer_id(peer);
        }
    }

    fn is_closed(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(timeout) = &mut self.closing else { return false };
        let open = self.swarm.network_info().connection_counters().num_established();
        open == 0 && self.swarm.listeners().next().is_none() || Pin::new(timeout).poll(cx).is_ready()
    }
}

impl Future for Node {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        for _ in 0..EVENTS_PER_POLL {
            match this.swarm.poll_next_unpin(cx) {
                Poll::Ready(Some(event)) => this.on_event(event),
                // A swarm's stream has no end.
                Poll::Ready(None) => return Poll::Ready(()),
                Poll::Pending if this.closing.is_none() && this.swarm.behaviour().dragnet.is_shut_down() => {
                    this.begin_to_close();
                }
                Poll::Pending if this.is_closed(cx) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").field("local_peer", &self.local_peer()).finish_non_exhaustive()
    }
}

/// Configures a [`Node`].
#[must_use = "a builder does nothing until `build`"]
pub struct NodeBuilder {
    keypair: Keypair,
    config: Config,
    listen: Vec<String>,
    boot: Vec<String>,
    protocol: Option<String>,
    agent: String,
    idle_timeout: Duration,
    dial_timeout: Duration,
    connections_max: u32,
    transport: Option<Boxed<(PeerId, StreamMuxerBox)>>,
    #[cfg(feature = "state")]
    state: Option<crate::state::Loaded>,
    swarm: swarm::Config,
    #[cfg(feature = "record")]
    recorder: Option<dragnet_core::record::Recorder<crate::network::Libp2p>>,
}

impl NodeBuilder {
    /// Listens on an address such as `/ip4/0.0.0.0/tcp/0` (a text or a [`Multiaddr`]). May be called
    /// several times. Without it the node can only dial.
    pub fn listen(mut self, address: impl fmt::Display) -> Self {
        self.listen.push(address.to_string());
        self
    }

    /// Knows a peer of the network by an address such as `/dns4/example.com/tcp/4001/p2p/12D3..` (a
    /// text or a [`Multiaddr`]). May be called several times. [`Client::bootstrap`] dials it.
    pub fn boot(mut self, address: impl fmt::Display) -> Self {
        self.boot.push(address.to_string());
        self
    }

    /// The name of the Kademlia protocol, [`Config::kad_protocol`].
    pub fn protocol(mut self, name: impl Into<String>) -> Self {
        self.protocol = Some(name.into());
        self
    }

    /// All settings of the behaviour at once. Note that [`Config::confirm_listen_addresses`] is off in
    /// a default `Config`, and on in a node that is not given any.
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Changes some of the behaviour's settings.
    pub fn configure(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(&mut self.config);
        self
    }

    /// What identify calls this program. `dragnet/` and the version.
    pub fn agent(mut self, agent: impl Into<String>) -> Self {
        self.agent = agent.into();
        self
    }

    /// A connection without a stream is closed after so long. 60 s.
    pub const fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.idle_timeout = timeout;
        self
    }

    /// Dialling, encryption included, is given up after so long. 10 s.
    pub const fn dial_timeout(mut self, timeout: Duration) -> Self {
        self.dial_timeout = timeout;
        self
    }

    /// Connections that are open at once; one more is closed at once. As many may be under way, in each
    /// direction. Of the open ones at most three quarters may come from outside, so that strangers cannot
    /// keep the node from dialling. 1 024.
    pub const fn connections_max(mut self, connections_max: u32) -> Self {
        self.connections_max = connections_max;
        self
    }

    /// Another transport than TCP; see [`encrypted`].
    pub fn transport(mut self, transport: Boxed<(PeerId, StreamMuxerBox)>) -> Self {
        self.transport = Some(transport);
        self
    }

    /// Begins with what a node knew before: see [`state`](crate::state).
    #[cfg(feature = "state")]
    pub fn state(mut self, state: crate::state::Loaded) -> Self {
        self.state = Some(state);
        self
    }

    /// Runs each connection as a task on an executor. Without one, which is the default, the node's own
    /// future does all the work.
    pub fn executor(mut self, executor: impl Executor + Send + 'static) -> Self {
        self.swarm = swarm::Config::with_executor(executor);
        self
    }

    /// Records what the query engine is told, until the node is gone; see [`recorder`](crate::recorder).
    #[cfg(feature = "record")]
    pub fn record(mut self, recorder: dragnet_core::record::Recorder<crate::network::Libp2p>) -> Self {
        self.recorder = Some(recorder);
        self
    }

    /// Builds the node, and begins to listen.
    ///
    /// # Errors
    ///
    /// An address or a protocol name that is none, a bootstrap address without a peer id, a listening
    /// address that is taken or of no known kind, a state of another network. Each says which it was.
    pub fn build(self) -> Result<(Node, Client), NodeError> {
        let mut config = self.config;
        if let Some(name) = self.protocol {
            config.kad_protocol = StreamProtocol::try_from_owned(name.clone())
                .map_err(|_invalid| NodeError::Protocol { name })?;
        }
        let local = self.keypair.public().to_peer_id();
        let listen = self.listen.into_iter().map(parse).collect::<Result<Vec<_>, _>>()?;
        let boot = self
            .boot
            .into_iter()
            .map(|text| parse(text).and_then(|address| split_peer(address, local)))
            .collect::<Result<Vec<_>, _>>()?;
        let transport = match self.transport {
            Some(transport) => transport,
            None => {
                encrypted(dns::Transport::new(tcp::Transport::default()), &self.keypair, self.dial_timeout)?
            }
        };
        let (mut dragnet, client) = Behaviour::new(local, config);
        #[cfg(feature = "state")]
        if let Some(state) = self.state {
            dragnet.restore(state)?;
        }
        #[cfg(feature = "record")]
        if let Some(recorder) = self.recorder {
            dragnet.record(recorder);
        }
        for (peer, address) in boot {
            dragnet.add_address(peer, address);
        }
        let alive = dragnet.take_alive();
        let identify = identify::Behaviour::new(
            identify::Config::new("/dragnet/id/1.0.0".to_string(), self.keypair.public())
                .with_agent_version(self.agent),
        );
        let limits = ConnectionLimits::default()
            .with_max_pending_incoming(Some(self.connections_max))
            .with_max_pending_outgoing(Some(self.connections_max))
            .with_max_established(Some(self.connections_max))
            .with_max_established_incoming(Some(self.connections_max - self.connections_max / 4))
            .with_max_established_per_peer(Some(CONNECTIONS_PER_PEER));
        let limits = connection_limits::Behaviour::new(limits);
        let swarm_config = self.swarm.with_idle_connection_timeout(self.idle_timeout);
        let mut swarm = Swarm::new(transport, Stack { limits, dragnet, identify }, local, swarm_config);
        let mut listeners = Vec::with_capacity(listen.len());
        for address in listen {
            let listener = swarm
                .listen_on(address.clone())
                .map_err(|error| NodeError::Listen { address, reason: ListenError::from(error) })?;
            listeners.push(listener);
        }
        Ok((Node { swarm, listeners, closing: None, _alive: alive }, client))
    }
}

impl fmt::Debug for NodeBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeBuilder")
            .field("config", &self.config)
            .field("listen", &self.listen)
            .field("boot", &self.boot)
            .finish_non_exhaustive()
    }
}

/// A transport with noise, yamux and a timeout on it: what [`NodeBuilder::transport`] takes. Frames of yamux that are
/// written in one moment are encrypted and sent together.
///
/// # Errors
///
/// When the noise keys cannot be made.
pub fn encrypted<T>(
    transport: T,
    keypair: &Keypair,
    timeout: Duration,
) -> Result<Boxed<(PeerId, StreamMuxerBox)>, NodeError>
where
    T: Transport + Send + Unpin + 'static,
    T::Output: futures::AsyncRead + futures::AsyncWrite + Send + Unpin + 'static,
    T::Error: Send + Sync + 'static,
    T::Dial: Send + 'static,
    T::ListenerUpgrade: Send + 'static,
{
    let upgraded = transport
        .upgrade(Version::V1)
        .authenticate(noise::Config::new(keypair)?)
        .multiplex(Batching::default())
        .map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer)));
    Ok(TransportTimeout::new(upgraded, timeout).boxed())
}

fn parse(text: String) -> Result<Multiaddr, NodeError> {
    text.parse().map_err(|source| NodeError::Address { text, source })
}

/// Takes the peer id from the end of an address.
fn split_peer(mut address: Multiaddr, local: PeerId) -> Result<(PeerId, Multiaddr), NodeError> {
    match address.pop() {
        Some(Protocol::P2p(peer)) if peer == local => {
            Err(NodeError::OwnAddress { address: address.with(Protocol::P2p(peer)) })
        }
        Some(Protocol::P2p(peer)) => Ok((peer, address)),
        Some(last) => Err(NodeError::NoPeerId { address: address.with(last) }),
        None => Err(NodeError::NoPeerId { address }),
    }
}
