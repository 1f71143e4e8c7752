//! What a recording is for, and what may become of one: cut off, damaged, of another version, on a full disk,
//! behind a slow writer, too large, and of an engine that was there before.

mod bad_files;
mod bounds;
mod kit;
mod privacy;
mod segments;
mod with_state;
