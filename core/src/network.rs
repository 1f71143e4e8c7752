//! What a user tells the engine about a network: its types, and how to judge its answers.

use alloc::string::String;
use alloc::vec::Vec;
use core::cmp::Ordering;
use core::fmt::Debug;
use core::hash::Hash;

use crate::key::Key;

/// The types of one network, bundled so that no signature carries a list of letters.
///
/// ```
/// use dragnet_core::{Item, Key, Network};
///
/// #[derive(Debug)]
/// enum Library {}
///
/// #[derive(Clone, Debug, PartialEq)]
/// struct Book { isbn: u64, title: String }
///
/// impl Item for Book {
///     type Id = u64;
///     fn id(&self) -> u64 { self.isbn }
/// }
///
/// impl Network for Library {
///     type Peer = String;
///     type Request = String;
///     type Item = Book;
///     fn key(peer: &String) -> Key { Key::of(peer.as_bytes()) }
/// }
/// ```
pub trait Network: Sized + 'static {
    /// The identity of a peer, and nothing else of it: addresses are the transport's business.
    /// Cloned into outputs.
    type Peer: Clone + Eq + Hash + Debug;
    /// What is asked. Cloned into every contact: wrap what is large in an `Arc`. Two that are equal have
    /// the same answers.
    type Request: Clone + Eq + Hash + Debug;
    /// One answer.
    type Item: Item;

    /// The peer's place in the key space. Computed once per peer and kept.
    fn key(peer: &Self::Peer) -> Key;

    /// Which of several networks behind this one type the peer belongs to. Fan-out is counted per
    /// source, so that a slow one cannot hold the others' slots. One source by default.
    fn source(peer: &Self::Peer) -> Source {
        let _ = peer;
        Source::default()
    }
}

/// One of the networks that a query asks at once; see [`Network::source`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Source(pub u16);

/// One answer. Two items with one id are the same answer: a query delivers it once. They may yet
/// differ (`PartialEq`), as two versions of a record do.
pub trait Item: Clone + PartialEq + Debug {
    /// What makes an answer distinct. Chosen by strangers: it is hashed with a seeded hash.
    type Id: Clone + Eq + Hash + Debug;

    /// This answer's id.
    fn id(&self) -> Self::Id;

    /// About how many bytes the answer takes, what it owns on the heap included: what it counts for where
    /// answers are kept ([`CacheConfig::bytes_max`](crate::CacheConfig::bytes_max)). The size of the type
    /// by default, which is too little for one that owns a string.
    fn size(&self) -> usize {
        size_of_val(self)
    }
}

/// Judges the items that strangers send. Implemented by closures, and shared between queries in an
/// `Arc`.
///
/// ```
/// # use dragnet_core::{Invalid, Validator, doc::{Library, Book}};
/// let titled = |_request: &String, book: &Book| {
///     if book.title.is_empty() { Err(Invalid::new("a book without a title")) } else { Ok(()) }
/// };
/// # fn check(_: impl Validator<Library>) {}
/// # check(titled);
/// ```
pub trait Validator<N: Network>: Send + Sync {
    /// Whether `item` is a valid answer to `request`.
    ///
    /// # Errors
    ///
    /// Why not. The item is dropped and counted against the peer that sent it; enough of them bar it.
    fn validate(&self, request: &N::Request, item: &N::Item) -> Result<(), Invalid>;
}

impl<N: Network, F> Validator<N> for F
where
    F: Fn(&N::Request, &N::Item) -> Result<(), Invalid> + Send + Sync,
{
    fn validate(&self, request: &N::Request, item: &N::Item) -> Result<(), Invalid> {
        self(request, item)
    }
}

/// Says which of two items with one id is the better answer: the newer record, the longer chain.
/// Implemented by closures, and shared between queries in an `Arc`.
///
/// ```
/// # use core::cmp::Ordering;
/// # use dragnet_core::{Selector, doc::{Book, Library}};
/// let longest_title = |_request: &String, one: &Book, other: &Book| {
///     one.title.len().cmp(&other.title.len())
/// };
/// # fn check(selector: impl Selector<Library>) {
/// #     let book = |title: &str| Book { isbn: 1, title: title.into() };
/// #     assert_eq!(selector.compare(&"1".into(), &book("ab"), &book("a")), Ordering::Greater);
/// # }
/// # check(longest_title);
/// ```
pub trait Selector<N: Network>: Send + Sync {
    /// [`Ordering::Greater`] if `one` is the better answer to `request`, [`Ordering::Less`] if `other`
    /// is. Of equals the one with more votes is taken, or else the first. One that contradicts itself
    /// does no harm, but that any of them may be taken.
    fn compare(&self, request: &N::Request, one: &N::Item, other: &N::Item) -> Ordering;
}

impl<N: Network, F> Selector<N> for F
where
    F: Fn(&N::Request, &N::Item, &N::Item) -> Ordering + Send + Sync,
{
    fn compare(&self, request: &N::Request, one: &N::Item, other: &N::Item) -> Ordering {
        self(request, one, other)
    }
}

/// Why a validator refuses an item.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("invalid item: {reason}")]
pub struct Invalid {
    reason: String,
}

impl Invalid {
    /// A refusal, with its reason for the logs.
    pub fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into() }
    }
}

/// What a peer, or a lookup of the transport's own, answered. All lists may be empty, and each is
/// read up to a cap ([`Caps`](crate::Caps)): what is over it is dropped and counted.
pub struct Reply<N: Network> {
    /// Answers to the request.
    pub items: Vec<N::Item>,
    /// Peers that are closer to the route's target: candidates of the walk that asked.
    pub closer: Vec<N::Peer>,
    /// Peers that have answers: candidates of the fetch lane.
    pub providers: Vec<N::Peer>,
    /// How many parts of the reply the transport could not accept (an undecodable item, a record
    /// under another key). Any counts as an invalid answer of the peer; the rest is used.
    pub invalid: u32,
}

impl<N: Network> Reply<N> {
    /// A reply of items alone.
    pub fn with_items(items: Vec<N::Item>) -> Self {
        Self { items, ..Self::default() }
    }

    /// A reply of closer peers alone.
    pub fn with_closer(closer: Vec<N::Peer>) -> Self {
        Self { closer, ..Self::default() }
    }

    /// A reply of providers alone.
    pub fn with_providers(providers: Vec<N::Peer>) -> Self {
        Self { providers, ..Self::default() }
    }
}

impl<N: Network> Default for Reply<N> {
    fn default() -> Self {
        Self { items: Vec::new(), closer: Vec::new(), providers: Vec::new(), invalid: 0 }
    }
}

impl<N: Network> Clone for Reply<N> {
    fn clone(&self) -> Self {
        Self {
            items: self.items.clone(),
            closer: self.closer.clone(),
            providers: self.providers.clone(),
            invalid: self.invalid,
        }
    }
}

impl<N: Network> Debug for Reply<N> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Reply")
            .field("items", &self.items)
            .field("closer", &self.closer)
            .field("providers", &self.providers)
            .field("invalid", &self.invalid)
            .finish()
    }
}

/// Why a contact or a lookup ended without a reply.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Failure {
    /// No connection could be made, or no address is known.
    Unreachable,
    /// The connection closed before the answer came.
    Closed,
    /// The peer refused or reset the request.
    Refused,
    /// The peer does not speak the protocol.
    Unsupported,
    /// The transport's own timeout passed.
    TimedOut,
    /// The answer was undecodable, oversized, or not an answer to this question. Counts as an
    /// invalid answer.
    Invalid,
    /// Something local went wrong (congestion, shutting down). Says nothing of the peer, and does not
    /// touch its reputation.
    Local,
}

/// What a delegated lookup says of itself when it ends: totals only, since the transport's own DHT
/// does not tell which peers failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LookupTotals {
    /// Requests it sent.
    pub contacted: u32,
    /// Answers it got.
    pub replied: u32,
    /// Requests that failed.
    pub failed: u32,
}
