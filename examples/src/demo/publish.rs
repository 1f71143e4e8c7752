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
    let unheard: usize = network.nodes.iter().map(|node| node.published.unheard).sum();
    let time = start.elapsed();
    let object = json!({"kind": "published", "records": total - unheard, "elapsed_ms": as_ms(time)});
    output.line(format!("Published {} provider records in {}", total - unheard, show(time)), &object)?;
    Ok(())
}
