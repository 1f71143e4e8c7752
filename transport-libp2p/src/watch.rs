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

/// The last snapshot, which a behaviour makes once somebody has asked for it.
#[derive(Debug, Default)]
pub(crate) struct Watched {
    is_wanted: AtomicBool,
    last: Mutex<Snapshot>,
}

impl Watched {
    pub(crate) fn last(&self) -> Snapshot {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that somebody wants it; whether nobody has before.
    pub(crate) fn want(&self) -> bool {
        !self.is_wanted.swap(true, Ordering::Relaxed)
    }

    /// It could not be told: who asks next tells it.
    pub(crate) fn unwant(&self) {
        self.is_wanted.store(false, Ordering::Relaxed);
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
        watch.rest = goes_on.then(|| Delay::new(SNAPSHOT_EVERY));
        if let Some(rest) = &mut watch.rest {
            // Registers the waker; were it ready already, the next poll would see it.
            let _ = Pin::new(rest).poll(cx);
        }
        let snapshot = self.snapshot();
        self.watched().publish(snapshot);
    }
}
