//! The passing of time: timeouts of contacts, deadlines of queries.

use super::QueryEngine;
#[cfg(feature = "sabotage")]
use super::sabotage::Sabotage;
use crate::arena::NONE;
use crate::lookup::{Contact, Phase, State};
use crate::network::{Failure, Network};
use crate::output::Output;
use crate::query::Reason;
use crate::time::Time;
use crate::timers::{Due, Owner};

/// What has come due.
enum Timer {
    /// The deadline of the query in this slot.
    Deadline(u32),
    /// The soft or the hard timeout of the contact in this slot.
    Contact(u32),
}

impl<N: Network> QueryEngine<N> {
    /// Does whatever is due by `now`. Every input begins with it and ends with
    /// [`settle`](Self::settle).
    pub(super) fn advance(&mut self, now: Time) {
        if now < self.now {
            self.metrics.time_reversals += 1;
        } else {
            self.now = now;
        }
        #[cfg(feature = "sabotage")]
        if self.is_sabotaged(Sabotage::GoBackInTime) {
            self.now = now;
        }
        while let Some((at, timer)) = self.next_timer(self.now) {
            match timer {
                Timer::Deadline(query) => {
                    self.finish_at(query, Reason::DeadlineReached, at);
                }
                Timer::Contact(contact) => {
                    self.contacts[contact].due = Due::NEVER;
                    self.contact_due(contact, at);
                }
            }
        }
    }

    /// The exact time of the next timer.
    pub(super) fn next_timeout(&mut self) -> Option<Time> {
        self.next_timer(Time::MAX).map(|(at, _)| at)
    }

    /// The next timer, if it is due by `by`. The alarms of work that has moved on since they were set are put
    /// off when they come to the top.
    fn next_timer(&mut self, by: Time) -> Option<(Time, Timer)> {
        loop {
            let (due, owner) = self.timers.first().filter(|(due, _)| due.at() <= by)?;
            let work_slot = match owner {
                Owner::Query(query) => return Some((due.at(), Timer::Deadline(query))),
                Owner::Work(work) => work,
            };
            let Self { works, contacts, timers, .. } = self;
            let work = &mut works[work_slot];
            let (_, contact) = work.alarm;
            if contacts.peek(contact).is_some_and(|contact| contact.due == due) {
                return Some((due.at(), Timer::Contact(contact)));
            }
            work.alarm = (Due::NEVER, NONE);
            for &contact in &work.contacts {
                let due = contacts[contact].due;
                if due < work.alarm.0 {
                    work.alarm = (due, contact);
                }
            }
            timers.set_alarm(work_slot, work.alarm.0);
        }
    }

    /// Sets a contact's timeout, in place of its earlier one.
    pub(super) fn set_timeout(&mut self, slot: u32, at: Time) {
        let Self { works, contacts, timers, .. } = self;
        let contact = &mut contacts[slot];
        contact.due = timers.timeout(at);
        let work = &mut works[contact.work];
        if contact.due < work.alarm.0 {
            work.alarm = (contact.due, slot);
            timers.set_alarm(contact.work, contact.due);
        }
    }

    /// How many timers are set: one for each query with a deadline, and one for each contact with a timeout.
    pub(super) fn timers_set(&self) -> usize {
        let is_set = |due: Due| usize::from(due != Due::NEVER);
        let timeouts: usize = self.contacts.iter().map(|(_, contact)| is_set(contact.due)).sum();
        self.timers.deadlines() + timeouts
    }

    /// The soft or the hard timeout of a contact has come, at `at`.
    fn contact_due(&mut self, slot: u32, at: Time) {
        let Contact { work: work_slot, peer, lane, sent, phase, .. } = self.contacts[slot];
        let request_timeout = self.works[work_slot].limits.request_timeout();
        if phase == Phase::Overdue || at.since(sent) >= request_timeout {
            self.outputs.push_back(Output::Release { request: self.request_id(slot) });
            self.peers.record_given_up(peer, at.since(sent));
            self.fail(slot, Failure::TimedOut);
            return;
        }
        self.set_timeout(slot, sent + request_timeout);
        self.contacts[slot].phase = Phase::Overdue;
        let work = &mut self.works[work_slot];
        let source = self.peers.source(peer);
        work.slots_mut(lane).overdue(source);
        work.set_state(lane, peer, State::Overdue, &self.peers);
        work.counts.add(source, |counts| counts.overdue += 1);
        self.metrics.contacts_overdue += 1;
        self.conditions.was_overdue(true);
        self.mark_ready(work_slot);
    }
}
