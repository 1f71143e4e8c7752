//! The peers of the demo: real nodes on loopback TCP.

use std::sync::Arc;

use dragnet_libp2p::{Client, Config, Node};
use futures::future::{join_all, try_join_all};
use libp2p::{Multiaddr, PeerId};
use smol::{Executor, Task};

use super::plan::{self, Plan, Role};
use super::roles;
use crate::announce::Announced;
use crate::catalogue::Catalogue;
use crate::error::Error;
use crate::peer;

/// Questions in flight to one peer: as many as the fetch protocol serves on a connection. With the usual
/// 16 the searches would queue for the silent peer, which holds each for its whole `request_timeout`.
const CONTACTS_PER_PEER: usize = 32;

/// What a peer may have to do at once besides its searches.
const COMMANDS_SPARE: usize = 16;

/// One peer.
pub(super) struct DemoNode {
    pub(super) name: String,
    pub(super) role: Role,
    pub(super) peer: PeerId,
    pub(super) client: Client,
    pub(super) catalogue: Arc<Catalogue>,
    /// What it has published, as long as it runs.
    pub(super) published: Announced,
    running: Option<[Task<()>; 2]>,
}

/// All of them.
pub(super) struct Network {
    pub(super) nodes: Vec<DemoNode>,
    executor: Arc<Executor<'static>>,
}

impl Network {
    /// Starts the peers. The first is known to all others, and through it they meet.
    pub(super) async fn start(plan: &Plan, executor: &Arc<Executor<'static>>) -> Result<Self, Error> {
        let mut network = Self { nodes: Vec::new(), executor: Arc::clone(executor) };
        let started = network.start_all(plan).await;
        if started.is_err() {
            network.stop().await;
        }
        started.map(|()| network)
    }

    async fn start_all(&mut self, plan: &Plan) -> Result<(), Error> {
        let mut entrance = Vec::new();
        for index in 0..plan.roles.len() {
            let node = DemoNode::start(plan, index, &entrance, &self.executor)?;
            self.nodes.push(node);
            if index == 0 {
                entrance = peer::full_addresses(&self.nodes[0].client).await?;
            }
        }
        try_join_all(self.nodes.iter().skip(1).map(|node| node.client.bootstrap())).await?;
        Ok(())
    }

    /// The peer that asks.
    pub(super) fn asker(&self) -> &DemoNode {
        &self.nodes[0]
    }

    /// What a peer is called.
    pub(super) fn name(&self, peer: &PeerId) -> &str {
        let node = self.nodes.iter().find(|node| node.peer == *peer);
        node.map_or("stranger", |node| &node.name)
    }

    /// Begins to stop the one that is to be stopped in the middle. The others are not told.
    pub(super) fn stop_one(&mut self) -> Task<()> {
        let node = self.nodes.iter_mut().find(|node| node.role == Role::Stopped);
        let stopping = node.map(DemoNode::stop);
        self.executor.spawn(async move {
            if let Some(stopping) = stopping {
                stopping.await;
            }
        })
    }

    /// Stops all, and waits for it.
    pub(super) async fn stop(&mut self) {
        join_all(self.nodes.iter_mut().map(DemoNode::stop)).await;
    }
}

impl DemoNode {
    fn start(
        plan: &Plan,
        index: usize,
        entrance: &[Multiaddr],
        executor: &Executor<'static>,
    ) -> Result<Self, Error> {
        let (role, catalogue) = (plan.roles[index], Arc::clone(&plan.catalogues[index]));
        let builder = Node::builder(plan.keypairs[index].clone())
            .listen("/ip4/127.0.0.1/tcp/0")
            .configure(|config| configure(config, plan.concurrency));
        let builder = entrance.iter().fold(builder, dragnet_libp2p::NodeBuilder::boot);
        let (node, client) = builder.build()?;
        let running = executor.spawn(node);
        let serving = executor.spawn(roles::serve(role, client.questions(), Arc::clone(&catalogue)));
        Ok(Self {
            name: plan::name(index),
            role,
            peer: client.local_peer(),
            client,
            catalogue,
            published: Announced::default(),
            running: Some([running, serving]),
        })
    }

    /// Ends the node and its service; nothing if it has been stopped.
    fn stop(&mut self) -> impl Future<Output = ()> + use<> {
        let running = self.running.take();
        let published = std::mem::take(&mut self.published);
        let client = self.client.clone();
        async move {
            if let Some(tasks) = running {
                client.shutdown().await;
                join_all(tasks).await;
            }
            drop(published);
        }
    }
}

fn configure(config: &mut Config, concurrency: usize) {
    // All searches start before any of them has been taken up.
    config.commands_max = config.commands_max.max(concurrency + COMMANDS_SPARE);
    config.engine.caps.contacts_per_peer = CONTACTS_PER_PEER;
    config.exchange.in_flight_max = CONTACTS_PER_PEER;
}

#[cfg(test)]
mod tests {
    use dragnet_core::QueryConfig;
    use dragnet_libp2p::query;

    use super::*;
    use crate::args;
    use crate::cli::DemoArgs;
    use crate::demo::on_threads;
    use crate::package::tests::package;

    #[test]
    fn as_many_searches_start_at_once_as_the_command_line_allows() {
        let (packages, concurrency) = (vec![package("pack", &["popular"], &[])], 10_000);
        let args = DemoArgs { nodes: 5, queries: 1, concurrency, seed: 1, packages: None, terms: Vec::new() };
        let plan = Plan::new(packages, &args).unwrap();
        let executor = Arc::new(Executor::new());
        on_threads(&executor, async {
            let mut network = Network::start(&plan, &executor).await.unwrap();
            let client = &network.asker().client;
            let start =
                |_| client.query(query::providers(args::term("pack")).config(QueryConfig::balanced()));
            let started: Result<Vec<_>, _> = (0..concurrency).map(start).collect();
            drop(started.expect("so many may be asked for"));
            network.stop().await;
        });
    }
}
