//! How a query ended, and what it took.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use crate::cache::Cached;

/// Why a query ended. None of these is an error.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Reason {
    /// `max_results` items were delivered.
    EnoughResults,
    /// `max_results` items were delivered, each by a [`Delivery::Quorum`](crate::Delivery::Quorum) or
    /// [`Agreement`](crate::Agreement).
    QuorumReached,
    /// Every route came to its end, and nobody that it found is left to ask: no better answer can come.
    Converged,
    /// Nobody is left to ask, and a walk ran out of candidates before the k closest had answered, or
    /// there was no route.
    Exhausted,
    /// Time was up. What was found by then has been delivered; what was held back is delivered now.
    DeadlineReached,
    /// The asker no longer wants the answers.
    Cancelled,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::EnoughResults => "enough results",
            Self::QuorumReached => "quorum reached",
            Self::Converged => "converged",
            Self::Exhausted => "exhausted",
            Self::DeadlineReached => "deadline reached",
            Self::Cancelled => "cancelled",
        })
    }
}

/// How a query ended: the reason and the counts.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Outcome {
    /// Why.
    pub reason: Reason,
    /// Items delivered.
    pub results: usize,
    /// What it took: nothing, if it was given a kept answer; and all that the contacts took that it
    /// shared with other queries, those before its start included.
    pub stats: QueryStats,
    /// Whether it was given a kept answer, and how old that is.
    pub cached: Option<Cached>,
    /// The same for each of the networks that [`EngineConfig::sources`](crate::EngineConfig::sources)
    /// names, in their order. Those that the query did not ask, or could not, are there with zeros.
    pub sources: Vec<SourceStats>,
}

/// What one of several networks cost a query, and brought it.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct SourceStats {
    /// The network's name.
    pub name: Arc<str>,
    /// Requests sent to its peers, as in [`QueryStats`]; so are the next.
    pub contacted: u32,
    /// Requests that were answered.
    pub replied: u32,
    /// Requests that failed. A delegated lookup that had not ended at the deadline is one: a network that
    /// is slow, or still to be joined, is seen here.
    pub failed: u32,
    /// Contacts that outlived their soft timeout.
    pub overdue: u32,
    /// Answers, or parts of them, that were refused.
    pub invalid: u32,
    /// Valid items that the query had already, from whomever.
    pub duplicate: u32,
    /// Those of them that were not equal to what the query had. Found out only where items are held to be
    /// compared: with [`Delivery::Quorum`](crate::Delivery::Quorum), of which a quorum of 1 delivers at once
    /// all the same, and with [`Delivery::BestAtEnd`](crate::Delivery::BestAtEnd).
    pub conflicting: u32,
    /// Items delivered that it gave first.
    pub results: usize,
}

/// What a query has cost and brought so far.
///
/// `contacted` = `replied` + `failed` + those released or still in flight.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct QueryStats {
    /// Requests sent, those of delegated lookups included once these have ended. A lookup that was released
    /// before counts as one.
    pub contacted: u32,
    /// Requests that were answered.
    pub replied: u32,
    /// Requests that failed, ran into `request_timeout`, or were overdue when the deadline came; and
    /// delegated lookups that had not ended then, whatever they had brought.
    pub failed: u32,
    /// Contacts that outlived their soft timeout.
    pub overdue: u32,
    /// Contacts begun in the slot of an overdue one.
    pub hedged: u32,
    /// Items refused by the validator or unreadable to the transport, and answers that were no answer.
    pub invalid: u32,
    /// Valid items whose id had been seen in this query.
    pub duplicate: u32,
    /// Of these, items that differed from an earlier one with their id. Noticed where items are held
    /// back ([`Delivery`](crate::Delivery)), 0 with [`Delivery::Immediate`](crate::Delivery::Immediate).
    pub conflicting: u32,
    /// Ids of items that were held back and not delivered by the end: `max_results` others were, too few
    /// routes agreed, or the query was cancelled.
    pub withheld: u32,
    /// Items, closer peers and providers over a cap, and candidates pushed out by closer ones.
    pub dropped: u32,
    /// Candidates skipped because they were barred.
    pub barred: u32,
    /// From the start to the first delivered item.
    pub first_item: Option<Duration>,
    /// From the start to the end, or to now while the query lives.
    pub total: Duration,
}
