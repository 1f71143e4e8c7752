//! `providers` and `provide`: who has something.

use std::io;
use std::sync::Arc;

use dragnet_libp2p::query;
use futures::StreamExt;
use libp2p::kad::RecordKey;
use serde_json::json;

use super::node::{introduce, serve, until};
use super::shared;
use crate::announce::announce;
use crate::args;
use crate::cli::{ProvideArgs, ProvidersArgs};
use crate::duration::{as_ms, show};
use crate::error::{Error, Exit};
use crate::market::Ending;
use crate::output::{Asked, EndingObject, Output};
use crate::peer::{self, Peer};
use crate::signals::Interrupt;

/// Lists the providers of a key, as they are found.
///
/// # Errors
///
/// A key that is none, a bad address, nobody who answers.
pub async fn providers(args: &ProvidersArgs, output: Output) -> Result<Exit, Error> {
    let key = match (&args.key, &args.term) {
        (Some(key), _) => args::multihash(key)?,
        (None, term) => args::term(term.as_deref().unwrap_or_default()),
    };
    let peer = Peer::join(&args.network).await?;
    peer.run(async |client| {
        let mut query = query::providers(key.clone());
        query.config = query.config.with_timeout(args.timeout).with_max_results(args.limit.into());
        let mut found = client.query(query)?;
        let (name, mut results) = (args::show(&key), 0);
        while let Some(found) = found.next().await {
            let Some(provider) = found.item.peer() else { continue };
            results += 1;
            output.line(
                format!("{:>8}  {provider}", show(found.elapsed)),
                &json!({
                    "kind": "provider",
                    "key": name,
                    "peer": provider.to_string(),
                    "elapsed_ms": as_ms(found.elapsed),
                }),
            )?;
        }
        let ending = Ending::of_query(&peer::drain(found).await?, results);
        output.object(&EndingObject::new("summary", Asked::Key(&name), &ending))?;
        if results > 0 {
            return Ok(Exit::Found);
        }
        eprintln!("no provider of `{name}` after {}: {}", show(ending.stats.total), ending.reason);
        Ok(Exit::Nothing)
    })
    .await
}

/// Provides keys and answers searches until Ctrl-C.
///
/// # Errors
///
/// A key that is none, packages that cannot be read, a bad address, an occupied port, nobody who
/// answers.
pub async fn provide(args: &ProvideArgs, output: Output) -> Result<Exit, Error> {
    let mut interrupt = Interrupt::new()?;
    let words = args.term.iter().map(|term| args::term(term));
    let keys: Vec<RecordKey> = args.keys.iter().map(|key| args::multihash(key)).collect::<Result<_, _>>()?;
    let keys: Vec<RecordKey> = keys.into_iter().chain(words).collect();
    let catalogue = shared(&args.shared, output).await?;
    let builder = args.listen.iter().fold(peer::builder(&args.network.protocol), |node, at| node.listen(at));
    let peer = Peer::start(peer::boot(builder, &args.network.boot))?;
    peer.run(async |client| {
        let serving = smol::spawn(serve(client, Arc::clone(&catalogue)));
        let work = async {
            introduce(client, output).await?;
            client.bootstrap().await?;
            let announced = announce(client, keys.iter().cloned(), || {}).await?;
            for key in &keys {
                tell_provided(&args::show(key), announced.was_heard(key), output)?;
            }
            output.text("Press Ctrl-C to stop.")?;
            Ok(announced)
        };
        let result = until(&mut interrupt, work).await;
        serving.cancel().await;
        output.line("Stopped.", &json!({"kind": "stopped"}))?;
        result
    })
    .await
}

/// Says that a key is provided, and whether anybody has heard of it.
fn tell_provided(key: &str, was_heard: bool, output: Output) -> io::Result<()> {
    let unheard = if was_heard { "" } else { ", announced to nobody yet" };
    output.line(
        format_args!("Providing {key}{unheard}"),
        &json!({"kind": "providing", "key": key, "heard": was_heard}),
    )
}
