//! What a reply brings: items to the queries, peers to the lanes, a verdict to the reputation.

use alloc::vec::Vec;
use core::hash::BuildHasher;
use core::hint::black_box;
use core::time::Duration;

use super::QueryEngine;
use crate::lookup::{Answers, Contact, Kept, Lane, LiveQuery, Origin, State, Voter, accept};
use crate::network::{Network, Reply};
use crate::peers::PeerIndex;
use crate::query::Reason;

/// What became of the items of one reply.
struct Verdict {
    /// Some were refused.
    is_invalid: bool,
    /// The work they were for has ended by them.
    has_ended: bool,
}

impl<N: Network> QueryEngine<N> {
    /// Ends a contact with what its peer answered.
    pub(super) fn absorb_reply(&mut self, slot: u32, reply: Reply<N>) {
        self.touch(slot);
        let Contact { work, peer, lane, sent, .. } = self.end_contact(slot, State::Replied);
        let response_time = self.now.since(sent);
        let source = self.peers.source(peer);
        self.works[work].counts.add(source, |counts| counts.replied += 1);
        self.metrics.contacts_replied += 1;
        self.conditions.replied(response_time);
        self.metrics.response_time.record(crate::time::nanos(response_time));
        let from = Some(self.peers.peer(peer).clone());
        let origin = Origin { from, response_time: Some(response_time), source };
        let verdict = self.deliver(work, lane, &origin, reply.items, reply.invalid);
        if verdict.is_invalid {
            self.count_invalid(peer);
        } else {
            self.peers.record_reply(self.now, peer, response_time);
        }
        let by = origin.from.as_ref();
        if !verdict.has_ended && !self.offer_all(work, lane, by, reply.closer, reply.providers) {
            self.mark_ready(work);
        }
    }

    /// Loads what the end of a contact will need: with many queries live nothing of one is in the cache,
    /// and what is loaded together is waited for once.
    fn touch(&self, slot: u32) {
        let Contact { work, peer, .. } = self.contacts[slot];
        self.peers.touch(peer);
        let work = &self.works[work];
        work.touch();
        // Of those that share the work the first: that is the only one, or there may be as many as live.
        if let Some(&first) = work.queries.first() {
            let LiveQuery { results, by_source, .. } = &self.queries[first];
            black_box((*results, by_source.len()));
        }
    }

    /// Takes in what a lookup has found so far.
    pub(super) fn absorb_progress(&mut self, work: u32, lane: Lane, from: Option<N::Peer>, reply: Reply<N>) {
        let source = self.works[work].routes[usize::from(lane.0)].source;
        let origin = Origin { from, response_time: None, source };
        let verdict = self.deliver(work, lane, &origin, reply.items, reply.invalid);
        if verdict.is_invalid
            && let Some(peer) = origin.from.and_then(|peer| self.peers.intern(self.now, peer))
            && peer != PeerIndex::LOCAL
        {
            self.count_invalid(peer);
        }
        if !verdict.has_ended && !self.offer_all(work, lane, None, reply.closer, reply.providers) {
            self.mark_ready(work);
        }
    }

    /// Hands the valid and new ones among the items to the queries, or to the ballot.
    fn deliver(
        &mut self,
        work: u32,
        lane: Lane,
        origin: &Origin<N>,
        items: Vec<N::Item>,
        unreadable: u32,
    ) -> Verdict {
        let mut verdict = Verdict { is_invalid: unreadable > 0, has_ended: false };
        #[cfg(feature = "sabotage")]
        self.spoil_answers(work);
        self.works[work].counts.add(origin.source, |counts| counts.invalid += unreadable);
        self.metrics.invalid += u64::from(unreadable);
        let read = items.len().min(self.config.caps.items_per_reply);
        self.count_dropped(work, items.len() - read);
        let mut held = 0;
        for item in items.into_iter().take(read) {
            let piece = &mut self.works[work];
            let judged = piece.validator.as_ref().map(|judge| judge.validate(&piece.request, &item));
            if let Some(Err(_)) = judged {
                piece.counts.add(origin.source, |counts| counts.invalid += 1);
                self.metrics.invalid += 1;
                verdict.is_invalid = true;
                continue;
            }
            let has_ended = match &mut piece.answers {
                Answers::Held(_) => self.vote(work, lane, origin, item, &mut held),
                Answers::Delivered(ids) => {
                    let is_new = accept(ids, &item, self.hasher);
                    if !is_new {
                        piece.counts.add(origin.source, |counts| counts.duplicate += 1);
                        self.metrics.duplicate += 1;
                    }
                    is_new && self.give(work, origin, item, 1, Reason::EnoughResults)
                }
            };
            if has_ended {
                verdict.has_ended = true;
                break;
            }
        }
        verdict
    }

    /// Counts a vote for an item, `held` items of its reply being held already; true if the work has
    /// ended by it.
    fn vote(&mut self, work: u32, lane: Lane, origin: &Origin<N>, item: N::Item, held: &mut u32) -> bool {
        let voter = origin.from.as_ref().map(|peer| self.voter(peer)).unwrap_or(Voter::Route(lane));
        let Self { works, queries, metrics, .. } = self;
        let piece = &mut works[work];
        let Answers::Held(ballot) = &mut piece.answers else { return false };
        // Of one reply no more than can be wanted, or a flood would leave no room for the truth.
        let results_max = piece.queries.iter().map(|&query| queries[query].results_max).max();
        let has_room = results_max.is_some_and(|results_max| *held < results_max);
        let cast = ballot.cast(item, voter, lane, origin, has_room, self.hasher);
        *held += u32::from(cast.is_new);
        piece.counts.add(origin.source, |counts| {
            counts.duplicate += u32::from(cast.is_known);
            counts.conflicting += u32::from(cast.is_conflicting);
        });
        metrics.duplicate += u64::from(cast.is_known);
        metrics.conflicting += u64::from(cast.is_conflicting);
        if cast.is_dropped
            && let Some(shared) = &mut piece.shared
        {
            shared.cut(results_max.unwrap_or(0));
        }
        let elected = cast.elected.map(|place| ballot.deliver(place));
        self.count_dropped(work, usize::from(cast.is_dropped));
        let Some((item, origin, votes)) = elected else { return false };
        self.give(work, &origin, item, votes, Reason::QuorumReached)
    }

    /// Gives an item to every query of the work; true if that was the last for all of them.
    fn give(&mut self, work: u32, origin: &Origin<N>, item: N::Item, votes: u32, enough: Reason) -> bool {
        if let Some(shared) = &mut self.works[work].shared {
            let (item, origin) = (item.clone(), origin.clone());
            shared.accepted.push(Kept { item, origin, votes, at: self.now });
        }
        if let [only] = self.works[work].queries[..] {
            return self.give_one(only, origin, item, votes, enough);
        }
        let queries = self.works[work].queries.clone();
        let (&last, others) = queries.split_last().expect("work ends with its last query");
        for &query in others {
            self.give_one(query, origin, item.clone(), votes, enough);
        }
        self.give_one(last, origin, item, votes, enough)
    }

    fn give_one(&mut self, slot: u32, origin: &Origin<N>, item: N::Item, votes: u32, enough: Reason) -> bool {
        let Self { queries, outputs, metrics, now, .. } = self;
        let query = &mut queries[slot];
        let found = query.found(*now, origin, item, votes, Duration::ZERO);
        if !query.is_refresh {
            outputs.push_back(found);
            metrics.results += 1;
        }
        let results_max = query.results_max;
        #[cfg(feature = "sabotage")]
        let results_max = super::sabotage::spoil_results_max(self.sabotage, results_max);
        let is_enough = query.results == results_max;
        is_enough && self.finish(slot, enough)
    }

    /// Gives a query that ends what was held back for it; counts the ids that it does not get.
    pub(super) fn give_rest(&mut self, query: &mut LiveQuery, reason: Reason) -> u32 {
        let work = &self.works[query.work];
        let Answers::Held(ballot) = &work.answers else { return 0 };
        if query.is_refresh {
            return 0;
        }
        let rest = ballot.rest(&work.request);
        let wanted = query.results_max.saturating_sub(query.results) as usize;
        let given = if reason == Reason::Cancelled { 0 } else { wanted.min(rest.len()) };
        for &(item, origin, votes) in &rest[..given] {
            self.outputs.push_back(query.found(self.now, origin, item.clone(), votes, Duration::ZERO));
        }
        self.metrics.results += given as u64;
        let withheld = ballot.undelivered() - given;
        self.metrics.withheld += withheld as u64;
        u32::try_from(withheld).unwrap_or(u32::MAX)
    }

    pub(super) fn voter(&self, peer: &N::Peer) -> Voter {
        Voter::Peer(self.hasher.hash_one(peer))
    }

    /// Gives what is agreed on since routes have named those that gave it; true if the work has ended by
    /// it.
    pub(super) fn give_elected_by_name(&mut self, work: u32) -> bool {
        while let Answers::Held(ballot) = &mut self.works[work].answers
            && let Some(place) = ballot.elected_by_name()
        {
            let (item, origin, votes) = ballot.deliver(place);
            if self.give(work, &origin, item, votes, Reason::QuorumReached) {
                return true;
            }
        }
        false
    }

    pub(super) fn count_dropped(&mut self, work: u32, dropped: usize) {
        self.works[work].counts.all.dropped += u32::try_from(dropped).unwrap_or(u32::MAX);
        self.metrics.dropped += dropped as u64;
    }
}
