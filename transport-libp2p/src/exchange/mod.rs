//! One bounded question, one bounded answer, each over a stream of its own.
//!
//! The request layer under the adapter: it knows peers, protocol names and frames of bytes, not what
//! is in them. [`Behaviour::ask`] sends a question to a peer, dialling it if need be;
//! [`Behaviour::cancel`] withdraws it and resets the stream, which frees the remote's slot. Both only
//! note the work; the swarm's next poll does it.
//!
//! libp2p's own request-response can neither cancel a single request nor give it a timeout of its own,
//! and opens every stream at once; hence a [`Behaviour`] and a connection handler of our own, with a
//! queue per peer.
//!
//! A frame is an unsigned varint with the length, and that many bytes. An asker flushes its question
//! but does not close its half of the stream, so that dropping the stream resets it; Kademlia servers
//! answer all the same.

mod alarm;
mod behaviour;
mod codec;
mod config;
mod frame;
mod handler;
mod inbound;
mod outbound;
mod queue;

use std::time::Duration;

use bytes::Bytes;
use dragnet_core::Failure;
use libp2p::{Multiaddr, PeerId, StreamProtocol};

pub use behaviour::Behaviour;
pub use codec::{AnswerError, FetchItem, Fetched, QuestionError};
pub use config::{Config, FETCH_PROTOCOL, FetchConfig, ServeConfig};
pub use handler::Handler;
pub use inbound::{RespondError, Responder};

/// How many addresses of one request are read; the rest is ignored.
pub const ADDRESSES_MAX: usize = 16;

/// A question to one peer.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// Names the request in events and in [`Behaviour::cancel`]; the caller's, and unique among the
    /// requests that have not ended: [`RequestId::as_u64`](dragnet_core::RequestId::as_u64).
    pub id: u64,
    /// Whom to ask.
    pub peer: PeerId,
    /// Where it may be dialled, besides the addresses that the swarm's other behaviours know; the
    /// first [`ADDRESSES_MAX`] are read. Not needed for a connected peer.
    pub addresses: Vec<Multiaddr>,
    /// Under which protocol.
    pub protocol: StreamProtocol,
    /// The encoded question, without the length before it.
    pub payload: Bytes,
    /// How long the answer may take once the request has left the queue: negotiating the protocol,
    /// writing the question and reading the answer. Time in the queue and dialling are not in it.
    pub timeout: Duration,
    /// The longest answer, in bytes; a longer one is [`Failure::Invalid`].
    pub response_bytes_max: usize,
}

/// What has happened. Every accepted request ends with one `Answered` or one `Failed`, unless it is
/// cancelled.
#[derive(Debug)]
pub enum Event {
    /// A request has left the queue: there is a connection, and it was its turn. Said once of each that
    /// gets so far.
    Sent {
        /// The request.
        id: u64,
    },
    /// Ends a request.
    Answered {
        /// The request.
        id: u64,
        /// Who was asked.
        peer: PeerId,
        /// The answer, without the length before it.
        answer: Bytes,
        /// How long the request waited for the connection and for its turn. Not response time.
        queued: Duration,
    },
    /// Ends a request.
    Failed {
        /// The request.
        id: u64,
        /// Who was to be asked.
        peer: PeerId,
        /// Why:
        ///
        /// - [`Unreachable`](Failure::Unreachable): no address is known, or none could be dialled;
        /// - [`Closed`](Failure::Closed): the connection closed first;
        /// - [`Refused`](Failure::Refused): the peer reset or ended the stream first, or it broke;
        /// - [`Unsupported`](Failure::Unsupported): the peer does not speak the protocol;
        /// - [`TimedOut`](Failure::TimedOut): the request's timeout passed;
        /// - [`Invalid`](Failure::Invalid): a malformed length, or more than `response_bytes_max`;
        /// - [`Local`](Failure::Local): the peer's queue is full, or the dial was denied here.
        failure: Failure,
        /// How long the request waited for the connection and for its turn, up to now if it still did.
        queued: Duration,
    },
    /// Another peer asks under the fetch protocol.
    Question {
        /// Who asks.
        peer: PeerId,
        /// The question, as its sender wrote it.
        question: Bytes,
        /// How many items are wanted: at least 1, and at most the [`FetchConfig::items_max`] here.
        items_max: usize,
        /// Answers it, from any thread. Dropped, it refuses the question.
        responder: Responder,
    },
}

/// How much an exchange holds at the moment. All but `connections` are 0 when nothing is asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// Requests that wait for a connection or for their turn.
    pub queued: usize,
    /// Streams of ours that are open or being opened, those of cancelled requests included.
    pub in_flight: usize,
    /// Peers that are being dialled for a request.
    pub dialling: usize,
    /// Connections, whether used or not.
    pub connections: usize,
    /// Events that the swarm has yet to collect.
    pub events: usize,
}
