//! Kept answers as plain values, and back.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use hashbrown::HashTable;

use super::{Answer, Cache, Entry};
use crate::arena::NONE;
use crate::config::CacheConfig;
use crate::hash::Keyed;
use crate::lookup::{Kept, Origin, Question, accept};
use crate::network::Network;
use crate::query::Reason;
use crate::state::{AnswerState, ItemState, Restored};
use crate::time::{Time, nanos};

impl<N: Network> Cache<N> {
    /// The answers that `keep` wants, the oldest first; and where among them the hand stands.
    pub(crate) fn export(
        &self,
        now: Time,
        mut keep: impl FnMut(&mut AnswerState<N>) -> bool,
    ) -> (Vec<AnswerState<N>>, usize) {
        let mut answers = Vec::new();
        let mut hand = 0;
        let mut slot = self.oldest;
        while slot != NONE {
            // Where the hand's own is left out, it goes on with the next.
            if slot == self.hand {
                hand = answers.len();
            }
            let entry = &self.entries[slot];
            let mut state = entry.answer.export(now, &entry.question, entry.is_used);
            if keep(&mut state) {
                answers.push(state);
            }
            slot = entry.newer;
        }
        let hand = if hand < answers.len() { hand } else { 0 };
        (answers, hand)
    }

    /// Takes in what was kept `away` before now, the newest first as far as there is room: this cache is
    /// empty. `is_askable` says whether the engine would have begun such a query.
    pub(crate) fn restore(
        &mut self,
        now: Time,
        (answers, hand): (Vec<AnswerState<N>>, usize),
        away: Duration,
        hasher: Keyed,
        is_askable: impl Fn(&AnswerState<N>) -> bool,
        restored: &mut Restored,
    ) {
        for (place, mut state) in answers.into_iter().enumerate().rev() {
            state.age = state.age.saturating_add(away);
            state.items.iter_mut().for_each(|kept| kept.age = kept.age.saturating_add(away));
            if state.age >= self.config.served_for(state.items.is_empty()) {
                restored.answers_expired += 1;
                continue;
            }
            let is_kept = state.is_sound(hasher) && is_askable(&state);
            if !is_kept || !self.insert_oldest(now, state, hasher) {
                restored.answers_dropped += 1;
                continue;
            }
            restored.answers += 1;
            // The one at the hand, or the next that is newer: those come first.
            if place >= hand {
                self.hand = self.oldest;
            }
        }
    }

    /// Keeps an answer as the oldest, if there is room and it is not there already.
    fn insert_oldest(&mut self, now: Time, state: AnswerState<N>, hasher: Keyed) -> bool {
        let hash = Question::hash_of(&state.question, hasher);
        let is_used = state.is_used;
        let question = Arc::new(Question::of(&state.question));
        let answer = Answer::restored(now, state);
        let bytes = self.sizes.total(&question, &answer);
        let CacheConfig { entries_max, bytes_max, .. } = self.config;
        let has_room =
            self.entries.len() < entries_max && bytes <= bytes_max && self.bytes <= bytes_max - bytes;
        let is_it = |&slot: &u32| self.entries[slot].question.is_same(&question);
        if !has_room || self.index.find(hash, is_it).is_some() {
            return false;
        }
        let (answer, older, newer) = (Arc::new(answer), NONE, self.oldest);
        let slot = self.entries.insert(Entry { question, hash, answer, bytes, is_used, older, newer });
        let entries = &self.entries;
        self.index.insert_unique(hash, slot, |&slot| entries[slot].hash);
        *self.older_of(newer) = slot;
        self.oldest = slot;
        self.bytes += bytes;
        true
    }

    /// Counts those that an earlier cache has thrown out as this one's.
    pub(crate) const fn set_evicted(&mut self, evicted: u64) {
        self.evicted = evicted;
    }
}

impl<N: Network> Answer<N> {
    fn export(&self, now: Time, question: &Question<N>, is_used: bool) -> AnswerState<N> {
        let item = |Kept { item, origin, votes, at }: &Kept<N>| {
            let Origin { from, response_time, source } = origin.clone();
            let age = self.age_of(now, *at);
            ItemState { item: item.clone(), from, response_time, source, votes: *votes, age }
        };
        AnswerState {
            question: question.query().clone(),
            items: self.items.iter().map(item).collect(),
            accepted: self.accepted,
            reason: self.reason,
            is_whole: self.is_whole,
            results_max: self.results_max,
            age: self.age(now),
            took: self.took,
            is_used,
        }
    }

    fn restored(now: Time, state: AnswerState<N>) -> Self {
        let AnswerState { items, accepted, reason, is_whole, results_max, age, took, .. } = state;
        // In this process time may have begun after it.
        let before = age.saturating_sub(now.since(Time::ZERO));
        let at = |age| Time::from_nanos((now + before).as_nanos().saturating_sub(nanos(age)));
        let kept = |state: ItemState<N>| {
            let ItemState { item, from, response_time, source, votes, age } = state;
            let origin = Origin { from, response_time, source };
            Kept { item, origin, votes, at: at(age) }
        };
        let items = items.into_iter().map(kept).collect();
        Self { items, accepted, reason, is_whole, results_max, since: at(age), before, took }
    }
}

impl<N: Network> AnswerState<N> {
    /// Whether an engine can have kept it: what breaks its promises when it is given.
    fn is_sound(&self, hasher: Keyed) -> bool {
        let is_end = matches!(
            self.reason,
            Reason::EnoughResults | Reason::QuorumReached | Reason::Converged | Reason::Exhausted
        );
        let mut ids = HashTable::new();
        is_end
            && self.items.len() <= self.results_max as usize
            && self.items.iter().all(|kept| kept.age <= self.age)
            && self.items.iter().all(|kept| accept(&mut ids, &kept.item, hasher))
    }
}
