//! Searching the market: one's own packages first, then those of the network.

use std::collections::{HashSet, VecDeque};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use dragnet_core::front::{DriverGone, QueryHandle};
use dragnet_core::{Invalid, Outcome, QueryConfig, QueryStats, Reason, StartError, Validator};
use dragnet_libp2p::{Answer, Ask, Client, Libp2p, provider_key, query};
use futures::{Stream, StreamExt};
use libp2p::PeerId;

use crate::catalogue::Catalogue;
use crate::package::Package;
use crate::question::Question;

/// A peer's access to the market: its own packages, and a client of the network.
#[derive(Clone)]
pub struct Market {
    client: Client,
    own: Arc<Catalogue>,
    /// One for all searches: only those that judge alike can share what they find.
    judge: Arc<dyn Validator<Libp2p>>,
}

impl Market {
    /// Access by this client, with these packages of one's own.
    pub fn new(client: Client, own: Arc<Catalogue>) -> Self {
        Self::judged(client, own, judges())
    }

    /// The same, with [`judges`] of one's own making: those whose answers are kept in files are named there.
    pub fn judged(client: Client, own: Arc<Catalogue>, judge: Arc<dyn Validator<Libp2p>>) -> Self {
        Self { client, own, judge }
    }

    /// Searches one's own packages and then the network, for at most `max_results` packages.
    ///
    /// Peers filter what they send by the question; what they send is checked against it once more.
    ///
    /// # Errors
    ///
    /// When too many searches run, or the node is shut down.
    pub fn search(&self, question: &Question, config: QueryConfig) -> Result<Search, StartError> {
        let limit = config.max_results;
        let own: VecDeque<Package> = self.own.search(question, limit).into_iter().cloned().collect();
        let network = if own.len() < limit { Some(self.ask_network(question, config)?) } else { None };
        let seen = own.iter().map(Package::id).collect();
        Ok(Search { own, network, seen, limit, given: 0, duplicates: 0 })
    }

    fn ask_network(
        &self,
        question: &Question,
        config: QueryConfig,
    ) -> Result<QueryHandle<Libp2p>, StartError> {
        let key = provider_key(question.key_term().as_bytes());
        let judge = Arc::clone(&self.judge);
        self.client.query(query::search(key, question.encode()).shared_validator(judge).config(config))
    }
}

/// What all searches are judged by.
pub fn judges() -> Arc<dyn Validator<Libp2p>> {
    Arc::new(judge)
}

/// Whether an answer is a package that was asked for: a validator for all searches.
///
/// # Errors
///
/// Why it is none.
pub fn judge(ask: &Ask, answer: &Answer) -> Result<(), Invalid> {
    let package = package_of(answer)?;
    let question = ask.question().and_then(|question| Question::decode(question).ok());
    match question {
        Some(question) if question.matches(&package) => Ok(()),
        _ => Err(Invalid::new("a package not asked for")),
    }
}

/// The package that an answer holds, if it is one under its own id.
///
/// # Errors
///
/// Why it is none.
pub fn package_of(answer: &Answer) -> Result<Package, Invalid> {
    let fetched = answer.fetched().ok_or_else(|| Invalid::new("not by the fetch protocol"))?;
    let package = Package::decode(&fetched.body).map_err(|error| Invalid::new(error.to_string()))?;
    if package.id().as_bytes() != fetched.id {
        return Err(Invalid::new("a package under another's id"));
    }
    Ok(package)
}

/// One package that was found.
#[derive(Clone, Debug)]
pub struct Hit {
    /// The package.
    pub package: Package,
    /// The peer that gave it first; `None` for one's own.
    pub from: Option<PeerId>,
    /// From the start of the search.
    pub elapsed: Duration,
}

/// A search that runs: the stream of its distinct packages. Dropping it cancels it.
#[derive(Debug)]
#[must_use = "dropping a search cancels it"]
pub struct Search {
    own: VecDeque<Package>,
    network: Option<QueryHandle<Libp2p>>,
    /// The ids of one's own packages that are found: when a peer gives them too, they are duplicates.
    seen: HashSet<String>,
    limit: usize,
    given: usize,
    duplicates: u32,
}

/// How a search ended.
#[derive(Clone, Debug)]
pub struct Ending {
    /// Why.
    pub reason: Reason,
    /// Distinct packages found, one's own included.
    pub results: usize,
    /// What the network took; nothing if it was not asked.
    pub stats: QueryStats,
    /// Valid answers that had been seen before.
    pub duplicates: u32,
    /// Whether the network's part of it was kept from a search before.
    pub is_cached: bool,
}

impl Ending {
    /// The end of a query without packages of one's own.
    pub fn of_query(outcome: &Outcome, results: usize) -> Self {
        let duplicates = outcome.stats.duplicate;
        Self {
            reason: outcome.reason,
            results,
            stats: outcome.stats,
            duplicates,
            is_cached: outcome.cached.is_some(),
        }
    }
}

impl Search {
    /// Waits for the end. Packages that were not taken from the stream are counted and dropped.
    ///
    /// # Errors
    ///
    /// When the node is gone.
    pub async fn ending(mut self) -> Result<Ending, DriverGone> {
        while self.next().await.is_some() {}
        let Some(network) = &mut self.network else {
            let stats = QueryStats::default();
            return Ok(Ending {
                reason: Reason::EnoughResults,
                results: self.given,
                stats,
                duplicates: 0,
                is_cached: false,
            });
        };
        // After the last result that was wanted the query was cancelled, and is about to end.
        while network.next().await.is_some() {}
        let outcome = network.outcome().ok_or(DriverGone)?;
        let reason = if self.given >= self.limit { Reason::EnoughResults } else { outcome.reason };
        let duplicates = self.duplicates + outcome.stats.duplicate;
        Ok(Ending { reason, duplicates, ..Ending::of_query(outcome, self.given) })
    }

    fn give(&mut self, hit: Hit) -> Poll<Option<Hit>> {
        self.given += 1;
        if self.given == self.limit
            && let Some(network) = &self.network
        {
            network.cancel();
        }
        Poll::Ready(Some(hit))
    }
}

impl Stream for Search {
    type Item = Hit;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Hit>> {
        if self.given >= self.limit {
            return Poll::Ready(None);
        }
        if let Some(package) = self.own.pop_front() {
            return self.give(Hit { package, from: None, elapsed: Duration::ZERO });
        }
        loop {
            let Some(network) = &mut self.network else { return Poll::Ready(None) };
            let Some(found) = ready!(network.poll_next_unpin(cx)) else { return Poll::Ready(None) };
            let body = found.item.fetched().map(|fetched| &fetched.body);
            // The validator has read it before.
            let Some(Ok(package)) = body.map(|body| Package::decode(body)) else { continue };
            if self.seen.contains(&package.id()) {
                self.duplicates += 1;
                continue;
            }
            return self.give(Hit { package, from: found.from, elapsed: found.elapsed });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::package::tests::package;
    use bytes::Bytes;
    use dragnet_libp2p::exchange::FetchItem;

    #[test]
    fn an_answer_must_be_a_package_that_was_asked_for_under_its_own_id() {
        let question = Question::new(&["async"], None, None).unwrap();
        let ask = Ask::Fetch { question: question.encode() };
        let checked = |id: &str, body: Bytes| {
            let item = FetchItem { id: Bytes::copy_from_slice(id.as_bytes()), body };
            judge(&ask, &Answer::Fetched(item)).map_err(|why| why.to_string())
        };
        let (good, other) = (package("async-io", &[], &[]), package("serde", &[], &[]));
        assert_eq!(checked("async-io@1.2.3", good.encode()), Ok(()));
        assert!(checked("async-io@9.9.9", good.encode()).unwrap_err().contains("another's id"));
        assert!(checked("serde@1.2.3", other.encode()).unwrap_err().contains("not asked for"));
        assert!(checked("x", Bytes::from_static(b"\xff")).unwrap_err().contains("not a package"));
        let peer = Answer::Provider(PeerId::random());
        assert!(judge(&ask, &peer).is_err());
    }
}
