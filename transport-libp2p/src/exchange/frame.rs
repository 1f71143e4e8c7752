//! Frames: an unsigned varint with the length, and that many bytes.

use std::io;

use bytes::Bytes;
use futures::{AsyncRead, AsyncReadExt};
use unsigned_varint::{decode, encode};

/// What is read before the length is known, in bytes: most answers, or the start of one.
const FIRST_READ: usize = 512;

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

/// Reads one frame with at most `bytes_max` bytes after its length, and allocates as they come, not as
/// the length promises. What follows the frame may be read too, and is dropped.
pub(super) async fn read<S>(stream: &mut S, bytes_max: usize) -> Result<Bytes, FrameError>
where
    S: AsyncRead + Unpin,
{
    let mut buffer = vec![0; FIRST_READ];
    let mut filled = 0;
    let mut frame = None;
    loop {
        if frame.is_none() {
            frame = find(&buffer[..filled], bytes_max)?;
        }
        if let Some((start, end)) = frame {
            if filled >= end {
                buffer.truncate(end);
                return Ok(Bytes::from(buffer).slice(start..));
            }
            if filled == buffer.len() {
                let grown = buffer.len().saturating_mul(2).min(end);
                buffer.reserve_exact(grown - filled);
                buffer.resize(grown, 0);
            }
        }
        match stream.read(&mut buffer[filled..]).await? {
            0 if filled == 0 => return Err(FrameError::Ended),
            0 => return Err(FrameError::Truncated { read: filled }),
            read => filled += read,
        }
    }
}

/// Where the payload begins and ends, once its length has come.
fn find(read: &[u8], bytes_max: usize) -> Result<Option<(usize, usize)>, FrameError> {
    match decode::usize(read) {
        Ok((bytes, _)) if bytes > bytes_max => Err(FrameError::TooLong { bytes, max: bytes_max }),
        Ok((bytes, rest)) => {
            let start = read.len() - rest.len();
            Ok(Some((start, start.saturating_add(bytes))))
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
            mut self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
            buffer: &mut [u8],
        ) -> std::task::Poll<io::Result<usize>> {
            let n = self.step.min(buffer.len()).min(self.bytes.len());
            buffer[..n].copy_from_slice(&self.bytes[..n]);
            self.bytes = &self.bytes[n..];
            std::task::Poll::Ready(Ok(n))
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
