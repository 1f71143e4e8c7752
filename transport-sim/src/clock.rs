//! Virtual time as a clock like any other.

use std::cell::RefCell;
use std::rc::Rc;
use std::task::{Context, Poll};

use dragnet_core::Time;
use dragnet_core::front::Clock;

use crate::world::World;

/// The simulation's time, for one client's driver. It stands still while anything runs.
#[derive(Debug)]
pub struct SimClock {
    world: Rc<RefCell<World>>,
    client: u32,
}

impl SimClock {
    pub(crate) const fn new(world: Rc<RefCell<World>>, client: u32) -> Self {
        Self { world, client }
    }
}

impl Clock for SimClock {
    fn now(&self) -> Time {
        self.world.borrow().now
    }

    fn poll_until(&mut self, cx: &mut Context<'_>, until: Time) -> Poll<()> {
        let mut world = self.world.borrow_mut();
        if world.now >= until {
            return Poll::Ready(());
        }
        world.port(self.client).timer = Some(cx.waker().clone());
        world.arm(self.client, Some(until));
        Poll::Pending
    }
}
