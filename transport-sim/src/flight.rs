//! What a recording of a driver says when it is replayed: its queries, and the contacts of each.

use std::io::Read;
use std::time::Duration;

use crate::placement::FixedMap;
use crate::trace::Ended;
use dragnet_core::record::{Ending, Head, Input, OpenError, Recorded, Replay, Replayed};
use dragnet_core::{Failure, Key, Outcome, Output, QueryId, RequestId, Route, Step, Time};

/// A recording, replayed as far as it goes.
#[derive(Debug)]
#[non_exhaustive]
pub struct Flight {
    /// What the recording says of itself.
    pub head: Head,
    /// Inputs replayed.
    pub inputs: u64,
    /// When the first and the last of them came.
    pub span: Option<(Time, Time)>,
    /// The first input of which the engine said something else than when it was recorded, and when it came.
    pub differs_at: Option<(u64, Time)>,
    /// How the recording ended.
    pub ending: Ending,
    /// Bytes of the file that stand.
    pub bytes: u64,
    /// Its queries, in the order in which they started.
    pub queries: Vec<FlownQuery>,
}

/// A query of a recording.
#[derive(Debug)]
#[non_exhaustive]
pub struct FlownQuery {
    /// Its id; `None` if it was refused.
    pub id: Option<QueryId>,
    /// What kind of request it is, as its network names it.
    pub kind: String,
    /// The request in words, if they were recorded.
    pub text: String,
    /// When it started.
    pub started: Time,
    /// When it ended, if it has.
    pub ended: Option<Time>,
    /// How it ended, if it has.
    pub outcome: Option<Outcome>,
    /// Its contacts and lookups, in the order in which they began. One that was given a kept answer has none; those of
    /// several that share their contacts are with the first of them.
    pub contacts: Vec<FlownContact>,
}

/// A contact of a recording, or a lookup that was left to the transport.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FlownContact {
    /// Whom; `None` of a lookup.
    pub peer: Option<String>,
    /// For which lane; that of a lookup is its route.
    pub step: Step,
    /// How many leading bits the peer's key shares with the target of its walk.
    pub shared_bits: Option<u32>,
    /// When it began.
    pub began: Time,
    /// When it left the transport's own queue, if that was said.
    pub sent: Option<Time>,
    /// When it ended.
    pub ended: Option<Time>,
    /// What became of it. A lookup has replied when it is done, with all that it brought.
    pub how: Ended,
    /// Why it failed, if it did.
    pub failure: Option<Failure>,
}

impl FlownQuery {
    /// From its start to its end.
    pub fn took(&self) -> Option<Duration> {
        Some(self.ended? - self.started)
    }

    /// Items delivered.
    pub fn results(&self) -> usize {
        self.outcome.as_ref().map_or(0, |outcome| outcome.results)
    }

    /// How it ended, in words.
    pub fn reason(&self) -> String {
        match (&self.outcome, self.id) {
            (Some(outcome), _) if outcome.cached.is_some() => format!("{} (kept)", outcome.reason),
            (Some(outcome), _) => outcome.reason.to_string(),
            (None, Some(_)) => "still running".to_owned(),
            (None, None) => "refused".to_owned(),
        }
    }
}

impl Flight {
    /// Replays a recording.
    ///
    /// # Errors
    ///
    /// Why nothing of it can be replayed.
    pub fn replay(file: impl Read) -> Result<Self, OpenError> {
        let mut replay = Replay::open(file)?;
        let mut log = Log::default();
        let (mut inputs, mut span, mut differs_at) = (0, None, None);
        for replayed in replay.by_ref() {
            inputs += 1;
            let (first, _) = span.unwrap_or((replayed.at, replayed.at));
            span = Some((first, replayed.at));
            if !replayed.is_as_recorded {
                differs_at.get_or_insert((replayed.number, replayed.at));
            }
            log.note(&replayed);
        }
        let ending = replay.ending().cloned().expect("it has come to its end");
        let (head, bytes) = (replay.head().clone(), replay.whole_bytes());
        Ok(Self { head, inputs, span, differs_at, ending, bytes, queries: log.queries })
    }

    /// Whether all that was recorded is there. It says nothing of what the recorder left out after it
    /// ([`is_early`](Self::is_early)), or of what the engine said ([`differs_at`](Self::differs_at)).
    pub const fn is_whole(&self) -> bool {
        matches!(self.ending, Ending::Whole(_))
    }

    /// Whether the recording stopped while the engine went on: what that was told afterwards is missing.
    pub const fn is_early(&self) -> bool {
        matches!(self.ending, Ending::Whole(why) if why.is_early())
    }

    /// The query of a number, or whose id begins so.
    pub fn find(&self, named: &str) -> Option<usize> {
        if let Ok(number) = named.parse::<usize>()
            && number < self.queries.len()
        {
            return Some(number);
        }
        let begins = |query: &FlownQuery| query.id.is_some_and(|id| id.to_string().starts_with(named));
        self.queries.iter().position(begins)
    }

    /// The query that is worth a look: of those that made contacts the one that took longest.
    pub fn slowest(&self) -> Option<usize> {
        let asked = |number: &usize| !self.queries[*number].contacts.is_empty();
        (0..self.queries.len()).filter(asked).max_by_key(|number| self.queries[*number].took())
    }
}

/// Collects the queries.
#[derive(Default)]
struct Log {
    queries: Vec<FlownQuery>,
    /// The targets of each query's routes.
    targets: Vec<Vec<Option<Key>>>,
    by_id: FixedMap<QueryId, usize>,
    /// Whose contact each is that is under way.
    open: FixedMap<RequestId, (usize, usize)>,
}

impl Log {
    fn note(&mut self, replayed: &Replayed) {
        match &replayed.input {
            Input::Start(query) => {
                let number = self.queries.len();
                let id = replayed.started.as_ref().and_then(|started| started.as_ref().ok()).copied();
                self.by_id.extend(id.map(|id| (id, number)));
                self.queries.push(FlownQuery {
                    id,
                    kind: query.request.kind().to_owned(),
                    text: query.request.text().to_owned(),
                    started: replayed.at,
                    ended: None,
                    outcome: None,
                    contacts: Vec::new(),
                });
                let target = |route: &Route<Recorded>| match route {
                    Route::Walk { target, .. } => Some(*target),
                    _ => None,
                };
                self.targets.push(query.routes.iter().map(target).collect());
            }
            Input::Sent(request) => {
                if let Some(contact) = self.contact(*request) {
                    contact.sent.get_or_insert(replayed.at);
                }
            }
            Input::Reply(request, reply) => {
                self.end(*request, replayed.at, Ended::Replied { items: narrow(reply.items.len()) }, None);
            }
            Input::Failure(request, failure) => {
                self.end(*request, replayed.at, Ended::Failed, Some(*failure));
            }
            Input::Progress(request, _, reply) => {
                if let Some(contact) = self.contact(*request) {
                    let before = if let Ended::Replied { items } = contact.how { items } else { 0 };
                    contact.how = Ended::Replied { items: before.saturating_add(narrow(reply.items.len())) };
                }
            }
            Input::Done(request, _) => self.end_lookup(*request, replayed.at),
            _ => {}
        }
        replayed.outputs.iter().for_each(|output| self.say(replayed.at, output));
    }

    fn say(&mut self, at: Time, output: &Output<Recorded>) {
        match output {
            Output::Contact { request, query, peer, step, .. } => {
                let Some(&number) = self.by_id.get(query) else { return };
                let target = match step {
                    Step::Route(route) => self.targets[number].get(usize::from(*route)).copied().flatten(),
                    Step::Fetch => None,
                };
                let shared_bits = target.map(|target| peer.key().distance(&target).leading_zeros());
                self.begin(*request, number, at, (Some(peer.to_string()), *step, shared_bits));
            }
            Output::Lookup { request, query, route, .. } => {
                let Some(&number) = self.by_id.get(query) else { return };
                self.begin(*request, number, at, (None, Step::Route(*route), None));
            }
            Output::Release { request } => self.end(*request, at, Ended::Released, None),
            Output::Finished { query, outcome } => {
                if let Some(&number) = self.by_id.get(query) {
                    self.queries[number].ended = Some(at);
                    self.queries[number].outcome = Some(outcome.clone());
                }
            }
            _ => {}
        }
    }

    fn begin(
        &mut self,
        request: RequestId,
        number: usize,
        began: Time,
        (peer, step, shared_bits): (Option<String>, Step, Option<u32>),
    ) {
        let contacts = &mut self.queries[number].contacts;
        self.open.insert(request, (number, contacts.len()));
        let (sent, ended, how, failure) = (None, None, Ended::UnderWay, None);
        contacts.push(FlownContact { peer, step, shared_bits, began, sent, ended, how, failure });
    }

    fn contact(&mut self, request: RequestId) -> Option<&mut FlownContact> {
        let (number, place) = *self.open.get(&request)?;
        self.queries[number].contacts.get_mut(place)
    }

    fn end(&mut self, request: RequestId, at: Time, how: Ended, failure: Option<Failure>) {
        if let Some(contact) = self.contact(request) {
            (contact.ended, contact.how, contact.failure) = (Some(at), how, failure);
            self.open.remove(&request);
        }
    }

    fn end_lookup(&mut self, request: RequestId, at: Time) {
        let how = self.contact(request).map_or(Ended::UnderWay, |contact| contact.how);
        let how = if how == Ended::UnderWay { Ended::Replied { items: 0 } } else { how };
        self.end(request, at, how, None);
    }
}

fn narrow(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
