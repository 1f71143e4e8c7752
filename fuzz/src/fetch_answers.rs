//! Any bytes as an answer of the fetch protocol: what is kept of it is within the bounds.

use bytes::Bytes;
use dragnet_libp2p::FetchItem;
use dragnet_libp2p::exchange::{AnswerError, FetchConfig, Fetched};

/// Decodes the bytes under wide and under narrow bounds. Returns what is made of them.
///
/// # Panics
///
/// When an item is over a bound or appears from nowhere, or the kept ones differ when they are sent again.
pub fn run(data: &[u8]) -> Vec<String> {
    let narrow = FetchConfig {
        response_bytes_max: 200,
        items_max: 4,
        id_bytes_max: 8,
        body_bytes_max: 32,
        ..FetchConfig::default()
    };
    [FetchConfig::default(), narrow].iter().map(|config| decode(config, data)).collect()
}

fn decode(config: &FetchConfig, data: &[u8]) -> String {
    let decoded = config.decode_answer(Bytes::copy_from_slice(data));
    let too_long = matches!(decoded, Err(AnswerError::TooLong { .. }));
    assert_eq!(too_long, data.len() > config.response_bytes_max, "{} bytes", data.len());
    let fetched = match decoded {
        Ok(fetched) => fetched,
        Err(refusal) => return refusal.to_string(),
    };
    assert!(fetched.items.len() <= config.items_max, "{} items", fetched.items.len());
    // An item takes its tag and its length at least.
    let counted = fetched.items.len() + fetched.invalid as usize;
    assert!(counted <= data.len() / 2, "{counted} items in {} bytes", data.len());
    for item in &fetched.items {
        let within = (1..=config.id_bytes_max).contains(&item.id.len());
        assert!(within && item.body.len() <= config.body_bytes_max, "{item:?}");
    }
    let again = config.decode_answer(encode(&fetched.items).into());
    let expected = Fetched { items: fetched.items.clone(), invalid: 0 };
    assert_eq!(again, Ok(expected), "what is sent again is read again");
    format!("{fetched:?}")
}

/// The shortest encoding of an answer.
fn encode(items: &[FetchItem]) -> Vec<u8> {
    let mut answer = Vec::new();
    for item in items {
        let mut encoded = Vec::new();
        field(1, &item.id, &mut encoded);
        if !item.body.is_empty() {
            field(2, &item.body, &mut encoded);
        }
        field(1, &encoded, &mut answer);
    }
    answer
}

/// A field of bytes: its tag, its length as a varint, the bytes.
fn field(number: u8, bytes: &[u8], to: &mut Vec<u8>) {
    to.push(number << 3 | 2);
    let mut length = bytes.len();
    while length >= 0x80 {
        to.push(length as u8 | 0x80);
        length >>= 7;
    }
    to.push(length as u8);
    to.extend_from_slice(bytes);
}
