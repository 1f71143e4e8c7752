//! A bound on the time a test may take, for those that talk to the machine.

use std::{future::Future, pin::pin, time::Duration};

use async_io::Timer;
use futures::future::{Either, select};

/// Runs `test` and fails if it takes longer than anything but a standstill could.
pub(crate) fn within_a_minute<T>(test: impl Future<Output = T>) -> T {
    smol::block_on(async {
        match select(pin!(test), Timer::after(Duration::from_secs(60))).await {
            Either::Left((result, _)) => result,
            Either::Right(_) => panic!("nothing has moved for a minute"),
        }
    })
}
