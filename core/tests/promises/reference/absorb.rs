//! What a reply brings: items for the query, candidates for its lanes.

use std::time::Duration;

use dragnet_core::{Found, QueryId, Reason, Reply, Step};

use super::super::network::Toy;
use super::{Reference, Said};

impl Reference {
    /// Whether something in the reply is invalid. The query may be over afterwards.
    pub(super) fn deliver(
        &mut self,
        id: QueryId,
        from: Option<u8>,
        response_time: Option<Duration>,
        reply: &Reply<Toy>,
    ) -> bool {
        let now = self.now;
        let items_max = self.setup.config.caps.items_per_reply;
        let asked = self.asked(id);
        let mut is_invalid = reply.invalid > 0;
        asked.invalid = asked.invalid.saturating_add(reply.invalid);
        asked.dropped += reply.items.len().saturating_sub(items_max) as u32;
        for item in reply.items.iter().take(items_max).copied() {
            let asked = self.asked(id);
            if asked.query.validator.as_ref().is_some_and(|judge| judge.validate(&7, &item).is_err()) {
                asked.invalid = asked.invalid.saturating_add(1);
                is_invalid = true;
            } else if asked.delivered.contains(&item.id) {
                asked.duplicate += 1;
            } else {
                asked.delivered.push(item.id);
                let elapsed = now.since(asked.started);
                asked.first_item.get_or_insert(elapsed);
                let is_enough = asked.delivered.len() == asked.query.config.max_results;
                self.said.push(Said::Found(id, Found { item, from, response_time, elapsed }));
                if is_enough {
                    self.finish(id, Reason::EnoughResults);
                    break;
                }
            }
        }
        is_invalid
    }

    pub(super) fn take_in(&mut self, query: QueryId, step: Step, reply: &Reply<Toy>) {
        let caps = self.setup.config.caps.clone();
        let Some(asked) = self.asked.iter().find(|asked| asked.id == query) else { return };
        let takes_providers = asked.query.providers;
        if step != Step::Fetch && self.lane(query, step).is_walking() {
            self.offer(query, step, &reply.closer, caps.closer_per_reply);
        }
        if takes_providers {
            self.offer(query, Step::Fetch, &reply.providers, caps.providers_per_reply);
        }
        self.mark_ready(query);
    }

    pub(super) fn offer(&mut self, query: QueryId, step: Step, peers: &[u8], read_max: usize) {
        let candidates_max = self.setup.config.caps.candidates_max;
        let mut dropped = peers.len().saturating_sub(read_max) as u32;
        for &peer in peers.iter().take(read_max) {
            let badness = self.peers.badness(peer);
            if peer != self.setup.local && self.lane(query, step).offer(peer, badness, candidates_max) {
                dropped += 1;
            }
        }
        self.asked(query).dropped += dropped;
    }
}
