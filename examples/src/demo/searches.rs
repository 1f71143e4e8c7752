//! The demo's searches: some to look at, the rest as a load.

use std::time::{Duration, Instant};

use dragnet_core::{CachePolicy, QueryConfig};
use futures::{StreamExt, TryStreamExt, stream};

use dragnet_libp2p::Client;

use super::network::Network;
use crate::duration::as_ms;
use crate::error::Error;
use crate::market::{Ending, Market};
use crate::output::{HitObject, Output, hit_line};
use crate::question::Question;

/// How the demo searches.
///
/// An answer on loopback takes a few milliseconds, under this load a few dozen. A peer holds its slot for
/// 100 ms until the engine knows how long answers take here, and then for as long as they do. A search is
/// not over while somebody may still answer: a silent peer costs it what the engine waits beyond that, and at
/// most the `request_timeout`, 300 ms, which an honest peer does not take on a busy machine. Ten results are
/// a first page.
pub(super) const CONFIG: QueryConfig = QueryConfig::balanced()
    .with_timeout(Duration::from_secs(2))
    .with_max_results(10)
    .with_soft_timeout(Duration::from_millis(100))
    .with_request_timeout(Duration::from_millis(300));

/// One search that has ended.
pub(super) struct Searched {
    pub(super) term: String,
    pub(super) ending: Ending,
    /// As its asker sees it, from the call to the end.
    pub(super) took: Duration,
}

/// The load once more, by searches that may be given answers that were kept.
pub(super) struct Again {
    pub(super) searches: Vec<Searched>,
    /// Those that joined one that was under way.
    pub(super) joined: u64,
    /// What those that were given a kept answer would have taken otherwise: what it had taken to find.
    pub(super) saved: Duration,
}

/// The searches of the load.
pub(super) struct Load {
    pub(super) searches: Vec<Searched>,
    pub(super) took: Duration,
}

/// Runs searches one after the other, and prints what they find as they find it.
pub(super) async fn show(
    market: &Market,
    questions: &[Question],
    network: &Network,
    output: Output,
) -> Result<Vec<Searched>, Error> {
    let mut searched = Vec::new();
    for question in questions {
        let (start, term) = (Instant::now(), question.key_term());
        output.heading(format_args!("Searching for {term}"))?;
        let mut search = market.search(question, CONFIG)?;
        while let Some(hit) = search.next().await {
            let from = hit.from.map_or("own", |peer| network.name(&peer));
            output.text(hit_line(hit.elapsed, from, &hit.package, output.width()))?;
            output.object(&HitObject {
                kind: "hit",
                source: None,
                search: term,
                from: from.to_string(),
                elapsed_ms: as_ms(hit.elapsed),
                package: &hit.package,
            })?;
        }
        let ending = search.ending().await?;
        searched.push(Searched { term: term.to_string(), ending, took: start.elapsed() });
    }
    Ok(searched)
}

/// Runs searches, so many at once; halfway one of the peers is stopped.
pub(super) async fn load(
    market: &Market,
    questions: &[Question],
    concurrency: usize,
    network: &mut Network,
    output: Output,
) -> Result<Load, Error> {
    let bar = output.progress("Searching", questions.len());
    let start = Instant::now();
    let one = async |question: &Question| one(market, question, CONFIG).await;
    let half = questions.len() / 2;
    let mut running = stream::iter(questions).map(one).buffer_unordered(concurrency);
    let mut searches = Vec::with_capacity(questions.len());
    let mut stopping = None;
    loop {
        if searches.len() == half && stopping.is_none() {
            stopping = Some(network.stop_one());
        }
        let Some(searched) = running.try_next().await? else { break };
        bar.inc(1);
        searches.push(searched);
    }
    let took = start.elapsed();
    bar.finish_and_clear();
    if let Some(stopping) = stopping {
        stopping.await;
    }
    Ok(Load { searches, took })
}

/// Runs the searches of the load once more so that their answers are kept, and then again.
pub(super) async fn again(
    market: &Market,
    client: &Client,
    questions: &[Question],
    concurrency: usize,
    output: Output,
) -> Result<Again, Error> {
    let bar = output.progress("Searching again", 2 * questions.len());
    let all = async |policy| {
        let config = CONFIG.with_cache(policy);
        let one =
            async |question: &Question| one(market, question, config.clone()).await.inspect(|_| bar.inc(1));
        stream::iter(questions).map(one).buffer_unordered(concurrency).try_collect::<Vec<_>>().await
    };
    all(CachePolicy::Refresh).await?;
    let before = client.metrics();
    let searches = all(CachePolicy::Fresh).await?;
    bar.finish_and_clear();
    let after = client.metrics();
    Ok(Again {
        searches,
        joined: after.queries_joined - before.queries_joined,
        saved: Duration::from_nanos(
            u64::try_from(after.cache_saved.sum() - before.cache_saved.sum()).unwrap_or(u64::MAX),
        ),
    })
}

async fn one(market: &Market, question: &Question, config: QueryConfig) -> Result<Searched, Error> {
    let start = Instant::now();
    let ending = market.search(question, config)?.ending().await?;
    Ok(Searched { term: question.key_term().to_string(), ending, took: start.elapsed() })
}
