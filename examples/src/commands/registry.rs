//! `registry`: a centralised registry that keeps packages and answers searches by HTTP.

use serde_json::json;

use super::node::until;
use super::shared;
use crate::cli::RegistryArgs;
use crate::error::{Error, Exit};
use crate::output::Output;
use crate::registry::{Server, ServerLimits, Store};
use crate::signals::Interrupt;

/// Runs a registry until Ctrl-C.
///
/// # Errors
///
/// Packages that cannot be read, a database that is locked or damaged, an occupied port.
pub async fn registry(args: &RegistryArgs, output: Output) -> Result<Exit, Error> {
    let mut interrupt = Interrupt::new()?;
    let catalogue = shared(&args.shared, output).await?;
    let (file, spinner) = (args.store.clone(), output.spinner("Opening the package database"));
    // Files are read and written on a thread for such work.
    let opening = smol::unblock(move || {
        let store = file.as_deref().map_or_else(Store::in_memory, Store::open)?;
        store.put(catalogue.packages())?;
        let packages = store.len()?;
        Ok::<_, Error>((store, packages))
    });
    let opened = opening.await;
    spinner.finish_and_clear();
    let (store, packages) = opened?;
    let server = Server::bind(args.listen, store, ServerLimits::default()).await?;
    let url = format!("http://{}/", server.address());
    let object = json!({"kind": "listening", "url": url, "packages": packages});
    output.line(format!("Listening on {url} with {packages} packages"), &object)?;
    output.text(format_args!("Try {url}search?q=async. Press Ctrl-C to stop."))?;
    let result = until(&mut interrupt, async {
        server.run().await;
        Ok(())
    })
    .await;
    output.line("Stopped.", &json!({"kind": "stopped"}))?;
    result
}
