//! What the adapter holds, for those who cannot wait for an answer: a collector of metrics above all.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_timer::Delay;

use crate::behaviour::Behaviour;
use crate::client::Snapshot;

/// How old the last snapshot may be: as the engine's metrics.
const SNAPSHOT_EVERY: Duration = Duration::from_millis(100);

/// Snapshots that are made and not looked at before no more are: those of five minutes or more, longer than
/// any monitor rests between two looks.
const UNSEEN_MAX: u32 = 3000;

/// The last snapshot, which a behaviour makes once somebody has asked for it, for as long as somebody looks.
#[derive(Debug, Default)]
pub(crate) struct Watched {
    /// Whether the behaviour has been told.
    is_wanted: AtomicBool,
    /// Whether somebody has looked since the last one was made.
    is_seen: AtomicBool,
    last: Mutex<Snapshot>,
}

impl Watched {
    pub(crate) fn last(&self) -> Snapshot {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that somebody wants it; whether nobody has before.
    pub(crate) fn want(&self) -> bool {
        self.is_seen.store(true, Ordering::Relaxed);
        !self.is_wanted.swap(true, Ordering::Relaxed)
    }

    /// It could not be told, or has ceased: who asks next tells it.
    pub(crate) fn unwant(&self) {
        self.is_wanted.store(false, Ordering::Relaxed);
    }

    fn take_seen(&self) -> bool {
        self.is_seen.swap(false, Ordering::Relaxed)
    }

    fn publish(&self, snapshot: Snapshot) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = snapshot;
    }
}

/// When the next snapshot is made.
#[derive(Default)]
pub(crate) struct Watch {
    /// Until then none is.
    rest: Option<Delay>,
    /// Whether the behaviour has been polled meanwhile.
    is_stale: bool,
    /// Snapshots since somebody looked.
    unseen: u32,
}

impl Watch {
    /// Counts one more snapshot; whether it is one too many that nobody looks at.
    fn has_lapsed(&mut self, is_seen: bool) -> bool {
        self.unseen = if is_seen { 0 } else { self.unseen + 1 };
        self.unseen > UNSEEN_MAX
    }
}

impl Behaviour {
    /// Said at the end of a poll: something may have happened. One that nobody polls has nothing new, and
    /// wakes for this once after its last poll.
    pub(crate) fn publish_snapshot(&mut self, cx: &mut Context<'_>) {
        let Some(watch) = &mut self.watch else { return };
        let goes_on = match watch.rest.as_mut().map(|rest| Pin::new(rest).poll(cx)) {
            None => true,
            Some(Poll::Ready(())) => std::mem::take(&mut watch.is_stale),
            Some(Poll::Pending) => {
                watch.is_stale = true;
                return;
            }
        };
        if watch.has_lapsed(self.channels.watched.take_seen()) {
            self.watch = None;
            self.watched().unwant();
            return;
        }
        watch.rest = goes_on.then(|| Delay::new(SNAPSHOT_EVERY));
        if let Some(rest) = &mut watch.rest {
            // Registers the waker; were it ready already, the next poll would see it.
            let _ = Pin::new(rest).poll(cx);
        }
        let snapshot = self.snapshot();
        self.watched().publish(snapshot);
    }
}

#[cfg(test)]
mod tests {
    use libp2p::PeerId;

    use super::*;
    use crate::client::Command;
    use crate::config::Config;

    #[test]
    fn snapshots_that_nobody_looks_at_are_made_no_longer() {
        let (mut behaviour, client) = Behaviour::new(PeerId::random(), Config::default());
        client.last_snapshot();
        behaviour.on_command(Command::Watch);
        let snapshot = |behaviour: &mut Behaviour| {
            // As if it had rested.
            if let Some(watch) = &mut behaviour.watch {
                watch.rest = None;
            }
            behaviour.publish_snapshot(&mut Context::from_waker(std::task::Waker::noop()));
            behaviour.watch.is_some()
        };
        // The first has been seen, as it were: by who asked for it.
        assert!((0..=UNSEEN_MAX).all(|_| snapshot(&mut behaviour)));
        client.last_snapshot();
        assert!((0..=UNSEEN_MAX).all(|_| snapshot(&mut behaviour)), "somebody has looked");
        assert!(!snapshot(&mut behaviour));
        // Who looks later gets the behaviour told again.
        assert!(behaviour.watched().want());
    }
}
