//! Who holds what: records and provider entries on the peers closest to their key, items on providers.

use std::hash::{BuildHasherDefault, Hasher};

use dragnet_core::{Key, Reply, Step};
use hashbrown::HashMap;
use siphasher::sip::SipHasher13;

use crate::draw::mix;
use crate::network::{Request, SimItem, SimNet};
use crate::peers::PeerId;

/// A map that is the same in every run. Nothing depends on its order.
pub(crate) type FixedMap<K, V> = HashMap<K, V, BuildHasherDefault<SipHasher13>>;

/// A map by numbers that nobody chooses to collide: requests of our own engines.
pub(crate) type NumberMap<V> = HashMap<u64, V, BuildHasherDefault<NumberHasher>>;

#[derive(Clone, Copy, Default)]
pub(crate) struct NumberHasher(u64);

impl Hasher for NumberHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = mix(self.0 ^ number);
    }
}

/// What is stored in the network.
#[derive(Debug, Default)]
pub(crate) struct Placement {
    keys: FixedMap<Key, Stored>,
}

/// What is stored under one key.
#[derive(Debug, Default)]
struct Stored {
    records: Vec<Held<SimItem>>,
    providers: Vec<Held<PeerId>>,
    /// What the providers themselves have.
    items: Vec<(PeerId, SimItem)>,
}

/// Something that several peers hold.
#[derive(Debug)]
struct Held<T> {
    what: T,
    holders: Vec<PeerId>,
}

impl Placement {
    /// Stores a record on these peers.
    pub(crate) fn put(&mut self, item: SimItem, holders: Vec<PeerId>) {
        self.keys.entry(*item.key()).or_default().records.push(Held { what: item, holders });
    }

    /// Makes a peer a provider of a key, known to these peers. Again is no more than once.
    pub(crate) fn provide(&mut self, key: Key, provider: PeerId, holders: Vec<PeerId>) {
        let stored = self.keys.entry(key).or_default();
        if !stored.providers.iter().any(|held| held.what == provider) {
            stored.providers.push(Held { what: provider, holders });
        }
    }

    /// Gives a provider an item.
    pub(crate) fn give(&mut self, provider: PeerId, item: SimItem) {
        self.keys.entry(*item.key()).or_default().items.push((provider, item));
    }

    /// Adds to a reply what `peer` holds of what is asked.
    pub(crate) fn answer(&self, peer: PeerId, step: Step, ask: &Request, reply: &mut Reply<SimNet>) {
        let Some(stored) = self.keys.get(ask.key()) else { return };
        let walking = matches!(step, Step::Route(_));
        if matches!(ask, Request::Get(_)) {
            reply.items.extend(held(&stored.records, peer));
        }
        if matches!(ask, Request::GetProviders(_) | Request::Search(_)) && walking {
            reply.providers.extend(held(&stored.providers, peer));
        }
        if !walking {
            reply.items.extend(stored.items.iter().filter(|(owner, _)| *owner == peer).map(|(_, item)| item));
        }
    }
}

fn held<T: Copy>(all: &[Held<T>], peer: PeerId) -> impl Iterator<Item = T> + '_ {
    all.iter().filter(move |held| held.holders.contains(&peer)).map(|held| held.what)
}
