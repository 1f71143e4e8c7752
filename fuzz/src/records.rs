//! Any text as the file of a recorded run: it is refused, or it is a run that can be set up again.

use std::path::Path;

use dragnet_sim::record::{Record, RecordError};

use crate::scenarios;

/// Parses the text; if it is a record, checks it, writes it down, reads that again and compares the two.
/// Returns the refusal, or the record.
///
/// # Panics
///
/// When an accepted record has faults or a scenario that cannot be, or differs when read again.
pub fn run(data: &[u8]) -> Vec<String> {
    let Ok(text) = str::from_utf8(data) else { return vec!["not UTF-8".to_owned()] };
    let record = match parse(text) {
        Ok(record) => record,
        Err(refusal) => return vec![refusal.to_string()],
    };
    let written = serde_json::to_string(&record).expect("an accepted record can be written");
    let again = parse(&written).expect("an accepted record is accepted again");
    assert_eq!(again, record, "what is read again is the same");
    assert_eq!(record.difference(&again), None);
    scenarios::check(&record.scenario);
    assert!(record.faults.iter().all(|fault| fault.check().is_ok()), "{:?}", record.faults);

    let mut other = again;
    other.digest.push('x');
    let difference = record.difference(&other).expect("the digests differ");
    vec![format!("{record:?}"), difference.what]
}

fn parse(text: &str) -> Result<Record, RecordError> {
    Record::parse(text, Path::new("fuzz.json"))
}
