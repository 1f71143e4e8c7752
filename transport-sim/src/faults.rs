//! What goes wrong: an explicit list of faults, each with what, whom, from when and to when.

use std::fmt;

use dragnet_core::Time;
use serde::{Deserialize, Serialize};

use crate::draw::{Draw, Purpose, Share};
use crate::peers::PeerId;

/// One fault: a kind of trouble, whom it befalls, and when. The list of a run's faults is all that goes
/// wrong in it, beside what its [`SimConfig`](crate::SimConfig) says of dead peers and lost messages.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Fault {
    /// What happens.
    #[serde(flatten)]
    pub kind: FaultKind,
    /// To whom.
    pub whom: Whom,
    /// From when on.
    #[serde(with = "nanos")]
    pub from: Time,
    /// Until when; from then on all is well again.
    #[serde(with = "nanos")]
    pub until: Time,
}

/// A kind of trouble. Those of messages strike what a peer sends and what it is sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
#[non_exhaustive]
pub enum FaultKind {
    /// The peer takes requests and answers none.
    Silent,
    /// The peer refuses every request.
    Refusing,
    /// The peer takes so much longer to answer, give or take half of it.
    Slow {
        /// Milliseconds.
        by_ms: u32,
    },
    /// The peer is so many times as far away: its answers take so many times as long as they would.
    Slower {
        /// How many times.
        times: u32,
    },
    /// The peer's process is down: connections fail. When the fault ends it is back, with its data.
    Crashed,
    /// Messages get lost.
    Loss {
        /// Which share of them.
        share: Share,
    },
    /// Replies come twice.
    Duplication {
        /// Which share of them.
        share: Share,
    },
    /// Messages are overtaken by later ones.
    Reordering {
        /// Which share of them.
        share: Share,
        /// By up to so many milliseconds.
        by_ms: u32,
    },
    /// Messages are held back, and all come when the fault ends.
    Clogged,
    /// Those whom it befalls are cut off from all others.
    Partition {
        /// Only what they send is lost: they still hear.
        #[serde(default)]
        one_way: bool,
    },
    /// The peer tampers with items, and invents one if it has none.
    CorruptItems,
    /// The peer answers with a sound item that belongs to another key.
    OtherKeys,
    /// The peer adds invented items that look sound.
    FloodItems {
        /// So many in each reply.
        count: u32,
    },
    /// The peer adds invented closer peers, anywhere in the key space.
    FloodPeers {
        /// So many in each reply.
        count: u32,
    },
    /// The peer gives another version of what it holds, which looks sound, and is the same from all who
    /// forge.
    ForgedItems,
    /// The peer keeps what it holds to itself and names only invented peers, nearer to the target than any
    /// real one; they answer, and name each other (a Sybil attack).
    Sybils {
        /// So many for each target.
        count: u32,
    },
}

/// Whom a fault befalls.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Whom {
    /// Everybody.
    All,
    /// One peer.
    Peer(PeerId),
    /// A share of the peers (and clients), drawn from the run's seed and the salt.
    Share {
        /// Which share.
        share: Share,
        /// Two faults with one salt befall the same peers.
        salt: u64,
    },
    /// The messages between two peers, both ways. Only for kinds that strike messages.
    Link(PeerId, PeerId),
}

impl Fault {
    /// A fault that lasts for the whole run.
    pub const fn new(kind: FaultKind, whom: Whom) -> Self {
        Self { kind, whom, from: Time::ZERO, until: Time::MAX }
    }

    /// Limits it to a time: from the first, and until before the second.
    #[must_use]
    pub const fn between(mut self, from: Time, until: Time) -> Self {
        self.from = from;
        self.until = until;
        self
    }

    /// Checks its figures and times.
    ///
    /// # Errors
    ///
    /// What is out of its range.
    pub fn check(&self) -> Result<(), FaultError> {
        let (what, value, max) = match self.kind {
            FaultKind::Sybils { count } => ("count", count, 256),
            FaultKind::FloodItems { count } | FaultKind::FloodPeers { count } => ("count", count, 100_000),
            FaultKind::Slow { by_ms } | FaultKind::Reordering { by_ms, .. } => ("by_ms", by_ms, 3_600_000),
            FaultKind::Slower { times } => ("times", times, 1_000),
            _ => ("count", 1, 1),
        };
        if value == 0 || value > max {
            return Err(FaultError::Figure { kind: self.kind.name(), what, value, max });
        }
        if self.from >= self.until {
            return Err(FaultError::Times { kind: self.kind.name(), from: self.from, until: self.until });
        }
        Ok(())
    }

    /// Whether it is in force.
    pub fn is_on(&self, now: Time) -> bool {
        self.from <= now && now < self.until
    }
}

impl FaultKind {
    /// The names of all kinds, as scenarios and reports write them, in the order of [`Strikes`].
    pub const NAMES: [&'static str; 16] = [
        "silent",
        "refusing",
        "slow",
        "slower",
        "crashed",
        "loss",
        "duplication",
        "reordering",
        "clogged",
        "partition",
        "corrupt-items",
        "other-keys",
        "flood-items",
        "flood-peers",
        "sybils",
        "forged-items",
    ];

    /// The kind's name.
    pub const fn name(&self) -> &'static str {
        Self::NAMES[self.index()]
    }

    /// Whether it strikes messages on their way, not peers.
    pub const fn is_of_messages(&self) -> bool {
        matches!(
            self,
            Self::Loss { .. }
                | Self::Duplication { .. }
                | Self::Reordering { .. }
                | Self::Clogged
                | Self::Partition { .. }
        )
    }

    const fn index(&self) -> usize {
        match self {
            Self::Silent => 0,
            Self::Refusing => 1,
            Self::Slow { .. } => 2,
            Self::Slower { .. } => 3,
            Self::Crashed => 4,
            Self::Loss { .. } => 5,
            Self::Duplication { .. } => 6,
            Self::Reordering { .. } => 7,
            Self::Clogged => 8,
            Self::Partition { .. } => 9,
            Self::CorruptItems => 10,
            Self::OtherKeys => 11,
            Self::FloodItems { .. } => 12,
            Self::FloodPeers { .. } => 13,
            Self::Sybils { .. } => 14,
            Self::ForgedItems => 15,
        }
    }
}

/// Why there can be no such fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FaultError {
    /// A figure is out of its range.
    #[error("{kind}: {what} is {value}, and must be from 1 to {max}")]
    Figure {
        /// The kind of fault.
        kind: &'static str,
        /// Which figure.
        what: &'static str,
        /// What it is.
        value: u32,
        /// The most that it may be.
        max: u32,
    },
    /// It ends before it begins.
    #[error("{kind}: from {from:?} until {until:?} is no time at all")]
    Times {
        /// The kind of fault.
        kind: &'static str,
        /// From when.
        from: Time,
        /// Until when.
        until: Time,
    },
}

/// How often each kind of fault struck. A test that relies on a fault asserts that it did.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Strikes {
    counts: [u64; FaultKind::NAMES.len()],
}

impl Strikes {
    /// How often faults of this kind struck, whatever their figures are.
    pub const fn of(&self, kind: FaultKind) -> u64 {
        self.counts[kind.index()]
    }

    /// The kinds that struck, by name, and how often.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        FaultKind::NAMES.into_iter().zip(self.counts).filter(|(_, count)| *count > 0)
    }

    pub(crate) const fn add(&mut self, kind: FaultKind) {
        self.counts[kind.index()] += 1;
    }
}

impl fmt::Debug for Strikes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl Whom {
    /// Whether the fault befalls a peer.
    pub(crate) fn is(&self, peer: PeerId, draw: Draw) -> bool {
        match self {
            Self::All => true,
            Self::Peer(whom) => *whom == peer,
            Self::Share { share, salt } => share.hit(draw.word(*salt, peer.prefix())),
            Self::Link(..) => false,
        }
    }

    /// Whether the fault befalls a message.
    pub(crate) fn is_between(&self, from: PeerId, to: PeerId, draw: Draw) -> bool {
        match self {
            Self::Link(a, b) => (from, to) == (*a, *b) || (from, to) == (*b, *a),
            _ => self.is(from, draw) || self.is(to, draw),
        }
    }
}

/// The draws that [`Whom::Share`] is decided by.
pub(crate) const fn whom_draw(seed: u64) -> Draw {
    Draw::new(seed, Purpose::Whom)
}

/// A time as its nanoseconds.
mod nanos {
    use dragnet_core::Time;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(time: &Time, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(time.as_nanos())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Time, D::Error> {
        u64::deserialize(from).map(Time::from_nanos)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_as_large_as_it_says_and_salts_draw_apart() {
        let draw = whom_draw(1);
        let count = |salt| {
            let whom = Whom::Share { share: Share::percent(20), salt };
            (0..1_000u64).filter(|n| whom.is(PeerId::new(crate::draw::mix(*n)), draw)).collect::<Vec<_>>()
        };
        assert!((150..250).contains(&count(1).len()), "{}", count(1).len());
        assert_ne!(count(1), count(2));
    }

    #[test]
    fn a_link_has_two_ends_and_a_peers_messages_go_both_ways() {
        let (a, b, c) = (PeerId::new(1), PeerId::new(2), PeerId::new(3));
        let draw = whom_draw(1);
        let link = Whom::Link(a, b);
        assert!(link.is_between(a, b, draw) && link.is_between(b, a, draw));
        assert!(!link.is_between(a, c, draw) && !link.is(a, draw));
        let peer = Whom::Peer(a);
        assert!(peer.is_between(a, c, draw) && peer.is_between(c, a, draw) && !peer.is_between(b, c, draw));
    }

    #[test]
    fn a_fault_is_on_from_its_first_moment_until_before_its_last() {
        let fault =
            Fault::new(FaultKind::Silent, Whom::All).between(Time::from_millis(5), Time::from_millis(9));
        let on = [4, 5, 8, 9].map(|ms| fault.is_on(Time::from_millis(ms)));
        assert_eq!(on, [false, true, true, false]);
    }

    #[test]
    fn every_kind_is_written_under_its_name() {
        let share = Share::percent(1);
        let kinds = [
            FaultKind::Silent,
            FaultKind::Refusing,
            FaultKind::Slow { by_ms: 1 },
            FaultKind::Slower { times: 2 },
            FaultKind::Crashed,
            FaultKind::Loss { share },
            FaultKind::Duplication { share },
            FaultKind::Reordering { share, by_ms: 1 },
            FaultKind::Clogged,
            FaultKind::Partition { one_way: true },
            FaultKind::CorruptItems,
            FaultKind::OtherKeys,
            FaultKind::FloodItems { count: 1 },
            FaultKind::FloodPeers { count: 1 },
            FaultKind::Sybils { count: 1 },
            FaultKind::ForgedItems,
        ];
        for (kind, name) in kinds.into_iter().zip(FaultKind::NAMES) {
            assert_eq!(kind.name(), name);
            let fault = Fault::new(kind, Whom::Link(PeerId::new(1), PeerId::new(2)));
            let json = serde_json::to_string(&fault).unwrap();
            assert!(json.contains(&format!("\"kind\":\"{name}\"")), "{json}");
            assert_eq!(serde_json::from_str::<Fault>(&json).unwrap(), fault);
        }
    }
}
