//! Where peers can be dialled: a bounded book.

use std::num::NonZeroUsize;

use libp2p::multiaddr::Protocol;
use libp2p::swarm::FromSwarm;
use libp2p::swarm::behaviour::{ConnectionEstablished, PeerAddresses};
use libp2p::{Multiaddr, PeerId, identify};

use crate::kad::Kad;

/// Addresses of one peer that are read from one message.
const ADDRESSES_PER_MESSAGE: usize = 16;

/// Peers whose addresses are read from one reply: as many as an honest one names.
const PEERS_PER_REPLY: usize = 20;

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

    /// Takes what one reply says of where peers are.
    pub(crate) fn read_reply<'a>(&mut self, peers: impl IntoIterator<Item = (PeerId, &'a Vec<Multiaddr>)>) {
        for (peer, addresses) in peers.into_iter().take(PEERS_PER_REPLY) {
            self.extend(peer, addresses);
        }
    }

    pub(crate) fn of(&mut self, peer: &PeerId) -> impl Iterator<Item = Multiaddr> + '_ {
        self.0.get(peer)
    }

    /// Learns from the swarm what was dialled, and what could not be. Not what other behaviours learn:
    /// identify tells of every peer, whether it is of our DHT or not, and of any address.
    pub(crate) fn on_swarm_event(&mut self, event: &FromSwarm<'_>) {
        match event {
            FromSwarm::DialFailure(_) => drop(self.0.on_swarm_event(event)),
            FromSwarm::ConnectionEstablished(ConnectionEstablished { peer_id, endpoint, .. })
                if endpoint.is_dialer() =>
            {
                self.0.add(*peer_id, endpoint.get_remote_address().clone());
            }
            _ => {}
        }
    }
}

/// The addresses that a peer gives of itself by identify, as far as they can be dialled.
pub(crate) fn identified(info: &identify::Info) -> impl Iterator<Item = &Multiaddr> {
    info.listen_addrs.iter().filter(|address| is_dialable(address)).take(ADDRESSES_PER_MESSAGE)
}

/// Keeps a peer's entry in the routing table, to which libp2p-kad only ever adds, to 16 addresses: those
/// that the newest message does not name go first.
pub(crate) fn trim_entry(kad: &mut Kad, peer: PeerId, newest: &[Multiaddr]) {
    let Some(bucket) = kad.kbucket(peer) else { return };
    let Some(entry) = bucket.iter().find(|entry| *entry.node.key.preimage() == peer) else { return };
    let surplus = entry.node.value.len().saturating_sub(ADDRESSES_PER_MESSAGE);
    if surplus == 0 {
        return;
    }
    let (mut dropped, mut named) = (Vec::new(), Vec::new());
    for address in entry.node.value.iter() {
        // The entry's end in the peer's id.
        let is_named = newest.iter().any(|new| new.clone().with_p2p(peer).as_ref() == Ok(address));
        if is_named { named.push(address.clone()) } else { dropped.push(address.clone()) }
    }
    dropped.extend(named);
    for address in &dropped[..surplus] {
        kad.remove_address(&peer, address);
    }
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
    use libp2p::StreamProtocol;
    use libp2p::identity::Keypair;
    use libp2p::swarm::behaviour::NewExternalAddrOfPeer;

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
    fn what_other_behaviours_learn_is_not_taken_over() {
        let mut book = Addresses::new(NonZeroUsize::new(3).unwrap());
        let peer_id = PeerId::random();
        let addr = address("/ip4/0.0.0.0/tcp/1");
        book.on_swarm_event(&FromSwarm::NewExternalAddrOfPeer(NewExternalAddrOfPeer {
            peer_id,
            addr: &addr,
        }));
        assert_eq!(book.of(&peer_id).count(), 0);
    }

    #[test]
    fn one_reply_fills_no_more_than_its_share_of_the_book() {
        let mut book = Addresses::new(NonZeroUsize::new(1000).unwrap());
        let peers: Vec<_> = std::iter::repeat_with(PeerId::random).take(300).collect();
        let place = vec![address("/ip4/127.0.0.1/tcp/1")];
        book.read_reply(peers.iter().map(|peer| (*peer, &place)));
        let known = peers.iter().filter(|peer| book.of(peer).count() > 0).count();
        assert_eq!(known, PEERS_PER_REPLY);
    }

    fn info(keypair: &Keypair, listen_addrs: Vec<Multiaddr>, protocol: StreamProtocol) -> identify::Info {
        identify::Info {
            public_key: keypair.public(),
            protocol_version: String::new(),
            agent_version: String::new(),
            listen_addrs,
            protocols: vec![protocol],
            observed_addr: Multiaddr::empty(),
            signed_peer_record: None,
        }
    }

    #[test]
    fn a_peer_of_another_dht_enters_neither_the_routing_table_nor_the_book() {
        let (mut behaviour, _client) = crate::Behaviour::new(PeerId::random(), crate::Config::default());
        let keypair = Keypair::generate_ed25519();
        let peer = keypair.public().to_peer_id();
        let place = vec![address("/ip4/127.0.0.1/tcp/4001")];
        let elsewhere = StreamProtocol::new("/elsewhere/kad/1.0.0");
        behaviour.handle_identify(peer, &info(&keypair, place.clone(), elsewhere));
        assert!(behaviour.inner.kad.kbucket(peer).is_none_or(|bucket| bucket.is_empty()));
        assert_eq!(behaviour.addresses.of(&peer).count(), 0);

        let ours = behaviour.config.kad_protocol.clone();
        behaviour.handle_identify(peer, &info(&keypair, place, ours));
        assert!(behaviour.inner.kad.kbucket(peer).is_some_and(|bucket| !bucket.is_empty()));
        assert_eq!(behaviour.addresses.of(&peer).count(), 1);
    }

    #[test]
    fn a_hundred_pushes_leave_sixteen_addresses_in_the_routing_table() {
        let config = crate::Config::default();
        let protocol = config.kad_protocol.clone();
        let (mut behaviour, _client) = crate::Behaviour::new(PeerId::random(), config);
        let keypair = Keypair::generate_ed25519();
        let peer = keypair.public().to_peer_id();
        let mut last = Vec::new();
        for port in 1..=100 {
            last = vec![address(&format!("/ip4/127.0.0.1/tcp/{port}"))];
            behaviour.handle_identify(peer, &info(&keypair, last.clone(), protocol.clone()));
        }
        let bucket = behaviour.inner.kad.kbucket(peer).unwrap();
        let entry = bucket.iter().next().unwrap();
        assert_eq!(entry.node.value.len(), ADDRESSES_PER_MESSAGE);
        let newest = last[0].clone().with_p2p(peer).unwrap();
        assert!(entry.node.value.iter().any(|address| *address == newest));
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
