//! The nodes: some that stay, some that are killed and come back, and one that asks.

use std::time::Duration;

use anyhow::{Context as _, Result};
use dragnet_libp2p::exchange::FetchItem;
use dragnet_libp2p::{Client, Node, ProvideHandle, provider_key, record_key};
use fastrand::Rng;
use libp2p::identity::Keypair;
use libp2p::kad::{Record, RecordKey};
use smol::Task;

/// Nodes that stay, the asker not counted.
const STAY: usize = 6;

/// Nodes that come and go.
const COME_AND_GO: usize = 4;

/// Records that are there to be found.
const RECORDS: usize = 20;

/// Items of each provider of the term.
const ITEMS: usize = 5;

/// Those who provide the term.
const PROVIDERS: usize = 2;

pub(super) const TERM: &[u8] = b"soak";

pub(super) struct Nodes {
    asker: Peer,
    stay: Vec<Peer>,
    /// Empty while it is away.
    come_and_go: Vec<(Keypair, Option<Peer>)>,
    boot: String,
    stored: Stored,
    rng: Rng,
    pub(super) kills: u64,
    pub(super) restarts: u64,
    _provided: Vec<ProvideHandle>,
    _served: Vec<Task<()>>,
}

/// What must be found.
#[derive(Clone)]
pub(super) struct Stored {
    pub(super) records: Vec<(RecordKey, Vec<u8>)>,
    pub(super) items: usize,
}

struct Peer {
    client: Client,
    task: Task<()>,
}

impl Nodes {
    pub(super) async fn start(seed: u64) -> Result<Self> {
        let first = start(Keypair::generate_ed25519(), None).await?;
        let address =
            first.client.listeners().await?.into_iter().next().context("the first node listens nowhere")?;
        let boot = format!("{address}/p2p/{}", first.client.local_peer());
        let mut stay = vec![first];
        while stay.len() < STAY {
            stay.push(start(Keypair::generate_ed25519(), Some(&boot)).await?);
        }
        let asker = start(Keypair::generate_ed25519(), Some(&boot)).await?;
        let mut records = Vec::new();
        for number in 0..RECORDS {
            let key = record_key("soak", &number.to_be_bytes());
            let value = vec![number as u8; 64];
            // Each by one that stays, and so with others that stay.
            stay[number % STAY].client.put(Record::new(key.clone(), value.clone())).await?;
            records.push((key, value));
        }
        let (mut provided, mut served) = (Vec::new(), Vec::new());
        for (number, peer) in stay[..PROVIDERS].iter().enumerate() {
            let mut handle = peer.client.provide(provider_key(TERM));
            handle.announced().await?;
            provided.push(handle);
            let items: Vec<_> = (0..ITEMS).map(|n| item(number * ITEMS + n)).collect();
            served.push(smol::spawn(peer.client.questions().serve(move |_question, _max| items.clone())));
        }
        let mut come_and_go = Vec::new();
        for _ in 0..COME_AND_GO {
            let keypair = Keypair::generate_ed25519();
            let peer = start(keypair.clone(), Some(&boot)).await?;
            come_and_go.push((keypair, Some(peer)));
        }
        // An announcement is not answered: it may be under way.
        smol::Timer::after(Duration::from_secs(1)).await;
        let stored = Stored { records, items: PROVIDERS * ITEMS };
        let rng = Rng::with_seed(seed);
        let (kills, restarts) = (0, 0);
        Ok(Self {
            asker,
            stay,
            come_and_go,
            boot,
            stored,
            rng,
            kills,
            restarts,
            _provided: provided,
            _served: served,
        })
    }

    pub(super) fn client(&self) -> &Client {
        &self.asker.client
    }

    pub(super) fn stored(&self) -> Stored {
        self.stored.clone()
    }

    /// Kills one that is there, or brings back one that is away.
    pub(super) async fn change(&mut self) -> Result<()> {
        let number = self.rng.usize(..self.come_and_go.len());
        let (keypair, peer) = &mut self.come_and_go[number];
        match peer.take() {
            Some(peer) => {
                self.kills += 1;
                if self.rng.bool() {
                    // In the middle of whatever it does.
                    peer.task.cancel().await;
                } else {
                    peer.stop().await;
                }
            }
            None => {
                self.restarts += 1;
                *peer = Some(start(keypair.clone(), Some(&self.boot)).await?);
            }
        }
        Ok(())
    }

    pub(super) async fn stop(self) {
        let gone = self.come_and_go.into_iter().filter_map(|(_, peer)| peer);
        for peer in gone.chain(self.stay).chain([self.asker]) {
            peer.stop().await;
        }
    }
}

impl Peer {
    async fn stop(self) {
        self.client.shutdown().await;
        self.task.await;
    }
}

async fn start(keypair: Keypair, boot: Option<&str>) -> Result<Peer> {
    let mut builder = Node::builder(keypair)
        .listen("/ip4/127.0.0.1/tcp/0")
        .configure(|config| config.confirm_listen_addresses = true);
    if let Some(boot) = boot {
        builder = builder.boot(boot);
    }
    let (node, client) = builder.build()?;
    let task = smol::spawn(node);
    if boot.is_some() {
        // Whoever cannot join by now is not missed: what must be found is with those who stay, and these are checked.
        let _ = client.bootstrap().await;
    }
    Ok(Peer { client, task })
}

fn item(number: usize) -> FetchItem {
    FetchItem { id: format!("item {number}").into_bytes().into(), body: vec![0; 100].into() }
}
