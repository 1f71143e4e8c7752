//! The flight recorder of a node: see [`dragnet_core::record`].

use std::hash::{Hash, Hasher};
use std::time::SystemTime;

use dragnet_core::record::{RecordConfig, Recordable, Recorder, Writer};
use libp2p::PeerId;

use crate::network::{Answer, Ask, Libp2p};

/// A recorder for a node, and the writer that is to be run beside it, on a thread of its own or in a pool for
/// work that blocks. What is hashed is hashed under a key that is drawn here.
///
/// To be made when the node is, since the file says that its time begins now.
///
/// ```no_run
/// use dragnet_core::record::RecordConfig;
/// use dragnet_libp2p::{Node, recorder};
/// use libp2p::identity::Keypair;
///
/// let (recorder, writer) = recorder(RecordConfig::default());
/// let (node, client) = Node::builder(Keypair::generate_ed25519()).record(recorder).build()?;
/// let writer = writer.create("node.rec".as_ref())?;
/// let writing = std::thread::spawn(move || writer.run());
/// // Run the node, ask by the client, and when the node is gone:
/// # smol::block_on(node);
/// # drop(client);
/// writing.join().expect("it does not panic")?;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
pub fn recorder(mut config: RecordConfig) -> (Recorder<Libp2p>, Writer) {
    if config.program.is_empty() {
        config.program = concat!("dragnet-libp2p ", env!("CARGO_PKG_VERSION")).to_string();
    }
    if config.began.is_none() {
        config.began = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok();
    }
    let seed = crate::behaviour::random_seed();
    let secret = seed.first_chunk().copied().expect("a seed is longer");
    Recorder::new(config, secret)
}

impl Recordable for Libp2p {
    fn peer_name(peer: &PeerId) -> String {
        peer.to_string()
    }

    fn request_kind(ask: &Ask) -> &'static str {
        match ask {
            Ask::Get { .. } => "get",
            Ask::Providers { .. } => "providers",
            Ask::Closest { .. } => "closest",
            Ask::Search { .. } => "search",
            Ask::Fetch { .. } => "fetch",
        }
    }

    fn request_text(ask: &Ask) -> String {
        let bytes = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        match (ask.question(), ask.key()) {
            (Some(question), _) => bytes(question),
            (None, Some(key)) => bytes(key.as_ref()),
            (None, None) => String::new(),
        }
    }

    /// What [`Answer`]'s equality looks at.
    fn hash_item<H: Hasher>(answer: &Answer, state: &mut H) {
        match answer {
            Answer::Record(record) => (0, record.key.as_ref(), &record.value, record.publisher).hash(state),
            Answer::Provider(peer) => (1, peer).hash(state),
            Answer::Peer(peer) => (2, peer).hash(state),
            Answer::Fetched(item) => (3, &item.id, &item.body).hash(state),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::hash::DefaultHasher;
    use std::time::Instant;

    use bytes::Bytes;
    use libp2p::kad::Record;

    use super::*;
    use crate::exchange::FetchItem;

    fn digest(answer: &Answer) -> u64 {
        let mut state = DefaultHasher::new();
        Libp2p::hash_item(answer, &mut state);
        state.finish()
    }

    #[test]
    fn two_answers_are_hashed_alike_when_they_are_equal_and_only_then() {
        let record = |key: &[u8], value: &[u8]| Record::new(key.to_vec(), value.to_vec());
        let fetched = |id: &'static str, body: &'static str| {
            Answer::Fetched(FetchItem { id: Bytes::from(id), body: Bytes::from(body) })
        };
        let peer = PeerId::random();
        let mut expiring = record(b"k", b"v");
        expiring.expires = Some(Instant::now());
        let mut published = record(b"k", b"v");
        published.publisher = Some(peer);
        let answers = [
            Answer::Record(record(b"k", b"v")),
            Answer::Record(expiring),
            Answer::Record(published),
            Answer::Record(record(b"k", b"w")),
            Answer::Record(record(b"kv", b"")),
            Answer::Provider(peer),
            Answer::Peer(peer),
            Answer::Peer(PeerId::random()),
            fetched("a", "b"),
            fetched("ab", ""),
        ];
        for one in &answers {
            for other in &answers {
                assert_eq!(one == other, digest(one) == digest(other), "{one:?} and {other:?}");
            }
        }
    }
}
