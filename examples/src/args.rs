//! The keys that a command line names.

use dragnet_libp2p::{provider_key, record_key};
use libp2p::PeerId;
use libp2p::kad::RecordKey;

/// Why an argument is no key.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArgumentError {
    /// Not of the form that every implementation accepts.
    #[error("`{text}` is no key of a record: write /namespace/name, such as /dragnet/greeting")]
    Record {
        /// What was given.
        text: String,
    },
    /// Not hexadecimal digits.
    #[error(
        "`{text}` is no multihash in hexadecimal digits ({reason}): write 1220 and the 64 digits of a \
         SHA-256, or name a word with --term"
    )]
    Hex {
        /// What was given.
        text: String,
        /// What is wrong with it.
        reason: hex::FromHexError,
    },
    /// Hexadecimal digits that are no multihash.
    #[error(
        "`{text}` is no SHA-256 multihash: it must be 1220 and 64 more hexadecimal digits, and has \
         {digits} digits"
    )]
    Multihash {
        /// What was given.
        text: String,
        /// How many digits it has.
        digits: usize,
    },
}

/// The key of a record, from `/namespace/name`.
///
/// Under `/pk/` and `/ipns/` other implementations expect the bytes of a peer id, so there a peer id is
/// turned into these.
///
/// # Errors
///
/// When it does not have that form.
pub fn record(text: &str) -> Result<RecordKey, ArgumentError> {
    let parts = text.strip_prefix('/').and_then(|rest| rest.split_once('/'));
    let Some((namespace, name)) = parts.filter(|(space, name)| !space.is_empty() && !name.is_empty()) else {
        return Err(ArgumentError::Record { text: text.to_string() });
    };
    match name.parse::<PeerId>() {
        Ok(peer) if matches!(namespace, "pk" | "ipns") => Ok(record_key(namespace, &peer.to_bytes())),
        _ => Ok(record_key(namespace, name.as_bytes())),
    }
}

/// The key of a provider, from a multihash in hexadecimal digits.
///
/// # Errors
///
/// When it is none, or not of SHA-256.
pub fn multihash(text: &str) -> Result<RecordKey, ArgumentError> {
    let bytes = hex::decode(text).map_err(|reason| ArgumentError::Hex { text: text.to_string(), reason })?;
    // The code of SHA-256 and the length of its digest.
    if bytes.len() == 34 && bytes.starts_with(&[0x12, 0x20]) {
        Ok(RecordKey::from(bytes))
    } else {
        Err(ArgumentError::Multihash { text: text.to_string(), digits: text.len() })
    }
}

/// The key under which a package's term is published: that of its lower-case letters.
pub fn term(text: &str) -> RecordKey {
    provider_key(text.trim().to_lowercase().as_bytes())
}

/// How a key is shown: a provider key in hexadecimal digits, the name of a record as it is.
pub fn show(key: &RecordKey) -> String {
    match std::str::from_utf8(key.as_ref()) {
        Ok(text) if text.starts_with('/') && !text.contains(char::is_control) => text.to_string(),
        _ => hex::encode(key.as_ref()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn record_keys_have_a_namespace_and_a_name() {
        assert_eq!(record("/dragnet/a/b").unwrap().as_ref(), b"/dragnet/a/b");
        for wrong in ["", "/", "greeting", "/dragnet", "/dragnet/", "//x"] {
            assert!(record(wrong).unwrap_err().to_string().contains(&format!("`{wrong}`")));
        }
    }

    #[test]
    fn a_peer_id_under_pk_is_turned_into_its_bytes() {
        let peer = PeerId::random();
        let key = record(&format!("/pk/{peer}")).unwrap();
        assert_eq!(&key.as_ref()[4..], peer.to_bytes());
    }

    #[test]
    fn provider_keys_are_sha256_multihashes() {
        let key = term("Kademlia ");
        assert_eq!(key, provider_key(b"kademlia"));
        assert_eq!(multihash(&show(&key)).unwrap(), key);
        assert!(matches!(multihash("12zz"), Err(ArgumentError::Hex { .. })));
        assert!(matches!(multihash("1220ab"), Err(ArgumentError::Multihash { digits: 6, .. })));
    }
}
