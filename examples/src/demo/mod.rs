//! `demo`: a network of real peers in this process, some of them bad, and searches in it.

mod network;
mod plan;
mod publish;
mod report;
mod roles;
mod searches;

use std::sync::Arc;
use std::thread;

use serde_json::json;
use smol::{Executor, block_on, channel};

use crate::cli::DemoArgs;
use crate::error::{Error, Exit};
use crate::market::Market;
use crate::output::Output;
use crate::package::Package;
use crate::source;

use network::Network;
use plan::Plan;
use report::Report;

/// Threads that run the peers, at most.
const THREADS_MAX: usize = 8;

/// Starts the network, publishes, searches, reports, and stops everything.
///
/// # Errors
///
/// When there are no packages to share, or a node fails; never because of the bad peers.
pub fn demo(args: &DemoArgs, output: Output) -> Result<Exit, Error> {
    let spinner = output.spinner("Reading the packages to share");
    let packages = match &args.packages {
        Some(path) => source::from_file(path),
        None => source::from_cargo(),
    };
    spinner.finish_and_clear();
    let packages = packages?;
    let executor = Arc::new(Executor::new());
    let result = on_threads(&executor, run(args, packages, &executor, output));
    match result {
        // Whatever was spawned should have ended with the nodes.
        Ok(_) if !executor.is_empty() => Err(Error::TasksLeft),
        result => result,
    }
}

/// Runs the executor on as many threads as the machine has, until the future is ready.
fn on_threads<T>(executor: &Executor<'static>, future: impl Future<Output = T>) -> T {
    let threads = thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX);
    let (end, ended) = channel::bounded::<()>(1);
    thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(|| block_on(executor.run(ended.recv())));
        }
        let result = block_on(executor.run(future));
        drop(end);
        result
    })
}

async fn run(
    args: &DemoArgs,
    packages: Vec<Package>,
    executor: &Arc<Executor<'static>>,
    output: Output,
) -> Result<Exit, Error> {
    let plan = Plan::new(packages, args)?;
    introduce(&plan, args, output)?;
    let mut network = Network::start(&plan, executor).await?;
    let result = search(&plan, args, &mut network, output).await;
    // Also when something failed: no peer is left behind.
    network.stop().await;
    let report = result?;
    report.print(output)?;
    Ok(if report.summary.results > 0 { Exit::Found } else { Exit::Nothing })
}

async fn search(
    plan: &Plan,
    args: &DemoArgs,
    network: &mut Network,
    output: Output,
) -> Result<Report, Error> {
    publish::publish(network, output).await?;
    let asker = network.asker();
    let market = Market::new(asker.client.clone(), Arc::clone(&asker.catalogue));
    let shown = searches::show(&market, &plan.shown, network, output).await?;
    let load = searches::load(&market, &plan.load, args.concurrency.into(), network, output).await?;
    let client = &network.asker().client;
    let again = searches::again(&market, client, &plan.load, args.concurrency.into(), output).await?;
    let reputations = network.asker().client.peers().await?;
    Ok(Report::new(plan, args.concurrency.into(), network, (shown, load, again), reputations))
}

fn introduce(plan: &Plan, args: &DemoArgs, output: Output) -> Result<(), Error> {
    let (nodes, packages, seed) = (plan.roles.len(), plan.packages, args.seed);
    output.text(format_args!("{nodes} peers on loopback TCP share {packages} packages (seed {seed})"))?;
    for (index, role) in plan.roles.iter().enumerate() {
        let name = plan::name(index);
        if let Some(what) = role.what_it_does() {
            output.text(format_args!("  {name} {what}"))?;
        }
        output.object(&json!({
            "kind": "node", "name": name, "role": role.to_string(), "packages": plan.catalogues[index].len(),
        }))?;
    }
    Ok(())
}
