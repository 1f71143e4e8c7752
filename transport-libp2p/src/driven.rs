//! Driven walks: the engine asks peer by peer over the Kademlia protocol, and what this peer has itself.

use std::collections::HashMap;
use std::time::Instant;

use bytes::Bytes;
use dragnet_core::front::Event;
use dragnet_core::{Failure, LookupTotals, Reply, RequestId};
use libp2p::PeerId;
use libp2p::kad::RecordKey;
use libp2p::kad::store::RecordStore;

use crate::behaviour::Behaviour;
use crate::exchange::Outgoing;
use crate::kad_messages::{Answered, NamedPeer, Question};
use crate::network::{Answer, Ask};

/// The steps of walks that the exchange has in hand, and what each is for.
#[derive(Default)]
pub(crate) struct Steps(HashMap<RequestId, Ask>);

impl Steps {
    /// Takes what a request was for; `None` if it is no step of a walk.
    pub(crate) fn end(&mut self, request: RequestId) -> Option<Ask> {
        self.0.remove(&request)
    }

    pub(crate) fn forget(&mut self, request: RequestId) {
        self.0.remove(&request);
    }
}

impl Behaviour {
    /// Asks a peer on the way to what is looked for.
    pub(crate) fn step(&mut self, request: RequestId, peer: PeerId, ask: &Ask) -> Result<(), Failure> {
        let question = Question::of(ask).ok_or(Failure::Unsupported)?;
        let outgoing = Outgoing {
            id: request.as_u64(),
            peer,
            // Where the peer is, `handle_pending_outbound_connection` says when it has to be dialled.
            addresses: Vec::new(),
            protocol: self.config.kad_protocol.clone(),
            payload: question.encode(),
            timeout: self.config.request_timeout,
            response_bytes_max: self.config.answers.bytes_max,
        };
        if !self.inner.exchange.ask(outgoing) {
            return Err(Failure::Local);
        }
        self.steps.0.insert(request, ask.clone());
        Ok(())
    }

    /// Takes what a peer has answered.
    pub(crate) fn step_answered(&mut self, request: RequestId, peer: PeerId, ask: &Ask, answer: Bytes) {
        let question = Question::of(ask).expect("it was asked");
        let answered = match question.decode_answer(answer, &self.config.answers) {
            Ok(answered) => answered,
            Err(error) => {
                tracing::debug!(%peer, %error, "an answer is refused");
                return self.tell(Event::Failure { request, failure: Failure::Invalid });
            }
        };
        let Answered { record, closer, providers, invalid } = answered;
        self.read_named(&peer, &closer);
        self.read_named(&peer, &providers);
        let closer = closer.into_iter().map(|peer| peer.id).collect();
        let mut reply = Reply { closer, invalid, ..ask.found(providers.iter().map(|peer| peer.id)) };
        reply.items.extend(record.map(Answer::Record));
        if let Ask::Closest { .. } = ask {
            reply.items.push(Answer::Peer(peer));
        }
        self.tell(Event::Reply { request, reply });
    }

    fn read_named(&mut self, teller: &PeerId, peers: &[NamedPeer]) {
        self.addresses.read_reply(teller, peers.iter().map(|peer| (peer.id, &peer.addresses)));
    }

    /// Answers a lookup with what this peer has itself, and asks nobody.
    pub(crate) fn look_at_home(&mut self, request: RequestId, key: &RecordKey, ask: &Ask) {
        let now = Instant::now();
        let store = self.inner.kad.store_mut();
        let mut reply = Reply::default();
        match ask {
            Ask::Get { .. } => {
                let record = store.get(key).filter(|record| !record.is_expired(now));
                reply.items.extend(record.map(|record| Answer::Record(record.into_owned())));
            }
            Ask::Providers { .. } | Ask::Search { .. } => {
                let providers = store.providers(key);
                let fresh: Vec<_> = providers.iter().filter(|provider| !provider.is_expired(now)).collect();
                for provider in &fresh {
                    // What the provider itself has told.
                    let named = (provider.provider, &provider.addresses);
                    self.addresses.read_reply(&provider.provider, [named]);
                }
                reply = ask.found(fresh.iter().map(|provider| provider.provider));
            }
            Ask::Closest { .. } | Ask::Fetch { .. } => {}
        }
        if !reply.items.is_empty() || !reply.providers.is_empty() {
            self.tell(Event::Progress { request, from: None, reply });
        }
        self.tell(Event::Done { request, totals: LookupTotals::default() });
    }
}
