//! The metrics of engine and adapter for Prometheus, in any
//! [`Registry`](prometheus_client::registry::Registry) of `prometheus-client`.
//!
//! ```no_run
//! use dragnet_libp2p::Node;
//! use dragnet_libp2p::prometheus::Collector;
//! use prometheus_client::encoding::text::encode;
//! use prometheus_client::registry::Registry;
//!
//! # fn scrape() -> Result<(), Box<dyn std::error::Error>> {
//! let (node, client) = Node::builder(libp2p::identity::Keypair::generate_ed25519()).build()?;
//! let mut registry = Registry::default();
//! registry.register_collector(Box::new(Collector::new(client)));
//! // At each scrape, from whatever server there is:
//! let mut text = String::new();
//! encode(&mut text, &registry)?;
//! # Ok(())
//! # }
//! ```
//!
//! A scrape reads snapshots that are at most 100 ms old, and neither waits for the node nor wakes it. Those of the
//! adapter are kept for as long as scrapes are less than five minutes apart: see [`Client::last_snapshot`].
//!
//! # What there is
//!
//! All that [`dragnet_core::prometheus`] lists, and what the adapter holds at the moment
//! ([`Snapshot`]). There is a dashboard for Grafana beside this crate's sources, `grafana/dragnet.json`.
//!
//! | name | type | what it is |
//! |---|---|---|
//! | `dragnet_build_info` | info | 1, with this crate's `version` |
//! | `dragnet_libp2p_connections` | gauge | [`connections`](Snapshot::connections) |
//! | `dragnet_libp2p_dialling` | gauge | [`dialling`](Snapshot::dialling) |
//! | `dragnet_libp2p_requests` | gauge | [`requests`](Snapshot::requests) to single peers, by `state`: waiting, in_flight |
//! | `dragnet_libp2p_routing_table_peers` | gauge | [`known`](Snapshot::known) |
//! | `dragnet_libp2p_lookups` | gauge | lookups of libp2p-kad's for us, by `state`: [waiting](Snapshot::lookups_waiting), [running](Snapshot::lookups) |
//! | `dragnet_libp2p_kad_queries` | gauge | [`kad_queries`](Snapshot::kad_queries) |
//! | `dragnet_libp2p_engine_events` | gauge | [`events`](Snapshot::events) |
//! | `dragnet_libp2p_publishing` | gauge | [`publishing`](Snapshot::publishing) |
//! | `dragnet_libp2p_provided_keys` | gauge | [`provided`](Snapshot::provided) |
//! | `dragnet_libp2p_stored_records` | gauge | records in the store, by `owner`: [local](Snapshot::records), [remote](Snapshot::records_of_others) |
//! | `dragnet_libp2p_stored_providers` | gauge | [`providers`](Snapshot::providers) |

use std::fmt;

use dragnet_core::prometheus;
use prometheus_client::collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;

use crate::client::{Client, Snapshot};

/// Encodes what a client can tell of its node, at each scrape. It never waits.
#[derive(Clone)]
pub struct Collector {
    client: Client,
}

impl Collector {
    /// A collector of the metrics of this client's node.
    pub fn new(client: Client) -> Self {
        // From now on the node keeps it, so that the first scrape finds it.
        client.last_snapshot();
        Self { client }
    }
}

impl collector::Collector for Collector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        encoder
            .encode_descriptor("dragnet_build", "What this was built from.", None, MetricType::Info)?
            .encode_info(&[("version", env!("CARGO_PKG_VERSION"))])?;
        prometheus::encode(&self.client.metrics(), &mut encoder)?;
        encode(&self.client.last_snapshot(), &mut encoder)
    }
}

impl fmt::Debug for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Collector").field("local_peer", &self.client.local_peer()).finish_non_exhaustive()
    }
}

fn encode(now: &Snapshot, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    gauge(encoder, "connections", "Established connections.", now.connections)?;
    gauge(encoder, "dialling", "Peers being dialled for a question.", now.dialling)?;
    let in_flight = now.requests.saturating_sub(now.requests_waiting);
    let requests = [("waiting", now.requests_waiting), ("in_flight", in_flight)];
    gauges(encoder, "requests", "Questions to single peers.", "state", requests)?;
    gauge(encoder, "routing_table_peers", "Peers in the routing table.", now.known)?;
    let lookups = [("waiting", now.lookups_waiting), ("running", now.lookups)];
    gauges(encoder, "lookups", "Lookups of libp2p-kad's for us.", "state", lookups)?;
    gauge(encoder, "kad_queries", "Queries of libp2p-kad's, its own too.", now.kad_queries)?;
    gauge(encoder, "engine_events", "Events on their way to the engine.", now.events)?;
    gauge(encoder, "publishing", "Records and announcements under way.", now.publishing)?;
    gauge(encoder, "provided_keys", "Keys that are provided.", now.provided)?;
    let records = [("local", now.records), ("remote", now.records_of_others)];
    gauges(encoder, "stored_records", "Records in the store.", "owner", records)?;
    gauge(encoder, "stored_providers", "Others' providers in the store.", now.providers)
}

fn gauge(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: usize) -> fmt::Result {
    let name = prefixed(name);
    encoder.encode_descriptor(&name, help, None, MetricType::Gauge)?.encode_gauge(&value)
}

fn gauges(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    label: &str,
    values: [(&str, usize); 2],
) -> fmt::Result {
    let name = prefixed(name);
    let mut family = encoder.encode_descriptor(&name, help, None, MetricType::Gauge)?;
    for (value, count) in values {
        family.encode_family(&[(label, value)])?.encode_gauge(&count)?;
    }
    Ok(())
}

fn prefixed(name: &str) -> String {
    ["dragnet_libp2p_", name].concat()
}
