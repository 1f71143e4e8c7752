//! Admission: what may start, and how it is set up.

use alloc::boxed::Box;
use alloc::vec::Vec;

use rand_core::Rng;
use smallvec::SmallVec;
use uuid::Builder;

use super::share::results_max;
use super::tape::Noted;
use super::{QueryEngine, id_hash};
use crate::arena::NONE;
use crate::cache::CachePolicy;
use crate::config::{Caps, EngineConfig};
use crate::delivery::Delivery;
use crate::key::Distance;
use crate::lookup::{
    Answers, Ballot, Fetch, Lane, Limits, LiveQuery, RouteLane, RouteState, Rules, Tally, Walk, Work,
};
use crate::network::Network;
use crate::output::StartError;
use crate::pacing::Slots;
use crate::peers::{Named, PeerIndex};
use crate::query::{Query, QueryConfig, QueryId, Reason, Route};
use crate::time::Time;
use crate::timers::Due;

impl<N: Network> QueryEngine<N> {
    /// Starts a query.
    ///
    /// Its first contacts are among the outputs. A query that has nobody to ask ends at once, and one
    /// whose timeout is zero asks nobody.
    ///
    /// # Errors
    ///
    /// [`StartError::Busy`] when [`queries_max`](crate::Caps::queries_max) queries live, and
    /// [`StartError::Limit`] when a setting is out of its range, as [`check`](Self::check) says. What was
    /// due by `now` has been done all the same.
    pub fn start(&mut self, now: Time, mut query: Query<N>) -> Result<QueryId, StartError> {
        self.note(now, Noted::Start(&mut query));
        self.advance(now);
        let started = self.admit_query(query);
        self.settle();
        started
    }

    /// Whether a query's settings are within the bounds of an engine so configured. Does not say
    /// whether there is room for it.
    ///
    /// # Errors
    ///
    /// [`StartError::Limit`] with the setting that is out of its range.
    pub fn check(config: &EngineConfig, query: &Query<N>) -> Result<(), StartError> {
        let within = |what, value, min, max| {
            if (min..=max).contains(&value) {
                Ok(())
            } else {
                Err(StartError::Limit { what, value, min, max })
            }
        };
        let QueryConfig { max_results, fan_out, hedges_max, closest, .. } = query.config;
        let narrow_max = usize::from(u16::MAX);
        within("max_results", max_results, 1, config.caps.results_max)?;
        within("fan_out", fan_out, 1, narrow_max)?;
        within("hedges_max", hedges_max, 0, narrow_max)?;
        within("closest", closest, 1, narrow_max)?;
        if let Delivery::Quorum(votes) = query.config.delivery {
            within("the quorum", votes, 1, narrow_max)?;
        }
        if query.disjoint.is_some() {
            within("the number of disjoint routes", query.routes.len(), 0, 64)?;
        }
        within("the number of routes", query.routes.len(), 0, config.caps.routes_max.min(narrow_max - 1))
    }

    fn admit_query(&mut self, query: Query<N>) -> Result<QueryId, StartError> {
        let (live, max) = (self.live(), self.config.caps.queries_max);
        if live >= max {
            self.metrics.queries_refused += 1;
            return Err(StartError::Busy { what: "queries live", live, max });
        }
        Self::check(&self.config, &query)?;

        let mut random = [0; 16];
        self.ids.fill_bytes(&mut random);
        let id = QueryId(Builder::from_random_bytes(random).into_uuid());
        let deadline = self.now + query.config.timeout;
        #[cfg(feature = "sabotage")]
        let deadline = self.spoil_deadline(deadline);
        // One that has no time gets nothing, not even what is at hand.
        if query.config.cache != CachePolicy::Skip && deadline > self.now {
            self.start_sharing(id, query, deadline);
        } else {
            let results_max = results_max(&query.config);
            let work = self.insert_work(query);
            let slot = self.insert_query(id, work, results_max, false);
            self.begin(slot, deadline);
        }
        self.make_room();
        Ok(id)
    }

    /// Makes a query one of those that a piece of work serves.
    pub(super) fn insert_query(&mut self, id: QueryId, work: u32, results_max: u32, is_refresh: bool) -> u32 {
        let query = self.new_query(id, work, results_max, is_refresh);
        let slot = self.queries.insert(query);
        self.works[work].queries.push(slot);
        if !is_refresh {
            let Self { by_id, queries, .. } = self;
            by_id.insert_unique(id_hash(id), slot, |&query| id_hash(queries[query].id));
            self.metrics.queries_started += 1;
        }
        slot
    }

    pub(super) fn new_query(&self, id: QueryId, work: u32, results_max: u32, is_refresh: bool) -> LiveQuery {
        LiveQuery {
            id,
            work,
            started: self.now,
            results_max,
            results: 0,
            is_refresh,
            first_item: Time::MAX,
            by_source: alloc::vec![0; self.config.sources.len()],
        }
    }

    /// Lets a query begin that has work of its own.
    pub(super) fn begin(&mut self, query: u32, deadline: Time) {
        let work = self.queries[query].work;
        if deadline <= self.now {
            self.finish(query, Reason::DeadlineReached);
        } else {
            self.timers.set_deadline(query, deadline);
            self.begin_lookups(work);
            self.mark_ready(work);
        }
    }

    pub(super) fn insert_work(&mut self, query: Query<N>) -> u32 {
        let candidates_max = self.config.caps.candidates_max;
        let answers = self.answers(&query);
        let mut work = Work {
            request: query.request,
            routes: SmallVec::new(),
            fetch: Fetch::with_capacity(query.peers.len().min(candidates_max)),
            fetch_slots: Slots::default(),
            fetch_providers: query.providers,
            is_disjoint: query.disjoint.is_some(),
            answers,
            validator: query.validator,
            limits: Limits::of(&query.config),
            counts: Tally::new(self.config.sources.len()),
            shared: None,
            queries: SmallVec::new(),
            contacts: SmallVec::new(),
            waiting: 0,
            is_ready: false,
            alarm: (Due::NEVER, NONE),
        };
        #[cfg(feature = "sabotage")]
        self.spoil_limits(&mut work.limits);
        let mut candidates = SmallVec::<[_; 4]>::new();
        for route in query.routes {
            let source = route.source();
            let route = match route {
                Route::Walk { target, candidates: first, .. } => {
                    let walk = Walk::new(target, first.len().min(candidates_max));
                    candidates.push((Lane(work.routes.len() as u16), first));
                    RouteState::Walk(walk)
                }
                Route::Delegated { .. } => RouteState::Delegated,
            };
            work.routes.push(RouteLane { route, source, slots: Slots::default() });
        }
        #[cfg(feature = "sabotage")]
        self.spoil_disjoint(&mut work);
        if work.is_disjoint {
            self.deal(&work, &mut candidates);
        }
        candidates.push((Lane::FETCH, query.peers));
        let work = self.works.insert(work);
        for (lane, peers) in candidates {
            self.offer_named(work, lane, &peers, Named::ByAsker);
        }
        work
    }

    /// Deals the first candidates of walks that go to one target through one network out among them, the
    /// closest first.
    fn deal(&self, work: &Work<N>, candidates: &mut [(Lane, Vec<N::Peer>)]) {
        let course = |lane: Lane| Some((*work.walk(lane)?.target(), work.routes[usize::from(lane.0)].source));
        for first in 0..candidates.len() {
            let Some((target, source)) = course(candidates[first].0) else { continue };
            let is_same = |(lane, _): &(Lane, Vec<N::Peer>)| course(*lane) == Some((target, source));
            let is_done = candidates[..first].iter().any(is_same);
            let mut hands: Vec<_> = candidates[first..].iter_mut().filter(|hand| is_same(hand)).collect();
            if is_done || hands.len() < 2 {
                continue;
            }
            let mut deck: Vec<(Distance, N::Peer)> = Vec::new();
            for peer in hands.iter_mut().flat_map(|(_, hand)| core::mem::take(hand)) {
                let is_dealt = deck.iter().any(|(_, other)| *other == peer);
                if !is_dealt && *self.peers.peer(PeerIndex::LOCAL) != peer {
                    deck.push((N::key(&peer).distance(&target), peer));
                }
            }
            deck.sort_by_key(|(distance, _)| *distance);
            let count = hands.len();
            for (n, (_, peer)) in deck.into_iter().enumerate() {
                hands[n % count].1.push(peer);
            }
        }
    }

    /// Where the answers to a query go.
    fn answers(&self, query: &Query<N>) -> Answers<N> {
        if !compares(query) {
            return Answers::new();
        }
        let narrow = |votes: usize| u32::try_from(votes).unwrap_or(u32::MAX);
        let agreement = narrow(agreement(query));
        let quorum = match query.config.delivery {
            Delivery::Immediate => Some(agreement),
            Delivery::Quorum(votes) => Some(narrow(votes).max(agreement)),
            Delivery::BestAtEnd => None,
        };
        let Caps { held_max, versions_max, .. } = self.config.caps;
        let rules = Rules { quorum, agreement, by_route: query.disjoint.is_some(), held_max, versions_max };
        #[cfg(feature = "sabotage")]
        let rules = self.spoil_rules(rules);
        Answers::Held(Box::new(Ballot::new(rules, query.selector.clone())))
    }

    fn begin_lookups(&mut self, work: u32) {
        for index in 0..self.works[work].routes.len() {
            if matches!(self.works[work].routes[index].route, RouteState::Delegated) {
                self.begin_lookup(work, index as u16);
            }
        }
    }
}

/// Whether a query's items are compared before they are delivered.
pub(super) fn compares<N: Network>(query: &Query<N>) -> bool {
    query.config.delivery != Delivery::Immediate || agreement(query) > 1
}

/// How many routes have to agree on an item.
fn agreement<N: Network>(query: &Query<N>) -> usize {
    query.disjoint.map_or(1, |agreement| agreement.of(query.routes.len()))
}
