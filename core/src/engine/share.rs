//! What a query is given that it has not asked for itself: kept answers, and what others are finding.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use super::QueryEngine;
use super::start::compares;
use crate::arena::NONE;
use crate::cache::{Answer, CachePolicy, Hit};
use crate::lookup::{Answers, Kept, LiveQuery, Question, Shared, Tally};
use crate::network::Network;
use crate::output::Output;
use crate::query::{Outcome, Query, QueryConfig, QueryId, Reason};
use crate::time::{Time, nanos};

/// How a query that shares begins.
impl<N: Network> QueryEngine<N> {
    /// Starts a query that may be given a kept answer, or join one that is under way.
    pub(super) fn start_sharing(&mut self, id: QueryId, query: Query<N>, deadline: Time) {
        let hash = Question::hash_of(&query, self.hasher);
        let under_way = self.under_way(hash, &query);
        let now = self.now;
        #[cfg(feature = "sabotage")]
        let now = super::sabotage::spoil_now(self.sabotage, now);
        if let Some(hit) = self.cache.look_up(now, hash, &query) {
            self.serve(id, &query, &hit);
            if hit.cached.is_stale && under_way.is_none() {
                self.refresh_behind(id, query, hash, hit.answer.results_max);
            }
            return;
        }
        let max_age = query.config.max_age;
        let results_max = results_max(&query.config);
        let suits = |work: &u32| {
            let shared = self.works[*work].shared.as_ref();
            shared.is_some_and(|shared| shared.suits(self.now, results_max, max_age))
        };
        if let Some(work) = under_way.filter(suits) {
            return self.join(work, id, results_max, deadline);
        }
        self.metrics.cache_misses += u64::from(query.config.cache != CachePolicy::Refresh);
        let work = self.insert_shared_work(query, hash);
        let slot = self.insert_query(id, work, results_max, false);
        self.begin(slot, deadline);
    }

    /// The work that answers this question already.
    fn under_way(&self, hash: u64, query: &Query<N>) -> Option<u32> {
        let is_it = |&work: &u32| self.shared(work).question.is_asked_by(query);
        self.shared_works.find(hash, is_it).copied()
    }

    fn shared(&self, work: u32) -> &Shared<N> {
        self.works[work].shared.as_ref().expect("what is listed as shared is shared")
    }

    /// Gives a query a kept answer, and ends it.
    fn serve(&mut self, id: QueryId, asked: &Query<N>, hit: &Hit<N>) {
        let Hit { answer, cached } = hit;
        let results_max = results_max(&asked.config);
        let mut query = self.new_query(id, NONE, results_max, false);
        for Kept { item, origin, votes, at } in answer.items.iter().take(results_max as usize) {
            let age = answer.age_of(self.now, *at);
            self.outputs.push_back(query.found(self.now, origin, item.clone(), *votes, age));
        }
        // It would have had enough before the end. Of what is held back to the end there is no enough.
        let has_enough = answer.accepted >= results_max;
        let reason = if has_enough { enough(compares(asked)) } else { answer.reason };
        let metrics = &mut self.metrics;
        metrics.queries_started += 1;
        metrics.results += u64::from(query.results);
        metrics.cache_saved.record(nanos(answer.took));
        *if cached.is_stale { &mut metrics.cache_stale_hits } else { &mut metrics.cache_hits } += 1;
        let nothing = Tally::new(self.config.sources.len());
        let stats = nothing.stats(query.first_item(), self.now.since(query.started));
        let sources = nothing.sources(&self.config.sources, &query.by_source);
        self.count_finished(&query, reason, &stats);
        self.count_sources(&query, None);
        let results = query.results as usize;
        let outcome = Outcome { reason, results, stats, cached: Some(*cached), sources };
        self.outputs.push_back(Output::Finished { query: id, outcome });
    }

    /// Asks again for what was served stale, if there is room to. Nothing will be said of it.
    fn refresh_behind(&mut self, id: QueryId, query: Query<N>, hash: u64, kept_max: u32) {
        let is_full = self.queries.len() >= self.config.caps.queries_max;
        if is_full || self.refreshes.len() >= self.config.cache.refreshes_max {
            return;
        }
        // Later than this nobody would have taken the old answer either.
        let timeout = query.config.timeout.min(self.config.cache.stale_for);
        // Not less than is kept, or the next one who wants as much would have to ask.
        let results_max = results_max(&query.config).max(kept_max);
        let work = self.insert_shared_work(query, hash);
        let slot = self.insert_query(id, work, results_max, true);
        self.refreshes.push(slot);
        self.metrics.cache_refreshes += 1;
        self.begin(slot, self.now + timeout);
    }

    /// Lets a query have what a piece of work has accepted, and whatever it will.
    fn join(&mut self, work: u32, id: QueryId, results_max: u32, deadline: Time) {
        let slot = self.insert_query(id, work, results_max, false);
        self.timers.set_deadline(slot, deadline);
        self.metrics.queries_joined += 1;
        let Self { works, queries, outputs, metrics, now, .. } = self;
        let query = &mut queries[slot];
        let accepted = works[work].shared.as_ref().map_or(&[][..], |shared| &shared.accepted);
        #[cfg(feature = "sabotage")]
        let accepted = super::sabotage::spoil_accepted(self.sabotage, accepted);
        for Kept { item, origin, votes, at } in accepted.iter().take(results_max as usize) {
            outputs.push_back(query.found(*now, origin, item.clone(), *votes, now.since(*at)));
            metrics.results += 1;
        }
        if query.results == results_max {
            let enough = self.enough(work);
            self.finish(slot, enough);
        }
    }

    fn insert_shared_work(&mut self, query: Query<N>, hash: u64) -> u32 {
        let question = Question::of(&query);
        let work = self.insert_work(query);
        self.works[work].shared = Some(Box::new(Shared::new(question, hash, self.now)));
        let Self { shared_works, works, .. } = self;
        let hash_of = |&work: &u32| works[work].shared.as_ref().map_or(0, |shared| shared.hash);
        // One to the same question that is there still did not suit: from now on this one is joined.
        let is_same = |&other: &u32| match (&works[other].shared, &works[work].shared) {
            (Some(other), Some(shared)) => other.question.is_same(&shared.question),
            _ => false,
        };
        if let Ok(earlier) = shared_works.find_entry(hash, is_same) {
            earlier.remove();
        }
        shared_works.insert_unique(hash, work, hash_of);
        work
    }

    /// What it means for a query of this work to have had enough.
    pub(super) fn enough(&self, work: u32) -> Reason {
        enough(matches!(self.works[work].answers, Answers::Held(_)))
    }
}

/// How shared work ends.
impl<N: Network> QueryEngine<N> {
    /// Keeps the answer of work that has come to its end by itself, as its queries are about to.
    pub(super) fn keep_whole(&mut self, work: u32, reason: Reason) {
        let piece = &mut self.works[work];
        let Some(shared) = &mut piece.shared else { return };
        let results_max = piece.queries.iter().map(|&query| self.queries[query].results_max).max();
        let results_max = results_max.unwrap_or(0);
        let mut items = core::mem::take(&mut shared.accepted);
        let accepted = items.len() as u32;
        let mut is_whole = shared.cut_at.is_none();
        if let Answers::Held(ballot) = &piece.answers {
            let rest = ballot.rest(&piece.request);
            let wanted = (results_max as usize).saturating_sub(items.len());
            is_whole &= rest.len() <= wanted;
            let rest = rest.into_iter().take(wanted);
            let at = self.now;
            items.extend(rest.map(|(item, origin, votes)| {
                let (item, origin) = (item.clone(), origin.clone());
                Kept { item, origin, votes, at }
            }));
        }
        // If nobody has replied, that nothing was found says nothing.
        if items.is_empty() && piece.counts.all.replied.0 == 0 {
            return;
        }
        self.keep(work, (items, accepted), reason, is_whole, results_max);
    }

    /// Notes that a query of shared work has had enough; if it is the last, or the last has ended
    /// otherwise, keeps what has been enough for one.
    pub(super) fn keep_enough(&mut self, query: &LiveQuery, reason: Reason, is_last: bool) {
        let Some(shared) = &mut self.works[query.work].shared else { return };
        if matches!(reason, Reason::EnoughResults | Reason::QuorumReached) {
            shared.enough = shared.enough.max(query.results);
        }
        #[cfg(feature = "sabotage")]
        if super::sabotage::keeps_unfinished(self.sabotage, reason) {
            shared.enough = shared.accepted.len() as u32;
        }
        // When nobody was left to ask, all has been kept by now.
        let is_kept = matches!(reason, Reason::Converged | Reason::Exhausted);
        if is_last && !is_kept && shared.enough > 0 {
            let enough = shared.enough;
            let mut items = core::mem::take(&mut shared.accepted);
            items.truncate(enough as usize);
            let reason = self.enough(query.work);
            self.keep(query.work, (items, enough), reason, false, enough);
        }
    }

    /// Keeps items of which so many were accepted before the end.
    fn keep(
        &mut self,
        work: u32,
        (items, accepted): (Vec<Kept<N>>, u32),
        reason: Reason,
        is_whole: bool,
        results_max: u32,
    ) {
        let since = items.first().map_or(self.now, |kept| kept.at);
        let Some(Shared { question, hash, started, .. }) = self.works[work].shared.as_deref() else { return };
        let took = self.now.since(*started);
        let before = Duration::ZERO;
        let answer = Answer { items, accepted, reason, is_whole, results_max, since, before, took };
        self.cache.keep(self.now, *hash, &Arc::clone(question), answer);
    }

    /// Work that has ended is joined no more.
    pub(super) fn unlist(&mut self, work: u32) {
        let Some(shared) = &self.works[work].shared else { return };
        // It is not there if another one has taken its place.
        if let Ok(entry) = self.shared_works.find_entry(shared.hash, |&other| other == work) {
            entry.remove();
        }
    }

    /// Ends refreshes behind, the oldest first, that are in the place of a query.
    pub(super) fn make_room(&mut self) {
        while self.queries.len() > self.config.caps.queries_max
            && let Some(&oldest) = self.refreshes.first()
        {
            self.finish(oldest, Reason::Cancelled);
        }
    }
}

/// What it means to have had enough, of items that are compared or not.
const fn enough(are_compared: bool) -> Reason {
    if are_compared { Reason::QuorumReached } else { Reason::EnoughResults }
}

/// What a checked `max_results` is to the engine.
pub(super) fn results_max(config: &QueryConfig) -> u32 {
    u32::try_from(config.max_results).unwrap_or(u32::MAX)
}
