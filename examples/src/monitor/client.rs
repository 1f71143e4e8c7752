//! Asking the monitor of a node for its status.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use http::header::HOST;
use http::{HeaderValue, Request, StatusCode};
use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1::{Builder, SendRequest};
use smol::net::TcpStream;
use smol::{Task, future};
use smol_hyper::rt::FuturesIo;

use super::LISTED_MAX;
use super::status::Status;

/// How long an answer may take, the connection included.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The longest answer, in bytes: ten times that of a node with a hundred queries and two hundred peers.
const BODY_BYTES_MAX: usize = 1 << 20;
/// The longest head of an answer, in bytes.
const HEAD_BYTES_MAX: usize = 16 << 10;

/// A node that is watched by way of its monitor. The connection is kept between two questions, and made
/// again when it is gone.
#[derive(Debug)]
pub struct Remote {
    address: SocketAddr,
    connection: Option<Connection>,
}

#[derive(Debug)]
struct Connection {
    sender: SendRequest<Empty<Bytes>>,
    /// Drives it as long as it is there.
    _driving: Task<()>,
}

/// Why a monitor has told nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RemoteError {
    /// Nobody is there.
    #[error("{address} cannot be reached: {source}; does a node run with --metrics {address}?")]
    Connect {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// It takes too long.
    #[error("{address} does not answer within {} s", TIMEOUT.as_secs())]
    Late {
        /// Where.
        address: SocketAddr,
    },
    /// It is no HTTP, or not all of it.
    #[error("{address} broke its answer off: {source}")]
    Http {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: hyper::Error,
    },
    /// It has more to say than any monitor.
    #[error("{address} answers with more than {BODY_BYTES_MAX} bytes: it is no monitor of a node")]
    Long {
        /// Where.
        address: SocketAddr,
    },
    /// It refuses.
    #[error("{address} answers {status}: {text}")]
    Refused {
        /// Where.
        address: SocketAddr,
        /// With which status.
        status: StatusCode,
        /// With which words.
        text: String,
    },
    /// It is something else.
    #[error("{address} answers something else than a status ({source}): it is no monitor of a node")]
    Status {
        /// Where.
        address: SocketAddr,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

impl Remote {
    /// The node whose monitor is there.
    pub const fn new(address: SocketAddr) -> Self {
        Self { address, connection: None }
    }

    /// Asks it what it is doing.
    ///
    /// # Errors
    ///
    /// When it cannot be reached, does not answer in time, or answers something else.
    pub async fn status(&mut self) -> Result<Status, RemoteError> {
        let address = self.address;
        let late = async {
            smol::Timer::after(TIMEOUT).await;
            Err(RemoteError::Late { address })
        };
        let was_connected = self.connection.is_some();
        let mut told = future::or(self.ask(), late).await;
        // The monitor may have closed an idle connection: that says nothing of it.
        if was_connected && matches!(told, Err(RemoteError::Http { .. })) {
            self.connection = None;
            let late = async {
                smol::Timer::after(TIMEOUT).await;
                Err(RemoteError::Late { address })
            };
            told = future::or(self.ask(), late).await;
        }
        if told.is_err() {
            self.connection = None;
        }
        told
    }

    async fn ask(&mut self) -> Result<Status, RemoteError> {
        let address = self.address;
        let http = |source| RemoteError::Http { address, source };
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => none.insert(connect(address).await?),
        };
        let mut request = Request::new(Empty::new());
        *request.uri_mut() = http::Uri::from_static("/status");
        // Without the zone of an address of one link: it is this host's own name for it.
        let named = SocketAddr::new(address.ip(), address.port());
        let host = HeaderValue::from_str(&named.to_string()).expect("digits and punctuation");
        request.headers_mut().insert(HOST, host);
        connection.sender.ready().await.map_err(http)?;
        let answer = connection.sender.send_request(request).await.map_err(http)?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), BODY_BYTES_MAX).collect().await;
        let body = body.map_err(|error| match error.downcast::<hyper::Error>() {
            Ok(source) => http(*source),
            Err(error) => {
                debug_assert!(error.is::<LengthLimitError>());
                RemoteError::Long { address }
            }
        })?;
        let body = body.to_bytes();
        if status != StatusCode::OK {
            return Err(RemoteError::Refused { address, status, text: words(&body) });
        }
        let told = serde_json::from_slice(&body);
        let mut status: Status = told.map_err(|source| RemoteError::Status { address, source })?;
        status.clean(LISTED_MAX);
        Ok(status)
    }
}

/// The beginning of a refusal, as a terminal may be shown it.
fn words(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(200)]);
    text.chars().filter(|character| !character.is_control()).collect()
}

async fn connect(address: SocketAddr) -> Result<Connection, RemoteError> {
    let stream = TcpStream::connect(address).await;
    let stream = stream.map_err(|source| RemoteError::Connect { address, source })?;
    let mut builder = Builder::new();
    builder.max_buf_size(HEAD_BYTES_MAX);
    let shaken = builder.handshake(FuturesIo::new(stream)).await;
    let (sender, driving) = shaken.map_err(|source| RemoteError::Http { address, source })?;
    // Whatever it ends with, the next request sees it.
    let driving = smol::spawn(async { drop(driving.await) });
    Ok(Connection { sender, _driving: driving })
}
