//! Numbers, durations and texts as bytes, and back.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

/// The longest name or text that is written, in bytes; what is longer is cut.
const TEXT_MAX: usize = 255;

/// LEB128: seven bits a byte, the least significant first.
pub(super) fn put(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

pub(super) fn put_len(out: &mut Vec<u8>, number: usize) {
    put(out, number as u64);
}

/// A number that may be negative, small ones of either sign in a byte (zigzag).
pub(super) fn put_signed(out: &mut Vec<u8>, number: i64) {
    put(out, (number << 1 ^ number >> 63) as u64);
}

pub(super) fn put_word(out: &mut Vec<u8>, word: u64) {
    out.extend_from_slice(&word.to_le_bytes());
}

pub(super) fn put_duration(out: &mut Vec<u8>, duration: Duration) {
    put(out, duration.as_secs());
    put(out, duration.subsec_nanos().into());
}

pub(super) fn put_text(out: &mut Vec<u8>, text: &str) {
    let text = &text[..text.floor_char_boundary(TEXT_MAX)];
    put_len(out, text.len());
    out.extend_from_slice(text.as_bytes());
}

/// What is wrong with bytes that should say something.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Malformed(pub(super) &'static str);

pub(super) type Taken<T> = Result<T, Malformed>;

/// Reads from the front of some bytes.
pub(super) struct Take<'a>(&'a [u8]);

impl<'a> Take<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Bytes that are left.
    pub(super) const fn left(&self) -> usize {
        self.0.len()
    }

    pub(super) fn byte(&mut self) -> Taken<u8> {
        let (&first, rest) = self.0.split_first().ok_or(Malformed("it ends too early"))?;
        self.0 = rest;
        Ok(first)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Taken<[u8; N]> {
        let (first, rest) = self.0.split_first_chunk().ok_or(Malformed("it ends too early"))?;
        self.0 = rest;
        Ok(*first)
    }

    pub(super) fn word(&mut self) -> Taken<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub(super) fn number(&mut self) -> Taken<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits {
                break;
            }
            number |= bits << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(Malformed("a number of more than 64 bits"))
    }

    pub(super) fn signed(&mut self) -> Taken<i64> {
        let number = self.number()?;
        Ok((number >> 1) as i64 ^ -((number & 1) as i64))
    }

    /// A number of a narrower type.
    pub(super) fn narrow<T: TryFrom<u64>>(&mut self) -> Taken<T> {
        T::try_from(self.number()?).map_err(|_| Malformed("a number that is too large"))
    }

    pub(super) fn flag(&mut self) -> Taken<bool> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Malformed("neither yes nor no")),
        }
    }

    /// How many things follow that take a byte each at least.
    pub(super) fn len(&mut self) -> Taken<usize> {
        let len = self.narrow()?;
        if len > self.0.len() { Err(Malformed("a list that is longer than the rest")) } else { Ok(len) }
    }

    pub(super) fn duration(&mut self) -> Taken<Duration> {
        let (secs, nanos) = (self.number()?, self.narrow()?);
        if nanos >= 1_000_000_000 {
            return Err(Malformed("a duration with more than a second of nanoseconds"));
        }
        Ok(Duration::new(secs, nanos))
    }

    pub(super) fn text(&mut self) -> Taken<String> {
        let len = self.len()?;
        let (text, rest) = self.0.split_at(len);
        self.0 = rest;
        String::from_utf8(text.to_vec()).map_err(|_| Malformed("a text that is not UTF-8"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_is_taken_again() {
        for number in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX - 1, u64::MAX] {
            let mut bytes = Vec::new();
            put(&mut bytes, number);
            put_signed(&mut bytes, number as i64);
            put_duration(&mut bytes, Duration::new(number, 999_999_999));
            put_text(&mut bytes, "ä");
            let mut take = Take::new(&bytes);
            assert_eq!((take.number(), take.signed()), (Ok(number), Ok(number as i64)));
            assert_eq!(take.duration(), Ok(Duration::new(number, 999_999_999)));
            assert_eq!(take.text().as_deref(), Ok("ä"));
            assert!(take.is_empty());
        }
    }

    #[test]
    fn a_long_text_is_cut_between_two_characters() {
        let mut bytes = Vec::new();
        put_text(&mut bytes, &"ä".repeat(200));
        assert_eq!(Take::new(&bytes).text(), Ok("ä".repeat(127)));
    }

    #[test]
    fn what_is_no_number_or_no_list_is_refused() {
        assert!(Take::new(&[0x80; 9]).number().is_err());
        assert!(Take::new(&[0xff; 11]).number().is_err());
        assert!(Take::new(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2]).number().is_err());
        assert!(Take::new(&[5, 1, 2]).len().is_err());
        assert!(Take::new(&[1, 0xff]).text().is_err());
        assert!(Take::new(&[2]).flag().is_err());
    }
}
