//! `[[fault]]`: rules from which the explicit list of faults is drawn.

use dragnet_core::Time;
use serde::{Deserialize, Serialize};

use super::{ScenarioError, within};
use crate::draw::{Draw, Purpose, Share, below};
use crate::faults::{Fault, FaultKind, Whom, whom_draw};
use crate::sim::Sim;

/// What goes wrong, for whom and when; the seed decides which peers it befalls.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultRule {
    /// What.
    pub kind: KindName,
    /// For which share of the peers. All.
    #[serde(default = "all")]
    pub share: Share,
    /// From when on.
    #[serde(default)]
    pub from_ms: u64,
    /// Until when. To the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_ms: Option<u64>,
    /// Each peer's fault begins at a time of its own between the two, and lasts so long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lasts_ms: Option<u64>,
    /// Which share of the messages: of `loss`, `duplication` and `reordering`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub messages: Option<Share>,
    /// By how much: of `slow` and `reordering`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by_ms: Option<u32>,
    /// How many times as long: of `slower`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<u32>,
    /// How many: of floods and `sybils`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u32>,
    /// Of `partition`: only what the cut off send is lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub one_way: Option<bool>,
}

const fn all() -> Share {
    Share::ALL
}

/// The kinds of faults, as [`FaultKind`] without figures.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "each is the kind of its name")]
pub enum KindName {
    Silent,
    Refusing,
    Slow,
    Slower,
    Crashed,
    Loss,
    Duplication,
    Reordering,
    Clogged,
    Partition,
    CorruptItems,
    OtherKeys,
    ForgedItems,
    FloodItems,
    FloodPeers,
    Sybils,
}

/// A fault of more peers than this is recorded as a share of them, not peer by peer.
const LISTED_MAX: usize = 50_000;

impl FaultRule {
    /// Checks the rule, the `number`th of its scenario.
    pub(super) fn check(&self, number: usize) -> Result<(), ScenarioError> {
        let kind = self.kind(number)?;
        let key = |name: &str| format!("fault {number} ({}): {name}", kind.name());
        let until = self.until_ms.unwrap_or(u64::MAX);
        if until <= self.from_ms {
            return Err(ScenarioError::Value {
                key: key("until_ms"),
                value: until.to_string(),
                expected: format!("above from_ms, which is {}", self.from_ms),
            });
        }
        if self.lasts_ms.is_some() && self.until_ms.is_none() {
            return Err(ScenarioError::Value {
                key: key("until_ms"),
                value: "missing".to_owned(),
                expected: "given where lasts_ms is".to_owned(),
            });
        }
        within(&key("lasts_ms"), &self.lasts_ms.unwrap_or(1), 1, 86_400_000)?;
        Fault::new(kind, Whom::All).check().map_err(|why| ScenarioError::Fault { number, why })?;
        if matches!(kind, FaultKind::Clogged) && self.until_ms.is_none() {
            return Err(ScenarioError::Value {
                key: key("until_ms"),
                value: "missing".to_owned(),
                expected: "given: a link that is clogged for ever is a partition".to_owned(),
            });
        }
        Ok(())
    }

    /// Draws the explicit faults of the `number`th rule.
    pub(crate) fn draw(&self, number: usize, sim: &Sim, seed: u64) -> Result<Vec<Fault>, ScenarioError> {
        let kind = self.kind(number)?;
        let salt = number as u64;
        let from = Time::from_millis(self.from_ms);
        let until = self.until_ms.map_or(Time::MAX, Time::from_millis);
        let many = match self.share {
            Share::ALL => Whom::All,
            share => Whom::Share { share, salt },
        };
        let together = vec![Fault::new(kind, many).between(from, until)];
        let listed = !kind.is_of_messages() || matches!(kind, FaultKind::Clogged);
        if self.lasts_ms.is_none() && (!listed || self.share == Share::ALL) {
            return Ok(together);
        }
        let (whom, draw) = (whom_draw(seed), Draw::new(seed, Purpose::Faults).narrow(salt));
        let befallen = (0..sim.peers()).map(|rank| sim.peer(rank)).filter(|peer| many.is(*peer, whom));
        let mut faults = Vec::new();
        for peer in befallen {
            if faults.len() == LISTED_MAX {
                return Ok(together);
            }
            let (from, until) = match self.lasts_ms {
                None => (from, until),
                Some(lasts) => {
                    let span = self.until_ms.unwrap_or(self.from_ms) - self.from_ms;
                    let start = self.from_ms + below(draw.word(peer.prefix(), 0), span);
                    (Time::from_millis(start), Time::from_millis(start.saturating_add(lasts)))
                }
            };
            faults.push(Fault::new(kind, Whom::Peer(peer)).between(from, until));
        }
        Ok(faults)
    }

    /// The kind with its figures: those that it needs, and no others.
    fn kind(&self, number: usize) -> Result<FaultKind, ScenarioError> {
        let (messages, by_ms, count) = (self.messages, self.by_ms, self.count);
        if let Some(times) = self.times {
            let others = (messages, by_ms, count, self.one_way);
            return match (self.kind, others) {
                (KindName::Slower, (None, None, None, None)) => Ok(FaultKind::Slower { times }),
                _ => Err(self.misfit(number)),
            };
        }
        let kind = match (self.kind, messages, by_ms, count, self.one_way) {
            (KindName::Silent, None, None, None, None) => FaultKind::Silent,
            (KindName::Refusing, None, None, None, None) => FaultKind::Refusing,
            (KindName::Crashed, None, None, None, None) => FaultKind::Crashed,
            (KindName::Clogged, None, None, None, None) => FaultKind::Clogged,
            (KindName::CorruptItems, None, None, None, None) => FaultKind::CorruptItems,
            (KindName::OtherKeys, None, None, None, None) => FaultKind::OtherKeys,
            (KindName::ForgedItems, None, None, None, None) => FaultKind::ForgedItems,
            (KindName::Slow, None, Some(by_ms), None, None) => FaultKind::Slow { by_ms },
            (KindName::Loss, Some(share), None, None, None) => FaultKind::Loss { share },
            (KindName::Duplication, Some(share), None, None, None) => FaultKind::Duplication { share },
            (KindName::Reordering, Some(share), Some(by_ms), None, None) => {
                FaultKind::Reordering { share, by_ms }
            }
            (KindName::Partition, None, None, None, one_way) => {
                FaultKind::Partition { one_way: one_way.unwrap_or(false) }
            }
            (KindName::FloodItems, None, None, Some(count), None) => FaultKind::FloodItems { count },
            (KindName::FloodPeers, None, None, Some(count), None) => FaultKind::FloodPeers { count },
            (KindName::Sybils, None, None, Some(count), None) => FaultKind::Sybils { count },
            _ => return Err(self.misfit(number)),
        };
        Ok(kind)
    }

    /// Names the figures that a kind has.
    fn misfit(&self, number: usize) -> ScenarioError {
        let expected = match self.kind {
            KindName::Slow => "by_ms alone",
            KindName::Slower => "times alone",
            KindName::Loss | KindName::Duplication => "messages alone",
            KindName::Reordering => "messages and by_ms",
            KindName::Partition => "one_way or nothing",
            KindName::FloodItems | KindName::FloodPeers | KindName::Sybils => "count alone",
            _ => "none of messages, by_ms, times, count and one_way",
        };
        let given = [
            ("messages", self.messages.is_some()),
            ("by_ms", self.by_ms.is_some()),
            ("times", self.times.is_some()),
            ("count", self.count.is_some()),
            ("one_way", self.one_way.is_some()),
        ];
        let given: Vec<&str> = given.into_iter().filter(|(_, given)| *given).map(|(name, _)| name).collect();
        ScenarioError::Value {
            key: format!("the figure of fault {number} ({:?})", self.kind),
            value: if given.is_empty() { "missing".to_owned() } else { given.join(" and ") },
            expected: expected.to_owned(),
        }
    }
}
