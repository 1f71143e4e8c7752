//! The channel between the driver and the handle of one query: what was found, and how it ended.
//!
//! One allocation for both halves, with a place in it for one result: whoever reads as fast as results come needs no
//! other. A buffer for more grows with what has been found, and not with what may be.
//! The driver gives all that one input brings under one lock and wakes once; the handle takes all that there is
//! under one lock, by swapping its empty buffer for the full one, and hands it out without.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::task::{Context, Poll, Waker};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use crate::network::Network;
use crate::output::Found;
use crate::query::{Outcome, QueryId};

/// The two halves, for at most so many results.
pub(super) fn channel<N: Network>(results_max: usize) -> (Sender<N>, Receiver<N>) {
    let state = State {
        first: None,
        more: VecDeque::new(),
        reader: None,
        room: results_max,
        query: None,
        is_cancelled: false,
        is_dropped: false,
        is_closed: false,
    };
    let channel = Arc::new(Channel { state: Mutex::new(state), outcome: OnceLock::new() });
    (Sender(Arc::clone(&channel)), Receiver { channel, taken: Mutex::default() })
}

struct Channel<N: Network> {
    /// Held for a few moves; nothing of the user's runs under it but the clone of a waker.
    state: Mutex<State<N>>,
    /// Beside the lock, since the handle lends it out. Set before the channel is closed.
    outcome: OnceLock<Outcome>,
}

struct State<N: Network> {
    /// Sent, and not yet taken by the handle: the first, here and nowhere else in memory, and those after it.
    first: Option<Found<N>>,
    more: VecDeque<Found<N>>,
    /// Whom to wake for the next result or the end.
    reader: Option<Waker>,
    /// How many more may be sent.
    room: usize,
    /// Set when the query has started. The lock sees to it that a query cannot slip through between its start and
    /// its cancellation.
    query: Option<QueryId>,
    /// The handle no longer wants the query.
    is_cancelled: bool,
    /// Nor what it has found.
    is_dropped: bool,
    /// The driver says nothing more.
    is_closed: bool,
}

impl<N: Network> Channel<N> {
    fn lock(&self) -> MutexGuard<'_, State<N>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The driver's half. Dropping it ends the stream: with an error, unless [`end`](Self::end) was called.
pub(super) struct Sender<N: Network>(Arc<Channel<N>>);

impl<N: Network> Sender<N> {
    pub(super) fn is_cancelled(&self) -> bool {
        self.0.lock().is_cancelled
    }

    /// The query lives. Returns whether it was cancelled before.
    #[must_use]
    pub(super) fn started(&self, query: QueryId) -> bool {
        let mut state = self.0.lock();
        debug_assert!(state.query.is_none(), "a query starts once");
        state.query = Some(query);
        state.is_cancelled
    }

    /// For the results of one input: one lock for all of them, and one wake-up.
    pub(super) fn batch(&self) -> Batch<'_, N> {
        Batch { state: self.0.lock(), unwanted: Vec::new() }
    }

    /// Ends the stream with an outcome.
    pub(super) fn end(self, outcome: Outcome) {
        self.0.outcome.set(outcome).expect("a query ends once");
    }
}

impl<N: Network> Drop for Sender<N> {
    fn drop(&mut self) {
        let reader = {
            let mut state = self.0.lock();
            state.is_closed = true;
            state.reader.take()
        };
        if let Some(reader) = reader {
            reader.wake();
        }
    }
}

/// Results on their way to the handle, which sees them when it is [sent](Self::send).
pub(super) struct Batch<'a, N: Network> {
    /// First, so that it is released first.
    state: MutexGuard<'a, State<N>>,
    /// To be dropped out of the lock: they are the user's.
    unwanted: Vec<Found<N>>,
}

impl<N: Network> Batch<'_, N> {
    pub(super) fn push(&mut self, found: Found<N>) {
        let state = &mut *self.state;
        debug_assert!(state.is_dropped || state.room > 0, "no more is delivered than the query wants");
        // The handle was dropped, and its cancellation is under way.
        if state.is_dropped || state.room == 0 {
            self.unwanted.push(found);
            return;
        }
        state.room -= 1;
        match state.first {
            None => state.first = Some(found),
            Some(_) => state.more.push_back(found),
        }
    }

    pub(super) fn send(self) {
        let Self { mut state, unwanted } = self;
        let reader = state.reader.take();
        drop(state);
        drop(unwanted);
        if let Some(reader) = reader {
            reader.wake();
        }
    }
}

/// The handle's half.
pub(super) struct Receiver<N: Network> {
    channel: Arc<Channel<N>>,
    /// Taken from the channel, and not yet handed out. Locked only to be counted; a lock all the same, so that the
    /// handle may be shared between threads though its items may not.
    taken: Mutex<VecDeque<Found<N>>>,
}

impl<N: Network> Receiver<N> {
    pub(super) fn query(&self) -> Option<QueryId> {
        self.channel.lock().query
    }

    pub(super) fn outcome(&self) -> Option<&Outcome> {
        self.channel.outcome.get()
    }

    /// The next result; none after the last.
    pub(super) fn poll_next(&mut self, cx: &Context<'_>) -> Poll<Option<Found<N>>> {
        let taken = self.taken.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = taken.pop_front() {
            return Poll::Ready(Some(found));
        }
        let mut state = self.channel.lock();
        // All or nothing is taken, so that nothing is left that came before the next first.
        core::mem::swap(&mut state.more, taken);
        match state.first.take() {
            Some(found) => Poll::Ready(Some(found)),
            None if state.is_closed => Poll::Ready(None),
            None => {
                let before = match &state.reader {
                    Some(reader) if reader.will_wake(cx.waker()) => None,
                    _ => state.reader.replace(cx.waker().clone()),
                };
                drop(state);
                drop(before);
                Poll::Pending
            }
        }
    }

    /// How many results are there, and how many more may come.
    pub(super) fn left(&self) -> (usize, usize) {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner).len();
        let state = self.channel.lock();
        let sent = usize::from(state.first.is_some()) + state.more.len();
        (taken + sent, if state.is_closed { 0 } else { state.room })
    }

    /// The handle wants no more. The query to be told to the driver: none if it has ended or was cancelled before,
    /// and none if it has not started, for then the driver sees it when it comes to it.
    pub(super) fn cancel(&self) -> Option<QueryId> {
        let mut state = self.channel.lock();
        let is_first = !core::mem::replace(&mut state.is_cancelled, true);
        state.query.filter(|_| is_first && !state.is_closed)
    }
}

impl<N: Network> Drop for Receiver<N> {
    fn drop(&mut self) {
        let left_behind = {
            let mut state = self.channel.lock();
            state.is_dropped = true;
            (state.first.take(), core::mem::take(&mut state.more), state.reader.take())
        };
        // Out of the lock: they are the user's.
        drop(left_behind);
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;
    use std::sync::Weak;

    use super::{Arc, Channel, Found, Mutex, Network, channel};
    use crate::key::Key;
    use crate::network::Item;

    #[derive(Debug)]
    enum Guests {}

    /// Notes when it is dropped whether its channel is locked.
    #[derive(Clone, Debug)]
    struct Guest {
        channel: Weak<Channel<Guests>>,
        dropped_locked: Arc<Mutex<Vec<bool>>>,
    }

    impl Drop for Guest {
        fn drop(&mut self) {
            let channel = self.channel.upgrade().expect("the driver's half is there");
            let is_locked = channel.state.try_lock().is_err();
            self.dropped_locked.lock().expect("nobody has panicked").push(is_locked);
        }
    }

    impl PartialEq for Guest {
        fn eq(&self, _other: &Self) -> bool {
            true
        }
    }

    impl Item for Guest {
        type Id = ();

        fn id(&self) {}
    }

    impl Network for Guests {
        type Peer = ();
        type Request = ();
        type Item = Guest;

        fn key(_peer: &()) -> Key {
            Key::of(&[])
        }
    }

    #[test]
    fn what_nobody_wants_any_more_is_dropped_out_of_the_lock() {
        let (sender, receiver) = channel::<Guests>(8);
        let dropped_locked = Arc::default();
        let send_two = || {
            let mut batch = sender.batch();
            for _ in 0..2 {
                let item =
                    Guest { channel: Arc::downgrade(&sender.0), dropped_locked: Arc::clone(&dropped_locked) };
                let (elapsed, age) = (Duration::ZERO, Duration::ZERO);
                batch.push(Found { item, from: Some(()), response_time: None, elapsed, votes: 1, age });
            }
            batch.send();
        };
        send_two();
        drop(receiver);
        assert_eq!(*dropped_locked.lock().expect("nobody has panicked"), [false; 2], "with the handle");
        send_two();
        assert_eq!(*dropped_locked.lock().expect("nobody has panicked"), [false; 4], "after it");
    }
}
