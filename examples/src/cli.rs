//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use dragnet_libp2p::KAD_PROTOCOL;

use crate::duration;
use crate::federation::SourceArg;

/// A marketplace of package descriptions: peers share what they know, and search what others share.
#[derive(Parser, Debug)]
#[command(
    name = "marketplace",
    version,
    after_help = "Exit codes: 0 found or done, 1 nothing found or stored, 2 bad use, 3 no peer could be reached, \
                  70 the program itself failed."
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Print one JSON object a line; an error is the last, with its text and exit code.
    #[arg(long, global = true)]
    pub json: bool,
}

/// What to do.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Start a network of real peers in this process, some of them bad, and search it.
    Demo(DemoArgs),
    /// Run a peer that shares packages and answers others, until Ctrl-C.
    Node(NodeArgs),
    /// Show a node's live queries, its peers by reputation and its rates, until q.
    Top(TopArgs),
    /// Run a centralised registry: an HTTP server that answers searches, until Ctrl-C.
    Registry(RegistryArgs),
    /// Search the packages that the network shares; results come as they are found.
    Search(SearchArgs),
    /// Get a record of the DHT.
    Get(GetArgs),
    /// Put a record into the DHT.
    Put(PutArgs),
    /// List the peers that provide a key.
    Providers(ProvidersArgs),
    /// Announce to provide keys, and keep at it until Ctrl-C.
    Provide(ProvideArgs),
}

/// The demo's settings.
#[derive(Args, Debug, Clone)]
pub struct DemoArgs {
    /// Peers to start: one asks, one lies, one is silent, one is stopped halfway.
    #[arg(long, default_value_t = 12, value_name = "N", value_parser = clap::value_parser!(u16).range(5..=200))]
    pub nodes: u16,
    /// Searches in all.
    #[arg(long, default_value_t = 200, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub queries: u32,
    /// Searches at once.
    #[arg(long, default_value_t = 32, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub concurrency: u16,
    /// What is random is drawn from this: the same seed spreads and searches the same.
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub seed: u64,
    /// Share the packages of this file, not those of `cargo metadata`.
    #[arg(long, value_name = "FILE")]
    pub packages: Option<PathBuf>,
    /// Show the searches for these words; otherwise for some that are found.
    #[arg(value_name = "TERM")]
    pub terms: Vec<String>,
}

/// Which network, and how to get in.
#[derive(Args, Debug, Clone)]
pub struct NetworkArgs {
    /// A peer of the network, such as /ip4/192.0.2.1/tcp/4001/p2p/12D3…; may be repeated.
    #[arg(long, required = true, value_name = "ADDR")]
    pub boot: Vec<String>,
    /// The Kademlia protocol that the network speaks.
    #[arg(long, default_value = KAD_PROTOCOL, value_name = "NAME")]
    pub protocol: String,
}

/// What to share.
#[derive(Args, Debug, Clone, Default)]
#[group(multiple = false)]
pub struct SharedArgs {
    /// Our own packages: those that this file lists in JSON.
    #[arg(long, value_name = "FILE")]
    pub packages: Option<PathBuf>,
    /// Our own packages: those that the workspace of the current directory depends on.
    #[arg(long)]
    pub cargo_metadata: bool,
}

/// A recording of what the node's queries were told.
#[derive(Args, Debug, Clone, Default)]
pub struct RecordArgs {
    /// Record what this node's queries are told into this file, for `dragnet-sim replay`. What was found is left out;
    /// the node's peers, their answers' times, the targets of its walks (hashes of what was searched for) and its engine's
    /// seed are in it.
    #[arg(long, value_name = "FILE")]
    pub record: Option<PathBuf>,
    /// Bytes that the recording takes at most: FILE, and FILE.1 with what came before it.
    #[arg(long, default_value_t = 64 << 20, value_name = "BYTES", requires = "record")]
    pub record_max: u64,
    /// Record the searched words too.
    #[arg(long, requires = "record")]
    pub record_words: bool,
}

/// The settings of `node`.
#[derive(Args, Debug, Clone)]
pub struct NodeArgs {
    /// Where to listen, such as /ip4/0.0.0.0/tcp/4001; port 0 takes a free one; may be repeated.
    #[arg(long, required = true, value_name = "ADDR")]
    pub listen: Vec<String>,
    /// A peer of the network, such as /ip4/192.0.2.1/tcp/4001/p2p/12D3…; may be repeated. Without any,
    /// this is the network's first.
    #[arg(long, value_name = "ADDR")]
    pub boot: Vec<String>,
    /// The Kademlia protocol that the network speaks.
    #[arg(long, default_value = KAD_PROTOCOL, value_name = "NAME")]
    pub protocol: String,
    /// Keep in this directory who this peer is and what it knows, and begin with what is there: then it
    /// finds its network without --boot.
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,
    /// Save it so often, and at the end.
    #[arg(long, default_value = "5m", value_name = "TIME", value_parser = duration::parse, requires = "state")]
    pub save_every: Duration,
    /// What to record.
    #[command(flatten)]
    pub recording: RecordArgs,
    /// What to share.
    #[command(flatten)]
    pub shared: SharedArgs,
    /// Serve metrics for Prometheus there, and the status that `top` shows, by HTTP to whoever asks: such as
    /// 127.0.0.1:9090; port 0 takes a free one.
    #[arg(long, value_name = "ADDR")]
    pub metrics: Option<SocketAddr>,
}

/// The settings of `top`.
#[derive(Args, Debug, Clone)]
pub struct TopArgs {
    /// Show the node that runs with `--metrics ADDR`.
    #[arg(long, value_name = "ADDR", required_unless_present = "boot", conflicts_with = "boot")]
    pub metrics: Option<SocketAddr>,
    /// Join a network by this peer, such as /ip4/192.0.2.1/tcp/4001/p2p/12D3…, and show a node of one's own;
    /// may be repeated.
    #[arg(long, value_name = "ADDR")]
    pub boot: Vec<String>,
    /// The Kademlia protocol that the network speaks.
    #[arg(long, default_value = KAD_PROTOCOL, value_name = "NAME")]
    pub protocol: String,
    /// Let the node of one's own search for this again and again; may be repeated.
    #[arg(long, value_name = "TERM", conflicts_with = "metrics")]
    pub search: Vec<String>,
    /// Look again after so long: at least 100 ms.
    #[arg(long, default_value = "1s", value_name = "TIME", value_parser = duration::parse)]
    pub every: Duration,
    /// Look twice and print what there is, as where there is no terminal.
    #[arg(long)]
    pub once: bool,
}

/// The settings of `registry`.
#[derive(Args, Debug, Clone)]
pub struct RegistryArgs {
    /// Where to listen, such as 127.0.0.1:8080; port 0 takes a free one.
    #[arg(long, value_name = "ADDR")]
    pub listen: SocketAddr,
    /// What to put into the registry.
    #[command(flatten)]
    pub shared: SharedArgs,
    /// Keep the packages in this SQLite file, and serve those that are in it; otherwise they are kept in
    /// memory.
    #[arg(long, value_name = "FILE", required_unless_present_any = ["packages", "cargo_metadata"])]
    pub store: Option<PathBuf>,
}

/// The settings of `search`.
#[derive(Args, Debug, Clone)]
pub struct SearchArgs {
    /// A peer of the network, such as /ip4/192.0.2.1/tcp/4001/p2p/12D3…; may be repeated.
    #[arg(long, required_unless_present_any = ["source", "state"], value_name = "ADDR")]
    pub boot: Vec<String>,
    /// Keep in this directory which peers and answers are known, and begin with what is there: then the
    /// next search needs no --boot, and the same one asks nobody for a minute once it has joined, which
    /// it does first. All searches from one directory come from one peer, so that others can tell they
    /// belong together; and the searched words are in it, readable.
    #[arg(long, value_name = "DIR", conflicts_with = "source")]
    pub state: Option<PathBuf>,
    /// Search a network or a registry beside others, such as `main=/ip4/192.0.2.1/tcp/4001/p2p/12D3…` or
    /// `crates=https://registry.example/`; may be repeated.
    #[arg(long, value_name = "NAME=ADDR", conflicts_with_all = ["boot", "packages", "cargo_metadata", "record"])]
    pub source: Vec<SourceArg>,
    /// The Kademlia protocol that the networks speak.
    #[arg(long, default_value = KAD_PROTOCOL, value_name = "NAME")]
    pub protocol: String,
    /// What to record.
    #[command(flatten)]
    pub recording: RecordArgs,
    /// Search these packages of one's own before the network's.
    #[command(flatten)]
    pub shared: SharedArgs,
    /// Only packages of this category.
    #[arg(long, value_name = "NAME")]
    pub category: Option<String>,
    /// Only packages with this keyword.
    #[arg(long, value_name = "NAME")]
    pub tag: Option<String>,
    /// End after so many results.
    #[arg(long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub limit: u16,
    /// End after so long.
    #[arg(long, default_value = "5s", value_name = "TIME", value_parser = duration::parse)]
    pub timeout: Duration,
    /// Words that a package must contain; the providers of the first are asked.
    #[arg(value_name = "TERM", required_unless_present_any = ["category", "tag"])]
    pub terms: Vec<String>,
}

/// The settings of `get`.
#[derive(Args, Debug, Clone)]
pub struct GetArgs {
    /// Which network.
    #[command(flatten)]
    pub network: NetworkArgs,
    /// End after so long.
    #[arg(long, default_value = "10s", value_name = "TIME", value_parser = duration::parse)]
    pub timeout: Duration,
    /// The record's key, such as /dragnet/greeting.
    pub key: String,
}

/// The settings of `put`.
#[derive(Args, Debug, Clone)]
pub struct PutArgs {
    /// Which network.
    #[command(flatten)]
    pub network: NetworkArgs,
    /// The record's key, such as /dragnet/greeting.
    pub key: String,
    /// The record's value.
    pub value: String,
}

/// The settings of `providers`.
#[derive(Args, Debug, Clone)]
pub struct ProvidersArgs {
    /// Which network.
    #[command(flatten)]
    pub network: NetworkArgs,
    /// End after so many providers.
    #[arg(long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub limit: u16,
    /// End after so long.
    #[arg(long, default_value = "10s", value_name = "TIME", value_parser = duration::parse)]
    pub timeout: Duration,
    /// The key: a SHA-256 multihash in hexadecimal digits, 1220….
    #[arg(value_name = "MULTIHASH_HEX", required_unless_present = "term")]
    pub key: Option<String>,
    /// The key of this term instead, under which packages are published.
    #[arg(long, value_name = "TERM", conflicts_with = "key")]
    pub term: Option<String>,
}

/// The settings of `provide`.
#[derive(Args, Debug, Clone)]
pub struct ProvideArgs {
    /// Which network.
    #[command(flatten)]
    pub network: NetworkArgs,
    /// Where to listen; may be repeated.
    #[arg(long, default_value = "/ip4/0.0.0.0/tcp/0", value_name = "ADDR")]
    pub listen: Vec<String>,
    /// Answer searches from these packages.
    #[command(flatten)]
    pub shared: SharedArgs,
    /// The keys: SHA-256 multihashes in hexadecimal digits, 1220….
    #[arg(value_name = "MULTIHASH_HEX", required_unless_present = "term")]
    pub keys: Vec<String>,
    /// The key of this term, under which packages are published; may be repeated.
    #[arg(long, value_name = "TERM")]
    pub term: Vec<String>,
}
