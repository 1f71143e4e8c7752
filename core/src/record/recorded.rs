//! A network as a recording knows it.

use alloc::string::String;
use alloc::sync::Arc;
use core::fmt;
use core::hash::{Hash, Hasher};

use super::Digests;
use crate::key::Key;
use crate::network::{Item, Network, Source};

/// The network of a recording that is replayed, whatever it was when it was recorded.
#[derive(Debug)]
pub enum Recorded {}

impl Network for Recorded {
    type Peer = RecordedPeer;
    type Request = RecordedRequest;
    type Item = RecordedItem;

    fn key(peer: &RecordedPeer) -> Key {
        peer.0.key
    }

    fn source(peer: &RecordedPeer) -> Source {
        peer.0.source
    }
}

/// A peer of a recording. Printed, it is its name, or the beginning of its key if names were left out.
#[derive(Clone)]
pub struct RecordedPeer(Arc<Peer>);

struct Peer {
    key: Key,
    digest: u64,
    source: Source,
    name: String,
}

impl RecordedPeer {
    pub(super) fn new(key: Key, digest: u64, source: Source, name: String) -> Self {
        Self(Arc::new(Peer { key, digest, source, name }))
    }

    /// Its place in the key space.
    pub fn key(&self) -> Key {
        self.0.key
    }

    /// Its name; empty if names were left out.
    pub fn name(&self) -> &str {
        &self.0.name
    }
}

impl PartialEq for RecordedPeer {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || (self.0.digest == other.0.digest && self.0.key == other.0.key)
    }
}

impl Eq for RecordedPeer {}

impl Hash for RecordedPeer {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.digest.hash(state);
    }
}

impl fmt::Display for RecordedPeer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.0.name.is_empty() {
            return f.write_str(&self.0.name);
        }
        self.0.key.as_bytes()[..8].iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for RecordedPeer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RecordedPeer({self})")
    }
}

/// A request of a recording. Two are equal when the recorded ones were.
#[derive(Clone)]
pub struct RecordedRequest(Arc<Request>);

struct Request {
    digest: u64,
    kind: String,
    text: String,
}

impl RecordedRequest {
    pub(super) fn new(digest: u64, kind: String, text: String) -> Self {
        Self(Arc::new(Request { digest, kind, text }))
    }

    /// What kind of request it is, as its network names it.
    pub fn kind(&self) -> &str {
        &self.0.kind
    }

    /// The request in words; empty if they were left out.
    pub fn text(&self) -> &str {
        &self.0.text
    }
}

impl PartialEq for RecordedRequest {
    fn eq(&self, other: &Self) -> bool {
        self.0.digest == other.0.digest
    }
}

impl Eq for RecordedRequest {}

impl Hash for RecordedRequest {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.digest.hash(state);
    }
}

impl fmt::Debug for RecordedRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Request { digest, kind, text } = &*self.0;
        write!(f, "RecordedRequest({kind} {text} {digest:016x})")
    }
}

/// An item of a recording: which it is, without what it said.
#[derive(Clone, Copy, Debug)]
pub struct RecordedItem {
    pub(super) id: u64,
    pub(super) body: u64,
    pub(super) size: usize,
}

impl RecordedItem {
    /// A hash of the item, all of it, under the recording's key.
    pub const fn body(&self) -> u64 {
        self.body
    }
}

/// Two are equal when the recorded ones were.
impl PartialEq for RecordedItem {
    fn eq(&self, other: &Self) -> bool {
        (self.id, self.body) == (other.id, other.body)
    }
}

impl Item for RecordedItem {
    type Id = u64;

    /// A hash of its id, under the recording's key.
    fn id(&self) -> u64 {
        self.id
    }

    fn size(&self) -> usize {
        self.size
    }
}

/// What they are by: read from the recording.
pub(super) struct AsRecorded;

impl Digests<Recorded> for AsRecorded {
    fn peer(&self, peer: &RecordedPeer) -> u64 {
        peer.0.digest
    }

    fn request(&self, request: &RecordedRequest) -> u64 {
        request.0.digest
    }

    fn item(&self, item: &RecordedItem) -> [u64; 2] {
        [item.id, item.body]
    }
}
