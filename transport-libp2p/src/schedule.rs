//! What is to be done again, and when: one time a key.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_timer::Delay;
use libp2p::kad::RecordKey;

/// The first wait after a publication that reached nobody; each further one is twice as long.
const RETRY_FIRST: Duration = Duration::from_secs(5);

/// The longest such wait, if there is no interval.
const RETRY_LAST: Duration = Duration::from_secs(3600);

/// Keys and when each is due.
#[derive(Default)]
pub(crate) struct Schedule {
    keys: HashMap<RecordKey, (Instant, u64)>,
    due: BTreeMap<(Instant, u64), RecordKey>,
    scheduled: u64,
    timer: Option<(Instant, Delay)>,
}

impl Schedule {
    /// Makes a key due after a while, instead of when it was due before. Too far for the clock to tell
    /// is never.
    pub(crate) fn set(&mut self, key: &RecordKey, after: Duration) {
        self.remove(key);
        let Some(at) = Instant::now().checked_add(after) else { return };
        let due = (at, self.scheduled);
        self.scheduled += 1;
        self.keys.insert(key.clone(), due);
        self.due.insert(due, key.clone());
    }

    pub(crate) fn remove(&mut self, key: &RecordKey) {
        if let Some(due) = self.keys.remove(key) {
            self.due.remove(&due);
        }
    }

    /// The next key that is due.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<RecordKey> {
        while let Some(entry) = self.due.first_entry() {
            let at = entry.key().0;
            let left = at.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let key = entry.remove();
                self.keys.remove(&key);
                return Poll::Ready(key);
            }
            match &mut self.timer {
                Some((armed, _)) if *armed == at => {}
                Some((armed, timer)) => {
                    timer.reset(left);
                    *armed = at;
                }
                none @ None => *none = Some((at, Delay::new(left))),
            }
            let (_, timer) = self.timer.as_mut().expect("armed above");
            if Pin::new(timer).poll(cx).is_pending() {
                return Poll::Pending;
            }
            self.timer = None;
        }
        Poll::Pending
    }
}

/// How long to wait after a publication that reached nobody, after so many such in a row: 5 s, doubled
/// each time, at most the interval.
pub(crate) fn retry_after(failures: u32, interval: Option<Duration>) -> Duration {
    let doubled = 1u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX);
    RETRY_FIRST.saturating_mul(doubled).min(interval.unwrap_or(RETRY_LAST))
}

#[cfg(test)]
mod tests {
    use futures::task::noop_waker;

    use super::*;
    use crate::network::record_key;

    #[test]
    fn waits_double_from_five_seconds_up_to_the_interval() {
        let interval = Some(Duration::from_secs(12 * 3600));
        let waits: Vec<_> = (1..=5).map(|n| retry_after(n, interval).as_secs()).collect();
        assert_eq!(waits, [5, 10, 20, 40, 80]);
        assert_eq!(retry_after(40, interval), Duration::from_secs(12 * 3600));
        assert_eq!(retry_after(u32::MAX, None), RETRY_LAST);
        assert_eq!(retry_after(1, Some(Duration::from_millis(50))), Duration::from_millis(50));
    }

    #[test]
    fn a_key_is_due_once_at_the_time_set_last() {
        let mut schedule = Schedule::default();
        let waker = noop_waker();
        let cx = &mut Context::from_waker(&waker);
        let (sooner, later) = (record_key("t", b"1"), record_key("t", b"2"));
        schedule.set(&later, Duration::ZERO);
        schedule.set(&later, Duration::from_secs(3600));
        schedule.set(&sooner, Duration::ZERO);
        assert_eq!(schedule.poll(cx), Poll::Ready(sooner));
        assert_eq!(schedule.poll(cx), Poll::Pending);
        schedule.remove(&later);
        assert!(schedule.due.is_empty() && schedule.keys.is_empty());
        schedule.set(&later, Duration::MAX);
        assert!(schedule.due.is_empty());
    }
}
