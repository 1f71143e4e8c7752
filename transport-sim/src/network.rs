//! What the simulated network speaks: its peers, requests and items.

use std::hash::{Hash, Hasher};
use std::sync::{Arc, LazyLock};

use dragnet_core::record::Recordable;
use dragnet_core::{Invalid, Item, Key, Network, Query, Route, Validator};

use crate::draw::mix;
use crate::peers::{PeerId, prefix};

/// The types of the simulated network.
#[derive(Debug)]
pub enum SimNet {}

impl Network for SimNet {
    type Peer = PeerId;
    type Request = Request;
    type Item = SimItem;

    fn key(peer: &PeerId) -> Key {
        peer.key()
    }
}

impl Recordable for SimNet {
    fn peer_name(peer: &PeerId) -> String {
        peer.to_string()
    }

    fn request_kind(request: &Request) -> &'static str {
        match request {
            Request::FindPeers(_) => "find peers",
            Request::Get(_) => "get",
            Request::GetProviders(_) => "get providers",
            Request::Search(_) => "search",
        }
    }

    fn hash_item<H: Hasher>(item: &SimItem, state: &mut H) {
        item.hash(state);
    }
}

/// What a simulated peer can be asked. The answer always names closer peers when a walk asks.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Request {
    /// Kademlia's `FIND_NODE`: closer peers alone.
    FindPeers(Key),
    /// `GET_VALUE`: also the records under the key that the peer holds.
    Get(Key),
    /// `GET_PROVIDERS`: also the providers of the key that the peer knows.
    GetProviders(Key),
    /// The providers of the term while walking, and the provider's own items when fetching.
    Search(Key),
}

impl Request {
    /// The key that it is about.
    pub const fn key(&self) -> &Key {
        match self {
            Self::FindPeers(key) | Self::Get(key) | Self::GetProviders(key) | Self::Search(key) => key,
        }
    }

    /// The query that asks this as a Kademlia program would: a walk to the key, for a search also a
    /// fetch from the providers that it finds, and only sound items count.
    ///
    /// ```
    /// use dragnet_core::Key;
    /// use dragnet_sim::Request;
    ///
    /// let query = Request::Search(Key::of(b"kademlia")).query();
    /// assert!(query.providers && query.routes.len() == 1);
    /// ```
    pub fn query(self) -> Query<SimNet> {
        let query = Query::new(self).route(Route::walk(*self.key())).shared_validator(all_sound());
        match self {
            Self::Search(_) => query.fetch_providers(),
            _ => query,
        }
    }
}

/// One answer: a record, or an item of a provider.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct SimItem {
    key: Key,
    id: u64,
    version: u64,
    seal: u64,
}

/// The version of made-up items.
const INVENTED: u64 = u64::MAX;

impl SimItem {
    /// A sound item under a key.
    pub const fn new(key: Key, id: u64) -> Self {
        Self { key, id, version: 0, seal: 0 }.with_version(0)
    }

    /// The same item in another version: equal in id, not in content.
    #[must_use]
    pub const fn with_version(mut self, version: u64) -> Self {
        self.version = version;
        self.seal = self.sealed();
        self
    }

    /// The key that it was stored under.
    pub const fn key(&self) -> &Key {
        &self.key
    }

    /// Which version of the item this is.
    pub const fn version(&self) -> u64 {
        self.version
    }

    /// Whether the seal fits the content: it does until somebody tampers with it.
    pub const fn is_sound(&self) -> bool {
        self.seal == self.sealed()
    }

    /// Whether a lying peer made the item up. A validator cannot know.
    pub const fn is_invented(&self) -> bool {
        self.version == INVENTED
    }

    pub(crate) const fn invented(self) -> Self {
        self.with_version(INVENTED)
    }

    pub(crate) const fn corrupt(&mut self) {
        self.seal = !self.sealed();
    }

    const fn sealed(&self) -> u64 {
        let bytes = self.key.as_bytes();
        let first = u64::from_be_bytes([
            bytes[0], bytes[1], bytes[2], bytes[3], bytes[4], bytes[5], bytes[6], bytes[7],
        ]);
        mix(mix(mix(first).wrapping_add(self.id)).wrapping_add(self.version))
    }
}

impl Item for SimItem {
    type Id = u64;

    fn id(&self) -> u64 {
        self.id
    }
}

/// [`sound`], one for all: queries of several validators share nothing.
pub fn all_sound() -> Arc<dyn Validator<SimNet>> {
    static SOUND: LazyLock<Arc<dyn Validator<SimNet>>> = LazyLock::new(|| Arc::new(sound));
    Arc::clone(&SOUND)
}

/// Accepts an item if it is under the key that was asked and its seal fits.
///
/// # Errors
///
/// Which of the two does not hold.
pub fn sound(request: &Request, item: &SimItem) -> Result<(), Invalid> {
    if item.key != *request.key() {
        return Err(Invalid::new(format!(
            "an item under {:016x}, asked was {:016x}",
            prefix(&item.key),
            prefix(request.key())
        )));
    }
    if item.is_sound() {
        Ok(())
    } else {
        Err(Invalid::new(format!("the seal of item {} is broken", item.id)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_untouched_item_under_the_right_key_is_sound() {
        let (key, other) = (Key::of(b"a"), Key::of(b"b"));
        let item = SimItem::new(key, 5);
        assert_eq!(sound(&Request::Get(key), &item), Ok(()));
        assert_eq!(sound(&Request::Get(key), &item.with_version(9)), Ok(()));
        assert_ne!(item, item.with_version(9));
        assert!(sound(&Request::Get(other), &item).is_err());
        assert!(sound(&Request::Get(key), &SimItem { seal: 1, ..item }).is_err());
        assert!(sound(&Request::Get(key), &SimItem { id: 6, ..item }).is_err());
    }
}
