//! What a reader has to remember of a recording: whom it has named, and who judges.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use std::sync::Arc;

use super::judges::Repeater;
use super::recorded::{Recorded, RecordedPeer};
use super::wire::{Malformed, Take, Taken};
use crate::key::Key;
use crate::network::{Selector, Source, Validator};

#[derive(Default)]
pub(super) struct Known {
    names: Vec<RecordedPeer>,
    pub(super) repeater: Repeater,
    validators: BTreeMap<u64, Arc<dyn Validator<Recorded>>>,
    selectors: BTreeMap<u64, Arc<dyn Selector<Recorded>>>,
}

impl Known {
    /// From here on peers are named anew.
    pub(super) fn forget_names(&mut self) {
        self.names.clear();
    }

    /// A peer that has been named, or one with its name.
    pub(super) fn take_peer(&mut self, from: &mut Take<'_>) -> Taken<RecordedPeer> {
        let number: usize = from.narrow()?;
        if let Some(known) = number.checked_sub(1) {
            return self.names.get(known).cloned().ok_or(Malformed("a peer that was not named"));
        }
        let (key, digest) = (Key::from_bytes(from.array()?), from.word()?);
        let (source, name) = (Source(from.narrow()?), from.text()?);
        let peer = RecordedPeer::new(key, digest, source, name);
        self.names.push(peer.clone());
        Ok(peer)
    }

    pub(super) fn take_peers(&mut self, from: &mut Take<'_>) -> Taken<Vec<RecordedPeer>> {
        (0..from.len()?).map(|_| self.take_peer(from)).collect()
    }

    pub(super) fn take_peer_if_any(&mut self, from: &mut Take<'_>) -> Taken<Option<RecordedPeer>> {
        if from.flag()? { self.take_peer(from).map(Some) } else { Ok(None) }
    }

    /// What stands in for a validator: one object for one number, as it was when it was recorded.
    pub(super) fn validator(&mut self, number: u64) -> Option<Arc<dyn Validator<Recorded>>> {
        let Self { repeater, validators, .. } = self;
        (number > 0)
            .then(|| Arc::clone(validators.entry(number).or_insert_with(|| Arc::new(repeater.clone()))))
    }

    pub(super) fn selector(&mut self, number: u64) -> Option<Arc<dyn Selector<Recorded>>> {
        let Self { repeater, selectors, .. } = self;
        (number > 0)
            .then(|| Arc::clone(selectors.entry(number).or_insert_with(|| Arc::new(repeater.clone()))))
    }
}
