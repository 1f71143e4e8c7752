//! The futures front: queries as streams, driven by one future that runs anywhere.
//!
//! [`new`] gives two things. The [`Client`] is for whoever asks: [`Client::query`] returns a
//! [`QueryHandle`], a stream of what is found. The [`Driver`] is a future that does the work: it owns
//! the engine, a [`Transport`] that carries requests to peers, and a [`Clock`]. Nothing is spawned, and
//! no runtime is named: spawn the driver on the executor that is there, run it on a thread of its own
//! with `block_on`, or poll it from inside another poll function.
//!
//! # Example
//!
//! Peers in the same process, and no executor but `block_on`:
//!
//! ```
//! use std::collections::VecDeque;
//! use std::task::{Context, Poll};
//!
//! use dragnet_core::doc::{Book, Library};
//! use dragnet_core::front::{self, Contact, Event, Lookup, SystemClock, Transport};
//! use dragnet_core::{Failure, Key, Query, Reason, Reply, RequestId};
//! use futures::{StreamExt, executor::block_on, future::join};
//!
//! #[derive(Default)]
//! struct Shelves(VecDeque<Event<Library>>);
//!
//! impl Transport for Shelves {
//!     type Network = Library;
//!     fn closest(&mut self, _: &Key, _: usize) -> Vec<String> {
//!         Vec::new()
//!     }
//!     fn contact(&mut self, Contact { request, peer, ask, .. }: Contact<Library>) {
//!         let books = vec![Book { isbn: peer.len() as u64, title: format!("{ask}, by {peer}") }];
//!         self.0.push_back(Event::Reply { request, reply: Reply::with_items(books) });
//!     }
//!     fn lookup(&mut self, Lookup { request, .. }: Lookup<Library>) {
//!         self.0.push_back(Event::Failure { request, failure: Failure::Unsupported });
//!     }
//!     fn release(&mut self, request: RequestId) {
//!         self.0.retain(|event| event.request() != request);
//!     }
//!     fn poll_event(&mut self, _: &mut Context<'_>) -> Poll<Event<Library>> {
//!         self.0.pop_front().map_or(Poll::Pending, Poll::Ready)
//!     }
//! }
//!
//! let (client, driver) = front::new(Shelves::default(), SystemClock::new(), "me".to_string(), [7; 32]);
//! let search = async move {
//!     let peers = ["alice", "bob"].map(String::from);
//!     let mut books = client.query(Query::new("Tales".to_string()).fetch_from(peers))?;
//!     while let Some(found) = books.next().await {
//!         println!("{} after {:?}", found.item.title, found.elapsed);
//!     }
//!     Ok::<_, dragnet_core::StartError>(books.outcome().cloned())
//! };
//! // `search` takes its client along when it is done, and with the last client gone the driver returns.
//! let ((), outcome) = block_on(join(driver, search));
//! let outcome = outcome?.expect("the driver was there to the end");
//! assert_eq!((outcome.results, outcome.reason), (2, Reason::Exhausted));
//! # Ok::<_, dragnet_core::StartError>(())
//! ```

mod channel;
mod client;
mod clock;
mod driver;
mod federation;
mod handle;
mod shared;
mod transport;

use core::time::Duration;

pub use client::Client;
pub use clock::{Clock, SystemClock};
pub use driver::Driver;
pub use federation::{Federation, Mapped, Mapping, Subqueries};
pub use handle::{DriverGone, Incomplete, QueryHandle};
pub use transport::{Contact, Event, Lookup, Transport};

use crate::config::EngineConfig;
use crate::engine::QueryEngine;
use crate::network::Network;

/// The most results that a query of this front may ask for, and so the most that wait for a handle which does not
/// read them.
pub const RESULTS_MAX: usize = 1024;

/// A client and its driver, with the default settings.
///
/// `local` is who we are: never a candidate. All that the engine draws comes from `seed`: the same seed
/// and inputs give the same run, and in a real network it must not be known to strangers.
pub fn new<T: Transport, C: Clock>(
    transport: T,
    clock: C,
    local: <T::Network as Network>::Peer,
    seed: [u8; 32],
) -> (Client<T::Network>, Driver<T, C>) {
    with_config(FrontConfig::default(), transport, clock, local, seed)
}

/// A client and its driver, with settings.
///
/// [`Caps::results_max`](crate::Caps::results_max) is held to [`RESULTS_MAX`], and
/// [`commands_max`](FrontConfig::commands_max) to at least 1.
pub fn with_config<T: Transport, C: Clock>(
    mut config: FrontConfig,
    transport: T,
    clock: C,
    local: <T::Network as Network>::Peer,
    seed: [u8; 32],
) -> (Client<T::Network>, Driver<T, C>) {
    config.engine.caps.results_max = config.engine.caps.results_max.min(RESULTS_MAX);
    if config.engine.sources.is_empty() {
        config.engine.sources = transport.sources().into_iter().map(Into::into).collect();
    }
    config.commands_max = config.commands_max.max(1);
    let engine = QueryEngine::new(config.engine.clone(), local, seed);
    let (shared, inbox) = shared::Shared::new(config);
    // The named sources are among them from the beginning.
    shared.publish(engine.metrics());
    let client = Client::new(alloc::sync::Arc::clone(&shared));
    (client, Driver::new(engine, transport, clock, shared, inbox))
}

/// The settings of a front.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct FrontConfig {
    /// The engine's.
    pub engine: EngineConfig,
    /// Commands (new queries above all) that may wait for the driver; one more query is
    /// [`StartError::Busy`](crate::StartError::Busy). 1 024.
    pub commands_max: usize,
    /// How old [`Client::metrics`] may be while queries live and the driver is polled. The driver wakes
    /// for it, at most so often, and only after something has happened. 100 ms.
    pub metrics_every: Duration,
}

impl FrontConfig {
    /// Sets the engine's settings.
    #[must_use]
    pub fn with_engine(mut self, engine: EngineConfig) -> Self {
        self.engine = engine;
        self
    }

    /// Sets [`commands_max`](Self::commands_max).
    #[must_use]
    pub const fn with_commands_max(mut self, commands_max: usize) -> Self {
        self.commands_max = commands_max;
        self
    }

    /// Sets [`metrics_every`](Self::metrics_every).
    #[must_use]
    pub const fn with_metrics_every(mut self, metrics_every: Duration) -> Self {
        self.metrics_every = metrics_every;
        self
    }
}

impl Default for FrontConfig {
    fn default() -> Self {
        Self {
            engine: EngineConfig::default(),
            commands_max: 1024,
            metrics_every: Duration::from_millis(100),
        }
    }
}
