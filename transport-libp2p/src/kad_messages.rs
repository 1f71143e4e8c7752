//! The messages of the Kademlia protocol, as far as a walk needs them, and what is accepted of an answer.
//!
//! ```proto
//! message Message {
//!     MessageType type = 1;           // GET_VALUE = 1, GET_PROVIDERS = 3, FIND_NODE = 4
//!     bytes key = 2;
//!     Record record = 3;
//!     repeated Peer closerPeers = 8;
//!     repeated Peer providerPeers = 9;
//! }
//! message Peer   { bytes id = 1; repeated bytes addrs = 2; ConnectionType connection = 3; }
//! message Record {
//!     bytes key = 1; bytes value = 2; string timeReceived = 5;
//!     bytes publisher = 666; uint32 ttl = 777;            // rust-libp2p's own
//! }
//! ```
//!
//! From the [specification](https://github.com/libp2p/specs/blob/master/kad-dht/README.md). Each travels in
//! a [frame](crate::exchange), one question and one answer a stream.

use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};
use libp2p::kad::{Record, RecordKey};
use libp2p::{Multiaddr, PeerId, multiaddr};
use prost::encoding::{self, DecodeContext, WireType};
use prost::{DecodeError, Message};

use crate::network::Ask;

/// Peers of each list that are read: as many as the engine takes of providers. Else a long answer could
/// make tens of thousands of them.
const PEERS_PER_LIST: usize = 128;

/// The fields of a message that are read.
mod field {
    pub(super) const TYPE: u32 = 1;
    pub(super) const KEY: u32 = 2;
    pub(super) const RECORD: u32 = 3;
    pub(super) const CLOSER: u32 = 8;
    pub(super) const PROVIDERS: u32 = 9;
    pub(super) const PEER_ID: u32 = 1;
    pub(super) const PEER_ADDRESS: u32 = 2;
}

/// What is asked of a peer of the DHT.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Question {
    /// The record under a key.
    GetValue(RecordKey),
    /// The providers of a key.
    GetProviders(RecordKey),
    /// The peers closest to a key.
    FindNode(RecordKey),
}

/// What is accepted of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnswerLimits {
    /// The longest answer, in bytes; a longer one is refused before it has come. rust-libp2p sends at most
    /// 16 KiB unless it is told otherwise, and go-libp2p up to 4 MiB, of which almost all would be providers
    /// beyond those that are read. 256 KiB.
    pub bytes_max: usize,
    /// The largest value of a record, in bytes; a larger one is dropped and counted. 64 KiB.
    pub value_bytes_max: usize,
    /// Addresses that are read of one peer; the rest is ignored. 16.
    pub addresses_max: usize,
}

impl Default for AnswerLimits {
    fn default() -> Self {
        Self { bytes_max: 256 << 10, value_bytes_max: 64 << 10, addresses_max: 16 }
    }
}

/// A decoded answer.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Answered {
    /// The record under the key that was asked for, if the peer has one. Only of
    /// [`GetValue`](Question::GetValue).
    pub record: Option<Record>,
    /// Peers that are closer to the key: the first 128 that are good; the rest is ignored.
    pub closer: Vec<NamedPeer>,
    /// Peers that provide the key: the first 128 that are good; the rest is ignored. Only of
    /// [`GetProviders`](Question::GetProviders).
    pub providers: Vec<NamedPeer>,
    /// How many parts were no good: peers without a readable id, or with addresses none of which can be
    /// read; a record under another key, over its limit or unreadable.
    pub invalid: u32,
}

/// A peer that an answer names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NamedPeer {
    /// Who.
    pub id: PeerId,
    /// Where, as far as it can be read. May be empty: who asks may know it already.
    pub addresses: Vec<Multiaddr>,
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
        /// The most it may have: [`AnswerLimits::bytes_max`].
        max: usize,
    },
    /// It is no message of the protocol.
    #[error("the answer is no message of Kademlia: {0}")]
    Undecodable(#[from] DecodeError),
    /// It answers another type of question.
    #[error("the answer is of type {found}, and the question was of type {asked}")]
    Type {
        /// The type of the answer.
        found: i32,
        /// The type of the question.
        asked: i32,
    },
    /// It answers a question for another key.
    #[error("the answer is for another key, of {bytes} bytes")]
    Key {
        /// The length of the other key, in bytes.
        bytes: usize,
    },
}

impl Question {
    /// What a single peer is asked on the way to the answer; `None` if that is no matter of the DHT.
    pub fn of(ask: &Ask) -> Option<Self> {
        match ask {
            Ask::Get { key, .. } => Some(Self::GetValue(key.clone())),
            Ask::Providers { key, .. } | Ask::Search { key, .. } => Some(Self::GetProviders(key.clone())),
            Ask::Closest { key } => Some(Self::FindNode(key.clone())),
            Ask::Fetch { .. } => None,
        }
    }

    /// The key that it is about.
    pub const fn key(&self) -> &RecordKey {
        match self {
            Self::GetValue(key) | Self::GetProviders(key) | Self::FindNode(key) => key,
        }
    }

    /// Its message, without the length before it.
    pub fn encode(&self) -> Bytes {
        Request { r#type: self.number(), key: self.key().to_vec() }.encode_to_vec().into()
    }

    /// Reads the answer to it. What is not good in it is counted, and the rest is kept; it does not share
    /// the answer's memory. Fields of a later version are skipped.
    ///
    /// # Errors
    ///
    /// What is too long, cannot be decoded, or answers something else:
    /// [`Failure::Invalid`](dragnet_core::Failure::Invalid).
    pub fn decode_answer(&self, answer: Bytes, limits: &AnswerLimits) -> Result<Answered, AnswerError> {
        let (bytes, max) = (answer.len(), limits.bytes_max);
        if bytes > max {
            return Err(AnswerError::TooLong { bytes, max });
        }
        let mut found = 0;
        let mut key = Bytes::new();
        let mut record = None;
        let mut answered = Answered::default();
        for_each_field(answer, |number, wire_type, buffer| {
            match number {
                field::TYPE => encoding::int32::merge(wire_type, &mut found, buffer, context())?,
                field::KEY => key = bytes_of(wire_type, buffer)?,
                field::RECORD => record = Some(bytes_of(wire_type, buffer)?),
                field::CLOSER | field::PROVIDERS => {
                    let Answered { closer, providers, .. } = &mut answered;
                    let peers = if number == field::CLOSER { closer } else { providers };
                    let encoded = bytes_of(wire_type, buffer)?;
                    if peers.len() < PEERS_PER_LIST {
                        match decode_peer(encoded, limits.addresses_max) {
                            Some(peer) => peers.push(peer),
                            None => answered.invalid += 1,
                        }
                    }
                }
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        let asked = self.number();
        if found != asked {
            return Err(AnswerError::Type { found, asked });
        }
        // rust-libp2p's answers have no key, go-libp2p's repeat that of the question.
        if !key.is_empty() && key != self.key().as_ref() {
            return Err(AnswerError::Key { bytes: key.len() });
        }
        if !matches!(self, Self::GetProviders(_)) {
            answered.providers.clear();
        }
        if let (Self::GetValue(key), Some(record)) = (self, record) {
            match decode_record(&record, key, limits.value_bytes_max) {
                Some(record) => answered.record = Some(record),
                None => answered.invalid += 1,
            }
        }
        Ok(answered)
    }

    /// Its type's number in the protocol.
    const fn number(&self) -> i32 {
        match self {
            Self::GetValue(_) => 1,
            Self::GetProviders(_) => 3,
            Self::FindNode(_) => 4,
        }
    }
}

/// Hands out each field of a message in turn, its value still to be read. Field by field, and not by a
/// derived message, so that one bad peer does not spoil the rest, and nothing is built that is not kept.
fn for_each_field(
    mut message: Bytes,
    mut take: impl FnMut(u32, WireType, &mut Bytes) -> Result<bool, DecodeError>,
) -> Result<(), DecodeError> {
    while message.has_remaining() {
        let (number, wire_type) = encoding::decode_key(&mut message)?;
        if !take(number, wire_type, &mut message)? {
            encoding::skip_field(wire_type, number, &mut message, context())?;
        }
    }
    Ok(())
}

fn bytes_of(wire_type: WireType, buffer: &mut Bytes) -> Result<Bytes, DecodeError> {
    let mut bytes = Bytes::new();
    encoding::bytes::merge(wire_type, &mut bytes, buffer, context())?;
    Ok(bytes)
}

fn context() -> DecodeContext {
    DecodeContext::default()
}

/// The peer, unless its id cannot be read, or it has addresses of which none can.
fn decode_peer(encoded: Bytes, addresses_max: usize) -> Option<NamedPeer> {
    let mut id = Bytes::new();
    let mut addresses = Vec::new();
    let mut read = 0;
    let mut malformed = false;
    let fields = for_each_field(encoded, |number, wire_type, buffer| {
        match number {
            field::PEER_ID => id = bytes_of(wire_type, buffer)?,
            field::PEER_ADDRESS => {
                let address = bytes_of(wire_type, buffer)?;
                read += 1;
                if read <= addresses_max {
                    match Multiaddr::try_from(address.to_vec()) {
                        Ok(address) => addresses.push(address),
                        // Of a transport that is newer than this: no fault of the peer's.
                        Err(multiaddr::Error::UnknownProtocolId(_)) => {}
                        Err(_malformed) => malformed = true,
                    }
                }
            }
            _ => return Ok(false),
        }
        Ok(true)
    });
    fields.ok()?;
    let id = PeerId::from_bytes(&id).ok()?;
    (!malformed || !addresses.is_empty()).then_some(NamedPeer { id, addresses })
}

/// The record, if it can be read, is under the key and within its limit.
fn decode_record(encoded: &[u8], key: &RecordKey, value_bytes_max: usize) -> Option<Record> {
    let WireRecord { key: found, value, publisher, ttl } = WireRecord::decode(encoded).ok()?;
    if found != key.as_ref() || value.len() > value_bytes_max {
        return None;
    }
    let publisher = match &publisher[..] {
        [] => None,
        publisher => Some(PeerId::from_bytes(publisher).ok()?),
    };
    let expires = (ttl > 0).then(|| Instant::now() + Duration::from_secs(ttl.into()));
    Some(Record { key: key.clone(), value, publisher, expires })
}

#[derive(Clone, PartialEq, Message)]
struct Request {
    #[prost(int32, tag = "1")]
    r#type: i32,
    #[prost(bytes = "vec", tag = "2")]
    key: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct WireRecord {
    #[prost(bytes = "vec", tag = "1")]
    key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
    #[prost(bytes = "vec", tag = "666")]
    publisher: Vec<u8>,
    #[prost(uint32, tag = "777")]
    ttl: u32,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::Walks;
    use crate::network::{provider_key, record_key};

    #[derive(Clone, PartialEq, Message)]
    struct WireMessage {
        #[prost(int32, tag = "1")]
        r#type: i32,
        #[prost(bytes = "vec", tag = "2")]
        key: Vec<u8>,
        #[prost(message, optional, tag = "3")]
        record: Option<WireRecord>,
        #[prost(message, repeated, tag = "8")]
        closer: Vec<WirePeer>,
        #[prost(message, repeated, tag = "9")]
        providers: Vec<WirePeer>,
        #[prost(int32, tag = "10")]
        cluster_level_raw: i32,
    }

    #[derive(Clone, PartialEq, Message)]
    struct WirePeer {
        #[prost(bytes = "vec", tag = "1")]
        id: Vec<u8>,
        #[prost(bytes = "vec", repeated, tag = "2")]
        addresses: Vec<Vec<u8>>,
        #[prost(int32, tag = "3")]
        connection: i32,
    }

    fn address(text: &str) -> Multiaddr {
        text.parse().unwrap()
    }

    fn peer(addresses: &[&str]) -> (WirePeer, NamedPeer) {
        let id = PeerId::random();
        let addresses: Vec<_> = addresses.iter().map(|text| address(text)).collect();
        let wire = WirePeer {
            id: id.to_bytes(),
            addresses: addresses.iter().map(Multiaddr::to_vec).collect(),
            connection: 1,
        };
        (wire, NamedPeer { id, addresses })
    }

    fn get_value() -> Question {
        Question::GetValue(record_key("t", b"k"))
    }

    fn get_providers() -> Question {
        Question::GetProviders(provider_key(b"fruit"))
    }

    fn answer_to(question: &Question) -> WireMessage {
        WireMessage { r#type: question.number(), cluster_level_raw: 10, ..WireMessage::default() }
    }

    fn record(key: &RecordKey, value: &[u8]) -> WireRecord {
        WireRecord { key: key.to_vec(), value: value.to_vec(), ..WireRecord::default() }
    }

    fn decode(question: &Question, answer: &WireMessage) -> Result<Answered, AnswerError> {
        question.decode_answer(answer.encode_to_vec().into(), &AnswerLimits::default())
    }

    #[test]
    fn a_question_is_its_type_and_its_key() {
        assert_eq!(&get_value().encode()[..], b"\x08\x01\x12\x04/t/k");
        assert_eq!(get_providers().encode()[..4], [8, 3, 0x12, 34]);
        assert_eq!(Question::FindNode(RecordKey::new(&[7])).encode()[..], [8, 4, 0x12, 1, 7]);
        let question = Bytes::from_static(b"?");
        let ask =
            Ask::Search { key: provider_key(b"fruit"), question: question.clone(), walks: Walks::Driven };
        assert_eq!(Question::of(&ask), Some(get_providers()));
        assert_eq!(Question::of(&Ask::Fetch { question }), None);
    }

    #[test]
    fn an_answer_brings_record_closer_peers_and_providers() {
        let question = get_value();
        let mut answer = answer_to(&question);
        let publisher = PeerId::random();
        answer.record =
            Some(WireRecord { publisher: publisher.to_bytes(), ttl: 60, ..record(question.key(), b"v") });
        let (wire, named) = peer(&["/ip4/192.0.2.1/tcp/4001", "/memory/7"]);
        answer.closer.push(wire.clone());
        answer.providers.push(wire);
        let answered = decode(&question, &answer).unwrap();
        let found = answered.record.unwrap();
        assert_eq!((&found.key, &found.value[..]), (question.key(), &b"v"[..]));
        assert_eq!(found.publisher, Some(publisher));
        assert!(found.expires.is_some_and(|at| at > Instant::now()));
        assert_eq!((answered.closer, answered.invalid), (vec![named.clone()], 0));
        assert_eq!(answered.providers, [], "they were not asked for");

        answer.r#type = 3;
        answer.key = get_providers().key().to_vec();
        let answered = decode(&get_providers(), &answer).unwrap();
        assert_eq!((answered.providers, answered.record), (vec![named], None));
    }

    #[test]
    fn an_answer_of_another_type_or_for_another_key_is_refused() {
        let mut answer = answer_to(&get_providers());
        assert_eq!(decode(&get_value(), &answer), Err(AnswerError::Type { found: 3, asked: 1 }));
        let untyped = get_value().decode_answer(Bytes::new(), &AnswerLimits::default());
        assert_eq!(untyped, Err(AnswerError::Type { found: 0, asked: 1 }));
        answer.key = b"other".to_vec();
        assert_eq!(decode(&get_providers(), &answer), Err(AnswerError::Key { bytes: 5 }));
    }

    #[test]
    fn a_record_under_another_key_or_too_large_is_counted_and_the_rest_is_used() {
        let question = get_value();
        let (wire, named) = peer(&[]);
        let limits = AnswerLimits { value_bytes_max: 3, ..AnswerLimits::default() };
        let other = record_key("t", b"other");
        let no_peer = WireRecord { publisher: vec![1, 2, 3], ..record(question.key(), b"v") };
        for bad in [record(&other, b"v"), record(question.key(), b"long"), no_peer] {
            let answer =
                WireMessage { record: Some(bad.clone()), closer: vec![wire.clone()], ..answer_to(&question) };
            let answered = question.decode_answer(answer.encode_to_vec().into(), &limits).unwrap();
            assert_eq!((answered.record, answered.invalid), (None, 1), "{bad:?}");
            assert_eq!(answered.closer, std::slice::from_ref(&named));
        }
        // A record whose first field is longer than the record.
        let broken = Bytes::from_static(&[8, 1, 0x1a, 2, 0x0a, 9]);
        let answered = question.decode_answer(broken, &limits).unwrap();
        assert_eq!((answered.record, answered.invalid), (None, 1));
    }

    #[test]
    fn a_peer_without_a_readable_id_or_address_is_dropped_and_the_rest_is_used() {
        let question = get_providers();
        let (good, named) = peer(&["/ip4/192.0.2.1/tcp/4001"]);
        let (without, placeless) = peer(&[]);
        let mut answer = answer_to(&question);
        let no_id = WirePeer { id: Vec::new(), ..good.clone() };
        let bad_id = WirePeer { id: vec![0x12, 0x20, 1], ..good.clone() };
        // An IPv4 address of two bytes.
        let bad_address = WirePeer { addresses: vec![vec![4, 1, 2]], ..good.clone() };
        answer.closer = vec![no_id, good.clone(), bad_id, bad_address, without];
        answer.providers = vec![WirePeer::default(), good];
        let answered = decode(&question, &answer).unwrap();
        assert_eq!(answered.closer, [named.clone(), placeless]);
        assert_eq!((answered.providers, answered.invalid), (vec![named], 4));
    }

    #[test]
    fn a_peer_keeps_the_addresses_that_can_be_read() {
        let question = get_providers();
        let (mut wire, named) = peer(&["/ip4/192.0.2.1/tcp/4001"]);
        wire.addresses.insert(0, vec![4, 1, 2]);
        // A protocol that does not exist yet.
        let unknown = WirePeer { addresses: vec![vec![0xff, 0xff, 0x7f]], ..wire.clone() };
        let answer = WireMessage { closer: vec![wire, unknown], ..answer_to(&question) };
        let answered = decode(&question, &answer).unwrap();
        let placeless = NamedPeer { addresses: Vec::new(), ..named };
        assert_eq!((answered.closer, answered.invalid), (vec![named, placeless], 0));

        let (wire, _) = peer(&["/memory/1", "/memory/2", "/memory/3"]);
        let answer = WireMessage { closer: vec![wire], ..answer_to(&question) };
        let limits = AnswerLimits { addresses_max: 2, ..AnswerLimits::default() };
        let answered = question.decode_answer(answer.encode_to_vec().into(), &limits).unwrap();
        assert_eq!(answered.closer[0].addresses, [address("/memory/1"), address("/memory/2")]);
    }

    #[test]
    fn of_a_list_without_end_128_peers_are_read() {
        let question = get_providers();
        let (wire, named) = peer(&[]);
        let mut answer = answer_to(&question);
        answer.closer = vec![wire.clone(); 1000];
        answer.providers = vec![wire; 129];
        let answered = decode(&question, &answer).unwrap();
        let read = vec![named; PEERS_PER_LIST];
        assert_eq!((answered.closer, answered.providers, answered.invalid), (read.clone(), read, 0));
    }

    #[test]
    fn what_is_longer_than_allowed_is_refused() {
        let limits = AnswerLimits { bytes_max: 3, ..AnswerLimits::default() };
        let long = get_value().decode_answer(Bytes::from_static(&[8, 1, 0x50, 1]), &limits);
        assert_eq!(long, Err(AnswerError::TooLong { bytes: 4, max: 3 }));
    }

    #[test]
    fn truncated_numbers_lengths_past_the_end_and_wrong_wire_types_are_errors() {
        let refused: [&[u8]; 8] = [
            // A key, a number and a length that do not end.
            &[0x80],
            &[8, 0x80],
            &[8, 1, 0x12, 0x80],
            // A length past the end, and one past all memory.
            &[8, 1, 0x12, 9, 1],
            &[8, 1, 0x42, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1],
            // A type of bytes, a key and a peer that are numbers.
            &[0x0a, 1, 1],
            &[8, 1, 0x10, 1],
            &[8, 1, 0x40, 1],
        ];
        for bytes in refused {
            let answered = get_value().decode_answer(Bytes::from_static(bytes), &AnswerLimits::default());
            assert!(matches!(answered, Err(AnswerError::Undecodable(_))), "{bytes:?}: {answered:?}");
        }
    }

    #[test]
    fn fields_of_a_later_version_are_skipped() {
        let answer = Bytes::from_static(&[8, 1, 0x50, 7, 0x7a, 2, 1, 2, 0x85, 1, 0, 0, 0, 0]);
        assert_eq!(get_value().decode_answer(answer, &AnswerLimits::default()), Ok(Answered::default()));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(junk in prop::collection::vec(any::<u8>(), 0..300)) {
            for question in [get_value(), get_providers(), Question::FindNode(RecordKey::new(b"k"))] {
                let _ = question.decode_answer(junk.clone().into(), &AnswerLimits::default());
            }
        }

        #[test]
        fn a_damaged_answer_never_panics(place: prop::sample::Index, byte: u8) {
            let question = get_value();
            let peers = [peer(&["/ip4/192.0.2.1/tcp/4001", "/dns/example.org/tcp/1"]).0, peer(&[]).0];
            let mut answer = answer_to(&question);
            answer.record = Some(record(question.key(), b"value"));
            answer.closer.extend(peers);
            let mut answer = answer.encode_to_vec();
            let at = place.index(answer.len());
            answer[at] = byte;
            if let Ok(answered) = question.decode_answer(answer.into(), &AnswerLimits::default()) {
                prop_assert!(answered.closer.len() <= 2);
            }
        }
    }
}
