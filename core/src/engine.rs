//! The query engine.

use alloc::vec::Vec;

use crate::config::EngineConfig;
use crate::network::{Failure, LookupTotals, Network, Reply};
use crate::output::{Output, RequestId, StartError};
use crate::query::{Query, QueryId, QueryStats};
use crate::stats::{Metrics, PeerReport};
use crate::time::Time;

/// Decides everything, touches nothing.
pub struct QueryEngine<N: Network> {
    config: EngineConfig,
    local: N::Peer,
}

#[allow(unused_variables, missing_docs, clippy::todo, clippy::needless_pass_by_value)]
impl<N: Network> QueryEngine<N> {
    pub fn new(config: EngineConfig, local: N::Peer, seed: [u8; 32]) -> Self {
        Self { config, local }
    }
    /// Checks the limits of a query without starting it.
    pub fn check(config: &EngineConfig, query: &Query<N>) -> Result<(), StartError> {
        todo!()
    }
    pub fn start(&mut self, now: Time, query: Query<N>) -> Result<QueryId, StartError> {
        todo!()
    }
    pub fn cancel(&mut self, now: Time, query: QueryId) -> bool {
        todo!()
    }
    pub fn handle_reply(&mut self, now: Time, request: RequestId, reply: Reply<N>) {
        todo!()
    }
    pub fn handle_failure(&mut self, now: Time, request: RequestId, failure: Failure) {
        todo!()
    }
    pub fn handle_progress(&mut self, now: Time, request: RequestId, from: Option<N::Peer>, reply: Reply<N>) {
        todo!()
    }
    pub fn handle_done(&mut self, now: Time, request: RequestId, totals: LookupTotals) {
        todo!()
    }
    pub fn handle_tick(&mut self, now: Time) {
        todo!()
    }
    pub fn poll_output(&mut self) -> Option<Output<N>> {
        todo!()
    }
    pub fn poll_timeout(&mut self) -> Option<Time> {
        todo!()
    }
    /// `None` once the query has ended.
    pub fn status(&self, query: QueryId) -> Option<QueryStats> {
        todo!()
    }
    pub fn metrics(&self) -> Metrics {
        todo!()
    }
    pub fn peers(&self, now: Time) -> impl Iterator<Item = PeerReport<N::Peer>> + '_ {
        core::iter::empty()
    }
    pub fn bar(&mut self, now: Time, peer: &N::Peer) {
        todo!()
    }
    /// Live queries.
    pub fn live(&self) -> usize {
        todo!()
    }
    pub fn config(&self) -> &EngineConfig {
        &self.config
    }
}
