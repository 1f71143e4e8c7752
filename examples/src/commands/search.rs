//! `search`: packages of the network, as they are found.

use dragnet_core::QueryConfig;
use futures::StreamExt;

use super::shared;
use crate::cli::SearchArgs;
use crate::duration::{as_ms, show};
use crate::error::{Error, Exit};
use crate::market::{Ending, Market};
use crate::output::{Asked, EndingObject, HitObject, Output, hit_line};
use crate::peer::Peer;
use crate::question::Question;

/// Searches the network and prints what comes.
///
/// # Errors
///
/// A search that is none, packages that cannot be read, a bad address, nobody who answers.
pub async fn search(args: &SearchArgs, output: Output) -> Result<Exit, Error> {
    let question = Question::new(&args.terms, args.category.as_deref(), args.tag.as_deref())?;
    let own = shared(&args.shared, output).await?;
    let peer = Peer::join(&args.network).await?;
    peer.run(async |client| {
        let market = Market::new(client.clone(), own);
        let config = QueryConfig::balanced().with_timeout(args.timeout).with_max_results(args.limit.into());
        let mut search = market.search(&question, config)?;
        let (width, words) = (output.width(), args.terms.join(" "));
        while let Some(hit) = search.next().await {
            let from = hit.from.map_or_else(|| "own".to_string(), |peer| peer.to_string());
            output.text(hit_line(hit.elapsed, short(&from), &hit.package, width))?;
            output.object(&HitObject {
                kind: "hit",
                search: &words,
                from,
                elapsed_ms: as_ms(hit.elapsed),
                package: &hit.package,
            })?;
        }
        let ending = search.ending().await?;
        summarise(&words, &ending, output)?;
        Ok(if ending.results > 0 { Exit::Found } else { Exit::Nothing })
    })
    .await
}

fn summarise(words: &str, ending: &Ending, output: Output) -> Result<(), Error> {
    let Ending { reason, results, stats, duplicates } = ending;
    let text = format!(
        "{results} found, {duplicates} duplicates removed, {} asked, {} failed, in {}: {reason}",
        stats.contacted,
        stats.failed,
        show(stats.total)
    );
    let object = EndingObject::new("summary", Asked::Search(words), ending);
    Ok(output.line(text, &object)?)
}

/// The end of a peer id: all begin alike.
fn short(peer: &str) -> &str {
    &peer[peer.len().saturating_sub(8)..]
}
