//! What a query is given that it has not asked for: kept answers, and what others are finding.

use std::time::Duration;

use dragnet_core::{CacheConfig, CachePolicy, Query, QueryId, QueryStats, Reason, Route, Time};

use super::super::network::Toy;
use super::query::{Asked, Asker, Held};
use super::{Reference, Said, Shown};

/// An item that was delivered, its votes, and when.
#[derive(Clone)]
pub(super) struct Accepted {
    pub(super) held: Held,
    pub(super) votes: usize,
    pub(super) at: Time,
}

/// How far a piece of work is shared.
#[derive(Default)]
pub(super) struct Sharing {
    is_shared: bool,
    /// Whether whoever asks the same joins it.
    is_listed: bool,
    cut_at: Option<usize>,
    enough: usize,
}

impl Sharing {
    fn listed() -> Self {
        Self { is_shared: true, is_listed: true, ..Self::default() }
    }

    pub(super) fn cut(&mut self, wanted: usize) {
        self.cut_at = Some(self.cut_at.map_or(wanted, |cut_at| cut_at.min(wanted)));
    }
}

/// The kept answers, the oldest first.
pub(super) struct Shelf {
    config: CacheConfig,
    entries: Vec<Entry>,
    /// Where the search for the least useful goes on.
    hand: usize,
}

#[derive(Clone)]
struct Entry {
    question: Query<Toy>,
    items: Vec<Accepted>,
    /// How many of them were delivered before the end.
    before_end: usize,
    reason: Reason,
    is_whole: bool,
    results_max: usize,
    since: Time,
    is_used: bool,
}

/// Whether two queries ask the same.
pub(crate) fn is_same(one: &Query<Toy>, other: &Query<Toy>) -> bool {
    let routes = |query: &Query<Toy>| -> Vec<_> {
        let route = |route: &Route<Toy>| match route {
            Route::Walk { target, .. } => (Some(*target), route.source()),
            _ => (None, route.source()),
        };
        query.routes.iter().map(route).collect()
    };
    let policy = |query: &Query<Toy>| {
        let config = query.config.clone().with_timeout(Duration::ZERO).with_max_results(1);
        config.with_cache(CachePolicy::Skip).with_max_age(Duration::ZERO)
    };
    let judges = |query: &Query<Toy>| {
        let validator = query.validator.as_ref().map(|judge| std::sync::Arc::as_ptr(judge).cast::<()>());
        (validator, query.selector.as_ref().map(|judge| std::sync::Arc::as_ptr(judge).cast::<()>()))
    };
    one.request == other.request
        && routes(one) == routes(other)
        && one.peers == other.peers
        && (one.providers, one.disjoint) == (other.providers, other.disjoint)
        && judges(one) == judges(other)
        && policy(one) == policy(other)
}

impl Shelf {
    pub(super) fn new(config: &CacheConfig) -> Self {
        Self { config: config.clone(), entries: Vec::new(), hand: 0 }
    }

    fn remove(&mut self, place: usize) {
        self.entries.remove(place);
        self.hand -= usize::from(place < self.hand);
        self.hand %= self.entries.len().max(1);
    }

    fn is_over(&self, now: Time, entry: &Entry) -> bool {
        let CacheConfig { ttl, ttl_nothing, stale_for, .. } = self.config;
        let most = if entry.items.is_empty() { ttl_nothing } else { ttl.saturating_add(stale_for) };
        now.since(entry.since) >= most
    }

    /// Forgets what is too old for everybody.
    pub(super) fn forget_old(&mut self, now: Time) {
        for place in (0..self.entries.len()).rev() {
            if self.is_over(now, &self.entries[place]) {
                self.remove(place);
            }
        }
    }

    /// A kept answer that suits a query, its age, and whether it is stale.
    fn look_up(&mut self, now: Time, query: &Query<Toy>) -> Option<(Entry, Duration, bool)> {
        if query.config.cache == CachePolicy::Refresh {
            return None;
        }
        let place = self.entries.iter().position(|entry| is_same(&entry.question, query))?;
        let entry = self.entries[place].clone();
        let age = now.since(entry.since);
        let ttl = if entry.items.is_empty() { self.config.ttl_nothing } else { self.config.ttl };
        let is_stale = age >= ttl;
        if self.is_over(now, &entry) {
            self.remove(place);
            return None;
        }
        let is_enough = entry.is_whole || entry.items.len() >= query.config.max_results;
        let is_young = age <= query.config.max_age && (!is_stale || query.config.cache == CachePolicy::Stale);
        if !is_young || !is_enough {
            return None;
        }
        self.entries[place].is_used = true;
        Some((entry, age, is_stale))
    }

    /// Keeps an answer; returns how many others went for it.
    fn keep(&mut self, now: Time, mut entry: Entry) -> u64 {
        if let Some(place) = self.entries.iter().position(|other| is_same(&other.question, &entry.question)) {
            let earlier = &self.entries[place];
            let ttl = if earlier.items.is_empty() { self.config.ttl_nothing } else { self.config.ttl };
            let serves = |entry: &Entry| (entry.items.len(), entry.is_whole);
            let is_less = !entry.is_whole && serves(earlier) > serves(&entry);
            let is_fresh = now.since(earlier.since) < ttl;
            if earlier.since > entry.since || (is_fresh && is_less) {
                return 0;
            }
            entry.is_used = self.entries[place].is_used;
            self.remove(place);
        }
        let mut evicted = 0;
        if self.config.entries_max == 0 {
            return evicted;
        }
        while self.entries.len() >= self.config.entries_max {
            let place = self.hand;
            if self.entries[place].is_used && !self.is_over(now, &self.entries[place]) {
                self.entries[place].is_used = false;
                self.hand = (place + 1) % self.entries.len();
            } else {
                self.remove(place);
                evicted += 1;
            }
        }
        self.entries.push(entry);
        evicted
    }
}

impl Asked {
    /// What it means for one of the queries to have had enough.
    pub(super) fn enough(&self) -> Reason {
        if self.holds() { Reason::QuorumReached } else { Reason::EnoughResults }
    }

    fn suits(&self, now: Time, query: &Query<Toy>) -> bool {
        let age = self.accepted.first().map_or(Duration::ZERO, |accepted| now.since(accepted.at));
        let is_cut = self.sharing.cut_at.is_some_and(|cut_at| query.config.max_results > cut_at);
        age <= query.config.max_age && !is_cut
    }
}

/// Beginnings.
impl Reference {
    /// How many live that are somebody's.
    pub(super) fn live(&self) -> usize {
        self.asked.iter().flat_map(|asked| &asked.askers).filter(|asker| !asker.is_refresh).count()
    }

    pub(super) fn start_sharing(&mut self, id: QueryId, query: &Query<Toy>) {
        let is_it = |asked: &&Asked| asked.sharing.is_listed && is_same(&asked.query, query);
        let under_way = self.asked.iter().find(is_it).map(|asked| asked.id);
        if let Some((entry, age, is_stale)) = self.shelf.look_up(self.now, query) {
            self.serve(id, query, &entry, age, is_stale);
            if is_stale && under_way.is_none() {
                self.refresh_behind(id, query, entry.results_max);
            }
            return;
        }
        let (now, sequence) = (self.now, self.next());
        let under_way = under_way.map(|work| self.asked(work));
        let Some(asked) = under_way.filter(|asked| asked.suits(now, query)) else {
            self.shown.misses += u64::from(query.config.cache != CachePolicy::Refresh);
            return self.begin_shared(id, query, None);
        };
        let mut asker = Asker::new(id, now, query.config.timeout, sequence, query.config.max_results);
        let enough = asked.enough();
        let earlier: Vec<Accepted> = asked.accepted.iter().take(asker.max_results).cloned().collect();
        let found: Vec<_> = earlier
            .iter()
            .map(|a| asker.found(now, &a.held, a.votes, a.at))
            .map(|f| Said::Found(id, f))
            .collect();
        let has_enough = asker.results == asker.max_results;
        asked.askers.push(asker);
        let work = asked.id;
        self.said.extend(found);
        self.works.push((id, work));
        self.shown.joined += 1;
        if has_enough {
            self.finish(id, enough);
        }
    }

    /// Whoever asks the same from now on joins this one.
    fn begin_shared(&mut self, id: QueryId, query: &Query<Toy>, refresh: Option<Asker>) {
        for asked in self.asked.iter_mut().filter(|asked| is_same(&asked.query, query)) {
            asked.sharing.is_listed = false;
        }
        self.begin(id, query, Sharing::listed(), refresh);
    }

    fn serve(&mut self, id: QueryId, query: &Query<Toy>, entry: &Entry, age: Duration, is_stale: bool) {
        let max_results = query.config.max_results;
        let mut asker = Asker::new(id, self.now, Duration::ZERO, 0, max_results);
        for Accepted { held, votes, at } in entry.items.iter().take(max_results) {
            let found = asker.found(self.now, held, *votes, *at);
            self.said.push(Said::Found(id, found));
        }
        let mut stats = QueryStats::default();
        stats.first_item = asker.first_item;
        // As if it had waited for them.
        let has_enough = entry.before_end >= max_results;
        let enough = Asked::new(id, query, Sharing::default()).enough();
        let reason = if has_enough { enough } else { entry.reason };
        self.said.push(Said::Finished(id, reason, asker.results, stats, Some((age, is_stale))));
        *if is_stale { &mut self.shown.stale_hits } else { &mut self.shown.hits } += 1;
    }

    fn refresh_behind(&mut self, id: QueryId, query: &Query<Toy>, kept_max: usize) {
        let all: usize = self.asked.iter().map(|asked| asked.askers.len()).sum();
        let config = &self.setup.config;
        if all >= config.caps.queries_max || self.refreshes().len() >= config.cache.refreshes_max {
            return;
        }
        let timeout = query.config.timeout.min(config.cache.stale_for);
        let max_results = query.config.max_results.max(kept_max);
        let sequence = self.next();
        let mut refresh = Asker::new(id, self.now, timeout, sequence, max_results);
        refresh.is_refresh = true;
        self.shown.refreshed += 1;
        self.begin_shared(id, query, Some(refresh));
    }

    /// The oldest first.
    fn refreshes(&self) -> Vec<QueryId> {
        let askers = self.asked.iter().flat_map(|asked| &asked.askers);
        let mut refreshes: Vec<&Asker> = askers.filter(|asker| asker.is_refresh).collect();
        refreshes.sort_by_key(|asker| asker.deadline_set);
        refreshes.into_iter().map(|asker| asker.id).collect()
    }
}

/// Ends.
impl Reference {
    pub(super) fn cancel_refreshes(&mut self) {
        for id in self.refreshes() {
            self.finish(id, Reason::Cancelled);
        }
    }

    pub(super) fn make_room(&mut self) {
        let all: usize = self.asked.iter().map(|asked| asked.askers.len()).sum();
        let over = all.saturating_sub(self.setup.config.caps.queries_max);
        for id in self.refreshes().into_iter().take(over) {
            self.finish(id, Reason::Cancelled);
        }
    }

    /// Keeps the answer of work at whose end nobody was left to ask.
    pub(super) fn keep_whole(&mut self, work: QueryId, reason: Reason) {
        let now = self.now;
        let asked = self.asked(work);
        let wanted = asked.wanted();
        let mut items = asked.accepted.clone();
        let (before_end, rest) = (items.len(), asked.rest());
        let is_whole = asked.sharing.cut_at.is_none() && items.len() + rest.len() <= wanted;
        for held in rest.into_iter().take(wanted - items.len()) {
            let votes = asked.votes(&held);
            items.push(Accepted { held, votes, at: now });
        }
        let is_said = !items.is_empty() || asked.replied > 0;
        if asked.sharing.is_shared && is_said {
            let place = self.asked.iter().position(|asked| asked.id == work).expect("it is there");
            self.keep(place, (items, before_end), reason, is_whole, wanted);
        }
    }

    /// Notes that a query has had enough, and at the end of its work keeps what was enough for one.
    pub(super) fn keep_enough(&mut self, place: usize, asker: &Asker, reason: Reason) {
        let asked = &mut self.asked[place];
        if matches!(reason, Reason::EnoughResults | Reason::QuorumReached) {
            asked.sharing.enough = asked.sharing.enough.max(asker.results);
        }
        let enough = asked.sharing.enough;
        // At an end for want of peers, all has been kept by now.
        let is_kept = matches!(reason, Reason::Converged | Reason::Exhausted);
        if asked.askers.is_empty() && asked.sharing.is_shared && enough > 0 && !is_kept {
            let items = asked.accepted[..enough].to_vec();
            let reason = asked.enough();
            self.keep(place, (items, enough), reason, false, enough);
        }
    }

    fn keep(
        &mut self,
        place: usize,
        (items, before_end): (Vec<Accepted>, usize),
        reason: Reason,
        is_whole: bool,
        results_max: usize,
    ) {
        let question = self.asked[place].query.clone();
        let since = items.first().map_or(self.now, |accepted| accepted.at);
        let entry =
            Entry { question, items, before_end, reason, is_whole, results_max, since, is_used: false };
        self.shown.evicted += self.shelf.keep(self.now, entry);
    }
}

/// What can be seen.
impl Reference {
    pub(super) fn timeout(&self) -> Option<Time> {
        let timers = self.asked.iter().flat_map(Asked::timers).map(|timer| timer.at);
        timers.filter(|at| *at != Time::MAX).min()
    }

    pub(super) fn shown(&self) -> Shown {
        let entries = self.shelf.entries.len() as u64;
        Shown { work: self.asked.len(), refreshes: self.refreshes().len(), entries, ..self.shown }
    }
}
