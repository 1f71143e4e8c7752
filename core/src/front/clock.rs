//! The only place in this crate that reads a clock.

use core::pin::Pin;
use core::task::{Context, Poll};
use std::time::Instant;

use futures_timer::Delay;

use crate::time::Time;

/// Tells the time and sleeps until it. A driver owns one.
pub trait Clock {
    /// Now. Never goes back.
    fn now(&self) -> Time;

    /// Ready once `now()` is at or after `until`; otherwise arranges that the waker of this context is
    /// woken at that moment, and forgets the wakers of earlier calls. Waking sooner is allowed, and
    /// costs the driver a poll.
    fn poll_until(&mut self, cx: &mut Context<'_>, until: Time) -> Poll<()>;
}

/// The machine's monotonic clock. Sleeps by `futures-timer`: one thread for the whole process, started
/// at the first sleep; no runtime.
pub struct SystemClock {
    origin: Instant,
    delay: Option<Delay>,
    /// What the delay is set for.
    armed: Option<Time>,
}

impl SystemClock {
    /// A clock whose origin is now.
    #[expect(clippy::disallowed_methods, reason = "the one clock of this crate")]
    pub fn new() -> Self {
        Self { origin: Instant::now(), delay: None, armed: None }
    }

    /// The delay, set for `until` or for an earlier moment.
    ///
    /// The next timeout of a busy driver mostly moves away from it, a little at each answer. To follow
    /// every move would wake the timer's thread each time; to be woken once too early, and only then
    /// to set the delay anew, does not.
    fn armed_by(&mut self, until: Time, now: Time) -> &mut Delay {
        if self.armed.is_none_or(|armed| armed > until) {
            self.armed = Some(until);
            match &mut self.delay {
                Some(delay) => delay.reset(until - now),
                none @ None => *none = Some(Delay::new(until - now)),
            }
        }
        self.delay.as_mut().expect("what is armed has a delay")
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl core::fmt::Debug for SystemClock {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("SystemClock").field("now", &self.now()).field("armed", &self.armed).finish()
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one clock of this crate")]
    fn now(&self) -> Time {
        Time::ZERO + self.origin.elapsed()
    }

    fn poll_until(&mut self, cx: &mut Context<'_>, until: Time) -> Poll<()> {
        loop {
            let now = self.now();
            if now >= until {
                return Poll::Ready(());
            }
            match Pin::new(self.armed_by(until, now)).poll(cx) {
                Poll::Pending => return Poll::Pending,
                // It was set for an earlier moment.
                Poll::Ready(()) => self.armed = None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use futures::executor::block_on;
    use futures::future::poll_fn;

    use super::*;

    #[test]
    fn it_sleeps_until_the_moment_asked_for_whatever_was_asked_before() {
        let mut clock = SystemClock::new();
        let start = clock.now();
        let (far, near, middle) = (
            start + Duration::from_secs(3600),
            start + Duration::from_millis(10),
            start + Duration::from_millis(30),
        );
        let mut step = 0;
        block_on(poll_fn(|cx| {
            step += 1;
            if step == 1 {
                // Later, sooner, later again: only the last counts.
                assert!(clock.poll_until(cx, far).is_pending());
                assert!(clock.poll_until(cx, near).is_pending());
            }
            clock.poll_until(cx, middle)
        }));
        assert!(clock.now() >= middle, "{:?}", clock.now());
        assert!(clock.now() < far);
        assert!(step >= 2);
    }
}
