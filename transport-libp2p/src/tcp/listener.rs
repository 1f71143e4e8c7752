//! One listener: what it announces, what it accepts, how it ends.

use std::{
    collections::VecDeque,
    future::{self, Ready},
    net::{IpAddr, SocketAddr, TcpStream},
    pin::Pin,
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use async_io::Async;
use if_watch::{IfEvent, IpNet, smol::IfWatcher};
use libp2p::core::transport::{ListenerId, TransportEvent};

use super::{
    Config, Error, Stream,
    address::multiaddr,
    host::{Host, Machine},
    socket::{self, Claim},
};

/// How long a listener rests when the system lacks the means to accept a connection. That stays for a while and
/// leaves the connection in the queue: trying again at once would only burn the processor.
const REST_AFTER_LACK: Duration = Duration::from_millis(100);
/// So many connections in a row may fail before others have their turn: who dials and resets without an end
/// shall not keep the task busy for good.
const FAILURES_PER_TURN_MAX: u32 = 16;

type Event = TransportEvent<Ready<Result<Stream, Error>>, Error>;

/// A stream of what happens to one listener, which ends after its `ListenerClosed`.
pub(super) struct Listener<H> {
    id: ListenerId,
    /// Where the socket is bound: with a port, but perhaps on all interfaces.
    bound: SocketAddr,
    config: Config,
    /// The machine; `None` once closed, which closes the socket.
    host: Option<H>,
    /// Whether the interfaces are to be asked for addresses.
    is_watching: bool,
    /// The interfaces' networks of our family, as they came. One address may be in several.
    networks: Vec<IpNet>,
    /// How many connections have failed one after the other since it last had nothing to tell.
    failures: u32,
    /// What has happened and has not been handed over: what comes first, and what comes last.
    events: VecDeque<Event>,
    waker: Option<Waker>,
}

impl Listener<Machine> {
    /// Listens on `address`; port 0 takes a free one, an unspecified address all interfaces.
    pub(super) fn bind(
        id: ListenerId,
        address: SocketAddr,
        claim: Claim,
        config: &Config,
    ) -> Result<Self, Error> {
        let failed = |source| Error::Listen { address, source };
        let socket = socket::listen(config, address, claim).map_err(failed)?;
        let bound = socket.local_addr().map_err(failed)?;
        let interfaces = if bound.ip().is_unspecified() {
            Some(IfWatcher::new().map_err(|source| Error::Interfaces { address, source })?)
        } else {
            None
        };
        let machine = Machine::new(Async::new(socket).map_err(failed)?, interfaces);
        Ok(Self::new(id, bound, config.clone(), machine))
    }
}

impl<H: Host> Listener<H> {
    /// A listener bound to `bound` on `host`.
    fn new(id: ListenerId, bound: SocketAddr, config: Config, host: H) -> Self {
        let mut events = VecDeque::new();
        let is_watching = bound.ip().is_unspecified();
        if !is_watching {
            events.push_back(Event::NewAddress { listener_id: id, listen_addr: multiaddr(bound) });
        }
        Self {
            id,
            bound,
            config,
            host: Some(host),
            is_watching,
            networks: Vec::new(),
            failures: 0,
            events,
            waker: None,
        }
    }

    pub(super) fn id(&self) -> ListenerId {
        self.id
    }

    /// Whether it is open and would have a share of the connections to `address`.
    pub(super) fn overlaps(&self, address: SocketAddr) -> bool {
        let (own, other) = (self.bound.ip(), address.ip());
        self.host.is_some()
            && self.bound.port() == address.port()
            && own.is_ipv4() == other.is_ipv4()
            && (own == other || own.is_unspecified() || other.is_unspecified())
    }

    /// The addresses it listens on as far as it knows, none once closed.
    pub(super) fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        let own = Some(self.bound).filter(|bound| !bound.ip().is_unspecified());
        let port = self.bound.port();
        let interfaces = self.networks.iter().map(move |network| SocketAddr::new(network.addr(), port));
        own.into_iter().chain(interfaces).filter(|_| self.host.is_some())
    }

    /// Closes the socket and wakes whoever polls, to hear of it. False if it had been closed before.
    pub(super) fn close(&mut self) -> bool {
        if self.host.take().is_none() {
            return false;
        }
        self.events.clear();
        self.events.push_back(Event::ListenerClosed { listener_id: self.id, reason: Ok(()) });
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
        true
    }

    /// The next address that came or went.
    fn poll_interfaces(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        while let Some(host) = self.host.as_mut().filter(|_| self.is_watching) {
            match ready!(host.poll_interface(cx)) {
                Ok(change) => {
                    if let Some(event) = self.follow(change) {
                        return Poll::Ready(event);
                    }
                }
                Err(source) => {
                    // It will not get better: asked again, it would fail again.
                    self.is_watching = false;
                    let error = Error::Interfaces { address: self.bound, source };
                    return Poll::Ready(Event::ListenerError { listener_id: self.id, error });
                }
            }
        }
        Poll::Pending
    }

    /// Notes what happened to an interface. Something to tell if that makes an address come or go.
    fn follow(&mut self, change: IfEvent) -> Option<Event> {
        let (IfEvent::Up(network) | IfEvent::Down(network)) = change;
        let ip = network.addr();
        if ip.is_ipv4() != self.bound.is_ipv4() {
            return None;
        }
        let listener_id = self.id;
        let listen_addr = multiaddr(SocketAddr::new(ip, self.bound.port()));
        let was_known = self.knows(ip);
        self.networks.retain(|known| *known != network);
        if let IfEvent::Up(network) = change {
            self.networks.push(network);
        }
        match (was_known, self.knows(ip)) {
            (false, true) => Some(Event::NewAddress { listener_id, listen_addr }),
            (true, false) => Some(Event::AddressExpired { listener_id, listen_addr }),
            _ => None,
        }
    }

    fn knows(&self, ip: IpAddr) -> bool {
        self.networks.iter().any(|network| network.addr() == ip)
    }

    /// The next connection, or why there is none.
    fn poll_incoming(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        // No connection is handed over before an address is: they wait in the system's queue.
        let is_announced = !self.is_watching || !self.networks.is_empty();
        let Some(host) = self.host.as_mut().filter(|_| is_announced) else { return Poll::Pending };
        ready!(host.poll_rested(cx));
        if self.failures >= FAILURES_PER_TURN_MAX {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        match ready!(host.poll_accept(cx)) {
            Ok((connection, remote)) => {
                self.failures = 0;
                Poll::Ready(self.incoming(connection, remote))
            }
            Err(source) => {
                self.failures += 1;
                if socket::is_lack(&source) {
                    host.rest(REST_AFTER_LACK);
                }
                let error = Error::Accept { address: self.bound, source };
                Poll::Ready(Event::ListenerError { listener_id: self.id, error })
            }
        }
    }

    fn incoming(&self, connection: TcpStream, remote: SocketAddr) -> Event {
        // A connection reset already may have no local address, which is no reason to keep quiet about it.
        let local = connection.local_addr().unwrap_or(self.bound);
        let stream = socket::accepted(&self.config, connection, remote)
            .map_err(|source| Error::SetUp { remote, source });
        Event::Incoming {
            listener_id: self.id,
            upgrade: future::ready(stream),
            local_addr: multiaddr(local),
            send_back_addr: multiaddr(remote),
        }
    }
}

impl<H: Host> futures::Stream for Listener<H> {
    type Item = Event;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        let this = self.get_mut();
        if let Some(event) = this.events.pop_front() {
            return Poll::Ready(Some(event));
        }
        if this.host.is_none() {
            return Poll::Ready(None);
        }
        if let Poll::Ready(event) = this.poll_interfaces(cx) {
            return Poll::Ready(Some(event));
        }
        if let Poll::Ready(event) = this.poll_incoming(cx) {
            return Poll::Ready(Some(event));
        }
        this.failures = 0;
        this.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        net::TcpListener,
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
    };

    use futures::{StreamExt, executor::block_on, task::ArcWake};

    use super::*;

    /// A machine that does what it is told, and whose time stands still.
    #[derive(Default)]
    struct Script {
        connections: VecDeque<io::Result<(TcpStream, SocketAddr)>>,
        interfaces: VecDeque<io::Result<IfEvent>>,
        /// How long each rest was to be.
        rests: Vec<Duration>,
        is_resting: bool,
        accepts: usize,
    }

    impl Host for Script {
        fn poll_accept(&mut self, _: &mut Context<'_>) -> Poll<io::Result<(TcpStream, SocketAddr)>> {
            self.accepts += 1;
            self.connections.pop_front().map_or(Poll::Pending, Poll::Ready)
        }

        fn poll_interface(&mut self, _: &mut Context<'_>) -> Poll<io::Result<IfEvent>> {
            self.interfaces.pop_front().map_or(Poll::Pending, Poll::Ready)
        }

        fn rest(&mut self, length: Duration) {
            self.rests.push(length);
            self.is_resting = true;
        }

        fn poll_rested(&mut self, _: &mut Context<'_>) -> Poll<()> {
            if self.is_resting { Poll::Pending } else { Poll::Ready(()) }
        }
    }

    /// Counts how often it is woken.
    #[derive(Default)]
    struct Bell(AtomicUsize);

    impl ArcWake for Bell {
        fn wake_by_ref(this: &Arc<Self>) {
            this.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn listener(bound: &str, script: Script) -> Listener<Script> {
        Listener::new(ListenerId::next(), bound.parse().unwrap(), Config::new(), script)
    }

    fn script(listener: &mut Listener<Script>) -> &mut Script {
        listener.host.as_mut().expect("it is not closed")
    }

    /// What happens, in words, until nothing more does.
    fn events(listener: &mut Listener<Script>) -> Vec<String> {
        let waker = futures::task::noop_waker();
        let mut cx = Context::from_waker(&waker);
        let mut events = Vec::new();
        while let Poll::Ready(event) = listener.poll_next_unpin(&mut cx) {
            events.push(match event {
                Some(Event::NewAddress { listen_addr, .. }) => format!("new {listen_addr}"),
                Some(Event::AddressExpired { listen_addr, .. }) => format!("expired {listen_addr}"),
                Some(Event::Incoming { .. }) => "incoming".to_owned(),
                Some(Event::ListenerClosed { reason, .. }) => format!("closed {reason:?}"),
                Some(Event::ListenerError { error, .. }) => format!("error: {error}"),
                None => "end".to_owned(),
            });
            if events.last().is_some_and(|event| event == "end") {
                break;
            }
        }
        events
    }

    fn connection() -> io::Result<(TcpStream, SocketAddr)> {
        let socket = TcpListener::bind("127.0.0.1:0")?;
        let _dialled = TcpStream::connect(socket.local_addr()?)?;
        socket.accept()
    }

    fn up(network: &str) -> io::Result<IfEvent> {
        Ok(IfEvent::Up(network.parse().unwrap()))
    }

    fn down(network: &str) -> io::Result<IfEvent> {
        Ok(IfEvent::Down(network.parse().unwrap()))
    }

    fn too_many_open_files() -> io::Result<(TcpStream, SocketAddr)> {
        Err(io::Error::from_raw_os_error(libc::EMFILE))
    }

    #[test]
    fn an_accept_error_is_reported_and_followed_by_a_rest_of_100_ms() {
        let connections = VecDeque::from([too_many_open_files(), connection()]);
        let mut listener = listener("127.0.0.1:4001", Script { connections, ..Script::default() });
        let said = ["new /ip4/127.0.0.1/tcp/4001", "error: cannot accept a connection on 127.0.0.1:4001"];
        assert_eq!(events(&mut listener), said);
        assert_eq!(script(&mut listener).rests, [Duration::from_millis(100)]);
        assert_eq!(script(&mut listener).accepts, 1, "nothing is accepted during the rest");

        script(&mut listener).is_resting = false;
        assert_eq!(events(&mut listener), ["incoming"]);
        assert_eq!(script(&mut listener).rests.len(), 1);
    }

    #[test]
    fn only_a_lack_of_means_makes_it_rest() {
        for (code, rests) in [
            (libc::EMFILE, 1),
            (libc::ENFILE, 1),
            (libc::ENOBUFS, 1),
            (libc::ENOMEM, 1),
            (libc::ECONNABORTED, 0),
            (libc::EHOSTUNREACH, 0),
            (libc::EPROTO, 0),
        ] {
            let connections = VecDeque::from([Err(io::Error::from_raw_os_error(code)), connection()]);
            let mut listener = listener("127.0.0.1:4001", Script { connections, ..Script::default() });
            let events = events(&mut listener);
            assert_eq!(events[1], "error: cannot accept a connection on 127.0.0.1:4001");
            assert_eq!(script(&mut listener).rests.len(), rests, "{code}");
            assert_eq!(events.len(), 3 - rests, "{code}: {events:?}");
        }
    }

    #[test]
    fn after_many_failed_connections_in_a_row_others_have_their_turn() {
        let failures = (0..40).map(|_| Err(io::Error::from_raw_os_error(libc::ECONNABORTED)));
        let connections = failures.chain([connection()]).collect();
        let mut listener = listener("127.0.0.1:4001", Script { connections, ..Script::default() });
        assert!(block_on(listener.next()).is_some(), "it says where it is");
        let bell = Arc::new(Bell::default());
        let waker = futures::task::waker(bell.clone());
        let mut cx = Context::from_waker(&waker);
        let mut turns = Vec::new();
        for turn in 1.. {
            let mut events = 0;
            while listener.poll_next_unpin(&mut cx).is_ready() {
                events += 1;
            }
            turns.push(events);
            if bell.0.load(Ordering::SeqCst) < turn {
                break;
            }
        }
        // Each turn that is given up wakes its task for the next; the last has nothing more to do.
        assert_eq!(turns, [16, 16, 9]);
        assert!(script(&mut listener).rests.is_empty());
    }

    #[test]
    fn interfaces_are_followed_during_a_rest() {
        let interfaces = VecDeque::from([up("10.0.0.1/8")]);
        let connections = VecDeque::from([too_many_open_files()]);
        let mut listener = listener("0.0.0.0:4001", Script { connections, interfaces, ..Script::default() });
        assert_eq!(events(&mut listener).len(), 2);
        script(&mut listener).interfaces.push_back(up("10.0.0.2/8"));
        assert_eq!(events(&mut listener), ["new /ip4/10.0.0.2/tcp/4001"]);
    }

    #[test]
    fn a_wildcard_listener_follows_the_interfaces_of_its_family() {
        let changes =
            || VecDeque::from([up("10.0.0.1/8"), up("fd00::1/64"), down("10.0.0.1/8"), down("fd00::1/64")]);
        let mut v4 = listener("0.0.0.0:4001", Script { interfaces: changes(), ..Script::default() });
        assert_eq!(events(&mut v4), ["new /ip4/10.0.0.1/tcp/4001", "expired /ip4/10.0.0.1/tcp/4001"]);
        let mut v6 = listener("[::]:4001", Script { interfaces: changes(), ..Script::default() });
        assert_eq!(events(&mut v6), ["new /ip6/fd00::1/tcp/4001", "expired /ip6/fd00::1/tcp/4001"]);
    }

    #[test]
    fn an_address_in_two_networks_comes_once_and_goes_once() {
        let interfaces = VecDeque::from([up("10.0.0.1/8"), up("10.0.0.1/32"), up("10.0.0.1/8")]);
        let mut listener = listener("0.0.0.0:1", Script { interfaces, ..Script::default() });
        assert_eq!(events(&mut listener), ["new /ip4/10.0.0.1/tcp/1"]);
        script(&mut listener).interfaces.extend([down("10.0.0.1/8"), down("10.0.0.1/8")]);
        assert_eq!(events(&mut listener), [""; 0]);
        script(&mut listener).interfaces.push_back(down("10.0.0.1/32"));
        assert_eq!(events(&mut listener), ["expired /ip4/10.0.0.1/tcp/1"]);
    }

    #[test]
    fn no_connection_is_handed_over_before_an_address() {
        let connections = VecDeque::from([connection()]);
        let mut listener = listener("0.0.0.0:4001", Script { connections, ..Script::default() });
        assert_eq!(events(&mut listener), [""; 0]);
        script(&mut listener).interfaces.push_back(up("10.0.0.1/8"));
        assert_eq!(events(&mut listener), ["new /ip4/10.0.0.1/tcp/4001", "incoming"]);
    }

    #[test]
    fn a_lost_interface_watcher_is_reported_once_and_connections_still_come() {
        let connections = VecDeque::from([connection()]);
        let failures = || [Err(io::Error::other("closed")), Err(io::Error::other("closed"))];
        let interfaces = VecDeque::from(failures());
        let mut listener = listener("0.0.0.0:1", Script { connections, interfaces, ..Script::default() });
        let said = ["error: cannot watch the interfaces to listen on for 0.0.0.0:1", "incoming"];
        assert_eq!(events(&mut listener), said);
    }

    #[test]
    fn addresses_are_those_announced() {
        let interfaces = VecDeque::from([up("10.0.0.1/8"), up("10.0.0.2/8"), up("fd00::1/64")]);
        let mut wildcard = listener("0.0.0.0:1", Script { interfaces, ..Script::default() });
        assert_eq!(wildcard.addresses().count(), 0);
        events(&mut wildcard);
        let addresses: Vec<_> = wildcard.addresses().map(|address| address.to_string()).collect();
        assert_eq!(addresses, ["10.0.0.1:1", "10.0.0.2:1"]);
        wildcard.close();
        assert_eq!(wildcard.addresses().count(), 0);
        assert_eq!(listener("[::1]:1", Script::default()).addresses().count(), 1);
    }

    #[test]
    fn closing_wakes_the_task_and_ends_the_stream() {
        let mut listener = listener("127.0.0.1:1", Script::default());
        assert!(block_on(listener.next()).is_some());
        let bell = Arc::new(Bell::default());
        let waker = futures::task::waker(bell.clone());
        assert!(listener.poll_next_unpin(&mut Context::from_waker(&waker)).is_pending());

        assert!(listener.close());
        assert_eq!(bell.0.load(Ordering::SeqCst), 1);
        assert!(!listener.close(), "it is closed already");
        assert_eq!(events(&mut listener), ["closed Ok(())", "end"]);
    }
}
