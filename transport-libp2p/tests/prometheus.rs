//! What Prometheus is told of a node.

#![cfg(feature = "prometheus")]
#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod common;

use std::collections::BTreeSet;

use common::{ask, item, network, run, serve, stop, until, until_provided};
use dragnet_libp2p::prometheus::Collector;
use dragnet_libp2p::{Client, Config, provider_key, query};
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

fn scrape(registry: &Registry) -> String {
    let mut text = String::new();
    encode(&mut text, registry).unwrap();
    text
}

fn registry(client: &Client) -> Registry {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Collector::new(client.clone())));
    registry
}

/// The value of a series, its labels included in the name.
fn value(text: &str, series: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {series} in {text}")).parse().unwrap()
}

/// Every name that may stand in a query: that of a family, and those of its series.
fn names(text: &str) -> BTreeSet<String> {
    let families = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let suffixes = |kind: &str| match kind {
        "counter" => &["_total"][..],
        "histogram" => &["_bucket", "_sum", "_count"],
        "info" => &["_info"],
        _ => &[""],
    };
    families
        .flat_map(|(name, kind)| suffixes(kind).iter().map(move |suffix| format!("{name}{suffix}")))
        .collect()
}

#[test]
fn a_scrape_tells_what_a_search_has_cost_and_what_the_node_holds() {
    run(async {
        let peers = network(3, &Config::default()).await;
        let client = &peers[2].client;
        let registry = registry(client);
        // The node keeps it from now on, and is woken for it.
        until(|| async { value(&scrape(&registry), "dragnet_libp2p_routing_table_peers") == 2.0 }).await;
        let before = scrape(&registry);
        assert_eq!(value(&before, "dragnet_queries_started_total"), 0.0);
        let version = concat!("dragnet_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"}");
        assert_eq!(value(&before, version), 1.0);
        assert!(before.ends_with("# EOF\n"));

        let key = provider_key(b"fruit");
        let mut provided = peers[1].client.provide(key.clone());
        provided.announced().await.unwrap();
        let _serving = serve(&peers[1], vec![item("apple", "red")]);
        until_provided(client, &key, &[peers[1].id()]).await;
        let (found, outcome) = ask(client, query::search(key, "?")).await;
        assert_eq!(found.len(), 1, "{outcome:?}");
        // Once none lives the snapshot of the engine is exact.
        until(|| async { client.metrics().queries_live == 0 }).await;
        let after = scrape(&registry);
        let started = value(&after, "dragnet_queries_started_total");
        assert!(started >= 2.0, "{after}");
        assert_eq!(value(&after, "dragnet_query_duration_seconds_count"), started);
        assert_eq!(value(&after, "dragnet_query_duration_seconds_bucket{le=\"+Inf\"}"), started);
        assert!(value(&after, "dragnet_query_first_item_seconds_sum") > 0.0);
        assert!(value(&after, "dragnet_results_total") >= 1.0);
        assert!(value(&after, "dragnet_contacts_finished_total{result=\"replied\"}") >= 1.0);
        assert!(value(&after, "dragnet_libp2p_connections") >= 1.0, "{after}");
        until(|| async { value(&scrape(&registry), "dragnet_libp2p_requests{state=\"in_flight\"}") == 0.0 })
            .await;

        let announcer = self::registry(&peers[1].client);
        until(|| async { value(&scrape(&announcer), "dragnet_libp2p_provided_keys") == 1.0 }).await;
        drop(registry);
        stop(peers).await;
        // Who scrapes a node that has ended is answered.
        assert_eq!(value(&scrape(&announcer), "dragnet_queries_live"), 0.0);
    });
}

#[test]
fn the_documentation_names_what_the_adapter_adds_and_nothing_else() {
    run(async {
        let peers = network(1, &Config::default()).await;
        let told = names(&scrape(&registry(&peers[0].client)));
        let documented: BTreeSet<String> = include_str!("../src/prometheus.rs")
            .lines()
            .filter_map(|line| line.strip_prefix("//! | `")?.split_once('`'))
            .map(|(name, _)| name.to_string())
            .collect();
        let added = |name: &&String| name.contains("libp2p") || name.ends_with("_info");
        assert_eq!(told.iter().filter(added).cloned().collect::<BTreeSet<_>>(), documented);
        stop(peers).await;
    });
}
