//! [`Metrics`] for Prometheus, in any [`Registry`](prometheus_client::registry::Registry) of
//! `prometheus-client`: its OpenMetrics text, or the older format.
//!
//! A [`Collector`] reads a snapshot when it is scraped and encodes that; between scrapes it costs
//! nothing, and a query nothing at all.
//!
//! ```
//! use dragnet_core::Metrics;
//! use dragnet_core::prometheus::Collector;
//! use prometheus_client::encoding::text::encode;
//! use prometheus_client::registry::Registry;
//!
//! let mut registry = Registry::default();
//! // With the front: `move || client.metrics()`.
//! registry.register_collector(Box::new(Collector::new(Metrics::default)));
//! let mut text = String::new();
//! encode(&mut text, &registry)?;
//! assert!(text.contains("\ndragnet_queries_started_total 0\n"));
//! # Ok::<_, std::fmt::Error>(())
//! ```
//!
//! # What there is
//!
//! Counters end in `_total`, times are in seconds and sizes in bytes. Every label has a fixed set of
//! values, but for `source`, which has those that the application configured. A registry takes one of
//! these collectors, since a family may be there once: a second engine wants a registry of its own.
//!
//! | name | type | what it is |
//! |---|---|---|
//! | `dragnet_queries_started_total` | counter | [`queries_started`](Metrics::queries_started) |
//! | `dragnet_queries_finished_total` | counter | queries ended, by `reason`: [`finished_by_reason`](Metrics::finished_by_reason) |
//! | `dragnet_queries_successful_total` | counter | [`queries_successful`](Metrics::queries_successful) |
//! | `dragnet_queries_refused_total` | counter | [`queries_refused`](Metrics::queries_refused) |
//! | `dragnet_queries_joined_total` | counter | [`queries_joined`](Metrics::queries_joined) |
//! | `dragnet_queries_live` | gauge | [`queries_live`](Metrics::queries_live) |
//! | `dragnet_query_duration_seconds` | histogram | [`query_duration`](Metrics::query_duration) |
//! | `dragnet_query_first_item_seconds` | histogram | [`first_item`](Metrics::first_item) |
//! | `dragnet_query_contacts` | histogram | [`contacts_per_query`](Metrics::contacts_per_query) |
//! | `dragnet_query_results` | histogram | [`results_per_query`](Metrics::results_per_query) |
//! | `dragnet_results_total` | counter | [`results`](Metrics::results) |
//! | `dragnet_contacts_started_total` | counter | [`contacts_started`](Metrics::contacts_started) |
//! | `dragnet_contacts_finished_total` | counter | contacts ended, by `result`: replied, failed, released |
//! | `dragnet_contacts_overdue_total` | counter | [`contacts_overdue`](Metrics::contacts_overdue) |
//! | `dragnet_contacts_hedged_total` | counter | [`contacts_hedged`](Metrics::contacts_hedged) |
//! | `dragnet_contacts_in_flight` | gauge | [`contacts_in_flight`](Metrics::contacts_in_flight) |
//! | `dragnet_contacts_waiting` | gauge | [`contacts_waiting`](Metrics::contacts_waiting) |
//! | `dragnet_response_time_seconds` | histogram | [`response_time`](Metrics::response_time) |
//! | `dragnet_lookups_started_total` | counter | [`lookups_started`](Metrics::lookups_started) |
//! | `dragnet_lookups_finished_total` | counter | lookups ended, by `result`: done, failed, released |
//! | `dragnet_lookups_in_flight` | gauge | [`lookups_in_flight`](Metrics::lookups_in_flight) |
//! | `dragnet_invalid_total` | counter | [`invalid`](Metrics::invalid) |
//! | `dragnet_duplicates_total` | counter | [`duplicate`](Metrics::duplicate) |
//! | `dragnet_conflicts_total` | counter | [`conflicting`](Metrics::conflicting) |
//! | `dragnet_withheld_total` | counter | [`withheld`](Metrics::withheld) |
//! | `dragnet_dropped_total` | counter | [`dropped`](Metrics::dropped) |
//! | `dragnet_cache_lookups_total` | counter | queries that would take a kept answer, by `result`: hit, stale, miss |
//! | `dragnet_cache_refreshes_total` | counter | [`cache_refreshes`](Metrics::cache_refreshes) |
//! | `dragnet_cache_evictions_total` | counter | [`cache_evicted`](Metrics::cache_evicted) |
//! | `dragnet_cache_entries` | gauge | [`cache_entries`](Metrics::cache_entries) |
//! | `dragnet_cache_size_bytes` | gauge | [`cache_bytes`](Metrics::cache_bytes) |
//! | `dragnet_cache_saved_seconds` | histogram | [`cache_saved`](Metrics::cache_saved) |
//! | `dragnet_peers_known` | gauge | [`peers_known`](Metrics::peers_known) |
//! | `dragnet_peers_barred_total` | counter | [`peers_barred`](Metrics::peers_barred) |
//! | `dragnet_peers_refused_total` | counter | [`peers_refused`](Metrics::peers_refused) |
//! | `dragnet_inputs_unknown_total` | counter | [`inputs_unknown`](Metrics::inputs_unknown) |
//! | `dragnet_time_reversals_total` | counter | [`time_reversals`](Metrics::time_reversals) |
//! | `dragnet_source_contacts_total` | counter | contacts of ended queries, by `source` and `result`: replied, failed, other (released) |
//! | `dragnet_source_overdue_total` | counter | [`overdue`](SourceMetrics::overdue), by `source` |
//! | `dragnet_source_invalid_total` | counter | [`invalid`](SourceMetrics::invalid), by `source` |
//! | `dragnet_source_duplicates_total` | counter | [`duplicate`](SourceMetrics::duplicate), by `source` |
//! | `dragnet_source_results_total` | counter | [`results`](SourceMetrics::results), by `source` |
//!
//! Those of sources are there when there are [named ones](crate::EngineConfig::sources).
//!
//! # Buckets
//!
//! A [`Histogram`] has eight buckets for each power of two, and is encoded in fewer: every `le` is the
//! upper edge of one of its buckets, so that no value is counted under a bound that it exceeds, and the
//! cumulative counts are exact. Times have 2^17 - 1 ns (0.13 ms) and its doubles up to 34 s, and from 1 ms on
//! what lies halfway between two of them; counts have 0 to 3 and the like up to 1 023.

use core::fmt;

use prometheus_client::collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;

use crate::query::Reason;
use crate::stats::{Histogram, Metrics, SourceMetrics};

/// Encodes what a function reads, at each scrape.
///
/// With the front that is `move || client.metrics()`, which never waits. The collector then holds a
/// client, and the driver of an engine lives as long as it has one: end it by
/// [`Client::shutdown`](crate::front::Client::shutdown).
pub struct Collector<F> {
    read: F,
}

impl<F: Fn() -> Metrics> Collector<F> {
    /// A collector of what this reads.
    pub const fn new(read: F) -> Self {
        Self { read }
    }
}

impl<F: Fn() -> Metrics + Send + Sync + 'static> collector::Collector for Collector<F> {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        encode(&(self.read)(), &mut encoder)
    }
}

impl<F> fmt::Debug for Collector<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Collector").finish_non_exhaustive()
    }
}

/// Encodes a snapshot: for a collector that has more to say than this.
///
/// # Errors
///
/// When what is written to takes no more.
pub fn encode(metrics: &Metrics, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let mut families = Families(encoder);
    families.queries(metrics)?;
    families.contacts(metrics)?;
    families.answers(metrics)?;
    families.cache(metrics)?;
    families.peers(metrics)?;
    families.sources(&metrics.sources)
}

struct Families<'a, 'b>(&'a mut DescriptorEncoder<'b>);

impl Families<'_, '_> {
    fn queries(&mut self, metrics: &Metrics) -> fmt::Result {
        self.counter("queries_started", "Queries started.", metrics.queries_started)?;
        let by_reason = metrics.finished_by_reason().map(|(reason, count)| (reason_label(reason), count));
        self.counters("queries_finished", "Queries ended, by reason.", "reason", by_reason)?;
        self.counter("queries_successful", "Queries that delivered an item.", metrics.queries_successful)?;
        self.counter("queries_refused", "Queries refused: too many lived.", metrics.queries_refused)?;
        self.counter("queries_joined", "Queries that joined one under way.", metrics.queries_joined)?;
        self.gauge("queries_live", "Queries that live now.", None, metrics.queries_live)?;
        self.times("query_duration", "From start to end of a query.", &metrics.query_duration)?;
        self.times("query_first_item", "From start to first item of a query.", &metrics.first_item)?;
        self.counts("query_contacts", "Contacts per query.", &metrics.contacts_per_query)?;
        self.counts("query_results", "Items delivered per query.", &metrics.results_per_query)
    }

    fn contacts(&mut self, metrics: &Metrics) -> fmt::Result {
        self.counter("contacts_started", "Contacts begun.", metrics.contacts_started)?;
        let contacts = [
            ("replied", metrics.contacts_replied),
            ("failed", metrics.contacts_failed),
            ("released", metrics.contacts_released),
        ];
        self.counters("contacts_finished", "Contacts ended, by result.", "result", contacts)?;
        self.counter("contacts_overdue", "Contacts past their soft timeout.", metrics.contacts_overdue)?;
        self.counter("contacts_hedged", "Contacts in an overdue one's slot.", metrics.contacts_hedged)?;
        self.gauge("contacts_in_flight", "Contacts in flight now.", None, metrics.contacts_in_flight)?;
        self.gauge("contacts_waiting", "Contacts that wait for their peer.", None, metrics.contacts_waiting)?;
        self.times("response_time", "From sending to reply.", &metrics.response_time)?;

        self.counter("lookups_started", "Lookups of the transport's own begun.", metrics.lookups_started)?;
        let lookups = [
            ("done", metrics.lookups_done),
            ("failed", metrics.lookups_failed),
            ("released", metrics.lookups_released),
        ];
        self.counters("lookups_finished", "Lookups ended, by result.", "result", lookups)?;
        self.gauge("lookups_in_flight", "Lookups in flight now.", None, metrics.lookups_in_flight)
    }

    fn answers(&mut self, metrics: &Metrics) -> fmt::Result {
        self.counter("results", "Items delivered.", metrics.results)?;
        self.counter("invalid", "Items refused, and answers that were none.", metrics.invalid)?;
        self.counter("duplicates", "Valid items that their query had seen.", metrics.duplicate)?;
        self.counter("conflicts", "Duplicates that differed.", metrics.conflicting)?;
        self.counter("withheld", "Ids held back and never delivered.", metrics.withheld)?;
        self.counter("dropped", "Items, peers and candidates over a cap.", metrics.dropped)
    }

    fn cache(&mut self, metrics: &Metrics) -> fmt::Result {
        let lookups = [
            ("hit", metrics.cache_hits),
            ("stale", metrics.cache_stale_hits),
            ("miss", metrics.cache_misses),
        ];
        self.counters("cache_lookups", "Queries that would take a kept answer.", "result", lookups)?;
        self.counter("cache_refreshes", "Refreshes behind begun.", metrics.cache_refreshes)?;
        self.counter("cache_evictions", "Kept answers thrown out for room.", metrics.cache_evicted)?;
        self.gauge("cache_entries", "Answers kept now.", None, metrics.cache_entries)?;
        self.gauge("cache_size", "Bytes of the answers kept.", Some(&Unit::Bytes), metrics.cache_bytes)?;
        self.times("cache_saved", "What a kept answer had taken to find.", &metrics.cache_saved)
    }

    fn peers(&mut self, metrics: &Metrics) -> fmt::Result {
        self.gauge("peers_known", "Peers remembered now.", None, metrics.peers_known)?;
        self.counter("peers_barred", "Peers barred, each time counted.", metrics.peers_barred)?;
        self.counter("peers_refused", "Candidates refused for want of room.", metrics.peers_refused)?;
        self.counter("inputs_unknown", "Inputs late, repeated or forged.", metrics.inputs_unknown)?;
        self.counter("time_reversals", "Inputs whose time went back.", metrics.time_reversals)
    }

    fn sources(&mut self, sources: &[SourceMetrics]) -> fmt::Result {
        if sources.is_empty() {
            return Ok(());
        }
        let by_result = sources.iter().flat_map(|source| {
            let other = source.contacted.saturating_sub(source.replied + source.failed);
            let results = [("replied", source.replied), ("failed", source.failed), ("other", other)];
            results.map(|(result, count)| ([("source", &*source.name), ("result", result)], count))
        });
        self.series("source_contacts", "Contacts of ended queries.", by_result)?;
        type Read = fn(&SourceMetrics) -> u64;
        let each: [(&str, &str, Read); 4] = [
            ("source_overdue", "Contacts past their soft timeout.", |source| source.overdue),
            ("source_invalid", "Answers, or parts of them, refused.", |source| source.invalid),
            ("source_duplicates", "Valid items that their query had.", |source| source.duplicate),
            ("source_results", "Items delivered that it gave first.", |source| source.results),
        ];
        for (name, help, read) in each {
            let by_source = sources.iter().map(|source| ([("source", &*source.name)], read(source)));
            self.series(name, help, by_source)?;
        }
        Ok(())
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        let name = prefixed(name);
        let mut family = self.0.encode_descriptor(&name, help, None, MetricType::Counter)?;
        family.encode_counter::<NoLabelSet, _, u64>(&value, None)
    }

    /// A counter with one label.
    fn counters<const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        values: [(&str, u64); N],
    ) -> fmt::Result {
        self.series(name, help, values.into_iter().map(|(value, count)| ([(label, value)], count)))
    }

    fn series<L: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        series: impl Iterator<Item = (L, u64)>,
    ) -> fmt::Result {
        let name = prefixed(name);
        let mut family = self.0.encode_descriptor(&name, help, None, MetricType::Counter)?;
        for (labels, value) in series {
            family.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&value, None)?;
        }
        Ok(())
    }

    fn gauge(&mut self, name: &str, help: &str, unit: Option<&Unit>, value: u64) -> fmt::Result {
        let name = prefixed(name);
        self.0.encode_descriptor(&name, help, unit, MetricType::Gauge)?.encode_gauge(&value)
    }

    /// A histogram of nanoseconds, in seconds.
    fn times(&mut self, name: &str, help: &str, histogram: &Histogram) -> fmt::Result {
        let seconds = |nanos: u64| nanos as f64 / 1e9;
        self.histogram(name, help, Some(&Unit::Seconds), histogram, &TIME_EDGES, seconds, 1e9)
    }

    fn counts(&mut self, name: &str, help: &str, histogram: &Histogram) -> fmt::Result {
        self.histogram(name, help, None, histogram, &COUNT_EDGES, |count| count as f64, 1.0)
    }

    #[expect(clippy::too_many_arguments, reason = "two callers, side by side")]
    fn histogram(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        histogram: &Histogram,
        edges: &[u64],
        value: impl Fn(u64) -> f64,
        per_unit: f64,
    ) -> fmt::Result {
        let name = prefixed(name);
        let mut family = self.0.encode_descriptor(&name, help, unit, MetricType::Histogram)?;
        let buckets = buckets(histogram, edges, value);
        let sum = histogram.sum() as f64 / per_unit;
        family.encode_histogram::<NoLabelSet>(sum, histogram.count(), &buckets, None)
    }
}

fn prefixed(name: &str) -> String {
    ["dragnet_", name].concat()
}

/// A histogram in the buckets with these upper edges, and one more for what exceeds them all. Not cumulative.
fn buckets(histogram: &Histogram, edges: &[u64], value: impl Fn(u64) -> f64) -> Vec<(f64, u64)> {
    let ends = edges.iter().map(|edge| value(*edge)).chain([f64::INFINITY]);
    let mut buckets: Vec<(f64, u64)> = ends.map(|end| (end, 0)).collect();
    let mut place = 0;
    for (edge, count) in histogram.buckets() {
        while edges.get(place).is_some_and(|end| *end < edge) {
            place += 1;
        }
        buckets[place].1 += count;
    }
    buckets
}

const fn reason_label(reason: Reason) -> &'static str {
    match reason {
        Reason::EnoughResults => "enough_results",
        Reason::QuorumReached => "quorum_reached",
        Reason::Converged => "converged",
        Reason::Exhausted => "exhausted",
        Reason::DeadlineReached => "deadline_reached",
        Reason::Cancelled => "cancelled",
    }
}

/// In nanoseconds.
const TIME_EDGES: [u64; 34] = {
    let mut edges = [0; 34];
    let (mut place, mut power) = (0, 17);
    while power <= 35 {
        edges[place] = (1 << power) - 1;
        place += 1;
        if 20 <= power && power < 35 {
            edges[place] = (3 << (power - 1)) - 1;
            place += 1;
        }
        power += 1;
    }
    assert!(place == edges.len());
    edges
};

const COUNT_EDGES: [u64; 19] = [0, 1, 2, 3, 5, 7, 11, 15, 23, 31, 47, 63, 95, 127, 191, 255, 383, 511, 1023];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use prometheus_client::encoding::text;
    use prometheus_client::registry::Registry;

    use super::*;

    fn text(metrics: Metrics) -> String {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Collector::new(move || metrics.clone())));
        let mut text = String::new();
        text::encode(&mut text, &registry).unwrap();
        text
    }

    #[test]
    fn every_bound_is_an_edge_of_the_histograms_own() {
        for edge in TIME_EDGES.iter().chain(&COUNT_EDGES) {
            let mut histogram = Histogram::default();
            histogram.record(*edge);
            histogram.record(*edge + 1);
            let buckets: Vec<_> = histogram.buckets().collect();
            assert_eq!(buckets.len(), 2, "{edge} shares a bucket with what exceeds it");
            assert_eq!(buckets[0], (*edge, 1));
        }
        assert!(TIME_EDGES.is_sorted() && COUNT_EDGES.is_sorted());
    }

    #[test]
    fn no_value_is_counted_under_a_bound_that_it_exceeds_nor_left_out_of_one_that_it_does_not() {
        let values: Vec<u64> = TIME_EDGES.iter().flat_map(|edge| [edge - 1, *edge, edge + 1]).collect();
        let values: Vec<u64> = values.into_iter().chain([0, 1, u64::MAX]).collect();
        let mut histogram = Histogram::default();
        values.iter().for_each(|value| histogram.record(*value));
        let mut below = 0;
        for ((_, count), edge) in buckets(&histogram, &TIME_EDGES, |edge| edge as f64).iter().zip(TIME_EDGES)
        {
            below += count;
            assert_eq!(below, values.iter().filter(|value| **value <= edge).count() as u64, "{edge}");
        }
    }

    #[test]
    fn a_histogram_is_told_in_seconds() {
        let mut metrics = Metrics::default();
        metrics.first_item.record(1_500_000_000);
        metrics.first_item.record(100);
        let text = text(metrics);
        for line in [
            "# UNIT dragnet_query_first_item_seconds seconds",
            "dragnet_query_first_item_seconds_sum 1.5000001",
            "dragnet_query_first_item_seconds_count 2",
            "dragnet_query_first_item_seconds_bucket{le=\"0.000131071\"} 1",
            "dragnet_query_first_item_seconds_bucket{le=\"1.073741823\"} 1",
            "dragnet_query_first_item_seconds_bucket{le=\"1.610612735\"} 2",
            "dragnet_query_first_item_seconds_bucket{le=\"+Inf\"} 2",
        ] {
            assert!(text.lines().any(|other| other == line), "no `{line}` in {text}");
        }
    }

    #[test]
    fn the_documentation_names_what_there_is_and_nothing_else() {
        let mut metrics =
            Metrics { sources: vec![SourceMetrics::new("ma\"in".into())], ..Metrics::default() };
        metrics.sources[0].contacted = 3;
        metrics.sources[0].replied = 1;
        let text = text(metrics);
        assert!(
            text.contains("dragnet_source_contacts_total{source=\"ma\\\"in\",result=\"other\"} 2"),
            "{text}"
        );
        let told: BTreeSet<String> = text
            .lines()
            .filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '))
            .map(|(name, kind)| if kind == "counter" { [name, "_total"].concat() } else { name.to_string() })
            .collect();
        let documented: BTreeSet<String> = include_str!("prometheus.rs")
            .lines()
            .filter_map(|line| line.strip_prefix("//! | `")?.split_once('`'))
            .map(|(name, _)| name.to_string())
            .collect();
        assert_eq!(told, documented);
    }
}
