//! What a simulated network is like.

use crate::draw::Share;
use crate::latency::LatencyModel;
use crate::population::Staleness;
use crate::sessions::Sessions;

/// The most peers that a network may have: 2^24, a few hundred megabytes.
pub const PEERS_MAX: u32 = 1 << 24;

/// The settings of a simulated network. With the same settings and seed, the same happens.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SimConfig {
    /// How many peers there are, 1 to [`PEERS_MAX`].
    pub peers: u32,
    /// What everything is drawn from. 1.
    pub seed: u64,
    /// The share of the peers that is dead (silent), or away at any moment if there are sessions. None.
    pub dead: Share,
    /// How many of the routing tables' entries are dead.
    pub staleness: Staleness,
    /// How long peers stay; without, nobody comes or goes.
    pub sessions: Option<Sessions>,
    /// The share of messages that get lost, requests and replies alike. None.
    pub loss: Share,
    /// How long messages take.
    pub latency: LatencyModel,
    /// Whether every contact is kept for a picture of it: about 100 bytes each. No.
    pub trace: bool,
}

impl SimConfig {
    /// A network of so many peers, all of them alive, with the internet's latencies.
    pub fn new(peers: u32) -> Self {
        Self {
            peers,
            seed: 1,
            dead: Share::NONE,
            staleness: Staleness::default(),
            sessions: None,
            loss: Share::NONE,
            latency: LatencyModel::default(),
            trace: false,
        }
    }

    /// Sets the seed.
    #[must_use]
    pub const fn with_seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Sets the share of dead peers.
    #[must_use]
    pub const fn with_dead(mut self, dead: Share) -> Self {
        self.dead = dead;
        self
    }

    /// Sets how stale the routing tables are.
    #[must_use]
    pub const fn with_staleness(mut self, staleness: Staleness) -> Self {
        self.staleness = staleness;
        self
    }

    /// Lets peers come and go.
    #[must_use]
    pub const fn with_sessions(mut self, sessions: Sessions) -> Self {
        self.sessions = Some(sessions);
        self
    }

    /// Sets the share of lost messages.
    #[must_use]
    pub const fn with_loss(mut self, loss: Share) -> Self {
        self.loss = loss;
        self
    }

    /// Sets where latencies come from.
    #[must_use]
    pub fn with_latency(mut self, latency: LatencyModel) -> Self {
        self.latency = latency;
        self
    }

    /// Keeps every contact.
    #[must_use]
    pub const fn with_trace(mut self) -> Self {
        self.trace = true;
        self
    }

    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        if self.peers == 0 || self.peers > PEERS_MAX {
            return Err(ConfigError::Peers { value: self.peers });
        }
        match self.sessions {
            Some(Sessions { shape_milli, .. }) if !(100..=10_000).contains(&shape_milli) => {
                Err(ConfigError::Sessions { what: "shape_milli", value: shape_milli, min: 100, max: 10_000 })
            }
            Some(Sessions { scale_s, .. }) if !(60..=1_000_000).contains(&scale_s) => {
                Err(ConfigError::Sessions { what: "scale_s", value: scale_s, min: 60, max: 1_000_000 })
            }
            _ => Ok(()),
        }
    }
}

/// Why there can be no such network.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// There are no peers, or too many.
    #[error("peers is {value}, and must be from 1 to {PEERS_MAX}")]
    Peers {
        /// How many were wanted.
        value: u32,
    },
    /// Sessions are out of their range.
    #[error("sessions: {what} is {value}, and must be from {min} to {max}")]
    Sessions {
        /// Which setting.
        what: &'static str,
        /// Its value.
        value: u32,
        /// The least it may be.
        min: u32,
        /// The most it may be.
        max: u32,
    },
}
