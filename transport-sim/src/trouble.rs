//! Which faults strike whom, and when: decides, counts, and changes nothing itself.

use std::time::Duration;

use dragnet_core::{Reply, Time};

use crate::draw::{Draw, Purpose, Share, below, mix};
use crate::faults::{Fault, FaultKind, Strikes, Whom, whom_draw};
use crate::network::{Request, SimItem, SimNet};
use crate::peers::{PeerId, prefix};
use crate::placement::FixedMap;

/// The faults of a run, so ordered that those of one peer are found at once.
#[derive(Debug)]
pub(crate) struct Trouble {
    faults: Vec<Fault>,
    /// How often each struck.
    struck: Vec<u64>,
    pub(crate) strikes: Strikes,
    /// The faults of one peer.
    of_peer: FixedMap<PeerId, Vec<u32>>,
    /// All others, looked at each time. A list has few of them.
    of_many: Vec<u32>,
    whom: Draw,
    draw: Draw,
    sybils: u64,
}

/// What a peer makes of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Manner {
    /// It answers after so long, and the way to it and back is so many times as long.
    Answers { after: Duration, times: u32 },
    /// It does not.
    Silent,
    /// It says no.
    Refuses,
    /// It is not running.
    Down,
}

/// What becomes of a message on its way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Way {
    /// It takes so much longer, and comes no sooner than at the time given.
    Open { longer: Duration, not_before: Time },
    /// It gets lost.
    Lost,
}

impl Trouble {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            faults: Vec::new(),
            struck: Vec::new(),
            strikes: Strikes::default(),
            of_peer: FixedMap::default(),
            of_many: Vec::new(),
            whom: whom_draw(seed),
            draw: Draw::new(seed, Purpose::Faults),
            sybils: Draw::new(seed, Purpose::Sybils).word(0, 0),
        }
    }

    pub(crate) fn add(&mut self, fault: Fault) {
        let number = self.faults.len() as u32;
        match fault.whom {
            Whom::Peer(peer) => self.of_peer.entry(peer).or_default().push(number),
            Whom::All | Whom::Share { .. } | Whom::Link(..) => self.of_many.push(number),
        }
        self.faults.push(fault);
        self.struck.push(0);
    }

    pub(crate) fn faults(&self) -> &[Fault] {
        &self.faults
    }

    /// How often each fault struck, in the order of the list.
    pub(crate) fn struck(&self) -> &[u64] {
        &self.struck
    }

    /// How a peer meets a request. The first fault in the list that keeps it from answering decides.
    pub(crate) fn manner(&mut self, peer: PeerId, request: u64, now: Time) -> Manner {
        let (mut after, mut longer) = (Duration::ZERO, 1u32);
        for number in self.on(peer, now) {
            let manner = match self.faults[number as usize].kind {
                FaultKind::Silent => Manner::Silent,
                FaultKind::Refusing => Manner::Refuses,
                FaultKind::Crashed => Manner::Down,
                FaultKind::Slow { by_ms } => {
                    let by_us = u64::from(by_ms) * 1000;
                    let word = self.draw.narrow(u64::from(number)).word(peer.prefix(), request);
                    after += Duration::from_micros(by_us / 2 + below(word, by_us + 1));
                    self.strike(number);
                    continue;
                }
                FaultKind::Slower { times } => {
                    longer = longer.saturating_mul(times);
                    self.strike(number);
                    continue;
                }
                _ => continue,
            };
            self.strike(number);
            return manner;
        }
        Manner::Answers { after, times: longer }
    }

    /// What a lying peer makes of its reply.
    pub(crate) fn lie(
        &mut self,
        peer: PeerId,
        ask: &Request,
        reply: &mut Reply<SimNet>,
        walking: bool,
        now: Time,
    ) {
        let wants_items = matches!(ask, Request::Get(_)) || !walking;
        for number in self.on(peer, now) {
            match self.faults[number as usize].kind {
                FaultKind::CorruptItems if wants_items => {
                    if reply.items.is_empty() {
                        reply.items.push(SimItem::new(*ask.key(), peer.prefix()));
                    }
                    reply.items.iter_mut().for_each(SimItem::corrupt);
                }
                FaultKind::OtherKeys if wants_items => {
                    let other = PeerId::new(mix(prefix(ask.key())));
                    reply.items.push(SimItem::new(other.key(), peer.prefix()));
                }
                FaultKind::ForgedItems if !reply.items.is_empty() => {
                    reply.items.iter_mut().for_each(|item| *item = item.invented());
                }
                FaultKind::FloodItems { count } if wants_items => {
                    let draw = self.draw.narrow(peer.prefix());
                    let invented = |n| SimItem::new(*ask.key(), draw.word(u64::from(n), 1)).invented();
                    reply.items.extend((0..count).map(invented));
                }
                FaultKind::FloodPeers { count } if walking => {
                    let draw = self.draw.narrow(peer.prefix());
                    let invented = |n| PeerId::new(draw.word(u64::from(n), 2));
                    reply.closer.splice(0..0, (0..count).map(invented));
                }
                FaultKind::Sybils { count } if walking => {
                    reply.closer = self.sybils_near(prefix(ask.key()), peer, count);
                    reply.providers.clear();
                    reply.items.clear();
                }
                _ => continue,
            }
            self.strike(number);
        }
    }

    /// The answer of a peer that was invented, if it was.
    pub(crate) fn sybil(
        &mut self,
        peer: PeerId,
        ask: &Request,
        walking: bool,
        now: Time,
    ) -> Option<Reply<SimNet>> {
        if !self.is_sybil(peer) {
            return None;
        }
        let sybils = |fault: &Fault| matches!(fault.kind, FaultKind::Sybils { .. }) && fault.is_on(now);
        let number = self.faults.iter().position(sybils)? as u32;
        let FaultKind::Sybils { count } = self.faults[number as usize].kind else { return None };
        self.strike(number);
        let closer = if walking { self.sybils_near(prefix(ask.key()), peer, count) } else { Vec::new() };
        Some(Reply::with_closer(closer))
    }

    /// What becomes of a message. Each fault draws for itself.
    pub(crate) fn way(&mut self, from: PeerId, to: PeerId, message: u64, now: Time) -> Way {
        let (mut longer, mut not_before) = (Duration::ZERO, Time::ZERO);
        if self.faults.is_empty() {
            return Way::Open { longer, not_before };
        }
        for number in self.between(from, to, now) {
            let fault = self.faults[number as usize];
            let draw = self.draw.narrow(u64::from(number)).narrow(from.prefix());
            let word = draw.word(to.prefix(), message);
            let hit = |share: Share| share.hit(word);
            match fault.kind {
                FaultKind::Loss { share } if hit(share) => {
                    self.strike(number);
                    return Way::Lost;
                }
                FaultKind::Partition { one_way } => {
                    let (inside, outside) = (fault.whom.is(from, self.whom), fault.whom.is(to, self.whom));
                    let linked = matches!(fault.whom, Whom::Link(..));
                    if linked || (inside && !outside) || (!one_way && inside != outside) {
                        self.strike(number);
                        return Way::Lost;
                    }
                }
                FaultKind::Reordering { share, by_ms } if hit(share) => {
                    self.strike(number);
                    let word = draw.word(to.prefix(), message ^ u64::MAX);
                    longer += Duration::from_micros(below(word, u64::from(by_ms) * 1000 + 1));
                }
                FaultKind::Clogged => {
                    self.strike(number);
                    not_before = not_before.max(fault.until);
                }
                _ => {}
            }
        }
        Way::Open { longer, not_before }
    }

    /// Whether a reply comes twice.
    pub(crate) fn repeats(&mut self, from: PeerId, to: PeerId, message: u64, now: Time) -> bool {
        let mut repeats = false;
        for number in self.between(from, to, now) {
            if let FaultKind::Duplication { share } = self.faults[number as usize].kind {
                let draw = self.draw.narrow(u64::from(number)).narrow(from.prefix());
                if share.hit(draw.word(to.prefix(), message)) {
                    self.strike(number);
                    repeats = true;
                }
            }
        }
        repeats
    }

    fn strike(&mut self, number: u32) {
        self.struck[number as usize] += 1;
        self.strikes.add(self.faults[number as usize].kind);
    }

    /// The faults that befall a peer now, in the order of the list.
    fn on(&self, peer: PeerId, now: Time) -> Vec<u32> {
        if self.faults.is_empty() {
            return Vec::new();
        }
        let one = self.of_peer.get(&peer).into_iter().flatten();
        let many = self.of_many.iter().filter(|n| self.faults[**n as usize].whom.is(peer, self.whom));
        let mut on: Vec<u32> =
            one.chain(many).copied().filter(|n| self.faults[*n as usize].is_on(now)).collect();
        on.sort_unstable();
        on
    }

    /// The faults of messages that befall one between these two now, in the order of the list.
    fn between(&self, from: PeerId, to: PeerId, now: Time) -> Vec<u32> {
        let of = |peer| self.of_peer.get(&peer).into_iter().flatten();
        let befalls = |n: &&u32| self.faults[**n as usize].whom.is_between(from, to, self.whom);
        let on = |n: &u32| {
            let fault = &self.faults[*n as usize];
            fault.kind.is_of_messages() && fault.is_on(now)
        };
        let all = of(from).chain(of(to)).chain(self.of_many.iter().filter(befalls));
        let mut on: Vec<u32> = all.copied().filter(on).collect();
        on.sort_unstable();
        on.dedup();
        on
    }

    /// Invented peers that share the target's first 32 bits: nearer than any real one. Whoever names them
    /// names others than the next: an attacker invents as many as he likes. They carry a mark in their
    /// last 16 bits, so that they are known without being stored.
    fn sybils_near(&self, target: u64, by: PeerId, count: u32) -> Vec<PeerId> {
        let draw = Draw::new(self.sybils, Purpose::Sybils).narrow(target >> 32);
        let sybil = |n| {
            let high = (target >> 32 << 16) | (draw.word(by.prefix(), n) & 0xffff);
            PeerId::new(high << 16 | self.mark(high))
        };
        let mut sybils: Vec<PeerId> = (0..u64::from(count)).map(sybil).collect();
        sybils.sort_unstable();
        sybils.dedup();
        sybils.sort_unstable_by_key(|peer| peer.prefix() ^ target);
        sybils
    }

    fn is_sybil(&self, peer: PeerId) -> bool {
        peer.prefix() & 0xffff == self.mark(peer.prefix() >> 16)
    }

    const fn mark(&self, high: u64) -> u64 {
        mix(self.sybils ^ high) & 0xffff
    }
}
