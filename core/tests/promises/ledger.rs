//! What a reader of the inputs and outputs knows: which queries live, which contacts are in flight, and
//! which of them are overdue. It shares nothing with the engine but the definitions.

use std::collections::BTreeMap;
use std::time::Duration;

use dragnet_core::{
    Agreement, Delivery, Network, Output, Query, QueryConfig, QueryId, RequestId, Source, Step, Time,
};

use super::network::Toy;
use super::world::{Event, Input};

#[derive(Default)]
pub(crate) struct Ledger {
    pub(crate) queries: BTreeMap<QueryId, Asked>,
    pub(crate) contacts: BTreeMap<RequestId, Open>,
}

/// A query that was started.
pub(crate) struct Asked {
    pub(crate) query: Query<Toy>,
    pub(crate) deadline: Time,
    pub(crate) is_finished: bool,
}

impl Asked {
    pub(crate) fn config(&self) -> &QueryConfig {
        &self.query.config
    }

    /// Whether items may wait for others to confirm them, or for the end.
    pub(crate) fn holds_back(&self) -> bool {
        let agreement = self.query.disjoint.unwrap_or_default();
        self.config().delivery != Delivery::Immediate || agreement != Agreement::One
    }
}

/// A contact or a lookup that has begun and not ended.
#[derive(Clone, Debug)]
pub(crate) struct Open {
    pub(crate) query: QueryId,
    /// The peer and for which lane; nobody's is a lookup.
    pub(crate) asked: Option<(u8, Step)>,
    pub(crate) sent: Time,
    /// Whether the transport has said so.
    pub(crate) is_sent: bool,
    pub(crate) is_overdue: bool,
}

/// Whether something set for a time is due. The end of time never comes.
pub(crate) fn is_due(at: Time, now: Time) -> bool {
    at != Time::MAX && at <= now
}

impl Ledger {
    /// Time passes and the input takes effect, as far as the reader can tell before the outputs.
    pub(crate) fn begin(&mut self, event: &Event) {
        let is_stale = self.is_stale(event);
        for open in self.contacts.values_mut() {
            let config = self.queries[&open.query].config();
            let becomes_overdue = config.soft_timeout < config.request_timeout && open.asked.is_some();
            open.is_overdue |= becomes_overdue && is_due(open.sent + config.soft_timeout, event.now);
        }
        if let (Input::Start(query), Some(Ok(id))) = (&event.input, &event.started) {
            let asked = Asked {
                query: (**query).clone(),
                deadline: event.now + query.config.timeout,
                is_finished: false,
            };
            self.queries.insert(*id, asked);
        }
        if let Some(request) = event.input.request().filter(|_| !is_stale)
            && !matches!(event.input, Input::Progress(..))
        {
            if let Input::Sent(_) = event.input {
                let open = self.contacts.get_mut(&request).expect("it is not stale");
                (open.sent, open.is_sent) = (event.now, true);
            } else {
                self.contacts.remove(&request);
            }
        }
    }

    /// Whether the input is for a contact or lookup that, at the input's time, is not in flight.
    pub(crate) fn is_stale(&self, event: &Event) -> bool {
        let Some(request) = event.input.request() else { return false };
        let Some(open) = self.contacts.get(&request) else { return true };
        let is_for_lookups = matches!(event.input, Input::Progress(..) | Input::Done(..));
        let asked = &self.queries[&open.query];
        let is_sent = matches!(event.input, Input::Sent(_)) && (open.is_sent || open.asked.is_none());
        is_sent
            || is_for_lookups && open.asked.is_some()
            || is_due(asked.deadline, event.now)
            || is_due(self.given_up_at(open), event.now)
    }

    pub(crate) fn output(&mut self, event: &Event, output: &Output<Toy>) {
        match output {
            Output::Contact { request, query, peer, step, .. } => {
                self.open(event, *request, *query, Some((*peer, *step)));
            }
            Output::Lookup { request, query, .. } => self.open(event, *request, *query, None),
            Output::Release { request } => {
                self.contacts.remove(request);
            }
            Output::Finished { query, .. } => {
                if let Some(asked) = self.queries.get_mut(query) {
                    asked.is_finished = true;
                }
            }
            _ => {}
        }
    }

    fn open(&mut self, event: &Event, request: RequestId, query: QueryId, asked: Option<(u8, Step)>) {
        if self.queries.contains_key(&query) {
            self.contacts
                .insert(request, Open { query, asked, sent: event.now, is_sent: false, is_overdue: false });
        }
    }

    pub(crate) fn live(&self) -> impl Iterator<Item = (&QueryId, &Asked)> {
        self.queries.iter().filter(|(_, asked)| !asked.is_finished)
    }

    /// When a contact is given up, unless its query ends first.
    pub(crate) fn given_up_at(&self, open: &Open) -> Time {
        let request_timeout = self.queries[&open.query].config().request_timeout;
        if open.asked.is_some() { open.sent + request_timeout } else { Time::MAX }
    }

    /// When a tick would next do something.
    pub(crate) fn timeout(&self) -> Option<Time> {
        let deadlines = self.live().map(|(_, asked)| asked.deadline);
        let contacts = self.contacts.values().filter(|open| open.asked.is_some()).map(|open| {
            let soft = self.queries[&open.query].config().soft_timeout;
            let soft = if open.is_overdue { Duration::MAX } else { soft };
            self.given_up_at(open).min(open.sent + soft)
        });
        deadlines.chain(contacts).filter(|at| *at != Time::MAX).min()
    }

    /// How many contacts of a lane are in flight to a source: those expected, and those overdue.
    pub(crate) fn in_flight(&self, query: QueryId, lane: Step, source: Source) -> (usize, usize) {
        let of_lane = |open: &&Open| {
            open.query == query
                && open.asked.is_some_and(|(peer, step)| step == lane && Toy::source(&peer) == source)
        };
        let all: Vec<&Open> = self.contacts.values().filter(of_lane).collect();
        let overdue = all.iter().filter(|open| open.is_overdue).count();
        (all.len() - overdue, overdue)
    }
}
