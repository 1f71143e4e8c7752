//! Any bytes as a file of an engine's state, and as the body of one whose checksum fits: what is read of it
//! breaks no promise of the engine that takes it in.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use dragnet_core::state::{Format, Judges, SAVED_VERSION, SavedState};
use dragnet_core::{
    CachePolicy, EngineConfig, EngineState, Invalid, Item, Key, LiveState, Network, Output, QueryEngine,
    Reply, Time,
};
use serde::ser::SerializeTuple;
use serde::{Deserialize, Serialize, Serializer};

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

/// Reads the bytes both ways. Returns what each has come to.
///
/// # Panics
///
/// When an engine that has taken in what was read gives an item twice, keeps anything of a query that has
/// ended, or knows more than it may.
pub fn run(data: &[u8]) -> Vec<String> {
    let wrapped = FORMAT.encode(&Raw(data), SystemTime::UNIX_EPOCH).expect("bytes are bytes");
    [data, &wrapped].map(read).into()
}

fn read(bytes: &[u8]) -> String {
    match FORMAT.decode::<SavedState<Numbers>>(bytes) {
        Err(damage) => damage.to_string(),
        Ok(saved) => {
            let judges =
                Judges::new().validator("anything, 1", Arc::new(|_: &u32, _: &Number| Ok::<_, Invalid>(())));
            let (state, left_out) = saved.value.into_state(&judges);
            format!("{}, {left_out} left out", take_in(state))
        }
    }
}

fn take_in(state: EngineState<Numbers>) -> String {
    let questions: Vec<_> = state.answers.iter().map(|answer| answer.question.clone()).collect();
    let mut engine = QueryEngine::<Numbers>::new(EngineConfig::default(), 0, [7; 32]);
    let restored = engine.restore(Time::ZERO, state, Duration::from_secs(1)).expect("it is fresh");
    assert!(engine.peers(Time::ZERO).count() <= engine.config().caps.peers_max);
    for mut question in questions.into_iter().take(8) {
        question.config.cache = CachePolicy::Stale;
        // One that may not be asked is not, as of anybody.
        let Ok(id) = engine.start(Time::ZERO, question) else { continue };
        let mut seen = HashSet::new();
        let mut is_over = false;
        while let Some(output) = engine.poll_output() {
            match output {
                Output::Contact { request, .. } => {
                    engine.handle_reply(Time::from_millis(1), request, Reply::with_items(vec![Number(1)]));
                }
                Output::Found { query, found } if query == id => {
                    assert!(!is_over && seen.insert(found.item.0), "{found:?} twice, or after the end");
                }
                Output::Finished { query, .. } if query == id => is_over = true,
                _ => {}
            }
        }
        engine.cancel(Time::from_millis(1), id);
        engine.cancel_refreshes(Time::from_millis(1));
        while engine.poll_output().is_some() {}
        assert_eq!(engine.live_state(), LiveState::default(), "something is left of a query");
    }
    format!("{restored:?}")
}

/// Bytes that are written as they are.
struct Raw<'a>(&'a [u8]);

impl Serialize for Raw<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut tuple = serializer.serialize_tuple(self.0.len())?;
        self.0.iter().try_for_each(|byte| tuple.serialize_element(byte))?;
        tuple.end()
    }
}
