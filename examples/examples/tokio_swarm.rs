//! Dragnet's `Behaviour` in a swarm of one's own, beside other behaviours, on tokio: the same as runs
//! on smol in `marketplace`. Two such swarms in one process, of which one searches the other.
//!
//! `cargo run --example tokio_swarm`

use std::error::Error;

use dragnet_examples::catalogue::Catalogue;
use dragnet_examples::duration::show;
use dragnet_examples::market::Market;
use dragnet_examples::peer::full_addresses;
use dragnet_examples::question::Question;
use dragnet_examples::{args, source};
use dragnet_libp2p::{Behaviour, Client, Config};
use futures::StreamExt;
use libp2p::multiaddr::Protocol;
use libp2p::swarm::{NetworkBehaviour, SwarmEvent};
use libp2p::{Multiaddr, Swarm, SwarmBuilder, identify, noise, ping, tcp, yamux};

/// Whatever an application puts into its swarm, and Dragnet.
#[derive(NetworkBehaviour)]
struct Stack {
    dragnet: Behaviour,
    identify: identify::Behaviour,
    ping: ping::Behaviour,
}

fn swarm() -> Result<(Swarm<Stack>, Client), Box<dyn Error>> {
    let keypair = libp2p::identity::Keypair::generate_ed25519();
    let mut config = Config::default();
    // On one machine, what is listened on can be dialled.
    config.confirm_listen_addresses = true;
    let (dragnet, client) = Behaviour::new(keypair.public().to_peer_id(), config);
    let identify = identify::Config::new("/example/1.0.0".to_string(), keypair.public());
    let stack =
        Stack { dragnet, identify: identify::Behaviour::new(identify), ping: ping::Behaviour::default() };
    let mut swarm = SwarmBuilder::with_existing_identity(keypair)
        .with_tokio()
        .with_tcp(tcp::Config::default().nodelay(true), noise::Config::new, yamux::Config::default)?
        .with_behaviour(|_| stack)?
        .build();
    swarm.listen_on("/ip4/127.0.0.1/tcp/0".parse()?)?;
    Ok((swarm, client))
}

/// The application's own loop. Dragnet wants one thing of it: what identify has received.
async fn run(mut swarm: Swarm<Stack>) {
    loop {
        match swarm.select_next_some().await {
            SwarmEvent::Behaviour(StackEvent::Identify(identify::Event::Received {
                peer_id, info, ..
            })) => swarm.behaviour_mut().dragnet.handle_identify(peer_id, &info),
            SwarmEvent::Behaviour(StackEvent::Ping(event)) => {
                // The application's own business.
                let _ = event;
            }
            _ => {}
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let (seller, seller_client) = swarm()?;
        let (buyer, buyer_client) = swarm()?;
        let swarms = [seller, buyer].map(|swarm| tokio::spawn(run(swarm)));

        let catalogue: Catalogue = source::from_cargo()?.into_iter().collect();
        let provided = seller_client.provide(args::term("async"));
        tokio::spawn(seller_client.questions().serve(move |question, max| catalogue.answer(question, max)));
        for address in full_addresses(&seller_client).await? {
            buyer_client.add_address(seller_client.local_peer(), without_peer(address))?;
        }
        buyer_client.bootstrap().await?;

        let market = Market::new(buyer_client.clone(), std::sync::Arc::default());
        let question = Question::new(&["async"], None, None)?;
        let mut search = market.search(&question, dragnet_core::QueryConfig::low_latency())?;
        while let Some(hit) = search.next().await {
            println!("{:>8}  {} {}", show(hit.elapsed), hit.package.name, hit.package.version);
        }
        let ending = search.ending().await?;
        println!("{} packages in {}: {}", ending.results, show(ending.stats.total), ending.reason);

        drop(provided);
        seller_client.shutdown().await;
        buyer_client.shutdown().await;
        swarms.iter().for_each(tokio::task::JoinHandle::abort);
        if ending.results == 0 { Err("nothing was found".into()) } else { Ok(()) }
    })
}

fn without_peer(mut address: Multiaddr) -> Multiaddr {
    if let Some(Protocol::P2p(_)) = address.iter().last() {
        address.pop();
    }
    address
}
