//! What a reply brings: items for the query, candidates for its lanes.

use std::time::Duration;

use dragnet_core::{QueryId, Reply, Step};

use super::super::network::Toy;
use super::query::{Held, Voter};
use super::share::Accepted;
use super::{Reference, Said};

impl Reference {
    /// Whether something in the reply is invalid. The query may be over afterwards.
    pub(super) fn deliver(
        &mut self,
        id: QueryId,
        step: Step,
        from: Option<u8>,
        response_time: Option<Duration>,
        reply: &Reply<Toy>,
    ) -> bool {
        let items_max = self.setup.config.caps.items_per_reply;
        let asked = self.asked(id);
        let mut is_invalid = reply.invalid > 0;
        let mut held = 0;
        asked.invalid = asked.invalid.saturating_add(reply.invalid);
        asked.dropped += reply.items.len().saturating_sub(items_max) as u32;
        for item in reply.items.iter().take(items_max).copied() {
            let asked = self.asked(id);
            if asked.query.validator.as_ref().is_some_and(|judge| judge.validate(&7, &item).is_err()) {
                asked.invalid = asked.invalid.saturating_add(1);
                is_invalid = true;
                continue;
            }
            let given = Held { item, from, response_time, voters: Vec::new() };
            let has_enough =
                if asked.holds() { self.vote(id, step, given, &mut held) } else { self.take(id, &given) };
            if has_enough {
                break;
            }
        }
        is_invalid
    }

    /// Delivers an item that is the first with its id. Whether that was the last that is wanted.
    fn take(&mut self, id: QueryId, item: &Held) -> bool {
        let asked = self.asked(id);
        if asked.has_delivered(item.item.id) {
            asked.duplicate += 1;
            return false;
        }
        self.give(id, item, 1)
    }

    /// Gives an item to all whom the work serves. Whether that was the last that is wanted.
    fn give(&mut self, work: QueryId, held: &Held, votes: usize) -> bool {
        let now = self.now;
        let asked = self.asked(work);
        let enough = asked.enough();
        asked.accepted.push(Accepted { held: held.clone(), votes, at: now });
        let ids: Vec<QueryId> = asked.askers.iter().map(|asker| asker.id).collect();
        for id in ids {
            let asked = self.asked(work);
            let asker = asked.askers.iter_mut().find(|asker| asker.id == id).expect("each is served once");
            let found = asker.found(now, held, votes, now);
            let has_enough = asker.results == asker.max_results;
            if !asker.is_refresh {
                self.said.push(Said::Found(id, found));
            }
            if has_enough {
                self.finish(id, enough);
            }
        }
        !self.asked.iter().any(|asked| asked.id == work)
    }

    /// Holds an item, or counts a vote for one that is held.
    fn vote(&mut self, id: QueryId, step: Step, item: Held, held_of_reply: &mut usize) -> bool {
        let caps = self.setup.config.caps.clone();
        let asked = self.asked(id);
        let is_reported = step != Step::Fetch && asked.lane(step).target.is_none();
        let mut voter = item.from.map_or(Voter::Route(step), Voter::Peer);
        let same_id: Vec<&Held> = asked.held.iter().filter(|held| held.item.id == item.item.id).collect();
        asked.duplicate += u32::from(!same_id.is_empty());
        asked.conflicting += u32::from(same_id.iter().any(|held| held.item != item.item));
        let has_voted =
            |voter| same_id.iter().any(|held| held.voters.iter().any(|(other, _)| *other == voter));
        if has_voted(voter) || asked.has_delivered(item.item.id) {
            return false;
        }
        let votes: usize = same_id.iter().map(|held| held.voters.len()).sum();
        if is_reported && votes >= caps.held_max {
            voter = Voter::Route(step);
            if has_voted(voter) {
                asked.dropped += 1;
                asked.sharing.cut(asked.wanted());
                return false;
            }
        }
        let versions = same_id.len();
        let known = asked.held.iter().position(|held| held.item == item.item);
        let is_full = asked.held.len() >= caps.held_max
            || versions >= caps.versions_max.max(1)
            || *held_of_reply >= asked.wanted();
        if known.is_none() && is_full {
            asked.dropped += 1;
            asked.sharing.cut(asked.wanted());
            return false;
        }
        let place = known.unwrap_or_else(|| {
            *held_of_reply += 1;
            asked.held.push(item);
            asked.held.len() - 1
        });
        asked.held[place].voters.push((voter, step));
        self.elect(id, place)
    }

    /// Delivers an item if it has the votes. Whether that was the last that is wanted.
    fn elect(&mut self, id: QueryId, place: usize) -> bool {
        let asked = self.asked(id);
        let item = asked.held[place].clone();
        let votes = asked.votes(&item);
        let is_elected =
            asked.quorum().is_some_and(|quorum| votes >= quorum) && !asked.has_delivered(item.item.id);
        is_elected && self.give(id, &item, votes)
    }

    pub(super) fn take_in(&mut self, query: QueryId, step: Step, from: Option<u8>, reply: &Reply<Toy>) {
        let caps = self.setup.config.caps.clone();
        let Some(asked) = self.asked.iter().find(|asked| asked.id == query) else { return };
        let takes_providers = asked.query.providers;
        if step != Step::Fetch && self.lane(query, step).is_walking() {
            self.offer(query, step, &reply.closer, caps.closer_per_reply);
        }
        if takes_providers {
            let known = self.asked(query).fetched();
            self.offer(query, Step::Fetch, &reply.providers, caps.providers_per_reply);
            let asked = self.asked(query);
            let fetched = asked.fetched();
            let read = reply.providers.iter().take(caps.providers_per_reply);
            let routes = match step {
                Step::Fetch => asked.named_by(from.expect("a contact's peer is known")),
                route => vec![route],
            };
            for provider in read.filter(|provider| fetched.contains(provider)) {
                asked.named.extend(routes.iter().map(|route| (*provider, *route)));
                if step == Step::Fetch && !known.contains(provider) {
                    asked.referred.push(*provider);
                }
            }
            // By id, in the order in which they came.
            let mut places: Vec<usize> = (0..asked.held.len()).collect();
            let first_of = |id: u8| asked.held.iter().position(|held| held.item.id == id);
            places.sort_by_key(|place| first_of(asked.held[*place].item.id));
            for place in places {
                if self.elect(query, place) {
                    return;
                }
            }
        }
        self.mark_ready(query);
    }

    pub(super) fn offer(&mut self, query: QueryId, step: Step, peers: &[u8], read_max: usize) {
        let candidates_max = self.setup.config.caps.candidates_max;
        let mut dropped = peers.len().saturating_sub(read_max) as u32;
        for &peer in peers.iter().take(read_max) {
            let badness = self.peers.badness(peer);
            let is_owned = self.asked(query).is_owned(step, peer);
            if peer != self.setup.local
                && !is_owned
                && self.lane(query, step).offer(peer, badness, candidates_max)
            {
                dropped += 1;
            }
        }
        self.asked(query).dropped += dropped;
    }
}
