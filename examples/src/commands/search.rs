//! `search`: packages of the network, as they are found.

use dragnet_core::front::DriverGone;
use dragnet_core::{CachePolicy, Outcome, QueryConfig, Reason, Source, SourceStats};
use futures::StreamExt;
use serde_json::json;

use super::shared;
use crate::cli::SearchArgs;
use crate::duration::{as_ms, show};
use crate::error::{Error, Exit};
use crate::federation::Federated;
use crate::market::{self, Ending, Market};
use crate::output::{Asked, EndingObject, HitObject, Output, hit_line};
use crate::peer::{self, Peer};
use crate::question::Question;
use crate::state::Keeper;
use crate::table::{Align, Table};

/// Searches the network and prints what comes.
///
/// # Errors
///
/// A search that is none, packages that cannot be read, a bad address, nobody who answers.
pub async fn search(args: &SearchArgs, output: Output) -> Result<Exit, Error> {
    let question = Question::new(&args.terms, args.category.as_deref(), args.tag.as_deref())?;
    let config = QueryConfig::balanced().with_timeout(args.timeout).with_max_results(args.limit.into());
    if !args.source.is_empty() {
        return search_sources(args, &question, config, output).await;
    }
    let own = shared(&args.shared, output).await?;
    let judge = market::judges();
    let keeper = args.state.as_deref().map(|path| Keeper::open(path, &judge, output)).transpose()?;
    let (builder, config) = match &keeper {
        Some(keeper) => (keeper.begin(&args.protocol)?.builder, config.with_cache(CachePolicy::Fresh)),
        None => (peer::builder(&args.protocol), config),
    };
    let peer = Peer::join_by(peer::boot(builder, &args.boot), &args.recording).await?;
    peer.run(async |client| {
        let market = Market::judged(client.clone(), own, judge);
        let mut search = market.search(&question, config)?;
        let (width, words) = (output.width(), args.terms.join(" "));
        while let Some(hit) = search.next().await {
            let from = hit.from.map_or_else(|| "own".to_string(), |peer| peer.to_string());
            output.text(hit_line(hit.elapsed, short(&from), &hit.package, width))?;
            output.object(&HitObject {
                kind: "hit",
                search: &words,
                source: None,
                from,
                elapsed_ms: as_ms(hit.elapsed),
                package: &hit.package,
            })?;
        }
        let ending = search.ending().await?;
        if let Some(keeper) = &keeper {
            keeper.save(client).await;
        }
        summarise(&words, &ending, output)?;
        Ok(if ending.results > 0 { Exit::Found } else { Exit::Nothing })
    })
    .await
}

fn summarise(words: &str, ending: &Ending, output: Output) -> Result<(), Error> {
    let Ending { reason, results, stats, duplicates, .. } = ending;
    let text = format!(
        "{results} found, {duplicates} duplicates removed, {} asked, {} failed, in {}: {reason}",
        stats.contacted,
        stats.failed,
        show(stats.total)
    );
    let object = EndingObject::new("summary", Asked::Search(words), ending);
    Ok(output.line(text, &object)?)
}

/// Searches several networks and registries at once.
async fn search_sources(
    args: &SearchArgs,
    question: &Question,
    config: QueryConfig,
    output: Output,
) -> Result<Exit, Error> {
    let sources = Federated::open(args.source.clone(), &args.protocol, &config)?;
    let result = print_found(args, &sources, question, config, output).await;
    sources.stop().await;
    result
}

async fn print_found(
    args: &SearchArgs,
    sources: &Federated,
    question: &Question,
    config: QueryConfig,
    output: Output,
) -> Result<Exit, Error> {
    let (width, words) = (output.width(), args.terms.join(" "));
    let mut search = sources.search(question, config)?;
    while let Some(hit) = search.next().await {
        let member = hit.from.as_ref();
        let source = member.map_or("", |member| &args.source[usize::from(member.source.0)].name);
        output.text(hit_line(hit.elapsed, source, &hit.item, width))?;
        output.object(&HitObject {
            kind: "hit",
            search: &words,
            source: Some(source),
            from: member.map(|member| member.who.to_string()).unwrap_or_default(),
            elapsed_ms: as_ms(hit.elapsed),
            package: &hit.item,
        })?;
    }
    let outcome = search.outcome().ok_or(DriverGone)?;
    tell_sources(sources, outcome, output)?;
    let mut ending = Ending::of_query(outcome, outcome.results);
    if ending.reason == Reason::QuorumReached {
        // A quorum of one: as many as were wanted.
        ending.reason = Reason::EnoughResults;
    }
    summarise(&words, &ending, output)?;
    Ok(if ending.results > 0 { Exit::Found } else { Exit::Nothing })
}

/// What each source cost and brought, and what is wrong with it.
fn tell_sources(sources: &Federated, outcome: &Outcome, output: Output) -> Result<(), Error> {
    let counts = ["found first", "dupl", "differ", "asked", "answered", "failed", "invalid"];
    let columns = counts.map(|name| (name, Align::Right));
    let columns = [("source", Align::Left)].into_iter().chain(columns).chain([("last problem", Align::Left)]);
    let mut table = Table::new(columns);
    for (index, stats) in outcome.sources.iter().enumerate() {
        let problem = u16::try_from(index).ok().and_then(|index| sources.problem(Source(index)));
        let SourceStats {
            name, contacted, replied, failed, invalid, duplicate, conflicting, results, ..
        } = stats;
        let counts = [
            *results as u64,
            (*duplicate).into(),
            (*conflicting).into(),
            (*contacted).into(),
            (*replied).into(),
            (*failed).into(),
            (*invalid).into(),
        ];
        let cells = counts.map(|count| count.to_string());
        let cells = [name.to_string()].into_iter().chain(cells).chain(problem.clone());
        table.row(cells);
        output.object(&json!({
            "kind": "source", "name": **name, "results": results, "duplicates_removed": duplicate, "differ": conflicting,
            "asked": contacted, "answered": replied, "failed": failed, "invalid": invalid, "problem": problem,
        }))?;
    }
    output.heading("Sources")?;
    Ok(output.text(table.render(output.width()).trim_end())?)
}

/// The end of a peer id: all begin alike.
fn short(peer: &str) -> &str {
    &peer[peer.len().saturating_sub(8)..]
}
