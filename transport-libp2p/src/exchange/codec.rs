//! The messages of the fetch protocol, and what is accepted of them.
//!
//! ```proto
//! message FetchRequest  { bytes question = 1; uint32 items_max = 2; }
//! message FetchResponse { repeated Item items = 1; }
//! message Item          { bytes id = 1; bytes body = 2; }
//! ```

use std::time::Duration;

use bytes::{Buf, Bytes};
use libp2p::{Multiaddr, PeerId};
use prost::Message;
use prost::encoding::{self, DecodeContext};

use super::{FetchConfig, Outgoing};

/// The field of the items in an answer.
const ITEMS: u32 = 1;
/// What a question's message has besides the question: two keys, a length and a number, in bytes.
const QUESTION_OVERHEAD: usize = 32;

/// One item of an answer.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "state", derive(serde::Serialize, serde::Deserialize))]
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
    /// How many items were not: undecodable, without an id, over a bound, or past
    /// [`FetchConfig::items_max`].
    pub invalid: u32,
}

/// Why a question cannot be sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
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
#[non_exhaustive]
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
        let bytes = question.len();
        if bytes > self.question_bytes_max {
            return Err(QuestionError::TooLong { bytes, max: self.question_bytes_max });
        }
        let question = Bytes::copy_from_slice(question);
        let items_max = u32::try_from(items_max.min(self.items_max)).unwrap_or(u32::MAX);
        Ok(Outgoing {
            id,
            peer,
            addresses,
            protocol: self.protocol.clone(),
            payload: FetchRequest { question, items_max }.encode_to_vec().into(),
            timeout,
            response_bytes_max: self.response_bytes_max,
        })
    }

    /// Reads the answer to such a request. Bad items are counted, and the rest is kept. The items do
    /// not share the answer's memory.
    ///
    /// # Errors
    ///
    /// What is too long, or cannot be decoded: [`Failure::Invalid`](dragnet_core::Failure::Invalid).
    pub fn decode_answer(&self, mut answer: Bytes) -> Result<Fetched, AnswerError> {
        let bytes = answer.len();
        if bytes > self.response_bytes_max {
            return Err(AnswerError::TooLong { bytes, max: self.response_bytes_max });
        }
        // Field by field, since half a million empty items fit into 1 MiB: those past the bound must
        // not be built before they are counted.
        let mut fetched = Fetched::default();
        while answer.has_remaining() {
            let (field, wire_type) = encoding::decode_key(&mut answer)?;
            if field != ITEMS {
                encoding::skip_field(wire_type, field, &mut answer, DecodeContext::default())?;
                continue;
            }
            let mut encoded = Bytes::new();
            encoding::bytes::merge(wire_type, &mut encoded, &mut answer, DecodeContext::default())?;
            match self.decode_item(&encoded) {
                Some(item) if fetched.items.len() < self.items_max => fetched.items.push(item),
                _ => fetched.invalid = fetched.invalid.saturating_add(1),
            }
        }
        Ok(fetched)
    }

    /// The item, unless it is undecodable or not within the bounds.
    fn decode_item(&self, encoded: &[u8]) -> Option<FetchItem> {
        let Item { id, body } = Item::decode(encoded).ok()?;
        let item = FetchItem { id, body };
        self.accepts(&item).then_some(item)
    }

    /// Whether the item may be sent and is read.
    fn accepts(&self, item: &FetchItem) -> bool {
        !item.id.is_empty() && item.id.len() <= self.id_bytes_max && item.body.len() <= self.body_bytes_max
    }

    /// The longest message of a question, in bytes.
    pub(super) fn request_bytes_max(&self) -> usize {
        self.question_bytes_max.saturating_add(QUESTION_OVERHEAD)
    }

    /// Reads a question: its bytes, and how many items are wanted, at least 1.
    pub(super) fn decode_question(&self, request: &[u8]) -> Result<(Bytes, usize), RequestError> {
        let FetchRequest { question, items_max } = FetchRequest::decode(request)?;
        let bytes = question.len();
        if bytes > self.question_bytes_max {
            return Err(QuestionError::TooLong { bytes, max: self.question_bytes_max }.into());
        }
        let wanted = match usize::try_from(items_max).unwrap_or(usize::MAX) {
            0 => self.items_max,
            wanted => wanted.min(self.items_max),
        };
        Ok((question, wanted.max(1)))
    }

    /// The message of an answer and how many items it has: the first `items_max` that are within the
    /// bounds and fit.
    pub(super) fn encode_answer(
        &self,
        items: impl IntoIterator<Item = FetchItem>,
        items_max: usize,
    ) -> (Vec<u8>, usize) {
        let mut answer = Vec::new();
        let mut count = 0;
        for item in items.into_iter().filter(|item| self.accepts(item)) {
            if count == items_max {
                break;
            }
            let item = Item { id: item.id, body: item.body };
            if answer.len() + encoding::message::encoded_len(ITEMS, &item) > self.response_bytes_max {
                break;
            }
            encoding::message::encode(ITEMS, &item, &mut answer);
            count += 1;
        }
        (answer, count)
    }
}

/// Why another's question is not read.
#[derive(Debug, thiserror::Error)]
pub(super) enum RequestError {
    #[error("not a fetch request: {0}")]
    Undecodable(#[from] prost::DecodeError),
    #[error(transparent)]
    Question(#[from] QuestionError),
}

#[derive(Clone, PartialEq, Message)]
struct FetchRequest {
    #[prost(bytes = "bytes", tag = "1")]
    question: Bytes,
    #[prost(uint32, tag = "2")]
    items_max: u32,
}

#[derive(Clone, PartialEq, Message)]
struct Item {
    #[prost(bytes = "bytes", tag = "1")]
    id: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    body: Bytes,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, PartialEq, Message)]
    struct FetchResponse {
        #[prost(message, repeated, tag = "1")]
        items: Vec<Item>,
    }

    fn bytes(max: usize) -> impl Strategy<Value = Bytes> {
        prop::collection::vec(any::<u8>(), 0..max).prop_map(Bytes::from)
    }

    fn small() -> FetchConfig {
        FetchConfig {
            question_bytes_max: 16,
            response_bytes_max: 200,
            items_max: 4,
            id_bytes_max: 8,
            body_bytes_max: 32,
            ..FetchConfig::default()
        }
    }

    #[test]
    fn what_is_over_a_bound_is_counted_and_the_rest_is_used() {
        let item = |id: &'static [u8], body: &'static [u8]| Item { id: id.into(), body: body.into() };
        let good = item(b"a", b"body");
        let items = vec![good.clone(), item(b"", b"no id"), item(b"123456789", b""), item(b"b", &[0; 33])];
        let fetched = small().decode_answer(FetchResponse { items }.encode_to_vec().into()).unwrap();
        assert_eq!(fetched.items, [FetchItem { id: good.id.clone(), body: good.body.clone() }]);
        assert_eq!(fetched.invalid, 3);

        let items = vec![good; 7];
        let fetched = small().decode_answer(FetchResponse { items }.encode_to_vec().into()).unwrap();
        assert_eq!((fetched.items.len(), fetched.invalid), (4, 3));
    }

    #[test]
    fn an_undecodable_item_is_counted_and_the_rest_is_used() {
        // An item whose first field is longer than the item, then a good one.
        let answer = Bytes::from_static(&[0x0a, 2, 0x0a, 9, 0x0a, 3, 0x0a, 1, b'x']);
        let fetched = small().decode_answer(answer).unwrap();
        assert_eq!((fetched.items.len(), fetched.invalid), (1, 1));
    }

    #[test]
    fn fields_of_a_later_version_are_skipped() {
        let answer = Bytes::from_static(&[0x10, 7, 0x0a, 3, 0x0a, 1, b'x', 0x1a, 1, 0]);
        assert_eq!(small().decode_answer(answer).unwrap().items.len(), 1);
    }

    #[test]
    fn a_request_wants_between_one_and_the_most_items() {
        let wanted = |items_max| {
            let request = FetchRequest { question: Bytes::new(), items_max }.encode_to_vec();
            small().decode_question(&request).unwrap().1
        };
        assert_eq!((wanted(0), wanted(1), wanted(4), wanted(5), wanted(u32::MAX)), (4, 1, 4, 4, 4));
        let request = FetchRequest { question: vec![0; 17].into(), items_max: 0 }.encode_to_vec();
        assert!(small().decode_question(&request).is_err());
    }

    proptest! {
        #[test]
        fn an_answer_reads_as_it_was_written(
            items in prop::collection::vec((bytes(12), bytes(40)), 0..10),
            items_max in 1_usize..6,
        ) {
            let config = small();
            let items: Vec<_> = items.into_iter().map(|(id, body)| FetchItem { id, body }).collect();
            let (answer, count) = config.encode_answer(items.clone(), items_max);
            prop_assert!(answer.len() <= config.response_bytes_max && count <= items_max);
            // What we write, any proto3 decoder reads.
            prop_assert_eq!(FetchResponse::decode(&answer[..]).unwrap().items.len(), count);
            let fetched = config.decode_answer(answer.into()).unwrap();
            let good: Vec<_> = items.into_iter().filter(|item| config.accepts(item)).take(count).collect();
            prop_assert_eq!(fetched.invalid as usize, count.saturating_sub(config.items_max));
            prop_assert_eq!(&fetched.items[..], &good[..fetched.items.len()]);
        }

        #[test]
        fn a_question_reads_as_it_was_written(question in bytes(17), items_max in 0_usize..10) {
            let config = small();
            let out = config
                .outgoing(1, PeerId::random(), Vec::new(), &question, items_max, Duration::ZERO)
                .unwrap();
            prop_assert!(out.payload.len() <= config.request_bytes_max());
            let (read, wanted) = config.decode_question(&out.payload).unwrap();
            prop_assert_eq!(read, question);
            prop_assert_eq!(wanted, if items_max == 0 { 4 } else { items_max.min(4) });
        }

        #[test]
        fn arbitrary_bytes_never_panic(junk in bytes(300)) {
            let config = small();
            let _ = config.decode_question(&junk);
            if let Ok(fetched) = config.decode_answer(junk) {
                prop_assert!(fetched.items.len() <= config.items_max);
                prop_assert!(fetched.items.iter().all(|item| config.accepts(item)));
            }
        }

        #[test]
        fn a_damaged_answer_never_panics(
            items in prop::collection::vec((bytes(12), bytes(40)), 0..6),
            place: prop::sample::Index,
            byte: u8,
        ) {
            let config = small();
            let items = items.into_iter().map(|(id, body)| FetchItem { id, body });
            let (mut answer, _) = config.encode_answer(items, 4);
            if !answer.is_empty() {
                let at = place.index(answer.len());
                answer[at] = byte;
            }
            let _ = config.decode_answer(answer.into());
        }
    }
}
