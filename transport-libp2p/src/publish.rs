//! Publishing: records that are put, keys that are provided.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use async_channel::Sender;
use futures_timer::Delay;
use libp2p::kad::store::{self, RecordStore};
use libp2p::kad::{
    GetClosestPeersError, GetClosestPeersOk, ProviderRecord, PutRecordError, QueryResult, Quorum, Record,
    RecordKey,
};

use crate::behaviour::Behaviour;
use crate::config::StoreLimits;
use crate::error::PublishError;
use crate::handles::Publication;
use crate::turns::{PutReply, Run, Task};

type Announced = Result<Publication, PublishError>;

/// The keys that this peer provides, who follows their announcements, and when the next are due.
///
/// Announcing again is done here and not by libp2p-kad, which announces all keys at once, none while a
/// hundred lookups run, and tells nobody where.
#[derive(Default)]
pub(crate) struct Provided {
    keys: HashMap<RecordKey, Providing>,
    /// The keys of the live handles.
    handles: HashMap<u64, RecordKey>,
    due: BTreeMap<(Instant, u64), RecordKey>,
    scheduled: u64,
    timer: Option<(Instant, Delay)>,
}

#[derive(Default)]
struct Providing {
    followers: Vec<(u64, Sender<Announced>)>,
    latest: Option<Announced>,
    due: Option<(Instant, u64)>,
}

impl Provided {
    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Adds a handle to a key that is provided already.
    fn follow(&mut self, key: &RecordKey, id: u64, follower: &Sender<Announced>) -> bool {
        let Some(providing) = self.keys.get_mut(key) else { return false };
        if let Some(latest) = &providing.latest {
            send(follower, latest.clone());
        }
        providing.followers.push((id, follower.clone()));
        self.handles.insert(id, key.clone());
        true
    }

    fn begin(&mut self, key: RecordKey, id: u64, follower: Sender<Announced>) {
        self.handles.insert(id, key.clone());
        self.keys.insert(key, Providing { followers: vec![(id, follower)], ..Providing::default() });
    }

    /// Removes a handle. Returns its key if it was the key's last.
    fn leave(&mut self, id: u64) -> Option<RecordKey> {
        let key = self.handles.remove(&id)?;
        let providing = self.keys.get_mut(&key)?;
        providing.followers.retain(|(follower, _)| *follower != id);
        if !providing.followers.is_empty() {
            return None;
        }
        if let Some(due) = providing.due {
            self.due.remove(&due);
        }
        self.keys.remove(&key);
        Some(key)
    }

    fn announced(&mut self, key: &RecordKey, announced: Announced, again_in: Option<Duration>) {
        let Some(providing) = self.keys.get_mut(key) else { return };
        for (_, follower) in &providing.followers {
            send(follower, announced.clone());
        }
        providing.latest = Some(announced);
        // Too far for the clock to tell is never.
        if let Some(at) = again_in.and_then(|interval| now().checked_add(interval)) {
            let due = (at, self.scheduled);
            self.scheduled += 1;
            providing.due = Some(due);
            self.due.insert(due, key.clone());
        }
    }

    /// The next key that is to be announced again.
    fn poll_due(&mut self, cx: &mut Context<'_>) -> Poll<RecordKey> {
        while let Some(entry) = self.due.first_entry() {
            let at = entry.key().0;
            let left = at.saturating_duration_since(now());
            if left.is_zero() {
                let key = entry.remove();
                if let Some(providing) = self.keys.get_mut(&key) {
                    providing.due = None;
                }
                return Poll::Ready(key);
            }
            match &mut self.timer {
                Some((armed, _)) if *armed == at => {}
                Some((armed, timer)) => {
                    timer.reset(left);
                    *armed = at;
                }
                none @ None => *none = Some((at, Delay::new(left))),
            }
            let (_, timer) = self.timer.as_mut().expect("armed above");
            if Pin::new(timer).poll(cx).is_pending() {
                return Poll::Pending;
            }
            self.timer = None;
        }
        Poll::Pending
    }
}

fn now() -> Instant {
    Instant::now()
}

/// Leaves the latest announcement for a follower, in place of one that it has not read.
fn send(follower: &Sender<Announced>, announced: Announced) {
    // Closed: the handle was dropped, and its end is under way.
    let _ = follower.force_send(announced);
}

impl Behaviour {
    /// Stores a record here, and queues its way to the others.
    pub(crate) fn put(&mut self, mut record: Record, reply: PutReply) {
        record.publisher = Some(self.local);
        let bytes = record.value.len();
        match self.inner.kad.store_mut().put(record.clone()) {
            Ok(()) => self.turns.wait(Task::Put { record, reply }),
            // Nobody listens any more: then nobody is disappointed.
            Err(error) => drop(reply.send(Err(refused(&error, bytes, &self.config.store)))),
        }
    }

    pub(crate) fn start_put(&mut self, record: Record, reply: PutReply) {
        let id = self.find_closest(&record.key);
        self.turns.run(id, Run::Find { record, reply });
    }

    /// Begins to provide a key for a handle, unless that was dropped before its command came.
    pub(crate) fn provide(&mut self, key: RecordKey, id: u64, follower: Sender<Announced>) {
        if follower.is_closed() || self.provided.follow(&key, id, &follower) {
            return;
        }
        // Our own addresses are not stored: Kademlia puts in those of the moment.
        let record = ProviderRecord::new(key.clone(), self.local, Vec::new());
        match self.inner.kad.store_mut().add_provider(record) {
            Ok(()) => {
                self.provided.begin(key.clone(), id, follower);
                self.turns.wait(Task::Announce { key });
            }
            Err(error) => send(&follower, Err(refused(&error, 0, &self.config.store))),
        }
    }

    /// Ends the providing of a dropped handle.
    pub(crate) fn stop_providing(&mut self, id: u64) {
        let Some(key) = self.provided.leave(id) else { return };
        self.inner.kad.stop_providing(&key);
        if let Some(id) = self.turns.withdraw(&key) {
            self.finish(&id);
        }
    }

    /// Queues what is to be announced again. Returns whether anything is.
    pub(crate) fn announce_due(&mut self, cx: &mut Context<'_>) -> bool {
        let mut any = false;
        while let Poll::Ready(key) = self.provided.poll_due(cx) {
            any = true;
            self.turns.wait(Task::Announce { key });
        }
        any
    }

    pub(crate) fn start_announcement(&mut self, key: RecordKey) {
        match self.inner.kad.start_providing(key.clone()) {
            Ok(id) => self.turns.run(id, Run::Announce { key, told: Vec::new(), failed: Vec::new() }),
            Err(error) => {
                let error = refused(&error, 0, &self.config.store);
                self.provided.announced(&key, Err(error), self.config.publishing.provider_interval);
            }
        }
    }

    /// Takes the last event of a put or an announcement.
    pub(crate) fn on_published(&mut self, run: Run, result: QueryResult) {
        match (run, result) {
            (Run::Find { record, reply }, QueryResult::GetClosestPeers(result)) => {
                let timed_out = result.is_err();
                let (Ok(GetClosestPeersOk { peers, .. }) | Err(GetClosestPeersError::Timeout { peers, .. })) =
                    result;
                if peers.is_empty() {
                    let error = if timed_out { PublishError::TimedOut } else { PublishError::NoPeers };
                    let _ = reply.send(Err(error));
                    return;
                }
                for peer in &peers {
                    self.addresses.extend(peer.peer_id, &peer.addrs);
                }
                let peers: Vec<_> = peers.into_iter().map(|peer| peer.peer_id).collect();
                // Of all of them: so a shortfall tells who did store it.
                let id = self.inner.kad.put_record_to(record, peers.iter().copied(), Quorum::All);
                self.turns.run(id, Run::Store { peers, reply });
            }
            (Run::Store { peers, reply }, QueryResult::PutRecord(result)) => {
                let stored = match result {
                    Ok(_) => peers.clone(),
                    Err(
                        PutRecordError::QuorumFailed { success, .. }
                        | PutRecordError::Timeout { success, .. },
                    ) => success,
                };
                let failed = peers.into_iter().filter(|peer| !stored.contains(peer)).collect();
                let _ = reply.send(Ok(Publication { stored, failed }));
            }
            (Run::Announce { key, told, failed }, QueryResult::StartProviding(result)) => {
                let stored: Vec<_> = told.into_iter().filter(|peer| !failed.contains(peer)).collect();
                let announced = match result {
                    Err(_timeout) if stored.is_empty() => Err(PublishError::TimedOut),
                    _ if stored.is_empty() => Err(PublishError::NoPeers),
                    _ => Ok(Publication { stored, failed }),
                };
                self.provided.announced(&key, announced, self.config.publishing.provider_interval);
            }
            // Withdrawn at the last moment.
            (Run::Released, _) => {}
            (_, result) => {
                debug_assert!(false, "not what this query was for: {result:?}");
            }
        }
    }

    /// Ends all publishing, for good.
    pub(crate) fn end_publishing(&mut self) {
        for id in self.turns.withdraw_all() {
            self.finish(&id);
        }
        for key in std::mem::take(&mut self.provided).keys.into_keys() {
            self.inner.kad.stop_providing(&key);
        }
    }
}

fn refused(error: &store::Error, bytes: usize, limits: &StoreLimits) -> PublishError {
    match error {
        store::Error::MaxRecords => PublishError::StoreFull { what: "records", max: limits.records_max },
        store::Error::MaxProvidedKeys => {
            PublishError::StoreFull { what: "provided keys", max: limits.provided_keys_max }
        }
        store::Error::ValueTooLarge => PublishError::ValueTooLarge { bytes, max: limits.value_bytes_max },
    }
}
