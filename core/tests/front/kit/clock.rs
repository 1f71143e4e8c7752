//! Time that moves when a test says so.

use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::sync::{Arc, Mutex};

use dragnet_core::Time;
use dragnet_core::front::Clock;

use super::lock;

/// A clock; its clones tell the same time, and each sleeps for itself.
pub(crate) struct VirtualClock {
    shared: Arc<Mutex<Shared>>,
    slot: usize,
}

#[derive(Default)]
struct Shared {
    now: Time,
    sleepers: Vec<Option<(Time, Waker)>>,
}

impl VirtualClock {
    pub(crate) fn new() -> Self {
        Self { shared: Arc::new(Mutex::new(Shared { sleepers: vec![None], ..Shared::default() })), slot: 0 }
    }

    /// Moves on, waking whoever is due.
    pub(crate) fn advance(&self, by: Duration) {
        let now = self.now();
        self.advance_to(now + by);
    }

    pub(crate) fn advance_to(&self, now: Time) {
        let due: Vec<Waker> = {
            let mut shared = lock(&self.shared);
            shared.now = shared.now.max(now);
            let now = shared.now;
            let due = shared
                .sleepers
                .iter_mut()
                .filter_map(|sleeper| sleeper.take_if(|(until, _)| *until <= now).map(|(_, waker)| waker));
            due.collect()
        };
        due.into_iter().for_each(Waker::wake);
    }

    /// When the next sleeper is due.
    pub(crate) fn next(&self) -> Option<Time> {
        lock(&self.shared).sleepers.iter().flatten().map(|(until, _)| *until).min()
    }

    /// Moves to the next sleeper's time; false if nobody sleeps.
    pub(crate) fn step(&self) -> bool {
        self.next().inspect(|next| self.advance_to(*next)).is_some()
    }
}

impl Clone for VirtualClock {
    fn clone(&self) -> Self {
        let mut shared = lock(&self.shared);
        shared.sleepers.push(None);
        Self { slot: shared.sleepers.len() - 1, shared: Arc::clone(&self.shared) }
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Time {
        lock(&self.shared).now
    }

    fn poll_until(&mut self, cx: &mut Context<'_>, until: Time) -> Poll<()> {
        let mut shared = lock(&self.shared);
        if shared.now >= until {
            return Poll::Ready(());
        }
        shared.sleepers[self.slot] = Some((until, cx.waker().clone()));
        Poll::Pending
    }
}
