//! `node`: a peer that shares packages and answers others.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use dragnet_libp2p::Client;
use serde_json::json;

use super::shared;
use crate::announce::{self, Announced, announce};
use crate::args;
use crate::catalogue::Catalogue;
use crate::cli::NodeArgs;
use crate::error::{Error, Exit};
use crate::market;
use crate::monitor::{Monitor, MonitorLimits};
use crate::output::Output;
use crate::peer::{self, Peer};
use crate::signals::Interrupt;
use crate::state::Keeper;

/// Runs a peer until Ctrl-C.
///
/// # Errors
///
/// Packages that cannot be read, a bad address, an occupied port, nobody who answers at the addresses
/// to boot from.
pub async fn node(args: &NodeArgs, output: Output) -> Result<Exit, Error> {
    let mut interrupt = Interrupt::new()?;
    let catalogue = shared(&args.shared, output).await?;
    let monitor = monitor(args.metrics).await?;
    let keeper = keeper(args, output)?;
    let (builder, knows_peers) = match &keeper {
        Some(keeper) => {
            let begun = keeper.begin(&args.protocol)?;
            (begun.builder, begun.knows_peers)
        }
        None => (peer::builder(&args.protocol), false),
    };
    let builder = args.listen.iter().fold(builder, |node, at| node.listen(at));
    let peer = Peer::start_recorded(peer::boot(builder, &args.boot), &args.recording)?;
    let knows_peers = knows_peers || !args.boot.is_empty();
    peer.run(async |client| {
        let serving = smol::spawn(serve(client, Arc::clone(&catalogue)));
        let watching = monitor.map(|monitor| {
            let address = monitor.address();
            (address, smol::spawn(monitor.run(client.clone())))
        });
        let work = async {
            introduce(client, output).await?;
            if let Some((address, _)) = &watching {
                let object = json!({"kind": "metrics", "address": address, "url": format!("http://{address}/metrics")});
                output.line(format!("Metrics at http://{address}/metrics, and marketplace top --metrics {address}"), &object)?;
            }
            if knows_peers {
                join(client, keeper.as_ref().filter(|_| args.boot.is_empty()), output).await?;
            }
            output.text("Press Ctrl-C to stop.")?;
            share(client, &catalogue, output).await
        };
        let saving = async {
            match &keeper {
                Some(keeper) => keeper.keep(client, args.save_every).await,
                None => std::future::pending().await,
            }
        };
        let result = smol::future::or(until(&mut interrupt, work), saving).await;
        if let Some(keeper) = keeper.as_ref().filter(|_| result.is_ok()) {
            keeper.save(client).await;
        }
        serving.cancel().await;
        if let Some((_, watching)) = watching {
            watching.cancel().await;
        }
        output.line("Stopped.", &json!({"kind": "stopped"}))?;
        result
    })
    .await
}

/// Where what this node knows is kept, if it is.
fn keeper(args: &NodeArgs, output: Output) -> Result<Option<Keeper>, Error> {
    let open = |path: &PathBuf| Keeper::open(path, &market::judges(), output);
    args.state.as_ref().map(open).transpose()
}

/// Joins the network. Where peers are only remembered, that none of them is there is no error: this node is
/// the first one of its network again.
async fn join(client: &Client, remembered: Option<&Keeper>, output: Output) -> Result<(), Error> {
    match client.bootstrap().await {
        Ok(report) => {
            let known = report.known;
            let object = json!({"kind": "joined", "known": known});
            Ok(output.line(format!("Joined: {known} peers known"), &object)?)
        }
        Err(error) => match remembered {
            Some(keeper) => {
                Ok(keeper.warn(&format!("none of the peers known from before is there: {error}"))?)
            }
            None => Err(error.into()),
        },
    }
}

/// A monitor, if one is wanted. It listens before anything else is done: a port that is taken is to be known.
async fn monitor(address: Option<SocketAddr>) -> Result<Option<Monitor>, Error> {
    match address {
        Some(address) => Ok(Some(Monitor::bind(address, MonitorLimits::default()).await?)),
        None => Ok(None),
    }
}

/// Does the work and then waits; ends at Ctrl-C, in the middle of the work too.
pub(super) async fn until<T>(
    interrupt: &mut Interrupt,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<Exit, Error> {
    let staying = async {
        match work.await {
            Ok(_held) => std::future::pending().await,
            Err(error) => Err(error),
        }
    };
    let interrupted = async {
        interrupt.wait().await;
        Ok(Exit::Found)
    };
    smol::future::or(interrupted, staying).await
}

/// Answers others' questions, until the node is gone.
pub(super) fn serve(client: &Client, catalogue: Arc<Catalogue>) -> impl Future<Output = ()> + use<> {
    let questions = client.questions();
    questions.serve(move |question, items_max| catalogue.answer(question, items_max))
}

/// Says who this is and where.
pub(super) async fn introduce(client: &Client, output: Output) -> Result<(), Error> {
    for address in peer::full_addresses(client).await? {
        let object =
            json!({"kind": "listening", "address": address, "peer": client.local_peer().to_string()});
        output.line(format!("Listening on {address}"), &object)?;
    }
    Ok(())
}

/// Publishes what there is to share: now, and as long as nobody hears it, again
/// when somebody has come.
async fn share(client: &Client, catalogue: &Catalogue, output: Output) -> Result<Announced, Error> {
    if catalogue.is_empty() {
        return Ok(Announced::default());
    }
    let terms = catalogue.terms();
    let keys = || terms.iter().map(|term| args::term(term));
    let object = json!({"kind": "sharing", "packages": catalogue.len(), "terms": terms.len()});
    output.line(format!("Sharing {} packages under {} terms", catalogue.len(), terms.len()), &object)?;
    let bar = output.progress("Announcing", terms.len());
    let mut announced = announce(client, keys(), || bar.inc(1)).await?;
    bar.finish_and_clear();
    while let Some(key) = keys().next().filter(|_| announced.unheard() == announced.len()) {
        let text = "Nobody is there yet: the terms will be announced when a peer has come";
        output.line(text, &json!({"kind": "alone"}))?;
        announce::company(client, &key).await?;
        // The first handles are kept until the second are there, or their keys would be withdrawn.
        let again = announce(client, keys(), || {}).await?;
        announced = again;
    }
    let heard = announced.len() - announced.unheard();
    output.line(format!("Announced {heard} terms"), &json!({"kind": "announced", "terms": heard}))?;
    Ok(announced)
}
