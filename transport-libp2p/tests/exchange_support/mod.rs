//! Real swarms in one process, over libp2p's memory transport.

// Each test file uses a part of it.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

pub mod raw;

use std::cell::Cell;
use std::future::Future;
use std::time::Duration;

use async_channel::{Receiver, Sender};
use dragnet_core::Failure;
use dragnet_libp2p::exchange::{Behaviour, Config, Counts, Event, FetchItem, Outgoing, Responder};
use futures::future::{Either, select};
use futures::{FutureExt, StreamExt};
use futures_timer::Delay;
use libp2p::core::Transport;
use libp2p::core::transport::MemoryTransport;
use libp2p::core::upgrade::Version;
use libp2p::identity::Keypair;
use libp2p::swarm::{NetworkBehaviour, SwarmEvent};
use libp2p::{Multiaddr, PeerId, Swarm, noise, swarm, yamux};
use smol::{LocalExecutor, Task};

/// How long a request may take that is to be answered.
pub const LONG: Duration = Duration::from_secs(20);

/// How long one may take that is not: enough for a question to arrive on a busy machine.
pub const SHORT: Duration = Duration::from_secs(1);

thread_local! {
    /// How the swarms of this test negotiate protocols.
    static NEGOTIATION: Cell<Version> = const { Cell::new(Version::V1) };
    static EXECUTOR: LocalExecutor<'static> = const { LocalExecutor::new() };
}

/// Runs a test with what it spawns, on this thread, and fails it if it hangs.
pub fn run(test: impl Future<Output = ()>) {
    EXECUTOR.with(|executor| {
        let watchdog = async {
            match select(std::pin::pin!(test), Delay::new(LONG)).await {
                Either::Left(((), _)) => {}
                Either::Right(_) => panic!("the test hangs"),
            }
        };
        futures::executor::block_on(executor.run(watchdog));
    });
}

/// Runs it twice: the second time in swarms that write the first words on a stream before the other side has taken
/// it, as a [`Node`](dragnet_libp2p::Node)'s does.
pub fn run_both(test: impl AsyncFn()) {
    for version in [Version::V1, Version::V1Lazy] {
        NEGOTIATION.set(version);
        run(test());
    }
}

pub fn spawn<T: 'static>(future: impl Future<Output = T> + 'static) -> Task<T> {
    EXECUTOR.with(|executor| executor.spawn(future))
}

/// A swarm whose connections are polled with it, so that dropping it drops them.
pub fn swarm<B: NetworkBehaviour>(behaviour: B) -> Swarm<B> {
    swarm_idle(behaviour, LONG)
}

/// The same, with connections that are closed when they have been idle for so long.
pub fn swarm_idle<B: NetworkBehaviour>(behaviour: B, idle: Duration) -> Swarm<B> {
    let keys = Keypair::generate_ed25519();
    let peer = keys.public().to_peer_id();
    let transport = MemoryTransport::new()
        .upgrade(Version::V1)
        .authenticate(noise::Config::new(&keys).unwrap())
        .multiplex(yamux::Config::default())
        .boxed();
    let config = swarm::Config::without_executor()
        .with_idle_connection_timeout(idle)
        .with_substream_upgrade_protocol_override(NEGOTIATION.get());
    Swarm::new(transport, behaviour, peer, config)
}

/// Listens, and waits for the address.
pub async fn listen<B: NetworkBehaviour>(swarm: &mut Swarm<B>) -> Multiaddr {
    swarm.listen_on("/memory/0".parse().unwrap()).unwrap();
    loop {
        if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
            return address;
        }
    }
}

/// A peer that runs by itself until it is dropped.
pub struct Served {
    pub peer: PeerId,
    pub address: Multiaddr,
    pub questions: Receiver<Asked>,
    /// One for each connection.
    pub connections: Receiver<()>,
    pub task: Task<()>,
}

pub struct Asked {
    pub question: Vec<u8>,
    pub items_max: usize,
    pub responder: Responder,
}

/// A peer that hands out the questions it is asked.
pub async fn serve(config: Config) -> Served {
    let (resume, resumed) = channel();
    resume.try_send(()).unwrap();
    serve_resumed(config, resumed).await
}

/// The same, but it does nothing between the first connection and a message.
pub async fn pausing(config: Config) -> (Served, Sender<()>) {
    let (resume, resumed) = channel();
    (serve_resumed(config, resumed).await, resume)
}

async fn serve_resumed(config: Config, resumed: Receiver<()>) -> Served {
    let mut swarm = swarm(Behaviour::new(config));
    let address = listen(&mut swarm).await;
    let peer = *swarm.local_peer_id();
    let (asked, questions) = async_channel::unbounded();
    let (connected, connections) = async_channel::unbounded();
    let mut first = true;
    let task = spawn(async move {
        loop {
            match swarm.select_next_some().await {
                SwarmEvent::Behaviour(Event::Question { question, items_max, responder, .. }) => {
                    let _ = asked.try_send(Asked { question: question.to_vec(), items_max, responder });
                }
                SwarmEvent::ConnectionEstablished { .. } => {
                    connected.try_send(()).unwrap();
                    if std::mem::take(&mut first) {
                        resumed.recv().await.unwrap();
                    }
                }
                _ => {}
            }
        }
    });
    Served { peer, address, questions, connections, task }
}

/// A peer that answers every question with one item: the question itself.
pub async fn echo(config: Config) -> Served {
    let served = serve(config).await;
    let questions = served.questions.clone();
    spawn(async move {
        while let Ok(Asked { question, responder, .. }) = questions.recv().await {
            let _ = responder.answer([item(&question, b"")]);
        }
    })
    .detach();
    served
}

pub fn item(id: &[u8], body: &[u8]) -> FetchItem {
    FetchItem { id: id.to_vec().into(), body: body.to_vec().into() }
}

/// How a request ended.
#[derive(PartialEq, Eq, Debug)]
pub enum Ended {
    Answered(Vec<u8>),
    Failed(Failure),
}

/// The peer that asks. It runs while it is awaited.
pub struct Asker {
    pub swarm: Swarm<Behaviour>,
    pub dials: usize,
    /// The requests that were said to have been sent, in order, but for those of `settle`.
    pub sent: Vec<u64>,
}

impl Asker {
    pub fn new(config: Config) -> Self {
        Self { swarm: swarm(Behaviour::new(config)), dials: 0, sent: Vec::new() }
    }

    /// A question to a peer, which may take `timeout`.
    pub fn question(&self, id: u64, to: &Served, timeout: Duration) -> Outgoing {
        let addresses = vec![to.address.clone()];
        let fetch = self.swarm.behaviour().config().fetch.clone();
        fetch.outgoing(id, to.peer, addresses, format!("question {id}").as_bytes(), 0, timeout).unwrap()
    }

    pub fn ask(&mut self, request: Outgoing) {
        assert!(self.swarm.behaviour_mut().ask(request));
    }

    pub fn cancel(&mut self, id: u64) -> bool {
        self.swarm.behaviour_mut().cancel(id)
    }

    pub fn counts(&self) -> Counts {
        self.swarm.behaviour().counts()
    }

    /// The next event of the swarm.
    pub async fn step(&mut self) -> SwarmEvent<Event> {
        let event = self.swarm.select_next_some().await;
        self.dials += usize::from(matches!(event, SwarmEvent::Dialing { .. }));
        if let SwarmEvent::Behaviour(Event::Sent { id }) = event {
            self.sent.push(id);
        }
        event
    }

    /// The end of the next request that ends, and how long it was queued.
    pub async fn next_queued(&mut self) -> (u64, Ended, Duration) {
        loop {
            match self.step().await {
                SwarmEvent::Behaviour(Event::Answered { id, answer, queued, .. }) => {
                    return (id, Ended::Answered(answer.to_vec()), queued);
                }
                SwarmEvent::Behaviour(Event::Failed { id, failure, queued, .. }) => {
                    return (id, Ended::Failed(failure), queued);
                }
                _ => {}
            }
        }
    }

    pub async fn next(&mut self) -> (u64, Ended) {
        let (id, ended, _) = self.next_queued().await;
        (id, ended)
    }

    /// The items of the next request that ends.
    pub async fn next_items(&mut self) -> Vec<FetchItem> {
        let (id, Ended::Answered(answer)) = self.next().await else { panic!("not answered") };
        let fetched = self.swarm.behaviour().config().fetch.decode_answer(answer.into()).unwrap();
        assert_eq!(fetched.invalid, 0, "request {id}");
        fetched.items
    }

    /// Runs beside `other`, and returns what that gives. No request may end meanwhile.
    pub async fn beside<T>(&mut self, other: impl Future<Output = T>) -> T {
        let mut other = std::pin::pin!(other.fuse());
        loop {
            futures::select_biased! {
                done = other => return done,
                event = self.step().fuse() => assert!(
                    !is_end(&event),
                    "{event:?}, and nothing was to end"
                ),
            }
        }
    }

    /// Runs until all that can happen by itself has happened. No request may end meanwhile.
    pub async fn idle(&mut self) {
        for _ in 0..100 {
            self.beside(smol::future::yield_now()).await;
        }
    }

    /// Runs until nothing of any request is left. No request may end meanwhile.
    pub async fn settle(&mut self) {
        let swarm = &mut self.swarm;
        futures::future::poll_fn(|cx| {
            while let std::task::Poll::Ready(Some(event)) = swarm.poll_next_unpin(cx) {
                assert!(!is_end(&event), "{event:?}, and nothing was to end");
            }
            // Woken whenever the swarm has done something that is no event too.
            if swarm.behaviour().is_idle() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
        })
        .await;
        assert_eq!(self.counts(), Counts { connections: self.counts().connections, ..Counts::default() });
    }
}

/// Whether the event is more than that a request has left the queue.
pub fn is_end(event: &SwarmEvent<Event>) -> bool {
    matches!(event, SwarmEvent::Behaviour(event) if !matches!(event, Event::Sent { .. }))
}

/// An end to be waited for and one that waits.
pub fn channel<T>() -> (Sender<T>, Receiver<T>) {
    async_channel::unbounded()
}
