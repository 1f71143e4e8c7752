//! When a query's time begins.

use core::task::{Context, Poll};
use std::sync::{Arc, Mutex};

use dragnet_core::front::{self, Clock, FrontConfig};
use dragnet_core::{QueryConfig, Reason, Time};
use futures::task::waker;

use crate::kit::{LOCAL, VirtualClock, Wire, Woken, ask, lock, ms};

type Deed = Box<dyn FnOnce() + Send>;

/// A clock after whose next reading something happens.
struct Interrupted {
    clock: VirtualClock,
    then: Arc<Mutex<Option<Deed>>>,
}

impl Clock for Interrupted {
    fn now(&self) -> Time {
        let now = self.clock.now();
        let then = lock(&self.then).take();
        if let Some(then) = then {
            then();
        }
        now
    }

    fn poll_until(&mut self, cx: &mut Context<'_>, until: Time) -> Poll<()> {
        self.clock.poll_until(cx, until)
    }
}

#[test]
fn no_deadline_comes_early_for_who_asked_after_the_driver_looked_at_its_clock() {
    let clock = VirtualClock::new();
    let wire = Wire::new(clock.clone());
    wire.view().silent([1]);
    let then = Arc::default();
    let interrupted = Interrupted { clock: clock.clone(), then: Arc::clone(&then) };
    let (client, mut driver) = front::with_config(FrontConfig::default(), wire, interrupted, LOCAL, [7; 32]);

    let handle = Arc::new(Mutex::new(None));
    let (asked, time) = (Arc::clone(&handle), clock.clone());
    *lock(&then) = Some(Box::new(move || {
        time.advance(ms(5));
        let query = ask([1]).config(QueryConfig::default().with_timeout(ms(100)));
        *lock(&asked) = Some(client.query(query).expect("the query starts"));
    }));

    let woken = Woken::new();
    let mut poll = || {
        while woken.take() {
            let _ = driver.poll(&mut Context::from_waker(&waker(Arc::clone(&woken))));
        }
    };
    poll();
    let handle = lock(&handle).take().expect("it was asked");
    while handle.outcome().is_none() {
        assert!(clock.step(), "its deadline comes");
        poll();
    }
    assert_eq!(handle.outcome().map(|outcome| outcome.reason), Some(Reason::DeadlineReached));
    assert_eq!(clock.now(), Time::ZERO + ms(105));
}
