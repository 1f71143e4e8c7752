//! Ask a DHT for something, and get the distinct, valid answers as a stream: until there are enough,
//! until no better can come, or until time is up. And leave nothing behind.
//!
//! There are two ways in.
//!
//! * **[`front`]** (feature `futures`, on by default): a [`Client`](front::Client) whose queries are
//!   streams, and a [`Driver`](front::Driver) that is one future, to be run by whatever executor you
//!   have. Bring a [`Transport`](front::Transport), or take `dragnet-libp2p`'s.
//! * **[`QueryEngine`]**: the state machine under it, without runtime, clock, network or `std`.
//!
//! # Driving the engine by hand
//!
//! *After every input drain the outputs; then sleep until the timeout or the next input.* That is the
//! whole rule, and this is the whole loop, over a network of three peers in the same thread:
//!
//! ```
//! use dragnet_core::{EngineConfig, Failure, Output, Query, QueryEngine, Reply, Time};
//! # use dragnet_core::doc::{Book, Library};
//!
//! // What the network would answer.
//! let ask = |peer: &str| match peer {
//!     "ada" => Ok(Reply::<Library>::with_items(vec![Book { isbn: 1, title: "Nets".into() }])),
//!     "bob" => Ok(Reply::with_items(vec![Book { isbn: 1, title: "Nets".into() }])),
//!     _ => Err(Failure::Unreachable),
//! };
//!
//! let mut engine = QueryEngine::<Library>::new(EngineConfig::default(), "me".into(), [7; 32]);
//! let mut now = Time::ZERO;
//! let query = Query::new("nets".into()).fetch_from(["ada", "bob", "eve"].map(String::from));
//! engine.start(now, query)?;
//!
//! let mut found = Vec::new();
//! let outcome = 'driving: loop {
//!     // Drain the outputs after every input.
//!     let mut answers = Vec::new();
//!     while let Some(output) = engine.poll_output() {
//!         match output {
//!             Output::Contact { request, peer, .. } => answers.push((request, ask(&peer))),
//!             Output::Lookup { request, .. } => answers.push((request, Err(Failure::Unsupported))),
//!             Output::Release { request } => answers.retain(|(other, _)| *other != request),
//!             Output::Found { found: book, .. } => found.push(book.item.title),
//!             Output::Finished { outcome, .. } => break 'driving outcome,
//!             _ => {}
//!         }
//!     }
//!     // Hand in what has come, or sleep until the timeout.
//!     if answers.is_empty() {
//!         now = engine.poll_timeout().expect("a query that lives has a deadline");
//!         engine.handle_tick(now);
//!     }
//!     for (request, answer) in answers {
//!         match answer {
//!             Ok(reply) => engine.handle_reply(now, request, reply),
//!             Err(failure) => engine.handle_failure(now, request, failure),
//!         }
//!     }
//! };
//! assert_eq!(found, ["Nets"]);
//! assert_eq!(outcome.stats.duplicate, 1);
//! assert_eq!(outcome.stats.failed, 1);
//! # Ok::<(), dragnet_core::StartError>(())
//! ```
//!
//! # Features
//!
//! | feature | default | what it adds |
//! |---|---|---|
//! | `futures` | yes | the [`front`]; needs `std` |
//! | `record` | no | the flight recorder, [`record`]; needs `std` |
//! | `conformance` | no | a test suite for any [`Transport`](front::Transport) |
//! | `prometheus` | no | the engine's metrics for [Prometheus](https://prometheus.io); needs `std` |
//! | `serde` | no | `Serialize` and `Deserialize` for query settings, and [`state`] that can be serialised |
//! | `state` | no | [`state`] kept as files; needs `std` |
//! | `std` | by `futures` | `std::error::Error` sources |
//!
//! Without default features the crate is `no_std` and needs only `alloc`.

#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

mod arena;
mod cache;
mod config;
#[cfg(feature = "conformance")]
pub mod conformance;
mod delivery;
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
#[cfg(feature = "prometheus")]
pub mod prometheus;
mod query;
#[cfg(feature = "record")]
pub mod record;
pub mod state;
mod stats;
mod time;
mod timers;

pub use cache::{CachePolicy, Cached};
pub use config::{CacheConfig, Caps, EngineConfig, ReputationConfig};
pub use delivery::{Agreement, Delivery};
pub use engine::QueryEngine;
#[cfg(feature = "sabotage")]
#[doc(hidden)]
pub use engine::Sabotage;
pub use key::{Distance, Key};
pub use network::{Failure, Invalid, Item, LookupTotals, Network, Reply, Selector, Source, Validator};
pub use output::{Found, Output, RequestId, StartError, Step};
pub use query::{Outcome, Query, QueryConfig, QueryId, QueryStats, Reason, Route, SourceStats};
pub use state::{
    AnswerState, Checkpoint, ConditionsState, Distribution, EngineState, ItemState, PeerState, Position,
    RestoreError, Restored,
};
pub use stats::{Histogram, LiveState, Metrics, PeerRanking, PeerReport, QueryReport, SourceMetrics};
pub use time::Time;
