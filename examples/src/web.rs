//! An HTTP/1.1 server on smol: what the program's servers share.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use smol::lock::Semaphore;
use smol::net::{TcpListener, TcpStream};
use smol_hyper::rt::{FuturesIo, SmolTimer};
use tracing::{debug, warn};

/// The longest head of a request, in bytes. A question of a registry's has at most 2 kB, which may be
/// percent-encoded.
const HEAD_BYTES_MAX: usize = 16 << 10;
/// The most header lines of a request.
const HEADERS_MAX: usize = 64;
/// A pause after an error of the listener: most often there is no descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// An answer.
pub type Answer = Response<Full<Bytes>>;

/// What strangers may take of a server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Connections at once; the next is accepted when one has ended.
    pub connections: usize,
    /// How long the head of a request may take, the first one's and that of each further one.
    pub head: Duration,
    /// How long a connection may take in all: whoever reads or writes slowly gives his place up then.
    pub connection: Duration,
}

/// A server that listens, and answers while it is [run](Self::run).
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    limits: Limits,
}

/// Why a server does not listen.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// Somebody else does.
    #[error(
        "cannot listen on {address}: the port is taken; end the other program, or take port 0 for a free one"
    )]
    Taken {
        /// Where.
        address: SocketAddr,
    },
    /// It cannot be done.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
}

impl Server {
    /// Listens there; port 0 takes a free one.
    ///
    /// # Errors
    ///
    /// When that cannot be done.
    pub async fn bind(address: SocketAddr, limits: Limits) -> Result<Self, ServerError> {
        let error = |source: io::Error| match source.kind() {
            io::ErrorKind::AddrInUse => ServerError::Taken { address },
            _ => ServerError::Listen { address, source },
        };
        let listener = TcpListener::bind(address).await.map_err(error)?;
        let address = listener.local_addr().map_err(error)?;
        Ok(Self { listener, address, limits })
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers whoever comes. Never ends; dropped, it takes its connections along.
    pub async fn run<F>(
        self,
        answer: impl Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
    ) -> Infallible
    where
        F: Future<Output = Answer> + Send + 'static,
    {
        let connections = Arc::new(Semaphore::new(self.limits.connections));
        // Its tasks end with it.
        let executor = smol::Executor::new();
        let accepting = async {
            loop {
                let place = connections.acquire_arc().await;
                match self.listener.accept().await {
                    Ok((stream, peer)) => {
                        let (answer, limits) = (answer.clone(), self.limits);
                        let talking = async move {
                            if let Err(error) = converse(stream, answer, limits).await {
                                debug!(%peer, %error, "a connection ended badly");
                            }
                            drop(place);
                        };
                        executor.spawn(talking).detach();
                    }
                    Err(error) => {
                        warn!(%error, "no connection could be accepted");
                        smol::Timer::after(ACCEPT_PAUSE).await;
                    }
                }
            }
        };
        executor.run(accepting).await
    }
}

/// Answers one connection until it ends, or its time is up.
async fn converse<F: Future<Output = Answer>>(
    stream: TcpStream,
    answer: impl Fn(Request<Incoming>) -> F,
    limits: Limits,
) -> hyper::Result<()> {
    let answering = service_fn(|request: Request<Incoming>| {
        let answer = answer(request);
        async { Ok::<_, Infallible>(answer.await) }
    });
    let talking = http1::Builder::new()
        .timer(SmolTimer::new())
        .header_read_timeout(limits.head)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .serve_connection(FuturesIo::new(stream), answering);
    let late = async {
        smol::Timer::after(limits.connection).await;
        Ok(())
    };
    smol::future::or(talking, late).await
}

/// An answer of this type.
pub fn answer(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}

/// An answer in JSON.
pub fn json_answer(status: StatusCode, body: impl Into<Bytes>) -> Answer {
    answer(status, "application/json", body)
}
