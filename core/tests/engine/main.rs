//! What a user may expect of the engine, contact by contact.

mod answers;
mod bench;
mod cache;
mod deadlines;
mod disjoint;
mod fetches;
mod limits;
mod load;
mod lookups;
mod pacing;
mod presets;
mod reputation;
mod sharing;
mod state;
mod view;
mod walks;
