//! How queries and their work end, leaving nothing behind.

use super::{QueryEngine, id_hash};
use crate::lookup::{Lane, LiveQuery, Phase};
use crate::network::Network;
use crate::output::Output;
use crate::query::{Outcome, QueryStats, Reason, SourceStats};
use crate::time::{Time, nanos};
use crate::timers::Owner;

impl<N: Network> QueryEngine<N> {
    /// Ends a query now; true if its work has ended with it.
    pub(super) fn finish(&mut self, slot: u32, reason: Reason) -> bool {
        self.finish_at(slot, reason, self.now)
    }

    /// Ends a query for what came at `at`, which may be before now: what the driver slept through is not
    /// the peers' fault.
    pub(super) fn finish_at(&mut self, slot: u32, reason: Reason, at: Time) -> bool {
        self.timers.cancel(Owner::Query(slot));
        let mut query = self.queries.remove(slot);
        if query.is_refresh {
            self.refreshes.retain(|other| *other != slot);
        } else {
            let entry = self.by_id.find_entry(id_hash(query.id), |&other| other == slot);
            entry.expect("a live query is found by its id").remove();
        }

        let withheld = self.give_rest(&mut query, reason);
        let queries = &mut self.works[query.work].queries;
        let position = queries.iter().position(|&other| other == slot);
        queries.remove(position.expect("a live query is in its work's list"));
        let is_last = queries.is_empty();
        self.keep_enough(&query, reason, is_last);
        if is_last {
            self.release_contacts(query.work, reason, at);
        }
        let stats = QueryStats { withheld, ..self.stats_of(&query) };
        let sources = self.works[query.work].counts.sources(&self.config.sources, &query.by_source);
        self.count_sources(&query, is_last.then_some(&*sources));
        if is_last {
            self.unlist(query.work);
            self.timers.cancel(Owner::Work(query.work));
            let work = self.works.remove(query.work);
            #[cfg(feature = "sabotage")]
            if self.is_sabotaged(super::Sabotage::KeepPeers) {
                work.peers().for_each(|peer| self.peers.hold(peer));
            }
            work.peers().for_each(|peer| self.peers.release(peer));
        }
        if !query.is_refresh {
            self.count_finished(&query, reason, &stats);
            let results = query.results as usize;
            let outcome = Outcome { reason, results, stats, cached: None, sources };
            self.outputs.push_back(Output::Finished { query: query.id, outcome });
        }
        is_last
    }

    pub(super) fn stats_of(&self, query: &LiveQuery) -> QueryStats {
        let total = self.now.since(query.started);
        self.works[query.work].counts.stats(query.first_item(), total)
    }

    /// Ends every contact of a piece of work that is about to end.
    ///
    /// At the deadline lookups and those already overdue count as failures; any other release says nothing
    /// of the peer, but that an overdue one takes at least so long.
    fn release_contacts(&mut self, work: u32, reason: Reason, at: Time) {
        while let Some(&slot) = self.works[work].contacts.first() {
            let request = self.request_id(slot);
            let phase = self.contacts[slot].phase;
            if phase == Phase::Waiting {
                self.dequeue(slot);
            }
            let contact = self.remove_contact(slot);
            if phase == Phase::Waiting {
                continue;
            }
            self.outputs.push_back(Output::Release { request });
            if phase == Phase::Lookup {
                self.release_lookup(work, contact.lane, reason);
                continue;
            }
            self.leave_peer(&contact);
            self.metrics.contacts_released += 1;
            if phase == Phase::Overdue {
                self.peers.record_given_up(contact.peer, at.since(contact.sent));
                if reason == Reason::DeadlineReached {
                    let source = self.peers.source(contact.peer);
                    self.works[work].counts.add(source, |counts| counts.failed += 1);
                    self.peers.record_failure(self.now, contact.peer);
                }
            }
        }
    }

    /// Counts a lookup that has not said what it took as one request, which is the least that it was: a
    /// network that is slow or away would leave no trace.
    fn release_lookup(&mut self, work: u32, Lane(route): Lane, reason: Reason) {
        self.metrics.lookups_released += 1;
        let work = &mut self.works[work];
        let source = work.routes[usize::from(route)].source;
        work.counts.add(source, |counts| {
            counts.contacted += 1;
            counts.failed += u32::from(reason == Reason::DeadlineReached);
        });
    }

    pub(super) fn count_finished(&mut self, query: &LiveQuery, reason: Reason, stats: &QueryStats) {
        let metrics = &mut self.metrics;
        metrics.queries_finished += 1;
        metrics.queries_successful += u64::from(query.results > 0);
        metrics.count_reason(reason);
        metrics.query_duration.record(nanos(stats.total));
        metrics.results_per_query.record(query.results.into());
        metrics.contacts_per_query.record(stats.contacted.into());
        if let Some(first_item) = stats.first_item {
            metrics.first_item.record(nanos(first_item));
        }
    }

    /// Counts for each named source what it has brought a query; and with the last query of a piece of work
    /// what that has cost.
    pub(super) fn count_sources(&mut self, query: &LiveQuery, work: Option<&[SourceStats]>) {
        let metrics = &mut self.metrics.sources;
        if !query.is_refresh {
            for (metrics, results) in metrics.iter_mut().zip(&query.by_source) {
                metrics.results += u64::from(*results);
            }
        }
        for (metrics, stats) in metrics.iter_mut().zip(work.unwrap_or_default()) {
            metrics.contacted += u64::from(stats.contacted);
            metrics.replied += u64::from(stats.replied);
            metrics.failed += u64::from(stats.failed);
            metrics.overdue += u64::from(stats.overdue);
            metrics.invalid += u64::from(stats.invalid);
            metrics.duplicate += u64::from(stats.duplicate);
        }
    }
}
