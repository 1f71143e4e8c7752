//! State as files: what is written is what is read, and nothing else is believed.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use dragnet_core::state::{
    Damage, Format, Judges, SAVED_VERSION, Saved, SavedState, StateDirectory, StateError,
};
use dragnet_core::{
    CachePolicy, Delivery, EngineConfig, Invalid, Item, Key, Network, Output, Query, QueryConfig,
    QueryEngine, Reply, Route, Selector, Time, Validator,
};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

/// Peers are numbers, and so is what they are asked and answer.
enum Numbers {}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Number(u32);

impl Item for Number {
    type Id = u32;

    fn id(&self) -> u32 {
        self.0
    }
}

impl Network for Numbers {
    type Peer = u32;
    type Request = u32;
    type Item = Number;

    fn key(peer: &u32) -> Key {
        Key::of(&peer.to_le_bytes())
    }
}

const FORMAT: Format = Format { name: *b"numbers ", version: SAVED_VERSION as u32 };
const BYTES_MAX: u64 = 1 << 20;

fn at(secs: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(secs)
}

struct Known {
    engine: QueryEngine<Numbers>,
    validator: Arc<dyn Validator<Numbers>>,
    selector: Arc<dyn Selector<Numbers>>,
}

impl Known {
    fn new() -> Self {
        Self {
            engine: QueryEngine::new(EngineConfig::default(), 0, [7; 32]),
            validator: Arc::new(|_: &u32, _: &Number| Ok::<_, Invalid>(())),
            selector: Arc::new(|_: &u32, one: &Number, other: &Number| one.0.cmp(&other.0)),
        }
    }

    /// The names of the two.
    fn judges(&self) -> Judges<Numbers> {
        let judges = Judges::new().validator("anything, 1", Arc::clone(&self.validator));
        judges.selector("the largest, 1", Arc::clone(&self.selector))
    }

    /// A query about a number that a peer of that number answers: unjudged, and judged.
    fn questions(&self, number: u32) -> [Query<Numbers>; 2] {
        let config = QueryConfig::balanced().with_cache(CachePolicy::Fresh);
        let plain = Query::new(number).fetch_from([number]).config(config.clone());
        let judged = Query::new(number)
            .route(Route::walk_from(Key::of(b"target"), vec![number]))
            .shared_validator(Arc::clone(&self.validator))
            .shared_selector(Arc::clone(&self.selector))
            .config(config.with_delivery(Delivery::BestAtEnd));
        [plain, judged]
    }

    /// Asks, answers with these numbers, and says how many contacts it took.
    fn ask(&mut self, query: Query<Numbers>, numbers: &[u32]) -> usize {
        self.engine.start(Time::ZERO, query).unwrap();
        let mut contacts = 0;
        while let Some(output) = self.engine.poll_output() {
            if let Output::Contact { request, .. } = output {
                contacts += 1;
                let items = numbers.iter().copied().map(Number).collect();
                self.engine.handle_reply(Time::from_millis(5), request, Reply::with_items(items));
            }
        }
        contacts
    }
}

/// Peers 1 and 2, and four answers.
fn known() -> Known {
    let mut known = Known::new();
    for number in [1, 2] {
        for query in known.questions(number) {
            assert_eq!(known.ask(query, &[10, 11]), 1);
        }
    }
    known
}

fn saved(known: &Known) -> SavedState<Numbers> {
    SavedState::of(known.engine.export(Time::from_millis(10)), &known.judges()).0
}

fn bytes() -> Vec<u8> {
    FORMAT.encode(&saved(&known()), at(1_000)).unwrap()
}

fn directory() -> (TempDir, StateDirectory) {
    let place = TempDir::new().unwrap();
    let directory = StateDirectory::open(place.path().join("some/where")).unwrap();
    (place, directory)
}

fn damage<T: std::fmt::Debug>(result: Result<T, StateError>) -> Damage {
    match result.unwrap_err() {
        StateError::Damaged { damage, .. } => damage,
        other => panic!("{other}"),
    }
}

#[test]
fn what_was_saved_is_known_in_the_next_process() {
    let (_place, directory) = directory();
    directory.save("numbers", FORMAT, &saved(&known()), at(1_000)).unwrap();

    let Saved { value, saved_at, .. } =
        directory.load::<SavedState<Numbers>>("numbers", FORMAT, BYTES_MAX).unwrap().unwrap();
    assert_eq!((saved_at, value.peers(), value.answers()), (at(1_000), 2, 4));
    // Other objects of the same names.
    let mut next = Known::new();
    let (state, left_out) = value.into_state(&next.judges());
    assert_eq!(left_out, 0);
    next.engine.restore(Time::ZERO, state, Duration::from_secs(1)).unwrap();
    for number in [1, 2] {
        for query in next.questions(number) {
            assert_eq!(next.ask(query, &[]), 0, "the answer is there");
        }
    }
    let other = next.questions(3)[0].clone();
    assert_eq!(next.ask(other, &[]), 1);
}

#[test]
fn answers_whose_judge_has_no_name_are_left_out_and_counted() {
    let known = known();
    let export = || known.engine.export(Time::ZERO);
    let (unjudged, left_out) = SavedState::of(export(), &Judges::new());
    assert_eq!((unjudged.peers(), unjudged.answers(), left_out), (2, 2, 2));
    let half = Judges::new().validator("anything, 1", Arc::clone(&known.validator));
    assert_eq!(SavedState::of(export(), &half).1, 2, "the selector has none");
    let others = Judges::new().validator("another, 1", Arc::new(|_: &u32, _: &Number| Ok::<_, Invalid>(())));
    let others = others.selector("the largest, 1", Arc::clone(&known.selector));
    assert_eq!(SavedState::of(export(), &others).1, 2, "one that does the same is another");
    // Saved under names that nobody has here.
    let (all, left_out) = SavedState::of(export(), &known.judges());
    assert_eq!(left_out, 0);
    let (state, left_out) = all.into_state(&half);
    assert_eq!((state.answers.len(), left_out), (2, 2));
}

#[test]
fn the_clock_set_back_is_seen() {
    let saved: Saved<u8> = FORMAT.decode(&FORMAT.encode(&7u8, at(1_000)).unwrap()).unwrap();
    assert_eq!(saved.age(at(1_060)), Some(Duration::from_secs(60)));
    assert_eq!(saved.age(at(999)), None);
}

/// Whoever changes what a state looks like has to change its version, or a file of an older program is
/// read as what it is not.
#[test]
fn a_file_of_this_version_is_read_for_ever() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/state/version-1.state");
    let old = fs::read(&path).unwrap();
    let written = bytes();
    if std::env::var_os("DRAGNET_WRITE").is_some() {
        fs::write(&path, &written).unwrap();
    }
    assert_eq!(old, written, "if it is meant: another SAVED_VERSION, and DRAGNET_WRITE=1");
    let value = FORMAT.decode::<SavedState<Numbers>>(&old).unwrap().value;
    assert_eq!((value.peers(), value.answers()), (2, 4));
}

#[test]
fn a_file_of_another_version_or_of_something_else_is_called_that() {
    let (_place, directory) = directory();
    directory.save("numbers", FORMAT, &7u8, at(1)).unwrap();
    let load = |format| damage(directory.load::<u8>("numbers", format, BYTES_MAX));
    let newer = load(Format { version: 9, ..FORMAT });
    assert_eq!(newer, Damage::Version { found: 1, supported: 9 });
    assert_eq!(newer.to_string(), "it is of version 1, and this program reads version 9 alone");
    assert_eq!(
        load(Format { name: *b"letters ", ..FORMAT }).to_string(),
        "it holds `numbers`, and should hold `letters`"
    );
    // Whole, and of the right version; but of another form.
    let error = damage(directory.load::<(u64, String)>("numbers", FORMAT, BYTES_MAX));
    assert!(matches!(error, Damage::Unreadable { .. }), "{error}");
    assert!(matches!(damage(directory.load::<()>("numbers", FORMAT, BYTES_MAX)), Damage::Unreadable { .. }));
    fs::write(directory.path().join("numbers"), b"{\"peers\": []}").unwrap();
    assert_eq!(load(FORMAT), Damage::Foreign);
}

#[test]
fn a_file_that_is_cut_off_or_too_large_says_how_far_it_goes() {
    let (_place, directory) = directory();
    let path = directory.path().join("numbers");
    let whole = bytes();
    let load = || damage(directory.load::<SavedState<Numbers>>("numbers", FORMAT, BYTES_MAX));
    fs::write(&path, &whole[..whole.len() - 1]).unwrap();
    let (bytes, expected) = (whole.len() as u64 - 1, whole.len() as u64);
    assert_eq!(load(), Damage::CutOff { bytes, expected });
    fs::write(&path, b"").unwrap();
    assert_eq!(load(), Damage::CutOff { bytes: 0, expected: 68 });
    fs::write(&path, [&whole[..], &[0]].concat()).unwrap();
    assert_eq!(load(), Damage::TooLong { bytes: expected + 1, expected });
    let bytes_max = expected - 1;
    fs::write(&path, &whole).unwrap();
    let large = damage(directory.load::<u8>("numbers", FORMAT, bytes_max));
    assert_eq!(large, Damage::TooLarge { bytes: expected, bytes_max });
}

#[test]
fn a_damaged_file_is_set_aside_and_no_more_than_four_are_kept() {
    let (_place, directory) = directory();
    let path = |name: &str| directory.path().join(name);
    assert_eq!(directory.set_aside("numbers").unwrap(), None);
    for number in 1..=6u8 {
        fs::write(path("numbers"), [number]).unwrap();
        assert_eq!(directory.set_aside("numbers").unwrap(), Some(path("numbers.damaged-1")));
        assert!(directory.load::<u8>("numbers", FORMAT, BYTES_MAX).unwrap().is_none());
    }
    let kept = (1..=5).map(|n| fs::read(path(&format!("numbers.damaged-{n}"))).unwrap_or_default());
    assert_eq!(kept.collect::<Vec<_>>(), [vec![6], vec![5], vec![4], vec![3], vec![]]);
}

#[test]
fn one_directory_is_for_one_program_at_a_time() {
    let (_place, directory) = directory();
    let path = directory.path().to_path_buf();
    let error = StateDirectory::open(&path).unwrap_err();
    assert!(matches!(error, StateError::InUse { .. }), "{error}");
    assert!(error.to_string().contains("some/where is in use"), "{error}");
    drop(directory);
    StateDirectory::open(&path).unwrap();
}

#[test]
fn two_saves_at_once_are_done_one_after_the_other() {
    let (_place, directory) = directory();
    let saves = |number: u8| {
        let value = vec![number; 1 << 16];
        let directory = &directory;
        move || (0..50).try_for_each(|_| directory.save("numbers", FORMAT, &value, at(1)).map(drop))
    };
    std::thread::scope(|scope| {
        let all = [1, 2].map(|number| scope.spawn(saves(number)));
        for one in all {
            one.join().unwrap().unwrap();
        }
    });
    let saved = directory.load::<Vec<u8>>("numbers", FORMAT, BYTES_MAX).unwrap().unwrap();
    assert_eq!(saved.value.len(), 1 << 16);
    assert!(!directory.path().join("numbers.new").exists());
}

#[test]
fn where_nothing_can_be_written_the_error_says_what_and_where() {
    let (place, directory) = directory();
    let file = place.path().join("file");
    fs::write(&file, b"").unwrap();
    let error = StateDirectory::open(file.join("below")).unwrap_err();
    assert!(error.to_string().contains("file/below cannot be made"), "{error}");
    // What a crash has left in the middle of writing is in nobody's way.
    fs::write(directory.path().join("numbers.new"), b"half").unwrap();
    directory.save("numbers", FORMAT, &7u8, at(1)).unwrap();
    assert!(!directory.path().join("numbers.new").exists());
    // Something is there that cannot be removed: the old file stays.
    fs::create_dir_all(directory.path().join("numbers.new/below")).unwrap();
    let error = directory.save("numbers", FORMAT, &8u8, at(2)).unwrap_err();
    assert!(error.to_string().contains("numbers.new cannot be removed"), "{error}");
    let saved = directory.load::<u8>("numbers", FORMAT, BYTES_MAX).unwrap().unwrap();
    assert_eq!(saved.value, 7);
    // The directory is gone.
    fs::remove_dir_all(directory.path()).unwrap();
    let error = directory.save("numbers", FORMAT, &8u8, at(2)).unwrap_err();
    assert!(error.to_string().contains("numbers.new cannot be written"), "{error}");
}

#[cfg(unix)]
#[test]
fn nobody_but_the_owner_can_read_it() {
    use std::os::unix::fs::PermissionsExt;
    let (_place, directory) = directory();
    directory.save("numbers", FORMAT, &7u8, at(1)).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&directory.path().join("numbers")), 0o600);
    assert_eq!(mode(directory.path()), 0o700);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_byte_that_has_changed_is_found_wherever_it_is(place in any::<prop::sample::Index>(), by in 1u8..) {
        let mut changed = bytes();
        let place = place.index(changed.len());
        changed[place] ^= by;
        let result = FORMAT.decode::<SavedState<Numbers>>(&changed);
        prop_assert!(result.is_err(), "byte {place} changed by {by}");
    }

    #[test]
    fn a_cut_is_found_wherever_it_is(place in any::<prop::sample::Index>()) {
        let whole = bytes();
        let cut = &whole[..place.index(whole.len())];
        let is_cut = matches!(FORMAT.decode::<SavedState<Numbers>>(cut), Err(Damage::CutOff { .. }));
        prop_assert!(is_cut);
    }

    /// Past the checksum, as if a program had written it: no panic, and what is read does no harm.
    #[test]
    fn no_body_breaks_an_engine(body in prop::collection::vec(any::<u8>(), 0..600), cut in any::<bool>()) {
        let known = known();
        let mut whole = postcard_of(&saved(&known));
        for (byte, other) in whole.iter_mut().zip(&body) {
            // Mostly what it was.
            *byte = if other % 16 == 0 { other / 16 } else { *byte };
        }
        let body = if cut { &body[..] } else { &whole[..] };
        let bytes = FORMAT.encode(&Raw(body), at(1)).unwrap();
        if let Ok(Saved { value, .. }) = FORMAT.decode::<SavedState<Numbers>>(&bytes) {
            let mut next = Known::new();
            let state = value.into_state(&next.judges()).0;
            next.engine.restore(Time::ZERO, state, Duration::from_secs(1)).unwrap();
            for query in next.questions(1) {
                next.ask(query, &[1, 1, 2]);
            }
            next.engine.handle_tick(Time::from_millis(100_000));
            while next.engine.poll_output().is_some() {}
            prop_assert_eq!(next.engine.live_state(), Default::default());
        }
    }
}

/// Bytes that are written as they are.
struct Raw<'a>(&'a [u8]);

impl Serialize for Raw<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeTuple;
        let mut tuple = serializer.serialize_tuple(self.0.len())?;
        self.0.iter().try_for_each(|byte| tuple.serialize_element(byte))?;
        tuple.end()
    }
}

/// The body of a file that holds this.
fn postcard_of(state: &SavedState<Numbers>) -> Vec<u8> {
    FORMAT.encode(state, at(1)).unwrap()[68..].to_vec()
}
