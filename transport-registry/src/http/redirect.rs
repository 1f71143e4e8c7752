//! Where a redirect leads, if it may.

use http::{HeaderValue, StatusCode};
use url::Url;

use crate::error::{Error, shown};
use crate::url::{has_credentials, is_http};

/// The longest URL to which a redirect is followed, in bytes.
const TARGET_BYTES_MAX: usize = 8 << 10;

/// Whether it is one of the statuses by which a GET is sent elsewhere (RFC 9110, 15.4).
pub(super) fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// The URL that a `Location` names, from where it was said.
pub(super) fn target(from: &Url, location: &HeaderValue) -> Result<Url, Error> {
    let text = String::from_utf8_lossy(location.as_bytes());
    let refused = |reason| Error::RedirectTarget { from: from.to_string(), to: shown(&text), reason };
    if text.len() > TARGET_BYTES_MAX {
        return Err(refused("too long"));
    }
    let mut to = from.join(&text).map_err(|_| refused("no URL"))?;
    to.set_fragment(None);
    if !is_http(&to) {
        return Err(refused("no URL of http or https"));
    }
    if has_credentials(&to) {
        return Err(refused("a URL with a user name in it"));
    }
    if from.scheme() == "https" && to.scheme() != "https" {
        return Err(Error::Downgrade { from: from.to_string(), to: to.into() });
    }
    Ok(to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_leads_to_http_and_never_out_of_encryption() {
        let to = |from: &str, location: &str| {
            target(&Url::parse(from).unwrap(), &HeaderValue::from_str(location).unwrap())
                .map(String::from)
                .map_err(|error| error.to_string())
        };
        assert_eq!(to("http://a/x/y?q=1", "z?q=2#part").as_deref(), Ok("http://a/x/z?q=2"));
        assert_eq!(to("http://a/", "https://b/").as_deref(), Ok("https://b/"));
        assert_eq!(to("https://a/", "//b/").as_deref(), Ok("https://b/"));
        assert!(to("https://a/", "http://a/").unwrap_err().contains("not encrypted"));
        assert!(to("http://a/", "file:///etc/passwd").unwrap_err().contains("no URL of http"));
        assert!(to("http://a/", "http://me:pw@b/").unwrap_err().contains("user name"));
        assert!(to("http://a/", "http://[").unwrap_err().contains("no URL"));
        assert!(to("http://a/", &"x".repeat(9000)).unwrap_err().contains("too long"));
    }
}
