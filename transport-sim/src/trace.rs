//! Every contact of a run, for a picture of it.

use dragnet_core::{QueryId, Step, Time};

use crate::peers::PeerId;

/// The contacts of a run, in the order in which they were sent.
#[derive(Debug, Default)]
pub struct Trace {
    contacts: Vec<TracedContact>,
}

/// One contact.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct TracedContact {
    /// Which client asked; clients count from 0.
    pub client: u32,
    /// For which query.
    pub query: QueryId,
    /// Whom.
    pub peer: PeerId,
    /// In which lane.
    pub step: Step,
    /// When the request was sent.
    pub sent: Time,
    /// When it ended; `None` while it is under way.
    pub ended: Option<Time>,
    /// What became of it.
    pub how: Ended,
}

/// What became of a contact.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Ended {
    /// Nothing yet.
    UnderWay,
    /// A reply came, with so many items.
    Replied {
        /// How many.
        items: u32,
    },
    /// The network said that it failed.
    Failed,
    /// The asker let it go.
    Released,
}

impl Trace {
    /// All contacts.
    pub fn contacts(&self) -> &[TracedContact] {
        &self.contacts
    }

    /// The contacts of one query.
    pub fn of(&self, query: QueryId) -> impl Iterator<Item = &TracedContact> {
        self.contacts.iter().filter(move |contact| contact.query == query)
    }

    pub(crate) fn sent(&mut self, client: u32, query: QueryId, peer: PeerId, step: Step, sent: Time) -> u32 {
        let how = Ended::UnderWay;
        self.contacts.push(TracedContact { client, query, peer, step, sent, ended: None, how });
        self.contacts.len() as u32 - 1
    }

    pub(crate) fn ended(&mut self, contact: u32, at: Time, how: Ended) {
        let contact = &mut self.contacts[contact as usize];
        contact.ended = Some(at);
        contact.how = how;
    }
}
