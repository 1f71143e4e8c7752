//! One peer: its connections, what is in flight on them, and what waits.

use std::collections::{BTreeMap, BTreeSet};

use libp2p::Multiaddr;
use libp2p::swarm::ConnectionId;

use super::handler::Ticket;

/// What is known of one peer. Empty peers are not kept.
#[derive(Debug)]
pub(super) struct Peer {
    /// The requests that wait, by the order in which they were asked: one that is tried again is first.
    waiting: BTreeMap<u64, u64>,
    /// Its connections, oldest first.
    links: Vec<Link>,
    pub(super) dial: Dial,
    window: Window,
}

/// One connection.
#[derive(Debug)]
struct Link {
    connection: ConnectionId,
    in_flight: BTreeMap<Ticket, Attempt>,
}

/// A stream in flight.
#[derive(Debug)]
struct Attempt {
    /// Which request it serves; none once that has ended or been withdrawn, while the stream is not gone.
    request: Option<u64>,
    /// How many others were in flight to the peer, at the most.
    others: usize,
}

/// Whether the peer is being dialled.
#[derive(Debug, Default)]
pub(super) enum Dial {
    #[default]
    No,
    /// By us.
    Ours {
        connection: ConnectionId,
        /// The addresses that our requests gave for it.
        tried: BTreeSet<Multiaddr>,
    },
    /// By another behaviour, whose success is as good as ours.
    Theirs,
}

impl Peer {
    pub(super) fn new(in_flight_max: usize) -> Self {
        Self {
            waiting: BTreeMap::new(),
            links: Vec::new(),
            dial: Dial::No,
            window: Window::new(in_flight_max),
        }
    }

    pub(super) fn is_connected(&self) -> bool {
        !self.links.is_empty()
    }

    /// Whether nothing is left to know of it.
    pub(super) fn is_empty(&self) -> bool {
        self.links.is_empty() && self.waiting.is_empty() && matches!(self.dial, Dial::No)
    }

    pub(super) fn waiting(&self) -> impl Iterator<Item = u64> {
        self.waiting.values().copied()
    }

    pub(super) fn waiting_count(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn connection_count(&self) -> usize {
        self.links.len()
    }

    pub(super) fn in_flight_count(&self) -> usize {
        self.links.iter().map(|link| link.in_flight.len()).sum()
    }

    pub(super) fn enqueue(&mut self, order: u64, request: u64) {
        self.waiting.insert(order, request);
    }

    pub(super) fn dequeue(&mut self, order: u64) {
        self.waiting.remove(&order);
    }

    /// Whether as many are in flight as may be.
    pub(super) fn is_full(&self) -> bool {
        self.in_flight_count() >= self.window.size
    }

    /// Puts the next waiting request in flight, if one may be: which, and on which connection.
    pub(super) fn launch(&mut self, ticket: Ticket) -> Option<(u64, ConnectionId)> {
        if self.is_full() {
            return None;
        }
        let others = self.in_flight_count();
        let link = self.links.iter_mut().min_by_key(|link| link.in_flight.len())?;
        let (_, request) = self.waiting.pop_first()?;
        let connection = link.connection;
        link.in_flight.insert(ticket, Attempt { request: Some(request), others });
        for attempt in self.links.iter_mut().flat_map(|link| link.in_flight.values_mut()) {
            attempt.others = attempt.others.max(others);
        }
        Some((request, connection))
    }

    /// The attempt is over: which request it served, if that has not been withdrawn, and how many
    /// others were in flight beside it at the most. Its stream keeps its place until it is gone.
    pub(super) fn end(&mut self, connection: ConnectionId, ticket: Ticket) -> Option<(u64, usize)> {
        let attempt = self.link(connection)?.in_flight.get_mut(&ticket)?;
        Some((attempt.request.take()?, attempt.others))
    }

    /// How many others must have been in flight for a stream that was dropped after the question was written to
    /// have been one too many, and not refused: half of all that may be, or as many as the peer has been seen to take.
    pub(super) fn many(&self) -> usize {
        self.window.many()
    }

    /// The peer has dropped a stream for having too many. What comes next is to go `alone`, or beside as many as
    /// are left.
    pub(super) fn congested(&mut self, alone: bool) {
        self.window.cut(if alone { 1 } else { self.in_flight_count() });
    }

    /// The peer has answered.
    pub(super) fn answered(&mut self) {
        self.window.answered();
    }

    /// The attempt's stream is gone.
    pub(super) fn free(&mut self, connection: ConnectionId, ticket: Ticket) {
        if let Some(link) = self.link(connection) {
            link.in_flight.remove(&ticket);
        }
        self.forget_congestion();
    }

    pub(super) fn connected(&mut self, connection: ConnectionId) {
        self.links.push(Link { connection, in_flight: BTreeMap::new() });
    }

    /// A connection has closed: the requests that were still in flight on it, oldest attempt first.
    pub(super) fn disconnected(&mut self, connection: ConnectionId) -> Vec<u64> {
        let Some(place) = self.links.iter().position(|link| link.connection == connection) else {
            return Vec::new();
        };
        let link = self.links.remove(place);
        self.forget_congestion();
        link.in_flight.into_values().filter_map(|attempt| attempt.request).collect()
    }

    /// What was learned of a busy peer does not hold for one that has been left alone.
    fn forget_congestion(&mut self) {
        if self.in_flight_count() == 0 && self.waiting.is_empty() {
            self.window = Window::new(self.window.max);
        }
    }

    fn link(&mut self, connection: ConnectionId) -> Option<&mut Link> {
        self.links.iter_mut().find(|link| link.connection == connection)
    }
}

/// How many streams the peer seems to take. It is cut to what is in flight when the peer drops one for
/// having too many, as TCP's window is for a lost packet. It grows by one after as many answers as could
/// have been dropped at once, so that it is not a request with its last chance that probes the peer.
#[derive(Debug)]
struct Window {
    size: usize,
    max: usize,
    answers: usize,
}

impl Window {
    fn new(max: usize) -> Self {
        let max = max.max(1);
        Self { size: max, max, answers: 0 }
    }

    fn many(&self) -> usize {
        let half = self.max.div_ceil(2);
        // Below its most, the window was cut, and its last place is one to see whether the peer takes more by now.
        if self.size < self.max { half.min(self.size - 1).max(1) } else { half }
    }

    /// A stream was dropped, and so many are left.
    fn cut(&mut self, left: usize) {
        self.size = left.clamp(1, self.size);
        self.answers = 0;
    }

    fn answered(&mut self) {
        self.answers += 1;
        if self.answers >= self.max {
            self.size = self.size.saturating_add(1).min(self.max);
            self.answers = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_is_cut_by_congestion_and_grows_with_answers() {
        let mut window = Window::new(16);
        window.cut(3);
        assert_eq!(window.size, 3);
        window.cut(9);
        assert_eq!(window.size, 3, "congestion widens nothing");
        for _ in 0..16 {
            window.answered();
        }
        assert_eq!(window.size, 4);
        window.cut(0);
        assert_eq!(window.size, 1, "one may always be tried");
        for _ in 0..1000 {
            window.answered();
        }
        assert_eq!(window.size, 16);
    }

    #[test]
    fn where_a_peer_was_congested_before_a_dropped_stream_is_one_too_many_again() {
        let mut window = Window::new(16);
        assert_eq!(window.many(), 8);
        for (left, many) in [(12, 8), (4, 3), (2, 1), (1, 1)] {
            window.cut(left);
            assert_eq!(window.many(), many);
        }
    }

    #[test]
    fn launches_go_in_order_to_the_least_busy_connection_up_to_the_window() {
        let mut peer = Peer::new(3);
        let [a, b] = [1, 2].map(ConnectionId::new_unchecked);
        for order in 0..5 {
            peer.enqueue(order, 100 + order);
        }
        assert_eq!(peer.launch(Ticket(0)), None, "not connected");
        peer.connected(a);
        peer.connected(b);
        let launched: Vec<_> = (0..5).map_while(|ticket| peer.launch(Ticket(ticket))).collect();
        assert_eq!(launched, [(100, a), (101, b), (102, a)]);

        // The place of an ended attempt is taken until its stream is gone.
        assert_eq!(peer.end(a, Ticket(0)), Some((100, 2)));
        assert_eq!(peer.end(a, Ticket(0)), None);
        assert_eq!(peer.launch(Ticket(9)), None);
        peer.free(a, Ticket(0));
        peer.enqueue(0, 100);
        assert_eq!(peer.launch(Ticket(9)), Some((100, a)), "tried again, it is first");
        assert_eq!(peer.disconnected(a), [102, 100]);
        assert_eq!((peer.in_flight_count(), peer.waiting_count()), (1, 2));
    }
}
