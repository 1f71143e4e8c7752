//! When an item is delivered: at once, when enough agree on it, or at the end.

/// When a query delivers an item.
///
/// Two items with one id are the same answer and may yet differ: two versions of a record, or the truth
/// and a lie. A validator refuses what is wrong by itself; what is wrong only beside another answer takes
/// more than one peer to notice.
///
/// ```
/// # use dragnet_core::{Delivery, Key, Query, QueryConfig, Route, doc::{Book, Library}};
/// // Three peers must have given the same record.
/// let quorum = QueryConfig::balanced().with_max_results(1).with_delivery(Delivery::Quorum(3));
/// let get = Query::<Library>::new("978-3".to_string())
///     .route(Route::walk(Key::of(b"978-3")))
///     .config(quorum);
/// // The best version that anybody has, once nobody is left to ask.
/// let newest = Query::<Library>::new("978-3".to_string())
///     .route(Route::walk(Key::of(b"978-3")))
///     .selector(|_: &String, one: &Book, other: &Book| one.title.cmp(&other.title))
///     .config(QueryConfig::balanced().with_delivery(Delivery::BestAtEnd));
/// # assert!(newest.selector.is_some() && get.selector.is_none());
/// ```
///
/// # What is held back
///
/// What waits for a quorum, or for the end, is delivered when the query ends, for whatever reason but
/// cancellation (nobody wants it then): of each id one item, the one that the
/// [`Selector`](crate::Selector) prefers, or else the one with more votes, or else the first; those with
/// the most votes first, up to `max_results`. [`Found::votes`](crate::Found::votes) says how far each came.
///
/// What is held is bounded by [`Caps::held_max`](crate::Caps::held_max) and
/// [`Caps::versions_max`](crate::Caps::versions_max); of one reply no more than `max_results` items are
/// held, so that a flood fills neither. What is over a bound is dropped and counted.
///
/// # Votes
///
/// A peer has one vote for each id: the first item that it gives under it. What a delegated lookup
/// reports is the vote of the peer that it names, or else, all of it together, one vote of its route.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[non_exhaustive]
pub enum Delivery {
    /// The first valid item of each id, as soon as it comes. Later ones are not compared with it.
    #[default]
    Immediate,
    /// An item as soon as so many peers have given it, equal in all. At least 1, which delivers the
    /// first as `Immediate` does, but compares the later ones with it and counts conflicts. The query
    /// ends with [`Reason::QuorumReached`](crate::Reason::QuorumReached) once `max_results` items have
    /// come so far.
    Quorum(usize),
    /// Nothing before the query ends: then of each id the best. It ends by itself only when nobody is
    /// left to ask, or by its deadline, since a better version may always come.
    BestAtEnd,
}
