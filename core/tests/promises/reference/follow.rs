//! What follows from an input: contacts begin, wait and are let through, and queries end.

use dragnet_core::{Network, QueryId, Reason, Step};

use super::super::network::{PEERS, Toy};
use super::lane::{Candidate, Lane, Next, State};
use super::query::{Asked, Asker};
use super::{Place, Reference, Said};

impl Reference {
    pub(super) fn next(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence
    }

    pub(super) fn asked(&mut self, query: QueryId) -> &mut Asked {
        self.asked.iter_mut().find(|asked| asked.id == query).expect("it lives")
    }

    pub(super) fn lane(&mut self, query: QueryId, step: Step) -> &mut Lane {
        self.asked(query).lane(step)
    }

    /// Whether this contact or lookup is in flight.
    pub(super) fn is_open(&self, (query, step, peer): Place) -> bool {
        let asked = self.asked.iter().find(|asked| asked.id == query);
        let lane = asked.and_then(|asked| asked.lanes.iter().find(|lane| lane.step == step));
        lane.is_some_and(|lane| match peer {
            Some(peer) => {
                lane.candidates.iter().any(|other| other.peer == peer && other.state.is_in_flight())
            }
            None => lane.lookup.is_some(),
        })
    }

    pub(super) fn mark_ready(&mut self, query: QueryId) {
        let lives = self.asked.iter().any(|asked| asked.id == query);
        if lives && !self.ready.contains(&query) {
            self.ready.push_back(query);
        }
    }

    pub(super) fn settle(&mut self) {
        loop {
            if let Some(query) = self.ready.pop_front() {
                if self.asked.iter().any(|asked| asked.id == query) {
                    self.go_on(query);
                }
            } else if let Some(peer) = self.freed.pop_front() {
                self.let_through(peer);
            } else {
                return;
            }
        }
    }

    fn go_on(&mut self, query: QueryId) {
        let steps: Vec<Step> = self.asked(query).lanes.iter().map(|lane| lane.step).collect();
        let mut is_open = false;
        let mut have_converged = steps.len() > 1;
        for step in steps {
            match self.fill(query, step) {
                None => is_open = true,
                Some(has_converged) => have_converged &= has_converged || step == Step::Fetch,
            }
        }
        if is_open {
            self.hurry(query);
        } else {
            let reason = if have_converged { Reason::Converged } else { Reason::Exhausted };
            self.keep_whole(query, reason);
            let ids: Vec<QueryId> = self.asked(query).askers.iter().map(|asker| asker.id).collect();
            for id in ids {
                self.finish(id, reason);
            }
        }
    }

    /// Gives up earlier what holds a lane up.
    fn hurry(&mut self, query: QueryId) {
        let now = self.now;
        let config = self.asked(query).query.config.clone();
        let fan_out = self.conditions.fan_out(&config);
        let asked = self.asked(query);
        let in_flight = asked.in_flight();
        let overdue: Vec<(Step, u8)> = in_flight
            .iter()
            .filter_map(|(_, step, contact, _)| {
                let (peer, state, _) = (*contact)?;
                (state == State::Overdue).then_some((*step, peer))
            })
            .collect();
        if overdue.len() > 4 * asked.replied as usize {
            return;
        }
        for (step, peer) in overdue {
            let is_sent = self.lane(query, step).get(peer).is_sent;
            let Some(lost_after) = self.conditions.lost_after(&config, step, is_sent) else { return };
            let sequence = self.next();
            let lane = self.lane(query, step);
            let is_expected = |candidate: &Candidate| candidate.state == State::InFlight;
            let is_alone = !lane.candidates.iter().any(is_expected);
            let holds_up = is_alone || lane.is_hedged_out(fan_out, config.hedges_max);
            let candidate = lane.get(peer);
            let until = (candidate.sent + lost_after).max(now);
            if holds_up && until < candidate.due {
                (candidate.due, candidate.timer_set) = (until, sequence);
            }
        }
    }

    /// Whether the lane has converged, if it is at its end.
    fn fill(&mut self, query: QueryId, step: Step) -> Option<bool> {
        loop {
            let config = self.asked(query).query.config.clone();
            let fan_out = self.conditions.fan_out(&config);
            let preferred = self.conditions.preferred(&config);
            let peers = self.peers.clone();
            let lane = self.lane(query, step);
            let next = lane.next(
                config.closest,
                |peer| lane.has_slot(peer, fan_out, config.hedges_max),
                |peer| preferred.map_or(0, |typical| peers.of(peer).expected_in(typical)),
                preferred.is_some(),
            );
            match next {
                Next::Contact(peer) if self.peers.is_barred(self.now, peer) => self.skip(query, step, peer),
                Next::Contact(peer) => self.contact(query, step, peer),
                Next::Wait => return None,
                Next::End { has_converged } => {
                    if step != Step::Fetch {
                        self.lane(query, step).ended = Some(has_converged);
                    }
                    return Some(has_converged);
                }
            }
        }
    }

    fn skip(&mut self, query: QueryId, step: Step, peer: u8) {
        self.lane(query, step).get(peer).state = State::Skipped;
        self.asked(query).barred += 1;
    }

    fn contacts_per_peer(&self) -> usize {
        self.setup.config.caps.contacts_per_peer.max(1)
    }

    fn contact(&mut self, query: QueryId, step: Step, peer: u8) {
        let sequence = self.next();
        self.lane(query, step).get(peer).chosen = sequence;
        let per_peer_max = self.contacts_per_peer();
        let standing = self.peers.get(peer);
        if standing.waiting.is_empty() && standing.in_flight < per_peer_max {
            self.send(query, step, peer);
        } else {
            standing.waiting.push_back((query, step));
            self.lane(query, step).get(peer).state = State::Waiting;
        }
    }

    fn send(&mut self, query: QueryId, step: Step, peer: u8) {
        let (sequence, now) = (self.next(), self.now);
        let config = self.asked(query).query.config.clone();
        let soft = self.conditions.soft_timeout(&config, self.peers.get(peer), false);
        let fan_out = self.conditions.fan_out(&config);
        let asked = self.asked(query);
        asked.contacted = asked.contacted.saturating_add(1);
        let (expected, overdue) = asked.lane(step).in_flight_to(peer);
        asked.hedged += u32::from(expected + overdue >= fan_out);
        let candidate = asked.lane(step).get(peer);
        candidate.state = State::InFlight;
        candidate.timer_set = sequence;
        candidate.sent = now;
        candidate.due = now + soft.min(config.request_timeout);
        self.peers.get(peer).in_flight += 1;
        self.withdraw_if_full(query, step, peer);
        self.own(query, step, peer);
        let name = self.asked(query).asker();
        self.lane(query, step).get(peer).name = Some(name);
        self.said.push(Said::Begun((name, step, Some(peer))));
    }

    /// The other walks to the target may not have a peer that this one contacts.
    fn own(&mut self, query: QueryId, step: Step, peer: u8) {
        for rival in self.asked(query).rivals(step) {
            let candidates = &mut self.lane(query, rival).candidates;
            let is_free = |candidate: &Candidate| matches!(candidate.state, State::New | State::Waiting);
            let before = candidates.len();
            candidates.retain(|candidate| candidate.peer != peer || !is_free(candidate));
            let has_lost = candidates.len() < before;
            self.peers.get(peer).waiting.retain(|other| *other != (query, rival));
            if has_lost {
                self.mark_ready(query);
            }
        }
    }

    /// Who has no slot any more does not wait either.
    fn withdraw_if_full(&mut self, query: QueryId, step: Step, peer: u8) {
        let config = self.asked(query).query.config.clone();
        let (fan_out, hedges_max) = (self.conditions.fan_out(&config), config.hedges_max);
        let lane = self.lane(query, step);
        if lane.has_slot(peer, fan_out, hedges_max) {
            return;
        }
        let mut withdrawn = Vec::new();
        for candidate in &mut lane.candidates {
            if candidate.state == State::Waiting && Toy::source(&candidate.peer) == Toy::source(&peer) {
                candidate.state = State::New;
                withdrawn.push(candidate.peer);
            }
        }
        for peer in withdrawn {
            self.peers.get(peer).waiting.retain(|other| *other != (query, step));
        }
    }

    fn let_through(&mut self, peer: u8) {
        while self.peers.get(peer).in_flight < self.contacts_per_peer() {
            let Some((query, step)) = self.peers.get(peer).waiting.pop_front() else { return };
            let is_barred = self.peers.is_barred(self.now, peer);
            let config = self.asked(query).query.config.clone();
            let (fan_out, hedges_max) = (self.conditions.fan_out(&config), config.hedges_max);
            let lane = self.lane(query, step);
            let is_wanted = lane.ended.is_none() && lane.has_slot(peer, fan_out, hedges_max);
            if is_wanted && !is_barred {
                self.send(query, step, peer);
                continue;
            }
            lane.get(peer).state = State::New;
            if is_barred {
                self.skip(query, step, peer);
            }
            self.mark_ready(query);
        }
    }

    pub(super) fn end_contact(&mut self, query: QueryId, step: Step, peer: u8, state: State) {
        let candidate = self.lane(query, step).get(peer);
        let was_overdue = std::mem::replace(&mut candidate.state, state) == State::Overdue;
        if !was_overdue {
            self.conditions.was_overdue(false);
        }
        self.leave(peer);
    }

    fn leave(&mut self, peer: u8) {
        let standing = self.peers.get(peer);
        standing.in_flight -= 1;
        if !standing.waiting.is_empty() {
            self.freed.push_back(peer);
        }
    }

    /// Ends a query; with the last one its work, whose contacts are released in the order in which they
    /// were chosen.
    pub(super) fn finish(&mut self, query: QueryId, reason: Reason) {
        let is_its = |asked: &Asked| asked.askers.iter().any(|asker| asker.id == query);
        let place = self.asked.iter().position(is_its).expect("a query ends once");
        let asked = &mut self.asked[place];
        let position = asked.askers.iter().position(|asker| asker.id == query).expect("it is there");
        let mut asker = asked.askers.remove(position);
        if !asker.is_refresh {
            let rest = asked.rest();
            let wanted = asker.max_results - asker.results;
            let given = if reason == Reason::Cancelled { 0 } else { wanted.min(rest.len()) };
            asker.withheld = (asked.undelivered() - given) as u32;
            for held in rest.into_iter().take(given) {
                let found = asker.found(self.now, &held, asked.votes(&held), self.now);
                self.said.push(Said::Found(query, found));
            }
        }
        self.keep_enough(place, &asker, reason);
        if self.asked[place].askers.is_empty() {
            self.release(place, &asker, reason);
        }
        let stats = self.asked[place].stats(&asker, self.now);
        if self.asked[place].askers.is_empty() {
            self.asked.remove(place);
        }
        if !asker.is_refresh {
            self.said.push(Said::Finished(query, reason, asker.results, stats, None));
        }
    }

    fn release(&mut self, place: usize, last: &Asker, reason: Reason) {
        // What the clock slept through is not the peers' fault.
        let at = if reason == Reason::DeadlineReached { last.deadline } else { self.now };
        let work = self.asked[place].id;
        for peer in 0..PEERS {
            self.peers.get(peer).waiting.retain(|(other, _)| *other != work);
        }
        for (_, step, contact, name) in self.asked[place].in_flight() {
            let peer = contact.map(|(peer, ..)| peer);
            self.said.push(Said::Released(Some((name, step, peer))));
            let Some((peer, state, sent)) = contact else {
                // Of a lookup no more is known than that it was one request.
                let asked = &mut self.asked[place];
                asked.contacted = asked.contacted.saturating_add(1);
                if reason == Reason::DeadlineReached {
                    asked.failed = asked.failed.saturating_add(1);
                }
                continue;
            };
            self.leave(peer);
            if state == State::Overdue {
                self.peers.given_up(peer, at.since(sent));
                if reason == Reason::DeadlineReached {
                    let asked = &mut self.asked[place];
                    asked.failed = asked.failed.saturating_add(1);
                    self.peers.failure(peer);
                }
            }
        }
    }
}
