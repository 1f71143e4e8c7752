//! A value as the bytes of a file, and back: nothing is believed before all of it has been checked.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

/// What a file holds, and in which version: written at its beginning, and required there.
///
/// The bytes are: the mark `DRAGNETS`, the name, the version (4 bytes), the time of saving (8, milliseconds
/// since 1970), the length of the body (8), the SHA-256 of all these and the body (32), and the body, as
/// `postcard` writes it. Numbers begin with their lowest byte.
///
/// ```
/// use dragnet_core::state::{Damage, Format};
/// use std::time::{Duration, SystemTime};
///
/// const SCORES: Format = Format { name: *b"scores  ", version: 3 };
/// let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
/// let bytes = SCORES.encode(&vec![7u32, 8], now)?;
/// let saved = SCORES.decode::<Vec<u32>>(&bytes).unwrap();
/// assert_eq!((saved.value, saved.saved_at), (vec![7, 8], now));
///
/// let cut = SCORES.decode::<Vec<u32>>(&bytes[..70]);
/// assert_eq!(cut.unwrap_err().to_string(), "it is cut off: 70 bytes are there of 71");
/// let newer = Format { version: 4, ..SCORES }.decode::<Vec<u32>>(&bytes);
/// assert_eq!(newer.unwrap_err(), Damage::Version { found: 3, supported: 4 });
/// # Ok::<_, dragnet_core::state::Unencodable>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Format {
    /// What is in it: eight letters, filled up with blanks.
    pub name: [u8; 8],
    /// In which version of its form. No other is read: what is in such a file can be done without.
    pub version: u32,
}

const MARK: [u8; 8] = *b"DRAGNETS";
const NAME_AT: usize = MARK.len();
const VERSION_AT: usize = NAME_AT + 8;
const SAVED_AT: usize = VERSION_AT + 4;
const LENGTH_AT: usize = SAVED_AT + 8;
const DIGEST_AT: usize = LENGTH_AT + 8;
const BODY_AT: usize = DIGEST_AT + 32;

/// A value that was saved, and when.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Saved<T> {
    /// The value.
    pub value: T,
    /// When, to the millisecond, by the clock of the machine that saved it.
    pub saved_at: SystemTime,
}

impl<T> Saved<T> {
    /// How long ago it was saved; `None` if by the clock it has not been yet: then the clock was set back,
    /// and nobody knows.
    pub fn age(&self, now: SystemTime) -> Option<Duration> {
        now.duration_since(self.saved_at).ok()
    }
}

/// Why bytes are not what was saved.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Damage {
    /// It begins with something else.
    #[error("it is no state that Dragnet has saved")]
    Foreign,
    /// It holds something else.
    #[error("it holds `{found}`, and should hold `{expected}`")]
    Name {
        /// What it holds.
        found: String,
        /// What was wanted.
        expected: String,
    },
    /// It was written by an older or a newer program.
    #[error("it is of version {found}, and this program reads version {supported} alone")]
    Version {
        /// The version that it is of.
        found: u32,
        /// The version that was wanted.
        supported: u32,
    },
    /// Its end is missing.
    #[error("it is cut off: {bytes} bytes are there of {expected}")]
    CutOff {
        /// How long it is.
        bytes: u64,
        /// How long it should be.
        expected: u64,
    },
    /// There is something behind its end.
    #[error("it is {bytes} bytes long, and should end after {expected}")]
    TooLong {
        /// How long it is.
        bytes: u64,
        /// How long it should be.
        expected: u64,
    },
    /// Some byte of it is not the one that was written.
    #[error("its checksum does not fit: some of its bytes have changed")]
    Checksum,
    /// It is whole, and yet is no such value: whoever changed its form has not changed the version.
    #[error("it is whole, and cannot be read as what it should be: {reason}")]
    Unreadable {
        /// What the decoder says.
        reason: String,
    },
    /// It is larger than is read.
    #[error("it is {bytes} bytes long, and no more than {bytes_max} are read")]
    TooLarge {
        /// How long it is.
        bytes: u64,
        /// How long it may be.
        bytes_max: u64,
    },
}

/// Why a value cannot be written down.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("it cannot be written down: {reason}")]
pub struct Unencodable {
    /// What the encoder says.
    pub reason: String,
}

impl Format {
    /// The bytes of a file that holds a value.
    ///
    /// # Errors
    ///
    /// [`Unencodable`] if the value's own `Serialize` fails, or it has a sequence of unknown length.
    pub fn encode<T: Serialize>(&self, value: &T, saved_at: SystemTime) -> Result<Vec<u8>, Unencodable> {
        let body = postcard::to_allocvec(value).map_err(|error| Unencodable { reason: error.to_string() })?;
        let since_1970 = saved_at.duration_since(UNIX_EPOCH).unwrap_or_default();
        let millis = u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX);
        let mut bytes = Vec::with_capacity(BODY_AT + body.len());
        bytes.extend(MARK);
        bytes.extend(self.name);
        bytes.extend(self.version.to_le_bytes());
        bytes.extend(millis.to_le_bytes());
        bytes.extend((body.len() as u64).to_le_bytes());
        let digest = digest(&bytes, &body);
        bytes.extend(digest);
        bytes.extend(body);
        Ok(bytes)
    }

    /// The value that the bytes of a file hold.
    ///
    /// # Errors
    ///
    /// What is wrong with them, as far as can be told: a file of another version is one of another version,
    /// whatever else may be wrong with it.
    pub fn decode<T: DeserializeOwned>(&self, bytes: &[u8]) -> Result<Saved<T>, Damage> {
        let mark = &bytes[..bytes.len().min(MARK.len())];
        if !MARK.starts_with(mark) {
            return Err(Damage::Foreign);
        }
        let found = bytes.len() as u64;
        if bytes.len() < BODY_AT {
            return Err(Damage::CutOff { bytes: found, expected: BODY_AT as u64 });
        }
        let name: [u8; 8] = part(bytes, NAME_AT);
        if name != self.name {
            let show = |name: [u8; 8]| String::from_utf8_lossy(&name).trim_end().to_string();
            return Err(Damage::Name { found: show(name), expected: show(self.name) });
        }
        let version = u32::from_le_bytes(part(bytes, VERSION_AT));
        if version != self.version {
            return Err(Damage::Version { found: version, supported: self.version });
        }
        let expected = u64::from_le_bytes(part(bytes, LENGTH_AT)).saturating_add(BODY_AT as u64);
        match found {
            _ if found < expected => return Err(Damage::CutOff { bytes: found, expected }),
            _ if found > expected => return Err(Damage::TooLong { bytes: found, expected }),
            _ => {}
        }
        let body = &bytes[BODY_AT..];
        if digest(&bytes[..DIGEST_AT], body) != part(bytes, DIGEST_AT) {
            return Err(Damage::Checksum);
        }
        let (value, rest) = postcard::take_from_bytes(body)
            .map_err(|error| Damage::Unreadable { reason: error.to_string() })?;
        if !rest.is_empty() {
            return Err(Damage::Unreadable { reason: alloc::format!("{} bytes are left over", rest.len()) });
        }
        let saved_at = Duration::from_millis(u64::from_le_bytes(part(bytes, SAVED_AT)));
        let saved_at = UNIX_EPOCH.checked_add(saved_at).ok_or(Damage::Checksum)?;
        Ok(Saved { value, saved_at })
    }
}

fn digest(head: &[u8], body: &[u8]) -> [u8; 32] {
    Sha256::new().chain_update(head).chain_update(body).finalize().into()
}

/// A field of the head, which is there.
fn part<const LENGTH: usize>(bytes: &[u8], at: usize) -> [u8; LENGTH] {
    bytes[at..at + LENGTH].try_into().expect("the head was found to be whole")
}
