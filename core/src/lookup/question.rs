//! What makes two queries ask the same.

use alloc::sync::Arc;
use core::hash::{BuildHasher, Hash, Hasher};
use core::ptr;

use crate::hash::Keyed;
use crate::network::Network;
use crate::query::{Query, QueryConfig, Route};

/// What a query asks, without what is its own alone: its limits, and where its walks begin.
///
/// It is kept whole, and compared part by part. A fingerprint would be smaller, but it would be made by
/// the `Hash` of the network's types, which may leave out what their `Eq` looks at; and where validators
/// are compared by address, the one that is compared must live. So the hash only finds a place in a
/// table, under a key that strangers do not know, and decides nothing.
pub(crate) struct Question<N: Network>(Query<N>);

impl<N: Network> Question<N> {
    pub(crate) fn of(query: &Query<N>) -> Self {
        let Query { request, routes, disjoint, peers, providers, validator, selector, config } = query;
        Self(Query {
            request: request.clone(),
            routes: routes.iter().map(without_candidates).collect(),
            peers: peers.clone(),
            disjoint: *disjoint,
            providers: *providers,
            validator: validator.clone(),
            selector: selector.clone(),
            config: config.clone(),
        })
    }

    pub(crate) fn is_asked_by(&self, query: &Query<N>) -> bool {
        // Whoever adds a part to a query has to say here whether it makes a difference.
        let Query { request, routes, disjoint, peers, providers, validator, selector, config } = &self.0;
        *request == query.request
            && *disjoint == query.disjoint
            && *providers == query.providers
            && is_same_policy(config, &query.config)
            && is_same_object(validator.as_ref(), query.validator.as_ref())
            && is_same_object(selector.as_ref(), query.selector.as_ref())
            && routes.len() == query.routes.len()
            && routes.iter().zip(&query.routes).all(|(one, other)| is_same_route(one, other))
            && *peers == query.peers
    }

    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.is_asked_by(&other.0)
    }

    /// A query that asks it.
    pub(crate) const fn query(&self) -> &Query<N> {
        &self.0
    }

    /// A hash that is equal for those that ask the same.
    pub(crate) fn hash_of(query: &Query<N>, hasher: Keyed) -> u64 {
        let mut state = hasher.build_hasher();
        query.request.hash(&mut state);
        query.routes.len().hash(&mut state);
        for route in &query.routes {
            route.source().hash(&mut state);
            if let Route::Walk { target, .. } = route {
                target.hash(&mut state);
            }
        }
        query.peers.hash(&mut state);
        state.finish()
    }

    /// How many routes and peers it names.
    pub(crate) const fn lengths(&self) -> (usize, usize) {
        let Query { routes, peers, .. } = &self.0;
        (routes.len(), peers.len())
    }
}

fn without_candidates<N: Network>(route: &Route<N>) -> Route<N> {
    let bare = match route {
        Route::Walk { target, .. } => Route::walk(*target),
        Route::Delegated { .. } => Route::delegated(),
    };
    bare.in_source(route.source())
}

fn is_same_route<N: Network>(one: &Route<N>, other: &Route<N>) -> bool {
    let is_same_way = match (one, other) {
        (Route::Walk { target, .. }, Route::Walk { target: other, .. }) => target == other,
        (Route::Delegated { .. }, Route::Delegated { .. }) => true,
        _ => false,
    };
    is_same_way && one.source() == other.source()
}

/// Equal in all but what each query has for itself: a setting that is new makes a difference.
fn is_same_policy(one: &QueryConfig, other: &QueryConfig) -> bool {
    let QueryConfig { timeout, max_results, cache, max_age, .. } = *one;
    *one == QueryConfig { timeout, max_results, cache, max_age, ..other.clone() }
}

/// Nobody can tell whether two closures do the same: so it must be one.
fn is_same_object<T: ?Sized>(one: Option<&Arc<T>>, other: Option<&Arc<T>>) -> bool {
    match (one, other) {
        // The address alone: one type may have several tables of methods.
        (Some(one), Some(other)) => ptr::addr_eq(Arc::as_ptr(one), Arc::as_ptr(other)),
        (None, None) => true,
        _ => false,
    }
}
