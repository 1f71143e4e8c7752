//! Which registry: its base URL, parsed once.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use url::{Host, Url};

use crate::error::shown;

/// The longest base URL, in bytes.
const URL_BYTES_MAX: usize = 2 << 10;

/// A registry's identity: the base URL under which its endpoints are. Cheap to clone.
///
/// Two spellings of one URL are one registry: the host is in lower case, the scheme's own port is left
/// out, and the path ends in `/`.
///
/// ```
/// use dragnet_registry::RegistryUrl;
///
/// let registry: RegistryUrl = "https://Registry.example.org:443/api".parse()?;
/// assert_eq!(registry.as_str(), "https://registry.example.org/api/");
/// let endpoint = registry.endpoint("search", [("q", "a b&c")]);
/// assert_eq!(endpoint.as_str(), "https://registry.example.org/api/search?q=a+b%26c");
/// # Ok::<_, dragnet_registry::UrlError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RegistryUrl(Arc<Url>);

/// Why a text names no registry.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UrlError {
    /// No URL.
    #[error("`{text}` is no URL ({reason}): write http://host/ or https://host/")]
    Url {
        /// What was given.
        text: String,
        /// What is wrong with it.
        reason: url::ParseError,
    },
    /// Neither http nor https.
    #[error("`{text}` begins with `{scheme}:`, and a registry is asked by http: or https:")]
    Scheme {
        /// What was given.
        text: String,
        /// Its scheme.
        scheme: String,
    },
    /// A name or a password in it. They would be written to every log that names the registry.
    #[error("the URL of a registry at `{host}` has a user name or a password in it: leave them out")]
    Credentials {
        /// The host alone.
        host: String,
    },
    /// A query or a fragment, which the endpoints add themselves.
    #[error("`{text}` has a query or a fragment: give the URL up to the `?`")]
    Query {
        /// What was given.
        text: String,
    },
    /// Too many bytes.
    #[error("the URL has {bytes} bytes, and may have {URL_BYTES_MAX}")]
    TooLong {
        /// How many.
        bytes: usize,
    },
}

impl RegistryUrl {
    /// Reads a base URL.
    ///
    /// # Errors
    ///
    /// When it is none, or not one of a registry.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        if text.len() > URL_BYTES_MAX {
            return Err(UrlError::TooLong { bytes: text.len() });
        }
        let mut url = Url::parse(text).map_err(|reason| UrlError::Url { text: shown(text), reason })?;
        if !is_http(&url) {
            return Err(UrlError::Scheme { text: shown(text), scheme: shown(url.scheme()) });
        }
        if has_credentials(&url) {
            return Err(UrlError::Credentials { host: url.host_str().unwrap_or_default().to_string() });
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(UrlError::Query { text: shown(text) });
        }
        url.path_segments_mut().expect("a URL of http has a path").pop_if_empty().push("");
        Ok(Self(Arc::new(url)))
    }

    /// The whole URL, ending in `/`.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The whole URL, ending in `/`.
    pub fn as_url(&self) -> &Url {
        &self.0
    }

    /// The URL of one endpoint: `path` under the base (several segments may be divided by `/`), with these
    /// parameters. All that needs it is percent-encoded, so a stranger's text may be among the parameters.
    pub fn endpoint<'a>(&self, path: &str, query: impl IntoIterator<Item = (&'a str, &'a str)>) -> Url {
        let mut url = Url::clone(&self.0);
        let mut segments = url.path_segments_mut().expect("a URL of http has a path");
        segments.pop_if_empty().extend(path.split('/').filter(|segment| !segment.is_empty()));
        drop(segments);
        let mut query = query.into_iter().peekable();
        if query.peek().is_some() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }
}

/// Whether it is asked by HTTP, encrypted or not.
pub(crate) fn is_http(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https")
}

pub(crate) fn has_credentials(url: &Url) -> bool {
    !url.username().is_empty() || url.password().is_some()
}

impl FromStr for RegistryUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        Self::parse(text)
    }
}

impl fmt::Display for RegistryUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for RegistryUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RegistryUrl({self})")
    }
}

/// Where a connection goes: one may be used again for the same, and for nothing else.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Origin {
    pub(crate) is_encrypted: bool,
    pub(crate) host: Host<String>,
    pub(crate) port: u16,
}

impl Origin {
    /// The origin of a URL of http or https; `None` for any other.
    pub(crate) fn of(url: &Url) -> Option<Self> {
        is_http(url).then_some(())?;
        let (host, port) = (url.host()?.to_owned(), url.port_or_known_default()?);
        Some(Self { is_encrypted: url.scheme() == "https", host, port })
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_encrypted { "https" } else { "http" };
        write!(f, "{scheme}://{}:{}", self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> String {
        RegistryUrl::parse(text).unwrap().to_string()
    }

    #[test]
    fn spellings_of_one_registry_are_one() {
        for spelling in ["http://a.example", "HTTP://A.Example:80/", "http://a.example/./"] {
            assert_eq!(url(spelling), "http://a.example/", "{spelling}");
        }
        assert_eq!(url("https://a.example/api//v1"), "https://a.example/api//v1/");
        assert_eq!(url("http://[::1]:8080"), "http://[::1]:8080/");
        assert_ne!(RegistryUrl::parse("http://a.example"), RegistryUrl::parse("https://a.example"));
    }

    #[test]
    fn what_names_no_registry_is_refused_with_the_reason() {
        let wrong = |text: &str| RegistryUrl::parse(text).unwrap_err().to_string();
        assert!(wrong("registry").contains("`registry` is no URL"), "{}", wrong("registry"));
        assert!(wrong("ftp://a/").contains("begins with `ftp:`"));
        assert!(wrong("localhost:80").contains("begins with `localhost:`"));
        assert!(wrong("http://").contains("empty host"));
        assert!(wrong("http://a/?q=1").contains("up to the `?`"));
        assert!(wrong("http://a/#x").contains("a fragment"));
        assert!(wrong(&format!("http://a/{}", "x".repeat(URL_BYTES_MAX))).contains("may have 2048"));
        let secret = wrong("https://me:hush@a.example/");
        assert!(secret.contains("`a.example`") && !secret.contains("hush"), "{secret}");
        assert!(!wrong("\u{1b}[2J").contains('\u{1b}'));
    }

    #[test]
    fn parameters_cannot_leave_their_place() {
        let base = RegistryUrl::parse("http://a.example/v1").unwrap();
        assert_eq!(base.endpoint("/packages/search", []).as_str(), "http://a.example/v1/packages/search");
        let endpoint = base.endpoint("search", [("q", "x&limit=9#../\r\n"), ("limit", "2")]);
        assert_eq!(endpoint.path(), "/v1/search");
        let pairs: Vec<_> = endpoint.query_pairs().collect();
        assert_eq!((pairs.len(), pairs[0].1.as_ref(), pairs[1].1.as_ref()), (2, "x&limit=9#../\r\n", "2"));
        assert!(endpoint.fragment().is_none());
    }

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        let of = |text: &str| Origin::of(&Url::parse(text).unwrap()).map(|origin| origin.to_string());
        assert_eq!(of("https://a.example/x?y").as_deref(), Some("https://a.example:443"));
        assert_eq!(of("http://[::1]:81/").as_deref(), Some("http://[::1]:81"));
        assert_eq!(of("file:///etc/passwd"), None);
    }
}
