//! Any bytes as an answer of the Kademlia protocol: what is kept of it is within the bounds.

use bytes::Bytes;
use dragnet_libp2p::kad_messages::{AnswerError, AnswerLimits, Answered, NamedPeer, Question};
use libp2p::kad::RecordKey;

/// Decodes the bytes as the answer to each question, under wide and under narrow bounds. Returns what is made
/// of them.
///
/// # Panics
///
/// When something is over a bound or appears from nowhere, or what is kept differs when it is sent again.
pub fn run(data: &[u8]) -> Vec<String> {
    let key = RecordKey::from(b"k".to_vec());
    let questions =
        [Question::GetValue(key.clone()), Question::GetProviders(key.clone()), Question::FindNode(key)];
    let narrow = AnswerLimits { bytes_max: 300, value_bytes_max: 4, addresses_max: 2 };
    let limits = [AnswerLimits::default(), narrow];
    questions
        .iter()
        .flat_map(|question| limits.iter().map(move |limits| decode(question, limits, data)))
        .collect()
}

fn decode(question: &Question, limits: &AnswerLimits, data: &[u8]) -> String {
    let decoded = question.decode_answer(Bytes::copy_from_slice(data), limits);
    let too_long = matches!(decoded, Err(AnswerError::TooLong { .. }));
    assert_eq!(too_long, data.len() > limits.bytes_max, "{} bytes", data.len());
    let answered = match decoded {
        Ok(answered) => answered,
        Err(refusal) => return refusal.to_string(),
    };
    // A peer or a record takes its tag and its length at least.
    let record = usize::from(answered.record.is_some());
    let counted = answered.closer.len() + answered.providers.len() + record + answered.invalid as usize;
    assert!(counted <= data.len() / 2, "{counted} parts in {} bytes", data.len());
    for peer in answered.closer.iter().chain(&answered.providers) {
        assert!(peer.addresses.len() <= limits.addresses_max, "{peer:?}");
    }
    match question {
        Question::GetValue(_) => assert_eq!(answered.providers, []),
        Question::GetProviders(_) => assert_eq!(answered.record, None),
        _ => assert!(answered.providers.is_empty() && answered.record.is_none()),
    }
    if let Some(record) = &answered.record {
        assert!(record.key == *question.key() && record.value.len() <= limits.value_bytes_max, "{record:?}");
    }
    sent_again_reads_the_same(question, &answered);
    // Not with its record's time of expiry, which is reckoned from now.
    let Answered { closer, providers, invalid, .. } = &answered;
    let value = answered.record.as_ref().map(|record| (&record.value, record.publisher));
    let expires = answered.record.as_ref().is_some_and(|record| record.expires.is_some());
    format!(
        "value: {value:?}, expires: {expires}, closer: {closer:?}, providers: {providers:?}, invalid: {invalid}"
    )
}

fn sent_again_reads_the_same(question: &Question, answered: &Answered) {
    let mut message = question.encode().to_vec();
    for (number, peers) in [(8, &answered.closer), (9, &answered.providers)] {
        for peer in peers {
            field(number, &encode(peer), &mut message);
        }
    }

    // Ids and lengths may be written shorter than here, and the question's key left out.
    let limits = AnswerLimits { bytes_max: usize::MAX, ..AnswerLimits::default() };
    let again = question.decode_answer(message.into(), &limits).expect("what was kept can be sent");
    assert_eq!((&again.closer, &again.providers), (&answered.closer, &answered.providers));
    assert_eq!(again.invalid, 0);
}

fn encode(peer: &NamedPeer) -> Vec<u8> {
    let mut encoded = Vec::new();
    field(1, &peer.id.to_bytes(), &mut encoded);
    for address in &peer.addresses {
        field(2, &address.to_vec(), &mut encoded);
    }
    encoded
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
