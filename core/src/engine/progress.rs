//! What follows from an input: free slots filled, waiting contacts let through, ends noticed.

use super::QueryEngine;
use crate::arena::NONE;
use crate::lookup::{Contact, Lane, Next, Phase, State};
use crate::network::Network;
use crate::pacing::{Pace, Slots};
use crate::peers::PeerIndex;
use crate::query::Reason;

/// Where no more than so many are overdue for each that has answered, the overdue are the exception.
const OVERDUE_PER_REPLY: u32 = 4;

impl<N: Network> QueryEngine<N> {
    /// Looks at work that has changed until nothing more follows. Every input ends with it.
    pub(super) fn settle(&mut self) {
        loop {
            if let Some((slot, generation)) = self.ready.pop_front() {
                if self.works.get(slot, generation).is_some() {
                    self.works[slot].is_ready = false;
                    self.go_on(slot);
                }
            } else if let Some(peer) = self.freed.pop_front() {
                self.let_through(peer);
            } else {
                break;
            }
        }
        #[cfg(feature = "sabotage")]
        self.spoil_outputs();
        self.close_note();
    }

    pub(super) fn mark_ready(&mut self, work: u32) {
        if !core::mem::replace(&mut self.works[work].is_ready, true) {
            self.ready.push_back((work, self.works.generation(work)));
        }
    }

    /// Fills the free slots of every lane, and ends the work if nobody is left to ask.
    fn go_on(&mut self, work: u32) {
        let mut is_open = false;
        let mut has_converged = !self.works[work].routes.is_empty();
        let pace = self.works[work].limits.pace(&self.conditions);
        for lane in self.works[work].lanes() {
            match self.fill(work, lane, pace) {
                End::Open => is_open = true,
                End::Converged => {}
                End::Exhausted if lane == Lane::FETCH => {}
                End::Exhausted => has_converged = false,
            }
        }
        if is_open {
            return self.hurry(work, pace);
        }
        let reason = if has_converged { Reason::Converged } else { Reason::Exhausted };
        self.keep_whole(work, reason);
        for query in self.works[work].queries.clone() {
            self.finish(query, reason);
        }
    }

    /// Gives up what holds a lane up: overdue contacts, when nothing else of it is in flight, or when they
    /// have used up its hedges. Not all at once, but each when it is so late that an answer would be a
    /// wonder; and not where few have answered so far, for then it may be that all are slow.
    fn hurry(&mut self, work_slot: u32, pace: Pace) {
        #[cfg(feature = "sabotage")]
        if self.is_sabotaged(super::Sabotage::NeverHurry) {
            return;
        }
        // Timeouts are fixed, or nothing is known of the network yet.
        if pace.typical.is_none() {
            return;
        }
        let work = &self.works[work_slot];
        let limits = work.limits;
        // Of nearly every piece of work nothing is held up: that is seen in the counts of its lanes. What waits
        // for a peer does not count: it may wait for one that is late everywhere, and is let through only when
        // others give that peer up, and they may wait in the same way.
        let holds_up =
            |slots: &Slots| slots.has_overdue() && (!slots.has_expected() || slots.is_hedged_out(pace));
        if !work.lanes().any(|lane| holds_up(work.slots(lane))) {
            return;
        }
        let overdue: u32 = work.lanes().map(|lane| work.slots(lane).overdue_count()).sum();
        if overdue > OVERDUE_PER_REPLY.saturating_mul(work.counts.all.replied.0) {
            return;
        }
        for index in 0..work.contacts.len() {
            let work = &self.works[work_slot];
            let slot = work.contacts[index];
            let Contact { lane, sent, is_sent, phase, due, .. } = self.contacts[slot];
            if phase != Phase::Overdue || !holds_up(work.slots(lane)) {
                continue;
            }
            let Some(lost_after) = limits.lost_after(&self.conditions, lane) else { continue };
            let until = (sent + lost_after + self.conditions.wait(is_sent)).max(self.now);
            if until < due.at() {
                self.set_timeout(slot, until);
            }
        }
    }

    /// Contacts the lane's next candidates while it has slots.
    fn fill(&mut self, work: u32, lane: Lane, pace: Pace) -> End {
        loop {
            match self.works[work].next(lane, pace, &self.peers) {
                Next::Contact(peer) if self.is_barred(peer) => self.skip(work, lane, peer),
                Next::Contact(peer) => self.contact(work, lane, peer, pace),
                Next::Wait => return End::Open,
                Next::Converged => return End::Converged,
                Next::Exhausted => return End::Exhausted,
            }
        }
    }

    fn skip(&mut self, work: u32, lane: Lane, peer: PeerIndex) {
        let work = &mut self.works[work];
        work.set_state(lane, peer, State::Skipped, &self.peers);
        work.counts.all.barred += 1;
    }

    fn is_barred(&self, peer: PeerIndex) -> bool {
        #[cfg(feature = "sabotage")]
        if self.is_sabotaged(super::Sabotage::ContactBarred) {
            return false;
        }
        self.peers.is_barred(self.now, peer)
    }

    /// Sends what waits for a peer while there is room. Whoever waits has a slot, so that each place
    /// makes one contact; only a lane that has ended, or a barred peer, gives its places up.
    fn let_through(&mut self, peer: PeerIndex) {
        while self.peers.in_flight(peer) < self.config.caps.contacts_per_peer {
            let (slot, _) = *self.peers.waiting_mut(peer);
            if slot == NONE {
                return;
            }
            self.dequeue(slot);
            let Contact { work: work_slot, lane, .. } = self.contacts[slot];
            let is_barred = self.is_barred(peer);
            let work = &mut self.works[work_slot];
            let pace = work.limits.pace(&self.conditions);
            let has_slot = work.slots(lane).slot(self.peers.source(peer), pace).is_some();
            if has_slot && !is_barred && work.is_open(lane) {
                self.send(slot, pace);
                continue;
            }
            work.set_state(lane, peer, State::New, &self.peers);
            self.remove_contact(slot);
            if is_barred {
                self.skip(work_slot, lane, peer);
            }
            self.mark_ready(work_slot);
        }
    }
}

/// Whether a lane has come to its end.
enum End {
    Open,
    Converged,
    Exhausted,
}
