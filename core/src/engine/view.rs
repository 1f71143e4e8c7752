//! Who asks and whom: what a monitor shows of an engine.

use super::QueryEngine;
use crate::network::Network;
use crate::query::QueryStats;
use crate::stats::{Least, PeerRanking, QueryReport};
use crate::time::Time;

impl<N: Network> QueryEngine<N> {
    /// The live queries that have lived longest, the oldest first, at most so many; refreshes behind are
    /// not among them.
    ///
    /// Looks at each live query once, and copies the requests of those that it gives.
    pub fn queries(&self, now: Time, max: usize) -> impl Iterator<Item = QueryReport<N>> + '_ {
        let asked = self.queries.iter().filter(|(_, query)| !query.is_refresh);
        let mut oldest = Least::new(max);
        asked.for_each(|(slot, query)| oldest.offer((query.started, slot)));
        let now = now.max(self.now);
        oldest.into_sorted().into_iter().map(move |(started, slot)| {
            let query = &self.queries[slot];
            QueryReport {
                query: query.id,
                request: self.works[query.work].request.clone(),
                results: query.results,
                max_results: query.results_max,
                stats: QueryStats { total: now.since(started), ..self.stats_of(query) },
            }
        })
    }

    /// The peers that behave best and those that behave worst, at most so many of each.
    ///
    /// Looks at each peer once, and copies those that it gives.
    pub fn ranking(&self, now: Time, max: usize) -> PeerRanking<N::Peer> {
        self.peers.ranking(now.max(self.now), max)
    }
}
