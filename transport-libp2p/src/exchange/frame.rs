//! Frames: an unsigned varint with the length, and that many bytes.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures::AsyncRead;
use unsigned_varint::{decode, encode};

/// The longest length, in bytes.
const LENGTH_BYTES_MAX: usize = 10;

/// What is allocated for a frame before more of it has come, in bytes: an answer with twenty peers fits.
const FIRST_ALLOCATION: usize = 4 << 10;

/// Why no frame could be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum FrameError {
    /// The stream was ended or reset before the first byte.
    #[error("the stream ended before a frame began")]
    Ended,
    /// The stream was ended or reset within the frame.
    #[error("the stream ended after {read} bytes of a frame")]
    Truncated {
        /// How many bytes had come, those of the length included.
        read: usize,
    },
    /// The length is not an unsigned varint.
    #[error("the frame's length is malformed: {0}")]
    Length(decode::Error),
    /// The frame is longer than allowed.
    #[error("a frame of {bytes} bytes, and {max} are allowed")]
    TooLong {
        /// Its length.
        bytes: usize,
        /// The most allowed.
        max: usize,
    },
    /// The stream broke.
    #[error("the stream broke: {0}")]
    Io(#[from] io::Error),
}

/// The frame of a payload.
pub(super) fn encode(payload: &[u8]) -> Bytes {
    let mut buffer = encode::usize_buffer();
    let length = encode::usize(payload.len(), &mut buffer);
    [length, payload].concat().into()
}

/// Reads one frame with at most `bytes_max` bytes after its length; see [`Reader`].
pub(super) async fn read<S>(stream: &mut S, bytes_max: usize) -> Result<Bytes, FrameError>
where
    S: AsyncRead + Unpin,
{
    let mut reader = Reader::new(bytes_max);
    poll_fn(|cx| reader.poll(stream, cx)).await
}

/// Reads one frame, and allocates as its bytes come, not as the length promises. What follows the frame may be read
/// too, and is dropped.
#[derive(Debug)]
pub(super) struct Reader {
    bytes_max: usize,
    /// The length, and perhaps what follows it.
    head: [u8; LENGTH_BYTES_MAX],
    head_filled: usize,
    payload: Option<Payload>,
}

#[derive(Debug)]
struct Payload {
    /// How many bytes it has.
    bytes: usize,
    buffer: Vec<u8>,
    filled: usize,
    /// How many of them came with the length.
    in_head: usize,
}

impl Reader {
    /// A reader of a frame with at most `bytes_max` bytes after its length.
    pub(super) const fn new(bytes_max: usize) -> Self {
        Self { bytes_max, head: [0; LENGTH_BYTES_MAX], head_filled: 0, payload: None }
    }

    /// Reads as much as has come. Not to be polled again once it has ended.
    pub(super) fn poll<S>(&mut self, stream: &mut S, cx: &mut Context<'_>) -> Poll<Result<Bytes, FrameError>>
    where
        S: AsyncRead + Unpin,
    {
        loop {
            let room = match &mut self.payload {
                Some(payload) if payload.filled == payload.bytes => {
                    return Poll::Ready(Ok(std::mem::take(&mut payload.buffer).into()));
                }
                Some(payload) => payload.room(),
                None => &mut self.head[self.head_filled..],
            };
            let read = ready!(Pin::new(&mut *stream).poll_read(cx, room))?;
            match &mut self.payload {
                _ if read == 0 => return Poll::Ready(Err(self.ended())),
                Some(payload) => payload.filled += read,
                None => {
                    self.head_filled += read;
                    self.payload = find(&self.head[..self.head_filled], self.bytes_max)?;
                }
            }
        }
    }

    fn ended(&self) -> FrameError {
        // What came with the length is in both.
        let more = self.payload.as_ref().map_or(0, |payload| payload.filled.saturating_sub(payload.in_head));
        match self.head_filled + more {
            0 => FrameError::Ended,
            read => FrameError::Truncated { read },
        }
    }
}

impl Payload {
    /// Where the next bytes go.
    fn room(&mut self) -> &mut [u8] {
        if self.filled == self.buffer.len() {
            let grown = self.buffer.len().saturating_mul(2).max(FIRST_ALLOCATION).min(self.bytes);
            self.buffer.reserve_exact(grown - self.filled);
            self.buffer.resize(grown, 0);
        }
        &mut self.buffer[self.filled..]
    }
}

/// The payload, as far as it was read with its length, once that has come.
fn find(read: &[u8], bytes_max: usize) -> Result<Option<Payload>, FrameError> {
    match decode::usize(read) {
        Ok((bytes, _)) if bytes > bytes_max => Err(FrameError::TooLong { bytes, max: bytes_max }),
        Ok((bytes, rest)) => {
            let rest = &rest[..rest.len().min(bytes)];
            let mut buffer = Vec::with_capacity(bytes.min(FIRST_ALLOCATION));
            buffer.extend_from_slice(rest);
            Ok(Some(Payload { bytes, filled: rest.len(), in_head: rest.len(), buffer }))
        }
        Err(decode::Error::Insufficient) => Ok(None),
        Err(error) => Err(FrameError::Length(error)),
    }
}

#[cfg(test)]
mod tests {
    use futures::executor::block_on;
    use proptest::prelude::*;

    use super::*;

    /// Gives at most `step` bytes at a time.
    struct Slow<'a> {
        bytes: &'a [u8],
        step: usize,
    }

    impl AsyncRead for Slow<'_> {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buffer: &mut [u8],
        ) -> Poll<io::Result<usize>> {
            let n = self.step.min(buffer.len()).min(self.bytes.len());
            buffer[..n].copy_from_slice(&self.bytes[..n]);
            self.bytes = &self.bytes[n..];
            Poll::Ready(Ok(n))
        }
    }

    fn read_all(bytes: &[u8], step: usize, max: usize) -> Result<Bytes, FrameError> {
        block_on(read(&mut Slow { bytes, step }, max))
    }

    #[test]
    fn a_stream_that_ends_short_of_its_length_is_truncated() {
        // 1 GiB is promised and allowed, and the stream ends.
        let mut promise = encode::usize_buffer();
        let promise = encode::usize(1 << 30, &mut promise);
        assert!(matches!(read_all(promise, 1, 1 << 30), Err(FrameError::Truncated { read: 5 })));
    }

    #[test]
    fn lengths_are_checked() {
        assert!(matches!(read_all(&[], 1, 9), Err(FrameError::Ended)));
        assert!(matches!(read_all(&[0x80], 1, 9), Err(FrameError::Truncated { read: 1 })));
        assert!(matches!(read_all(&[0xff; 11], 1, 9), Err(FrameError::Length(_))));
        assert!(matches!(read_all(&[10], 1, 9), Err(FrameError::TooLong { bytes: 10, max: 9 })));
        assert_eq!(read_all(&[0], 1, 0).unwrap(), Bytes::new());
    }

    proptest! {
        #[test]
        fn a_frame_reads_as_it_was_written(
            payload in prop::collection::vec(any::<u8>(), 0..5000),
            junk in prop::collection::vec(any::<u8>(), 0..20),
            step in 1_usize..2000,
        ) {
            let mut bytes = encode(&payload).to_vec();
            bytes.extend(junk);
            prop_assert_eq!(read_all(&bytes, step, payload.len()).unwrap(), payload);
        }

        #[test]
        fn arbitrary_bytes_never_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..600),
            step in 1_usize..100,
            max in 0_usize..1000,
        ) {
            if let Ok(frame) = read_all(&bytes, step, max) {
                prop_assert!(frame.len() <= max);
            }
        }
    }
}
