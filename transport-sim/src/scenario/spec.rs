//! The tables of a scenario.

use std::path::PathBuf;
use std::time::Duration;

use dragnet_core::{Agreement, Caps, Delivery, EngineConfig, Query, QueryConfig, Route};
use serde::{Deserialize, Serialize};

use super::{ScenarioError, within};
use crate::config::{PEERS_MAX, SimConfig};
use crate::draw::Share;
use crate::latency::LatencyModel;
use crate::matrix::RttMatrix;
use crate::network::SimNet;
use crate::population::Staleness;
use crate::sessions::Sessions;

/// `[network]`: the peers.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkSpec {
    /// How many there are.
    pub peers: u32,
    /// The share that is dead, or away if there are sessions.
    #[serde(default)]
    pub dead: Share,
    /// How many entries of the routing tables are dead: `measured` or `uniform`.
    #[serde(default)]
    pub staleness: Staleness,
    /// The share of messages that get lost.
    #[serde(default)]
    pub loss: Share,
    /// Where latencies come from.
    #[serde(default)]
    pub latency: LatencySpec,
    /// How long peers stay; without, nobody comes or goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sessions: Option<SessionsSpec>,
}

/// `network.latency`: `"internet"`, `{ matrix = "file" }` or `{ fixed_ms = 100 }`.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LatencySpec {
    /// As measured between 222 sites.
    #[default]
    Internet,
    /// A file of round-trip times, relative to the scenario's.
    Matrix(PathBuf),
    /// Every round trip takes so many milliseconds.
    FixedMs(u32),
}

/// `[network.sessions]`: a Weibull distribution.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionsSpec {
    /// The shape, 0.1 to 10.
    pub shape: f64,
    /// The scale in seconds, 60 to 1 000 000.
    pub scale_s: u32,
}

/// `[workload]`: who asks what, and when.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Workload {
    /// What is asked.
    pub kind: WorkloadKind,
    /// How many queries there are, 1 to 10 000 000.
    pub lookups: u32,
    /// How many clients ask them, in turn; 1 to 100 000.
    pub clients: u32,
    /// Whether clients are bare engines or whole fronts.
    pub drive: ClientKind,
    /// Whether clients are peers too.
    pub clients_are_peers: bool,
    /// Queries start at times drawn from so many milliseconds.
    pub over_ms: u32,
    /// The share of the queries whose key has no data in the network.
    pub missing: Share,
    /// How many providers each term has.
    pub providers: u32,
    /// How many items each provider has of a term.
    pub items: u32,
}

/// `workload.kind`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WorkloadKind {
    /// A walk to the closest peers; found when it converges.
    Find,
    /// A walk to a record.
    Get,
    /// A walk to the providers of a term, and a fetch from each.
    #[default]
    Search,
    /// A fetch from providers that are known.
    Fetch,
}

/// `workload.drive`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClientKind {
    /// Bare engines.
    #[default]
    Engine,
    /// Client, handle and driver.
    Front,
}

/// `[query]`: what differs from the engine's own defaults.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct QuerySpec {
    /// The whole query's timeout.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// How long a contact holds its slot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub soft_timeout_ms: Option<u64>,
    /// When a contact is given up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_timeout_ms: Option<u64>,
    /// Whether it follows the response times that are known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adaptive_timeout: Option<bool>,
    /// Contacts that a lane keeps in flight.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fan_out: Option<usize>,
    /// Whether they rise with the share of contacts that are overdue.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adaptive_fan_out: Option<bool>,
    /// Overdue contacts that a lane may have outstanding.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hedges_max: Option<usize>,
    /// Items that end a query.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_results: Option<usize>,
    /// How many of the closest must answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub closest: Option<usize>,
    /// When an item is delivered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivery: Option<DeliveryName>,
    /// How many peers, or routes, must give it: of `delivery = "quorum"`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quorum: Option<usize>,
    /// How many disjoint walks go to the key; without, one walk goes alone. 1 to 16.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub routes: Option<usize>,
    /// How many of these must agree: of `routes`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agreement: Option<AgreementName>,
}

/// `query.delivery`: as [`Delivery`], without figures.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "each is the delivery of its name")]
pub enum DeliveryName {
    Immediate,
    Quorum,
    BestAtEnd,
}

/// `query.agreement`: as [`Agreement`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "each is the agreement of its name")]
pub enum AgreementName {
    One,
    Majority,
    All,
}

/// `[engine]`: what differs from the engine's own defaults.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EngineSpec {
    /// Contacts in flight to one peer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contacts_per_peer: Option<usize>,
    /// Peers remembered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peers_max: Option<usize>,
    /// Candidates kept per route.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub candidates_max: Option<usize>,
}

/// `[expect]`: what is promised of the run as a whole.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Expect {
    /// At least this share of the queries finds what it looks for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub found_share: Option<Share>,
    /// Half of the queries take no longer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p50_ms: Option<u64>,
    /// All but a twentieth take no longer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p95_ms: Option<u64>,
}

impl NetworkSpec {
    pub(super) fn check(&self) -> Result<(), ScenarioError> {
        within("network.peers", &self.peers, 1, PEERS_MAX)?;
        if let LatencySpec::FixedMs(ms) = &self.latency {
            within("network.latency.fixed_ms", ms, 1, 600_000)?;
        }
        if let Some(sessions) = &self.sessions {
            within("network.sessions.shape", &sessions.shape, 0.1, 10.0)?;
            within("network.sessions.scale_s", &sessions.scale_s, 60, 1_000_000)?;
        }
        Ok(())
    }

    /// The settings of the network; reads the matrix, if there is one.
    pub(crate) fn config(&self, seed: u64, trace: bool) -> Result<SimConfig, ScenarioError> {
        let latency = match &self.latency {
            LatencySpec::Internet => LatencyModel::Internet,
            LatencySpec::FixedMs(ms) => LatencyModel::Fixed(Duration::from_millis(u64::from(*ms))),
            LatencySpec::Matrix(path) => LatencyModel::Matrix(
                RttMatrix::read(path).map_err(|why| ScenarioError::Matrix { path: path.clone(), why })?,
            ),
        };
        let mut config = SimConfig::new(self.peers)
            .with_seed(seed)
            .with_dead(self.dead)
            .with_staleness(self.staleness)
            .with_loss(self.loss)
            .with_latency(latency);
        if let Some(sessions) = self.sessions {
            let shape_milli = (sessions.shape * 1000.0 + 0.5) as u32;
            config = config.with_sessions(Sessions { shape_milli, scale_s: sessions.scale_s });
        }
        Ok(if trace { config.with_trace() } else { config })
    }
}

impl Default for Workload {
    fn default() -> Self {
        Self {
            kind: WorkloadKind::default(),
            lookups: 1_000,
            clients: 10,
            drive: ClientKind::default(),
            clients_are_peers: false,
            over_ms: 10_000,
            missing: Share::NONE,
            providers: 3,
            items: 1,
        }
    }
}

impl Workload {
    pub(super) fn check(&self, peers: u32) -> Result<(), ScenarioError> {
        within("workload.lookups", &self.lookups, 1, 10_000_000)?;
        within("workload.clients", &self.clients, 1, 100_000)?;
        if self.clients_are_peers {
            within("workload.clients (that are peers)", &self.clients, 1, peers)?;
        }
        within("workload.over_ms", &self.over_ms, 0, 86_400_000)?;
        within("workload.providers", &self.providers, 1, 1_000.min(peers))?;
        within("workload.items", &self.items, 1, 1_000)
    }
}

impl QuerySpec {
    pub(super) fn check(&self) -> Result<(), ScenarioError> {
        let ms = [
            ("query.timeout_ms", self.timeout_ms),
            ("query.soft_timeout_ms", self.soft_timeout_ms),
            ("query.request_timeout_ms", self.request_timeout_ms),
        ];
        for (key, value) in ms {
            within(key, &value.unwrap_or(1), 1, 86_400_000)?;
        }
        within("query.fan_out", &self.fan_out.unwrap_or(1), 1, 1_000)?;
        within("query.hedges_max", &self.hedges_max.unwrap_or(0), 0, 1_000)?;
        within("query.max_results", &self.max_results.unwrap_or(1), 1, 1_024)?;
        within("query.closest", &self.closest.unwrap_or(1), 1, 1_000)?;
        within("query.quorum", &self.quorum.unwrap_or(1), 1, 1_000)?;
        within("query.routes", &self.routes.unwrap_or(1), 1, Caps::default().routes_max)?;
        let is_quorum = self.delivery == Some(DeliveryName::Quorum);
        let misfits = [
            ("query.quorum", is_quorum != self.quorum.is_some(), "given where query.delivery is quorum"),
            (
                "query.agreement",
                self.agreement.is_some() && self.routes.is_none(),
                "given where query.routes is",
            ),
        ];
        for (key, is_misfit, expected) in misfits {
            if is_misfit {
                let value = if key == "query.quorum" && is_quorum { "missing" } else { "given" };
                let expected = format!("{expected}, and only there");
                return Err(ScenarioError::Value { key: key.to_owned(), value: value.to_owned(), expected });
            }
        }
        Ok(())
    }

    /// A query with these settings, its walk replaced by disjoint ones if there are to be some.
    pub fn apply(&self, mut query: Query<SimNet>) -> Query<SimNet> {
        query.config = self.config();
        let (Some(routes), Some(Route::Walk { target, .. })) = (self.routes, query.routes.first()) else {
            return query;
        };
        let target = *target;
        query.routes.clear();
        query.disjoint(target, routes).agreement(match self.agreement {
            None | Some(AgreementName::One) => Agreement::One,
            Some(AgreementName::Majority) => Agreement::Majority,
            Some(AgreementName::All) => Agreement::All,
        })
    }

    /// The settings of each query.
    pub fn config(&self) -> QueryConfig {
        let mut config = QueryConfig::balanced();
        let set = |value: Option<u64>, to: &mut Duration| {
            *to = value.map_or(*to, Duration::from_millis);
        };
        set(self.timeout_ms, &mut config.timeout);
        set(self.soft_timeout_ms, &mut config.soft_timeout);
        set(self.request_timeout_ms, &mut config.request_timeout);
        config.adaptive_timeout = self.adaptive_timeout.unwrap_or(config.adaptive_timeout);
        config.fan_out = self.fan_out.unwrap_or(config.fan_out);
        config.adaptive_fan_out = self.adaptive_fan_out.unwrap_or(config.adaptive_fan_out);
        config.hedges_max = self.hedges_max.unwrap_or(config.hedges_max);
        config.max_results = self.max_results.unwrap_or(config.max_results);
        config.closest = self.closest.unwrap_or(config.closest);
        config.delivery = match (self.delivery, self.quorum) {
            (Some(DeliveryName::BestAtEnd), _) => Delivery::BestAtEnd,
            (_, Some(votes)) => Delivery::Quorum(votes),
            _ => Delivery::Immediate,
        };
        config
    }
}

impl EngineSpec {
    pub(super) fn check(&self) -> Result<(), ScenarioError> {
        within("engine.contacts_per_peer", &self.contacts_per_peer.unwrap_or(1), 1, 100_000)?;
        within("engine.peers_max", &self.peers_max.unwrap_or(1_000), 100, 1 << 24)?;
        within("engine.candidates_max", &self.candidates_max.unwrap_or(256), 20, 10_000)
    }

    /// The settings of each engine.
    pub fn config(&self) -> EngineConfig {
        let caps = Caps::default();
        EngineConfig::default().with_caps(Caps {
            contacts_per_peer: self.contacts_per_peer.unwrap_or(caps.contacts_per_peer),
            peers_max: self.peers_max.unwrap_or(caps.peers_max),
            candidates_max: self.candidates_max.unwrap_or(caps.candidates_max),
            ..caps
        })
    }
}
