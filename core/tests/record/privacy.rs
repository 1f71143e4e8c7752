//! What is in a recording, and what is not.

use dragnet_core::record::{Bodies, RecordConfig, Replay};

use crate::kit::recording_of;

fn holds(file: &[u8], words: &str) -> bool {
    file.windows(words.len()).any(|window| window == words.as_bytes())
}

#[test]
fn items_and_requests_are_left_out_and_names_if_that_is_wanted() {
    let file = recording_of(3, RecordConfig::default());
    assert!(!holds(&file, "secret") && holds(&file, "peer 1 of shelf") && holds(&file, "title"));
    let nameless = recording_of(3, RecordConfig::default().with_names(false));
    assert!(!holds(&nameless, "shelf"));
    let texts = recording_of(3, RecordConfig::default().with_texts(true));
    assert!(holds(&texts, "secret title") && !holds(&texts, "secret body"));
}

#[test]
fn the_key_of_the_hashes_is_in_the_file_only_where_that_was_chosen() {
    let key = |bodies| {
        let file = recording_of(3, RecordConfig::default().with_bodies(bodies));
        (holds(&file, "\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t"), Replay::open(&file[..]).expect("whole").head().key)
    };
    assert_eq!(key(Bodies::LeftOut), (false, None));
    assert_eq!(key(Bodies::Hashed), (true, Some([9; 16])));
}
