//! One GET: a connection, a request, redirects, an answer. Knows nothing of requests of the engine, nor of
//! what is in an answer.

mod cache;
mod connection;
mod pool;
mod redirect;

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use async_io::Timer;
use bytes::Bytes;
use futures::future::{Either, select};
use futures_rustls::TlsConnector;
use http::header::{
    ACCEPT, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, HOST, HeaderName, IF_NONE_MATCH, LOCATION,
    USER_AGENT,
};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::Empty;
use hyper::body::Incoming;
use url::{Position, Url};

use self::cache::{Cache, Kept};
use self::connection::{Connection, Unsent};
use self::pool::Pool;
use crate::config::{Config, ConfigError};
use crate::error::{Error, shown};
use crate::url::Origin;

/// The longest entity tag that is kept and sent back, in bytes.
const ETAG_BYTES_MAX: usize = 256;

/// What requests have in common: settings, connections and answers that are kept. Both are locked for
/// moments, and never across an await.
pub(crate) struct Http {
    config: Config,
    tls: TlsConnector,
    pool: Mutex<Pool>,
    cache: Mutex<Cache>,
}

/// A whole answer, which claims to be JSON.
pub(crate) struct Answer {
    /// Whence it came, after all redirects.
    pub(crate) url: Url,
    pub(crate) body: Bytes,
    /// Whether it was here already, and the registry said that nothing has changed.
    pub(crate) is_unchanged: bool,
}

/// What one request brought.
enum Step {
    Answer(Answer),
    Redirect(HeaderValue),
}

impl Http {
    pub(crate) fn new(config: Config) -> Result<Self, ConfigError> {
        let tls = TlsConnector::from(config.tls()?);
        let pool = Pool::new(config.connections_max, config.idle_timeout);
        let cache = Cache::new(config.cache_entries_max, config.cache_bytes_max);
        Ok(Self { config, tls, pool: Mutex::new(pool), cache: Mutex::new(cache) })
    }

    pub(crate) const fn config(&self) -> &Config {
        &self.config
    }

    /// Lets go of connections that have been idle for too long, and registers the waker for when the next
    /// one will be.
    pub(crate) fn poll_idle(&self, cx: &mut Context<'_>) {
        lock(&self.pool).poll_idle(cx);
    }

    /// The answer that a URL leads to. Dropping the future drops its connection.
    pub(crate) async fn get(self: Arc<Self>, url: Url) -> Result<Answer, Error> {
        let timeout = self.config.request_timeout;
        let late = || Error::Timeout { url: url.to_string(), timeout };
        within(timeout, self.follow(url.clone()), late).await
    }

    async fn follow(&self, start: Url) -> Result<Answer, Error> {
        let mut asked = vec![start];
        loop {
            let url = asked.last().expect("there is always the start");
            let location = match self.ask(url).await? {
                Step::Answer(answer) => return Ok(answer),
                Step::Redirect(location) => location,
            };
            let next = redirect::target(url, &location)?;
            if asked.contains(&next) {
                return Err(Error::RedirectLoop { url: next.into() });
            }
            if asked.len() > self.config.redirects_max {
                return Err(Error::Redirects { url: next.into(), max: self.config.redirects_max });
            }
            asked.push(next);
        }
    }

    /// One request and what comes back.
    async fn ask(&self, url: &Url) -> Result<Step, Error> {
        let unfit = |reason: String| Error::Url { url: shown(url.as_str()), reason };
        let origin = Origin::of(url).ok_or_else(|| unfit("neither http nor https".to_string()))?;
        let kept = lock(&self.cache).find(url);
        let request = request(url, kept.as_ref()).map_err(|error| unfit(error.to_string()))?;
        let (mut connection, response) = self.exchange(&origin, url, request).await?;
        let step = self.read(&mut connection, url, kept, response).await?;
        if connection.is_idle().await {
            lock(&self.pool).keep(origin, connection);
        }
        Ok(step)
    }

    /// Sends the request over a kept connection, or over a new one.
    async fn exchange(
        &self,
        origin: &Origin,
        url: &Url,
        request: Request<Empty<Bytes>>,
    ) -> Result<(Connection, Response<Incoming>), Error> {
        loop {
            let idle = lock(&self.pool).take(origin);
            let Some(mut connection) = idle else { break };
            match connection.send(url, request.clone()).await {
                Ok(response) => return Ok((connection, response)),
                // The registry had closed it, or was about to. GET may be asked again (RFC 9110, 9.2.2).
                Err(Unsent::Closed(_)) => {}
                Err(Unsent::Failed(error)) => return Err(error),
            }
        }
        let timeout = self.config.connect_timeout;
        let late = || Error::ConnectTimeout { origin: origin.to_string(), timeout };
        let connecting = Connection::open(origin, url, &self.tls, timeout);
        let mut connection = within(timeout, connecting, late).await?;
        let response = connection.send(url, request).await?;
        Ok((connection, response))
    }

    async fn read(
        &self,
        connection: &mut Connection,
        url: &Url,
        kept: Option<Kept>,
        response: Response<Incoming>,
    ) -> Result<Step, Error> {
        let status = response.status();
        if redirect::is_redirect(status)
            && let Some(location) = response.headers().get(LOCATION)
        {
            // Its body is of no use; the connection is kept only if there is none.
            return Ok(Step::Redirect(location.clone()));
        }
        let url = url.clone();
        if let (StatusCode::NOT_MODIFIED, Some(kept)) = (status, kept) {
            return Ok(Step::Answer(Answer { url, body: kept.body, is_unchanged: true }));
        }
        if status != StatusCode::OK {
            return Err(Error::Status { url: url.into(), status: status.as_u16() });
        }
        expect_json(&url, response.headers())?;
        let etag = worth_keeping(response.headers());
        let body = connection.read(&url, response.into_body(), self.config.body_bytes_max).await?;
        match etag {
            Some(etag) => lock(&self.cache).keep(&url, Kept { etag, body: body.clone() }),
            None => lock(&self.cache).forget(&url),
        }
        Ok(Step::Answer(Answer { url, body, is_unchanged: false }))
    }
}

fn request(url: &Url, kept: Option<&Kept>) -> http::Result<Request<Empty<Bytes>>> {
    let agent = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));
    let mut request = Request::get(&url[Position::BeforePath..Position::AfterQuery])
        .header(HOST, &url[Position::BeforeHost..Position::AfterPort])
        .header(ACCEPT, "application/json")
        .header(USER_AGENT, agent);
    if let Some(kept) = kept {
        request = request.header(IF_NONE_MATCH, &kept.etag);
    }
    request.body(Empty::new())
}

/// Refuses what is declared to be something else than plain JSON.
fn expect_json(url: &Url, headers: &HeaderMap) -> Result<(), Error> {
    let url = || url.to_string();
    let text = |name: HeaderName| {
        headers.get(name).map(|value| shown(&String::from_utf8_lossy(value.as_bytes()))).unwrap_or_default()
    };
    let found = text(CONTENT_TYPE);
    let essence = found.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    // And its kin, such as application/problem+json (RFC 6839).
    let is_json =
        essence == "application/json" || essence.starts_with("application/") && essence.ends_with("+json");
    if !is_json {
        return Err(Error::ContentType { url: url(), found });
    }
    let found = text(CONTENT_ENCODING);
    if !matches!(found.trim().to_ascii_lowercase().as_str(), "" | "identity") {
        return Err(Error::Encoding { url: url(), found });
    }
    Ok(())
}

/// The entity tag under which an answer may be kept.
fn worth_keeping(headers: &HeaderMap) -> Option<HeaderValue> {
    let is_secret = headers.get_all(CACHE_CONTROL).iter().any(|value| {
        let text = value.to_str().unwrap_or_default().to_ascii_lowercase();
        text.split(',').any(|directive| directive.trim() == "no-store")
    });
    let etag = headers.get(ETAG)?;
    (!is_secret && (1..=ETAG_BYTES_MAX).contains(&etag.len())).then(|| etag.clone())
}

/// What a future gives, or an error when it takes too long.
async fn within<T>(
    timeout: Duration,
    future: impl Future<Output = Result<T, Error>>,
    late: impl FnOnce() -> Error,
) -> Result<T, Error> {
    match select(pin!(future), Timer::after(timeout)).await {
        Either::Left((result, _)) => result,
        Either::Right(_) => Err(late()),
    }
}

/// Nothing under these locks panics halfway: what a panicking thread left is whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Polls something once and says whether it is ready.
async fn now<T>(mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> Option<T> {
    std::future::poll_fn(|cx| {
        Poll::Ready(match poll(cx) {
            Poll::Ready(value) => Some(value),
            Poll::Pending => None,
        })
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        lines
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn only_plain_json_is_read() {
        let url = Url::parse("http://a/").unwrap();
        let is_read = |lines: &[_]| expect_json(&url, &headers(lines)).is_ok();
        for kind in ["application/json", "Application/JSON; charset=utf-8", "application/problem+json"] {
            assert!(is_read(&[("content-type", kind)]), "{kind}");
        }
        for kind in ["text/html", "text/json", "application/jsonp", "", "image/x+json"] {
            assert!(!is_read(&[("content-type", kind)]), "{kind}");
        }
        assert!(!is_read(&[]));
        let json = ("content-type", "application/json");
        assert!(is_read(&[json, ("content-encoding", "identity")]));
        assert!(!is_read(&[json, ("content-encoding", "gzip")]));
    }

    #[test]
    fn what_must_not_be_stored_or_has_no_tag_is_not_kept() {
        let is_kept = |lines: &[_]| worth_keeping(&headers(lines)).is_some();
        assert!(is_kept(&[("etag", "\"1\"")]));
        assert!(is_kept(&[("etag", "W/\"1\""), ("cache-control", "no-cache, max-age=0")]));
        assert!(!is_kept(&[("etag", "\"1\""), ("cache-control", "private, No-Store")]));
        assert!(!is_kept(&[]) && !is_kept(&[("etag", "")]));
    }

    #[test]
    fn a_request_says_who_asks_whom_for_what() {
        let url = Url::parse("http://bücher.example:8080/api/search?q=%C3%A4%0D%0A#part").unwrap();
        let kept = Kept { etag: HeaderValue::from_static("\"7\""), body: Bytes::new() };
        let request = request(&url, Some(&kept)).unwrap();
        assert_eq!(request.uri(), "/api/search?q=%C3%A4%0D%0A");
        let header = |name: HeaderName| request.headers()[name].to_str().unwrap().to_string();
        assert_eq!(header(HOST), "xn--bcher-kva.example:8080");
        assert_eq!((header(ACCEPT).as_str(), header(IF_NONE_MATCH).as_str()), ("application/json", "\"7\""));
        assert!(header(USER_AGENT).starts_with("dragnet-registry/"));
    }
}
