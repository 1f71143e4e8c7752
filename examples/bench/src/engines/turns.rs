//! The order of the answers. The contacts of the beginning are shuffled, so that two answers in a row seldom meet
//! the same lookup or its neighbours in memory; from then on whoever was asked first answers first.

use std::collections::VecDeque;

use crate::work::World;

pub(super) struct Turns<C> {
    in_flight: VecDeque<C>,
    is_shuffled: bool,
}

impl<C> Turns<C> {
    pub(super) const fn new() -> Self {
        Self { in_flight: VecDeque::new(), is_shuffled: false }
    }

    pub(super) fn push(&mut self, contact: C) {
        self.in_flight.push_back(contact);
    }

    pub(super) fn extend(&mut self, contacts: impl IntoIterator<Item = C>) {
        self.in_flight.extend(contacts);
    }

    pub(super) fn take(&mut self, world: &mut World) -> Option<C> {
        if !self.is_shuffled {
            self.is_shuffled = true;
            world.shuffle(self.in_flight.make_contiguous());
        }
        self.in_flight.pop_front()
    }

    pub(super) fn len(&self) -> usize {
        self.in_flight.len()
    }

    pub(super) fn capacity(&self) -> usize {
        self.in_flight.capacity()
    }
}
