//! An engine's state as it is written down.

use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use serde::{Deserialize, Serialize};

use super::{AnswerState, ConditionsState, EngineState, ItemState, Judges, PeerState};
use crate::delivery::Agreement;
use crate::key::Key;
use crate::network::{Network, Source};
use crate::query::{Query, QueryConfig, Reason, Route};

/// An [`EngineState`] that can be serialised, for a network whose peers, requests and items can be:
/// validators and selectors stand there by the names that [`Judges`] gives them.
///
/// What it looks like is fixed for a version of the format only: a program that keeps it writes that
/// version beside it, as [`Format`](super::Format) does, and reads no other.
#[derive(Serialize, Deserialize)]
#[serde(bound(
    serialize = "N::Peer: Serialize, N::Request: Serialize, N::Item: Serialize",
    deserialize = "N::Peer: Deserialize<'de>, N::Request: Deserialize<'de>, N::Item: Deserialize<'de>"
))]
pub struct SavedState<N: Network> {
    peers: Vec<PeerState<N::Peer>>,
    conditions: ConditionsState,
    answers: Vec<SavedAnswer<N>>,
    hand: u32,
}

/// The version of what [`SavedState`] looks like, its own part of it: the network's types have theirs.
pub const SAVED_VERSION: u16 = 1;

#[derive(Serialize, Deserialize)]
#[serde(bound(
    serialize = "N::Peer: Serialize, N::Request: Serialize, N::Item: Serialize",
    deserialize = "N::Peer: Deserialize<'de>, N::Request: Deserialize<'de>, N::Item: Deserialize<'de>"
))]
struct SavedAnswer<N: Network> {
    question: SavedQuestion<N>,
    items: Vec<SavedItem<N>>,
    accepted: u32,
    reason: Reason,
    is_whole: bool,
    results_max: u32,
    age: Duration,
    took: Duration,
    is_used: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(bound(
    serialize = "N::Peer: Serialize, N::Request: Serialize",
    deserialize = "N::Peer: Deserialize<'de>, N::Request: Deserialize<'de>"
))]
struct SavedQuestion<N: Network> {
    request: N::Request,
    routes: Vec<SavedRoute>,
    peers: Vec<N::Peer>,
    providers: bool,
    disjoint: Option<Agreement>,
    validator: Option<String>,
    selector: Option<String>,
    config: QueryConfig,
}

#[derive(Serialize, Deserialize)]
enum SavedRoute {
    Walk { target: Key, source: Source },
    Delegated { source: Source },
}

#[derive(Serialize, Deserialize)]
#[serde(bound(
    serialize = "N::Peer: Serialize, N::Item: Serialize",
    deserialize = "N::Peer: Deserialize<'de>, N::Item: Deserialize<'de>"
))]
struct SavedItem<N: Network> {
    item: N::Item,
    from: Option<N::Peer>,
    response_time: Option<Duration>,
    source: Source,
    votes: u32,
    age: Duration,
}

impl<N: Network> SavedState<N> {
    /// The state as it can be written down, and how many answers are left out of it because `judges` has
    /// no name for their validator or selector.
    pub fn of(state: EngineState<N>, judges: &Judges<N>) -> (Self, usize) {
        let EngineState { peers, conditions, answers, hand } = state;
        let (before, all) = (hand.min(answers.len()), answers.len());
        let mut saved = Vec::with_capacity(all);
        let mut hand = 0;
        for (place, answer) in answers.into_iter().enumerate() {
            if place == before {
                hand = saved.len();
            }
            saved.extend(SavedAnswer::of(answer, judges));
        }
        let left_out = all - saved.len();
        let hand = u32::try_from(hand).unwrap_or(0);
        (Self { peers, conditions, answers: saved, hand }, left_out)
    }

    /// The state that was written down, and how many answers are left out of it because `judges` knows
    /// nobody of their validator's or selector's name.
    pub fn into_state(self, judges: &Judges<N>) -> (EngineState<N>, usize) {
        let Self { peers, conditions, answers, hand } = self;
        let (before, all) = (hand as usize, answers.len());
        let mut known = Vec::with_capacity(all);
        let mut hand = 0;
        for (place, answer) in answers.into_iter().enumerate() {
            if place == before {
                hand = known.len();
            }
            known.extend(answer.into_state(judges));
        }
        let left_out = all - known.len();
        (EngineState { peers, conditions, answers: known, hand }, left_out)
    }

    /// How many peers it knows.
    pub const fn peers(&self) -> usize {
        self.peers.len()
    }

    /// How many answers it keeps.
    pub const fn answers(&self) -> usize {
        self.answers.len()
    }
}

impl<N: Network> SavedAnswer<N> {
    fn of(answer: AnswerState<N>, judges: &Judges<N>) -> Option<Self> {
        let AnswerState { question, items, accepted, reason, is_whole, results_max, age, took, is_used } =
            answer;
        let Query { request, routes, peers, providers, validator, selector, disjoint, config } = question;
        // A judge without a name is one too many: its answer stays here.
        let validator = named(validator, |judge| judges.name_of_validator(judge))?;
        let selector = named(selector, |judge| judges.name_of_selector(judge))?;
        let route = |route: &Route<N>| match route {
            Route::Walk { target, source, .. } => SavedRoute::Walk { target: *target, source: *source },
            Route::Delegated { source } => SavedRoute::Delegated { source: *source },
        };
        let routes = routes.iter().map(route).collect();
        let item = |state: ItemState<N>| {
            let ItemState { item, from, response_time, source, votes, age } = state;
            SavedItem { item, from, response_time, source, votes, age }
        };
        let items = items.into_iter().map(item).collect();
        let question =
            SavedQuestion { request, routes, peers, providers, disjoint, validator, selector, config };
        Some(Self { question, items, accepted, reason, is_whole, results_max, age, took, is_used })
    }

    fn into_state(self, judges: &Judges<N>) -> Option<AnswerState<N>> {
        let Self { question, items, accepted, reason, is_whole, results_max, age, took, is_used } = self;
        let SavedQuestion { request, routes, peers, providers, disjoint, validator, selector, config } =
            question;
        let validator = known(validator, |name| judges.validator_named(name))?;
        let selector = known(selector, |name| judges.selector_named(name))?;
        let route = |route: SavedRoute| match route {
            SavedRoute::Walk { target, source } => Route::walk(target).in_source(source),
            SavedRoute::Delegated { source } => Route::delegated().in_source(source),
        };
        let routes = routes.into_iter().map(route).collect();
        let item = |saved: SavedItem<N>| {
            let SavedItem { item, from, response_time, source, votes, age } = saved;
            ItemState { item, from, response_time, source, votes, age }
        };
        let items = items.into_iter().map(item).collect();
        let question = Query { request, routes, peers, providers, validator, selector, disjoint, config };
        Some(AnswerState { question, items, accepted, reason, is_whole, results_max, age, took, is_used })
    }
}

/// The name of a judge: `Some(None)` of none at all, and `None` of one without a name.
fn named<'a, T: ?Sized>(
    judge: Option<Arc<T>>,
    name_of: impl Fn(&Arc<T>) -> Option<&'a str>,
) -> Option<Option<String>> {
    match judge {
        None => Some(None),
        Some(judge) => name_of(&judge).map(|name| Some(name.to_string())),
    }
}

/// The judge of a name: `Some(None)` of no name at all, and `None` of one that nobody has.
fn known<T: ?Sized>(
    name: Option<String>,
    judge_of: impl Fn(&str) -> Option<Arc<T>>,
) -> Option<Option<Arc<T>>> {
    match name {
        None => Some(None),
        Some(name) => judge_of(&name).map(Some),
    }
}

impl<N: Network> fmt::Debug for SavedState<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SavedState")
            .field("peers", &self.peers.len())
            .field("answers", &self.answers.len())
            .finish_non_exhaustive()
    }
}
