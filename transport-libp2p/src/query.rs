//! The usual queries, ready for a validator and a configuration.
//!
//! ```
//! use dragnet_core::QueryConfig;
//! use dragnet_libp2p::{provider_key, query};
//!
//! let search = query::search(provider_key(b"kademlia"), &b"kademlia"[..])
//!     .config(QueryConfig::low_latency());
//! ```

use bytes::Bytes;
use dragnet_core::{Query, Route};
use libp2p::PeerId;
use libp2p::kad::RecordKey;

use crate::network::{Ask, Libp2p};

/// The records under a key. One is enough unless the configuration says otherwise: all versions have one
/// id, so one is delivered.
pub fn get(key: RecordKey) -> Query<Libp2p> {
    let mut query = Query::new(Ask::Get { key }).route(Route::delegated());
    query.config.max_results = 1;
    query
}

/// The peers that announced to provide a key.
pub fn providers(key: RecordKey) -> Query<Libp2p> {
    Query::new(Ask::Providers { key }).route(Route::delegated())
}

/// The peers whose ids are closest to a key.
pub fn closest(key: RecordKey) -> Query<Libp2p> {
    Query::new(Ask::Closest { key }).route(Route::delegated())
}

/// Asks a question of every provider of a key.
pub fn search(key: RecordKey, question: impl Into<Bytes>) -> Query<Libp2p> {
    Query::new(Ask::Search { key, question: question.into() }).route(Route::delegated()).fetch_providers()
}

/// Asks a question of these peers, and of nobody else.
pub fn fetch(question: impl Into<Bytes>, peers: impl IntoIterator<Item = PeerId>) -> Query<Libp2p> {
    Query::new(Ask::Fetch { question: question.into() }).fetch_from(peers)
}
