//! Several networks and registries as one market.

use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

use dragnet_core::front::{
    self, Client, Federation, Mapped, Mapping, QueryHandle, Subqueries, SystemClock, Transport,
};
use dragnet_core::{
    Delivery, Failure, Invalid, Key, Network, Query, QueryConfig, Route, Source, StartError, Validator,
};
use dragnet_libp2p::{Answer, Ask, Libp2p, NodeError, Walks, provider_key, query};
use dragnet_registry::{Config, ConfigError, Health, Registries, RegistryTransport, RegistryUrl, UrlError};
use libp2p::PeerId;
use libp2p::identity::Keypair;
use libp2p::kad;
use smol::Task;

use crate::market::{self, judge};
use crate::package::Package;
use crate::peer::{Peer, boot, builder};
use crate::question::Question;
use crate::registry::PackageApi;

/// One source, as a command line names it: `NAME=ADDRESS`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SourceArg {
    /// What it is called in the results.
    pub name: String,
    /// Where it is.
    pub place: Place,
}

/// Where a source is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Place {
    /// A peer of a libp2p network, such as `/ip4/192.0.2.1/tcp/4001/p2p/12D3…`.
    Network(String),
    /// The base of a registry's URLs.
    Registry(RegistryUrl),
}

/// Why a command line names no source.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceArgError {
    /// Without a name.
    #[error(
        "write NAME=ADDRESS, such as main=/ip4/192.0.2.1/tcp/4001/p2p/12D3… or crates=https://registry.example/"
    )]
    Name,
    /// Neither a peer nor a registry.
    #[error("`{0}` is neither a peer's address (/ip4/…/p2p/…) nor a registry's URL (http://… or https://…)")]
    Place(String),
    /// No URL of a registry.
    #[error(transparent)]
    Url(#[from] UrlError),
}

/// Why sources cannot be asked at all.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FederationError {
    /// Two of one name: nobody could tell whose the counts are.
    #[error("two sources are called `{0}`: give each a name of its own")]
    SameName(String),
    /// A source's address that is none.
    #[error("source `{name}`: {error}")]
    Node {
        /// The source's name.
        name: String,
        /// What is wrong.
        error: Box<NodeError>,
    },
    /// Settings of the registries that are none.
    #[error(transparent)]
    Registry(#[from] ConfigError),
}

impl FromStr for SourceArg {
    type Err = SourceArgError;

    fn from_str(text: &str) -> Result<Self, SourceArgError> {
        let (name, address) = text.split_once('=').ok_or(SourceArgError::Name)?;
        // A URL may have a `=` of its own, and then no name before it.
        if name.is_empty() || name.contains(['/', ':']) {
            return Err(SourceArgError::Name);
        }
        let place = if address.starts_with('/') {
            Place::Network(address.to_string())
        } else if address.starts_with("http://") || address.starts_with("https://") {
            Place::Registry(address.parse()?)
        } else {
            return Err(SourceArgError::Place(address.to_string()));
        };
        Ok(Self { name: name.to_string(), place })
    }
}

/// All the networks and registries behind one client.
#[derive(Debug)]
pub enum Markets {}

/// Who answers, in which source.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Member {
    /// The source.
    pub source: Source,
    /// Who.
    pub who: Who,
}

/// Who answers.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Who {
    /// We ourselves, who never answer.
    Us,
    /// A peer of a network.
    Peer(PeerId),
    /// A registry.
    Registry(RegistryUrl),
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Us => f.write_str("own"),
            Self::Peer(peer) => peer.fmt(f),
            Self::Registry(url) => f.write_str(url.as_str()),
        }
    }
}

impl Network for Markets {
    type Peer = Member;
    type Request = Question;
    type Item = Package;

    fn key(member: &Member) -> Key {
        match &member.who {
            Who::Us => Key::of(b"us"),
            Who::Peer(peer) => Libp2p::key(peer),
            Who::Registry(url) => Registries::<PackageApi>::key(url),
        }
    }

    fn source(member: &Member) -> Source {
        member.source
    }
}

/// A libp2p network in the words of the market.
struct OfNetwork(Source);

impl Mapping for OfNetwork {
    type Inner = Libp2p;
    type Outer = Markets;

    fn peer(&self, peer: PeerId) -> Member {
        Member { source: self.0, who: Who::Peer(peer) }
    }

    fn inner_peer(&self, member: &Member) -> Option<PeerId> {
        if let Who::Peer(peer) = member.who { Some(peer) } else { None }
    }

    fn request(&self, question: &Question) -> Option<Ask> {
        let key = provider_key(question.key_term().as_bytes());
        Some(Ask::Search { key, question: question.encode(), walks: Walks::Driven })
    }

    fn item(&self, answer: Answer) -> Result<Package, Invalid> {
        market::package_of(&answer)
    }
}

/// A registry in the words of the market.
struct OfRegistry(Source);

impl Mapping for OfRegistry {
    type Inner = Registries<PackageApi>;
    type Outer = Markets;

    fn peer(&self, url: RegistryUrl) -> Member {
        Member { source: self.0, who: Who::Registry(url) }
    }

    fn inner_peer(&self, member: &Member) -> Option<RegistryUrl> {
        if let Who::Registry(url) = &member.who { Some(url.clone()) } else { None }
    }

    fn request(&self, question: &Question) -> Option<Question> {
        Some(question.clone())
    }

    fn item(&self, package: Package) -> Result<Package, Invalid> {
        Ok(package)
    }
}

type AnyTransport = Box<dyn Transport<Network = Markets> + Send>;

/// Access to several sources at once.
pub struct Federated {
    client: Client<Markets>,
    running: Task<()>,
    /// The nodes of the networks.
    peers: Vec<Peer>,
    sources: Vec<SourceArg>,
    problems: Vec<Problem>,
}

/// What went wrong with a source last, if anything has.
enum Problem {
    /// Why a network could not be joined, or that it is not yet.
    Network(Arc<Mutex<Option<String>>>),
    Registry(Health, RegistryUrl),
}

impl Federated {
    /// Access to these sources, with as many nodes of our own as there are networks among them. It does
    /// not wait until they are joined: those that answer do so meanwhile. A search of a network ends a little
    /// before the `timeout` of `config`.
    ///
    /// # Errors
    ///
    /// Two sources of one name, an address that is none.
    pub fn open(
        sources: Vec<SourceArg>,
        protocol: &str,
        config: &QueryConfig,
    ) -> Result<Self, FederationError> {
        let mut federation = Federation::<AnyTransport>::new();
        let (mut peers, mut problems) = (Vec::new(), Vec::new());
        for (index, SourceArg { name, place }) in sources.iter().enumerate() {
            if sources[..index].iter().any(|other| other.name == *name) {
                return Err(FederationError::SameName(name.clone()));
            }
            let source = Source(u16::try_from(index).expect("a command line is not so long"));
            let transport: AnyTransport = match place {
                Place::Network(address) => {
                    let peer = node(protocol, address)
                        .map_err(|error| FederationError::Node { name: name.clone(), error: error.into() })?;
                    let problem = Arc::new(Mutex::new(Some("not joined yet".to_string())));
                    let network = network(&peer, Arc::clone(&problem), config.clone());
                    peers.push(peer);
                    problems.push(Problem::Network(problem));
                    Box::new(Mapped::new(network, OfNetwork(source)))
                }
                Place::Registry(url) => {
                    let registry = RegistryTransport::new(PackageApi, Config::default())?;
                    problems.push(Problem::Registry(registry.health(), url.clone()));
                    Box::new(Mapped::new(registry, OfRegistry(source)))
                }
            };
            federation = federation.with(name, transport);
        }
        let us = Member { source: Source::default(), who: Who::Us };
        let (client, driver) = front::new(federation, SystemClock::new(), us, seed());
        Ok(Self { client, running: smol::spawn(driver), peers, sources, problems })
    }

    /// Searches all sources at once. What peers and registries send is checked against the question, and
    /// where one describes a package otherwise than the first that did, that is counted.
    ///
    /// # Errors
    ///
    /// A setting out of its range.
    pub fn search(
        &self,
        question: &Question,
        config: QueryConfig,
    ) -> Result<QueryHandle<Markets>, StartError> {
        // A quorum of one delivers at once, and keeps what it has delivered to compare the others with.
        let mut query = Query::new(question.clone()).config(config.with_delivery(Delivery::Quorum(1)));
        for (index, SourceArg { place, .. }) in self.sources.iter().enumerate() {
            let source = Source(u16::try_from(index).expect("checked when they were opened"));
            query = match place {
                Place::Network(_) => query.route(Route::delegated().in_source(source)),
                Place::Registry(url) => {
                    query.fetch_from([Member { source, who: Who::Registry(url.clone()) }])
                }
            };
        }
        self.client.query(query)
    }

    /// What went wrong last with a source, if anything has.
    pub fn problem(&self, source: Source) -> Option<String> {
        match self.problems.get(usize::from(source.0))? {
            Problem::Network(problem) => problem.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            Problem::Registry(health, url) => {
                health.of(url).and_then(|health| health.last_error).map(|error| error.to_string())
            }
        }
    }

    /// Ends it, with the nodes, their listeners and connections.
    pub async fn stop(self) {
        self.client.shutdown().await;
        self.running.await;
        for peer in self.peers {
            peer.stop().await;
        }
    }
}

/// A node of our own in a network, that only asks.
fn node(protocol: &str, address: &str) -> Result<Peer, NodeError> {
    let builder = boot(builder(protocol), &[address.to_string()]);
    Peer::start(builder.configure(|config| config.mode = Some(kad::Mode::Client)))
}

/// A network that is asked through its node, once that has joined it. A search there ends a little before
/// the one of all, which then hears what it has cost.
fn network(peer: &Peer, problem: Arc<Mutex<Option<String>>>, config: QueryConfig) -> Subqueries<Libp2p> {
    let timeout = config.timeout / 10 * 9;
    let config = config.with_timeout(timeout);
    // One for all: only searches that judge alike can share what they find.
    let judge: Arc<dyn Validator<Libp2p>> = Arc::new(judge);
    let make = move |ask: &Ask| {
        let (Some(key), Some(question)) = (ask.key(), ask.question()) else {
            // Asks nobody: the mapping makes searches alone.
            return Query::new(ask.clone());
        };
        query::search(key.clone(), question.clone())
            .shared_validator(Arc::clone(&judge))
            .config(config.clone())
    };
    let client = peer.client.clone();
    Subqueries::new(peer.client.front().clone(), make).after(async move {
        let joined = client.bootstrap().await;
        let error = joined.as_ref().err().map(ToString::to_string);
        *problem.lock().unwrap_or_else(PoisonError::into_inner) = error;
        joined.map(drop).map_err(|_| Failure::Unreachable)
    })
}

/// Drawn by the operating system, as a key is.
fn seed() -> [u8; 32] {
    let pair = Keypair::generate_ed25519().try_into_ed25519().expect("it was made as an ed25519 key");
    pair.secret().as_ref().try_into().expect("an ed25519 secret has 32 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_has_a_name_and_a_place() {
        let network: SourceArg = "main=/ip4/192.0.2.1/tcp/4001".parse().unwrap();
        assert_eq!(
            (network.name.as_str(), network.place),
            ("main", Place::Network("/ip4/192.0.2.1/tcp/4001".to_string()))
        );
        let registry: SourceArg = "crates=https://registry.example/api/".parse::<SourceArg>().unwrap();
        assert!(matches!(registry.place, Place::Registry(_)));
    }

    #[test]
    fn what_names_no_source_is_told_what_would() {
        for (text, why) in [
            ("", "NAME=ADDRESS"),
            ("https://registry.example/", "NAME=ADDRESS"),
            ("https://registry.example/?a=b", "NAME=ADDRESS"),
            ("=/ip4/192.0.2.1/tcp/4001", "NAME=ADDRESS"),
            ("main=registry.example", "`registry.example` is neither"),
            ("main=http://", "http://"),
        ] {
            let error = text.parse::<SourceArg>().unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn two_sources_of_one_name_are_refused() {
        let source: SourceArg = "crates=http://127.0.0.1:1/".parse().unwrap();
        let error =
            Federated::open(vec![source.clone(), source], "/x/1", &QueryConfig::default()).err().unwrap();
        assert!(error.to_string().contains("`crates`"), "{error}");
    }
}
