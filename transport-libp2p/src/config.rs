//! The settings of a [`Behaviour`](crate::Behaviour).

use std::num::NonZeroUsize;
use std::time::Duration;

use dragnet_core::EngineConfig;
use libp2p::StreamProtocol;
use libp2p::kad;

use crate::exchange;
use crate::kad_messages::AnswerLimits;

/// The protocol name of a DHT of Dragnet's own. `/ipfs/kad/1.0.0` joins the public IPFS network.
pub const KAD_PROTOCOL: &str = "/dragnet/kad/1.0.0";

/// The settings of a [`Behaviour`](crate::Behaviour).
///
/// ```
/// let mut config = dragnet_libp2p::Config::default();
/// config.store.provided_keys_max = 10_000;
/// config.lookups_max = 64;
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// The name of the Kademlia protocol: peers of another name are another network.
    /// [`KAD_PROTOCOL`].
    pub kad_protocol: StreamProtocol,
    /// Whether this peer answers others' DHT requests (server), or only asks (client). `None` leaves it
    /// to libp2p-kad: a server as soon as there is a confirmed external address. Server.
    pub mode: Option<kad::Mode>,
    /// Whether every concrete address that is listened on counts as one that others can dial (a
    /// confirmed external address). rust-libp2p announces a provider with its external addresses only,
    /// so without any, nobody finds the way. Off, since an application may use AutoNAT; a
    /// [`Node`](crate::Node) turns it on.
    pub confirm_listen_addresses: bool,
    /// What this peer stores for the network, and for itself.
    pub store: StoreLimits,
    /// How often what was published is published again, and how long it is kept.
    pub publishing: Publishing,
    /// Where records are stored, and how many the closest peers are: Kademlia's k. 20.
    pub replication: NonZeroUsize,
    /// Requests that one lookup keeps in flight: Kademlia's alpha. 3.
    pub parallelism: NonZeroUsize,
    /// A lookup, a put or an announcement of the DHT is given up after so long. 60 s.
    pub lookup_timeout: Duration,
    /// Lookups, puts and announcements of the DHT that run at once; further ones wait their turn.
    ///
    /// A rust-libp2p server takes 32 streams a connection and drops the rest, and libp2p-kad, which
    /// scans every live lookup at every event, does not queue. A lookup has at most one request in flight
    /// with one peer. What libp2p-kad does by itself (refreshing its table, handing on others' records)
    /// comes on top, as do the messages of an announcement, for whose end it does not wait. 16.
    pub lookups_max: usize,
    /// The largest message of the DHT that is sent, or read by libp2p-kad, in bytes; for the answers of
    /// driven walks see [`answers`](Self::answers). 16 KiB, as in rust-libp2p; go-libp2p takes 4 MiB.
    pub packet_bytes_max: usize,
    /// A request of the DHT is given up after so long, in a driven walk queueing and dialling not counted. A
    /// query's own `request_timeout` may end it sooner. 10 s.
    pub request_timeout: Duration,
    /// Peers whose addresses are remembered, the least recently used out first; 10 addresses each.
    /// 16 384.
    pub addresses_max: NonZeroUsize,
    /// Which of the addresses that others tell are dialled. [`AddressFilter::InReach`].
    pub address_filter: AddressFilter,
    /// Who makes the walks of [`Client::get`](crate::Client::get), [`search`](crate::Client::search) and
    /// [`providers`](crate::Client::providers). [`Walks::Driven`].
    pub walks: Walks,
    /// What is accepted of an answer in a driven walk.
    pub answers: AnswerLimits,
    /// How often the routing table is refreshed; `None` never. 5 min.
    pub bootstrap_interval: Option<Duration>,
    /// `bootstrap()` says why nobody answered after so long. 15 s.
    pub bootstrap_timeout: Duration,
    /// Commands (put, provide, ..) that wait for the behaviour; one more is `Busy`. So is a put when so
    /// many wait for their turn. 1 024.
    pub commands_max: usize,
    /// The fetch protocol: its name, its bounds and its queues.
    pub exchange: exchange::Config,
    /// A peer's answer to a question may take so long, queueing and dialling not counted. A query's own
    /// `request_timeout` may end it sooner. 10 s.
    pub fetch_timeout: Duration,
    /// Others' questions that wait for the application to take them; one more is refused. 256.
    pub questions_max: usize,
    /// The engine's caps and how it judges peers.
    pub engine: EngineConfig,
    /// What the engine draws its query ids and hash keys from; `None` draws from the machine. Set it to
    /// make runs alike.
    pub seed: Option<[u8; 32]>,
}

impl Config {
    /// Sets the name of the Kademlia protocol.
    #[must_use]
    pub fn with_protocol(mut self, kad_protocol: StreamProtocol) -> Self {
        self.kad_protocol = kad_protocol;
        self
    }

    /// The settings of the Kademlia behaviour.
    pub(crate) fn kad(&self) -> kad::Config {
        let mut config = kad::Config::new(self.kad_protocol.clone());
        config
            .set_query_timeout(self.lookup_timeout)
            .set_replication_factor(self.replication)
            .set_parallelism(self.parallelism)
            .set_max_packet_size(self.packet_bytes_max)
            .set_substreams_timeout(self.request_timeout)
            .set_record_ttl(self.publishing.record_ttl)
            .set_replication_interval(self.publishing.record_replication_interval)
            // Our own records and keys are published again by ourselves, in turns; see `publish`.
            .set_publication_interval(None)
            .set_provider_record_ttl(self.publishing.provider_ttl)
            .set_provider_publication_interval(None)
            .set_periodic_bootstrap_interval(self.bootstrap_interval)
            .set_caching(kad::Caching::Disabled);
        config
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            kad_protocol: StreamProtocol::new(KAD_PROTOCOL),
            mode: Some(kad::Mode::Server),
            confirm_listen_addresses: false,
            store: StoreLimits::default(),
            publishing: Publishing::default(),
            replication: kad::K_VALUE,
            parallelism: kad::ALPHA_VALUE,
            lookup_timeout: Duration::from_secs(60),
            lookups_max: 16,
            packet_bytes_max: 16 * 1024,
            request_timeout: Duration::from_secs(10),
            addresses_max: NonZeroUsize::new(16 * 1024).expect("a literal"),
            address_filter: AddressFilter::default(),
            walks: Walks::default(),
            answers: AnswerLimits::default(),
            bootstrap_interval: Some(Duration::from_secs(300)),
            bootstrap_timeout: Duration::from_secs(15),
            commands_max: 1024,
            exchange: exchange::Config::default(),
            fetch_timeout: Duration::from_secs(10),
            questions_max: 256,
            engine: EngineConfig::default(),
            seed: None,
        }
    }
}

/// Who makes the walks of queries.
///
/// [`Client::closest`](crate::Client::closest) is always left to libp2p-kad: which peers are the closest is
/// known only when the walk has ended, and a driven one tells of each peer as soon as it has answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
#[cfg_attr(feature = "state", derive(serde::Serialize, serde::Deserialize))]
pub enum Walks {
    /// The query engine, contact by contact, at its own pace: response times, hedging, reputation, which
    /// peer failed.
    #[default]
    Driven,
    /// libp2p-kad; see [`Config::lookups_max`].
    Delegated,
}

/// Which of the addresses that others tell, of themselves and of third peers, are remembered and dialled.
/// Those that the application names are always, the newest 256 even when they could not be dialled before.
///
/// What libp2p-kad is told in its own queries is filtered too. An address is judged by what it begins with:
/// what a name resolves to is not looked at (`/dns/localhost` and the like are of this machine), nor to
/// which IPv4 address one of IPv6 leads by a tunnel (6to4, Teredo).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum AddressFilter {
    /// All that can be dialled.
    Any,
    /// Those from where the teller is: of a peer that is connected from far away only global addresses, of
    /// one in a private network those of private networks too, of one on this machine all. So nobody
    /// can send this peer to the hosts of its own network from outside by their IP addresses - by a name
    /// that resolves to one he can - and nothing need be set for a network on one machine.
    #[default]
    InReach,
    /// Those that can be reached from everywhere: neither of this machine nor of a private network.
    Global,
}

/// What a peer stores. Over a limit its own records are refused with an error, strangers' in silence.
///
/// What is its own and what is others' is counted apart, so that others cannot keep it from publishing.
/// When others' tables are full, what has expired makes room. Another's record is refused where a record
/// of its own is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreLimits {
    /// Records of its own. 1 024.
    pub records_max: usize,
    /// Others' records. 1 024.
    pub foreign_records_max: usize,
    /// Bytes of a record's value. A record travels with 20 closer peers in one message of
    /// [`Config::packet_bytes_max`], so it must be well below. 8 KiB.
    pub value_bytes_max: usize,
    /// Keys that it provides itself. libp2p-kad's own default is 1 024. 65 536.
    pub provided_keys_max: usize,
    /// Others who provide a key, counted once for every key. One takes about 1 KiB at most. 65 536.
    pub foreign_providers_max: usize,
    /// Others kept for a key, the first to come. A reply names at most 20. 20.
    pub providers_per_key_max: usize,
    /// Addresses kept with a provider, the first that fit in 512 bytes. 16.
    pub addresses_per_provider_max: usize,
    /// Bytes of the key of a record or of a provider. A multihash of SHA-256 has 34. 128.
    pub key_bytes_max: usize,
}

impl Default for StoreLimits {
    fn default() -> Self {
        Self {
            records_max: 1024,
            foreign_records_max: 1024,
            value_bytes_max: 8 * 1024,
            provided_keys_max: 1 << 16,
            foreign_providers_max: 1 << 16,
            providers_per_key_max: kad::K_VALUE.get(),
            addresses_per_provider_max: 16,
            key_bytes_max: 128,
        }
    }
}

/// How often what was published is published again, and how long it is kept. A time to live should be
/// several intervals long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publishing {
    /// How long others keep a record; `None` for ever. 48 h.
    pub record_ttl: Option<Duration>,
    /// How often a record of our own is put again; `None` never. One that reached nobody is put again
    /// sooner, as for [`provider_interval`](Self::provider_interval). 22 h.
    pub record_interval: Option<Duration>,
    /// How often others' records are handed to the peers now closest; `None` never. 1 h.
    pub record_replication_interval: Option<Duration>,
    /// How long others remember a provider; `None` for ever. 48 h.
    pub provider_ttl: Option<Duration>,
    /// How often our providing is announced again; `None` never. An announcement that reached nobody is
    /// made again sooner: as soon as the routing table gains a peer, and after 5 s, 10 s and so on up to
    /// the interval (or an hour if there is none). 12 h.
    pub provider_interval: Option<Duration>,
}

impl Default for Publishing {
    fn default() -> Self {
        const HOUR: u64 = 3600;
        Self {
            record_ttl: Some(Duration::from_secs(48 * HOUR)),
            record_interval: Some(Duration::from_secs(22 * HOUR)),
            record_replication_interval: Some(Duration::from_secs(HOUR)),
            provider_ttl: Some(Duration::from_secs(48 * HOUR)),
            provider_interval: Some(Duration::from_secs(12 * HOUR)),
        }
    }
}
