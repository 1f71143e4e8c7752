//! Dragnet's core.

#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

mod arena;
mod config;
#[cfg(feature = "conformance")]
pub mod conformance;
#[doc(hidden)]
pub mod doc;
mod engine;
#[cfg(feature = "futures")]
pub mod front;
mod hash;
mod key;
mod lookup;
mod network;
mod output;
mod pacing;
mod peers;
mod query;
mod stats;
mod time;
mod timers;

pub use config::{Caps, EngineConfig, ReputationConfig};
pub use engine::QueryEngine;
pub use key::{Distance, Key};
pub use network::{Failure, Invalid, Item, LookupTotals, Network, Reply, Source, Validator};
pub use output::{Found, Output, RequestId, StartError, Step};
pub use query::{Outcome, Query, QueryConfig, QueryId, QueryStats, Reason, Route};
pub use stats::{Histogram, LiveState, Metrics, PeerReport};
pub use time::Time;
