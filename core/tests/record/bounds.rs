//! Nothing grows, nothing waits, and the engine goes on whatever becomes of its recording.

use std::io::{self, Write};
use std::time::Duration;

use dragnet_core::record::{FileWriter, RecordConfig, RecordState, Stopped};

use crate::kit::{Desk, recorder, replay};

fn ended(why: Stopped) -> RecordState {
    RecordState::Ended { why, error: None }
}

#[test]
fn one_file_ends_at_its_bound_and_all_that_is_in_it_replays() {
    for bytes_max in [0, 11, 200, 400, 3_000, 20_000] {
        let config = RecordConfig::default()
            .with_bytes_max(bytes_max)
            .with_two_files(false)
            .with_block_bytes(500)
            .with_blocks_waiting_max(1_000);
        let (recorder, writer, recording) = recorder(config);
        let mut desk = Desk::new();
        desk.engine.record(recorder);
        (0..60).for_each(|number| desk.search(number));
        let why = if bytes_max < 200 { Stopped::TooLarge } else { Stopped::Full };
        assert_eq!(recording.state(), ended(why), "{bytes_max}");
        let mut file = Vec::new();
        let written = writer.run(&mut file).expect("memory takes it");
        assert_eq!((written.bytes, written.end), (file.len() as u64, why));
        assert!(file.len() as u64 <= bytes_max, "{} bytes", file.len());
        if bytes_max < 200 {
            assert_eq!(file.len(), 0, "what has no head is no recording");
        } else {
            let (_, different, ending) = replay(&file);
            assert_eq!((different, ending.as_str()), (0, "whole: the file is as large as it may be"));
        }
        // The engine goes on.
        desk.search(100);
    }
}

#[test]
fn a_writer_that_falls_behind_ends_the_recording_and_not_the_engine() {
    let config =
        RecordConfig::default().with_two_files(false).with_block_bytes(100).with_blocks_waiting_max(4);
    let (recorder, writer, recording) = recorder(config);
    let mut desk = Desk::new();
    desk.engine.record(recorder);
    (0..20).for_each(|number| desk.search(number));
    assert_eq!(recording.state(), ended(Stopped::Behind));
    let mut file = Vec::new();
    writer.run(&mut file).expect("memory takes it");
    let (same, different, ending) = replay(&file);
    assert_eq!((different, ending.as_str()), (0, "whole: the writer did not keep up"));
    assert_eq!(same as u64, recording.inputs());
    assert!(same > 0);
}

#[test]
fn a_writer_that_is_dropped_ends_the_recording_and_not_the_engine() {
    let (recorder, writer, recording) = recorder(RecordConfig::default());
    let mut desk = Desk::new();
    assert_eq!(recording.state(), RecordState::NotBegun);
    desk.engine.record(recorder);
    desk.search(0);
    assert_eq!(recording.state(), RecordState::Recording);
    drop(writer);
    (1..9).for_each(|number| desk.search(number));
    assert_eq!(recording.state(), ended(Stopped::NoWriter));
}

/// Takes so many bytes, and no more.
struct SmallDisk {
    taken: Vec<u8>,
    room: usize,
}

impl Write for SmallDisk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let fits = bytes.len().min(self.room);
        if fits == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.taken.extend_from_slice(&bytes[..fits]);
        self.room -= fits;
        Ok(fits)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn on_a_disk_that_fills_up_what_was_written_whole_replays() {
    let config = RecordConfig::default().with_block_bytes(400).with_blocks_waiting_max(1_000);
    let (recorder, writer, recording) = recorder(config);
    let mut desk = Desk::new();
    desk.engine.record(recorder);
    (0..20).for_each(|number| desk.search(number));
    let mut disk = SmallDisk { taken: Vec::new(), room: 3_000 };
    let error = writer.run(&mut disk).expect_err("the disk is full");
    assert!(error.to_string().starts_with("the recording ends after "), "{error}");
    let RecordState::Ended { why: Stopped::Unwritable, error: Some(said) } = recording.state() else {
        panic!("{:?}", recording.state());
    };
    assert!(error.to_string().ends_with(&said), "{said}");
    let (same, different, ending) = replay(&disk.taken);
    assert!(same > 0 && different == 0 && ending.starts_with("cut off"), "{same}, {ending}");
    desk.search(1);
}

#[test]
#[cfg(target_os = "linux")]
fn the_error_of_a_full_disk_names_the_file() {
    let (recorder, writer, recording) = recorder(RecordConfig::default());
    let mut desk = Desk::new();
    desk.engine.record(recorder);
    desk.search(0);
    let error = writer.create("/dev/full".as_ref()).and_then(FileWriter::run).expect_err("it is full");
    let said = error.to_string();
    assert!(said.starts_with("/dev/full: the recording ends after 0 bytes: No space left"), "{said}");
    desk.search(1);
    desk.engine.stop_recording();
    assert!(matches!(recording.state(), RecordState::Ended { why: Stopped::Unwritable, .. }));
}

#[test]
fn a_block_is_handed_over_after_a_while_however_small_it_is() {
    let config = RecordConfig::default().with_flush_every(Duration::from_millis(20));
    let (recorder, _writer, recording) = recorder(config);
    let mut desk = Desk::new();
    desk.engine.record(recorder);
    desk.begin(0);
    // Answers are seven milliseconds apart.
    desk.answer(5);
    assert_eq!(recording.inputs(), 4);
}

#[test]
fn an_engine_that_is_idle_has_handed_everything_over() {
    let (recorder, _writer, recording) = recorder(RecordConfig::default());
    let mut desk = Desk::new();
    desk.engine.record(recorder);
    desk.begin(0);
    assert_eq!(recording.inputs(), 0);
    desk.answer_all();
    let inputs = recording.inputs();
    assert!(inputs > 8, "{inputs}");
    // But nobody is overrun: the queue is kept for those that are full.
    (0..1_000).for_each(|_| desk.engine.handle_tick(desk.now));
    assert!(recording.inputs() > inputs && recording.inputs() < inputs + 40);
    assert_eq!(recording.state(), RecordState::Recording);
}

/// Judges, until it has had enough.
fn panics(_: &String, book: &dragnet_core::doc::Book) -> Result<(), dragnet_core::Invalid> {
    assert!(book.isbn != 3, "a fault of the validator");
    Ok(())
}

#[test]
fn what_led_to_a_panic_is_in_the_recording() {
    use dragnet_core::{Output, Query, Reply};
    let (recorder, writer, _) = recorder(RecordConfig::default());
    let mut desk = Desk::new();
    desk.engine.record(recorder);
    let fall = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
        let peers = (0..8).map(|n| format!("peer {n}"));
        let query = Query::new("title".to_string()).fetch_from(peers).validator(panics);
        desk.engine.start(desk.now, query).expect("there is room");
        for isbn in 0..8 {
            let book = dragnet_core::doc::Book { isbn, title: format!("{isbn}") };
            while let Some(output) = desk.engine.poll_output() {
                if let Output::Contact { request, .. } = output {
                    desk.engine.handle_reply(desk.now, request, Reply::with_items(vec![book]));
                    break;
                }
            }
        }
    }));
    assert!(fall.is_err());
    let mut file = Vec::new();
    writer.run(&mut file).expect("memory takes it");
    assert_eq!(replay(&file), (4, 0, "whole: finished".to_string()));
}

#[test]
fn a_head_that_is_nearly_as_large_as_the_file_may_be_does_not_end_it_at_every_block() {
    let (recorder, writer, _) = recorder(RecordConfig::default().with_names(false));
    let mut desk = Desk::new();
    (0..15).for_each(|number| desk.search(number));
    desk.engine.record(recorder);
    desk.engine.stop_recording();
    let mut head = Vec::new();
    writer.run(&mut head).expect("memory takes it");
    let bytes_max = 2 * (head.len() as u64 * 5 / 4);
    let config = RecordConfig::default().with_names(false).with_bytes_max(bytes_max).with_block_bytes(50);
    let (recorder, writer, recording) = crate::kit::recorder(config);
    desk.engine.record(recorder);
    (0..5).for_each(|_| desk.engine.handle_tick(desk.now));
    desk.engine.stop_recording();
    assert_eq!(recording.inputs(), 5);
    let mut file = Vec::new();
    // A stream has no place for another file.
    assert_eq!(writer.run(&mut file).expect("memory takes it").end, Stopped::Finished);
}
