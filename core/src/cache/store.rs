//! Answers that are kept, bounded by number and bytes.
//!
//! When there is no room the least useful goes first, by SIEVE (Zhang et al., NSDI 2024): one queue in
//! the order of coming, and a hand that passes from the oldest to the newest, takes the mark of use from
//! those that have been used since it last came by, and throws out the first that has not, or that is too
//! old for everybody. It costs a bit and two links, draws nothing at random, and a scan of questions that
//! nobody asks twice drives out itself.

mod state;

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use hashbrown::HashTable;

use super::sizes::Sizes;
use super::{CachePolicy, Cached};
use crate::arena::{Arena, NONE};
use crate::config::CacheConfig;
use crate::lookup::{Kept, Question};
use crate::network::Network;
use crate::query::{Query, Reason};
use crate::time::Time;

pub(crate) struct Cache<N: Network> {
    config: CacheConfig,
    entries: Arena<Entry<N>>,
    index: HashTable<u32>,
    /// The two ends of the queue.
    newest: u32,
    oldest: u32,
    /// Where the search for one to throw out goes on; at the oldest, if nowhere.
    hand: u32,
    bytes: usize,
    evicted: u64,
    sizes: Sizes,
}

/// What a piece of work has come to.
pub(crate) struct Answer<N: Network> {
    pub(crate) items: Vec<Kept<N>>,
    /// How many of them were delivered as they were found; the others when nobody was left to ask.
    pub(crate) accepted: u32,
    pub(crate) reason: Reason,
    /// Whether there was no more to be found.
    pub(crate) is_whole: bool,
    /// The most that was wanted by those whose answer it was.
    pub(crate) results_max: u32,
    /// When its oldest item was delivered, or when it was found that there is none.
    pub(crate) since: Time,
    /// How long before the origin of time that was, if it was: then its times count from so much earlier.
    pub(crate) before: Duration,
    /// How long the work took.
    pub(crate) took: Duration,
}

pub(super) struct Entry<N: Network> {
    question: Arc<Question<N>>,
    hash: u64,
    answer: Arc<Answer<N>>,
    bytes: usize,
    is_used: bool,
    older: u32,
    newer: u32,
}

/// A kept answer that serves a query.
pub(crate) struct Hit<N: Network> {
    pub(crate) answer: Arc<Answer<N>>,
    pub(crate) cached: Cached,
}

impl<N: Network> Cache<N> {
    pub(crate) const fn new(config: CacheConfig) -> Self {
        Self {
            config,
            entries: Arena::new(),
            index: HashTable::new(),
            newest: NONE,
            oldest: NONE,
            hand: NONE,
            bytes: 0,
            evicted: 0,
            sizes: Sizes::of::<N>(),
        }
    }

    /// A kept answer that the query accepts; it counts as used. Expiry is computed here: nothing happens
    /// when it comes.
    pub(crate) fn look_up(&mut self, now: Time, hash: u64, query: &Query<N>) -> Option<Hit<N>> {
        let allows_stale = match query.config.cache {
            CachePolicy::Skip | CachePolicy::Refresh => return None,
            CachePolicy::Fresh => false,
            CachePolicy::Stale => true,
        };
        let is_it = |&slot: &u32| self.entries[slot].question.is_asked_by(query);
        let slot = *self.index.find(hash, is_it)?;
        let answer = &self.entries[slot].answer;
        let age = answer.age(now);
        let is_stale = age >= self.config.fresh_for(answer.items.is_empty());
        if is_stale && self.is_over(now, answer) {
            self.remove(slot);
            return None;
        }
        let is_young = age <= query.config.max_age && (allows_stale || !is_stale);
        if !is_young || !answer.serves(query.config.max_results) {
            return None;
        }
        let answer = Arc::clone(answer);
        self.entries[slot].is_used = true;
        Some(Hit { answer, cached: Cached { age, is_stale } })
    }

    /// Keeps an answer in the place of an older one to the same question, and of the least useful ones if
    /// there is no room. One that is fresh, and serves more than a part that is newer, stays.
    pub(crate) fn keep(&mut self, now: Time, hash: u64, question: &Arc<Question<N>>, answer: Answer<N>) {
        let is_it = |&slot: &u32| self.entries[slot].question.is_same(question);
        let earlier = self.index.find(hash, is_it).copied();
        let stays = |slot| {
            let earlier = &self.entries[slot].answer;
            let is_fresh = earlier.age(now) < self.config.fresh_for(earlier.items.is_empty());
            earlier.since > answer.since || (is_fresh && earlier.serves_more_than(&answer))
        };
        if earlier.is_some_and(stays) {
            return;
        }
        let is_used = earlier.is_some_and(|slot| self.entries[slot].is_used);
        earlier.into_iter().for_each(|slot| self.remove(slot));
        let bytes = self.sizes.total(question, &answer);
        let CacheConfig { entries_max, bytes_max, .. } = self.config;
        if entries_max == 0 || bytes > bytes_max {
            return;
        }
        while self.entries.len() >= entries_max || self.bytes > bytes_max - bytes {
            self.evict(now);
        }
        let question = Arc::clone(question);
        let (answer, older, newer) = (Arc::new(answer), self.newest, NONE);
        let slot = self.entries.insert(Entry { question, hash, answer, bytes, is_used, older, newer });
        let entries = &self.entries;
        self.index.insert_unique(hash, slot, |&slot| entries[slot].hash);
        *self.newer_of(older) = slot;
        self.newest = slot;
        self.bytes += bytes;
    }

    pub(crate) const fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) const fn sizes(&self) -> Sizes {
        self.sizes
    }

    /// Counts by other sizes from now on, before anything is kept.
    pub(crate) const fn count_as(&mut self, sizes: Sizes) {
        self.sizes = sizes;
    }

    /// How many have been thrown out for want of room.
    pub(crate) const fn evicted(&self) -> u64 {
        self.evicted
    }

    /// Throws out the least useful one; there is one.
    fn evict(&mut self, now: Time) {
        loop {
            let slot = if self.hand == NONE { self.oldest } else { self.hand };
            let is_over = self.is_over(now, &self.entries[slot].answer);
            let Entry { is_used, newer, .. } = &mut self.entries[slot];
            self.hand = *newer;
            if !core::mem::take(is_used) || is_over {
                self.evicted += 1;
                return self.remove(slot);
            }
        }
    }

    /// Whether the answer is too old for everybody.
    fn is_over(&self, now: Time, answer: &Answer<N>) -> bool {
        answer.age(now) >= self.config.served_for(answer.items.is_empty())
    }

    fn remove(&mut self, slot: u32) {
        let Entry { hash, bytes, older, newer, .. } = self.entries.remove(slot);
        let entry = self.index.find_entry(hash, |&other| other == slot);
        entry.expect("what is kept is found").remove();
        *self.newer_of(older) = newer;
        *self.older_of(newer) = older;
        if self.hand == slot {
            self.hand = newer;
        }
        self.bytes -= bytes;
    }

    /// The link to whatever is newer than this one.
    fn newer_of(&mut self, slot: u32) -> &mut u32 {
        if slot == NONE { &mut self.oldest } else { &mut self.entries[slot].newer }
    }

    fn older_of(&mut self, slot: u32) -> &mut u32 {
        if slot == NONE { &mut self.newest } else { &mut self.entries[slot].older }
    }
}

impl<N: Network> Answer<N> {
    fn age(&self, now: Time) -> Duration {
        self.age_of(now, self.since)
    }

    /// How long ago one of its times is.
    pub(crate) fn age_of(&self, now: Time, at: Time) -> Duration {
        (now + self.before).since(at)
    }

    /// Whether it holds all that a query of this `max_results` can want.
    fn serves(&self, max_results: usize) -> bool {
        self.is_whole || max_results <= self.items.len()
    }

    /// Whether another answer is a part of what can be had, and no more of it than this one.
    fn serves_more_than(&self, other: &Self) -> bool {
        let (own, others) = (self.items.len(), other.items.len());
        !other.is_whole && (own > others || (own == others && self.is_whole))
    }
}
