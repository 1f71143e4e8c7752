//! Files that are not what they should be.

use dragnet_core::record::{OpenError, RecordConfig, Replay, is_recording};

use crate::kit::{recording_of, replay};

fn small_blocks() -> RecordConfig {
    RecordConfig::default().with_block_bytes(300).with_blocks_waiting_max(10_000)
}

#[test]
fn cut_off_at_any_byte_what_is_whole_replays_and_the_cut_is_reported() {
    let file = recording_of(2, small_blocks());
    let (all, different, ending) = replay(&file);
    assert_eq!((different, ending.as_str()), (0, "whole: finished"));
    let (mut before, mut lengths) = (0, 0);
    // Each takes as long as all before it: not every one, but every place within a block.
    for length in (0..file.len()).step_by(5) {
        let cut = &file[..length];
        match Replay::open(cut) {
            Err(OpenError::NotARecording { .. }) => assert_eq!(length, 0),
            Err(OpenError::CutOff { bytes }) => assert_eq!(bytes, length as u64),
            Err(other) => panic!("{length}: {other}"),
            Ok(_) => {
                let (same, different, ending) = replay(cut);
                assert_eq!(different, 0, "{length}");
                assert!(ending.starts_with("cut off"), "{length}: {ending}");
                // No more is lost than one block.
                assert!(before <= same && same <= all, "{length}: {same} after {before} of {all}");
                lengths += usize::from(same > before);
                before = same;
            }
        }
    }
    assert!(before > all / 2 && lengths > 5, "{before} of {all} in {lengths} blocks");
}

#[test]
fn a_flipped_bit_is_found_and_all_before_its_block_replays() {
    let file = recording_of(2, small_blocks());
    let (all, ..) = replay(&file);
    for place in (0..file.len()).step_by(7) {
        let mut damaged = file.clone();
        damaged[place] ^= 1 << (place % 8);
        match Replay::open(&damaged[..]) {
            Err(OpenError::NotARecording { .. }) => assert!(place < 8, "{place}"),
            Err(OpenError::Format { .. }) => assert!((8..12).contains(&place), "{place}"),
            Err(OpenError::Damaged { .. } | OpenError::CutOff { .. }) => assert!(place >= 12, "{place}"),
            Err(other) => panic!("{place}: {other}"),
            Ok(_) => {
                let (same, different, ending) = replay(&damaged);
                assert_eq!(different, 0, "{place}");
                assert!(same <= all && !ending.starts_with("whole"), "{place}: {ending}");
            }
        }
    }
}

#[test]
fn any_number_of_heads_one_after_the_other_is_read() {
    use std::io::Read;
    const HEADS: u64 = 100_000;
    let file = recording_of(0, RecordConfig::default());
    let (start, rest) = file.split_at(12);
    let (head, end) = rest.split_at(rest.len() - 10);
    let heads = head.repeat(HEADS as usize);
    let mut replay = Replay::open(start.chain(&heads[..]).chain(end)).expect("its head stands");
    assert!(replay.next().is_none());
    assert_eq!(replay.ending().expect("it has ended").to_string(), "whole: finished");
    assert_eq!(replay.whole_bytes(), HEADS * head.len() as u64 + 22);
}

#[test]
fn another_file_and_another_format_are_named_as_such() {
    assert!(!is_recording(b"{\"dragnet_sim_record\":1}"));
    let error = Replay::open(&b"{\"dragnet_sim_record\":1}"[..]).expect_err("it is none");
    assert!(error.to_string().contains("not a recording of a driver"), "{error}");
    let mut file = recording_of(1, RecordConfig::default());
    assert!(is_recording(&file));
    file[8] = 2;
    let error = Replay::open(&file[..]).expect_err("it is of another format");
    assert!(
        error.to_string().contains("a recording of format 2, and this program reads format 1"),
        "{error}"
    );
}
