//! Joining the network: has anybody answered, and if not, why?

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::Context;

use futures::channel::oneshot;
use futures_timer::Delay;
use libp2p::kad::{QueryId, QueryStats};
use libp2p::multiaddr::Protocol;
use libp2p::swarm::DialError;
use libp2p::{Multiaddr, PeerId};

use crate::behaviour::Behaviour;
use crate::client::BootstrapReport;
use crate::error::{AddressFailure, BootstrapError};

/// Addresses that an application gives are kept for the next bootstrap, the oldest out first.
const KEPT_MAX: usize = 256;

/// Failures that are told of.
const FAILURES_MAX: usize = 64;

/// Callers that may wait for one bootstrap.
const WAITING_MAX: usize = 256;

pub(crate) type BootstrapReply = oneshot::Sender<Result<BootstrapReport, BootstrapError>>;

/// The addresses to begin with, and the attempt that runs.
#[derive(Default)]
pub(crate) struct Joining {
    kept: VecDeque<(PeerId, Multiaddr)>,
    waiting: Vec<BootstrapReply>,
    query: Option<QueryId>,
    failures: Vec<AddressFailure>,
    timeout: Option<Delay>,
}

impl Joining {
    /// Keeps an address for every bootstrap to come.
    pub(crate) fn keep(&mut self, peer: PeerId, address: Multiaddr) {
        let entry = (peer, without_peer(address));
        if self.kept.contains(&entry) {
            return;
        }
        if self.kept.len() == KEPT_MAX {
            self.kept.pop_front();
        }
        self.kept.push_back(entry);
    }

    /// The peers of which the application has given an address.
    #[cfg(feature = "state")]
    pub(crate) fn peers(&self) -> impl Iterator<Item = PeerId> + '_ {
        self.kept.iter().map(|(peer, _)| *peer)
    }

    /// The addresses of a peer that the application has given.
    pub(crate) fn named(&self, peer: PeerId) -> impl Iterator<Item = Multiaddr> + '_ {
        let kept = self.kept.iter().filter(move |(kept, _)| *kept == peer);
        kept.map(|(_, address)| address.clone())
    }

    fn failed(&mut self, peer: PeerId, address: Multiaddr, reason: impl fmt::Display) {
        let address = without_peer(address);
        let known = self.failures.iter().any(|failure| failure.peer == peer && failure.address == address);
        if self.query.is_some() && !known && self.failures.len() < FAILURES_MAX {
            self.failures.push(AddressFailure { peer, address, reason: reason.to_string() });
        }
    }

    /// A peer failed, whatever its address.
    fn peer_failed(&mut self, peer: PeerId, reason: impl fmt::Display) {
        let addresses: Vec<_> = self.named(peer).collect();
        for address in addresses {
            self.failed(peer, address, &reason);
        }
    }

    fn end(&mut self, result: &Result<BootstrapReport, BootstrapError>) {
        for reply in self.waiting.drain(..) {
            // Who no longer waits needs no answer.
            let _ = reply.send(result.clone());
        }
        self.query = None;
        self.timeout = None;
        self.failures.clear();
    }

    /// Ends it without a result: who waits is told that the node is shut down.
    pub(crate) fn abandon(&mut self) {
        self.waiting.clear();
        self.query = None;
        self.timeout = None;
    }

    /// Takes note of why a peer could not be dialled.
    fn on_dial_failure(&mut self, peer: PeerId, error: &DialError) {
        if self.query.is_none() {
            return;
        }
        match error {
            DialError::Transport(errors) => {
                for (address, error) in errors {
                    self.failed(peer, address.clone(), innermost(error));
                }
            }
            DialError::WrongPeerId { obtained, address } => {
                self.failed(peer, address.clone(), format_args!("another peer is there: {obtained}"));
            }
            // It is connected already, or being dialled.
            DialError::DialPeerConditionFalse(_) => {}
            error => self.peer_failed(peer, error),
        }
    }
}

impl Behaviour {
    /// Begins to join, or joins those who wait already.
    pub(crate) fn bootstrap(&mut self, reply: BootstrapReply) {
        if self.joining.waiting.len() == WAITING_MAX {
            let _ = reply.send(Err(BootstrapError::Busy));
            return;
        }
        self.joining.waiting.push(reply);
        if self.joining.query.is_some() {
            return;
        }
        for (peer, address) in self.joining.kept.clone() {
            self.inner.kad.add_address(&peer, address);
        }
        match self.inner.kad.bootstrap() {
            Ok(id) => {
                self.joining.query = Some(id);
                self.joining.timeout = Some(Delay::new(self.config.bootstrap_timeout));
            }
            Err(_no_known_peers) => self.joining.end(&Err(BootstrapError::NoAddresses)),
        }
    }

    /// A peer has answered a request of one of Kademlia's queries.
    pub(crate) fn bootstrap_answered(&mut self, id: &QueryId) {
        if self.joining.query == Some(*id) {
            // The answer that is being told of is not counted yet.
            let before = self.inner.kad.query(id).map_or(0, |query| query.stats().num_successes());
            self.joined(before + 1);
        }
    }

    /// A peer could not be dialled: a reason, if it is one of those that a bootstrap begins with.
    pub(crate) fn bootstrap_not_dialled(&mut self, peer: PeerId, error: &DialError) {
        if self.joining.kept.iter().any(|(kept, _)| *kept == peer) || self.is_in_table(peer) {
            self.joining.on_dial_failure(peer, error);
        }
    }

    fn is_in_table(&mut self, peer: PeerId) -> bool {
        let bucket = self.inner.kad.kbucket(peer);
        bucket.is_some_and(|bucket| bucket.iter().any(|entry| *entry.node.key.preimage() == peer))
    }

    /// A peer was reached, but did not answer a request of one of Kademlia's queries.
    pub(crate) fn bootstrap_refused(&mut self, id: &QueryId, peer: PeerId, error: &impl fmt::Display) {
        if self.joining.query == Some(*id) {
            let protocol = &self.config.kad_protocol;
            self.joining
                .peer_failed(peer, format_args!("connected, but no answer under {protocol}: {error}"));
        }
    }

    /// A part of Kademlia's bootstrap has ended.
    pub(crate) fn bootstrap_progressed(&mut self, id: &QueryId, stats: &QueryStats) {
        if self.joining.query != Some(*id) {
            return;
        }
        match stats.num_successes() {
            0 => self.not_joined("no answer"),
            answered => self.joined(answered),
        }
    }

    /// Ends the attempt when its time is up.
    pub(crate) fn poll_joining(&mut self, cx: &mut Context<'_>) {
        if let Some(timeout) = &mut self.joining.timeout
            && Pin::new(timeout).poll(cx).is_ready()
        {
            let timeout = self.config.bootstrap_timeout;
            self.not_joined(&format!("no answer within {timeout:?}"));
        }
    }

    fn joined(&mut self, answered: u32) {
        let known = self.known().max(1);
        tracing::info!(answered, known, "joined the network");
        self.joining.end(&Ok(BootstrapReport { answered, known }));
    }

    fn not_joined(&mut self, otherwise: &str) {
        for (peer, _) in self.joining.kept.clone() {
            // Adds only what has no reason of its own yet.
            self.joining.peer_failed(peer, otherwise);
        }
        let failures = std::mem::take(&mut self.joining.failures);
        tracing::warn!(?failures, "could not join the network");
        self.joining.end(&Err(BootstrapError::NoAnswer(failures)));
    }
}

fn without_peer(mut address: Multiaddr) -> Multiaddr {
    if let Some(Protocol::P2p(_)) = address.iter().last() {
        address.pop();
    }
    address
}

/// The last error of a chain says what happened; those before it say who passes it on.
fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

#[cfg(test)]
mod tests {
    use libp2p::core::transport::TransportError;

    use super::*;

    #[test]
    fn a_dial_that_has_nothing_to_do_with_joining_is_not_told_of() {
        let (mut behaviour, _client) = Behaviour::new(PeerId::random(), crate::Config::default());
        let (boot, stranger) = (PeerId::random(), PeerId::random());
        let address: Multiaddr = "/ip4/127.0.0.1/tcp/1".parse().unwrap();
        behaviour.add_address(boot, address.clone());
        let (reply, _waiting) = oneshot::channel();
        behaviour.bootstrap(reply);
        for peer in [stranger, boot] {
            let error = TransportError::MultiaddrNotSupported(address.clone());
            behaviour.bootstrap_not_dialled(peer, &DialError::Transport(vec![(address.clone(), error)]));
        }
        let peers: Vec<_> = behaviour.joining.failures.iter().map(|failure| failure.peer).collect();
        assert_eq!(peers, [boot]);
    }
}
