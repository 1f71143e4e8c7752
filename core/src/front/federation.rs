//! Several transports as one: one query, every network.

mod mapped;
mod subqueries;

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::task::{Context, Poll};

pub use mapped::{Mapped, Mapping};
pub use subqueries::Subqueries;

use super::transport::{Contact, Event, Lookup, Transport};
use crate::key::Key;
use crate::network::{Failure, Network, Source};
use crate::output::RequestId;

/// Several transports as one, each a named source of the same kind of answers.
///
/// A query over a federation has one stream, one dedup, one limit and one deadline, and routes and
/// peers of as many sources as it likes: a peer's source is what [`Network::source`] says, a route's is
/// [its own](crate::Route::in_source). Fan-out is counted per source, so that a slow one holds nobody
/// else's slots; and [`Outcome::sources`](crate::Outcome::sources) counts for each by its name.
///
/// The transports are to have one type, and one [`Network`]. [`Mapped`] translates a transport of
/// another network, [`Subqueries`] makes a transport of another [`Client`](super::Client), and a
/// `Box<dyn Transport<Network = N> + Send>` is a transport too.
///
/// ```
/// use dragnet_core::front::{self, Federation, SystemClock, Transport};
/// use dragnet_core::{Network, Source, doc::{Book, Library}};
///
/// /// Peers of several libraries, by the library's number and the peer's name there.
/// enum Libraries {}
///
/// impl Network for Libraries {
///     type Peer = (u16, String);
///     type Request = String;
///     type Item = Book;
///
///     fn key((_, name): &(u16, String)) -> dragnet_core::Key {
///         Library::key(name)
///     }
///     fn source((library, _): &(u16, String)) -> Source {
///         Source(*library)
///     }
/// }
///
/// type AnyTransport = Box<dyn Transport<Network = Libraries> + Send>;
///
/// fn federate(city: AnyTransport, university: AnyTransport) {
///     let libraries = Federation::new().with("city", city).with("university", university);
///     let me = (0, "me".to_string());
///     let (client, driver) = front::new(libraries, SystemClock::new(), me, [7; 32]);
///     # let _ = (client, driver);
/// }
/// ```
pub struct Federation<T: Transport> {
    members: Vec<Member<T>>,
    /// Who is polled first, so that a busy one does not hide the others.
    first: usize,
    /// Failures of contacts and lookups that belong to no member.
    strays: VecDeque<RequestId>,
}

struct Member<T> {
    name: String,
    transport: T,
}

impl<T: Transport> Federation<T> {
    /// One without sources: whatever is asked of it fails.
    pub const fn new() -> Self {
        Self { members: Vec::new(), first: 0, strays: VecDeque::new() }
    }

    /// Adds a source. The first is [`Source`] 0, the next 1, and so on.
    ///
    /// # Panics
    ///
    /// When there are 65 536 already.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, transport: T) -> Self {
        assert!(
            self.members.len() <= usize::from(u16::MAX),
            "there are as many sources as there are numbers"
        );
        self.members.push(Member { name: name.into(), transport });
        self
    }

    /// The transport of a source.
    pub fn member(&self, source: Source) -> Option<&T> {
        self.members.get(usize::from(source.0)).map(|member| &member.transport)
    }

    /// The transport of a source, to hand in what its network has received.
    pub fn member_mut(&mut self, source: Source) -> Option<&mut T> {
        self.members.get_mut(usize::from(source.0)).map(|member| &mut member.transport)
    }
}

impl<T: Transport> Default for Federation<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Transport> Transport for Federation<T> {
    type Network = T::Network;

    fn sources(&self) -> Vec<String> {
        self.members.iter().map(|member| member.name.clone()).collect()
    }

    /// Those of the first source.
    fn closest(&mut self, target: &Key, count: usize) -> Vec<<Self::Network as Network>::Peer> {
        self.closest_in(Source::default(), target, count)
    }

    fn closest_in(
        &mut self,
        source: Source,
        target: &Key,
        count: usize,
    ) -> Vec<<Self::Network as Network>::Peer> {
        self.member_mut(source).map_or_else(Vec::new, |member| member.closest(target, count))
    }

    fn contact(&mut self, contact: Contact<Self::Network>) {
        match self.member_mut(<Self::Network as Network>::source(&contact.peer)) {
            Some(member) => member.contact(contact),
            None => self.strays.push_back(contact.request),
        }
    }

    fn lookup(&mut self, lookup: Lookup<Self::Network>) {
        match self.member_mut(lookup.source) {
            Some(member) => member.lookup(lookup),
            None => self.strays.push_back(lookup.request),
        }
    }

    fn release(&mut self, request: RequestId) {
        // Whose it is nobody has kept: the others do not know it, and ignore it.
        self.members.iter_mut().for_each(|member| member.transport.release(request));
        self.strays.retain(|stray| *stray != request);
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Event<Self::Network>> {
        if let Some(request) = self.strays.pop_front() {
            return Poll::Ready(Event::Failure { request, failure: Failure::Unsupported });
        }
        let count = self.members.len();
        for offset in 0..count {
            let index = (self.first + offset) % count;
            if let Poll::Ready(event) = self.members[index].transport.poll_event(cx) {
                self.first = (index + 1) % count;
                return Poll::Ready(event);
            }
        }
        Poll::Pending
    }
}

impl<T: Transport> fmt::Debug for Federation<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Federation").field("sources", &self.sources()).finish_non_exhaustive()
    }
}

/// So that transports of different types can be one federation's sources.
impl<T: Transport + ?Sized> Transport for Box<T> {
    type Network = T::Network;

    fn sources(&self) -> Vec<String> {
        (**self).sources()
    }

    fn closest(&mut self, target: &Key, count: usize) -> Vec<<Self::Network as Network>::Peer> {
        (**self).closest(target, count)
    }

    fn closest_in(
        &mut self,
        source: Source,
        target: &Key,
        count: usize,
    ) -> Vec<<Self::Network as Network>::Peer> {
        (**self).closest_in(source, target, count)
    }

    fn contact(&mut self, contact: Contact<Self::Network>) {
        (**self).contact(contact);
    }

    fn lookup(&mut self, lookup: Lookup<Self::Network>) {
        (**self).lookup(lookup);
    }

    fn release(&mut self, request: RequestId) {
        (**self).release(request);
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Event<Self::Network>> {
        (**self).poll_event(cx)
    }
}
