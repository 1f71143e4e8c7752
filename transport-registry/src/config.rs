//! What can be set.

use std::sync::Arc;
use std::time::Duration;

use futures_rustls::pki_types::CertificateDer;
use futures_rustls::rustls::crypto::ring;
use futures_rustls::rustls::{ClientConfig, RootCertStore};

/// The settings of a [`RegistryTransport`](crate::RegistryTransport).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// How long a connection may take: the name, the dialling and the TLS handshake together. 5 s.
    pub connect_timeout: Duration,
    /// How long one answer may take from when its turn has come: connections, redirects and the last byte
    /// included. The engine's own timeouts and deadlines hold beside it. 10 s.
    pub request_timeout: Duration,
    /// Requests to one registry at once, each over a connection of its own; at least 1. The others wait. 4.
    pub connections_max: usize,
    /// Requests that may wait for their turn at one registry; one more fails as
    /// [`Error::Busy`](crate::Error::Busy). 64.
    pub waiting_max: usize,
    /// How long a connection is kept for another request. 15 s.
    pub idle_timeout: Duration,
    /// The longest body that is read, in bytes. 1 MiB.
    pub body_bytes_max: usize,
    /// Redirects that are followed for one request. 5.
    pub redirects_max: usize,
    /// Answers that are kept for when the registry says that nothing has changed; 0 for none. 128.
    pub cache_entries_max: usize,
    /// Bytes of such answers. 4 MiB.
    pub cache_bytes_max: usize,
    /// Registries whose counts and last errors are kept; those not asked for longest are forgotten. 256.
    pub registries_max: usize,
    /// Which certificates are believed.
    pub trust: Trust,
}

/// Which certificates of https registries are believed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Trust {
    /// Those that lead to Mozilla's root certificates (as of `webpki-roots`), or to one of these in DER.
    Public {
        /// Further root certificates.
        and: Vec<Vec<u8>>,
    },
    /// Only those that lead to one of these root certificates in DER.
    Only(Vec<Vec<u8>>),
    /// As a rustls configuration of your own says: one with the platform's verifier, or with a client
    /// certificate. It must not offer HTTP/2.
    Rustls(Arc<ClientConfig>),
}

/// Why settings are none.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// Bytes that are no certificate.
    #[error("the root certificate at index {index} cannot be used: {reason}")]
    Certificate {
        /// Which.
        index: usize,
        /// What rustls says.
        reason: String,
    },
    /// No encryption that both this program and rustls know.
    #[error("TLS cannot be set up: {reason}")]
    Tls {
        /// What rustls says.
        reason: String,
    },
}

impl Config {
    /// Sets [`connect_timeout`](Self::connect_timeout).
    #[must_use]
    pub const fn with_connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Sets [`request_timeout`](Self::request_timeout).
    #[must_use]
    pub const fn with_request_timeout(mut self, timeout: Duration) -> Self {
        self.request_timeout = timeout;
        self
    }

    /// Sets [`connections_max`](Self::connections_max).
    #[must_use]
    pub const fn with_connections_max(mut self, connections_max: usize) -> Self {
        self.connections_max = connections_max;
        self
    }

    /// Sets [`waiting_max`](Self::waiting_max).
    #[must_use]
    pub const fn with_waiting_max(mut self, waiting_max: usize) -> Self {
        self.waiting_max = waiting_max;
        self
    }

    /// Sets [`idle_timeout`](Self::idle_timeout).
    #[must_use]
    pub const fn with_idle_timeout(mut self, timeout: Duration) -> Self {
        self.idle_timeout = timeout;
        self
    }

    /// Sets [`body_bytes_max`](Self::body_bytes_max).
    #[must_use]
    pub const fn with_body_bytes_max(mut self, bytes: usize) -> Self {
        self.body_bytes_max = bytes;
        self
    }

    /// Sets [`redirects_max`](Self::redirects_max).
    #[must_use]
    pub const fn with_redirects_max(mut self, redirects_max: usize) -> Self {
        self.redirects_max = redirects_max;
        self
    }

    /// Sets [`cache_entries_max`](Self::cache_entries_max) and [`cache_bytes_max`](Self::cache_bytes_max).
    #[must_use]
    pub const fn with_cache(mut self, entries_max: usize, bytes_max: usize) -> Self {
        self.cache_entries_max = entries_max;
        self.cache_bytes_max = bytes_max;
        self
    }

    /// Sets [`registries_max`](Self::registries_max).
    #[must_use]
    pub const fn with_registries_max(mut self, registries_max: usize) -> Self {
        self.registries_max = registries_max;
        self
    }

    /// Sets [`trust`](Self::trust).
    #[must_use]
    pub fn with_trust(mut self, trust: Trust) -> Self {
        self.trust = trust;
        self
    }

    /// The TLS settings that follow from [`trust`](Self::trust).
    pub(crate) fn tls(&self) -> Result<Arc<ClientConfig>, ConfigError> {
        let (mut roots, extra) = match &self.trust {
            Trust::Rustls(config) => return Ok(Arc::clone(config)),
            Trust::Public { and } => (RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() }, and),
            Trust::Only(certificates) => (RootCertStore::empty(), certificates),
        };
        for (index, certificate) in extra.iter().enumerate() {
            roots
                .add(CertificateDer::from(certificate.clone()))
                .map_err(|error| ConfigError::Certificate { index, reason: error.to_string() })?;
        }
        // Named here, so that no default of the whole process is needed or touched.
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| ConfigError::Tls { reason: error.to_string() })?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(10),
            connections_max: 4,
            waiting_max: 64,
            idle_timeout: Duration::from_secs(15),
            body_bytes_max: 1 << 20,
            redirects_max: 5,
            cache_entries_max: 128,
            cache_bytes_max: 4 << 20,
            registries_max: 256,
            trust: Trust::Public { and: Vec::new() },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_no_certificate_are_named_by_their_place() {
        let config = Config::default().with_trust(Trust::Only(vec![b"no certificate".to_vec()]));
        assert!(matches!(config.tls(), Err(ConfigError::Certificate { index: 0, .. })));
        Config::default().tls().unwrap();
    }
}
