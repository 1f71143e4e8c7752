//! The registry's HTTP server, on smol.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use dragnet_core::Key;
use http::header::{ALLOW, ETAG, HeaderValue, IF_NONE_MATCH, RETRY_AFTER};
use http::{HeaderMap, Method, Request, StatusCode};
use hyper::body::Incoming;
use serde_json::json;
use smol::lock::Semaphore;
use tracing::warn;
use url::form_urlencoded;

use super::RESULTS_MAX;
use super::store::{Store, StoreError};
use crate::package::Package;
use crate::question::Question;
use crate::web::{self, Answer, ServerError, json_answer};

/// Packages of an answer to a request that does not say.
const RESULTS: usize = 20;
/// What strangers may take of a registry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct ServerLimits {
    /// Connections at once; the next is accepted when one has ended. 256.
    pub connections: usize,
    /// How long the head of a request may take, the first one's and that of each further one. 10 s.
    pub head: Duration,
    /// How long a connection may take in all: whoever reads slowly gives his place up then. 60 s.
    pub connection: Duration,
    /// Searches at once, under way and waiting for the file; further ones are refused. 32.
    pub searches: usize,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            connections: 256,
            head: Duration::from_secs(10),
            connection: Duration::from_secs(60),
            searches: 32,
        }
    }
}

/// A registry that listens, and answers while it is [run](Self::run).
#[derive(Debug)]
pub struct Server {
    server: web::Server,
    registry: Arc<Registry>,
}

impl Server {
    /// Listens there; port 0 takes a free one.
    ///
    /// # Errors
    ///
    /// When that cannot be done.
    pub async fn bind(address: SocketAddr, store: Store, limits: ServerLimits) -> Result<Self, ServerError> {
        let ServerLimits { connections, head, connection, searches } = limits;
        let server = web::Server::bind(address, web::Limits { connections, head, connection }).await?;
        let registry = Registry { store: Arc::new(store), searches: Arc::new(Semaphore::new(searches)) };
        Ok(Self { server, registry: Arc::new(registry) })
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Answers whoever comes. Never ends; dropped, it takes its connections along.
    pub async fn run(self) -> Infallible {
        let registry = self.registry;
        let answering = move |request| {
            let registry = Arc::clone(&registry);
            async move { registry.answer(&request).await }
        };
        self.server.run(answering).await
    }
}

/// What connections share.
#[derive(Debug)]
struct Registry {
    store: Arc<Store>,
    searches: Arc<Semaphore>,
}

/// Why a request is not answered with packages, to be told as JSON.
enum Refusal {
    /// No such place.
    Path,
    /// Not GET.
    Method,
    /// No question.
    Question(String),
    /// Too many at once.
    Busy,
    /// The database.
    Store(StoreError),
}

/// What is asked, once it is known to be in bounds.
#[derive(Debug)]
struct Asked {
    question: Question,
    limit: usize,
}

impl Registry {
    async fn answer(&self, request: &Request<Incoming>) -> Answer {
        match self.search(request).await {
            Ok(packages) => found(&packages, request.headers()),
            Err(refusal) => refusal.into(),
        }
    }

    async fn search(&self, request: &Request<Incoming>) -> Result<Vec<Package>, Refusal> {
        if request.uri().path() != "/search" {
            return Err(Refusal::Path);
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return Err(Refusal::Method);
        }
        let Asked { question, limit } =
            read(request.uri().query().unwrap_or_default()).map_err(Refusal::Question)?;
        // Held by the search itself, which goes on when the asker is gone.
        let place = self.searches.try_acquire_arc().ok_or(Refusal::Busy)?;
        let store = Arc::clone(&self.store);
        let searching = smol::unblock(move || {
            let found = store.search(&question, limit);
            drop(place);
            found
        });
        searching.await.map_err(Refusal::Store)
    }
}

/// Reads the parameters. Those that are not known are passed over.
fn read(query: &str) -> Result<Asked, String> {
    let mut limit = RESULTS;
    let (mut words, mut category, mut tag) = (None, None, None);
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let place = match name.as_ref() {
            "q" => &mut words,
            "category" => &mut category,
            "tag" => &mut tag,
            "limit" => {
                limit = read_limit(&value)?;
                continue;
            }
            _ => continue,
        };
        if place.replace(value).is_some() {
            return Err(format!("the parameter `{name}` is there twice"));
        }
    }
    let words = words.as_deref().unwrap_or_default();
    let question = Question::new(&[words], category.as_deref(), tag.as_deref());
    Ok(Asked { question: question.map_err(|error| error.to_string())?, limit })
}

fn read_limit(text: &str) -> Result<usize, String> {
    let limit = text.parse().ok().filter(|limit| (1..=RESULTS_MAX).contains(limit));
    limit.ok_or_else(|| format!("the parameter `limit` must be a number from 1 to {RESULTS_MAX}"))
}

/// The answer, or that it has not changed for who has it already.
fn found(packages: &[Package], headers: &HeaderMap) -> Answer {
    let body = json!({ "packages": packages }).to_string();
    let tag = etag(body.as_bytes());
    let mut answer = if is_known(headers, &tag) {
        let mut unchanged = Answer::default();
        *unchanged.status_mut() = StatusCode::NOT_MODIFIED;
        unchanged
    } else {
        json_answer(StatusCode::OK, body)
    };
    answer.headers_mut().insert(ETAG, tag);
    answer
}

/// Half of the body's SHA-256: what has the same tag is the same.
fn etag(body: &[u8]) -> HeaderValue {
    let digest = hex::encode(&Key::of(body).as_bytes()[..16]);
    HeaderValue::from_str(&format!("\"{digest}\"")).expect("hexadecimal digits in quotes")
}

/// Whether one of the tags that the client has is this one (RFC 9110, 13.1.2).
fn is_known(headers: &HeaderMap, tag: &HeaderValue) -> bool {
    headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok()).any(|value| {
        let mut tags = value.split(',').map(str::trim);
        tags.any(|known| known == "*" || known.trim_start_matches("W/").as_bytes() == tag.as_bytes())
    })
}

impl From<Refusal> for Answer {
    fn from(refusal: Refusal) -> Self {
        let (status, text) = match &refusal {
            Refusal::Path => (StatusCode::NOT_FOUND, "there is only /search?q=TERM&limit=N".to_string()),
            Refusal::Method => (StatusCode::METHOD_NOT_ALLOWED, "a search is a GET".to_string()),
            Refusal::Question(text) => (StatusCode::BAD_REQUEST, text.clone()),
            Refusal::Busy => (StatusCode::SERVICE_UNAVAILABLE, "too many searches at once".to_string()),
            Refusal::Store(error) => {
                // Whose file it is, and where, is nobody's business but the operator's.
                warn!(%error, "a search failed");
                (StatusCode::SERVICE_UNAVAILABLE, what_fails(error).to_string())
            }
        };
        let mut answer = json_answer(status, json!({ "error": text }).to_string());
        let header = match refusal {
            Refusal::Method => Some((ALLOW, "GET, HEAD")),
            Refusal::Busy | Refusal::Store(_) => Some((RETRY_AFTER, "1")),
            Refusal::Path | Refusal::Question(_) => None,
        };
        if let Some((name, value)) = header {
            answer.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        answer
    }
}

const fn what_fails(error: &StoreError) -> &'static str {
    match error {
        StoreError::Locked { .. } => "the package database is locked",
        StoreError::Damaged { .. } => "the package database is damaged",
        _ => "the package database cannot be read",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read_in_bounds() {
        let asked = read("q=Async+io&limit=7&category=a%3A%3Ab&more=1").unwrap();
        assert_eq!((asked.limit, asked.question.terms().join(" ").as_str()), (7, "async io"));
        assert_eq!(asked.question.category(), Some("a::b"));
        assert_eq!(read("tag=x").unwrap().limit, RESULTS);
        for (query, part) in [
            ("", "nothing to search for"),
            ("q=%20", "nothing to search for"),
            ("q=a&q=b", "`q` is there twice"),
            ("q=a&limit=0", "from 1 to 100"),
            ("q=a&limit=101", "from 1 to 100"),
            ("q=a&limit=-1", "from 1 to 100"),
            ("q=a&limit=99999999999999999999", "from 1 to 100"),
        ] {
            let error = read(query).unwrap_err();
            assert!(error.contains(part), "{query}: {error}");
        }
        let long = format!("q={}", "x".repeat(129));
        assert!(read(&long).unwrap_err().contains("may have 128"));
        let many = format!("q={}", "x+".repeat(17));
        assert!(read(&many).unwrap_err().contains("may have 16"));
    }

    #[test]
    fn a_tag_is_known_among_several_weak_ones_too() {
        let tag = etag(b"body");
        let is_known = |value: &str| {
            let headers = [(IF_NONE_MATCH, HeaderValue::from_str(value).unwrap())].into_iter().collect();
            is_known(&headers, &tag)
        };
        let text = tag.to_str().unwrap();
        assert!(is_known(text) && is_known("*") && is_known(&format!("\"x\", W/{text}")));
        assert!(!is_known("\"x\"") && !is_known("") && !is_known(text.trim_matches('"')));
        assert_ne!(tag, etag(b"another"));
    }
}
