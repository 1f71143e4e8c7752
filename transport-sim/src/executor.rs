//! A small executor on one thread: tasks run in the order in which they were woken, so that a run of
//! futures is as repeatable as one of bare engines.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Wake, Waker};

struct Task {
    future: Pin<Box<dyn Future<Output = ()>>>,
    waker: Arc<TaskWaker>,
}

/// Tasks, and who of them was woken. A task is polled only when it was, so that a lost wake-up shows.
#[derive(Default)]
pub(crate) struct Executor {
    tasks: RefCell<Vec<Option<Task>>>,
    ready: Arc<Ready>,
}

/// The numbers of the woken tasks. A waker may be used from any thread, so the queue has a lock; in a
/// simulation nobody ever waits for it.
#[derive(Default)]
struct Ready {
    queue: Mutex<VecDeque<usize>>,
}

struct TaskWaker {
    task: usize,
    queued: AtomicBool,
    ready: Arc<Ready>,
}

impl Executor {
    /// Adds a task. It is polled at the next [`run`](Self::run).
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        let mut tasks = self.tasks.borrow_mut();
        let number = tasks.len();
        let waker =
            TaskWaker { task: number, queued: AtomicBool::new(false), ready: Arc::clone(&self.ready) };
        let waker = Arc::new(waker);
        waker.wake_by_ref();
        tasks.push(Some(Task { future: Box::pin(task), waker }));
    }

    /// Polls woken tasks until none is left.
    pub(crate) fn run(&self) {
        while let Some(number) = self.ready.pop() {
            // Taken out while it runs: a task may spawn others.
            let Some(mut task) = self.tasks.borrow_mut()[number].take() else { continue };
            // Before the poll: what wakes it from now on has not been seen.
            task.waker.queued.store(false, Ordering::Release);
            let waker = Waker::from(Arc::clone(&task.waker));
            if task.future.as_mut().poll(&mut Context::from_waker(&waker)).is_pending() {
                self.tasks.borrow_mut()[number] = Some(task);
            }
        }
    }

    /// How many tasks have not ended.
    pub(crate) fn live(&self) -> usize {
        self.tasks.borrow().iter().flatten().count()
    }
}

impl fmt::Debug for Executor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Executor").field("live", &self.live()).finish_non_exhaustive()
    }
}

impl Ready {
    fn pop(&self) -> Option<usize> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    fn push(&self, number: usize) {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).push_back(number);
    }
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.queued.swap(true, Ordering::AcqRel) {
            self.ready.push(self.task);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::rc::Rc;
    use std::task::Poll;

    use super::*;

    #[test]
    fn tasks_run_in_the_order_they_were_woken_and_only_then() {
        let executor = Executor::default();
        let order = Rc::new(RefCell::new(Vec::new()));
        let wakers = Rc::new(RefCell::new(Vec::new()));
        for task in 0..3 {
            let (order, wakers, mut polls) = (Rc::clone(&order), Rc::clone(&wakers), 0);
            executor.spawn(poll_fn(move |cx| {
                order.borrow_mut().push(task);
                polls += 1;
                wakers.borrow_mut().push(cx.waker().clone());
                if polls == 3 { Poll::Ready(()) } else { Poll::Pending }
            }));
        }
        executor.run();
        assert_eq!(order.take(), [0, 1, 2]);
        executor.run();
        assert_eq!(order.take(), [0; 0], "nobody was woken");
        // Twice woken is polled once.
        let woken = wakers.take();
        [2, 0, 2].into_iter().for_each(|task: usize| woken[task].wake_by_ref());
        executor.run();
        assert_eq!(order.take(), [2, 0]);
        woken.iter().for_each(Waker::wake_by_ref);
        executor.run();
        assert_eq!((order.take(), executor.live()), (vec![0, 1, 2], 1));
        woken.iter().for_each(Waker::wake_by_ref);
        executor.run();
        assert_eq!((order.take(), executor.live()), (vec![1], 0), "who has ended is not polled");
    }
}
