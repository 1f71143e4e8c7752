//! The state of one piece of work: its lanes, its answers, and the queries that it serves.

mod answers;
mod ballot;
mod candidate;
mod fetch;
mod question;
mod shared;
mod tally;
mod walk;

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::hint::black_box;
use core::time::Duration;

use smallvec::SmallVec;

use crate::arena::NONE;
use crate::network::{Network, Source, Validator};
use crate::output::{Found, Output};
use crate::pacing::{Conditions, Pace, Patience, Slots};
use crate::peers::{PeerIndex, PeerTable};
use crate::query::{QueryConfig, QueryId};
use crate::time::{Time, nanos};
use crate::timers::Due;

pub(crate) use answers::{Answers, accept};
pub(crate) use ballot::{Ballot, Origin, Rules, Voter};
pub(crate) use candidate::{Next, State};
pub(crate) use fetch::Fetch;
pub(crate) use question::Question;
pub(crate) use shared::{Kept, Shared};
pub(crate) use tally::Tally;
pub(crate) use walk::{Offer, Walk};

/// What is done for one query, or for several that ask the same.
pub(crate) struct Work<N: Network> {
    pub(crate) request: N::Request,
    pub(crate) routes: SmallVec<[RouteLane; 1]>,
    pub(crate) fetch: Fetch,
    pub(crate) fetch_slots: Slots,
    pub(crate) fetch_providers: bool,
    /// Whether walks to one target share no peer.
    pub(crate) is_disjoint: bool,
    pub(crate) answers: Answers<N>,
    pub(crate) validator: Option<Arc<dyn Validator<N>>>,
    pub(crate) limits: Limits,
    pub(crate) counts: Tally,
    /// What others who ask the same need; a query that shares nothing has none.
    pub(crate) shared: Option<Box<Shared<N>>>,
    /// Whom it serves, in the order in which they came.
    pub(crate) queries: SmallVec<[u32; 2]>,
    /// Its contacts and lookups, waiting ones included. Those of the usual fan-out and its hedges need no
    /// allocation.
    pub(crate) contacts: SmallVec<[u32; 8]>,
    /// How many of those wait for their peers.
    pub(crate) waiting: u32,
    /// Whether it stands in the queue of work to look at.
    pub(crate) is_ready: bool,
    /// When its alarm rings, at or before the earliest timeout of its contacts; and the contact that it was
    /// set for, which may have ended.
    pub(crate) alarm: (Due, u32),
}

/// One route and the slots it fills.
pub(crate) struct RouteLane {
    pub(crate) route: RouteState,
    pub(crate) source: Source,
    pub(crate) slots: Slots,
}

pub(crate) enum RouteState {
    /// Driven here.
    Walk(Walk),
    /// Left to the transport.
    Delegated,
    /// At its end, its candidates kept so that none is contacted again.
    Ended {
        /// Whether it reached its aim.
        converged: bool,
        /// What a walk leaves behind.
        walk: Option<Walk>,
    },
}

/// What a query's configuration means to its work.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) fan_out: u16,
    pub(crate) hedges_max: u16,
    pub(crate) closest: u16,
    pub(crate) adaptive_timeout: bool,
    pub(crate) adaptive_fan_out: bool,
    pub(crate) soft_timeout_nanos: u64,
    pub(crate) request_timeout_nanos: u64,
}

impl Limits {
    /// The limits of a configuration that has been checked.
    pub(crate) fn of(config: &QueryConfig) -> Self {
        let narrow = |value: usize| u16::try_from(value).unwrap_or(u16::MAX);
        Self {
            fan_out: narrow(config.fan_out),
            hedges_max: narrow(config.hedges_max),
            closest: narrow(config.closest),
            adaptive_timeout: config.adaptive_timeout,
            adaptive_fan_out: config.adaptive_fan_out,
            soft_timeout_nanos: nanos(config.soft_timeout),
            request_timeout_nanos: nanos(config.request_timeout),
        }
    }

    /// How many contacts a lane may have in flight as things are.
    pub(crate) fn pace(&self, conditions: &Conditions) -> Pace {
        let Self { fan_out, hedges_max, .. } = *self;
        let fan_out = if self.adaptive_fan_out { conditions.fan_out(fan_out) } else { fan_out };
        let typical = if self.adaptive_timeout { conditions.typical() } else { None };
        Pace { fan_out, hedges_max, typical }
    }

    /// After how long a contact loses its slot, its peer's own timeout given, counted from when it was
    /// sent, or from its beginning if it has not been yet.
    pub(crate) fn soft_timeout(
        &self,
        conditions: &Conditions,
        patience: Patience,
        is_sent: bool,
    ) -> Duration {
        let start = Duration::from_nanos(self.soft_timeout_nanos);
        let soft_timeout = if self.adaptive_timeout {
            conditions.late_after(patience, start) + conditions.wait(is_sent)
        } else {
            start
        };
        soft_timeout.min(self.request_timeout())
    }

    /// How long an overdue contact is waited for when it holds up its lane and others have answered.
    pub(crate) fn lost_after(&self, conditions: &Conditions, lane: Lane) -> Option<Duration> {
        if self.adaptive_timeout { conditions.lost_after(lane == Lane::FETCH) } else { None }
    }

    pub(crate) const fn request_timeout(&self) -> Duration {
        Duration::from_nanos(self.request_timeout_nanos)
    }
}

/// One who asks.
pub(crate) struct LiveQuery {
    pub(crate) id: QueryId,
    pub(crate) work: u32,
    pub(crate) started: Time,
    pub(crate) results_max: u32,
    pub(crate) results: u32,
    /// Whether it is nobody's: a refresh behind, of which nothing is said.
    pub(crate) is_refresh: bool,
    /// When the first item was delivered, if there are results; [`Time::MAX`] before.
    pub(crate) first_item: Time,
    /// Results by the source that gave them first, for each named one.
    pub(crate) by_source: Vec<u32>,
}

impl LiveQuery {
    pub(crate) fn first_item(&self) -> Option<Duration> {
        (self.results > 0).then(|| self.first_item - self.started)
    }

    /// Counts an item as delivered, and says so. It was delivered first so long ago.
    pub(crate) fn found<N: Network>(
        &mut self,
        now: Time,
        origin: &Origin<N>,
        item: N::Item,
        votes: u32,
        age: Duration,
    ) -> Output<N> {
        self.results += 1;
        if self.results == 1 {
            self.first_item = now;
        }
        let Origin { from, response_time, source } = origin.clone();
        if let Some(results) = self.by_source.get_mut(usize::from(source.0)) {
            *results += 1;
        }
        let elapsed = now.since(self.started);
        Output::Found { query: self.id, found: Found { item, from, response_time, elapsed, votes, age } }
    }
}

/// The lane of a contact: the index of a route, or the fetch lane.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Lane(pub(crate) u16);

impl Lane {
    pub(crate) const FETCH: Lane = Lane(u16::MAX);

    pub(crate) const fn step(self) -> crate::output::Step {
        match self {
            Self::FETCH => crate::output::Step::Fetch,
            Self(route) => crate::output::Step::Route(route),
        }
    }
}

/// One request to one peer, or one lookup left to the transport.
pub(crate) struct Contact {
    pub(crate) work: u32,
    pub(crate) peer: PeerIndex,
    pub(crate) lane: Lane,
    pub(crate) phase: Phase,
    /// Whether the transport has said that it was sent.
    pub(crate) is_sent: bool,
    /// When it was sent, as far as is known: when it began, until the transport says.
    pub(crate) sent: Time,
    /// When it is late, or is given up.
    pub(crate) due: Due,
    /// Its neighbours in its peer's queue, while it waits.
    pub(crate) queue: Links,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Phase {
    /// In its peer's queue; the transport has not heard of it.
    Waiting,
    /// In flight, its answer expected.
    InFlight,
    /// In flight, its answer late.
    Overdue,
    /// A lookup of the transport's own.
    Lookup,
}

#[derive(Clone, Copy)]
pub(crate) struct Links {
    pub(crate) previous: u32,
    pub(crate) next: u32,
}

impl Links {
    pub(crate) const NONE: Links = Links { previous: NONE, next: NONE };
}

impl<N: Network> Work<N> {
    pub(crate) fn slots(&self, lane: Lane) -> &Slots {
        match lane {
            Lane::FETCH => &self.fetch_slots,
            Lane(route) => &self.routes[usize::from(route)].slots,
        }
    }

    pub(crate) fn slots_mut(&mut self, lane: Lane) -> &mut Slots {
        match lane {
            Lane::FETCH => &mut self.fetch_slots,
            Lane(route) => &mut self.routes[usize::from(route)].slots,
        }
    }

    pub(crate) fn set_state(&mut self, lane: Lane, peer: PeerIndex, state: State, peers: &PeerTable<N>) {
        if lane == Lane::FETCH {
            self.fetch.set_state(peer, state);
        } else if let Some(walk) = self.walk_mut(lane) {
            walk.set_state(peer, state, peers);
        }
    }

    /// Whether the lane may still begin contacts.
    pub(crate) fn is_open(&self, lane: Lane) -> bool {
        match lane {
            Lane::FETCH => true,
            Lane(route) => matches!(self.routes[usize::from(route)].route, RouteState::Walk(_)),
        }
    }

    /// What the lane would do next. A route that is at its end stays there.
    pub(crate) fn next(&mut self, lane: Lane, pace: Pace, peers: &PeerTable<N>) -> Next {
        let closest = self.limits.closest;
        // Where there is one source only, nobody needs to be looked at to know that there is no slot.
        let of_all = peers.only_source().map(|source| self.slots(lane).slot(source, pace).is_some());
        let has_any = of_all.unwrap_or(true);
        let has_slot =
            |slots: &Slots, peer| of_all.unwrap_or_else(|| slots.slot(peers.source(peer), pace).is_some());
        let Lane(index) = lane;
        if lane == Lane::FETCH {
            let slots = &self.fetch_slots;
            return self.fetch.next(has_any, |peer| has_slot(slots, peer));
        }
        let RouteLane { route, slots, .. } = &mut self.routes[usize::from(index)];
        let next = match route {
            RouteState::Walk(walk) => {
                let expected = |peer| pace.typical.map(|typical| peers.expected_in(peer, typical));
                let waits_for_overdue = pace.typical.is_some();
                let has_slot = |peer| has_slot(slots, peer);
                walk.next(closest.into(), has_any, has_slot, expected, waits_for_overdue)
            }
            RouteState::Delegated => return Next::Wait,
            RouteState::Ended { converged: true, .. } => return Next::Converged,
            RouteState::Ended { converged: false, .. } => return Next::Exhausted,
        };
        if matches!(next, Next::Converged | Next::Exhausted) {
            route.end(next == Next::Converged);
        }
        next
    }

    /// The other walks to the target of this one, if they may share no peer.
    pub(crate) fn rivals(&self, lane: Lane) -> impl Iterator<Item = (Lane, &Walk)> {
        let own = if self.is_disjoint { self.walk(lane) } else { None };
        let target = own.map(|walk| *walk.target());
        let routes = (0..).map(Lane).zip(&self.routes);
        let walks = routes.filter_map(|(lane, route)| Some((lane, route.route.walk()?)));
        walks.filter(move |(other, walk)| *other != lane && Some(*walk.target()) == target)
    }

    /// Whether another walk to this one's target has contacted the peer.
    pub(crate) fn is_owned(&self, lane: Lane, peer: PeerIndex, peers: &PeerTable<N>) -> bool {
        let mut states = self.rivals(lane).filter_map(|(_, walk)| walk.state(peer, peers));
        states.any(|state| !matches!(state, State::New | State::Waiting | State::Skipped))
    }

    pub(crate) fn lanes(&self) -> impl Iterator<Item = Lane> + use<N> {
        let routes = u16::try_from(self.routes.len()).expect("routes are capped");
        (0..routes).map(Lane).chain([Lane::FETCH])
    }

    /// Loads its own lines, wherever the compiler has put what, and its candidates.
    pub(crate) fn touch(&self) {
        let Self { routes, fetch_slots, answers, limits, counts, queries, contacts, alarm, .. } = self;
        black_box((counts.all.contacted, counts.all.barred, limits.fan_out, alarm.0, alarm.1));
        black_box((contacts.len(), queries.len(), fetch_slots.has_expected()));
        black_box(matches!(answers, Answers::Held(_)));
        routes.iter().filter_map(|lane| lane.route.walk()).for_each(Walk::touch);
        self.fetch.touch();
    }

    /// Every candidate of every lane.
    pub(crate) fn peers(&self) -> impl Iterator<Item = PeerIndex> + '_ {
        let walks = self.routes.iter().filter_map(|lane| lane.route.walk());
        walks.flat_map(Walk::peers).chain(self.fetch.peers())
    }

    /// Nothing for the fetch lane, and lookups.
    pub(crate) fn walk(&self, Lane(route): Lane) -> Option<&Walk> {
        self.routes.get(usize::from(route))?.route.walk()
    }

    pub(crate) fn walk_mut(&mut self, Lane(route): Lane) -> Option<&mut Walk> {
        match &mut self.routes[usize::from(route)].route {
            RouteState::Walk(walk) => Some(walk),
            RouteState::Ended { walk, .. } => walk.as_mut(),
            RouteState::Delegated => None,
        }
    }
}

impl RouteState {
    pub(crate) fn end(&mut self, converged: bool) {
        let ended = Self::Ended { converged, walk: None };
        let walk = match core::mem::replace(self, ended) {
            Self::Walk(walk) => Some(walk),
            Self::Ended { walk, .. } => walk,
            Self::Delegated => None,
        };
        *self = Self::Ended { converged, walk };
    }

    fn walk(&self) -> Option<&Walk> {
        match self {
            Self::Walk(walk) => Some(walk),
            Self::Ended { walk, .. } => walk.as_ref(),
            Self::Delegated => None,
        }
    }
}
