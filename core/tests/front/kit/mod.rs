//! What the tests share.

mod clock;
mod rig;
mod wire;

pub(crate) use clock::VirtualClock;
pub(crate) use rig::{Rig, Woken, ready};
pub(crate) use wire::{Manner, Wire, WireView};

use core::time::Duration;
use std::sync::{Mutex, MutexGuard};

use dragnet_core::{Item, Key, Network, Query, Route};

/// Peers are numbers, asked for words.
#[derive(Debug)]
pub(crate) enum Words {}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Word {
    pub(crate) id: u64,
    pub(crate) text: &'static str,
}

impl Item for Word {
    type Id = u64;

    fn id(&self) -> u64 {
        self.id
    }
}

impl Network for Words {
    type Peer = u32;
    type Request = &'static str;
    type Item = Word;

    fn key(peer: &u32) -> Key {
        Key::of(&peer.to_be_bytes())
    }
}

pub(crate) const LOCAL: u32 = 0;

pub(crate) fn word(id: u64) -> Word {
    Word { id, text: "a word" }
}

/// Locks what nobody has panicked with.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no test goes on after a panic")
}

pub(crate) const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A question to a list of peers.
pub(crate) fn ask(peers: impl IntoIterator<Item = u32>) -> Query<Words> {
    Query::new("a question").fetch_from(peers)
}

/// A walk that begins where the transport says.
pub(crate) fn walk(target: &[u8]) -> Query<Words> {
    Query::new("a question").route(Route::walk(Key::of(target)))
}
