//! Connections that are kept for another request.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::Context;
use std::time::{Duration, Instant};

use async_io::Timer;
use futures::Future;

use super::connection::Connection;
use crate::url::Origin;

/// Idle connections to all origins together.
const IDLE_MAX: usize = 64;

/// Idle connections, in the order in which they expire. One that the registry closes meanwhile is found
/// out when it is used or when it expires.
pub(super) struct Pool {
    idle: VecDeque<Idle>,
    /// Set for when the first expires.
    timer: Timer,
    per_origin_max: usize,
    timeout: Duration,
}

struct Idle {
    origin: Origin,
    connection: Connection,
    /// `None` for ever: the timeout is beyond what the clock can count.
    until: Option<Instant>,
}

impl Idle {
    fn is_over(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| until <= now)
    }
}

impl Pool {
    pub(super) fn new(per_origin_max: usize, timeout: Duration) -> Self {
        Self { idle: VecDeque::new(), timer: Timer::never(), per_origin_max: per_origin_max.max(1), timeout }
    }

    /// A connection to there: the one that was used last, which is the least likely to be closed.
    pub(super) fn take(&mut self, origin: &Origin) -> Option<Connection> {
        let now = Instant::now();
        let index = self.idle.iter().rposition(|idle| idle.origin == *origin && !idle.is_over(now))?;
        self.idle.remove(index).map(|idle| idle.connection)
    }

    /// Keeps a connection for another request.
    pub(super) fn keep(&mut self, origin: Origin, connection: Connection) {
        if self.timeout.is_zero() {
            return;
        }
        let there = self.idle.iter().filter(|idle| idle.origin == origin).count();
        if there >= self.per_origin_max {
            return;
        }
        if self.idle.len() >= IDLE_MAX {
            self.idle.pop_front();
        }
        let until = Instant::now().checked_add(self.timeout);
        self.idle.push_back(Idle { origin, connection, until });
    }

    /// Lets go of those whose time is up, and registers the waker for the next one.
    pub(super) fn poll_idle(&mut self, cx: &mut Context<'_>) {
        loop {
            let now = Instant::now();
            while self.idle.front().is_some_and(|idle| idle.is_over(now)) {
                self.idle.pop_front();
            }
            let Some(until) = self.idle.front().and_then(|first| first.until) else { return };
            self.timer.set_at(until);
            if Pin::new(&mut self.timer).poll(cx).is_pending() {
                return;
            }
        }
    }
}
