//! Publishing: records that are put, keys that are provided.

use std::collections::HashMap;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use async_channel::Sender;
use libp2p::kad::store::{self, RecordStore};
use libp2p::kad::{
    GetClosestPeersError, GetClosestPeersOk, ProviderRecord, PutRecordError, QueryResult, Quorum, Record,
    RecordKey,
};

use crate::behaviour::Behaviour;
use crate::config::StoreLimits;
use crate::error::PublishError;
use crate::handles::Publication;
use crate::schedule::{Schedule, retry_after};
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
    schedule: Schedule,
    /// Whether an announcement found nobody since the routing table changed last.
    lonely: bool,
}

#[derive(Default)]
struct Providing {
    followers: Vec<(u64, Sender<Announced>)>,
    latest: Option<Announced>,
    /// Announcements in a row that reached nobody.
    failures: u32,
}

impl Provided {
    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Adds a handle to a key that is provided already. It learns where the key was announced last; if
    /// that reached nobody, the next attempt is made at once.
    fn follow(&mut self, key: &RecordKey, id: u64, follower: &Sender<Announced>) -> bool {
        let Some(providing) = self.keys.get_mut(key) else { return false };
        match &providing.latest {
            Some(Ok(latest)) => send(follower, Ok(latest.clone())),
            Some(Err(_)) => self.schedule.set(key, Duration::ZERO),
            None => {}
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
        self.schedule.remove(&key);
        self.keys.remove(&key);
        Some(key)
    }

    fn announced(&mut self, key: &RecordKey, announced: Announced, interval: Option<Duration>) {
        let Some(providing) = self.keys.get_mut(key) else { return };
        for (_, follower) in &providing.followers {
            send(follower, announced.clone());
        }
        let again_in = if let Err(PublishError::NoPeers | PublishError::TimedOut) = &announced {
            self.lonely = true;
            providing.failures = providing.failures.saturating_add(1);
            Some(retry_after(providing.failures, interval))
        } else {
            providing.failures = 0;
            interval
        };
        providing.latest = Some(announced);
        if let Some(again_in) = again_in {
            self.schedule.set(key, again_in);
        }
    }

    /// There is somebody to tell: what reached nobody is due at once. Later changes of the routing table
    /// mean nothing until another announcement has found nobody.
    pub(crate) fn routing_updated(&mut self) {
        if !std::mem::take(&mut self.lonely) {
            return;
        }
        for (key, providing) in &self.keys {
            if matches!(providing.latest, Some(Err(_))) {
                self.schedule.set(key, Duration::ZERO);
            }
        }
    }
}

/// The records that this peer publishes and that are in no turn now, and when each is put again.
///
/// As for [`Provided`], this is done here and not by libp2p-kad, whose job would put them all at once.
#[derive(Default)]
pub(crate) struct Published {
    schedule: Schedule,
    /// Puts in a row that reached nobody. At most as many as the store holds records.
    failures: HashMap<RecordKey, u32>,
}

impl Published {
    pub(crate) fn forget(&mut self, key: &RecordKey) {
        self.schedule.remove(key);
        self.failures.remove(key);
    }

    fn ended(&mut self, key: &RecordKey, reached: bool, interval: Option<Duration>) {
        let again_in = if reached {
            self.failures.remove(key);
            interval
        } else {
            let failures = self.failures.entry(key.clone()).or_default();
            *failures = failures.saturating_add(1);
            Some(retry_after(*failures, interval))
        };
        if let Some(again_in) = again_in {
            self.schedule.set(key, again_in);
        }
    }
}

/// Leaves the latest announcement for a follower, in place of one that it has not read.
fn send(follower: &Sender<Announced>, announced: Announced) {
    // Closed: the handle was dropped, and its end is under way.
    let _ = follower.force_send(announced);
}

impl Behaviour {
    /// Stores a record here, and queues its way to the others.
    pub(crate) fn put(&mut self, mut record: Record, reply: PutReply) {
        let max = self.config.commands_max;
        if self.turns.puts_waiting() >= max {
            // Nobody listens any more: then nobody is disappointed.
            return drop(reply.send(Err(PublishError::Busy { max })));
        }
        record.publisher = Some(self.local);
        let (key, bytes) = (record.key.clone(), record.value.len());
        match self.inner.kad.store_mut().put(record.clone()) {
            Ok(()) => {
                self.published.forget(&record.key);
                self.turns.wait(Task::Put { record, reply: Some(reply) });
            }
            Err(error) => drop(reply.send(Err(refused(&error, &key, bytes, &self.config.store)))),
        }
    }

    /// Removes a record of our own, and puts it no more.
    pub(crate) fn remove(&mut self, key: &RecordKey) {
        self.inner.kad.remove_record(key);
        self.published.forget(key);
    }

    /// A record of our own that is to be put again, unless it was removed, replaced by somebody else's or
    /// has expired.
    pub(crate) fn own_record(&mut self, key: &RecordKey) -> Option<Record> {
        let record = self.inner.kad.store_mut().get(key)?.into_owned();
        let is_ours = record.publisher == Some(self.local);
        (is_ours && !record.is_expired(Instant::now())).then_some(record)
    }

    pub(crate) fn start_put(&mut self, record: Record, reply: Option<PutReply>) {
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
            Err(error) => send(&follower, Err(refused(&error, &key, 0, &self.config.store))),
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

    /// Queues what is to be announced or put again. Returns whether anything is.
    pub(crate) fn announce_due(&mut self, cx: &mut Context<'_>) -> bool {
        let mut any = false;
        while let Poll::Ready(key) = self.provided.schedule.poll(cx) {
            any = true;
            self.turns.wait(Task::Announce { key });
        }
        while let Poll::Ready(key) = self.published.schedule.poll(cx) {
            any = true;
            self.turns.wait(Task::PutAgain { key });
        }
        any
    }

    pub(crate) fn start_announcement(&mut self, key: RecordKey) {
        match self.inner.kad.start_providing(key.clone()) {
            Ok(id) => self.turns.run(id, Run::Announce { key, told: Vec::new(), failed: Vec::new() }),
            Err(error) => {
                let error = refused(&error, &key, 0, &self.config.store);
                self.provided.announced(&key, Err(error), self.config.publishing.provider_interval);
            }
        }
    }

    /// Takes the last event of a put or an announcement.
    pub(crate) fn on_published(&mut self, run: Run, result: QueryResult) {
        match (run, result) {
            (Run::Find { record, reply }, QueryResult::GetClosestPeers(result)) => {
                self.put_to_closest(record, reply, result);
            }
            (Run::Store { key, peers, reply }, QueryResult::PutRecord(result)) => {
                let stored = match result {
                    Ok(_) => peers.clone(),
                    Err(
                        PutRecordError::QuorumFailed { success, .. }
                        | PutRecordError::Timeout { success, .. },
                    ) => success,
                };
                let failed = peers.into_iter().filter(|peer| !stored.contains(peer)).collect();
                self.end_put(&key, reply, Ok(Publication { stored, failed }));
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

    /// The second half of a put.
    fn put_to_closest(
        &mut self,
        record: Record,
        reply: Option<PutReply>,
        closest: Result<GetClosestPeersOk, GetClosestPeersError>,
    ) {
        let timed_out = closest.is_err();
        let (Ok(GetClosestPeersOk { peers, .. }) | Err(GetClosestPeersError::Timeout { peers, .. })) =
            closest;
        if peers.is_empty() {
            let error = if timed_out { PublishError::TimedOut } else { PublishError::NoPeers };
            self.end_put(&record.key, reply, Err(error));
            return;
        }
        let peers: Vec<_> = peers.into_iter().map(|peer| peer.peer_id).collect();
        let key = record.key.clone();
        // Of all of them: so a shortfall tells who did store it.
        let id = self.inner.kad.put_record_to(record, peers.iter().copied(), Quorum::All);
        self.turns.run(id, Run::Store { key, peers, reply });
    }

    fn end_put(&mut self, key: &RecordKey, reply: Option<PutReply>, result: Announced) {
        if self.own_record(key).is_some() {
            let reached = result.as_ref().is_ok_and(|publication| !publication.stored.is_empty());
            self.published.ended(key, reached, self.config.publishing.record_interval);
        } else {
            self.published.forget(key);
        }
        if let Some(reply) = reply {
            // Who no longer waits needs no answer.
            let _ = reply.send(result);
        }
    }

    /// Ends all publishing, for good.
    pub(crate) fn end_publishing(&mut self) {
        for id in self.turns.withdraw_all() {
            self.finish(&id);
        }
        self.published = Published::default();
        for key in std::mem::take(&mut self.provided).keys.into_keys() {
            self.inner.kad.stop_providing(&key);
        }
    }
}

fn refused(error: &store::Error, key: &RecordKey, bytes: usize, limits: &StoreLimits) -> PublishError {
    let (key_bytes, max) = (key.as_ref().len(), limits.key_bytes_max);
    match error {
        // libp2p-kad has one error for both.
        store::Error::ValueTooLarge if key_bytes > max => PublishError::KeyTooLong { bytes: key_bytes, max },
        store::Error::MaxRecords => PublishError::StoreFull { what: "records", max: limits.records_max },
        store::Error::MaxProvidedKeys => {
            PublishError::StoreFull { what: "provided keys", max: limits.provided_keys_max }
        }
        store::Error::ValueTooLarge => PublishError::ValueTooLarge { bytes, max: limits.value_bytes_max },
    }
}

#[cfg(test)]
mod tests {
    use futures::channel::oneshot;
    use libp2p::PeerId;

    use super::*;
    use crate::Config;
    use crate::network::record_key;

    #[test]
    fn only_so_many_puts_wait_for_their_turn() {
        let config = Config { commands_max: 2, ..Config::default() };
        let (mut behaviour, _client) = Behaviour::new(PeerId::random(), config);
        let mut results: Vec<_> = (0..3)
            .map(|n| {
                let (reply, result) = oneshot::channel();
                behaviour.put(Record::new(record_key("t", &[n]), vec![]), reply);
                result
            })
            .collect();
        let refused = Err(PublishError::Busy { max: 2 });
        assert_eq!(
            results.pop().and_then(|mut last| last.try_recv().expect("it was answered")),
            Some(refused)
        );
        assert!(results.iter_mut().all(|result| result.try_recv() == Ok(None)));
        assert!(behaviour.own_record(&record_key("t", &[2])).is_none(), "it is not stored either");
    }
}
