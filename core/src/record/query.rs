//! Queries as bytes and back.

use alloc::vec::Vec;

use super::known::Known;
use super::names::{Digester, Names};
use super::recorded::{Recorded, RecordedRequest};
use super::settings::{put_agreement, put_query_config, take_agreement, take_query_config};
use super::wire::{Malformed, Take, Taken, put, put_len, put_text, put_word};
use super::{Digests, Recordable};
use crate::key::Key;
use crate::network::Source;
use crate::query::{Query, Route};

/// By what peers, requests and items are written.
pub(super) struct Context<'a, N: Recordable> {
    pub(super) names: &'a mut Names<N>,
    pub(super) digester: &'a Digester<N>,
    /// Whether requests are written in words.
    pub(super) texts: bool,
}

impl<N: Recordable> Context<'_, N> {
    pub(super) fn put_peer(&mut self, out: &mut Vec<u8>, peer: &N::Peer) {
        self.names.put(out, peer, self.digester);
    }

    fn put_peers(&mut self, out: &mut Vec<u8>, peers: &[N::Peer]) {
        put_len(out, peers.len());
        peers.iter().for_each(|peer| self.put_peer(out, peer));
    }
}

/// Writes a query. Its judges have these numbers.
pub(super) fn put_query<N: Recordable>(
    out: &mut Vec<u8>,
    query: &Query<N>,
    (validator, selector): (u64, u64),
    context: &mut Context<'_, N>,
) {
    put_word(out, context.digester.request(&query.request));
    put_text(out, N::request_kind(&query.request));
    if context.texts {
        put_text(out, &N::request_text(&query.request));
    } else {
        put_text(out, "");
    }
    put_len(out, query.routes.len());
    for route in &query.routes {
        out.push(matches!(route, Route::Walk { .. }).into());
        put(out, route.source().0.into());
        if let Route::Walk { target, candidates, .. } = route {
            out.extend_from_slice(target.as_bytes());
            context.put_peers(out, candidates);
        }
    }
    context.put_peers(out, &query.peers);
    out.push(query.providers.into());
    put(out, validator);
    put(out, selector);
    put_agreement(out, query.disjoint);
    put_query_config(out, &query.config);
}

/// Reads what [`put_query`] wrote.
pub(super) fn take_query(from: &mut Take<'_>, known: &mut Known) -> Taken<Query<Recorded>> {
    let digest = from.word()?;
    let (kind, text) = (from.text()?, from.text()?);
    let mut query = Query::new(RecordedRequest::new(digest, kind, text));
    for _ in 0..from.len()? {
        let (kind, source) = (from.byte()?, Source(from.narrow()?));
        let route = match kind {
            0 => Route::delegated(),
            1 => Route::walk_from(Key::from_bytes(from.array()?), known.take_peers(from)?),
            _ => return Err(Malformed("an unknown route")),
        };
        query.routes.push(route.in_source(source));
    }
    query.peers = known.take_peers(from)?;
    query.providers = from.flag()?;
    query.validator = known.validator(from.number()?);
    query.selector = known.selector(from.number()?);
    query.disjoint = take_agreement(from)?;
    query.config = take_query_config(from)?;
    Ok(query)
}
