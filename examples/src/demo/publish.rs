//! Publishing what each peer of the demo has.

use std::time::Instant;

use futures::future::try_join_all;
use serde_json::json;

use super::network::Network;
use crate::announce::announce;
use crate::args;
use crate::duration::{as_ms, show};
use crate::error::Error;
use crate::output::Output;

/// Announces every peer as a provider of all its terms.
pub(super) async fn publish(network: &mut Network, output: Output) -> Result<(), Error> {
    let start = Instant::now();
    let terms: Vec<_> = network.nodes.iter().map(|node| node.catalogue.terms()).collect();
    let total = terms.iter().map(std::collections::BTreeSet::len).sum();
    let bar = output.progress("Publishing", total);
    let announcing = network.nodes.iter().zip(&terms).map(|(node, terms)| {
        let keys = terms.iter().map(|term| args::term(term));
        announce(&node.client, keys, || bar.inc(1))
    });
    let announced = try_join_all(announcing).await;
    bar.finish_and_clear();
    for (node, announced) in network.nodes.iter_mut().zip(announced?) {
        node.published = announced;
    }
    let unheard: usize = network.nodes.iter().map(|node| node.published.unheard()).sum();
    let time = start.elapsed();
    let object = json!({"kind": "published", "records": total - unheard, "elapsed_ms": as_ms(time)});
    output.line(format!("Published {} provider records in {}", total - unheard, show(time)), &object)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use dragnet_core::QueryConfig;
    use dragnet_libp2p::query;
    use futures::{StreamExt, stream};
    use libp2p::PeerId;

    use super::*;
    use crate::cli::DemoArgs;
    use crate::demo::on_threads;
    use crate::demo::plan::Plan;
    use crate::package::tests::package;

    #[test]
    fn every_provider_that_was_published_is_found() {
        let packages = (0..24).map(|n| package(&format!("pack{n}"), &["popular", ["a", "b"][n % 2]], &[]));
        let args =
            DemoArgs { nodes: 10, queries: 1, concurrency: 1, seed: 1, packages: None, terms: Vec::new() };
        let plan = Plan::new(packages.collect(), &args).unwrap();
        let executor = std::sync::Arc::new(smol::Executor::new());
        on_threads(&executor, async {
            let mut network = Network::start(&plan, &executor).await.unwrap();
            publish(&mut network, Output::new(true)).await.unwrap();
            let client = &network.asker().client;
            let others = &network.nodes[1..];
            let find = async |term: String| {
                let query = query::providers(args::term(&term)).config(QueryConfig::balanced());
                let (found, _) = client.query(query).unwrap().collect().await.unwrap();
                let found: BTreeSet<PeerId> = found.iter().filter_map(|it| it.item.peer().copied()).collect();
                (term, found)
            };
            let terms: BTreeSet<String> = others.iter().flat_map(|node| node.catalogue.terms()).collect();
            let mut found = stream::iter(terms).map(find).buffer_unordered(8);
            while let Some((term, mut found)) = found.next().await {
                found.remove(&network.asker().peer);
                let published = others.iter().filter(|node| node.catalogue.terms().contains(&term));
                assert_eq!(found, published.map(|node| node.peer).collect(), "{term}");
            }
            drop(found);
            network.stop().await;
        });
    }
}
