//! The commands that work with any network.

mod node;
mod providers;
mod records;
mod registry;
mod search;
mod top;

pub use node::node;
pub use providers::{provide, providers};
pub use records::{get, put};
pub use registry::registry;
pub use search::search;
pub use top::top;

use std::sync::Arc;

use crate::catalogue::Catalogue;
use crate::cli::SharedArgs;
use crate::error::Error;
use crate::output::Output;
use crate::source;

/// The packages that a command line names; none if it names none.
async fn shared(args: &SharedArgs, output: Output) -> Result<Arc<Catalogue>, Error> {
    let spinner = output.spinner("Reading the packages to share");
    let packages = match (args.packages.clone(), args.cargo_metadata) {
        (Some(path), _) => smol::unblock(move || source::from_file(&path)).await,
        (None, true) => smol::unblock(source::from_cargo).await,
        (None, false) => Ok(Vec::new()),
    };
    spinner.finish_and_clear();
    Ok(Arc::new(packages?.into_iter().collect()))
}
