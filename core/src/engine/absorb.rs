//! What a reply brings: items to the queries, peers to the lanes, a verdict to the reputation.

use alloc::vec::Vec;
use core::time::Duration;

use super::QueryEngine;
use crate::lookup::{Contact, Lane, Offer, RouteState, State};
use crate::network::{Network, Reply};
use crate::output::{Found, Output};
use crate::peers::{Named, PeerIndex, Tag};
use crate::query::Reason;

/// Who gave an item, and how fast.
struct Origin<N: Network> {
    from: Option<N::Peer>,
    response_time: Option<Duration>,
}

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
        let Contact { work, peer, lane, sent, .. } = self.end_contact(slot, State::Replied);
        let response_time = self.now.since(sent).saturating_sub(reply.queued);
        self.works[work].counts.replied += 1;
        self.metrics.contacts_replied += 1;
        self.conditions.replied(response_time);
        self.metrics.response_time.record(crate::time::nanos(response_time));
        let origin = Origin { from: Some(self.peers.peer(peer).clone()), response_time: Some(response_time) };
        let verdict = self.deliver(work, &origin, reply.items, reply.invalid);
        if verdict.is_invalid {
            self.count_invalid(peer);
        } else {
            self.peers.record_reply(self.now, peer, response_time);
        }
        if !verdict.has_ended {
            self.offer_all(work, lane, reply.closer, reply.providers);
            self.mark_ready(work);
        }
    }

    /// Takes in what a lookup has found so far.
    pub(super) fn absorb_progress(&mut self, work: u32, lane: Lane, from: Option<N::Peer>, reply: Reply<N>) {
        let origin = Origin { from, response_time: None };
        let verdict = self.deliver(work, &origin, reply.items, reply.invalid);
        if verdict.is_invalid
            && let Some(peer) = origin.from.and_then(|peer| self.peers.intern(self.now, peer))
            && peer != PeerIndex::LOCAL
        {
            self.count_invalid(peer);
        }
        if !verdict.has_ended {
            self.offer_all(work, lane, reply.closer, reply.providers);
            self.mark_ready(work);
        }
    }

    /// Hands the valid and new ones among the items to the queries.
    fn deliver(&mut self, work: u32, origin: &Origin<N>, items: Vec<N::Item>, unreadable: u32) -> Verdict {
        let mut verdict = Verdict { is_invalid: unreadable > 0, has_ended: false };
        #[cfg(feature = "sabotage")]
        self.spoil_answers(work);
        self.works[work].counts.invalid += unreadable;
        self.metrics.invalid += u64::from(unreadable);
        let read = items.len().min(self.config.caps.items_per_reply);
        self.count_dropped(work, items.len() - read);
        for item in items.into_iter().take(read) {
            let piece = &mut self.works[work];
            let judged = piece.validator.as_ref().map(|judge| judge.validate(&piece.request, &item));
            if let Some(Err(_)) = judged {
                piece.counts.invalid += 1;
                self.metrics.invalid += 1;
                verdict.is_invalid = true;
            } else if !piece.answers.accept(&item, self.hasher) {
                piece.counts.duplicate += 1;
                self.metrics.duplicate += 1;
            } else if self.give(work, origin, item) {
                verdict.has_ended = true;
                break;
            }
        }
        verdict
    }

    /// Gives an item to every query of the work; true if that was the last for all of them.
    fn give(&mut self, work: u32, origin: &Origin<N>, item: N::Item) -> bool {
        let queries = self.works[work].queries.clone();
        let (&last, others) = queries.split_last().expect("work ends with its last query");
        for &query in others {
            self.give_one(query, origin, item.clone());
        }
        self.give_one(last, origin, item)
    }

    fn give_one(&mut self, slot: u32, origin: &Origin<N>, item: N::Item) -> bool {
        let query = &mut self.queries[slot];
        let elapsed = self.now.since(query.started);
        query.results += 1;
        if query.results == 1 {
            query.first_item = self.now;
        }
        let results_max = query.results_max;
        #[cfg(feature = "sabotage")]
        let results_max = super::sabotage::spoil_results_max(self.sabotage, results_max);
        let is_enough = query.results == results_max;
        let Origin { from, response_time } = origin;
        let found = Found { item, from: from.clone(), response_time: *response_time, elapsed };
        self.outputs.push_back(Output::Found { query: query.id, found });
        self.metrics.results += 1;
        is_enough && self.finish(slot, Reason::EnoughResults)
    }

    fn offer_all(&mut self, work: u32, lane: Lane, closer: Vec<N::Peer>, providers: Vec<N::Peer>) {
        let is_walk = lane != Lane::FETCH
            && matches!(self.works[work].routes[usize::from(lane.0)].route, RouteState::Walk(_));
        if is_walk {
            self.offer_some(work, lane, closer, self.config.caps.closer_per_reply);
        }
        if self.works[work].fetch_providers {
            self.offer_some(work, Lane::FETCH, providers, self.config.caps.providers_per_reply);
        }
    }

    fn offer_some(&mut self, work: u32, lane: Lane, mut peers: Vec<N::Peer>, read_max: usize) {
        let over = peers.len().saturating_sub(read_max);
        self.count_dropped(work, over);
        peers.truncate(read_max);
        let tags = self.peers.tags(&peers);
        for (peer, tag) in peers.into_iter().zip(tags) {
            self.offer(work, lane, peer, tag, Named::ByReply);
        }
    }

    /// Makes a peer a candidate of a lane, if there is room and it is not the local one.
    pub(super) fn offer(&mut self, work: u32, lane: Lane, peer: N::Peer, tag: Tag, named: Named) {
        if lane == Lane::FETCH && self.works[work].fetch.len() >= self.config.caps.candidates_max {
            // Not worth a place in the table.
            let is_known = self
                .peers
                .find_tagged(&peer, tag)
                .is_some_and(|peer| peer == PeerIndex::LOCAL || self.works[work].fetch.is_candidate(peer));
            return self.count_dropped(work, usize::from(!is_known));
        }
        let Some(peer) = self.peers.intern_tagged(self.now, peer, tag) else {
            self.metrics.peers_refused += 1;
            return self.count_dropped(work, 1);
        };
        if peer == PeerIndex::LOCAL {
            return;
        }
        match self.offer_known(work, lane, peer, named) {
            Offer::Taken => self.peers.hold(peer),
            Offer::TakenFor(other) => {
                self.peers.hold(peer);
                self.peers.release(other);
                self.count_dropped(work, 1);
            }
            Offer::Known => {}
            Offer::Full => self.count_dropped(work, 1),
        }
    }

    fn offer_known(&mut self, work: u32, lane: Lane, peer: PeerIndex, named: Named) -> Offer {
        let may_hold = self.peers.may_hold(peer, named);
        let candidates_max = self.config.caps.candidates_max;
        #[cfg(feature = "sabotage")]
        let candidates_max = self.spoil_candidates_max(candidates_max);
        let Self { works, peers, metrics, .. } = self;
        // Who may hold no more peers may still have a better one in the place of one that it has.
        let room = |len: usize| if may_hold { candidates_max } else { len.min(candidates_max) };
        let work = &mut works[work];
        let offer = if lane == Lane::FETCH {
            work.fetch.offer(peer, peers.rank(self.now, peer), room(work.fetch.len()))
        } else if let RouteState::Walk(walk) = &mut work.routes[usize::from(lane.0)].route {
            walk.offer(peer, peers, room(walk.len()))
        } else {
            Offer::Known
        };
        if !may_hold && matches!(offer, Offer::TakenFor(_) | Offer::Full) {
            metrics.peers_refused += 1;
        }
        offer
    }

    fn count_dropped(&mut self, work: u32, dropped: usize) {
        self.works[work].counts.dropped += u32::try_from(dropped).unwrap_or(u32::MAX);
        self.metrics.dropped += dropped as u64;
    }
}
