//! How sockets are set up.

/// How the sockets of a [`Transport`](super::Transport) are set up.
///
/// ```
/// use dragnet_libp2p::tcp::Config;
///
/// let config = Config::new().nodelay(false).backlog(128).ttl(16);
/// # let _ = config;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    pub(super) nodelay: bool,
    pub(super) backlog: u32,
    pub(super) ttl: Option<u8>,
}

impl Config {
    /// Sends without delay, keeps up to 1024 connections waiting to be accepted, and leaves the time to live to
    /// the system.
    #[must_use]
    pub fn new() -> Self {
        Self { nodelay: true, backlog: 1024, ttl: None }
    }

    /// Whether small writes are sent at once (`TCP_NODELAY`) instead of collected (RFC 896). Default: true, as
    /// the short questions and answers of a DHT gain nothing from waiting for more.
    #[must_use]
    pub fn nodelay(mut self, nodelay: bool) -> Self {
        self.nodelay = nodelay;
        self
    }

    /// How many connections a listener keeps that have not been accepted yet. Default: 1024. The system has
    /// a bound of its own (`net.core.somaxconn` on Linux) and takes the lower one.
    #[must_use]
    pub fn backlog(mut self, connections_max: u32) -> Self {
        self.backlog = connections_max;
        self
    }

    /// How many hops a packet may take (`IP_TTL`, `IPV6_UNICAST_HOPS`), from 1 to 255. Default: the system's.
    /// With 0, the system refuses to listen or dial.
    #[must_use]
    pub fn ttl(mut self, hops_max: u8) -> Self {
        self.ttl = Some(hops_max);
        self
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::new()
    }
}
