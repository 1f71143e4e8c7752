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

    /// Ready once `now()` is at or after `until`; otherwise registers the waker for that moment, in
    /// place of any earlier registration.
    fn poll_until(&mut self, cx: &mut Context<'_>, until: Time) -> Poll<()>;
}

/// The machine's monotonic clock. Sleeps by `futures-timer`: one thread for the whole process, started
/// at the first sleep; no runtime.
pub struct SystemClock {
    origin: Instant,
    delay: Option<(Time, Delay)>,
}

impl SystemClock {
    /// A clock whose origin is now.
    #[expect(clippy::disallowed_methods, reason = "the one clock of this crate")]
    pub fn new() -> Self {
        Self { origin: Instant::now(), delay: None }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Time {
        Time::ZERO + self.origin.elapsed()
    }

    fn poll_until(&mut self, cx: &mut Context<'_>, until: Time) -> Poll<()> {
        loop {
            let now = self.now();
            if now >= until {
                return Poll::Ready(());
            }
            match &mut self.delay {
                Some((armed, delay)) => {
                    if *armed != until {
                        delay.reset(until - now);
                        *armed = until;
                    }
                }
                empty @ None => *empty = Some((until, Delay::new(until - now))),
            }
            let (_, delay) = self.delay.as_mut().expect("armed above");
            match Pin::new(delay).poll(cx) {
                Poll::Pending => return Poll::Pending,
                // Early by a rounding, or fired for an earlier arming: arm again.
                Poll::Ready(()) => self.delay = None,
            }
        }
    }
}
