//! The types of the libp2p network: whom one asks, what one asks, what comes back.

use std::hash::Hash;

use bytes::Bytes;
use dragnet_core::{Item, Key, Network, Reply};
use libp2p::PeerId;
use libp2p::kad::{Record, RecordKey};

use crate::config::Walks;
use crate::exchange::FetchItem;

/// The libp2p network, as the engine sees it: peers are [`PeerId`]s, asked by [`Ask`], and answer with
/// [`Answer`]s.
///
/// A peer's place in the key space is the SHA-256 of its id's bytes, as in every libp2p Kademlia DHT.
#[derive(Clone, Copy, Debug)]
pub enum Libp2p {}

impl Network for Libp2p {
    type Peer = PeerId;
    type Request = Ask;
    type Item = Answer;

    fn key(peer: &PeerId) -> Key {
        Key::of(&peer.to_bytes())
    }
}

/// What is asked. Cheap to clone: all that is large in it is shared.
///
/// The functions of [`query`](crate::query) make whole queries of these.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[cfg_attr(feature = "state", derive(serde::Serialize, serde::Deserialize))]
pub enum Ask {
    /// The records under a key: [`Answer::Record`].
    Get {
        /// See [`record_key`].
        key: RecordKey,
        /// Who walks there: see [`walks`](Self::walks).
        walks: Walks,
    },
    /// The peers that announced to have something: [`Answer::Provider`].
    Providers {
        /// See [`provider_key`].
        key: RecordKey,
        /// Who walks there: see [`walks`](Self::walks).
        walks: Walks,
    },
    /// The peers whose ids are closest to a key: [`Answer::Peer`]. A driven walk gives every peer that answers
    /// on the way, the farther ones too.
    Closest {
        /// The preimage: it is hashed by whoever compares distances.
        key: RecordKey,
    },
    /// A question for each provider of a key: [`Answer::Fetched`].
    Search {
        /// Whose providers are asked; see [`provider_key`].
        key: RecordKey,
        /// The question, in the application's own format.
        question: Bytes,
        /// Who walks there: see [`walks`](Self::walks).
        walks: Walks,
    },
    /// A question for peers that are known already: [`Answer::Fetched`].
    Fetch {
        /// The question, in the application's own format.
        question: Bytes,
    },
}

impl Ask {
    /// The key that a lookup for this goes to; `None` if no lookup is needed.
    pub const fn key(&self) -> Option<&RecordKey> {
        match self {
            Self::Get { key, .. }
            | Self::Providers { key, .. }
            | Self::Closest { key }
            | Self::Search { key, .. } => Some(key),
            Self::Fetch { .. } => None,
        }
    }

    /// Who makes the walk of a query for this: if the engine, a [delegated route](dragnet_core::Route::Delegated)
    /// of it looks only at what this peer has itself.
    pub const fn walks(&self) -> Walks {
        match self {
            Self::Get { walks, .. } | Self::Providers { walks, .. } | Self::Search { walks, .. } => *walks,
            Self::Closest { .. } | Self::Fetch { .. } => Walks::Delegated,
        }
    }

    /// What providers mean for this: whether they are wanted themselves, or what they have.
    pub(crate) fn found(&self, providers: impl Iterator<Item = PeerId>) -> Reply<Libp2p> {
        match self {
            Self::Providers { .. } => Reply::with_items(providers.map(Answer::Provider).collect()),
            _ => Reply::with_providers(providers.collect()),
        }
    }

    /// What the fetch protocol sends to a peer; `None` if this is no question to single peers.
    pub const fn question(&self) -> Option<&Bytes> {
        match self {
            Self::Search { question, .. } | Self::Fetch { question } => Some(question),
            Self::Get { .. } | Self::Providers { .. } | Self::Closest { .. } => None,
        }
    }
}

/// One answer.
#[derive(Clone, Debug)]
#[non_exhaustive]
#[cfg_attr(feature = "state", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "state", serde(into = "crate::state::SavedAnswer", from = "crate::state::SavedAnswer"))]
pub enum Answer {
    /// A record under the key that was asked for. Two records of one key are two versions of one
    /// answer: a query delivers one of them.
    Record(Record),
    /// A peer that announced to provide the key.
    Provider(PeerId),
    /// One of the peers closest to the key.
    Peer(PeerId),
    /// What a peer answered by the fetch protocol. Its meaning is the application's; the id is what two
    /// peers that give the same item agree upon (a name and version, a digest).
    Fetched(FetchItem),
}

impl Answer {
    /// The record, if it is one.
    pub const fn record(&self) -> Option<&Record> {
        match self {
            Self::Record(record) => Some(record),
            _ => None,
        }
    }

    /// The provider or the close peer, if it is one.
    pub const fn peer(&self) -> Option<&PeerId> {
        match self {
            Self::Provider(peer) | Self::Peer(peer) => Some(peer),
            _ => None,
        }
    }

    /// The fetched item, if it is one.
    pub const fn fetched(&self) -> Option<&FetchItem> {
        match self {
            Self::Fetched(fetched) => Some(fetched),
            _ => None,
        }
    }
}

/// Records are equal when key, value and publisher are: when one expires is reckoned by each peer's own
/// clock.
impl PartialEq for Answer {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Record(a), Self::Record(b)) => {
                a.key == b.key && a.value == b.value && a.publisher == b.publisher
            }
            (Self::Provider(a), Self::Provider(b)) | (Self::Peer(a), Self::Peer(b)) => a == b,
            (Self::Fetched(a), Self::Fetched(b)) => a == b,
            _ => false,
        }
    }
}

impl Item for Answer {
    type Id = AnswerId;

    fn id(&self) -> AnswerId {
        match self {
            Self::Record(record) => AnswerId::Record(record.key.clone()),
            Self::Provider(peer) | Self::Peer(peer) => AnswerId::Peer(*peer),
            Self::Fetched(fetched) => AnswerId::Fetched(fetched.id.clone()),
        }
    }

    fn size(&self) -> usize {
        let bytes = match self {
            Self::Record(record) => record.key.as_ref().len() + record.value.len(),
            Self::Fetched(fetched) => fetched.id.len() + fetched.body.len(),
            Self::Provider(_) | Self::Peer(_) => 0,
        };
        size_of_val(self) + bytes
    }
}

/// What makes an [`Answer`] distinct.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AnswerId {
    /// A record's key.
    Record(RecordKey),
    /// A provider or a close peer.
    Peer(PeerId),
    /// The id that the answering peer gave its item.
    Fetched(Bytes),
}

/// A key for records in the form `/namespace/name`, which other implementations of the DHT accept: they
/// choose the validator of a record by its namespace.
///
/// ```
/// assert_eq!(dragnet_libp2p::record_key("pk", b"abc").as_ref(), b"/pk/abc");
/// ```
pub fn record_key(namespace: &str, name: &[u8]) -> RecordKey {
    let mut key = Vec::with_capacity(namespace.len() + name.len() + 2);
    key.push(b'/');
    key.extend_from_slice(namespace.as_bytes());
    key.push(b'/');
    key.extend_from_slice(name);
    RecordKey::from(key)
}

/// A key for provider records: the SHA-256 multihash of a term, 34 bytes. Other implementations refuse
/// provider keys that are no multihash.
///
/// ```
/// let key = dragnet_libp2p::provider_key(b"kademlia");
/// assert_eq!((key.as_ref().len(), &key.as_ref()[..2]), (34, [0x12, 0x20].as_slice()));
/// ```
pub fn provider_key(term: &[u8]) -> RecordKey {
    // <https://github.com/multiformats/multihash>: the code of SHA-256, and the digest's length.
    let mut key = vec![0x12, 0x20];
    key.extend_from_slice(Key::of(term).as_bytes());
    RecordKey::from(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use libp2p::kad::KBucketKey;

    #[test]
    fn a_peers_key_is_that_of_libp2ps_routing_table() {
        let peer = PeerId::random();
        assert_eq!(Libp2p::key(&peer).as_bytes(), KBucketKey::from(peer).hashed_bytes());
    }

    #[test]
    fn two_values_under_one_key_are_two_versions_of_one_answer() {
        let record = |value: &[u8]| Answer::Record(Record::new(record_key("t", b"k"), value.to_vec()));
        assert_eq!(record(b"1").id(), record(b"2").id());
        assert_ne!(record(b"1"), record(b"2"));
        let mut expiring = Record::new(record_key("t", b"k"), b"1".to_vec());
        expiring.expires = Some(std::time::Instant::now());
        assert_eq!(record(b"1"), Answer::Record(expiring));
    }
}
