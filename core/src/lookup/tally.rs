//! What a piece of work has cost and brought: in all, and for each of the networks that it asked.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::num::Saturating;
use core::time::Duration;

use crate::network::Source;
use crate::query::{QueryStats, SourceStats};

/// The counts of one piece of work.
pub(crate) struct Tally {
    pub(crate) all: Counts,
    /// For each named source; no allocation if there are none.
    by_source: Vec<Counts>,
}

/// What a piece of work has cost and brought, as in [`QueryStats`].
#[derive(Clone, Copy, Default)]
pub(crate) struct Counts {
    pub(crate) contacted: Saturating<u32>,
    pub(crate) replied: Saturating<u32>,
    pub(crate) failed: Saturating<u32>,
    pub(crate) overdue: Saturating<u32>,
    pub(crate) hedged: Saturating<u32>,
    pub(crate) invalid: Saturating<u32>,
    pub(crate) duplicate: Saturating<u32>,
    pub(crate) conflicting: Saturating<u32>,
    pub(crate) dropped: Saturating<u32>,
    pub(crate) barred: Saturating<u32>,
}

impl Counts {
    /// These counts and a query's own times.
    const fn stats(self, first_item: Option<Duration>, total: Duration) -> QueryStats {
        QueryStats {
            contacted: self.contacted.0,
            replied: self.replied.0,
            failed: self.failed.0,
            overdue: self.overdue.0,
            hedged: self.hedged.0,
            invalid: self.invalid.0,
            duplicate: self.duplicate.0,
            conflicting: self.conflicting.0,
            withheld: 0,
            dropped: self.dropped.0,
            barred: self.barred.0,
            first_item,
            total,
        }
    }
}

impl Tally {
    /// One of nothing yet, for so many named sources.
    pub(crate) fn new(sources: usize) -> Self {
        Self { all: Counts::default(), by_source: alloc::vec![Counts::default(); sources] }
    }

    /// Counts something of a source.
    pub(crate) fn add(&mut self, source: Source, add: impl Fn(&mut Counts)) {
        add(&mut self.all);
        if let Some(counts) = self.by_source.get_mut(usize::from(source.0)) {
            add(counts);
        }
    }

    /// The counts in all, and a query's own times.
    pub(crate) const fn stats(&self, first_item: Option<Duration>, total: Duration) -> QueryStats {
        self.all.stats(first_item, total)
    }

    /// The counts of each source by its name, and how many results a query has of each.
    pub(crate) fn sources(&self, names: &[Arc<str>], results: &[u32]) -> Vec<SourceStats> {
        let each = names.iter().zip(&self.by_source).zip(results);
        each.map(|((name, counts), results)| SourceStats {
            name: Arc::clone(name),
            contacted: counts.contacted.0,
            replied: counts.replied.0,
            failed: counts.failed.0,
            overdue: counts.overdue.0,
            invalid: counts.invalid.0,
            duplicate: counts.duplicate.0,
            conflicting: counts.conflicting.0,
            results: *results as usize,
        })
        .collect()
    }
}
