//! Any bytes as the recording of a driver: it is refused, or replayed as far as it goes.

use dragnet_core::record::OpenError;
use dragnet_sim::flight::Flight;
use dragnet_sim::report::flight_html;

/// What a file begins with: the magic bytes and the format.
const FILE_HEAD: usize = 12;

/// Length and checksum.
const FRAME: usize = 8;

/// Larger files only take longer.
const BYTES_MAX: usize = 1 << 16;

/// Replays the bytes as they are, and then with the lengths and checksums of their blocks made right, so that
/// what is in the blocks is read whatever it is. Returns what came of each.
///
/// # Panics
///
/// When the engine breaks, or more is said to stand than there is.
pub fn run(data: &[u8]) -> Vec<String> {
    let data = &data[..data.len().min(BYTES_MAX)];
    vec![replay(data), replay(&mended(data))]
}

fn replay(file: &[u8]) -> String {
    let flight = match Flight::replay(file) {
        Ok(flight) => flight,
        Err(OpenError::CutOff { bytes }) => {
            assert!(bytes <= file.len() as u64, "{bytes} of {} bytes", file.len());
            return format!("cut off after {bytes}");
        }
        Err(refusal) => return refusal.to_string(),
    };
    assert!(flight.bytes <= file.len() as u64, "{} of {} bytes", flight.bytes, file.len());
    assert_eq!(flight.queries.is_empty(), flight.find("0").is_none());
    let page = flight_html(&flight, flight.slowest(), "fuzz");
    assert!(page.ends_with("</html>\n"));
    let contacts: usize = flight.queries.iter().map(|query| query.contacts.len()).sum();
    format!(
        "{} inputs, {} queries, {contacts} contacts, differs: {:?}, {}",
        flight.inputs,
        flight.queries.len(),
        flight.differs_at,
        flight.ending
    )
}

/// The same blocks, as far as there are any, as a writer would have framed them.
fn mended(data: &[u8]) -> Vec<u8> {
    let Some((head, mut rest)) = data.split_at_checked(FILE_HEAD) else { return data.to_vec() };
    let mut file = head.to_vec();
    while let Some((frame, after)) = rest.split_at_checked(FRAME) {
        let length = u32::from_le_bytes([frame[0], frame[1], frame[2], frame[3]]);
        let length = (length as usize).min(after.len());
        let (block, after) = after.split_at(length);
        let length = (length as u32).to_le_bytes();
        let mut crc = crc32fast::Hasher::new();
        crc.update(&length);
        crc.update(block);
        file.extend_from_slice(&length);
        file.extend_from_slice(&crc.finalize().to_le_bytes());
        file.extend_from_slice(block);
        rest = after;
    }
    file.extend_from_slice(rest);
    file
}
