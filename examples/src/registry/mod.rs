//! A centralised registry of packages: a server that keeps them in a SQLite file and answers searches by
//! HTTP, and how a client asks it.
//!
//! `GET /search?q=TERM&limit=N` answers `{"packages": [...]}`; `category=` and `tag=` narrow it down as in
//! `marketplace search`. Every error is `{"error": "what was wrong"}`.

mod api;
mod server;
mod store;

pub use api::{Found, PackageApi};
pub use server::{Server, ServerLimits};
pub use store::{Store, StoreError};

/// The most packages of one answer.
pub const RESULTS_MAX: usize = 100;
