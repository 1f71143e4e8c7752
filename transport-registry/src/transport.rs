//! The transport: contacts become GETs, and what comes back becomes events.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use dragnet_core::front::{Contact, Event, Lookup, Transport};
use dragnet_core::{Failure, Key, Reply, RequestId, Step};
use futures::StreamExt;
use futures::future::{AbortHandle, Abortable, Aborted};
use futures::stream::FuturesUnordered;
use tracing::{debug, warn};

use crate::api::{Api, Registries};
use crate::config::{Config, ConfigError};
use crate::error::Error;
use crate::health::Health;
use crate::http::{Answer, Http};
use crate::url::RegistryUrl;

/// Asks registries by HTTP: one contact is one GET.
///
/// It is polled by its [`Driver`](dragnet_core::front::Driver), and does nothing when it is not: no task is
/// spawned and no runtime needed. Sockets and timers are those of `async-io`, whose one thread tells when
/// to poll; the names of hosts are resolved on a thread of the `blocking` crate.
///
/// Registries are asked in the fetch lane ([`Query::fetch_from`](dragnet_core::Query::fetch_from)); they take
/// part in no walk, and there is no lookup to delegate. Every failure is an [`Error`], logged and, if it is
/// the registry's, kept in [`Health`]; the engine hears of its [`failure`](Error::failure).
pub struct RegistryTransport<A: Api> {
    api: A,
    http: Arc<Http>,
    health: Health,
    /// All that has begun and not ended.
    pending: HashMap<RequestId, Pending<A>>,
    /// Of registries to which something is under way.
    lines: HashMap<RegistryUrl, Line>,
    running: FuturesUnordered<Running>,
    /// What ended before it began, and whose turn has come.
    events: VecDeque<Event<Registries<A>>>,
}

struct Pending<A: Api> {
    registry: RegistryUrl,
    ask: A::Request,
    /// Ends it, once its turn has come.
    abort: Option<AbortHandle>,
}

/// Who is being asked by how many, and who waits.
#[derive(Default)]
struct Line {
    busy: usize,
    waiting: VecDeque<RequestId>,
}

type Running = Pin<Box<dyn Future<Output = Ended> + Send>>;

/// A GET that ended, one way or the other; until then it holds its turn and its connection.
struct Ended {
    request: RequestId,
    registry: RegistryUrl,
    result: Result<Result<Answer, Error>, Aborted>,
}

impl<A: Api> RegistryTransport<A> {
    /// A transport to all registries with this API.
    ///
    /// # Errors
    ///
    /// Root certificates that are none.
    pub fn new(api: A, config: Config) -> Result<Self, ConfigError> {
        let health = Health::new(config.registries_max);
        Ok(Self {
            api,
            http: Arc::new(Http::new(config)?),
            health,
            pending: HashMap::new(),
            lines: HashMap::new(),
            running: FuturesUnordered::new(),
            events: VecDeque::new(),
        })
    }

    /// How the registries are doing. Take it before the transport goes to its driver.
    pub fn health(&self) -> Health {
        self.health.clone()
    }

    /// Requests that have begun and not ended, waiting ones included.
    pub fn requests(&self) -> usize {
        self.pending.len()
    }

    fn begin(
        &mut self,
        Contact { request, peer, step, ask, .. }: Contact<Registries<A>>,
    ) -> Result<(), Error> {
        if step != Step::Fetch {
            return Err(Error::NoWalk);
        }
        let max = self.http.config().waiting_max;
        let line = self.lines.entry(peer.clone()).or_default();
        let is_free = line.busy < self.http.config().connections_max.max(1);
        if !is_free && line.waiting.len() >= max {
            return Err(Error::Busy { max });
        }
        line.waiting.push_back(request);
        self.pending.insert(request, Pending { registry: peer.clone(), ask, abort: None });
        self.go_on(&peer);
        Ok(())
    }

    /// Gives free turns at a registry to those who wait.
    fn go_on(&mut self, registry: &RegistryUrl) {
        let Some(line) = self.lines.get_mut(registry) else { return };
        while line.busy < self.http.config().connections_max.max(1)
            && let Some(request) = line.waiting.pop_front()
        {
            let Some(pending) = self.pending.get_mut(&request) else { continue };
            self.events.push_back(Event::Sent { request });
            let (abort, registration) = AbortHandle::new_pair();
            pending.abort = Some(abort);
            line.busy += 1;
            let url = self.api.url(registry, &pending.ask);
            debug!(%request, %url, "asking a registry");
            let get = Abortable::new(Arc::clone(&self.http).get(url), registration);
            let registry = registry.clone();
            self.running.push(Box::pin(async move { Ended { request, registry, result: get.await } }));
        }
        if line.busy == 0 && line.waiting.is_empty() {
            self.lines.remove(registry);
        }
    }

    /// What a GET that ended means to the engine: nothing, if it was released.
    fn end(&mut self, Ended { request, registry, result }: Ended) -> Option<Event<Registries<A>>> {
        if let Some(line) = self.lines.get_mut(&registry) {
            line.busy -= 1;
        }
        self.go_on(&registry);
        let result = result.ok()?;
        let pending = self.pending.remove(&request)?;
        Some(match result.and_then(|answer| self.reply(&pending, &answer)) {
            Ok(reply) => Event::Reply { request, reply },
            Err(error) => self.fail(request, &registry, error),
        })
    }

    fn reply(&self, pending: &Pending<A>, answer: &Answer) -> Result<Reply<Registries<A>>, Error> {
        let body = serde_json::from_slice(&answer.body).map_err(|error| Error::json(&answer.url, &error))?;
        let mut reply = Reply::default();
        for item in self.api.items(&pending.ask, body) {
            match item {
                Ok(item) => reply.items.push(item),
                Err(why) => {
                    reply.invalid = reply.invalid.saturating_add(1);
                    debug!(registry = %pending.registry, %why, "an item that cannot be used");
                }
            }
        }
        let invalid = reply.invalid;
        self.health.note(&pending.registry, |health| {
            health.answered += 1;
            health.unchanged += u64::from(answer.is_unchanged);
            health.invalid_items += u64::from(invalid);
            health.is_failing = false;
        });
        Ok(reply)
    }

    fn fail(&self, request: RequestId, registry: &RegistryUrl, error: Error) -> Event<Registries<A>> {
        let failure = error.failure();
        // What is our own doing is no news of the registry.
        if matches!(failure, Failure::Local | Failure::Unsupported) {
            debug!(%request, %registry, %error, "a registry was not asked");
        } else {
            warn!(%request, %registry, %error, "a registry gave no answer");
            self.health.note(registry, |health| {
                health.failed += 1;
                health.last_error = Some(error);
                health.is_failing = true;
            });
        }
        Event::Failure { request, failure }
    }
}

impl<A: Api> Transport for RegistryTransport<A> {
    type Network = Registries<A>;

    /// None: registries take part in no walk.
    fn closest(&mut self, _target: &Key, _count: usize) -> Vec<RegistryUrl> {
        Vec::new()
    }

    fn contact(&mut self, contact: Contact<Registries<A>>) {
        let (request, registry) = (contact.request, contact.peer.clone());
        if let Err(error) = self.begin(contact) {
            let event = self.fail(request, &registry, error);
            self.events.push_back(event);
        }
    }

    fn lookup(&mut self, Lookup { request, .. }: Lookup<Registries<A>>) {
        self.events.push_back(Event::Failure { request, failure: Failure::Unsupported });
    }

    fn release(&mut self, request: RequestId) {
        self.events.retain(|event| event.request() != request);
        let Some(pending) = self.pending.remove(&request) else { return };
        if let Some(abort) = pending.abort {
            // Its turn is over when the future is gone, and with it the connection: at the next poll.
            abort.abort();
        } else if let Some(line) = self.lines.get_mut(&pending.registry) {
            line.waiting.retain(|waiting| *waiting != request);
        }
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Event<Registries<A>>> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Poll::Ready(event);
            }
            match self.running.poll_next_unpin(cx) {
                Poll::Ready(Some(ended)) => {
                    if let Some(event) = self.end(ended) {
                        return Poll::Ready(event);
                    }
                }
                Poll::Ready(None) | Poll::Pending => {
                    self.http.poll_idle(cx);
                    return Poll::Pending;
                }
            }
        }
    }
}
