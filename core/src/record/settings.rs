//! The settings of an engine and of a query, as bytes and back.
//!
//! Every setting is named in both directions, so that a new one does not compile before it is recorded.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::wire::{Malformed, Take, Taken, put, put_duration, put_len, put_text};
use crate::cache::CachePolicy;
use crate::config::{CacheConfig, Caps, EngineConfig, ReputationConfig};
use crate::delivery::{Agreement, Delivery};
use crate::query::QueryConfig;

pub(super) fn put_engine_config(out: &mut Vec<u8>, config: &EngineConfig) {
    let EngineConfig { caps, reputation, cache, sources } = config;
    let Caps {
        queries_max,
        results_max,
        routes_max,
        candidates_max,
        peers_max,
        contacts_per_peer,
        items_per_reply,
        closer_per_reply,
        providers_per_reply,
        held_max,
        versions_max,
    } = *caps;
    let caps = [queries_max, results_max, routes_max, candidates_max, peers_max, contacts_per_peer];
    let per_reply = [items_per_reply, closer_per_reply, providers_per_reply];
    caps.into_iter().chain(per_reply).chain([held_max, versions_max]).for_each(|cap| put_len(out, cap));
    let ReputationConfig { half_life, invalid_max, bar_for } = *reputation;
    put_duration(out, half_life);
    put(out, invalid_max.into());
    put_duration(out, bar_for);
    let CacheConfig { ttl, ttl_nothing, stale_for, entries_max, bytes_max, refreshes_max } = *cache;
    [ttl, ttl_nothing, stale_for].into_iter().for_each(|duration| put_duration(out, duration));
    [entries_max, bytes_max, refreshes_max].into_iter().for_each(|cap| put_len(out, cap));
    put_len(out, sources.len());
    sources.iter().for_each(|name| put_text(out, name));
}

pub(super) fn take_engine_config(from: &mut Take<'_>) -> Taken<EngineConfig> {
    let caps = Caps {
        queries_max: from.narrow()?,
        results_max: from.narrow()?,
        routes_max: from.narrow()?,
        candidates_max: from.narrow()?,
        peers_max: from.narrow()?,
        contacts_per_peer: from.narrow()?,
        items_per_reply: from.narrow()?,
        closer_per_reply: from.narrow()?,
        providers_per_reply: from.narrow()?,
        held_max: from.narrow()?,
        versions_max: from.narrow()?,
    };
    let reputation = ReputationConfig {
        half_life: from.duration()?,
        invalid_max: from.narrow()?,
        bar_for: from.duration()?,
    };
    let cache = CacheConfig {
        ttl: from.duration()?,
        ttl_nothing: from.duration()?,
        stale_for: from.duration()?,
        entries_max: from.narrow()?,
        bytes_max: from.narrow()?,
        refreshes_max: from.narrow()?,
    };
    let len = from.len()?;
    let sources = (0..len).map(|_| Ok(Arc::from(from.text()?))).collect::<Taken<_>>()?;
    Ok(EngineConfig { caps, reputation, cache, sources })
}

pub(super) fn put_query_config(out: &mut Vec<u8>, config: &QueryConfig) {
    let QueryConfig {
        timeout,
        max_results,
        fan_out,
        hedges_max,
        adaptive_fan_out,
        adaptive_timeout,
        soft_timeout,
        request_timeout,
        closest,
        delivery,
        cache,
        max_age,
    } = *config;
    [timeout, soft_timeout, request_timeout, max_age].into_iter().for_each(|time| put_duration(out, time));
    [max_results, fan_out, hedges_max, closest].into_iter().for_each(|number| put_len(out, number));
    out.push(u8::from(adaptive_fan_out) | u8::from(adaptive_timeout) << 1);
    match delivery {
        Delivery::Immediate => out.push(0),
        Delivery::BestAtEnd => out.push(1),
        Delivery::Quorum(votes) => {
            out.push(2);
            put_len(out, votes);
        }
    }
    out.push(match cache {
        CachePolicy::Skip => 0,
        CachePolicy::Refresh => 1,
        CachePolicy::Fresh => 2,
        CachePolicy::Stale => 3,
    });
}

pub(super) fn take_query_config(from: &mut Take<'_>) -> Taken<QueryConfig> {
    let (timeout, soft_timeout) = (from.duration()?, from.duration()?);
    let (request_timeout, max_age) = (from.duration()?, from.duration()?);
    let (max_results, fan_out) = (from.narrow()?, from.narrow()?);
    let (hedges_max, closest) = (from.narrow()?, from.narrow()?);
    let adaptive = from.byte()?;
    if adaptive > 3 {
        return Err(Malformed("an unknown setting of a query"));
    }
    let delivery = match from.byte()? {
        0 => Delivery::Immediate,
        1 => Delivery::BestAtEnd,
        2 => Delivery::Quorum(from.narrow()?),
        _ => return Err(Malformed("an unknown delivery")),
    };
    let cache = match from.byte()? {
        0 => CachePolicy::Skip,
        1 => CachePolicy::Refresh,
        2 => CachePolicy::Fresh,
        3 => CachePolicy::Stale,
        _ => return Err(Malformed("an unknown cache policy")),
    };
    Ok(QueryConfig {
        timeout,
        max_results,
        fan_out,
        hedges_max,
        adaptive_fan_out: adaptive & 1 != 0,
        adaptive_timeout: adaptive & 2 != 0,
        soft_timeout,
        request_timeout,
        closest,
        delivery,
        cache,
        max_age,
    })
}

pub(super) fn put_agreement(out: &mut Vec<u8>, agreement: Option<Agreement>) {
    out.push(match agreement {
        None => 0,
        Some(Agreement::One) => 1,
        Some(Agreement::Majority) => 2,
        Some(Agreement::All) => 3,
    });
}

pub(super) fn take_agreement(from: &mut Take<'_>) -> Taken<Option<Agreement>> {
    Ok(match from.byte()? {
        0 => None,
        1 => Some(Agreement::One),
        2 => Some(Agreement::Majority),
        3 => Some(Agreement::All),
        _ => return Err(Malformed("an unknown agreement")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_as_they_were_written() {
        let mut engine = EngineConfig::default().with_sources(["dht", "registry"]);
        (engine.caps.held_max, engine.caps.peers_max) = (7, usize::MAX);
        let mut query = QueryConfig::low_latency().with_delivery(Delivery::Quorum(3));
        (query.cache, query.hedges_max) = (CachePolicy::Stale, 65_536);
        let mut bytes = Vec::new();
        put_engine_config(&mut bytes, &engine);
        put_query_config(&mut bytes, &query);
        put_agreement(&mut bytes, Some(Agreement::Majority));
        let mut from = Take::new(&bytes);
        assert_eq!(take_engine_config(&mut from), Ok(engine));
        assert_eq!(take_query_config(&mut from), Ok(query));
        assert_eq!(take_agreement(&mut from), Ok(Some(Agreement::Majority)));
        assert!(from.is_empty());
    }
}
