//! Announcing many keys, a few at a time.

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
    /// How many of them nobody has heard of, because nobody was there.
    pub unheard: usize,
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
        Ok((handle, was_heard))
    };
    let all: Vec<(ProvideHandle, bool)> =
        stream::iter(keys).map(one).buffer_unordered(AT_ONCE).try_collect().await?;
    let unheard = all.iter().filter(|(_, was_heard)| !was_heard).count();
    Ok(Announced { handles: all.into_iter().map(|(handle, _)| handle).collect(), unheard })
}

/// Waits until a node knows a peer.
///
/// # Errors
///
/// When the node is shut down.
pub async fn company(client: &Client) -> Result<(), Error> {
    while client.snapshot().await?.known == 0 {
        smol::Timer::after(LOOK_EVERY).await;
    }
    Ok(())
}
