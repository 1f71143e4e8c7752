//! What can go wrong with a registry, and what the engine is told of it.

use std::time::Duration;

use dragnet_core::Failure;
use url::Url;

/// The most letters of a stranger's text that an error repeats.
const SHOWN_MAX: usize = 200;

/// Why a registry gave no answer. Says what was wrong with what; [`failure`](Self::failure) is what the
/// engine is told.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The host's name leads nowhere.
    #[error("{origin}: the name cannot be resolved: {reason}")]
    Name {
        /// Scheme, host and port.
        origin: String,
        /// What the resolver says.
        reason: String,
    },
    /// Nobody listens there.
    #[error("{origin}: no connection: {reason}")]
    Connect {
        /// Scheme, host and port.
        origin: String,
        /// What the system says.
        reason: String,
    },
    /// Somebody listens there who is not who he should be.
    #[error("{origin}: the certificate is refused: {reason}")]
    Certificate {
        /// Scheme, host and port.
        origin: String,
        /// What is wrong with it.
        reason: String,
    },
    /// No encrypted connection came about.
    #[error("{origin}: no TLS: {reason}")]
    Tls {
        /// Scheme, host and port.
        origin: String,
        /// Why.
        reason: String,
    },
    /// No connection in time.
    #[error("{origin}: no connection within {timeout:?}")]
    ConnectTimeout {
        /// Scheme, host and port.
        origin: String,
        /// [`Config::connect_timeout`](crate::Config::connect_timeout).
        timeout: Duration,
    },
    /// No whole answer in time.
    #[error("{url}: no whole answer within {timeout:?}")]
    Timeout {
        /// What was asked.
        url: String,
        /// [`Config::request_timeout`](crate::Config::request_timeout).
        timeout: Duration,
    },
    /// The connection closed before the answer was whole.
    #[error("{url}: the connection closed before the answer was whole: {reason}")]
    Closed {
        /// What was asked.
        url: String,
        /// What was seen.
        reason: String,
    },
    /// No HTTP.
    #[error("{url}: the answer is no HTTP/1.1: {reason}")]
    Http {
        /// What was asked.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A refusal, or another status than the one expected.
    #[error("{url}: the answer is HTTP status {status}")]
    Status {
        /// What was asked.
        url: String,
        /// The status.
        status: u16,
    },
    /// Not declared to be JSON.
    #[error("{url}: the answer is `{found}`, and should be `application/json`")]
    ContentType {
        /// What was asked.
        url: String,
        /// Its content type; empty if it has none.
        found: String,
    },
    /// Compressed, which was not asked for.
    #[error("{url}: the answer is encoded as `{found}`, which was not asked for")]
    Encoding {
        /// What was asked.
        url: String,
        /// Its content encoding.
        found: String,
    },
    /// A body that is too long, or has no end.
    #[error("{url}: the answer has more than {max} bytes")]
    TooLarge {
        /// What was asked.
        url: String,
        /// [`Config::body_bytes_max`](crate::Config::body_bytes_max).
        max: usize,
    },
    /// No JSON.
    #[error("{url}: the answer is no JSON: {reason}")]
    Json {
        /// What was asked.
        url: String,
        /// What is wrong with it, and where.
        reason: String,
    },
    /// JSON of another shape than [`Api::Body`](crate::Api::Body).
    #[error("{url}: the answer is not of the expected shape: {reason}")]
    Shape {
        /// What was asked.
        url: String,
        /// What is wrong with it, and where.
        reason: String,
    },
    /// A redirect to where it comes from.
    #[error("{url}: redirects in a circle")]
    RedirectLoop {
        /// What was asked for a second time.
        url: String,
    },
    /// One redirect after another.
    #[error("{url}: more than {max} redirects")]
    Redirects {
        /// Where the last one led.
        url: String,
        /// [`Config::redirects_max`](crate::Config::redirects_max).
        max: usize,
    },
    /// A redirect from an encrypted connection to one that is not.
    #[error("{from}: redirects to {to}, which is not encrypted")]
    Downgrade {
        /// What was asked.
        from: String,
        /// Where it would have led.
        to: String,
    },
    /// A redirect that leads nowhere.
    #[error("{from}: redirects to `{to}`, which is {reason}")]
    RedirectTarget {
        /// What was asked.
        from: String,
        /// Where it would have led.
        to: String,
        /// What is wrong with that.
        reason: &'static str,
    },
    /// An [`Api`](crate::Api) that gives a URL to which no request can be made.
    #[error("{url}: cannot be asked for: {reason}")]
    Url {
        /// What it gives.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Only one endpoint is known, and it cannot be walked to.
    #[error("a registry is asked in the fetch lane, and takes part in no walk")]
    NoWalk,
    /// Too many requests wait for this registry.
    #[error("{max} requests wait for the registry already")]
    Busy {
        /// [`Config::waiting_max`](crate::Config::waiting_max).
        max: usize,
    },
    /// Our own system lacks what is needed.
    #[error("{origin}: this system has no means for a connection: {reason}")]
    Local {
        /// Scheme, host and port.
        origin: String,
        /// What it says.
        reason: String,
    },
}

impl Error {
    /// What the engine is told.
    pub const fn failure(&self) -> Failure {
        match self {
            Self::Name { .. } | Self::Connect { .. } | Self::Certificate { .. } | Self::Tls { .. } => {
                Failure::Unreachable
            }
            Self::ConnectTimeout { .. } | Self::Timeout { .. } => Failure::TimedOut,
            Self::Closed { .. } => Failure::Closed,
            Self::Status { status: 400..=599, .. } => Failure::Refused,
            Self::NoWalk => Failure::Unsupported,
            Self::Busy { .. } | Self::Local { .. } | Self::Url { .. } => Failure::Local,
            Self::Http { .. }
            | Self::Status { .. }
            | Self::ContentType { .. }
            | Self::Encoding { .. }
            | Self::TooLarge { .. }
            | Self::Json { .. }
            | Self::Shape { .. }
            | Self::RedirectLoop { .. }
            | Self::Redirects { .. }
            | Self::Downgrade { .. }
            | Self::RedirectTarget { .. } => Failure::Invalid,
        }
    }

    /// What `serde_json` found wrong with a body.
    pub(crate) fn json(url: &Url, error: &serde_json::Error) -> Self {
        let (url, reason) = (url.to_string(), shown(&error.to_string()));
        if error.is_data() { Self::Shape { url, reason } } else { Self::Json { url, reason } }
    }
}

/// A stranger's text, fit for a log or a terminal: one line of bounded length.
pub(crate) fn shown(text: &str) -> String {
    let mut letters = text.chars();
    let mut line: String = letters.by_ref().take(SHOWN_MAX).flat_map(show).collect();
    if letters.next().is_some() {
        line.push('…');
    }
    line
}

/// A letter as it is, unless it would do something to the terminal.
fn show(letter: char) -> impl Iterator<Item = char> {
    let (plain, escaped) =
        if letter.is_control() { (None, Some(letter.escape_default())) } else { (Some(letter), None) };
    plain.into_iter().chain(escaped.into_iter().flatten())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strangers_text_is_shortened_and_does_nothing_to_a_terminal() {
        assert_eq!(shown("a\u{1b}[2Jé"), "a\\u{1b}[2Jé");
        let long = shown(&"é".repeat(500));
        assert_eq!(long.chars().count(), SHOWN_MAX + 1);
        assert!(long.ends_with('…'));
    }

    #[test]
    fn refusals_are_refusals_and_other_statuses_no_answers() {
        let status = |status| Error::Status { url: "http://a/".to_string(), status }.failure();
        assert_eq!((status(404), status(503)), (Failure::Refused, Failure::Refused));
        assert_eq!((status(204), status(304)), (Failure::Invalid, Failure::Invalid));
    }
}
