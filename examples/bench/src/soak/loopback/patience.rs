//! How long anything is waited for: a wake-up that is lost must fail the soak, not make it hang.

use std::time::Duration;

use futures::future::{Either, select};
use smol::Timer;

/// What is allowed on top of the time by which something must have ended: a machine may stand still for seconds.
pub(super) const SLACK: Duration = Duration::from_secs(20);

/// What the future gives, or nothing if it has not given it by then. The timer is asked first: what is only found to
/// be ready because the timer woke its task was not woken itself.
pub(super) async fn within<T>(patience: Duration, future: impl Future<Output = T>) -> Option<T> {
    match select(Timer::after(patience), std::pin::pin!(future)).await {
        Either::Left(_) => None,
        Either::Right((given, _)) => Some(given),
    }
}

#[cfg(test)]
mod tests {
    use std::task::Poll;

    use super::*;

    #[test]
    fn what_never_wakes_its_task_has_not_come_even_if_it_would_be_ready() {
        let mut polls = 0;
        let unwoken = std::future::poll_fn(|_context| {
            polls += 1;
            if polls == 1 { Poll::Pending } else { Poll::Ready(()) }
        });
        assert_eq!(smol::block_on(within(Duration::from_millis(1), unwoken)), None);
        assert_eq!(smol::block_on(within(SLACK, async { 7 })), Some(7));
    }
}
