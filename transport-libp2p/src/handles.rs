//! What publishing gives to hold on to.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::channel::oneshot;
use libp2p::PeerId;
use libp2p::kad::RecordKey;

use crate::error::PublishError;

/// Where something was published.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Publication {
    /// The peers that took it.
    ///
    /// For a record these have said so. The protocol knows no answer to the announcement of a provider:
    /// there these are the peers to which it was sent, and who did not refuse it.
    pub stored: Vec<PeerId>,
    /// The peers that were told and did not.
    pub failed: Vec<PeerId>,
}

/// A record on its way to the peers closest to its key. Await it to learn where it was stored.
///
/// Dropping it does not stop the put. The record stays in the local store and is put again at every
/// [`record_interval`](crate::Publishing::record_interval) until
/// [`Client::remove`](crate::Client::remove).
#[must_use = "await it to learn where the record was stored"]
#[derive(Debug)]
pub struct PutHandle {
    key: RecordKey,
    state: Result<oneshot::Receiver<Result<Publication, PublishError>>, PublishError>,
}

impl PutHandle {
    pub(crate) const fn new(
        key: RecordKey,
        state: Result<oneshot::Receiver<Result<Publication, PublishError>>, PublishError>,
    ) -> Self {
        Self { key, state }
    }

    /// The record's key.
    pub const fn key(&self) -> &RecordKey {
        &self.key
    }
}

impl Future for PutHandle {
    type Output = Result<Publication, PublishError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.state {
            Ok(receiver) => {
                Pin::new(receiver).poll(cx).map(|result| result.unwrap_or(Err(PublishError::ShutDown)))
            }
            Err(error) => Poll::Ready(Err(error.clone())),
        }
    }
}

/// This peer provides a key as long as the handle lives: it is announced to the peers closest to the key
/// now and at every [`provider_interval`](crate::Publishing::provider_interval).
///
/// When the last handle of a key is dropped, the key is no longer announced nor named to others; peers
/// that were told keep it until its time to live ends.
#[must_use = "dropping it ends the providing"]
pub struct ProvideHandle {
    key: RecordKey,
    id: u64,
    announcements: Result<async_channel::Receiver<Result<Publication, PublishError>>, PublishError>,
    ended: async_channel::Sender<u64>,
}

impl ProvideHandle {
    pub(crate) const fn new(
        key: RecordKey,
        id: u64,
        announcements: Result<async_channel::Receiver<Result<Publication, PublishError>>, PublishError>,
        ended: async_channel::Sender<u64>,
    ) -> Self {
        Self { key, id, announcements, ended }
    }

    /// The key that is provided.
    pub const fn key(&self) -> &RecordKey {
        &self.key
    }

    /// The next announcement: which peers were told. Only the latest is kept, so whoever asks seldom
    /// misses those between.
    ///
    /// # Errors
    ///
    /// Why this announcement failed. After [`PublishError::NoPeers`] and [`PublishError::TimedOut`] it is
    /// tried again by itself, soon and then ever less often, up to the interval; after any other the key
    /// is not provided.
    pub async fn announced(&mut self) -> Result<Publication, PublishError> {
        let announced = match &self.announcements {
            Ok(receiver) => receiver.recv().await.unwrap_or(Err(PublishError::ShutDown)),
            Err(error) => return Err(error.clone()),
        };
        if let Err(
            error @ (PublishError::StoreFull { .. }
            | PublishError::KeyTooLong { .. }
            | PublishError::ShutDown),
        ) = &announced
        {
            self.announcements = Err(error.clone());
        }
        announced
    }
}

impl fmt::Debug for ProvideHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProvideHandle").field("key", &self.key).finish_non_exhaustive()
    }
}

impl Drop for ProvideHandle {
    fn drop(&mut self) {
        // Never full: unbounded, with at most one message for each handle. Closed: nothing to stop.
        let _ = self.ended.try_send(self.id);
    }
}
