//! The network that is asked: Kademlia servers of libp2p's own on loopback, on a thread of their own.

use std::borrow::Cow;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::OwnedFd;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use dragnet_core::Key;
use dragnet_libp2p::{KAD_PROTOCOL, encrypted, tcp};
use futures::channel::oneshot;
use futures::future::FusedFuture;
use futures::{FutureExt, StreamExt};
use libp2p::identity::Keypair;
use libp2p::kad::store::{self, MemoryStore, RecordStore};
use libp2p::kad::{self, Mode, ProviderRecord, Record, RecordKey};
use libp2p::swarm::{self, NetworkBehaviour, Swarm, SwarmEvent};
use libp2p::{Multiaddr, PeerId, StreamProtocol};
use rustix::net::{AddressFamily, SocketType, bind, getsockname, socket};
use smol::LocalExecutor;

use super::Condition;
use super::silent::Silent;

/// How many peers store a record, and how many a lookup converges on: Kademlia's k.
pub(super) const CLOSEST: usize = 20;

/// Records that are there to be found.
const RECORDS: usize = 200;

/// Peers that a lying one makes up.
const MADE_UP: usize = 20;

/// Longer than it takes libp2p-kad to look for its neighbours after it has met the first.
pub(super) const SETTLING: Duration = Duration::from_millis(1500);

/// Connections are not closed for want of use.
const IDLE: Duration = Duration::from_secs(3600);

/// A running network. It ends when it is dropped.
pub(super) struct Network {
    pub(super) nodes: Vec<Node>,
    pub(super) records: Vec<(RecordKey, Vec<u8>)>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// One peer of it.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) peer: PeerId,
    pub(super) address: Multiaddr,
    pub(super) role: Role,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Role {
    Honest,
    /// Nobody listens at its address.
    Stopped,
    /// Accepts connections and streams, and never answers.
    Silent,
    /// Gives a record of another key for every key, and peers that it has made up.
    Lying,
}

impl Network {
    /// Starts so many nodes, of identities from the seed, each of which knows all others.
    pub(super) fn start(condition: Condition, nodes: usize, seed: u64) -> Result<Self> {
        let (told, nodes_told) = oneshot::channel();
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new().name("servers".to_owned()).spawn(move || {
            let executor = LocalExecutor::new();
            smol::block_on(executor.run(async {
                let swarms = start_all(condition, nodes, seed, &executor).await;
                let _ = told.send(swarms);
                // Or the network was dropped.
                let _ = stopped.await;
            }));
        })?;
        let nodes = smol::block_on(nodes_told).map_err(|_| anyhow!("the servers' thread has died"))??;
        let records = (0..RECORDS).map(record).collect();
        Ok(Self { nodes, records, stop: Some(stop), thread: Some(thread) })
    }

    /// The nodes closest to a key.
    pub(super) fn closest(&self, key: &RecordKey) -> Vec<&Node> {
        let target = Key::of(key.as_ref());
        let mut nodes: Vec<_> = self.nodes.iter().collect();
        nodes.sort_by_key(|node| distance(&node.peer, &target));
        nodes.truncate(CLOSEST);
        nodes
    }

    /// Those that can be connected to.
    pub(super) fn running(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(|node| node.role != Role::Stopped)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The identity of this number.
pub(super) fn identity(seed: u64, number: u64) -> Keypair {
    let mut secret = *Key::of(&[seed.to_be_bytes(), number.to_be_bytes()].concat()).as_bytes();
    Keypair::ed25519_from_bytes(&mut secret).expect("any 32 bytes are a secret")
}

/// A swarm over TCP, as all in this comparison are.
pub(super) fn swarm<B: NetworkBehaviour>(keypair: &Keypair, behaviour: B) -> Result<Swarm<B>> {
    let transport = encrypted(tcp::Transport::default(), keypair, Duration::from_secs(10))?;
    let config = swarm::Config::without_executor().with_idle_connection_timeout(IDLE);
    Ok(Swarm::new(transport, behaviour, keypair.public().to_peer_id(), config))
}

pub(super) fn kad_config() -> kad::Config {
    let mut config = kad::Config::new(StreamProtocol::new(KAD_PROTOCOL));
    config
        .set_periodic_bootstrap_interval(None)
        .set_publication_interval(None)
        .set_replication_interval(None)
        .set_provider_publication_interval(None)
        .set_caching(kad::Caching::Disabled);
    config
}

fn record(number: usize) -> (RecordKey, Vec<u8>) {
    let key = dragnet_libp2p::record_key("bench", &number.to_be_bytes());
    let value = Key::of(key.as_ref()).as_bytes().repeat(4);
    (key, value)
}

fn distance(peer: &PeerId, target: &Key) -> dragnet_core::Distance {
    Key::of(&peer.to_bytes()).distance(target)
}

enum Server {
    Honest(Box<Swarm<kad::Behaviour<MemoryStore>>>),
    Lying(Box<Swarm<kad::Behaviour<Liar>>>),
    Silent(Box<Swarm<Silent>>),
    /// Keeps its port.
    Stopped(OwnedFd),
}

async fn start_all(
    condition: Condition,
    count: usize,
    seed: u64,
    executor: &LocalExecutor<'_>,
) -> Result<Vec<Node>> {
    let bad = condition.bad(count);
    let mut servers = Vec::new();
    let mut nodes = Vec::new();
    for number in 0..count {
        let keypair = identity(seed, number as u64);
        let peer = keypair.public().to_peer_id();
        let role = if number < bad { condition.role() } else { Role::Honest };
        let (server, address) = start_one(role, &keypair).await?;
        servers.push(server);
        nodes.push(Node { peer, address, role });
    }
    for number in 0..RECORDS {
        let (key, value) = record(number);
        let target = Key::of(key.as_ref());
        let mut order: Vec<usize> = (0..count).collect();
        order.sort_by_key(|&node| distance(&nodes[node].peer, &target));
        for &node in &order[..CLOSEST.min(count)] {
            if let Server::Honest(swarm) = &mut servers[node] {
                let record = Record::new(key.clone(), value.clone());
                swarm.behaviour_mut().store_mut().put(record).map_err(|error| anyhow!("{error:?}"))?;
            }
        }
    }
    for server in servers {
        let nodes = nodes.clone();
        match server {
            Server::Honest(swarm) => executor.spawn(serve(*swarm, nodes, Vec::new())).detach(),
            Server::Lying(swarm) => {
                let nowhere: Multiaddr = "/ip4/127.0.0.1/tcp/1".parse()?;
                let made_up = (0..MADE_UP).map(|_| (PeerId::random(), nowhere.clone())).collect();
                executor.spawn(serve(*swarm, nodes, made_up)).detach();
            }
            Server::Silent(mut swarm) => {
                let silent = async move {
                    loop {
                        swarm.select_next_some().await;
                    }
                };
                executor.spawn(silent).detach();
            }
            Server::Stopped(port) => {
                let stopped = async move {
                    std::future::pending::<()>().await;
                    drop(port);
                };
                executor.spawn(stopped).detach();
            }
        }
    }
    // Until each has looked for its neighbours.
    smol::Timer::after(2 * SETTLING).await;
    Ok(nodes)
}

async fn start_one(role: Role, keypair: &Keypair) -> Result<(Server, Multiaddr)> {
    let local = keypair.public().to_peer_id();
    Ok(match role {
        Role::Honest => {
            let store = MemoryStore::new(local);
            let mut kad = kad::Behaviour::with_config(local, store, kad_config());
            kad.set_mode(Some(Mode::Server));
            let mut swarm = swarm(keypair, kad)?;
            let address = listen(&mut swarm).await?;
            (Server::Honest(Box::new(swarm)), address)
        }
        Role::Lying => {
            let mut kad = kad::Behaviour::with_config(local, Liar, kad_config());
            kad.set_mode(Some(Mode::Server));
            let mut swarm = swarm(keypair, kad)?;
            let address = listen(&mut swarm).await?;
            (Server::Lying(Box::new(swarm)), address)
        }
        Role::Silent => {
            let mut swarm = swarm(keypair, Silent::default())?;
            let address = listen(&mut swarm).await?;
            (Server::Silent(Box::new(swarm)), address)
        }
        Role::Stopped => {
            // Bound, so that nobody else is given the port, and not listening, so that the kernel refuses
            // connections, as where a host has stopped its program.
            let port = socket(AddressFamily::INET, SocketType::STREAM, None)?;
            bind(&port, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0))?;
            let address = SocketAddr::try_from(getsockname(&port)?)?;
            let number = address.port();
            (Server::Stopped(port), format!("/ip4/127.0.0.1/tcp/{number}").parse()?)
        }
    })
}

pub(super) async fn listen<B: NetworkBehaviour>(swarm: &mut Swarm<B>) -> Result<Multiaddr> {
    swarm.listen_on("/ip4/127.0.0.1/tcp/0".parse()?)?;
    let next = async {
        loop {
            if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
                return address;
            }
        }
    };
    let mut timeout = after(Duration::from_secs(10));
    futures::select! {
        address = std::pin::pin!(next.fuse()) => Ok(address),
        () = timeout => None.context("a server does not listen"),
    }
}

/// Runs a server. It forgets peers that it cannot dial when it looks for its neighbours, and is told of them
/// again: a table of a real node is never free of them.
async fn serve<S>(mut swarm: Swarm<kad::Behaviour<S>>, nodes: Vec<Node>, made_up: Vec<(PeerId, Multiaddr)>)
where
    S: RecordStore + Send + 'static,
{
    for is_settled in [false, true] {
        for node in &nodes {
            swarm.behaviour_mut().add_address(&node.peer, node.address.clone());
        }
        for (peer, address) in &made_up {
            swarm.behaviour_mut().add_address(peer, address.clone());
        }
        let mut settled = after(if is_settled { Duration::MAX } else { SETTLING });
        loop {
            futures::select! {
                _ = swarm.select_next_some() => {}
                () = settled => break,
            }
        }
    }
}

/// Ends after so long, or never if that is too long for the clock.
pub(super) fn after(time: Duration) -> impl FusedFuture<Output = ()> + Unpin {
    FutureExt::fuse(FutureExt::map(smol::Timer::after(time), drop))
}

/// Waits until a swarm is connected to all of these, and has settled.
pub(super) async fn connect<B: NetworkBehaviour>(swarm: &mut Swarm<B>, network: &Network) -> Result<()> {
    let mut missing: Vec<PeerId> = network.running().map(|node| node.peer).collect();
    for node in network.running() {
        let options = swarm::dial_opts::DialOpts::peer_id(node.peer).addresses(vec![node.address.clone()]);
        // Refused if the behaviour dials it already.
        let _ = swarm.dial(options.build());
    }
    let mut settled = after(SETTLING);
    let mut given_up = after(Duration::from_secs(30));
    let mut is_settled = false;
    loop {
        missing.retain(|peer| !swarm.is_connected(peer));
        if missing.is_empty() && is_settled {
            return Ok(());
        }
        futures::select! {
            _ = swarm.select_next_some() => {}
            () = settled => is_settled = true,
            () = given_up => return None.with_context(|| format!("not connected to {missing:?}")),
        }
    }
}

/// Has a record for every key: one of another key.
struct Liar;

impl RecordStore for Liar {
    type RecordsIter<'a> = std::iter::Empty<Cow<'a, Record>>;
    type ProvidedIter<'a> = std::iter::Empty<Cow<'a, ProviderRecord>>;

    fn get(&self, _: &RecordKey) -> Option<Cow<'_, Record>> {
        Some(Cow::Owned(Record::new(dragnet_libp2p::record_key("bench", b"lie"), b"a lie".to_vec())))
    }

    fn put(&mut self, _: Record) -> store::Result<()> {
        Err(store::Error::MaxRecords)
    }

    fn remove(&mut self, _: &RecordKey) {}

    fn records(&self) -> Self::RecordsIter<'_> {
        std::iter::empty()
    }

    fn add_provider(&mut self, _: ProviderRecord) -> store::Result<()> {
        Ok(())
    }

    fn providers(&self, _: &RecordKey) -> Vec<ProviderRecord> {
        Vec::new()
    }

    fn provided(&self) -> Self::ProvidedIter<'_> {
        std::iter::empty()
    }

    fn remove_provider(&mut self, _: &RecordKey, _: &PeerId) {}
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::net::{TcpListener, TcpStream};

    use libp2p::multiaddr::Protocol;

    use super::*;

    #[test]
    fn a_stopped_node_refuses_connections_and_keeps_its_port() {
        let (_server, address) =
            smol::block_on(start_one(Role::Stopped, &identity(1, 0))).expect("a port is free");
        let Some(Protocol::Tcp(port)) = address.iter().nth(1) else { panic!("{address}") };
        let refused = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).map_err(|error| error.kind());
        assert_eq!(refused.err(), Some(ErrorKind::ConnectionRefused));
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map_err(|error| error.kind());
        assert_eq!(taken.err(), Some(ErrorKind::AddrInUse));
    }
}
