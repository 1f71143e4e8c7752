//! Counters and histograms of an engine, as plain values.

use alloc::collections::BinaryHeap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use crate::network::Network;
use crate::query::{QueryId, QueryStats, Reason};
use crate::state::Distribution;

/// What an engine has done since it was made.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Metrics {
    /// Queries started.
    pub queries_started: u64,
    /// Queries ended, for whatever reason.
    pub queries_finished: u64,
    /// Queries that delivered an item.
    pub queries_successful: u64,
    /// Queries ended by [`Reason::EnoughResults`]. This and the next five add up to
    /// [`queries_finished`](Self::queries_finished).
    pub queries_enough: u64,
    /// Queries ended by [`Reason::QuorumReached`].
    pub queries_quorum: u64,
    /// Queries ended by [`Reason::Converged`].
    pub queries_converged: u64,
    /// Queries ended by [`Reason::Exhausted`].
    pub queries_exhausted: u64,
    /// Queries ended by their deadline; they may have been successful too.
    pub queries_timed_out: u64,
    /// Queries ended by cancellation.
    pub queries_cancelled: u64,
    /// Queries refused because there were too many.
    pub queries_refused: u64,
    /// Queries that live now.
    pub queries_live: u64,
    /// Queries that joined one that was under way.
    pub queries_joined: u64,
    /// Queries that were given a kept answer within its time-to-live.
    pub cache_hits: u64,
    /// Queries that were given a kept answer past its time-to-live.
    pub cache_stale_hits: u64,
    /// Queries that would have taken a kept answer, and had to ask.
    pub cache_misses: u64,
    /// Refreshes behind begun.
    pub cache_refreshes: u64,
    /// Answers kept now, those included that have become too old to be given to anybody.
    pub cache_entries: u64,
    /// Bytes of them, as [`CacheConfig::bytes_max`](crate::CacheConfig::bytes_max) counts.
    pub cache_bytes: u64,
    /// Kept answers thrown out for want of room.
    pub cache_evicted: u64,
    /// For each query that was given a kept answer, how long it had taken to find that, in nanoseconds.
    pub cache_saved: Histogram,
    /// Items delivered.
    pub results: u64,
    /// Contacts begun.
    pub contacts_started: u64,
    /// Contacts ended by a reply.
    pub contacts_replied: u64,
    /// Contacts ended by a failure, or given up at their `request_timeout`.
    pub contacts_failed: u64,
    /// Contacts released because their query ended first.
    pub contacts_released: u64,
    /// Contacts that outlived their soft timeout.
    pub contacts_overdue: u64,
    /// Contacts begun in the slot of an overdue one.
    pub contacts_hedged: u64,
    /// Contacts in flight now: those started, less those replied, failed and released.
    pub contacts_in_flight: u64,
    /// Contacts that wait for their peer to have fewer in flight.
    pub contacts_waiting: u64,
    /// Lookups of the transport's own begun.
    pub lookups_started: u64,
    /// Lookups that came to their end.
    pub lookups_done: u64,
    /// Lookups that failed.
    pub lookups_failed: u64,
    /// Lookups released because their query ended first.
    pub lookups_released: u64,
    /// Lookups in flight now: those started, less those done, failed and released.
    pub lookups_in_flight: u64,
    /// Items refused, and answers that were no answer.
    pub invalid: u64,
    /// Valid items that their query had seen.
    pub duplicate: u64,
    /// Of these, items that differed from an earlier one with their id.
    pub conflicting: u64,
    /// Ids of items that were held back and never delivered.
    pub withheld: u64,
    /// Items, peers and candidates over a cap.
    pub dropped: u64,
    /// Peers barred, each time counted.
    pub peers_barred: u64,
    /// Candidates refused because live queries hold as many peers as replies may make them.
    pub peers_refused: u64,
    /// Peers remembered now.
    pub peers_known: u64,
    /// Inputs under a request id that names nothing (late, repeated, forged).
    pub inputs_unknown: u64,
    /// Inputs whose time was before an earlier input's.
    pub time_reversals: u64,
    /// From start to end of a query, in nanoseconds.
    pub query_duration: Histogram,
    /// From start to first delivered item of a query, in nanoseconds.
    pub first_item: Histogram,
    /// From sending to reply, in nanoseconds.
    pub response_time: Histogram,
    /// Items delivered per query.
    pub results_per_query: Histogram,
    /// Contacts per query.
    pub contacts_per_query: Histogram,
    /// For each of the networks that [`EngineConfig::sources`](crate::EngineConfig::sources) names, in
    /// their order; empty if there are none.
    pub sources: Vec<SourceMetrics>,
}

impl Metrics {
    /// Queries ended, for each reason that there is.
    pub const fn finished_by_reason(&self) -> [(Reason, u64); 6] {
        [
            (Reason::EnoughResults, self.queries_enough),
            (Reason::QuorumReached, self.queries_quorum),
            (Reason::Converged, self.queries_converged),
            (Reason::Exhausted, self.queries_exhausted),
            (Reason::DeadlineReached, self.queries_timed_out),
            (Reason::Cancelled, self.queries_cancelled),
        ]
    }

    pub(crate) const fn count_reason(&mut self, reason: Reason) {
        let count = match reason {
            Reason::EnoughResults => &mut self.queries_enough,
            Reason::QuorumReached => &mut self.queries_quorum,
            Reason::Converged => &mut self.queries_converged,
            Reason::Exhausted => &mut self.queries_exhausted,
            Reason::DeadlineReached => &mut self.queries_timed_out,
            Reason::Cancelled => &mut self.queries_cancelled,
        };
        *count += 1;
    }
}

/// What one of several networks has cost the queries that have ended, and brought them. Contacts that
/// several queries shared are counted once, when the last of these has ended.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct SourceMetrics {
    /// The network's name.
    pub name: Arc<str>,
    /// Requests sent to its peers, as in [`SourceStats`](crate::SourceStats); so are the next.
    pub contacted: u64,
    /// Requests that were answered.
    pub replied: u64,
    /// Requests that failed.
    pub failed: u64,
    /// Contacts that outlived their soft timeout.
    pub overdue: u64,
    /// Answers, or parts of them, that were refused.
    pub invalid: u64,
    /// Valid items that their query had already.
    pub duplicate: u64,
    /// Items delivered that it gave first.
    pub results: u64,
}

impl SourceMetrics {
    pub(crate) const fn new(name: Arc<str>) -> Self {
        Self { name, contacted: 0, replied: 0, failed: 0, overdue: 0, invalid: 0, duplicate: 0, results: 0 }
    }
}

/// A histogram of whole numbers, exact to one part in eight: eight buckets for each power of two.
/// Buckets are allocated as far as values have reached, 496 at most.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Histogram {
    buckets: Vec<u64>,
    count: u64,
    sum: u128,
    max: u64,
}

const SUB_BITS: u32 = 3;
/// As many as 64 bits need.
const BUCKETS_MAX: usize = 496;

impl Histogram {
    /// Counts a value.
    #[inline]
    pub fn record(&mut self, value: u64) {
        let index = bucket_of(value);
        if index >= self.buckets.len() {
            self.buckets.resize(index + 1, 0);
        }
        self.buckets[index] += 1;
        self.count += 1;
        self.sum += u128::from(value);
        self.max = self.max.max(value);
    }

    pub(crate) fn export(&self) -> Distribution {
        let narrow = |count: &u64| u32::try_from(*count).unwrap_or(u32::MAX);
        Distribution { buckets: self.buckets.iter().map(narrow).collect(), max: self.max }
    }

    /// One with these buckets, as far as there are such. Of the sum only so much is known as they say.
    pub(crate) fn restored(Distribution { buckets, max }: &Distribution) -> Self {
        let read = buckets.len().min(BUCKETS_MAX);
        let buckets: Vec<u64> = buckets[..read].iter().copied().map(u64::from).collect();
        let count = buckets.iter().sum();
        let sum =
            (0..).zip(&buckets).map(|(index, &count)| u128::from(upper_edge(index)) * u128::from(count));
        let highest = buckets.iter().rposition(|&count| count > 0);
        let max_min = highest.map_or(0, |index| index.checked_sub(1).map_or(0, upper_edge));
        Self { sum: sum.sum(), buckets, count, max: max_min.max(*max) }
    }

    /// Forgets half of the values, so that the later ones weigh more.
    pub(crate) fn halve(&mut self) {
        self.buckets.iter_mut().for_each(|bucket| *bucket /= 2);
        self.count = self.buckets.iter().sum();
        self.sum /= 2;
    }

    /// How many values were counted.
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// Their sum.
    pub const fn sum(&self) -> u128 {
        self.sum
    }

    /// The largest.
    pub const fn max(&self) -> u64 {
        self.max
    }

    /// The least value that at least `permille` thousandths of the values do not exceed, rounded up to
    /// its bucket's upper edge; `None` without values.
    pub fn quantile(&self, permille: u64) -> Option<u64> {
        let [quantile] = self.quantiles([permille]);
        quantile
    }

    /// Several of these in one pass, the least first.
    pub(crate) fn quantiles<const N: usize>(&self, permilles: [u64; N]) -> [Option<u64>; N] {
        let (mut seen, mut index) = (0, 0);
        permilles.map(|permille| {
            let permille = u128::from(permille.min(1000));
            let rank = (u128::from(self.count) * permille).div_ceil(1000).max(1) as u64;
            while seen < rank {
                seen += self.buckets.get(index)?;
                index += 1;
            }
            Some(upper_edge(index - 1).min(self.max))
        })
    }

    /// The non-empty buckets: the largest value that each holds, and its count.
    pub fn buckets(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.buckets.iter().enumerate().filter(|(_, count)| **count > 0).map(|(i, n)| (upper_edge(i), *n))
    }
}

fn bucket_of(value: u64) -> usize {
    let log = 63 - (value | 1).leading_zeros();
    if log < SUB_BITS {
        return value as usize;
    }
    let shift = log - SUB_BITS;
    (((shift + 1) << SUB_BITS) as usize) + ((value >> shift) as usize & ((1 << SUB_BITS) - 1))
}

fn upper_edge(index: usize) -> u64 {
    if index < 1 << SUB_BITS {
        return index as u64;
    }
    let shift = (index >> SUB_BITS) as u32 - 1;
    let mantissa = ((index & ((1 << SUB_BITS) - 1)) | (1 << SUB_BITS)) as u64;
    (mantissa << shift) + ((1u64 << shift) - 1)
}

/// What an engine knows of a peer.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct PeerReport<P> {
    /// Who.
    pub peer: P,
    /// From 0 (worst) to 1000 (best); 500 for a stranger. Decays towards 500.
    pub score: u16,
    /// Answers, decayed, in thousandths.
    pub successes_milli: u64,
    /// Failures, decayed, in thousandths.
    pub failures_milli: u64,
    /// Invalid answers, decayed, in thousandths.
    pub invalid_milli: u64,
    /// The smoothed response time (RFC 6298), once there is one.
    pub response_time: Option<Duration>,
    /// How much longer the peer is barred, if it is.
    pub barred_for: Option<Duration>,
}

/// Some of the peers of an engine: those that behave best and those that behave worst.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct PeerRanking<P> {
    /// Peers remembered.
    pub known: usize,
    /// Those of them that are barred now.
    pub barred: usize,
    /// The best by [`PeerReport::score`], the best first; of equal ones that of which more is known.
    /// Nobody of whom nothing is known, who has the score of less than a stranger, or who is barred.
    pub best: Vec<PeerReport<P>>,
    /// The worst, the worst first: who is barred, then by score. Nobody with the score of a stranger or a
    /// better one, unless he is barred.
    pub worst: Vec<PeerReport<P>>,
}

/// One of the live queries.
#[derive(Debug)]
#[non_exhaustive]
pub struct QueryReport<N: Network> {
    /// Which.
    pub query: QueryId,
    /// What it asks.
    pub request: N::Request,
    /// Items delivered so far.
    pub results: u32,
    /// After how many it ends.
    pub max_results: u32,
    /// What it has cost and brought so far; [`total`](QueryStats::total) is its age.
    pub stats: QueryStats,
}

impl<N: Network> Clone for QueryReport<N> {
    fn clone(&self) -> Self {
        let Self { query, request, results, max_results, stats } = self;
        let (request, stats) = (request.clone(), *stats);
        Self { query: *query, request, results: *results, max_results: *max_results, stats }
    }
}

/// What the live queries of an engine hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct LiveState {
    /// Live queries.
    pub queries: usize,
    /// Refreshes behind ([`CachePolicy::Stale`](crate::CachePolicy::Stale)): each a live query that is
    /// nobody's, and not counted among those.
    pub refreshes: usize,
    /// Pieces of work, each for one query or several.
    pub work: usize,
    /// Contacts and lookups in flight, and contacts that wait for their peer.
    pub contacts: usize,
    /// Timers that are set: a deadline for each query, and a timeout for each contact in flight.
    pub timers: usize,
    /// Peers that cannot be forgotten because a live query refers to them.
    pub peers_held: usize,
    /// Outputs that have not been polled.
    pub outputs: usize,
}

/// The least of many values, at most so many: takes no more room than they do.
pub(crate) struct Least<T> {
    kept: BinaryHeap<T>,
    max: usize,
}

impl<T: Ord> Least<T> {
    pub(crate) const fn new(max: usize) -> Self {
        Self { kept: BinaryHeap::new(), max }
    }

    pub(crate) fn offer(&mut self, value: T) {
        if self.kept.len() < self.max {
            self.kept.push(value);
        } else if let Some(mut greatest) = self.kept.peek_mut()
            && value < *greatest
        {
            *greatest = value;
        }
    }

    pub(crate) fn into_sorted(self) -> Vec<T> {
        self.kept.into_sorted_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_lies_within_an_eighth_of_its_buckets_edge() {
        for value in (0..4096).chain([u64::MAX, u64::MAX / 3, 1 << 40]) {
            let edge = upper_edge(bucket_of(value));
            assert!(edge >= value, "{value} is above its bucket's edge {edge}");
            assert!(edge - value <= value / 8, "{value} is too far below {edge}");
        }
        assert_eq!(bucket_of(u64::MAX), 495);
    }

    #[test]
    fn quantiles_are_those_of_the_values() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.quantile(500), None);
        (1..=1000).for_each(|value| histogram.record(value));
        let median = histogram.quantile(500).unwrap();
        assert!((500..=563).contains(&median), "{median}");
        assert_eq!(histogram.quantile(1000), Some(1000));
        assert_eq!((histogram.count(), histogram.sum()), (1000, 500_500));
    }
}
