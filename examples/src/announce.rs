//! Announcing many keys, a few at a time.

use std::collections::HashSet;
use std::time::Duration;

use dragnet_libp2p::{Client, ProvideHandle, PublishError};
use futures::{StreamExt, TryStreamExt, stream};
use libp2p::kad::RecordKey;

use crate::args;
use crate::error::Error;

/// Announcements that one node has under way: as many as the adapter runs at once, and some that wait.
const AT_ONCE: usize = 32;
/// How often a node that is alone looks whether somebody has come.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Keys that are provided as long as this lives.
#[derive(Debug, Default)]
pub struct Announced {
    handles: Vec<ProvideHandle>,
    unheard: HashSet<RecordKey>,
}

impl Announced {
    /// How many keys are provided.
    pub fn len(&self) -> usize {
        self.handles.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.handles.is_empty()
    }

    /// How many of them nobody has heard of, because nobody was there.
    pub fn unheard(&self) -> usize {
        self.unheard.len()
    }

    /// Whether a peer has heard of this one when it was announced.
    pub fn was_heard(&self, key: &RecordKey) -> bool {
        !self.unheard.contains(key)
    }
}

/// Provides these keys, and calls `progress` after each.
///
/// # Errors
///
/// When the node cannot: its store is full, or it is shut down. That nobody is there is no error.
pub async fn announce(
    client: &Client,
    keys: impl IntoIterator<Item = RecordKey>,
    progress: impl Fn(),
) -> Result<Announced, Error> {
    let one = async |key: RecordKey| {
        let mut handle = client.provide(key.clone());
        let was_heard = match handle.announced().await {
            Ok(publication) => !publication.stored.is_empty(),
            Err(PublishError::NoPeers | PublishError::TimedOut) => false,
            Err(source) => return Err(Error::Publish { what: args::show(&key), source }),
        };
        progress();
        Ok((handle, Some(key).filter(|_| !was_heard)))
    };
    let all: Vec<(ProvideHandle, Option<RecordKey>)> =
        stream::iter(keys).map(one).buffer_unordered(AT_ONCE).try_collect().await?;
    let (handles, unheard): (Vec<_>, Vec<_>) = all.into_iter().unzip();
    Ok(Announced { handles, unheard: unheard.into_iter().flatten().collect() })
}

/// Waits until a peer has heard this key announced. That the routing table names peers says nothing: those
/// that were restored may be gone, and whoever has connected may only ask.
///
/// # Errors
///
/// When the node cannot announce: its store is full, or it is shut down.
pub async fn company(client: &Client, key: &RecordKey) -> Result<(), Error> {
    loop {
        if client.snapshot().await?.connections > 0 {
            let tried = announce(client, [key.clone()], || {}).await?;
            if tried.was_heard(key) {
                return Ok(());
            }
        }
        smol::Timer::after(LOOK_EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::{Peer, builder};

    #[test]
    fn what_a_lonely_peer_announces_is_not_heard() {
        smol::block_on(async {
            let peer = Peer::start(builder(dragnet_libp2p::KAD_PROTOCOL)).unwrap();
            let announced = announce(&peer.client, [args::term("async")], || {}).await.unwrap();
            assert_eq!((announced.len(), announced.unheard()), (1, 1));
            assert!(!announced.was_heard(&args::term("async")));
            peer.stop().await;
        });
    }
}
