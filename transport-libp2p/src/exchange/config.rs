//! The settings of the exchange, with their bounds.

use std::time::Duration;

use libp2p::StreamProtocol;

/// The name of the fetch protocol, unless [`FetchConfig::protocol`] says otherwise.
pub const FETCH_PROTOCOL: StreamProtocol = StreamProtocol::new("/dragnet/fetch/1.0.0");

/// Settings of an exchange [`Behaviour`](super::Behaviour).
#[derive(Clone, Debug)]
pub struct Config {
    /// How many requests may be in flight to one peer, over all its connections; at least 1. 16 by
    /// default: rust-libp2p's Kademlia server takes 32 streams a connection and drops the rest.
    pub in_flight_max: usize,
    /// How many requests may wait for one peer; one more fails with
    /// [`Failure::Local`](dragnet_core::Failure::Local). 1 024 by default.
    pub queued_max: usize,
    /// The fetch protocol: its name, and what is read from an answer.
    pub fetch: FetchConfig,
    /// How others' questions are answered; `None` offers no protocol to them.
    pub serve: Option<ServeConfig>,
}

/// The fetch protocol: one question, one answer of several items. Asker and answerer apply the same
/// bounds: what is over them is neither sent nor read.
#[derive(Clone, Debug)]
pub struct FetchConfig {
    /// The protocol's name: [`FETCH_PROTOCOL`] by default.
    pub protocol: StreamProtocol,
    /// The longest question, in bytes. 4 KiB by default.
    pub question_bytes_max: usize,
    /// The longest encoded answer, in bytes. 1 MiB by default.
    pub response_bytes_max: usize,
    /// The most items of one answer. 1 024 by default.
    pub items_max: usize,
    /// The longest id of an item, in bytes. 256 by default.
    pub id_bytes_max: usize,
    /// The longest body of an item, in bytes. 64 KiB by default.
    pub body_bytes_max: usize,
}

/// How others' questions are answered.
#[derive(Clone, Debug)]
pub struct ServeConfig {
    /// How many questions of one connection may be open; one more is reset. 32 by default.
    pub in_flight_max: usize,
    /// How many bytes all open questions and answers may take together, over all connections; what
    /// would need more is reset. 64 MiB by default.
    pub bytes_max: usize,
    /// How long an asker may take to send its question. 10 s by default.
    pub question_timeout: Duration,
    /// How long the application may take to answer, and then how long the asker may take to read the
    /// answer; after it the stream is reset. 30 s by default.
    pub answer_timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            in_flight_max: 16,
            queued_max: 1024,
            fetch: FetchConfig::default(),
            serve: Some(ServeConfig::default()),
        }
    }
}

impl Default for FetchConfig {
    fn default() -> Self {
        Self {
            protocol: FETCH_PROTOCOL,
            question_bytes_max: 4 << 10,
            response_bytes_max: 1 << 20,
            items_max: 1024,
            id_bytes_max: 256,
            body_bytes_max: 64 << 10,
        }
    }
}

impl Default for ServeConfig {
    fn default() -> Self {
        Self {
            in_flight_max: 32,
            bytes_max: 64 << 20,
            question_timeout: Duration::from_secs(10),
            answer_timeout: Duration::from_secs(30),
        }
    }
}
