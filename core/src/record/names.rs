//! Peers, requests and items as numbers.

use alloc::string::String;
use alloc::vec::Vec;
use core::hash::{Hash, Hasher};
use core::marker::PhantomData;

use hashbrown::HashTable;
use siphasher::sip::SipHasher13;

use super::wire::{put, put_text, put_word};
use super::{Digests, Recordable};
use crate::network::{Item, Network};

/// Peers that have a short name at once. With so many all of them are forgotten, and named anew as they are
/// met again.
pub(super) const NAMES_MAX: usize = 1 << 14;

/// Hashes what is recorded as a hash, under the recording's key.
#[derive(Clone)]
pub(super) struct Digester<N> {
    key: (u64, u64),
    network: PhantomData<fn(N)>,
}

impl<N: Recordable> Digester<N> {
    pub(super) const fn new(key: (u64, u64)) -> Self {
        Self { key, network: PhantomData }
    }

    pub(super) const fn key(&self) -> (u64, u64) {
        self.key
    }

    fn hash(&self, feed: impl FnOnce(&mut SipHasher13)) -> u64 {
        let mut state = SipHasher13::new_with_keys(self.key.0, self.key.1);
        feed(&mut state);
        state.finish()
    }
}

impl<N: Recordable> Digests<N> for Digester<N> {
    fn peer(&self, peer: &N::Peer) -> u64 {
        self.hash(|state| peer.hash(state))
    }

    fn request(&self, request: &N::Request) -> u64 {
        self.hash(|state| N::hash_request(request, state))
    }

    fn item(&self, item: &N::Item) -> [u64; 2] {
        let id = item.id();
        [self.hash(|state| id.hash(state)), self.hash(|state| N::hash_item(item, state))]
    }
}

/// The peers that have been named, each by its number from then on.
pub(super) struct Names<N: Network> {
    known: HashTable<Known<N>>,
    with_text: bool,
}

struct Known<N: Network> {
    peer: N::Peer,
    digest: u64,
    number: u32,
}

impl<N: Recordable> Names<N> {
    pub(super) const fn new(with_text: bool) -> Self {
        Self { known: HashTable::new(), with_text }
    }

    pub(super) fn is_full(&self) -> bool {
        self.known.len() >= NAMES_MAX
    }

    pub(super) fn clear(&mut self) {
        self.known.clear();
    }

    /// Writes a peer: its number, or all of it if it has none yet.
    pub(super) fn put(&mut self, out: &mut Vec<u8>, peer: &N::Peer, digester: &Digester<N>) {
        let digest = digester.peer(peer);
        if let Some(known) = self.known.find(digest, |known| known.peer == *peer) {
            return put(out, u64::from(known.number) + 1);
        }
        put(out, 0);
        out.extend_from_slice(N::key(peer).as_bytes());
        put_word(out, digest);
        put(out, N::source(peer).0.into());
        let text = if self.with_text { N::peer_name(peer) } else { String::new() };
        put_text(out, &text);
        let number = self.known.len() as u32;
        let known = Known { peer: peer.clone(), digest, number };
        self.known.insert_unique(digest, known, |known| known.digest);
    }
}
