//! Dragnet's core.

#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

mod config;
#[doc(hidden)]
pub mod doc;
mod engine;
#[cfg(feature = "futures")]
pub mod front;
mod key;
mod network;
mod output;
mod query;
mod stats;
mod time;

pub use config::{Caps, EngineConfig, ReputationConfig};
pub use engine::QueryEngine;
pub use key::{Distance, Key};
pub use network::{Failure, Invalid, Item, LookupTotals, Network, Reply, Source, Validator};
pub use output::{Found, Output, RequestId, StartError, Step};
pub use query::{Outcome, Query, QueryConfig, QueryId, QueryStats, Reason, Route};
pub use stats::{Histogram, Metrics, PeerReport};
pub use time::Time;
