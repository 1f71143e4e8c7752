//! A node seen from outside: `GET /metrics` for Prometheus, `GET /status` for `marketplace top`.
//!
//! Whoever asks more often than an answer can change is given the last one, so that no number of askers
//! makes work for the node; and the node is never waited for without an end.

mod client;
mod status;

use std::convert::Infallible;
use std::future::Future;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use dragnet_core::front::DriverGone;
use dragnet_libp2p::Client;
use dragnet_libp2p::prometheus::Collector;
use http::header::{ALLOW, HOST, HeaderValue};
use http::uri::Authority;
use http::{HeaderMap, Method, Request, StatusCode};
use hyper::body::{Bytes, Incoming};
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use serde_json::json;
use smol::lock::Mutex;

pub use client::{Remote, RemoteError};
pub use status::{Counters, PeerLine, PeersStatus, QueryLine, Status, describe};

use crate::web::{self, Answer, Limits, ServerError, answer, json_answer};

/// What an exposition by OpenMetrics is called.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// How old an answer may be: as old as the snapshots that it is made of.
const FRESH: Duration = Duration::from_millis(100);
/// Queries that a status names, and peers of either kind.
const LISTED_MAX: usize = 100;

/// What strangers may take of a monitor: 16 connections, 5 s for the head of a request and 60 s for a
/// connection; and the node is waited for 5 s.
#[derive(Clone, Copy, Debug)]
pub struct MonitorLimits {
    /// Those of the server.
    pub web: Limits,
    /// How long the node may take to answer.
    pub node: Duration,
}

impl Default for MonitorLimits {
    fn default() -> Self {
        let head = Duration::from_secs(5);
        let web = Limits { connections: 16, head, connection: Duration::from_secs(60) };
        Self { web, node: Duration::from_secs(5) }
    }
}

/// A monitor that listens, and answers while it is [run](Self::run).
#[derive(Debug)]
pub struct Monitor {
    server: web::Server,
    limits: MonitorLimits,
}

impl Monitor {
    /// Listens there; port 0 takes a free one.
    ///
    /// # Errors
    ///
    /// When that cannot be done.
    pub async fn bind(address: SocketAddr, limits: MonitorLimits) -> Result<Self, ServerError> {
        Ok(Self { server: web::Server::bind(address, limits.web).await?, limits })
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Answers whoever comes what there is to tell of this client's node. Never ends; dropped, it takes its
    /// connections along.
    pub async fn run(self, client: Client) -> Infallible {
        let watched = Arc::new(Watched::new(client, self.limits.node));
        let answering = move |request: Request<Incoming>| {
            let watched = Arc::clone(&watched);
            async move { watched.answer(&request).await }
        };
        self.server.run(answering).await
    }
}

/// A node, and what was told of it last.
struct Watched {
    client: Client,
    registry: Registry,
    since: Instant,
    node_timeout: Duration,
    metrics: Kept,
    status: Kept,
}

/// Why there is no answer.
enum Refusal {
    Path,
    Method,
    Host,
    Gone,
    Late,
}

impl Watched {
    fn new(client: Client, node_timeout: Duration) -> Self {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Collector::new(client.clone())));
        let (metrics, status) = Default::default();
        Self { client, registry, since: Instant::now(), node_timeout, metrics, status }
    }

    async fn answer(&self, request: &Request<Incoming>) -> Answer {
        let method = request.method();
        let told = match request.uri().path() {
            "/" | "/metrics" | "/status" if !matches!(*method, Method::GET | Method::HEAD) => {
                Err(Refusal::Method)
            }
            "/status" if !is_called_by_address(request.headers()) => Err(Refusal::Host),
            "/" => {
                let text = "/metrics is for Prometheus, and /status for `marketplace top --metrics`\n";
                Ok(answer(StatusCode::OK, "text/plain; charset=utf-8", text))
            }
            "/metrics" => self.metrics().await.map(|body| answer(StatusCode::OK, OPENMETRICS, body)),
            "/status" => self.status().await.map(|body| json_answer(StatusCode::OK, body)),
            _ => Err(Refusal::Path),
        };
        told.unwrap_or_else(Answer::from)
    }

    /// Never waits for the node.
    async fn metrics(&self) -> Result<Bytes, Refusal> {
        let encoding = async {
            let mut text = String::new();
            encode(&mut text, &self.registry).expect("a string takes all");
            Ok(text.into())
        };
        self.metrics.fresh(encoding).await
    }

    async fn status(&self) -> Result<Bytes, Refusal> {
        let asking = async {
            let status = Status::of(&self.client, self.since.elapsed(), LISTED_MAX).await;
            let status = status.map_err(|DriverGone| Refusal::Gone)?;
            Ok(serde_json::to_vec(&status).expect("its keys are texts").into())
        };
        let late = async {
            smol::Timer::after(self.node_timeout).await;
            Err(Refusal::Late)
        };
        // Those who wait for one who asks have no longer to wait than he has.
        smol::future::or(self.status.fresh(asking), late).await
    }
}

/// Whether a request calls this host by an address or `localhost`, if by anything. A page of a browser here
/// that has its own name resolved to a near address calls it by that name.
fn is_called_by_address(headers: &HeaderMap) -> bool {
    headers.get_all(HOST).iter().all(|host| {
        let authority = Authority::try_from(host.as_bytes());
        authority.is_ok_and(|authority| {
            let host = authority.host();
            let v6 = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
            host.eq_ignore_ascii_case("localhost")
                || host.parse::<Ipv4Addr>().is_ok()
                || v6.is_some_and(|host| host.parse::<Ipv6Addr>().is_ok())
        })
    })
}

/// The last answer.
#[derive(Default)]
struct Kept(Mutex<Option<(Instant, Bytes)>>);

impl Kept {
    /// The last answer, or a new one if that is old. One asker makes it, and the others wait for it.
    async fn fresh(&self, making: impl Future<Output = Result<Bytes, Refusal>>) -> Result<Bytes, Refusal> {
        let mut kept = self.0.lock().await;
        if let Some((made, body)) = &*kept
            && made.elapsed() < FRESH
        {
            return Ok(body.clone());
        }
        let body = making.await?;
        *kept = Some((Instant::now(), body.clone()));
        Ok(body)
    }
}

impl From<Refusal> for Answer {
    fn from(refusal: Refusal) -> Self {
        let (status, text) = match refusal {
            Refusal::Path => (StatusCode::NOT_FOUND, "there are only /metrics and /status"),
            Refusal::Method => (StatusCode::METHOD_NOT_ALLOWED, "this is only to be read: GET it"),
            Refusal::Host => (
                StatusCode::MISDIRECTED_REQUEST,
                "the status is told to those who name this node by its address, or localhost",
            ),
            Refusal::Gone => (StatusCode::SERVICE_UNAVAILABLE, "the node has ended"),
            Refusal::Late => (StatusCode::SERVICE_UNAVAILABLE, "the node does not answer in time"),
        };
        let mut answer = json_answer(status, json!({ "error": text }).to_string());
        if matches!(refusal, Refusal::Method) {
            answer.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        }
        answer
    }
}
