//! A network small enough that everything happens often: two dozen peers, a dozen items.

use std::cmp::Ordering;
use std::fmt;

use dragnet_core::{Invalid, Item, Key, Network, Selector, Source, Validator};

/// Peers are the numbers below this.
pub(crate) const PEERS: u8 = 24;

#[derive(Debug)]
pub(crate) enum Toy {}

/// An item: its id, and a version that its id does not cover.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Note {
    pub(crate) id: u8,
    pub(crate) version: u8,
}

impl Item for Note {
    type Id = u8;

    fn id(&self) -> u8 {
        self.id
    }
}

impl fmt::Debug for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Note({}v{})", self.id, self.version)
    }
}

impl Network for Toy {
    type Peer = u8;
    type Request = u8;
    type Item = Note;

    /// Every fourth key shares its first 64 bits with three others, and the keys of 19 and 23 are one:
    /// no hash does that, but an engine must not stumble over it.
    fn key(peer: &u8) -> Key {
        let peer = if *peer == 23 { 19 } else { *peer };
        let mut bytes = *Key::of(&[peer]).as_bytes();
        if peer % 4 == 3 {
            bytes[..8].copy_from_slice(&Key::of(&[peer & 0xf0, 1]).as_bytes()[..8]);
        }
        Key::from_bytes(bytes)
    }

    fn source(peer: &u8) -> Source {
        Source(u16::from(peer % 3 == 2))
    }
}

/// Refuses the items whose id is a multiple of a number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refuses(pub(crate) u8);

impl Refuses {
    pub(crate) fn refuses(self, note: Note) -> bool {
        note.id.is_multiple_of(self.0)
    }
}

impl Validator<Toy> for Refuses {
    fn validate(&self, _request: &u8, note: &Note) -> Result<(), Invalid> {
        if self.refuses(*note) { Err(Invalid::new("a multiple")) } else { Ok(()) }
    }
}

/// Prefers this version to the others, and none of those to another.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Prefers(pub(crate) u8);

impl Selector<Toy> for Prefers {
    fn compare(&self, _request: &u8, one: &Note, other: &Note) -> Ordering {
        (one.version == self.0).cmp(&(other.version == self.0))
    }
}
