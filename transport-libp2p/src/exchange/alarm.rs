//! The one timer of a connection's requests.

use std::task::{Context, Poll, ready};
use std::time::Instant;

use futures::FutureExt;
use futures_timer::Delay;

/// Rings at the earliest of the moments it was set to, or before.
///
/// A timer for each request would be two messages to the timers' thread for each, which is woken for them. So there
/// is one, and it is set anew only for an earlier moment: whoever hears it looks at what is due, and sets it for
/// what is next. Requests that have ended meanwhile cost nothing.
#[derive(Default)]
pub(super) struct Alarm {
    delay: Option<Delay>,
    /// When it rings; `None` if it does not.
    at: Option<Instant>,
}

impl Alarm {
    /// Rings at that moment, or before.
    pub(super) fn set(&mut self, at: Instant) {
        if self.at.is_some_and(|earlier| earlier <= at) {
            return;
        }
        self.at = Some(at);
        let wait = at.saturating_duration_since(Instant::now());
        match &mut self.delay {
            Some(delay) => delay.reset(wait),
            None => self.delay = Some(Delay::new(wait)),
        }
    }

    /// Whether it rings; it does so once.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let (Some(_), Some(delay)) = (self.at, &mut self.delay) else { return Poll::Pending };
        ready!(delay.poll_unpin(cx));
        self.at = None;
        Poll::Ready(())
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use futures::executor::block_on;
    use futures::task::noop_waker_ref;

    use super::*;

    #[test]
    fn it_rings_once_for_the_earliest_moment_and_can_be_set_again() {
        let mut alarm = Alarm::default();
        let mut idle = Context::from_waker(noop_waker_ref());
        assert!(alarm.poll(&mut idle).is_pending());
        for _ in 0..2 {
            let now = Instant::now();
            let soon = now + Duration::from_millis(5);
            for at in [now + Duration::from_secs(3600), soon, now + Duration::from_secs(60)] {
                alarm.set(at);
            }
            block_on(poll_fn(|cx| alarm.poll(cx)));
            assert!(Instant::now() >= soon);
            assert!(alarm.poll(&mut idle).is_pending());
        }
    }
}
