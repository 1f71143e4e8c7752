//! `node`: a peer that shares packages and answers others.

use std::net::SocketAddr;
use std::sync::Arc;

use dragnet_libp2p::Client;
use serde_json::json;

use super::shared;
use crate::announce::{self, Announced, announce};
use crate::args;
use crate::catalogue::Catalogue;
use crate::cli::NodeArgs;
use crate::error::{Error, Exit};
use crate::monitor::{Monitor, MonitorLimits};
use crate::output::Output;
use crate::peer::{self, Peer};
use crate::signals::Interrupt;

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
    let builder = args.listen.iter().fold(peer::builder(&args.protocol), |node, at| node.listen(at));
    let peer = Peer::start_recorded(peer::boot(builder, &args.boot), &args.recording)?;
    let is_first = args.boot.is_empty();
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
            if !is_first {
                let report = client.bootstrap().await?;
                let known = report.known;
                output.line(
                    format!("Joined: {known} peers known"),
                    &json!({"kind": "joined", "known": known}),
                )?;
            }
            output.text("Press Ctrl-C to stop.")?;
            share(client, &catalogue, output).await
        };
        let result = until(&mut interrupt, work).await;
        serving.cancel().await;
        if let Some((_, watching)) = watching {
            watching.cancel().await;
        }
        output.line("Stopped.", &json!({"kind": "stopped"}))?;
        result
    })
    .await
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

/// Publishes what there is to share: now, and if nobody is there yet, again when somebody has come.
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
    if announced.unheard() == announced.len() {
        output.text("Nobody is there yet: the terms will be announced when a peer has come")?;
        announce::company(client).await?;
        // The first handles are kept until the second are there, or their keys would be withdrawn.
        let again = announce(client, keys(), || {}).await?;
        announced = again;
    }
    let heard = announced.len() - announced.unheard();
    output.line(format!("Announced {heard} terms"), &json!({"kind": "announced", "terms": heard}))?;
    Ok(announced)
}
