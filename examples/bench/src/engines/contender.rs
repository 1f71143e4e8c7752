//! What is measured of each: lookups begun, and contacts answered.

use super::turns::Turns;
use crate::work::World;

/// One way to run lookups.
pub(super) trait Contender {
    /// Begins lookups until so many live, as after the start, and after some have ended. False if that cannot be
    /// done in time.
    fn fill(&mut self, world: &mut World, live: usize) -> bool;

    /// Takes so many contacts that are in flight, or fewer if there are fewer, and has their answers ready.
    fn prepare(&mut self, world: &mut World, count: usize);

    /// Hands in the answers that were prepared, one after the other, and after each does all that follows from
    /// it. How many there were; those of contacts that had ended by then do not count.
    fn answer(&mut self) -> u64;

    /// Bytes of its own that the bench keeps with it, and that are not to be counted.
    fn kept_by_bench(&self) -> usize;
}

/// Contacts in flight, and the answers prepared for some of them.
pub(super) struct Waiting<C, A> {
    pub(super) in_flight: Turns<C>,
    pub(super) prepared: Vec<(C, A)>,
}

impl<C, A> Waiting<C, A> {
    pub(super) fn new() -> Self {
        Self { in_flight: Turns::new(), prepared: Vec::new() }
    }

    /// Takes contacts and makes their answers, of those that are still wanted.
    pub(super) fn prepare(
        &mut self,
        world: &mut World,
        count: usize,
        mut is_wanted: impl FnMut(&C) -> bool,
        mut answer: impl FnMut(&C, &mut World) -> A,
    ) {
        while self.prepared.len() < count
            && let Some(contact) = self.in_flight.take(world)
        {
            if is_wanted(&contact) {
                let answer = answer(&contact, world);
                self.prepared.push((contact, answer));
            }
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.in_flight.capacity() * size_of::<C>() + self.prepared.capacity() * size_of::<(C, A)>()
    }
}
