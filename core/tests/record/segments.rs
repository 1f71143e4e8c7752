//! A recording in two files, and one that begins when the engine is there already.

use std::fs;
use std::path::{Path, PathBuf};

use dragnet_core::record::{FileWriter, RecordConfig, RecordState, Replay, Stopped};

use crate::kit::{Desk, recorder, replay};

/// A folder of its own, gone at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("dragnet-record-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a temporary folder");
        Self(folder)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn read(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

const BYTES_MAX: u64 = 100_000;

fn small_files() -> RecordConfig {
    RecordConfig::default().with_bytes_max(BYTES_MAX).with_block_bytes(500).with_blocks_waiting_max(10_000)
}

#[test]
fn it_goes_on_in_another_file_and_each_replays_by_itself() {
    let folder = Folder::new("goes-on");
    let (recorder, writer, recording) = recorder(small_files());
    let mut desk = Desk::new();
    desk.engine.record(recorder);
    (0..150).for_each(|number| desk.search(number));
    drop(desk);
    let written = writer.create(&folder.file("it")).and_then(FileWriter::run).expect("there is room");
    assert_eq!(written.end, Stopped::Finished);
    let (older, newer) = (read(&folder.file("it.1")), read(&folder.file("it")));
    let bytes = (older.len() + newer.len()) as u64;
    assert!(bytes <= BYTES_MAX && bytes > BYTES_MAX / 3, "{bytes} bytes");
    let (same, different, ending) = replay(&older);
    assert_eq!((different, ending.as_str()), (0, "whole: it goes on in another file"));
    let (more, different, ending) = replay(&newer);
    assert_eq!((different, ending.as_str()), (0, "whole: finished"));
    assert!(((same + more) as u64) < recording.inputs(), "a third file has been thrown away");
    assert_eq!(recording.gaps(), 0);
}

#[test]
fn one_that_is_never_idle_pauses_at_its_bound_and_goes_on_when_it_is() {
    let folder = Folder::new("pauses");
    let (recorder, writer, recording) = recorder(small_files());
    let mut desk = Desk::new();
    desk.engine.record(recorder);
    // A query lives all the time.
    for number in 0..700 {
        desk.begin(number);
    }
    assert_eq!(recording.state(), RecordState::Paused { why: Stopped::Full });
    desk.answer_all();
    desk.search(3);
    assert_eq!((recording.state(), recording.gaps()), (RecordState::Recording, 1));
    (0..5).for_each(|number| desk.search(number));
    drop(desk);
    writer.create(&folder.file("it")).and_then(FileWriter::run).expect("there is room");
    let (_, different, ending) = replay(&read(&folder.file("it.1")));
    assert_eq!((different, ending.as_str()), (0, "whole: the file is as large as it may be"));
    let (same, different, ending) = replay(&read(&folder.file("it")));
    assert_eq!((different, ending.as_str()), (0, "whole: finished"));
    assert!(same > 10, "{same} inputs");
}

#[test]
fn an_engine_that_knows_something_is_recorded_from_its_next_idle_moment() {
    let mut desk = Desk::new();
    (0..9).for_each(|number| desk.search(number));
    desk.begin(20);
    let (recorder, writer, recording) = recorder(RecordConfig::default());
    desk.engine.record(recorder);
    assert_eq!(recording.state(), RecordState::NotBegun);
    desk.answer_all();
    // Kept answers are given again, though their validator is one that is heard by now.
    let hits = desk.engine.metrics().cache_hits;
    (0..9).for_each(|number| desk.search(number));
    assert_eq!(recording.state(), RecordState::Recording);
    assert!(desk.engine.metrics().cache_hits > hits);
    desk.engine.stop_recording();
    // And afterwards.
    let hits = desk.engine.metrics().cache_hits;
    (0..9).for_each(|number| desk.search(number));
    assert!(desk.engine.metrics().cache_hits > hits);
    assert_eq!(recording.state(), RecordState::Ended { why: Stopped::Finished, error: None });
    drop(desk);
    let mut file = Vec::new();
    writer.run(&mut file).expect("memory takes it");
    let (same, different, ending) = replay(&file);
    assert_eq!((different, ending.as_str()), (0, "whole: finished"));
    assert!(same >= 9, "{same} inputs");
    let replay = Replay::open(&file[..]).expect("whole");
    assert!(replay.engine().metrics().peers_known > 0, "it knows what the engine knew");
}

#[test]
fn an_earlier_recording_is_set_aside_and_any_other_file_is_left_alone() {
    let folder = Folder::new("aside");
    for searches in [1, 5] {
        let (recorder, writer, _) = recorder(RecordConfig::default());
        let mut desk = Desk::new();
        desk.engine.record(recorder);
        (0..searches).for_each(|number| desk.search(number));
        drop(desk);
        writer.create(&folder.file("it")).and_then(FileWriter::run).expect("there is room");
    }
    assert!(read(&folder.file("it.1")).len() < read(&folder.file("it")).len());
    fs::write(folder.file("letter"), "dear reader").expect("there is room");
    let (_recorder, writer, recording) = recorder(RecordConfig::default());
    let error = writer.create(&folder.file("letter")).expect_err("it is no recording").to_string();
    assert!(
        error.contains("letter: ") && error.ends_with("the file that is there is not a recording"),
        "{error}"
    );
    assert_eq!(read(&folder.file("letter")), b"dear reader");
    assert!(matches!(recording.state(), RecordState::Ended { why: Stopped::Unwritable, .. }));
}

/// Writes a recording of so many searches.
fn write(file: &Path, searches: u32) {
    let (recorder, writer, _) = recorder(RecordConfig::default());
    let mut desk = Desk::new();
    desk.engine.record(recorder);
    (0..searches).for_each(|number| desk.search(number));
    drop(desk);
    writer.create(file).and_then(FileWriter::run).expect("there is room");
}

#[test]
fn one_that_says_nothing_does_not_take_the_place_of_one_that_does() {
    let folder = Folder::new("nothing");
    let (file, aside) = (folder.file("it"), folder.file("it.1"));
    write(&file, 3);
    let good = read(&file);
    write(&file, 0);
    assert_eq!(read(&aside), good);
    for nothing in [read(&file), read(&file)[..30].to_vec(), Vec::new()] {
        fs::write(&file, nothing).expect("there is room");
        write(&file, 0);
        assert_eq!(read(&aside), good);
    }
    write(&file, 2);
    let newer = read(&file);
    // Cut off, or of another version, it may be worth something.
    for worth in [newer[..newer.len() - 15].to_vec(), [&newer[..8], &[9, 0, 0, 0]].concat()] {
        fs::write(&file, &worth).expect("there is room");
        write(&file, 0);
        assert_eq!(read(&aside), worth);
    }
}

#[test]
fn a_file_in_the_place_of_the_older_part_is_left_alone_if_it_is_no_recording() {
    let folder = Folder::new("aside-letter");
    fs::write(folder.file("it.1"), "dear reader").expect("there is room");
    let (_recorder, writer, _) = recorder(RecordConfig::default());
    let error = writer.create(&folder.file("it")).expect_err("it is in the way").to_string();
    assert!(
        error.ends_with("it.1 is in the place of the older part, and is not a recording: move it away"),
        "{error}"
    );
    assert_eq!(read(&folder.file("it.1")), b"dear reader");
}

#[test]
#[cfg(unix)]
fn nobody_but_its_owner_reads_a_recording() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new("mode");
    for _ in 0..2 {
        write(&folder.file("it"), 1);
        let mode = |name| fs::metadata(folder.file(name)).map(|data| data.permissions().mode() & 0o777);
        assert_eq!(mode("it").expect("it is there"), 0o600);
    }
}
