//! One connection: dialled, encrypted if it should be, and good for one request at a time.
//!
//! It is driven by whoever uses it and by nobody else: there is no task behind it, and dropping it closes
//! the socket.

use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::time::Duration;

use async_net::TcpStream;
use bytes::{Bytes, BytesMut};
use futures::{AsyncRead, AsyncWrite};
use futures_rustls::TlsConnector;
use futures_rustls::pki_types::ServerName;
use futures_rustls::rustls;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use smol_hyper::rt::FuturesIo;
use url::{Host, Url};

use super::{now, within};
use crate::error::{Error, shown};
use crate::url::Origin;

/// The longest head of a response, in bytes; also the most of a body that is buffered unread.
const HEAD_BYTES_MAX: usize = 32 << 10;
/// The most header lines of a response.
const HEADERS_MAX: usize = 64;
/// The most addresses of one name that are tried.
const ADDRESSES_MAX: usize = 4;
/// What POSIX calls EMFILE and ENFILE: no descriptor is left to the process, or to the system.
const NO_DESCRIPTOR: [i32; 2] = [24, 23];

trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Socket for T {}

type Wire = http1::Connection<FuturesIo<Box<dyn Socket>>, Empty<Bytes>>;

pub(super) struct Connection {
    sender: SendRequest<Empty<Bytes>>,
    /// Reads and writes when polled; `None` once the connection has ended.
    wire: Option<Wire>,
}

/// Why a request brought no response.
pub(super) enum Unsent {
    /// The connection closed before any of it came.
    Closed(Error),
    /// Something else.
    Failed(Error),
}

impl From<Unsent> for Error {
    fn from(unsent: Unsent) -> Self {
        match unsent {
            Unsent::Closed(error) | Unsent::Failed(error) => error,
        }
    }
}

impl Connection {
    /// A connection to there; `timeout` is what the caller grants for it.
    pub(super) async fn open(
        origin: &Origin,
        url: &Url,
        tls: &TlsConnector,
        timeout: Duration,
    ) -> Result<Self, Error> {
        let tcp = dial(origin, timeout).await?;
        let socket: Box<dyn Socket> =
            if origin.is_encrypted { Box::new(encrypt(origin, tcp, tls).await?) } else { Box::new(tcp) };
        let (sender, wire) = http1::Builder::new()
            .max_buf_size(HEAD_BYTES_MAX)
            .max_headers(HEADERS_MAX)
            .handshake(FuturesIo::new(socket))
            .await
            .map_err(|error| broken(url, &error))?;
        Ok(Self { sender, wire: Some(wire) })
    }

    /// Sends a request and waits for the head of its response.
    pub(super) async fn send(
        &mut self,
        url: &Url,
        request: Request<Empty<Bytes>>,
    ) -> Result<Response<Incoming>, Unsent> {
        let response = self.sender.send_request(request);
        beside(&mut self.wire, response).await.map_err(|error| {
            let told = broken(url, &error);
            if matches!(told, Error::Closed { .. }) { Unsent::Closed(told) } else { Unsent::Failed(told) }
        })
    }

    /// Reads a body to its end, or to so many bytes.
    pub(super) async fn read(&mut self, url: &Url, mut body: Incoming, max: usize) -> Result<Bytes, Error> {
        let too_large = || Error::TooLarge { url: url.to_string(), max };
        if body.size_hint().lower() > max as u64 {
            return Err(too_large());
        }
        let mut bytes = BytesMut::new();
        while let Some(frame) = beside(&mut self.wire, body.frame()).await {
            let frame = frame.map_err(|error| broken(url, &error))?;
            // What is no data is a trailer, and of no interest.
            let Ok(data) = frame.into_data() else { continue };
            if data.len() > max - bytes.len() {
                return Err(too_large());
            }
            bytes.extend_from_slice(&data);
        }
        Ok(bytes.freeze())
    }

    /// Whether the last response has been read to its end and the registry lets the connection stand.
    pub(super) async fn is_idle(&mut self) -> bool {
        let Some(wire) = &mut self.wire else { return false };
        // That the body is over shows at the next poll.
        now(|cx| Pin::new(&mut *wire).poll(cx)).await.is_none() && self.sender.is_ready()
    }
}

/// Polls a future of hyper's together with the connection without which it does not get on.
async fn beside<F: Future>(wire: &mut Option<Wire>, future: F) -> F::Output {
    let mut future = pin!(future);
    poll_fn(|cx| {
        if let Some(running) = wire
            && Pin::new(running).poll(cx).is_ready()
        {
            // Whoever still waits for something is told by the drop. What went wrong, he is told too.
            *wire = None;
        }
        future.as_mut().poll(cx)
    })
    .await
}

async fn dial(origin: &Origin, timeout: Duration) -> Result<TcpStream, Error> {
    let addresses = match &origin.host {
        Host::Ipv4(ip) => vec![SocketAddr::from((*ip, origin.port))],
        Host::Ipv6(ip) => vec![SocketAddr::from((*ip, origin.port))],
        Host::Domain(name) => resolve(origin, name).await?,
    };
    // One that swallows packets must leave time for the others.
    let share = timeout / u32::try_from(addresses.len().max(1)).unwrap_or(u32::MAX);
    let mut last = None;
    for address in addresses {
        let late = || Error::ConnectTimeout { origin: origin.to_string(), timeout: share };
        let connecting =
            async { TcpStream::connect(address).await.map_err(|error| unconnected(origin, &error)) };
        match within(share, connecting, late).await {
            Ok(tcp) => {
                // Without it a small request may wait for the answer to one before. Not vital.
                let _ = tcp.set_nodelay(true);
                return Ok(tcp);
            }
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| Error::Name {
        origin: origin.to_string(),
        reason: "it has no address".to_string(),
    }))
}

async fn resolve(origin: &Origin, name: &str) -> Result<Vec<SocketAddr>, Error> {
    let mut addresses = async_net::resolve((name, origin.port))
        .await
        .map_err(|error| Error::Name { origin: origin.to_string(), reason: shown(&error.to_string()) })?;
    addresses.truncate(ADDRESSES_MAX);
    Ok(addresses)
}

fn unconnected(origin: &Origin, error: &io::Error) -> Error {
    let (origin, reason) = (origin.to_string(), shown(&error.to_string()));
    let is_local = error.raw_os_error().is_some_and(|code| NO_DESCRIPTOR.contains(&code))
        || matches!(error.kind(), io::ErrorKind::OutOfMemory | io::ErrorKind::AddrNotAvailable);
    if is_local { Error::Local { origin, reason } } else { Error::Connect { origin, reason } }
}

async fn encrypt(origin: &Origin, tcp: TcpStream, tls: &TlsConnector) -> Result<impl Socket + use<>, Error> {
    let name = match &origin.host {
        Host::Ipv4(ip) => ServerName::from(*ip),
        Host::Ipv6(ip) => ServerName::from(*ip),
        Host::Domain(name) => ServerName::try_from(name.clone())
            .map_err(|error| Error::Name { origin: origin.to_string(), reason: error.to_string() })?,
    };
    tls.connect(name, tcp).await.map_err(|error| {
        let (origin, reason) = (origin.to_string(), shown(&error.to_string()));
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        if matches!(inner, Some(rustls::Error::InvalidCertificate(_))) {
            Error::Certificate { origin, reason }
        } else {
            Error::Tls { origin, reason }
        }
    })
}

/// What hyper says, as we say it.
fn broken(url: &Url, error: &hyper::Error) -> Error {
    let url = url.to_string();
    let source = std::error::Error::source(error);
    let reason = shown(&source.map_or_else(|| error.to_string(), |source| format!("{error}: {source}")));
    // How hyper reports a body whose chunks are none.
    let kind = source.and_then(|source| source.downcast_ref::<io::Error>()).map(io::Error::kind);
    let is_garbled = matches!(kind, Some(io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData));
    if error.is_parse() || is_garbled { Error::Http { url, reason } } else { Error::Closed { url, reason } }
}

#[cfg(test)]
mod tests {
    use std::task::Poll;

    use super::*;

    #[test]
    fn what_this_system_lacks_is_not_the_registrys_fault() {
        let origin = Origin::of(&Url::parse("http://a/").unwrap()).unwrap();
        let of = |error: io::Error| unconnected(&origin, &error).failure();
        assert_eq!(of(io::Error::from_raw_os_error(24)), dragnet_core::Failure::Local);
        assert_eq!(of(io::ErrorKind::ConnectionRefused.into()), dragnet_core::Failure::Unreachable);
    }

    #[test]
    fn once_is_once() {
        assert_eq!(smol::block_on(now(|_| Poll::Ready(1))), Some(1));
        assert_eq!(smol::block_on(now(|_| Poll::<u8>::Pending)), None);
    }
}
