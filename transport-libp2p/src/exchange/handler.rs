//! One connection's streams.
pub use libp2p::swarm::dummy::ConnectionHandler as Handler;
