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
/// A peer has one vote for each id: the first item that it gives under it. With disjoint routes it is the
/// routes that vote, each as its peers do: see [`Agreement`]. What a delegated lookup
/// reports is the vote of the peer that it names, or else, all of it together, one vote of its route. Since
/// it may name any number, that goes also for those it names when the id has
/// [`Caps::held_max`](crate::Caps::held_max) votes: of what they say after the first, all is dropped and
/// counted.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
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

/// How many of a query's disjoint routes must agree on an item before it is delivered.
///
/// Routes are disjoint when no peer is asked on more than one of those to one target
/// ([`Query::disjoint`](crate::Query::disjoint)): S/Kademlia (Baumgart and Mies, 2007) walks so in order
/// that an attacker who has caught one walk has caught one walk only. What a route finds is then as good
/// as one witness, however many of its peers say it.
///
/// # Votes
///
/// A route agrees on an item when one of its peers has given it. In the fetch lane a provider speaks for
/// every route that has named it, also for those that do so later; one that no route has named, since
/// the asker did, speaks for itself. One that another peer of the fetch lane has named is no witness more:
/// it speaks for the routes that had named that peer, and where there are none, it has the one vote of
/// an item that nobody else has given, and else none. [`Found::votes`](crate::Found::votes) counts these voters, and so
/// does [`Delivery::Quorum`]: with disjoint routes an item needs as many as the larger of the two asks.
///
/// It is a majority of all routes that the query began with. One that has ended without an answer is
/// not one fewer to convince, or an attacker would only have to lead the others astray. So an item on
/// which too few agree is never delivered, not at the end either, and is counted in
/// [`QueryStats::withheld`](crate::QueryStats::withheld).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Agreement {
    /// One will do: the routes are so many chances to find the truth.
    #[default]
    One,
    /// More than half of the routes.
    Majority,
    /// Every route.
    All,
}

impl Agreement {
    /// How many of so many routes it takes.
    pub const fn of(self, routes: usize) -> usize {
        match self {
            Self::One => 1,
            Self::Majority => routes / 2 + 1,
            Self::All => {
                if routes == 0 {
                    1
                } else {
                    routes
                }
            }
        }
    }
}
