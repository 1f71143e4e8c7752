//! How contacts begin and end: slots, timers, links and outputs kept in step.

use smallvec::SmallVec;

use super::QueryEngine;
use crate::arena::NONE;
use crate::lookup::{Contact, Lane, Links, Phase, RouteLane, State};
use crate::network::{Failure, LookupTotals, Network};
use crate::output::Output;
use crate::pacing::{Pace, Slot};
use crate::peers::PeerIndex;
use crate::timers::Due;

/// Beginnings.
impl<N: Network> QueryEngine<N> {
    /// Contacts a peer whose lane has a slot for it, or lets the contact wait if too many are in flight
    /// to the peer, or others wait for it already.
    pub(super) fn contact(&mut self, work: u32, lane: Lane, peer: PeerIndex, pace: Pace) {
        let slot = self.insert_contact(work, lane, peer, Phase::Waiting);
        let is_first = self.peers.waiting_mut(peer).0 == NONE;
        if is_first && self.peers.in_flight(peer) < self.config.caps.contacts_per_peer {
            self.send(slot, pace);
        } else {
            self.enqueue(slot);
            self.works[work].set_state(lane, peer, State::Waiting, &self.peers);
        }
    }

    /// Sends a contact that is in no queue and has been counted nowhere.
    pub(super) fn send(&mut self, slot: u32, pace: Pace) {
        let Contact { work: work_slot, peer, lane, .. } = self.contacts[slot];
        let work = &mut self.works[work_slot];
        let source = self.peers.source(peer);
        if work.slots(lane).slot(source, pace) == Some(Slot::Hedge) {
            work.counts.add(source, |counts| counts.hedged += 1);
            self.metrics.contacts_hedged += 1;
        }
        work.slots_mut(lane).begin(source);
        work.set_state(lane, peer, State::InFlight, &self.peers);
        work.counts.add(source, |counts| counts.contacted += 1);
        self.metrics.contacts_started += 1;
        *self.peers.in_flight_mut(peer) += 1;
        self.contacts[slot].phase = Phase::InFlight;
        self.contacts[slot].sent = self.now;
        let timeout = work.limits.soft_timeout(&self.conditions, self.peers.patience(peer), false);
        self.set_timeout(slot, self.now + timeout);
        self.withdraw_if_full(work_slot, lane, peer, pace);
        if self.works[work_slot].is_disjoint {
            self.own(work_slot, lane, peer);
        }
        self.outputs.push_back(Output::Contact {
            request: self.request_id(slot),
            query: self.asker(work_slot),
            peer: self.peers.peer(peer).clone(),
            step: lane.step(),
            ask: self.works[work_slot].request.clone(),
        });
    }

    /// Takes a peer that one of several disjoint walks contacts from the others. Only now, and not when it
    /// was offered: or a walk that is flooded with invented peers, or with true ones, would take them all.
    fn own(&mut self, work_slot: u32, lane: Lane, peer: PeerIndex) {
        let Self { works, peers, .. } = self;
        let walks =
            works[work_slot].rivals(lane).filter_map(|(other, walk)| Some((other, walk.state(peer, peers)?)));
        let rivals: SmallVec<[(Lane, State); 8]> = walks.collect();
        let loses = |(_, state): &(Lane, State)| matches!(state, State::New | State::Waiting);
        if rivals.iter().any(loses) {
            // Whose next that was has another next.
            self.mark_ready(work_slot);
        }
        for (other, state) in rivals {
            if state == State::Waiting {
                let is_it = |contact: &Contact| contact.lane == other && contact.peer == peer;
                let mut waiting = self.works[work_slot].contacts.iter().copied();
                let slot =
                    waiting.find(|&slot| is_it(&self.contacts[slot])).expect("who waits is in the list");
                self.dequeue(slot);
                self.remove_contact(slot);
            }
            if matches!(state, State::New | State::Waiting)
                && let Some(walk) = self.works[work_slot].walk_mut(other)
            {
                walk.remove(peer, &self.peers);
                self.peers.release(peer);
            }
        }
    }

    /// A contact in flight has left the transport.
    pub(super) fn sent(&mut self, slot: u32) {
        let contact = &mut self.contacts[slot];
        let wait = self.now.since(contact.sent);
        contact.is_sent = true;
        contact.sent = self.now;
        let Contact { work, peer, phase, .. } = *contact;
        self.conditions.sent(wait);
        let limits = &self.works[work].limits;
        let timeout = match phase {
            Phase::Overdue => limits.request_timeout(),
            _ => limits.soft_timeout(&self.conditions, self.peers.patience(peer), true),
        };
        self.set_timeout(slot, self.now + timeout);
        if phase == Phase::Overdue {
            // It may hold up its lane now as before.
            self.mark_ready(work);
        }
    }

    pub(super) fn begin_lookup(&mut self, work: u32, route: u16) {
        let slot = self.insert_contact(work, Lane(route), PeerIndex::NOBODY, Phase::Lookup);
        self.metrics.lookups_started += 1;
        self.outputs.push_back(Output::Lookup {
            request: self.request_id(slot),
            query: self.asker(work),
            route,
            source: self.works[work].routes[usize::from(route)].source,
            ask: self.works[work].request.clone(),
        });
    }

    pub(super) fn asker(&self, work: u32) -> crate::query::QueryId {
        let mut queries = self.works[work].queries.iter().map(|&query| &self.queries[query]);
        // One that lives, rather than one that has ended and left a refresh behind.
        let first = queries.next().expect("work ends with its last query");
        if first.is_refresh { queries.next().unwrap_or(first).id } else { first.id }
    }

    fn insert_contact(&mut self, work: u32, lane: Lane, peer: PeerIndex, phase: Phase) -> u32 {
        let (sent, queue) = (self.now, Links::NONE);
        let contact = Contact { work, peer, lane, phase, is_sent: false, sent, due: Due::NEVER, queue };
        let slot = self.contacts.insert(contact);
        self.works[work].contacts.push(slot);
        slot
    }
}

/// Ends.
impl<N: Network> QueryEngine<N> {
    /// A contact has failed, or was given up.
    pub(super) fn fail(&mut self, slot: u32, failure: Failure) {
        let contact = self.end_contact(slot, State::Failed);
        let source = self.peers.source(contact.peer);
        let counts = &mut self.works[contact.work].counts;
        counts.add(source, |counts| counts.failed += 1);
        self.metrics.contacts_failed += 1;
        match failure {
            Failure::Local => {}
            Failure::Invalid => {
                counts.add(source, |counts| counts.invalid += 1);
                self.metrics.invalid += 1;
                self.count_invalid(contact.peer);
            }
            _ => self.peers.record_failure(self.now, contact.peer),
        }
        self.mark_ready(contact.work);
    }

    pub(super) fn count_invalid(&mut self, peer: PeerIndex) {
        if self.peers.record_invalid(self.now, peer) {
            self.metrics.peers_barred += 1;
        }
    }

    pub(super) fn end_lookup(&mut self, slot: u32, converged: bool, totals: LookupTotals) {
        let ended = if converged { &mut self.metrics.lookups_done } else { &mut self.metrics.lookups_failed };
        *ended += 1;
        let Contact { work: work_slot, lane: Lane(route), .. } = self.remove_contact(slot);
        let work = &mut self.works[work_slot];
        let RouteLane { route, source, .. } = &mut work.routes[usize::from(route)];
        route.end(converged);
        work.counts.add(*source, |counts| {
            counts.contacted += totals.contacted;
            counts.replied += totals.replied;
            counts.failed += totals.failed;
        });
        self.mark_ready(work_slot);
    }

    /// Takes a contact in flight out of all tables; what its end means is the caller's to count.
    pub(super) fn end_contact(&mut self, slot: u32, state: State) -> Contact {
        #[cfg(feature = "sabotage")]
        let state = self.spoil_state(state);
        let contact = self.remove_contact(slot);
        self.leave_peer(&contact);
        let work = &mut self.works[contact.work];
        let source = self.peers.source(contact.peer);
        let is_overdue = contact.phase == Phase::Overdue;
        if !is_overdue {
            self.conditions.was_overdue(false);
        }
        work.slots_mut(contact.lane).end(source, is_overdue);
        work.set_state(contact.lane, contact.peer, state, &self.peers);
        contact
    }

    /// One fewer is in flight to the contact's peer.
    pub(super) fn leave_peer(&mut self, contact: &Contact) {
        *self.peers.in_flight_mut(contact.peer) -= 1;
        if self.peers.waiting_mut(contact.peer).0 != NONE {
            self.freed.push_back(contact.peer);
        }
    }

    /// Takes a contact out of the arena and its work's list.
    pub(super) fn remove_contact(&mut self, slot: u32) -> Contact {
        let contact = self.contacts.remove(slot);
        let siblings = &mut self.works[contact.work].contacts;
        let position = siblings.iter().position(|&other| other == slot);
        siblings.remove(position.expect("a contact is in its work's list"));
        contact
    }
}

/// The queue of contacts that wait for a peer.
impl<N: Network> QueryEngine<N> {
    fn enqueue(&mut self, slot: u32) {
        let (first, last) = *self.peers.waiting_mut(self.contacts[slot].peer);
        self.contacts[slot].queue.previous = last;
        if last != NONE {
            self.contacts[last].queue.next = slot;
        }
        let first = if first == NONE { slot } else { first };
        *self.peers.waiting_mut(self.contacts[slot].peer) = (first, slot);
        self.works[self.contacts[slot].work].waiting += 1;
        self.metrics.contacts_waiting += 1;
    }

    /// When a lane has used its last slot for a source, what waits for it there waits no longer, and its
    /// candidates are as if they had not been chosen: a place in a queue belongs to somebody who can use
    /// it, or one reply of a busy peer would walk all queries that ever wanted it.
    fn withdraw_if_full(&mut self, work_slot: u32, lane: Lane, peer: PeerIndex, pace: Pace) {
        if self.works[work_slot].waiting == 0 {
            return;
        }
        let source = self.peers.source(peer);
        let work = &self.works[work_slot];
        if work.slots(lane).slot(source, pace).is_some() {
            return;
        }
        let mut position = 0;
        while let Some(&slot) = self.works[work_slot].contacts.get(position) {
            let contact = &self.contacts[slot];
            let (peer, is_waiting) = (contact.peer, contact.phase == Phase::Waiting && contact.lane == lane);
            if is_waiting && self.peers.source(peer) == source {
                self.dequeue(slot);
                self.remove_contact(slot);
                self.works[work_slot].set_state(lane, peer, State::New, &self.peers);
            } else {
                position += 1;
            }
        }
    }

    pub(super) fn dequeue(&mut self, slot: u32) {
        let Contact { work, peer, queue: Links { previous, next }, .. } = self.contacts[slot];
        self.works[work].waiting -= 1;
        self.contacts[slot].queue = Links::NONE;
        let (mut first, mut last) = *self.peers.waiting_mut(peer);
        if previous == NONE {
            first = next;
        } else {
            self.contacts[previous].queue.next = next;
        }
        if next == NONE {
            last = previous;
        } else {
            self.contacts[next].queue.previous = previous;
        }
        *self.peers.waiting_mut(peer) = (first, last);
        self.metrics.contacts_waiting -= 1;
    }
}
