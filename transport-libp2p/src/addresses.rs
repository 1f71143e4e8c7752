//! Where peers can be dialled: a bounded book.

use std::num::NonZeroUsize;

use libp2p::multiaddr::Protocol;
use libp2p::swarm::FromSwarm;
use libp2p::swarm::behaviour::{ConnectionEstablished, PeerAddresses};
use libp2p::{Multiaddr, PeerId, identify};

/// Addresses of one peer that are read from one message.
const ADDRESSES_PER_MESSAGE: usize = 16;

/// Addresses by peer: the least recently used peer goes out first, and of a peer the least recently
/// used of ten. What could not be dialled is forgotten.
pub(crate) struct Addresses(PeerAddresses);

impl Addresses {
    pub(crate) fn new(peers_max: NonZeroUsize) -> Self {
        Self(PeerAddresses::new(peers_max))
    }

    /// Takes what others say of where a peer is: a stranger's word, read up to a bound.
    pub(crate) fn extend<'a>(&mut self, peer: PeerId, addresses: impl IntoIterator<Item = &'a Multiaddr>) {
        for address in addresses.into_iter().filter(|a| is_dialable(a)).take(ADDRESSES_PER_MESSAGE) {
            self.0.add(peer, address.clone());
        }
    }

    pub(crate) fn of(&mut self, peer: &PeerId) -> impl Iterator<Item = Multiaddr> + '_ {
        self.0.get(peer)
    }

    /// Learns from the swarm: what others were told of, what was dialled, what could not be.
    pub(crate) fn on_swarm_event(&mut self, event: &FromSwarm<'_>) {
        self.0.on_swarm_event(event);
        if let FromSwarm::ConnectionEstablished(ConnectionEstablished { peer_id, endpoint, .. }) = event
            && endpoint.is_dialer()
        {
            self.0.add(*peer_id, endpoint.get_remote_address().clone());
        }
    }
}

/// The addresses that a peer gives of itself by identify, as far as they can be dialled.
pub(crate) fn identified(info: &identify::Info) -> impl Iterator<Item = &Multiaddr> {
    info.listen_addrs.iter().filter(|address| is_dialable(address)).take(ADDRESSES_PER_MESSAGE)
}

/// Whether an address names a place: neither port 0 nor an unspecified host. The one place that decides
/// which addresses are believed.
pub(crate) fn is_dialable(address: &Multiaddr) -> bool {
    !address.is_empty()
        && address.iter().all(|part| match part {
            Protocol::Ip4(ip) => !ip.is_unspecified(),
            Protocol::Ip6(ip) => !ip.is_unspecified(),
            Protocol::Tcp(port) | Protocol::Udp(port) => port != 0,
            _ => true,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Multiaddr {
        text.parse().unwrap()
    }

    #[test]
    fn port_0_and_unspecified_hosts_are_no_places() {
        assert!(is_dialable(&address("/ip4/127.0.0.1/tcp/4001")));
        assert!(is_dialable(&address("/dns4/example.org/tcp/4001")));
        assert!(is_dialable(&address("/memory/7")));
        for nowhere in ["/ip4/0.0.0.0/tcp/4001", "/ip6/::/tcp/4001", "/ip4/127.0.0.1/tcp/0"] {
            assert!(!is_dialable(&address(nowhere)), "{nowhere}");
        }
    }

    #[test]
    fn the_book_is_bounded_in_peers_and_in_addresses_of_one() {
        let mut book = Addresses::new(NonZeroUsize::new(3).unwrap());
        let peers: Vec<_> = std::iter::repeat_with(PeerId::random).take(5).collect();
        for peer in &peers {
            let many: Vec<_> = (1..100).map(|port| address(&format!("/ip4/127.0.0.1/tcp/{port}"))).collect();
            book.extend(*peer, &many);
        }
        let counts: Vec<_> = peers.iter().map(|peer| book.of(peer).count()).collect();
        assert_eq!(counts, [0, 0, 10, 10, 10]);
    }
}
