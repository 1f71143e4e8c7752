//! How a recording is cut into blocks: each with its length and its checksum, so that what was cut off or
//! damaged is found, and all before it stands.

use alloc::vec::Vec;

/// The first eight bytes of a recording. The first is no text, so that nobody takes it for one.
pub(super) const MAGIC: [u8; 8] = *b"\x91dragnet";

/// Length and checksum come before each block.
pub(super) const FRAME_BYTES: usize = 8;

/// The largest block that is written and read, in bytes. Most are of
/// [`block_bytes`](super::RecordConfig::block_bytes) and one record more at most.
pub(super) const BLOCK_MAX: usize = 64 << 20;

/// What a block holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// What the engine was when the recording began.
    Head = 0,
    /// Inputs.
    Inputs = 1,
    /// That the recording ended here, and why.
    End = 2,
}

impl Kind {
    pub(super) const fn of(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Self::Head),
            1 => Some(Self::Inputs),
            2 => Some(Self::End),
            _ => None,
        }
    }
}

/// The bytes of the last block.
pub(super) const END_BYTES: u64 = FRAME_BYTES as u64 + 2;

/// What a file begins with.
pub(super) fn file_head(format: u32) -> Vec<u8> {
    let mut head = Vec::with_capacity(12);
    head.extend_from_slice(&MAGIC);
    head.extend_from_slice(&format.to_le_bytes());
    head
}

/// A block, framed: its head and the rest.
pub(super) fn block(kind: Kind, head: &[u8], rest: &[u8]) -> Vec<u8> {
    let mut framed = Vec::with_capacity(FRAME_BYTES + 1 + head.len() + rest.len());
    framed.extend_from_slice(&[0; FRAME_BYTES]);
    framed.push(kind as u8);
    framed.extend_from_slice(head);
    framed.extend_from_slice(rest);
    let length = (framed.len() - FRAME_BYTES) as u32;
    framed[..4].copy_from_slice(&length.to_le_bytes());
    let checksum = checksum(length, &framed[FRAME_BYTES..]);
    framed[4..FRAME_BYTES].copy_from_slice(&checksum.to_le_bytes());
    framed
}

/// CRC-32 of a block and of its length: a length that was damaged is found as well.
pub(super) fn checksum(length: u32, block: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&length.to_le_bytes());
    crc.update(block);
    crc.finalize()
}
