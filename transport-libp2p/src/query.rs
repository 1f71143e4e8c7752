//! The usual queries, ready for a validator and a configuration.
//!
//! Those that walk do so step by step, by the engine. Their second route looks at what this peer has itself:
//! for an [`Ask`] of [`Walks::Driven`] a delegated route means that. [`delegated`] leaves the walk of any
//! query to libp2p-kad.
//!
//! ```
//! use dragnet_core::QueryConfig;
//! use dragnet_libp2p::{provider_key, query};
//!
//! let search = query::search(provider_key(b"kademlia"), &b"kademlia"[..])
//!     .config(QueryConfig::low_latency());
//! ```

use bytes::Bytes;
use dragnet_core::{Key, Query, Route};
use libp2p::PeerId;
use libp2p::kad::RecordKey;

use crate::config::Walks;
use crate::network::{Ask, Libp2p};

/// The records under a key. One is enough unless the configuration says otherwise: all versions have one
/// id, so one is delivered.
pub fn get(key: RecordKey) -> Query<Libp2p> {
    let mut query = driven(&key.clone(), Ask::Get { key, walks: Walks::Driven });
    query.config.max_results = 1;
    query
}

/// The peers that announced to provide a key.
pub fn providers(key: RecordKey) -> Query<Libp2p> {
    driven(&key.clone(), Ask::Providers { key, walks: Walks::Driven })
}

/// The peers whose ids are closest to a key, once libp2p-kad has found them.
pub fn closest(key: RecordKey) -> Query<Libp2p> {
    Query::new(Ask::Closest { key }).route(Route::delegated())
}

/// Asks a question of every provider of a key.
pub fn search(key: RecordKey, question: impl Into<Bytes>) -> Query<Libp2p> {
    driven(&key.clone(), Ask::Search { key, question: question.into(), walks: Walks::Driven })
        .fetch_providers()
}

/// Asks a question of these peers, and of nobody else.
pub fn fetch(question: impl Into<Bytes>, peers: impl IntoIterator<Item = PeerId>) -> Query<Libp2p> {
    Query::new(Ask::Fetch { question: question.into() }).fetch_from(peers)
}

/// The same query, with its walk left to libp2p-kad: at the pace of [`Config`](crate::Config), in turns, and
/// with totals alone of what became of its requests.
///
/// ```
/// use dragnet_libp2p::{query, record_key};
///
/// let query = query::delegated(query::get(record_key("pk", b"abc")));
/// ```
#[must_use]
pub fn delegated(mut query: Query<Libp2p>) -> Query<Libp2p> {
    if let Ask::Get { walks, .. } | Ask::Providers { walks, .. } | Ask::Search { walks, .. } =
        &mut query.request
    {
        *walks = Walks::Delegated;
        query.routes = vec![Route::delegated()];
    }
    query
}

/// A walk to a key, contact by contact, and a look at what is here already.
fn driven(key: &RecordKey, ask: Ask) -> Query<Libp2p> {
    Query::new(ask).route(Route::walk(Key::of(key.as_ref()))).route(Route::delegated())
}
