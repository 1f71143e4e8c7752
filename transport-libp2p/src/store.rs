//! What Kademlia stores here: records and providers, our own and others', each within its own bounds.
//!
//! libp2p-kad's `MemoryStore` keeps both in the same tables, lets an expired entry stay until its key is
//! asked for, and puts a stranger's record in the place of ours. A stranger who sends enough then stops
//! our own publishing for good. Here strangers fill their own tables only.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, btree_map};
use std::iter::{Chain, Map};
use std::time::Instant;

use libp2p::kad::store::{Error, RecordStore, Result};
use libp2p::kad::{ProviderRecord, Record, RecordKey};
use libp2p::{Multiaddr, PeerId};

use crate::config::StoreLimits;

/// Bytes of all the addresses kept with a provider. 20 such providers fit in one message of 16 KiB.
const ADDRESS_BYTES_MAX: usize = 512;

/// Expired entries that are dropped for a new one. More than one, so that a table shrinks in time; not
/// all of them, so that no single message has to wait for it.
const SWEPT_MAX: usize = 16;

/// The bytes of a key.
type KeyBytes = Vec<u8>;

/// A key, and who provides it. One key's providers lie side by side.
type ProviderName = (KeyBytes, Vec<u8>);

/// The records and providers of a [`Behaviour`](crate::Behaviour).
///
/// A key has one record, ours or another's. The iterators go by key, our own first.
pub struct Store {
    local: PeerId,
    limits: StoreLimits,
    own_records: Table<KeyBytes, Record>,
    foreign_records: Table<KeyBytes, Record>,
    provided: Table<KeyBytes, ProviderRecord>,
    foreign_providers: Table<ProviderName, ProviderRecord>,
}

/// How much is in a store, what has expired and is still there included.
pub(crate) struct Counts {
    pub(crate) records: usize,
    pub(crate) records_of_others: usize,
    pub(crate) providers: usize,
}

impl Store {
    /// An empty store of this peer's.
    pub(crate) fn new(local: PeerId, limits: StoreLimits) -> Self {
        Self {
            local,
            own_records: Table::new(limits.records_max),
            foreign_records: Table::new(limits.foreign_records_max),
            provided: Table::new(limits.provided_keys_max),
            foreign_providers: Table::new(limits.foreign_providers_max),
            limits,
        }
    }

    /// How much is in it.
    pub(crate) fn counts(&self) -> Counts {
        Counts {
            records: self.own_records.entries.len(),
            records_of_others: self.foreign_records.entries.len(),
            providers: self.foreign_providers.entries.len(),
        }
    }

    fn put_own(&mut self, record: Record, now: Instant) -> Result<()> {
        let key = record.key.to_vec();
        if !self.own_records.insert(key.clone(), record, now) {
            return Err(Error::MaxRecords);
        }
        self.foreign_records.remove(&key);
        Ok(())
    }

    fn put_foreign(&mut self, record: Record, now: Instant) -> Result<()> {
        let key = record.key.to_vec();
        let is_ours = self.own_records.get(&key).is_some_and(|own| !own.is_expired(now));
        if is_ours || !self.foreign_records.insert(key.clone(), record, now) {
            return Err(Error::MaxRecords);
        }
        self.own_records.remove(&key);
        Ok(())
    }

    fn add_foreign(&mut self, record: ProviderRecord, now: Instant) -> Result<()> {
        let name = provider_name(&record.key, &record.provider);
        let max = self.limits.providers_per_key_max;
        if self.foreign_providers.get(&name).is_none() && self.foreign(&name.0).count() >= max {
            let expired: Vec<_> =
                self.foreign(&name.0).filter(|other| other.is_expired(now)).cloned().collect();
            for other in &expired {
                self.foreign_providers.remove(&provider_name(&other.key, &other.provider));
            }
            if self.foreign(&name.0).count() >= max {
                // The first to come stay, as in `MemoryStore`: a crowd cannot drive them out.
                return Ok(());
            }
        }
        if self.foreign_providers.insert(name, record, now) { Ok(()) } else { Err(Error::MaxProvidedKeys) }
    }

    /// The others who provide a key.
    fn foreign(&self, key: &[u8]) -> impl Iterator<Item = &ProviderRecord> {
        let first = (key.to_vec(), Vec::new());
        self.foreign_providers.entries.range(first..).map(|(_, record)| record).take_while(move |record| {
            let of: &[u8] = record.key.as_ref();
            of == key
        })
    }

    /// libp2p-kad has no error of its own for a key that is too long.
    fn check_key(&self, key: &RecordKey) -> Result<()> {
        if key.as_ref().len() > self.limits.key_bytes_max { Err(Error::ValueTooLarge) } else { Ok(()) }
    }
}

impl RecordStore for Store {
    type RecordsIter<'a> = Map<
        Chain<btree_map::Values<'a, KeyBytes, Record>, btree_map::Values<'a, KeyBytes, Record>>,
        fn(&'a Record) -> Cow<'a, Record>,
    >;
    type ProvidedIter<'a> = Map<
        btree_map::Values<'a, KeyBytes, ProviderRecord>,
        fn(&'a ProviderRecord) -> Cow<'a, ProviderRecord>,
    >;

    fn get(&self, key: &RecordKey) -> Option<Cow<'_, Record>> {
        let key = key.to_vec();
        self.own_records.get(&key).or_else(|| self.foreign_records.get(&key)).map(Cow::Borrowed)
    }

    fn put(&mut self, record: Record) -> Result<()> {
        self.check_key(&record.key)?;
        if record.value.len() > self.limits.value_bytes_max {
            return Err(Error::ValueTooLarge);
        }
        let now = Instant::now();
        if record.publisher == Some(self.local) {
            self.put_own(record, now)
        } else {
            self.put_foreign(record, now)
        }
    }

    fn remove(&mut self, key: &RecordKey) {
        let key = key.to_vec();
        self.own_records.remove(&key);
        self.foreign_records.remove(&key);
    }

    fn records(&self) -> Self::RecordsIter<'_> {
        self.own_records.entries.values().chain(self.foreign_records.entries.values()).map(Cow::Borrowed)
    }

    fn add_provider(&mut self, mut record: ProviderRecord) -> Result<()> {
        self.check_key(&record.key)?;
        trim(&mut record.addresses, self.limits.addresses_per_provider_max);
        let now = Instant::now();
        if record.provider != self.local {
            return self.add_foreign(record, now);
        }
        let added = self.provided.insert(record.key.to_vec(), record, now);
        if added { Ok(()) } else { Err(Error::MaxProvidedKeys) }
    }

    fn providers(&self, key: &RecordKey) -> Vec<ProviderRecord> {
        let own = self.provided.get(&key.to_vec());
        own.into_iter().chain(self.foreign(key.as_ref())).cloned().collect()
    }

    fn provided(&self) -> Self::ProvidedIter<'_> {
        self.provided.entries.values().map(Cow::Borrowed)
    }

    fn remove_provider(&mut self, key: &RecordKey, provider: &PeerId) {
        if *provider == self.local {
            self.provided.remove(&key.to_vec());
        } else {
            self.foreign_providers.remove(&provider_name(key, provider));
        }
    }
}

fn provider_name(key: &RecordKey, provider: &PeerId) -> ProviderName {
    (key.to_vec(), provider.to_bytes())
}

/// Keeps the first addresses that fit.
fn trim(addresses: &mut Vec<Multiaddr>, max: usize) {
    let mut room = ADDRESS_BYTES_MAX;
    addresses.retain(|address| {
        let fits = address.len() <= room;
        if fits {
            room -= address.len();
        }
        fits
    });
    addresses.truncate(max);
    addresses.shrink_to_fit();
}

/// What is kept until a time, or for ever.
trait Expires {
    fn expires(&self) -> Option<Instant>;
}

impl Expires for Record {
    fn expires(&self) -> Option<Instant> {
        self.expires
    }
}

impl Expires for ProviderRecord {
    fn expires(&self) -> Option<Instant> {
        self.expires
    }
}

/// At most so many entries, also by when they expire: an insertion costs the logarithm of their number,
/// whether the table is full or not.
struct Table<K, V> {
    entries: BTreeMap<K, V>,
    /// Every entry that expires, soonest first.
    expiries: BTreeSet<(Instant, K)>,
    entries_max: usize,
}

impl<K: Ord + Clone, V: Expires> Table<K, V> {
    const fn new(entries_max: usize) -> Self {
        Self { entries: BTreeMap::new(), expiries: BTreeSet::new(), entries_max }
    }

    fn get(&self, key: &K) -> Option<&V> {
        self.entries.get(key)
    }

    /// Inserts an entry, in place of the one of that key. Returns whether there was room.
    fn insert(&mut self, key: K, value: V, now: Instant) -> bool {
        self.remove(&key);
        if self.entries.len() >= self.entries_max {
            self.sweep(now);
        }
        if self.entries.len() >= self.entries_max {
            return false;
        }
        if let Some(expires) = value.expires() {
            self.expiries.insert((expires, key.clone()));
        }
        self.entries.insert(key, value);
        debug_assert!(self.expiries.len() <= self.entries.len());
        true
    }

    fn remove(&mut self, key: &K) {
        if let Some(expires) = self.entries.remove(key).and_then(|value| value.expires()) {
            let was_there = self.expiries.remove(&(expires, key.clone()));
            debug_assert!(was_there, "every entry that expires is in both");
        }
    }

    /// Drops some of the entries that have expired.
    fn sweep(&mut self, now: Instant) {
        for _ in 0..SWEPT_MAX {
            if self.expiries.first().is_none_or(|(expires, _)| *expires > now) {
                return;
            }
            if let Some((_, key)) = self.expiries.pop_first() {
                self.entries.remove(&key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::network::provider_key;

    fn store() -> Store {
        let limits = StoreLimits {
            records_max: 2,
            foreign_records_max: 3,
            value_bytes_max: 10,
            provided_keys_max: 2,
            foreign_providers_max: 40,
            providers_per_key_max: 3,
            ..StoreLimits::default()
        };
        Store::new(PeerId::random(), limits)
    }

    fn key(n: u32) -> RecordKey {
        provider_key(&n.to_be_bytes())
    }

    fn record(n: u32, publisher: PeerId, expires: Option<Instant>) -> Record {
        Record { expires, publisher: Some(publisher), ..Record::new(key(n), vec![1]) }
    }

    fn provider(n: u32, provider: PeerId, expires: Option<Instant>) -> ProviderRecord {
        ProviderRecord { expires, ..ProviderRecord::new(key(n), provider, Vec::new()) }
    }

    fn later() -> Option<Instant> {
        Some(Instant::now() + Duration::from_secs(3600))
    }

    #[test]
    fn a_flood_of_others_leaves_room_for_our_own() {
        let mut store = store();
        let (local, stranger) = (store.local, PeerId::random());
        for n in 0..100 {
            let put = store.put(record(n, stranger, later()));
            assert_eq!(put.is_ok(), n < 3);
            let added = store.add_provider(provider(n, stranger, None));
            assert_eq!(added.is_ok(), n < 40);
        }
        for n in 200..202 {
            store.put(record(n, local, None)).unwrap();
            store.add_provider(provider(n, local, None)).unwrap();
        }
        assert!(matches!(store.put(record(202, local, None)), Err(Error::MaxRecords)));
        let full = store.add_provider(provider(202, local, None));
        assert!(matches!(full, Err(Error::MaxProvidedKeys)));
        assert_eq!((store.records().count(), store.provided().count()), (5, 2));
        // What is there can be renewed in a full store.
        store.put(record(200, local, later())).unwrap();
        store.put(record(0, stranger, None)).unwrap();
        store.add_provider(provider(0, stranger, later())).unwrap();
        assert_eq!(store.foreign_providers.expiries.len(), 1);
        // Removed, our own makes room.
        store.remove(&key(200));
        store.remove_provider(&key(200), &local);
        store.put(record(202, local, None)).unwrap();
        store.add_provider(provider(202, local, None)).unwrap();
    }

    #[test]
    fn anothers_record_is_refused_where_our_own_is() {
        let mut store = store();
        let (local, stranger) = (store.local, PeerId::random());
        store.put(record(1, stranger, None)).unwrap();
        store.put(record(1, local, later())).unwrap();
        assert_eq!(store.records().count(), 1, "ours is in the place of the other");
        for publisher in [Some(stranger), None] {
            let other = Record { publisher, ..record(1, stranger, None) };
            assert!(store.put(other).is_err());
        }
        assert_eq!(store.get(&key(1)).unwrap().publisher, Some(local));
        store.put(record(1, local, Some(Instant::now()))).unwrap();
        store.put(record(1, stranger, None)).unwrap();
        assert_eq!(store.get(&key(1)).unwrap().publisher, Some(stranger), "ours has expired");
        assert_eq!(store.records().count(), 1);
        store.remove(&key(1));
        assert!(store.get(&key(1)).is_none());
    }

    #[test]
    fn what_has_expired_makes_room_a_few_at_a_time() {
        let mut store = store();
        let stranger = PeerId::random();
        let now = Some(Instant::now());
        for n in 0..40 {
            store.add_provider(provider(n, stranger, if n < 30 { now } else { later() })).unwrap();
        }
        let providers = |store: &Store| store.foreign_providers.entries.len();
        store.add_provider(provider(40, stranger, later())).unwrap();
        assert_eq!(providers(&store), 40 - SWEPT_MAX + 1);
        for n in 41..70 {
            store.add_provider(provider(n, stranger, later())).unwrap();
        }
        assert_eq!(providers(&store), 40);
        assert!(store.add_provider(provider(70, stranger, later())).is_err());
        assert_eq!((0..30).filter(|n| !store.providers(&key(*n)).is_empty()).count(), 0);
        assert_eq!(store.foreign_providers.expiries.len(), 40);

        for n in 0..3 {
            store.put(record(n, stranger, now)).unwrap();
        }
        store.put(record(3, stranger, None)).unwrap();
        assert_eq!((store.records().count(), store.foreign_records.expiries.len()), (1, 0));
    }

    #[test]
    fn a_key_has_only_so_many_providers_and_the_first_stay() {
        let mut store = store();
        let crowd: Vec<_> = (0..5).map(|_| PeerId::random()).collect();
        let now = Some(Instant::now());
        for peer in &crowd[..3] {
            store.add_provider(provider(1, *peer, if *peer == crowd[2] { now } else { later() })).unwrap();
        }
        // The third has expired.
        for peer in &crowd[3..] {
            store.add_provider(provider(1, *peer, later())).unwrap();
        }
        store.add_provider(provider(2, crowd[4], None)).unwrap();
        store.add_provider(provider(1, store.local, None)).unwrap();
        let found: Vec<_> = store.providers(&key(1)).into_iter().map(|found| found.provider).collect();
        let mut others = vec![crowd[0], crowd[1], crowd[3]];
        others.sort_by_key(|peer| peer.to_bytes());
        assert_eq!((found[0], &found[1..]), (store.local, others.as_slice()));
        store.remove_provider(&key(1), &crowd[0]);
        assert_eq!(store.providers(&key(1)).len(), 3);
        assert_eq!(store.providers(&key(2)).len(), 1);
    }

    #[test]
    fn long_keys_and_values_are_refused_and_addresses_trimmed() {
        let mut store = store();
        let stranger = PeerId::random();
        let long = RecordKey::from(vec![0; 129]);
        let put = store.put(Record::new(long.clone(), Vec::new()));
        assert!(matches!(put, Err(Error::ValueTooLarge)));
        assert!(store.add_provider(ProviderRecord::new(long, stranger, Vec::new())).is_err());
        let longest = RecordKey::from(vec![0; 128]);
        store.put(Record::new(longest.clone(), vec![0; 10])).unwrap();
        assert!(store.put(Record::new(longest.clone(), vec![0; 11])).is_err());

        let host = |bytes| -> Multiaddr { format!("/dns/{}", "a".repeat(bytes)).parse().unwrap() };
        let many = (0..20).map(|_| host(10)).collect();
        store.add_provider(ProviderRecord::new(longest.clone(), stranger, many)).unwrap();
        assert_eq!(store.providers(&longest)[0].addresses.len(), 16);
        let large = vec![host(600), host(250), host(250), host(250)];
        store.add_provider(ProviderRecord::new(longest.clone(), stranger, large)).unwrap();
        assert_eq!(store.providers(&longest)[0].addresses, [host(250), host(250)]);
    }
}
