//! Answers that are kept with their entity tag, for when a registry says that nothing has changed.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use http::HeaderValue;
use url::Url;

/// An answer and the tag by which it is asked for again.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub(super) etag: HeaderValue,
    pub(super) body: Bytes,
}

/// Bounded by entries and bytes; what was not used for longest goes first.
pub(super) struct Cache {
    entries: HashMap<Url, Entry>,
    /// By when they were last used.
    order: BTreeMap<u64, Url>,
    uses: u64,
    bytes: usize,
    entries_max: usize,
    bytes_max: usize,
}

struct Entry {
    kept: Kept,
    used: u64,
}

impl Cache {
    pub(super) fn new(entries_max: usize, bytes_max: usize) -> Self {
        Self { entries: HashMap::new(), order: BTreeMap::new(), uses: 0, bytes: 0, entries_max, bytes_max }
    }

    /// What is kept of this URL. That is a use.
    pub(super) fn find(&mut self, url: &Url) -> Option<Kept> {
        let entry = self.entries.get_mut(url)?;
        self.uses += 1;
        let url = self.order.remove(&entry.used)?;
        self.order.insert(self.uses, url);
        entry.used = self.uses;
        Some(entry.kept.clone())
    }

    /// Keeps an answer in the place of an earlier one, unless it is too large for a quarter of the room.
    pub(super) fn keep(&mut self, url: &Url, kept: Kept) {
        self.forget(url);
        let size = size(url, &kept);
        if size > self.bytes_max / 4 {
            return;
        }
        self.uses += 1;
        self.bytes += size;
        self.order.insert(self.uses, url.clone());
        self.entries.insert(url.clone(), Entry { kept, used: self.uses });
        while self.entries.len() > self.entries_max || self.bytes > self.bytes_max {
            let Some((_, oldest)) = self.order.pop_first() else { break };
            self.forget(&oldest);
        }
    }

    /// Forgets what is kept of this URL.
    pub(super) fn forget(&mut self, url: &Url) {
        if let Some(Entry { kept, used }) = self.entries.remove(url) {
            self.order.remove(&used);
            self.bytes -= size(url, &kept);
        }
    }
}

/// The URL is kept twice.
fn size(url: &Url, kept: &Kept) -> usize {
    2 * url.as_str().len() + kept.etag.len() + kept.body.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(n: usize) -> Url {
        Url::parse(&format!("http://a/{n}")).unwrap()
    }

    fn kept(bytes: usize) -> Kept {
        Kept { etag: HeaderValue::from_static("\"1\""), body: vec![b'x'; bytes].into() }
    }

    fn known(cache: &Cache) -> Vec<usize> {
        (0..100).filter(|n| cache.entries.contains_key(&url(*n))).collect()
    }

    #[test]
    fn what_was_not_used_for_longest_goes_first() {
        let mut cache = Cache::new(3, 1 << 20);
        (0..3).for_each(|n| cache.keep(&url(n), kept(1)));
        assert!(cache.find(&url(0)).is_some());
        cache.keep(&url(3), kept(1));
        assert_eq!(known(&cache), [0, 2, 3]);
        assert!(cache.find(&url(1)).is_none());
    }

    #[test]
    fn bytes_are_bounded_and_counted_back() {
        let mut cache = Cache::new(100, 1_000);
        cache.keep(&url(0), kept(251));
        assert_eq!(known(&cache), [] as [usize; 0], "larger than a quarter");
        (0..20).for_each(|n| cache.keep(&url(n), kept(200)));
        assert!(cache.bytes <= 1_000 && known(&cache).len() == 4, "{:?}", known(&cache));
        cache.keep(&url(19), kept(1));
        (0..20).for_each(|n| cache.forget(&url(n)));
        assert_eq!((cache.bytes, cache.entries.len(), cache.order.len()), (0, 0, 0));
    }

    #[test]
    fn no_room_is_no_cache() {
        let mut cache = Cache::new(0, 1_000);
        cache.keep(&url(1), kept(1));
        assert!(cache.find(&url(1)).is_none());
    }
}
