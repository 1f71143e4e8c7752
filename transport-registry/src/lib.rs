//! Centralised registries as peers: a [`Transport`](dragnet_core::front::Transport) over HTTP, on smol's
//! reactor, without a runtime and without a task of its own.
//!
//! A peer is a [`RegistryUrl`], a contact is one GET of its search endpoint, and what the endpoint is
//! called, what it is asked and how its JSON reads is said by an [`Api`] of yours:
//!
//! ```
//! use dragnet_core::front::{self, SystemClock};
//! use dragnet_core::{Invalid, Item, Query};
//! use dragnet_registry::{Api, Config, RegistryTransport, RegistryUrl};
//! use serde::Deserialize;
//! use url::Url;
//!
//! /// `GET /search?q=TERM` answers `{"titles": ["...", ...]}`.
//! struct Library;
//!
//! #[derive(Clone, PartialEq, Debug)]
//! struct Title(String);
//!
//! impl Item for Title {
//!     type Id = String;
//!     fn id(&self) -> String {
//!         self.0.clone()
//!     }
//! }
//!
//! #[derive(Deserialize)]
//! struct Found {
//!     titles: Vec<String>,
//! }
//!
//! impl Api for Library {
//!     type Request = String;
//!     type Item = Title;
//!     type Body = Found;
//!
//!     fn url(&self, registry: &RegistryUrl, term: &String) -> Url {
//!         registry.endpoint("search", [("q", term.as_str())])
//!     }
//!
//!     fn items(&self, _term: &String, found: Found) -> Vec<Result<Title, Invalid>> {
//!         let title = |text: String| match text.as_str() {
//!             "" => Err(Invalid::new("a book without a title")),
//!             _ => Ok(Title(text)),
//!         };
//!         found.titles.into_iter().map(title).collect()
//!     }
//! }
//!
//! # fn serve() -> std::io::Result<String> {
//! #     use std::io::{BufRead, BufReader, Write};
//! #     let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
//! #     let url = format!("http://{}/", listener.local_addr()?);
//! #     std::thread::spawn(move || {
//! #         let (stream, _) = listener.accept().unwrap();
//! #         let mut lines = BufReader::new(&stream).lines().map(Result::unwrap);
//! #         assert_eq!(lines.next().unwrap(), "GET /search?q=whales HTTP/1.1");
//! #         lines.find(String::is_empty);
//! #         let body = r#"{"titles": ["Moby-Dick", ""]}"#;
//! #         let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length";
//! #         write!(&stream, "{head}: {}\r\n\r\n{body}", body.len()).unwrap();
//! #     });
//! #     Ok(url)
//! # }
//! # let url = serve()?;
//! let transport = RegistryTransport::new(Library, Config::default())?;
//! let health = transport.health();
//! let local: RegistryUrl = "http://localhost/".parse()?;
//! let (client, driver) = front::new(transport, SystemClock::new(), local, [7; 32]);
//!
//! let registry: RegistryUrl = url.parse()?; // such as "https://registry.example.org/"
//! let asked = registry.clone();
//! let search = async move {
//!     let query = Query::new("whales".to_string()).fetch_from([asked]);
//!     Ok::<_, Box<dyn std::error::Error>>(client.query(query)?.collect().await?)
//! };
//! let ((), result) = smol::block_on(smol::future::zip(driver, search));
//! let (found, outcome) = result?;
//!
//! assert_eq!(found[0].item, Title("Moby-Dick".to_string()));
//! assert_eq!((outcome.results, outcome.stats.invalid), (1, 1));
//! assert_eq!(health.of(&registry).map(|health| health.answered), Some(1));
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```
//!
//! # What a registry cannot do
//!
//! A registry is a stranger. It cannot make us wait longer than
//! [`request_timeout`](Config::request_timeout), be it byte by byte; read more than
//! [`body_bytes_max`](Config::body_bytes_max); follow more than [`redirects_max`](Config::redirects_max)
//! redirects, one in a circle, or one from https to http; take more than
//! [`connections_max`](Config::connections_max) connections; or pass as another host. A redirect may lead to
//! any host that can be reached from here, as with every HTTP client: give `redirects_max` 0 where that
//! must not be.
//!
//! What comes back is checked for its status, its type (`application/json`), its JSON and its shape; each
//! failure is an [`Error`] that says what was wrong, to be read in the log (`tracing`) or from [`Health`].
//!
//! # What it saves
//!
//! Connections are kept for a while ([`idle_timeout`](Config::idle_timeout)). An answer with an `ETag` is kept,
//! bounded, and asked for again by `If-None-Match`; when the registry says that nothing has changed, it is
//! used once more.

mod api;
mod config;
mod error;
mod health;
mod http;
mod transport;
mod url;

pub use futures_rustls::rustls;

pub use crate::api::{Api, Registries};
pub use crate::config::{Config, ConfigError, Trust};
pub use crate::error::Error;
pub use crate::health::{Health, RegistryHealth};
pub use crate::transport::RegistryTransport;
pub use crate::url::{RegistryUrl, UrlError};
