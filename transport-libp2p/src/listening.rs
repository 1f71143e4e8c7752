//! Where this peer listens, and who wants to know.

use std::collections::HashMap;

use futures::channel::oneshot;
use libp2p::Multiaddr;
use libp2p::core::transport::ListenerId;
use libp2p::swarm::{ExternalAddresses, FromSwarm};

/// The listeners with their addresses, and the confirmed external addresses.
#[derive(Default)]
pub(crate) struct Listening {
    listeners: HashMap<ListenerId, Vec<Multiaddr>>,
    external: ExternalAddresses,
    waiting: Vec<oneshot::Sender<Vec<Multiaddr>>>,
}

impl Listening {
    pub(crate) fn on_swarm_event(&mut self, event: &FromSwarm<'_>) {
        self.external.on_swarm_event(event);
        match event {
            FromSwarm::NewListener(event) => {
                self.listeners.entry(event.listener_id).or_default();
            }
            FromSwarm::NewListenAddr(event) => {
                self.listeners.entry(event.listener_id).or_default().push(event.addr.clone());
            }
            FromSwarm::ExpiredListenAddr(event) => {
                if let Some(addresses) = self.listeners.get_mut(&event.listener_id) {
                    addresses.retain(|address| address != event.addr);
                }
            }
            FromSwarm::ListenerClosed(event) => {
                self.listeners.remove(&event.listener_id);
            }
            _ => return,
        }
        self.answer();
    }

    /// Answers once every listener has an address.
    pub(crate) fn tell(&mut self, reply: oneshot::Sender<Vec<Multiaddr>>) {
        self.waiting.retain(|waiting| !waiting.is_canceled());
        self.waiting.push(reply);
        self.answer();
    }

    pub(crate) fn external(&self) -> Vec<Multiaddr> {
        self.external.iter().cloned().collect()
    }

    fn answer(&mut self) {
        if self.listeners.values().any(Vec::is_empty) {
            return;
        }
        let addresses: Vec<_> = self.listeners.values().flatten().cloned().collect();
        for reply in self.waiting.drain(..) {
            // Who no longer waits needs no answer.
            let _ = reply.send(addresses.clone());
        }
    }

    /// Who waits is told that the node is shut down.
    pub(crate) fn abandon(&mut self) {
        self.waiting.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll};

    use futures::task::noop_waker;
    use libp2p::PeerId;
    use libp2p::core::transport::ListenerId;
    use libp2p::swarm::behaviour::{ExpiredListenAddr, NewListenAddr};
    use libp2p::swarm::{NetworkBehaviour, ToSwarm};

    use super::*;

    #[test]
    fn an_address_that_came_and_went_is_confirmed_before_it_is_taken_back() {
        let config = crate::Config { confirm_listen_addresses: true, ..crate::Config::default() };
        let (mut behaviour, _client) = crate::Behaviour::new(PeerId::random(), config);
        let (listener_id, addr) = (ListenerId::next(), "/ip4/127.0.0.1/tcp/1".parse().unwrap());
        behaviour.on_swarm_event(FromSwarm::NewListenAddr(NewListenAddr { listener_id, addr: &addr }));
        behaviour
            .on_swarm_event(FromSwarm::ExpiredListenAddr(ExpiredListenAddr { listener_id, addr: &addr }));
        let waker = noop_waker();
        let cx = &mut Context::from_waker(&waker);
        assert!(matches!(behaviour.poll(cx), Poll::Ready(ToSwarm::ExternalAddrConfirmed(_))));
        assert!(matches!(behaviour.poll(cx), Poll::Ready(ToSwarm::ExternalAddrExpired(_))));
    }
}
