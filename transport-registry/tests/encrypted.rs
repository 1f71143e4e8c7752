//! Registries by https: who proves to be himself is asked, and nobody else.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use dragnet_core::Failure;
use dragnet_registry::rustls::crypto::ring;
use dragnet_registry::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use dragnet_registry::rustls::{ClientConfig, RootCertStore, ServerConfig};
use dragnet_registry::{Config, Error, Trust};
use futures_rustls::TlsAcceptor;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use support::{Asker, JSON, Server, Socket, failure_of, good, run, serve, serve_on};

/// Who signs certificates in these tests.
struct Authority {
    certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap().der().clone();
        Self { certificate, issuer: Issuer::new(params, key) }
    }

    /// What a registry needs that calls itself so.
    fn server(&self, name: &str) -> TlsAcceptor {
        let key = KeyPair::generate().unwrap();
        let certificate =
            CertificateParams::new([name.to_string()]).unwrap().signed_by(&key, &self.issuer).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }

    fn trusted(&self) -> Config {
        Config::default().with_trust(Trust::Only(vec![self.certificate.to_vec()]))
    }
}

/// A registry that answers by TLS.
async fn encrypted(acceptor: TlsAcceptor, status: &'static str, headers: String) -> Server {
    let wrap = move |socket: Box<dyn Socket>| {
        let acceptor = acceptor.clone();
        async move { Some(Box::new(acceptor.accept(socket).await.ok()?) as Box<dyn Socket>) }
    };
    serve_on("https", "localhost", wrap, move |mut talk| {
        let headers = headers.clone();
        async move {
            while talk.asked().await.is_some() && talk.answer(status, &headers, r#"{"words": ["one"]}"#).await
            {
            }
        }
    })
    .await
}

#[test]
fn a_registry_that_proves_to_be_itself_is_asked() {
    run(async {
        let authority = Authority::new();
        let server = encrypted(authority.server("localhost"), "200 OK", JSON.to_string()).await;
        let more = Config::default().with_trust(Trust::Public { and: vec![authority.certificate.to_vec()] });
        let mut roots = RootCertStore::empty();
        roots.add(authority.certificate.clone()).unwrap();
        let own = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let own = Config::default().with_trust(Trust::Rustls(Arc::new(own)));
        for config in [authority.trusted(), more, own] {
            let asker = Asker::new(config);
            for _ in 0..3 {
                assert_eq!(asker.ask(&server.url).await.words, ["one"]);
            }
            asker.stop().await;
        }
        assert_eq!(server.connections(), 3, "each asker kept its own");
    });
}

#[test]
fn a_certificate_of_another_host_is_refused() {
    run(async {
        let authority = Authority::new();
        let server = encrypted(authority.server("other.example"), "200 OK", JSON.to_string()).await;
        let error = failure_of(&server, authority.trusted()).await;
        assert!(matches!(error, Error::Certificate { .. }), "{error:?}");
        assert_eq!(error.failure(), Failure::Unreachable);
        let text = error.to_string();
        assert!(text.contains(server.url.as_str().trim_end_matches('/')), "{text}");
        assert!(text.contains("not valid for name \"localhost\""), "{text}");
    });
}

#[test]
fn a_certificate_that_nobody_vouches_for_is_refused() {
    run(async {
        let server = encrypted(Authority::new().server("localhost"), "200 OK", JSON.to_string()).await;
        for config in [Config::default(), Authority::new().trusted()] {
            let error = failure_of(&server, config).await;
            assert!(matches!(error, Error::Certificate { .. }), "{error:?}");
        }
    });
}

#[test]
fn no_redirect_leads_out_of_encryption() {
    run(async {
        let authority = Authority::new();
        let open = good().await;
        let server =
            encrypted(authority.server("localhost"), "302 Found", format!("location: {}\r\n", open.url))
                .await;
        let error = failure_of(&server, authority.trusted()).await;
        assert!(matches!(error, Error::Downgrade { .. }), "{error:?}");
        assert!(error.to_string().contains("not encrypted"), "{error}");
        assert_eq!((error.failure(), open.connections()), (Failure::Invalid, 0));
    });
}

#[test]
fn a_redirect_into_encryption_is_followed() {
    run(async {
        let authority = Authority::new();
        let target = encrypted(authority.server("localhost"), "200 OK", JSON.to_string()).await;
        let location: &'static str = format!("location: {}\r\n", target.url).leak();
        let server = support::always("308 Permanent", location, "").await;
        let asker = Asker::new(authority.trusted());
        assert_eq!(asker.ask(&server.url).await.words, ["one"]);
        asker.stop().await;
    });
}

#[test]
fn plain_http_where_tls_should_be_is_told() {
    run(async {
        let plain = serve_on(
            "https",
            "localhost",
            |socket| async { Some(socket) },
            |mut talk| async move {
                talk.send("HTTP/1.1 400 Bad Request\r\n\r\n").await;
                talk.closed().await;
            },
        )
        .await;
        let error = failure_of(&plain, Config::default()).await;
        assert!(matches!(error, Error::Tls { .. }), "{error:?}");
        assert_eq!(error.failure(), Failure::Unreachable);
    });
}

#[test]
fn a_handshake_that_does_not_come_ends_by_the_connect_timeout() {
    run(async {
        let silent = serve(|mut talk| async move { talk.closed().await }).await;
        let url = silent.url.as_str().replace("http://", "https://").parse().unwrap();
        let asker = Asker::new(Config::default().with_connect_timeout(Duration::from_millis(300)));
        let error = asker.failure(&url).await;
        assert!(matches!(error, Error::ConnectTimeout { .. }), "{error:?}");
        assert!(error.to_string().contains("300ms"), "{error}");
        assert_eq!(error.failure(), Failure::TimedOut);
        asker.stop().await;
    });
}
