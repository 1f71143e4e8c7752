//! A driver that is polled when it has been woken, and at no other time.

use core::future::Future;
use core::pin::pin;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use core::task::{Context, Poll};
use std::sync::Arc;

use dragnet_core::front::{self, Client, Driver, FrontConfig, QueryHandle};
use dragnet_core::{Found, LiveState, Query};
use futures::StreamExt;
use futures::task::{ArcWake, waker};

use super::{LOCAL, VirtualClock, Wire, WireView, Words};

/// Notes that it was woken.
#[derive(Default)]
pub(crate) struct Woken {
    flag: AtomicBool,
    wakes: AtomicUsize,
}

impl Woken {
    /// One that has been woken: for the first poll.
    pub(crate) fn new() -> Arc<Self> {
        let woken = Arc::new(Self::default());
        woken.flag.store(true, Ordering::SeqCst);
        woken
    }

    pub(crate) fn take(&self) -> bool {
        self.flag.swap(false, Ordering::SeqCst)
    }

    pub(crate) fn wakes(&self) -> usize {
        self.wakes.load(Ordering::SeqCst)
    }
}

impl ArcWake for Woken {
    fn wake_by_ref(this: &Arc<Self>) {
        this.flag.store(true, Ordering::SeqCst);
        this.wakes.fetch_add(1, Ordering::SeqCst);
    }
}

pub(crate) struct Rig {
    pub(crate) clock: VirtualClock,
    /// `None` once the test has dropped it.
    pub(crate) client: Option<Client<Words>>,
    /// `None` once it has returned and been dropped, or the test has dropped it.
    pub(crate) driver: Option<Driver<Wire, VirtualClock>>,
    pub(crate) woken: Arc<Woken>,
    pub(crate) polls: usize,
    pub(crate) has_returned: bool,
}

impl Rig {
    pub(crate) fn new() -> (Self, WireView) {
        Self::with_config(FrontConfig::default())
    }

    pub(crate) fn with_config(config: FrontConfig) -> (Self, WireView) {
        let clock = VirtualClock::new();
        let wire = Wire::new(clock.clone());
        let view = wire.view();
        let (client, driver) = front::with_config(config, wire, clock.clone(), LOCAL, [7; 32]);
        let rig = Self {
            clock,
            client: Some(client),
            driver: Some(driver),
            woken: Woken::new(),
            polls: 0,
            has_returned: false,
        };
        (rig, view)
    }

    pub(crate) fn client(&self) -> &Client<Words> {
        self.client.as_ref().expect("the client is there")
    }

    pub(crate) fn driver(&self) -> &Driver<Wire, VirtualClock> {
        self.driver.as_ref().expect("the driver is there")
    }

    pub(crate) fn query(&self, query: Query<Words>) -> QueryHandle<Words> {
        self.client().query(query).expect("the query starts")
    }

    /// One poll, if the driver was woken.
    pub(crate) fn poll(&mut self) -> bool {
        let Some(driver) = &mut self.driver else { return false };
        if self.has_returned || !self.woken.take() {
            return false;
        }
        self.polls += 1;
        let waker = waker(Arc::clone(&self.woken));
        self.has_returned = driver.poll(&mut Context::from_waker(&waker)).is_ready();
        true
    }

    /// Polls as long as there are wake-ups, at this moment.
    pub(crate) fn run(&mut self) {
        let mut polls = 0;
        while self.poll() {
            polls += 1;
            assert!(polls < 100_000, "the driver wakes itself for ever");
        }
    }

    /// Lets all the time pass that anybody waits for.
    pub(crate) fn run_out(&mut self) {
        self.run();
        while self.clock.step() {
            self.run();
        }
    }

    /// Runs the driver beside a future until that is ready.
    ///
    /// # Panics
    ///
    /// When nobody is woken any more and the clock has nobody to wake: a lost wake-up.
    pub(crate) fn block_on<F: Future>(&mut self, future: F) -> F::Output {
        let mut future = pin!(future);
        let woken = Woken::new();
        let waker = waker(Arc::clone(&woken));
        loop {
            while woken.take() {
                if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
                    return output;
                }
                self.poll();
            }
            if !self.poll() {
                assert!(self.clock.step(), "nobody has been woken, and nobody will be");
            }
        }
    }

    /// Asserts that nothing is left of any query in engine, driver and transport.
    pub(crate) fn assert_empty(&self, wire: &WireView) {
        let driver = self.driver();
        assert_eq!(driver.live(), 0, "queries in the driver");
        assert_eq!(driver.waiting(), 0, "commands in the driver");
        assert_eq!(driver.engine().live_state(), LiveState::default(), "something in the engine");
        assert_eq!(wire.open(), 0, "requests in the transport");
    }
}

/// What is in the stream now, without anybody being run.
pub(crate) fn ready(handle: &mut QueryHandle<Words>) -> Vec<Found<Words>> {
    let mut found = Vec::new();
    let mut cx = Context::from_waker(core::task::Waker::noop());
    while let Poll::Ready(Some(item)) = handle.poll_next_unpin(&mut cx) {
        found.push(item);
    }
    found
}
