//! What an application says of its registries: what it asks, where, and how the answer reads.

use std::fmt::Debug;
use std::hash::Hash;
use std::marker::PhantomData;

use dragnet_core::{Invalid, Item, Key, Network};
use serde::de::DeserializeOwned;
use url::Url;

use crate::url::RegistryUrl;

/// The search endpoint of a kind of registry. This crate knows HTTP and JSON, and nothing of what
/// registries deal in; an implementation of this trait is all that it is told.
///
/// The [crate's documentation](crate) has a whole one.
pub trait Api: 'static {
    /// What is asked. Two that are equal have the same answers.
    type Request: Clone + Eq + Hash + Debug;
    /// One answer.
    type Item: Item;
    /// The body of an answer, as JSON has it. A body of another shape is [`Error::Shape`](crate::Error).
    ///
    /// With a list of [`serde_json::Value`]s in it, one bad item need not spoil the others: see
    /// [`items`](Self::items).
    type Body: DeserializeOwned;

    /// What to GET for a request. [`RegistryUrl::endpoint`] does the encoding.
    fn url(&self, registry: &RegistryUrl, request: &Self::Request) -> Url;

    /// The items in a body. One that cannot be used is an `Err`, which counts as an invalid answer of the
    /// registry (`Reply::invalid`); the rest is used.
    fn items(&self, request: &Self::Request, body: Self::Body) -> Vec<Result<Self::Item, Invalid>>;
}

/// The network whose peers are registries with this [`Api`].
///
/// A registry's place in the key space is the SHA-256 of its URL. No walk goes there, so that it only
/// spreads them in tables.
pub struct Registries<A>(PhantomData<fn() -> A>);

impl<A: Api> Network for Registries<A> {
    type Peer = RegistryUrl;
    type Request = A::Request;
    type Item = A::Item;

    fn key(peer: &RegistryUrl) -> Key {
        Key::of(peer.as_str().as_bytes())
    }
}
