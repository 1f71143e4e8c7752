//! The conformance suite: passes the transport of these tests, and fails one that breaks a rule, for
//! each rule.

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use std::collections::BTreeMap;
use std::sync::Arc;

use dragnet_core::conformance::{Report, Subject, check};
use dragnet_core::front::{Contact, Event, Lookup, Transport};
use dragnet_core::{Failure, Key, LookupTotals, Reply, RequestId};
use futures::task::waker;

use crate::kit::{Manner, VirtualClock, Wire, Woken, Words, ms, word};

/// How a transport is broken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fault {
    None,
    /// Rule 1.
    BlocksInContact,
    BlocksInPoll,
    /// Rule 2.
    AnswersTwice,
    ForgetsEveryThird,
    AnswersOthers,
    AnswersForTheMissing,
    AnswersWithNothing,
    FailsTheAnswering,
    SpeaksFirst,
    EndsLookupsTwice,
    EndsLookupsByReply,
    ForgetsLookups,
    /// Rule 3.
    KeepsTheReleased,
    ReleasesAll,
    ReportsReleases,
    /// Rule 4.
    NeverWakes,
    WakesTheFirstWaker,
    /// Rule 5.
    ReadsSlotsOnly,
    ReadsGenerationsOnly,
    /// Rule 6.
    GivesUp,
    AnswersForTheSilent,
    /// Rule 7.
    PassesOnGarbage,
    DropsGarbage,
    DistrustsEverybody,
    /// Rule 8; the first keeps it.
    SaysSent,
    SaysSentTwice,
    SaysSentAfterTheEnd,
    SaysSentOfLookups,
    /// `closest`.
    FarthestFirst,
    TooMany,
    NamesTwice,
}

const ANSWERING: u32 = 1;
const SILENT: u32 = 2;
const GARBLED: u32 = 3;
const MISSING: u32 = 4;

/// A wire that breaks one rule.
struct Broken {
    fault: Fault,
    wire: Wire,
    clock: VirtualClock,
    /// Real ids of requests that the wire knows under others.
    renamed: BTreeMap<RequestId, RequestId>,
    held: usize,
    contacts: usize,
    last: Option<RequestId>,
    first_waker: Option<Waker>,
}

impl Broken {
    fn new(fault: Fault, clock: VirtualClock) -> Self {
        let mut wire = Wire::new(clock.clone());
        let view = wire.view();
        if fault == Fault::SpeaksFirst {
            wire.hand_in(Event::Reply { request: RequestId::from_u64(77), reply: Reply::default() });
        }
        view.answers(ANSWERING, ms(10), [word(1)]);
        view.silent([SILENT]);
        view.peer(GARBLED, Manner::Garbles);
        (5..40).for_each(|peer| view.silent([peer]));
        let request = RequestId::from_u64(0);
        view.lookups(vec![
            (ms(5), Event::Progress { request, from: None, reply: Reply::with_items(vec![word(2)]) }),
            (ms(9), Event::Done { request, totals: LookupTotals::default() }),
        ]);
        Self {
            fault,
            wire,
            clock,
            renamed: BTreeMap::new(),
            held: 0,
            contacts: 0,
            last: None,
            first_waker: None,
        }
    }

    fn rename(&mut self, request: RequestId) -> RequestId {
        let id = request.as_u64();
        let known = match self.fault {
            Fault::ReadsSlotsOnly => id & 0xffff_ffff,
            Fault::ReadsGenerationsOnly => id >> 32 << 32,
            _ => id,
        };
        let known = RequestId::from_u64(known);
        self.renamed.insert(known, request);
        known
    }

    fn spoil(&mut self, event: Event<Words>) -> Event<Words> {
        let request = event.request();
        self.last = Some(request);
        match (self.fault, event) {
            (Fault::AnswersOthers, Event::Reply { reply, .. }) => {
                Event::Reply { request: RequestId::from_u64(request.as_u64().wrapping_add(100)), reply }
            }
            (Fault::AnswersForTheMissing, Event::Failure { failure: Failure::Unreachable, .. })
            | (Fault::PassesOnGarbage, Event::Failure { failure: Failure::Invalid, .. })
            | (Fault::EndsLookupsByReply, Event::Done { .. }) => {
                Event::Reply { request, reply: Reply::default() }
            }
            (Fault::AnswersWithNothing, Event::Reply { .. }) => {
                Event::Reply { request, reply: Reply::default() }
            }
            (Fault::FailsTheAnswering, Event::Reply { .. }) => {
                Event::Failure { request, failure: Failure::Unsupported }
            }
            (Fault::DropsGarbage, Event::Failure { failure: Failure::Invalid, .. }) => {
                Event::Failure { request, failure: Failure::Closed }
            }
            (Fault::DistrustsEverybody, Event::Reply { mut reply, .. }) => {
                reply.invalid = 1;
                Event::Reply { request, reply }
            }
            (Fault::AnswersTwice, event @ Event::Reply { .. })
            | (Fault::EndsLookupsTwice, event @ Event::Done { .. }) => {
                self.wire.hand_in(event.clone());
                self.fault = Fault::None;
                event
            }
            (Fault::SaysSentAfterTheEnd, event @ Event::Reply { .. }) => {
                self.wire.hand_in(Event::Sent { request });
                event
            }
            (_, event) => event,
        }
    }
}

impl Transport for Broken {
    type Network = Words;

    fn closest(&mut self, target: &Key, count: usize) -> Vec<u32> {
        let wanted = if self.fault == Fault::TooMany { 20 } else { count };
        let mut peers = self.wire.closest(target, wanted);
        match self.fault {
            Fault::FarthestFirst => peers.reverse(),
            Fault::NamesTwice if peers.len() > 1 => peers[1] = peers[0],
            _ => {}
        }
        peers
    }

    fn contact(&mut self, mut contact: Contact<Words>) {
        if self.fault == Fault::BlocksInContact && contact.peer == SILENT {
            self.clock.advance(ms(3000));
        }
        self.contacts += 1;
        if self.fault == Fault::ForgetsEveryThird && self.contacts.is_multiple_of(3) {
            return;
        }
        self.held += 1;
        let (request, is_silent) = (contact.request, contact.peer == SILENT);
        contact.request = self.rename(request);
        if self.wire.view().open_requests().iter().any(|(open, _)| *open == contact.request) {
            // Taken for the one under way.
            return;
        }
        self.wire.contact(contact);
        match self.fault {
            Fault::SaysSent => self.wire.hand_in(Event::Sent { request }),
            Fault::SaysSentTwice => {
                self.wire.hand_in(Event::Sent { request });
                self.wire.hand_in(Event::Sent { request });
            }
            Fault::GivesUp if is_silent => {
                self.wire.hand_in(Event::Failure { request, failure: Failure::Unreachable });
            }
            Fault::AnswersForTheSilent if is_silent => {
                self.wire.hand_in(Event::Reply { request, reply: Reply::default() });
            }
            _ => {}
        }
    }

    fn lookup(&mut self, lookup: Lookup<Words>) {
        self.held += 1;
        self.renamed.insert(lookup.request, lookup.request);
        let request = lookup.request;
        if self.fault != Fault::ForgetsLookups {
            self.wire.lookup(lookup);
        }
        if self.fault == Fault::SaysSentOfLookups {
            self.wire.hand_in(Event::Sent { request });
        }
    }

    fn release(&mut self, request: RequestId) {
        let view = self.wire.view();
        match self.fault {
            Fault::KeepsTheReleased => {}
            Fault::ReleasesAll => {
                view.open_requests().into_iter().for_each(|(request, _)| self.wire.release(request));
                self.held = 0;
            }
            Fault::ReportsReleases => {
                self.wire.release(request);
                self.wire.hand_in(Event::Failure { request, failure: Failure::Closed });
                self.wire.hand_in(Event::Failure { request, failure: Failure::Closed });
            }
            _ => {
                let known = self.rename(request);
                self.wire.release(known);
                self.held = view.open();
            }
        }
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Event<Words>> {
        if self.fault == Fault::BlocksInPoll && self.wire.view().open() > 0 {
            self.clock.advance(ms(3000));
        }
        let first = self.first_waker.get_or_insert_with(|| cx.waker().clone()).clone();
        let event = match self.fault {
            Fault::NeverWakes => self.wire.poll_event(&mut Context::from_waker(Waker::noop())),
            Fault::WakesTheFirstWaker => self.wire.poll_event(&mut Context::from_waker(&first)),
            _ => self.wire.poll_event(cx),
        };
        let Poll::Ready(event) = event else { return Poll::Pending };
        if !matches!(event, Event::Progress { .. }) && self.fault != Fault::KeepsTheReleased {
            self.held = self.wire.view().open();
        }
        let event = self.spoil(event);
        let request = self.renamed.get(&event.request()).copied().unwrap_or(event.request());
        Poll::Ready(match event {
            Event::Reply { reply, .. } => Event::Reply { request, reply },
            Event::Failure { failure, .. } => Event::Failure { request, failure },
            other => other,
        })
    }
}

/// Makes broken transports on a clock, and moves the clock when all are asleep.
struct Bench {
    fault: Fault,
    clock: VirtualClock,
}

impl Subject for Bench {
    type Transport = Broken;
    type Clock = VirtualClock;

    fn transport(&mut self) -> Broken {
        Broken::new(self.fault, self.clock.clone())
    }

    fn clock(&mut self) -> VirtualClock {
        self.clock.clone()
    }

    fn block_on(&mut self, mut check: Pin<&mut dyn Future<Output = ()>>) {
        let woken = Woken::new();
        let waker = waker(Arc::clone(&woken));
        loop {
            if woken.take() {
                if check.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
                    return;
                }
            } else {
                assert!(self.clock.step(), "nobody has been woken, and nobody will be");
            }
        }
    }

    fn ask(&self) -> &'static str {
        "a question"
    }

    fn answering(&self) -> u32 {
        ANSWERING
    }

    fn silent(&self) -> Option<u32> {
        Some(SILENT)
    }

    fn missing(&self) -> Option<u32> {
        Some(MISSING)
    }

    fn garbled(&self) -> Option<u32> {
        Some(GARBLED)
    }

    fn held(transport: &Broken) -> Option<usize> {
        Some(transport.held)
    }
}

fn report(fault: Fault) -> Report {
    check(&mut Bench { fault, clock: VirtualClock::new() })
}

#[test]
fn a_transport_that_keeps_the_rules_passes() {
    for fault in [Fault::None, Fault::SaysSent] {
        let report = report(fault);
        report.assert();
        assert_eq!((report.checked.len(), report.skipped.len()), (13, 0));
    }
}

/// The rules that the suite says were broken.
fn rules(fault: Fault) -> Vec<u8> {
    let mut rules: Vec<u8> = report(fault).violations.iter().map(|violation| violation.rule).collect();
    rules.sort_unstable();
    rules.dedup();
    rules
}

#[test]
fn a_transport_that_blocks_is_found() {
    assert!(rules(Fault::BlocksInContact).contains(&1));
    assert!(rules(Fault::BlocksInPoll).contains(&1));
}

/// Asserts that the suite says, of the rule, what is wrong.
fn assert_said(fault: Fault, rule: u8, what: &str) {
    let report = report(fault);
    let is_said = report.violations.iter().any(|said| said.rule == rule && said.what.contains(what));
    assert!(is_said, "{fault:?} should be called `{what}`: {report}");
}

#[test]
fn a_transport_that_does_not_end_every_request_once_is_found() {
    for (fault, what) in [
        (Fault::AnswersTwice, "after its end"),
        (Fault::ForgetsEveryThird, "has not ended"),
        (Fault::AnswersOthers, "which was never made"),
        (Fault::AnswersForTheMissing, "a contact to a missing peer ended with Reply"),
        (Fault::AnswersWithNothing, "the reply of an answering peer is empty"),
        (Fault::FailsTheAnswering, "a contact to an answering peer ended with Failure"),
        (Fault::SpeaksFirst, "before anything was asked"),
        (Fault::EndsLookupsTwice, "after its end"),
        (Fault::EndsLookupsByReply, "a lookup ended with a reply"),
        (Fault::ForgetsLookups, "has not ended"),
    ] {
        assert_said(fault, 2, what);
    }
}

#[test]
fn a_transport_that_does_not_release_is_found() {
    assert!(rules(Fault::KeepsTheReleased).contains(&3));
    assert_said(Fault::ReleasesAll, 2, "has not ended");
    assert_said(Fault::ReportsReleases, 3, "the release of a contact that had ended brought an event");
    assert_said(Fault::ReportsReleases, 2, "ended twice");
}

#[test]
fn a_transport_that_does_not_wake_is_found() {
    assert!(rules(Fault::NeverWakes).contains(&4));
    assert_eq!(rules(Fault::WakesTheFirstWaker), [4]);
}

#[test]
fn a_transport_that_reads_meaning_into_ids_is_found() {
    assert_eq!(rules(Fault::ReadsSlotsOnly), [5]);
    assert!(rules(Fault::ReadsGenerationsOnly).contains(&5));
}

#[test]
fn a_transport_that_decides_how_long_to_wait_is_found() {
    assert!(rules(Fault::GivesUp).contains(&6));
    assert!(rules(Fault::AnswersForTheSilent).contains(&6));
}

#[test]
fn a_transport_that_lets_strangers_bytes_through_is_found() {
    assert_eq!(rules(Fault::PassesOnGarbage), [7]);
    assert_eq!(rules(Fault::DropsGarbage), [7]);
    assert_eq!(rules(Fault::DistrustsEverybody), [7]);
}

#[test]
fn a_transport_that_says_sent_when_it_should_not_is_found() {
    for (fault, what) in [
        (Fault::SaysSentTwice, "is said to be sent twice"),
        (Fault::SaysSentAfterTheEnd, "is said to be sent after its end"),
        (Fault::SaysSentOfLookups, "is said to be sent, and is a lookup"),
    ] {
        assert_said(fault, 8, what);
    }
}

#[test]
fn a_transport_that_names_the_wrong_peers_is_found() {
    for fault in [Fault::FarthestFirst, Fault::TooMany, Fault::NamesTwice] {
        assert_eq!(rules(fault), [0], "{fault:?}");
    }
}
