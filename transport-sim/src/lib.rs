//! A simulated network for Dragnet: thousands to a million Kademlia peers in virtual time, the same run
//! for the same seed.
//!
//! [`Sim`] is the way in: a network of peers ([`SimConfig`]), data on them, clients, queries, and what
//! came of each. Nothing in it reads a clock or draws randomness but from the seed.

mod agent;
mod config;
mod digest;
mod draw;
mod faults;
mod fixed;
mod latency;
mod matrix;
mod network;
mod peers;
mod placement;
mod population;
mod sessions;
mod sim;
mod trace;
mod transport;
mod trouble;
mod wheel;
mod world;

pub use config::{ConfigError, PEERS_MAX, SimConfig};
pub use digest::Digest;
pub use draw::Share;
pub use faults::{Fault, FaultKind, Strikes, Whom};
pub use latency::LatencyModel;
pub use matrix::{MatrixError, RttMatrix};
pub use network::{Request, SimItem, SimNet, sound};
pub use peers::{NotAPeerId, PeerId};
pub use population::{K, Staleness};
pub use sessions::Sessions;
pub use sim::{AskId, ClientId, QueryRun, Sim};
pub use trace::{Ended, Trace, TracedContact};
pub use transport::SimTransport;
pub use wheel::{EventQueue, HeapQueue, Wheel};
pub use world::Counts;
