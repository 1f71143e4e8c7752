//! Ways to break the engine on purpose, so that a test can show that the test of a promise fails when
//! the promise is broken. Compiled under the feature `sabotage` alone, and off until switched on.

use core::sync::atomic::{AtomicUsize, Ordering};
use core::time::Duration;

use super::QueryEngine;
use crate::lookup::{Answers, Limits, Phase, Rules, State, Work};
use crate::network::Network;
use crate::output::Output;
use crate::query::Reason;
use crate::time::Time;

/// What to break. For tests only.
#[doc(hidden)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sabotage {
    DeliverTwice,
    DeliverEarly,
    GrowHeld,
    OneResultTooMany,
    NeverFinish,
    FinishTwice,
    SpeakAfterFinish,
    FinishLate,
    FinishEarly,
    ForgetRelease,
    ReleaseTwice,
    OneContactTooMany,
    OneHedgeTooMany,
    RiseTooFar,
    NeverRise,
    NeverLearn,
    NeverHurry,
    ContactTwice,
    ContactBarred,
    ShareRoutes,
    SpuriousTimeout,
    LateTimeout,
    GrowCandidates,
    KeepPeers,
    HiddenState,
    BelieveStale,
    GoBackInTime,
    ForgetAccepted,
    ServeTooOld,
    KeepUnfinished,
    KeepHidden,
}

/// The switch and what it does to values on their way.
impl<N: Network> QueryEngine<N> {
    /// Breaks the engine from now on. For tests only.
    #[doc(hidden)]
    pub fn sabotage(&mut self, how: Sabotage) {
        self.sabotage = Some(how);
    }

    pub(super) fn is_sabotaged(&self, how: Sabotage) -> bool {
        self.sabotage == Some(how)
    }

    /// Forgets what was delivered.
    pub(super) fn spoil_answers(&mut self, work: u32) {
        if self.is_sabotaged(Sabotage::DeliverTwice) {
            match &mut self.works[work].answers {
                Answers::Delivered(ids) => ids.clear(),
                Answers::Held(ballot) => ballot.forget_deliveries(),
            }
        }
    }

    pub(super) fn spoil_rules(&self, rules: Rules) -> Rules {
        match self.sabotage {
            Some(Sabotage::DeliverEarly) => {
                Rules { quorum: rules.quorum.map(|votes| votes.saturating_sub(1)), ..rules }
            }
            Some(Sabotage::GrowHeld) => Rules { held_max: rules.held_max + 1, ..rules },
            _ => rules,
        }
    }

    /// Lets disjoint walks ask the same peers.
    pub(super) fn spoil_disjoint(&self, work: &mut Work<N>) {
        work.is_disjoint &= !self.is_sabotaged(Sabotage::ShareRoutes);
    }

    pub(super) fn spoil_deadline(&self, deadline: Time) -> Time {
        match self.sabotage {
            Some(Sabotage::FinishLate) => deadline + Duration::from_micros(100),
            Some(Sabotage::FinishEarly) => Time::ZERO + (deadline - Time::from_nanos(100_000)),
            _ => deadline,
        }
    }

    pub(super) fn spoil_limits(&self, limits: &mut Limits) {
        match self.sabotage {
            Some(Sabotage::OneContactTooMany) => limits.fan_out = limits.fan_out.saturating_add(1),
            Some(Sabotage::OneHedgeTooMany) => limits.hedges_max = limits.hedges_max.saturating_add(1),
            Some(Sabotage::RiseTooFar) if limits.adaptive_fan_out => {
                limits.fan_out = limits.fan_out.saturating_mul(5);
            }
            Some(Sabotage::NeverRise) => limits.adaptive_fan_out = false,
            Some(Sabotage::NeverLearn) => limits.adaptive_timeout = false,
            _ => {}
        }
    }

    /// Makes a candidate that has failed a new one.
    pub(super) fn spoil_state(&self, state: State) -> State {
        let is_spoiled = state == State::Failed && self.is_sabotaged(Sabotage::ContactTwice);
        if is_spoiled { State::New } else { state }
    }

    pub(super) fn spoil_timeout(&self, at: Time) -> Time {
        match self.sabotage {
            Some(Sabotage::SpuriousTimeout) => Time::ZERO + (at - Time::from_nanos(1)),
            Some(Sabotage::LateTimeout) => at + Duration::from_nanos(1),
            _ => at,
        }
    }

    pub(super) fn spoil_candidates_max(&self, candidates_max: usize) -> usize {
        if self.is_sabotaged(Sabotage::GrowCandidates) { candidates_max + 1 } else { candidates_max }
    }

    /// What is in a slot whatever the generation, of the first few.
    pub(super) fn spoil_phase(&self, slot: u32) -> Option<Phase> {
        let is_spoiled = self.is_sabotaged(Sabotage::BelieveStale);
        let mut generations = 0..if is_spoiled { 1000 } else { 0 };
        generations.find_map(|generation| self.contacts.get(slot, generation)).map(|contact| contact.phase)
    }
}

/// One more result than is wanted.
pub(super) fn spoil_results_max(sabotage: Option<Sabotage>, results_max: u32) -> u32 {
    results_max + u32::from(sabotage == Some(Sabotage::OneResultTooMany))
}

/// Nothing of what was accepted before.
pub(super) fn spoil_accepted<K>(sabotage: Option<Sabotage>, accepted: &[K]) -> &[K] {
    if sabotage == Some(Sabotage::ForgetAccepted) { &[] } else { accepted }
}

/// As if no time had passed, to what is kept.
pub(super) fn spoil_now(sabotage: Option<Sabotage>, now: Time) -> Time {
    if sabotage == Some(Sabotage::ServeTooOld) { Time::ZERO } else { now }
}

/// Whether an answer is kept whose query could have found more.
pub(super) fn keeps_unfinished(sabotage: Option<Sabotage>, reason: Reason) -> bool {
    sabotage == Some(Sabotage::KeepUnfinished) && reason == Reason::DeadlineReached
}

/// What it does to the outputs.
impl<N: Network> QueryEngine<N> {
    /// Called once everything that follows from an input is among the outputs.
    pub(super) fn spoil_outputs(&mut self) {
        match self.sabotage {
            Some(Sabotage::NeverFinish) => self.outputs.retain(|output| !is_finished(output)),
            Some(Sabotage::ForgetRelease) => self.outputs.retain(|output| !is_release(output)),
            Some(Sabotage::FinishTwice) => {
                if let Some(Output::Finished { query, outcome }) = self.outputs.back() {
                    let again = Output::Finished { query: *query, outcome: outcome.clone() };
                    self.outputs.push_back(again);
                }
            }
            Some(Sabotage::ReleaseTwice) => {
                if let Some(Output::Release { request }) = self.outputs.front() {
                    let again = Output::Release { request: *request };
                    self.outputs.push_front(again);
                }
            }
            Some(Sabotage::SpeakAfterFinish) if self.outputs.back().is_some_and(is_finished) => {
                self.outputs.rotate_right(1);
            }
            Some(Sabotage::HiddenState) => {
                static CALLS: AtomicUsize = AtomicUsize::new(0);
                if CALLS.fetch_add(1, Ordering::Relaxed).is_multiple_of(7) && !self.outputs.is_empty() {
                    self.outputs.rotate_left(1);
                }
            }
            _ => {}
        }
    }
}

fn is_finished<N: Network>(output: &Output<N>) -> bool {
    matches!(output, Output::Finished { .. })
}

fn is_release<N: Network>(output: &Output<N>) -> bool {
    matches!(output, Output::Release { .. })
}
