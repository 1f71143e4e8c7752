//! What a query may be given that it has not asked the network for itself: answers that were kept, and
//! what others find who ask the same.

mod sizes;
mod store;

use core::time::Duration;

pub(crate) use sizes::Sizes;
pub(crate) use store::{Answer, Cache, Hit};

/// Whether a query may be given what it has not asked for itself.
///
/// Queries that ask the same can share in two ways. One that comes while another is under way can **join**
/// it: the contacts are made once, and each query gets every item from the first on, under its own
/// `timeout` and `max_results`. One that comes later can be given the **kept** answer.
///
/// Two queries ask the same when everything is equal but `timeout`, `max_results`, `cache`, `max_age` and
/// the first candidates of walks, which are only where a walk begins: so they have one validator and one
/// selector ([`Query::shared_validator`](crate::Query::shared_validator)), and are as patient with their
/// peers.
///
/// A query that is given a kept answer has its items, and its end, among the outputs of
/// [`start`](crate::QueryEngine::start), and contacts nobody. Its
/// [`Outcome::cached`](crate::Outcome::cached) says how old the answer is, and
/// [`Found::age`](crate::Found::age) how old each item is.
///
/// ```
/// # use dragnet_core::{doc::{Book, Library}, CachePolicy, EngineConfig, Output, Query, QueryConfig};
/// # use dragnet_core::{QueryEngine, Reply, Time};
/// # use std::time::Duration;
/// # let mut engine = QueryEngine::<Library>::new(EngineConfig::default(), "me".into(), [7; 32]);
/// # let ada = "ada".to_string();
/// let config = QueryConfig::balanced().with_cache(CachePolicy::Fresh);
/// let search = Query::<Library>::new("nets".into()).fetch_from([ada]).config(config);
/// engine.start(Time::ZERO, search.clone())?;
/// let Some(Output::Contact { request, .. }) = engine.poll_output() else { panic!() };
/// let book = Book { isbn: 1, title: "Nets".into() };
/// engine.handle_reply(Time::from_millis(80), request, Reply::with_items(vec![book]));
/// # while engine.poll_output().is_some() {}
///
/// // Two seconds later, the same again.
/// engine.start(Time::from_millis(2_080), search)?;
/// let Some(Output::Found { found, .. }) = engine.poll_output() else { panic!("it was kept") };
/// assert_eq!(found.age, Duration::from_secs(2));
/// let Some(Output::Finished { outcome, .. }) = engine.poll_output() else { panic!() };
/// assert_eq!(outcome.stats.contacted, 0);
/// assert_eq!(outcome.cached.unwrap().age, Duration::from_secs(2));
/// # Ok::<(), dragnet_core::StartError>(())
/// ```
///
/// # What is kept
///
/// The answer of a query that ended by itself: with enough results, or because nobody was left to ask.
/// One that ended by its deadline or was cancelled could have found more, and "nothing found" says
/// nothing when nobody has replied; neither is kept. An answer of a query that had enough serves no query
/// that wants more than it holds. For how long, and how many: [`CacheConfig`](crate::CacheConfig).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum CachePolicy {
    /// Asks the network by itself, and shares nothing.
    #[default]
    Skip,
    /// Asks the network now, or joins a query that does; its answer is kept, unless it is a part (its
    /// `max_results` ended it) that serves less than the one that is kept and still fresh.
    Refresh,
    /// Is given a kept answer within its time-to-live; otherwise as `Refresh`.
    Fresh,
    /// Is given a kept answer also for [`stale_for`](crate::CacheConfig::stale_for) after its
    /// time-to-live, at once, while the engine asks again behind, for the next one who comes
    /// (stale-while-revalidate, RFC 5861); otherwise as `Refresh`. Answers without an item are not worth
    /// that: they are as with `Fresh`.
    ///
    /// Of the refresh behind nothing is said: no item, no end. Its contacts and releases are outputs like
    /// any others, in the name of the query that caused it, which has ended. It counts among the live
    /// queries of the engine's cap, and gives its place up to whoever needs it.
    Stale,
}

/// That a query was given a kept answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Cached {
    /// How old the answer is: as old as its oldest item, or, without any, since it was found that there
    /// is none.
    pub age: Duration,
    /// Whether it was past its time-to-live ([`CachePolicy::Stale`]).
    pub is_stale: bool,
}
