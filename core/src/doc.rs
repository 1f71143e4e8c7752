//! A small network that the examples in these docs share.

use alloc::string::String;

use crate::{Item, Key, Network};

/// Peers named by strings, asked for books by a title.
#[derive(Debug)]
pub enum Library {}

/// What they answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Book {
    /// Makes it distinct.
    pub isbn: u64,
    /// What is on its cover.
    pub title: String,
}

impl Item for Book {
    type Id = u64;

    fn id(&self) -> u64 {
        self.isbn
    }
}

impl Network for Library {
    type Peer = String;
    type Request = String;
    type Item = Book;

    fn key(peer: &String) -> Key {
        Key::of(peer.as_bytes())
    }
}

#[cfg(feature = "record")]
impl crate::record::Recordable for Library {
    fn hash_item<H: core::hash::Hasher>(book: &Book, state: &mut H) {
        core::hash::Hash::hash(&(book.isbn, &book.title), state);
    }
}
