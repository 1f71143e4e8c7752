//! A peer.
