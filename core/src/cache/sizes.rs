//! What a kept answer counts for.

use super::store::{Answer, Entry};
use crate::lookup::{Kept, Question};
use crate::network::{Item, Network};
use crate::query::Route;

/// How many bytes the parts of a kept answer take in memory. They follow from a network's types; a replay
/// of a recording, whose types are others, counts by those of the recorded engine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Sizes {
    entry: usize,
    question: usize,
    route: usize,
    peer: usize,
    answer: usize,
    kept: usize,
    item: usize,
}

impl Sizes {
    pub(crate) const fn of<N: Network>() -> Self {
        Self {
            entry: size_of::<Entry<N>>(),
            question: size_of::<Question<N>>(),
            route: size_of::<Route<N>>(),
            peer: size_of::<N::Peer>(),
            answer: size_of::<Answer<N>>(),
            kept: size_of::<Kept<N>>(),
            item: size_of::<N::Item>(),
        }
    }

    /// What a kept answer takes, what requests and peers own on the heap aside.
    pub(super) fn total<N: Network>(&self, question: &Question<N>, answer: &Answer<N>) -> usize {
        let beside = self.kept.saturating_sub(self.item);
        let items = answer.items.iter().map(|kept| kept.item.size().max(self.item).saturating_add(beside));
        let (routes, peers) = question.lengths();
        let asked = self.question + routes * self.route + peers * self.peer;
        items.fold(self.entry + self.answer + asked, usize::saturating_add)
    }
}

#[cfg(feature = "record")]
impl Sizes {
    pub(crate) const PARTS: usize = 7;

    /// One after the other, for a file.
    pub(crate) const fn parts(&self) -> [usize; Self::PARTS] {
        let Self { entry, question, route, peer, answer, kept, item } = *self;
        [entry, question, route, peer, answer, kept, item]
    }

    pub(crate) const fn from_parts(parts: [usize; Self::PARTS]) -> Self {
        let [entry, question, route, peer, answer, kept, item] = parts;
        Self { entry, question, route, peer, answer, kept, item }
    }
}
