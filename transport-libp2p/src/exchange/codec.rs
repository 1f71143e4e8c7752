//! The messages of the fetch protocol, and what is accepted of them.
//!
//! ```proto
//! message FetchRequest  { bytes question = 1; uint32 items_max = 2; }
//! message FetchResponse { repeated Item items = 1; }
//! message Item          { bytes id = 1; bytes body = 2; }
//! ```

use std::time::Duration;

use bytes::Bytes;
use libp2p::{Multiaddr, PeerId};

use super::{FetchConfig, Outgoing};

/// One item of an answer.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct FetchItem {
    /// What makes it distinct; never empty. Bounded by [`FetchConfig::id_bytes_max`].
    pub id: Bytes,
    /// The rest; may be empty. Bounded by [`FetchConfig::body_bytes_max`].
    pub body: Bytes,
}

/// A decoded answer.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Fetched {
    /// The good items, as they were sent.
    pub items: Vec<FetchItem>,
    /// How many items were not: without an id, over a bound, or past [`FetchConfig::items_max`].
    pub invalid: u32,
}

/// Why a question cannot be sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum QuestionError {
    /// It is too long.
    #[error("the question has {bytes} bytes, and may have {max}")]
    TooLong {
        /// Its length in bytes.
        bytes: usize,
        /// The most it may have: [`FetchConfig::question_bytes_max`].
        max: usize,
    },
}

/// Why an answer is refused as a whole.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AnswerError {
    /// It is too long.
    #[error("the answer has {bytes} bytes, and may have {max}")]
    TooLong {
        /// Its length in bytes.
        bytes: usize,
        /// The most it may have: [`FetchConfig::response_bytes_max`].
        max: usize,
    },
    /// It is not a `FetchResponse`.
    #[error("the answer is not a fetch response: {0}")]
    Undecodable(#[from] prost::DecodeError),
}

impl FetchConfig {
    /// The request that puts `question` to `peer` under this protocol. `items_max` tells the peer how
    /// many items are wanted (0: as many as it likes), and is cut to [`items_max`](Self::items_max).
    ///
    /// # Errors
    ///
    /// A question over [`question_bytes_max`](Self::question_bytes_max).
    pub fn outgoing(
        &self,
        id: u64,
        peer: PeerId,
        addresses: Vec<Multiaddr>,
        question: &[u8],
        items_max: usize,
        timeout: Duration,
    ) -> Result<Outgoing, QuestionError> {
        let _ = (id, peer, addresses, question, items_max, timeout);
        todo!()
    }

    /// Reads the answer to such a request. Bad items are counted, and the rest is kept.
    ///
    /// # Errors
    ///
    /// What is too long, or cannot be decoded: [`Failure::Invalid`](dragnet_core::Failure::Invalid).
    pub fn decode_answer(&self, answer: &[u8]) -> Result<Fetched, AnswerError> {
        let _ = answer;
        todo!()
    }
}
