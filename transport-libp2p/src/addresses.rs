//! Where peers can be dialled: a bounded book, and what is believed of others' words.

use std::collections::HashMap;
use std::num::NonZeroUsize;

use libp2p::multiaddr::Protocol;
use libp2p::swarm::FromSwarm;
use libp2p::swarm::behaviour::{ConnectionClosed, ConnectionEstablished, PeerAddresses};
use libp2p::{Multiaddr, PeerId, identify};

use crate::config::AddressFilter;
use crate::delegated::Kad;
use crate::reach::{Reach, reach};

/// Addresses of one peer that are read from one message.
const ADDRESSES_PER_MESSAGE: usize = 16;

/// Addresses of one peer that are taken from one message, of the ten that are kept: nobody's word replaces
/// all that is known.
const ADDRESSES_TAKEN: usize = 8;

/// Peers whose addresses are read from one reply: as many as an honest one names.
const PEERS_PER_REPLY: usize = 20;

/// Addresses by peer: the least recently used peer goes out first, and of a peer the least recently
/// used of ten. What is new comes beside what is known. What could not be dialled is forgotten.
pub(crate) struct Addresses {
    book: PeerAddresses,
    /// Where peers were dialled with success, bounded alike. Apart from the book, so that nobody's word
    /// takes its place.
    dialled: PeerAddresses,
    filter: AddressFilter,
    /// How near the connected peers are, by how each is connected. As many as there are connections.
    connected: HashMap<PeerId, Reach>,
}

impl Addresses {
    pub(crate) fn new(peers_max: NonZeroUsize, filter: AddressFilter) -> Self {
        let (book, dialled) = (PeerAddresses::new(peers_max), PeerAddresses::new(peers_max));
        Self { book, dialled, filter, connected: HashMap::new() }
    }

    /// Takes what the application says of where a peer is.
    pub(crate) fn add(&mut self, peer: PeerId, address: Multiaddr) {
        self.book.add(peer, address);
    }

    /// Takes what one reply of `teller` says of where peers are: a stranger's word, read up to a bound, and
    /// as far as it is believed.
    pub(crate) fn read_reply<'a>(
        &mut self,
        teller: &PeerId,
        peers: impl IntoIterator<Item = (PeerId, &'a Vec<Multiaddr>)>,
    ) {
        for (peer, addresses) in peers.into_iter().take(PEERS_PER_REPLY) {
            let believed = addresses.iter().filter(|address| self.is_believed(teller, address));
            let taken: Vec<_> = believed.take(ADDRESSES_TAKEN).cloned().collect();
            for address in taken {
                self.book.add(peer, address);
            }
        }
    }

    /// Takes what was known of where a peer is when this node ran last. It was believed then, and is dialled
    /// as what anybody tells: at most as many are taken as of one message.
    #[cfg(feature = "state")]
    pub(crate) fn remember(&mut self, peer: PeerId, addresses: Vec<Multiaddr>) -> Vec<Multiaddr> {
        let is_far = |address: &Multiaddr| reach(address) == Reach::Global;
        let is_dialled = |address: &Multiaddr| {
            is_dialable(address) && (self.filter != AddressFilter::Global || is_far(address))
        };
        let taken: Vec<_> = addresses.into_iter().filter(is_dialled).take(ADDRESSES_PER_MESSAGE).collect();
        for address in taken.iter().rev() {
            self.book.add(peer, address.clone());
        }
        taken
    }

    /// The addresses that a peer gives of itself by identify, as far as they are believed.
    pub(crate) fn identified(&self, peer: &PeerId, info: &identify::Info) -> Vec<Multiaddr> {
        let believed = info.listen_addrs.iter().filter(|address| self.is_believed(peer, address));
        believed.take(ADDRESSES_PER_MESSAGE).cloned().collect()
    }

    /// Whether an address that a peer tells of itself or of another is one to dial.
    fn is_believed(&self, teller: &PeerId, address: &Multiaddr) -> bool {
        is_dialable(address)
            && match self.filter {
                AddressFilter::Any => true,
                AddressFilter::InReach => {
                    reach(address) <= self.connected.get(teller).copied().unwrap_or(Reach::Global)
                }
                AddressFilter::Global => reach(address) == Reach::Global,
            }
    }

    pub(crate) fn of(&mut self, peer: &PeerId) -> impl Iterator<Item = Multiaddr> + use<> {
        let mut known: Vec<_> = self.dialled.get(peer).collect();
        for address in self.book.get(peer) {
            if !known.contains(&address) {
                known.push(address);
            }
        }
        known.into_iter()
    }

    /// Adds what is known of a peer to the addresses that are to be dialled, and what the application has
    /// named. Takes out of them what the filter forbids: what libp2p-kad was told in a query of its own is
    /// filtered by nobody else.
    ///
    /// What is in its table has passed the filter before, and stays when the book has forgotten it.
    pub(crate) fn complete(
        &mut self,
        peer: &PeerId,
        named: impl IntoIterator<Item = Multiaddr>,
        table: &[Multiaddr],
        addresses: &mut Vec<Multiaddr>,
    ) {
        let named = named.into_iter().filter_map(|address| address.with_p2p(*peer).ok());
        let known: Vec<_> = self.of(peer).chain(named).collect();
        if self.filter != AddressFilter::Any {
            addresses.retain(|address| {
                reach(address) == Reach::Global || known.contains(address) || table.contains(address)
            });
        }
        for address in known {
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
    }

    /// Learns from the swarm what was dialled, and what could not be. Not what other behaviours learn:
    /// identify tells of every peer, whether it is of our DHT or not, and of any address.
    pub(crate) fn on_swarm_event(&mut self, event: &FromSwarm<'_>) {
        match event {
            FromSwarm::DialFailure(_) => {
                self.book.on_swarm_event(event);
                self.dialled.on_swarm_event(event);
            }
            FromSwarm::ConnectionEstablished(ConnectionEstablished { peer_id, endpoint, .. }) => {
                let address = endpoint.get_remote_address();
                let near = self.connected.entry(*peer_id).or_insert(Reach::Global);
                *near = reach(address).max(*near);
                if endpoint.is_dialer() {
                    self.dialled.add(*peer_id, address.clone());
                }
            }
            FromSwarm::ConnectionClosed(ConnectionClosed { peer_id, remaining_established: 0, .. }) => {
                self.connected.remove(peer_id);
            }
            _ => {}
        }
    }
}

/// The addresses of a peer's entry in the routing table.
pub(crate) fn in_table(kad: &mut Kad, peer: PeerId) -> Vec<Multiaddr> {
    let Some(bucket) = kad.kbucket(peer) else { return Vec::new() };
    let entry = bucket.iter().find(|entry| *entry.node.key.preimage() == peer);
    entry.map(|entry| entry.node.value.iter().cloned().collect()).unwrap_or_default()
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

/// Whether an address names a place: neither port 0 nor an unspecified host.
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
    use libp2p::core::transport::{PortUse, TransportError};
    use libp2p::core::{ConnectedPoint, Endpoint};
    use libp2p::identity::Keypair;
    use libp2p::swarm::behaviour::{DialFailure, NewExternalAddrOfPeer};
    use libp2p::swarm::{ConnectionId, DialError, NetworkBehaviour as _};

    use super::*;

    fn address(text: &str) -> Multiaddr {
        text.parse().unwrap()
    }

    fn place(port: u16) -> Multiaddr {
        address(&format!("/ip4/127.0.0.1/tcp/{port}"))
    }

    fn book(peers_max: usize, filter: AddressFilter) -> Addresses {
        Addresses::new(NonZeroUsize::new(peers_max).unwrap(), filter)
    }

    /// Tells a book that a peer has connected from an address.
    fn connect(book: &mut Addresses, peer_id: PeerId, from: &str) {
        book.on_swarm_event(&FromSwarm::ConnectionEstablished(ConnectionEstablished {
            peer_id,
            connection_id: ConnectionId::new_unchecked(1),
            endpoint: &ConnectedPoint::Listener {
                local_addr: address("/ip4/0.0.0.0/tcp/1"),
                send_back_addr: address(from),
            },
            failed_addresses: &[],
            other_established: 0,
        }));
    }

    #[test]
    fn a_reply_adds_to_what_is_known_and_replaces_not_all_of_it() {
        let mut book = book(10, AddressFilter::Any);
        let peer = PeerId::random();
        book.add(peer, place(1));
        book.add(peer, place(2));
        let lies: Vec<_> = (100..200).map(place).collect();
        book.read_reply(&PeerId::random(), [(peer, &lies)]);
        let known: Vec<_> = book.of(&peer).map(|address| without_peer(&address)).collect();
        assert!(known.contains(&place(1)) && known.contains(&place(2)), "{known:?}");
        assert_eq!(known.len(), 10);
    }

    fn without_peer(address: &Multiaddr) -> Multiaddr {
        address.iter().filter(|part| !matches!(part, Protocol::P2p(_))).collect()
    }

    #[test]
    fn who_is_far_away_is_not_believed_in_addresses_that_are_near() {
        let global = address("/ip4/1.1.1.1/tcp/1");
        let network = address("/ip4/192.168.1.1/tcp/1");
        let machine = place(1);
        let told = vec![machine, network.clone(), global.clone()];
        let believed = |filter, from: Option<&str>| {
            let mut book = book(10, filter);
            let (teller, peer) = (PeerId::random(), PeerId::random());
            if let Some(from) = from {
                connect(&mut book, teller, from);
            }
            book.read_reply(&teller, [(peer, &told)]);
            let mut known: Vec<_> = book.of(&peer).map(|address| without_peer(&address)).collect();
            known.sort_by_key(|address| told.iter().position(|other| other == address));
            known
        };
        let in_reach = AddressFilter::InReach;
        let far = std::slice::from_ref(&global);
        assert_eq!(believed(in_reach, Some("/ip4/8.8.8.8/tcp/9")), far);
        assert_eq!(believed(in_reach, Some("/ip4/10.0.0.1/tcp/9")), [network, global.clone()]);
        assert_eq!(believed(in_reach, Some("/ip4/127.0.0.1/tcp/9")), told);
        assert_eq!(believed(in_reach, None), far);
        assert_eq!(believed(AddressFilter::Any, None), told);
        assert_eq!(believed(AddressFilter::Global, Some("/ip4/127.0.0.1/tcp/9")), far);
    }

    #[test]
    fn only_what_the_application_named_is_dialled_beside_global_addresses() {
        let mut book = book(10, AddressFilter::Global);
        let peer = PeerId::random();
        book.add(peer, place(1));
        let mut addresses = vec![place(2), address("/ip4/1.1.1.1/tcp/1")];
        book.complete(&peer, [place(3)], &[], &mut addresses);
        let dialled: Vec<_> = addresses.iter().map(without_peer).collect();
        assert_eq!(dialled, [address("/ip4/1.1.1.1/tcp/1"), place(1), place(3)]);
    }

    #[test]
    fn what_only_kademlia_was_told_is_dialled_if_it_is_global_or_in_its_table() {
        let global = address("/ip4/1.1.1.1/tcp/1");
        for (filter, expected) in [
            (AddressFilter::Any, vec![place(1), place(2), global.clone()]),
            (AddressFilter::InReach, vec![place(2), global.clone()]),
            (AddressFilter::Global, vec![place(2), global.clone()]),
        ] {
            let mut addresses = vec![place(1), place(2), global.clone()];
            book(10, filter).complete(&PeerId::random(), [], &[place(2)], &mut addresses);
            assert_eq!(addresses, expected, "{filter:?}");
        }
    }

    #[test]
    fn where_a_peer_was_dialled_no_word_of_others_replaces() {
        let mut book = book(2, AddressFilter::Any);
        let peer_id = PeerId::random();
        book.on_swarm_event(&FromSwarm::ConnectionEstablished(ConnectionEstablished {
            peer_id,
            connection_id: ConnectionId::new_unchecked(1),
            endpoint: &ConnectedPoint::Dialer {
                address: place(1),
                role_override: Endpoint::Dialer,
                port_use: PortUse::New,
            },
            failed_addresses: &[],
            other_established: 0,
        }));
        for first in [100, 200] {
            let lies: Vec<_> = (first..first + 99).map(place).collect();
            // Of so many peers, too, that the book forgets the first.
            let others: [_; 3] = std::array::from_fn(|_| PeerId::random());
            let told = [peer_id].into_iter().chain(others).map(|peer| (peer, &lies));
            book.read_reply(&PeerId::random(), told);
        }
        assert!(book.of(&peer_id).any(|address| without_peer(&address) == place(1)));
    }

    #[test]
    fn what_the_application_named_is_dialled_again_after_a_failure() {
        for address_filter in [AddressFilter::Any, AddressFilter::InReach, AddressFilter::Global] {
            let config = crate::Config { address_filter, ..crate::Config::default() };
            let (mut behaviour, _client) = crate::Behaviour::new(PeerId::random(), config);
            let peer = PeerId::random();
            behaviour.add_address(peer, place(1));
            let failed = place(1).with_p2p(peer).unwrap();
            let reason = TransportError::MultiaddrNotSupported(failed.clone());
            behaviour.on_swarm_event(FromSwarm::DialFailure(DialFailure {
                peer_id: Some(peer),
                error: &DialError::Transport(vec![(failed.clone(), reason)]),
                connection_id: ConnectionId::new_unchecked(1),
            }));
            let connection = ConnectionId::new_unchecked(2);
            let dialled =
                behaviour.handle_pending_outbound_connection(connection, Some(peer), &[], Endpoint::Dialer);
            assert_eq!(dialled.unwrap(), [failed], "{address_filter:?}");
        }
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
        let mut book = book(3, AddressFilter::Any);
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
        let mut book = book(1000, AddressFilter::Any);
        let peers: Vec<_> = std::iter::repeat_with(PeerId::random).take(300).collect();
        let place = vec![address("/ip4/127.0.0.1/tcp/1")];
        book.read_reply(&PeerId::random(), peers.iter().map(|peer| (*peer, &place)));
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
        let config = crate::Config { address_filter: AddressFilter::Any, ..crate::Config::default() };
        let (mut behaviour, _client) = crate::Behaviour::new(PeerId::random(), config);
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
        let config = crate::Config { address_filter: AddressFilter::Any, ..crate::Config::default() };
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
        let mut book = book(3, AddressFilter::Any);
        let peers: Vec<_> = std::iter::repeat_with(PeerId::random).take(5).collect();
        for peer in &peers {
            for first in [1, 100] {
                let many: Vec<_> = (first..first + 99).map(place).collect();
                book.read_reply(&PeerId::random(), [(*peer, &many)]);
            }
        }
        let counts: Vec<_> = peers.iter().map(|peer| book.of(peer).count()).collect();
        assert_eq!(counts, [0, 0, 10, 10, 10]);
    }
}
