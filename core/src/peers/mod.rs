//! Every peer ever met, once: its identity and key, what is known of it, and what is under way to it.

mod index;
mod reputation;
mod response_time;
mod table;

pub(crate) use table::{Named, PeerIndex, PeerTable, Sighting};
