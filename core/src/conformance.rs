//! A suite that checks the [rules of `Transport`](crate::front::Transport#the-rules) on any
//! implementation of it.
//!
//! Whoever writes a transport implements [`Subject`] in a test: how to make the transport, and which
//! peers there are. [`check`] does the rest, polling the transport only when it has woken its waker.
//!
//! ```
//! # use dragnet_core::conformance::Subject;
//! # use dragnet_core::{doc::{Book, Library}, *, front::*};
//! # use std::{collections::VecDeque, future::Future, pin::Pin, task::{Context, Poll}};
//! # #[derive(Default)]
//! # struct Shelves(VecDeque<Event<Library>>);
//! # impl Transport for Shelves {
//! #     type Network = Library;
//! #     fn closest(&mut self, _: &Key, _: usize) -> Vec<String> { Vec::new() }
//! #     fn contact(&mut self, Contact { request, peer, .. }: Contact<Library>) {
//! #         self.0.push_back(match peer.as_str() {
//! #             "alice" => Event::Reply { request, reply: Reply::with_items(vec![Book { isbn: 1, title: peer }]) },
//! #             _ => Event::Failure { request, failure: Failure::Unreachable },
//! #         });
//! #     }
//! #     fn lookup(&mut self, Lookup { request, .. }: Lookup<Library>) {
//! #         self.0.push_back(Event::Failure { request, failure: Failure::Unsupported });
//! #     }
//! #     fn release(&mut self, request: RequestId) { self.0.retain(|event| event.request() != request); }
//! #     fn poll_event(&mut self, _: &mut Context<'_>) -> Poll<Event<Library>> {
//! #         self.0.pop_front().map_or(Poll::Pending, Poll::Ready)
//! #     }
//! # }
//! struct ShelvesConform;
//!
//! impl Subject for ShelvesConform {
//!     type Transport = Shelves;
//!     type Clock = SystemClock;
//!
//!     fn transport(&mut self) -> Shelves {
//!         Shelves::default()
//!     }
//!     fn clock(&mut self) -> SystemClock {
//!         SystemClock::new()
//!     }
//!     fn block_on(&mut self, check: Pin<&mut dyn Future<Output = ()>>) {
//!         futures::executor::block_on(check);
//!     }
//!     fn ask(&self) -> String {
//!         "a title".to_string()
//!     }
//!     fn answering(&self) -> String {
//!         "alice".to_string()
//!     }
//!     fn missing(&self) -> Option<String> {
//!         Some("nobody".to_string())
//!     }
//! }
//!
//! dragnet_core::conformance::check(&mut ShelvesConform).assert();
//! ```

mod checks;
mod session;

use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::time::Duration;

use crate::front::{Clock, Transport};
use crate::key::Key;
use crate::network::Network;
use crate::output::Step;

type Peer<S> = <<<S as Subject>::Transport as Transport>::Network as Network>::Peer;
type Request<S> = <<<S as Subject>::Transport as Transport>::Network as Network>::Request;

/// A transport under test, with the network around it.
///
/// What a subject does not have (a peer that stays silent, one whose answers cannot be read) leaves out
/// the checks that need it; the [`Report`] lists them.
pub trait Subject {
    /// What is tested.
    type Transport: Transport;
    /// The clock by which the suite waits: [`SystemClock`](crate::front::SystemClock) for a real
    /// network, the simulation's own for a simulated one.
    type Clock: Clock;

    /// A new transport, from which the peers named here can be reached. Called once per check.
    fn transport(&mut self) -> Self::Transport;

    /// A clock for the suite. Called once per check.
    fn clock(&mut self) -> Self::Clock;

    /// Runs a check to its end, and whatever the transport and the clock need to get on beside it.
    fn block_on(&mut self, check: Pin<&mut dyn Future<Output = ()>>);

    /// What the suite asks of every peer.
    fn ask(&self) -> Request<Self>;

    /// A peer that answers it with at least one item, closer peer or provider.
    fn answering(&self) -> Peer<Self>;

    /// A peer that can be reached, and never answers.
    fn silent(&self) -> Option<Peer<Self>> {
        None
    }

    /// A peer that does not exist.
    fn missing(&self) -> Option<Peer<Self>> {
        None
    }

    /// A peer whose answer cannot be decoded, in whole or in part.
    fn garbled(&self) -> Option<Peer<Self>> {
        None
    }

    /// For which lane the suite asks.
    fn step(&self) -> Step {
        Step::Fetch
    }

    /// How many requests the transport holds something for, if it can tell.
    fn held(transport: &Self::Transport) -> Option<usize> {
        let _ = transport;
        None
    }

    /// How long an answer, or the failure of a peer that does not exist, may take. 5 s.
    fn patience(&self) -> Duration {
        Duration::from_secs(5)
    }

    /// How long nothing must happen for the suite to believe that nothing will. 200 ms.
    fn quiet(&self) -> Duration {
        Duration::from_millis(200)
    }

    /// A call that takes longer blocks. 250 ms, which a busy machine will hardly reach by chance.
    fn call_max(&self) -> Duration {
        Duration::from_millis(250)
    }
}

/// One rule that was broken.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Violation {
    /// The number of the rule, as in the documentation of [`Transport`]; 0 for
    /// [`closest`](Transport::closest), which has none.
    pub rule: u8,
    /// In which check.
    pub check: &'static str,
    /// What was seen, and what should have been.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rule {}, {}: {}", self.rule, self.check, self.what)
    }
}

/// What [`check`] has found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Report {
    /// The checks that were made.
    pub checked: Vec<&'static str>,
    /// Those that were not, for want of a peer to make them with.
    pub skipped: Vec<&'static str>,
    /// The rules that were broken.
    pub violations: Vec<Violation>,
}

impl Report {
    /// Panics unless all rules were kept.
    ///
    /// # Panics
    ///
    /// With a list of the rules that were broken.
    pub fn assert(&self) {
        assert!(self.violations.is_empty(), "{self}");
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { checked, skipped, violations } = self;
        write!(f, "{} checks, {} violations", checked.len(), violations.len())?;
        violations.iter().try_for_each(|violation| write!(f, "\n  {violation}"))?;
        if !skipped.is_empty() {
            write!(f, "\n  not checked: {}", skipped.join(", "))?;
        }
        Ok(())
    }
}

/// Runs all checks that the subject has the peers for.
pub fn check<S: Subject>(subject: &mut S) -> Report {
    let mut report = Report::default();
    for (name, run) in checks::all::<S>() {
        checks::run(subject, name, run, &mut report);
    }
    report
}

/// The targets for which [`Transport::closest`] is asked.
fn targets() -> impl Iterator<Item = Key> {
    (0..8u8).map(|n| Key::of(&[n]))
}
