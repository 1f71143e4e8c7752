//! What a node is doing, as one value: told by `/status`, shown by `top`.

use std::time::Duration;

use dragnet_core::front::DriverGone;
use dragnet_core::{Histogram, Metrics, PeerReport, QueryReport};
use dragnet_libp2p::{Ask, Client, Libp2p};
use libp2p::PeerId;
use serde::{Deserialize, Serialize};

use crate::duration::as_ms;
use crate::question::Question;

/// The longest text of what a query asks, in characters.
const REQUEST_CHARS_MAX: usize = 80;

/// What a node is doing.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug, Default)]
#[serde(default)]
pub struct Status {
    /// The version of the program.
    pub version: String,
    /// The node's id.
    pub peer: String,
    /// How long it has been watched.
    pub uptime_ms: f64,
    /// The oldest of its live queries.
    pub queries: Vec<QueryLine>,
    /// The peers that it knows.
    pub peers: PeersStatus,
    /// What it has done since it was started.
    pub counters: Counters,
    /// The times to the first item of queries: the largest of each bucket in nanoseconds, and how many there
    /// are in it; so that whoever has two of these knows those between.
    pub first_item: Vec<(u64, u64)>,
    /// The response times of peers, in the same way.
    pub response_time: Vec<(u64, u64)>,
}

/// A live query.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug, Default)]
#[serde(default)]
pub struct QueryLine {
    /// Its name.
    pub id: String,
    /// What it asks.
    pub request: String,
    /// How long it has lived.
    pub age_ms: f64,
    /// Requests sent for it.
    pub contacts: u32,
    /// Those that were answered.
    pub replied: u32,
    /// Those that failed.
    pub failed: u32,
    /// Items that it has delivered.
    pub results: u32,
    /// After how many it ends.
    pub max_results: u32,
}

/// The peers of a node.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug, Default)]
#[serde(default)]
pub struct PeersStatus {
    /// Peers that the engine remembers.
    pub known: usize,
    /// Those of them that are barred now.
    pub barred: usize,
    /// Peers in the routing table.
    pub routing_table: usize,
    /// Established connections.
    pub connections: usize,
    /// The best by score, the best first.
    pub best: Vec<PeerLine>,
    /// The worst, the worst first.
    pub worst: Vec<PeerLine>,
}

/// A peer.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug, Default)]
#[serde(default)]
pub struct PeerLine {
    /// Its id.
    pub peer: String,
    /// From 0 (worst) to 1000 (best); 500 for a stranger.
    pub score: u16,
    /// Its answers, those long ago counting less; so do the next.
    pub successes: f64,
    /// Its failures.
    pub failures: f64,
    /// Its invalid answers.
    pub invalid: f64,
    /// How long it takes to answer, once it has.
    pub response_time_ms: Option<f64>,
    /// How much longer it is barred, if it is.
    pub barred_for_ms: Option<f64>,
}

/// What a node has done since it was started, and how much is under way.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug, Default)]
#[serde(default)]
#[expect(missing_docs, reason = "each is the field of `Metrics` with its name")]
pub struct Counters {
    pub queries_live: u64,
    pub queries_started: u64,
    pub queries_finished: u64,
    pub queries_successful: u64,
    pub queries_timed_out: u64,
    pub queries_joined: u64,
    pub queries_refused: u64,
    pub contacts_started: u64,
    pub contacts_replied: u64,
    pub contacts_failed: u64,
    pub contacts_overdue: u64,
    pub contacts_in_flight: u64,
    pub results: u64,
    pub invalid: u64,
    pub duplicate: u64,
    pub cache_hits: u64,
    pub cache_misses: u64,
    pub cache_entries: u64,
}

impl Status {
    /// Asks a node, for at most so many queries and so many of the best and the worst peers.
    ///
    /// # Errors
    ///
    /// When the node is gone.
    pub async fn of(client: &Client, uptime: Duration, max: usize) -> Result<Self, DriverGone> {
        let queries = client.queries(max).await?;
        let ranking = client.ranking(max).await?;
        let metrics = client.metrics();
        let now = client.last_snapshot();
        Ok(Self {
            version: env!("CARGO_PKG_VERSION").to_string(),
            peer: client.local_peer().to_string(),
            uptime_ms: as_ms(uptime),
            queries: queries.iter().map(QueryLine::from).collect(),
            peers: PeersStatus {
                known: ranking.known,
                barred: ranking.barred,
                routing_table: now.known,
                connections: now.connections,
                best: ranking.best.iter().map(PeerLine::from).collect(),
                worst: ranking.worst.iter().map(PeerLine::from).collect(),
            },
            first_item: Histogram::buckets(&metrics.first_item).collect(),
            response_time: Histogram::buckets(&metrics.response_time).collect(),
            counters: Counters::from(&metrics),
        })
    }
}

impl Status {
    /// Takes out what a stranger may have put in: control characters, which a terminal would obey, and
    /// more lines than there can be.
    pub(super) fn clean(&mut self, max: usize) {
        let PeersStatus { best, worst, .. } = &mut self.peers;
        self.queries.truncate(max);
        best.truncate(max);
        worst.truncate(max);
        let queries = self.queries.iter_mut().flat_map(|query| [&mut query.id, &mut query.request]);
        let peers = best.iter_mut().chain(worst).map(|peer| &mut peer.peer);
        let texts = queries.chain(peers).chain([&mut self.peer, &mut self.version]);
        texts.for_each(|text| text.retain(|character| !character.is_control()));
    }
}

impl From<&QueryReport<Libp2p>> for QueryLine {
    fn from(report: &QueryReport<Libp2p>) -> Self {
        let QueryReport { query, request, results, max_results, stats, .. } = report;
        Self {
            id: query.to_string(),
            request: describe(request),
            age_ms: as_ms(stats.total),
            contacts: stats.contacted,
            replied: stats.replied,
            failed: stats.failed,
            results: *results,
            max_results: *max_results,
        }
    }
}

impl From<&PeerReport<PeerId>> for PeerLine {
    fn from(report: &PeerReport<PeerId>) -> Self {
        let count = |milli: u64| milli as f64 / 1000.0;
        Self {
            peer: report.peer.to_string(),
            score: report.score,
            successes: count(report.successes_milli),
            failures: count(report.failures_milli),
            invalid: count(report.invalid_milli),
            response_time_ms: report.response_time.map(as_ms),
            barred_for_ms: report.barred_for.map(as_ms),
        }
    }
}

impl From<&Metrics> for Counters {
    fn from(metrics: &Metrics) -> Self {
        Self {
            queries_live: metrics.queries_live,
            queries_started: metrics.queries_started,
            queries_finished: metrics.queries_finished,
            queries_successful: metrics.queries_successful,
            queries_timed_out: metrics.queries_timed_out,
            queries_joined: metrics.queries_joined,
            queries_refused: metrics.queries_refused,
            contacts_started: metrics.contacts_started,
            contacts_replied: metrics.contacts_replied,
            contacts_failed: metrics.contacts_failed,
            contacts_overdue: metrics.contacts_overdue,
            contacts_in_flight: metrics.contacts_in_flight,
            results: metrics.results,
            invalid: metrics.invalid,
            duplicate: metrics.duplicate,
            cache_hits: metrics.cache_hits + metrics.cache_stale_hits,
            cache_misses: metrics.cache_misses,
            cache_entries: metrics.cache_entries,
        }
    }
}

/// What is asked, in a few words.
pub fn describe(ask: &Ask) -> String {
    let text = match (ask, ask.question()) {
        (_, Some(question)) => match Question::decode(question) {
            Ok(question) => {
                let narrowed = [("category", question.category()), ("tag", question.tag())];
                let narrowed =
                    narrowed.into_iter().filter_map(|(name, value)| Some(format!("{name}:{}", value?)));
                let words: Vec<String> = question.terms().iter().cloned().chain(narrowed).collect();
                format!("search {}", words.join(" "))
            }
            Err(_) => "search".to_string(),
        },
        (Ask::Get { key, .. }, _) => format!("get {}", show_key(key.as_ref())),
        (Ask::Providers { key, .. }, _) => format!("providers {}", show_key(key.as_ref())),
        (Ask::Closest { key, .. }, _) => format!("closest {}", show_key(key.as_ref())),
        _ => "question".to_string(),
    };
    text.chars().filter(|character| !character.is_control()).take(REQUEST_CHARS_MAX).collect()
}

/// As text if it is one, or its beginning in hexadecimal digits.
fn show_key(key: &[u8]) -> String {
    match std::str::from_utf8(key) {
        Ok(text) if !text.contains(char::is_control) => text.to_string(),
        _ => hex::encode(&key[..key.len().min(16)]),
    }
}

#[cfg(test)]
mod tests {
    use dragnet_libp2p::{provider_key, record_key};

    use super::*;

    #[test]
    fn what_is_asked_is_told_in_a_few_words_that_no_terminal_obeys() {
        let question = Question::new(&["async io"], Some("net"), None).unwrap();
        let search =
            Ask::Search { key: provider_key(b"x"), question: question.encode(), walks: Default::default() };
        assert_eq!(describe(&search), "search async io category:net");
        let key = record_key("test", b"greeting");
        assert_eq!(describe(&Ask::Get { key, walks: Default::default() }), "get /test/greeting");
        let key = libp2p::kad::RecordKey::new(b"\x1b[2Jx");
        assert_eq!(describe(&Ask::Closest { key }), "closest 1b5b324a78");
        let key = libp2p::kad::RecordKey::new(&"y".repeat(500));
        assert_eq!(describe(&Ask::Closest { key }).chars().count(), REQUEST_CHARS_MAX);
    }
}
