//! The streams of one connection.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use dragnet_core::Failure;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use libp2p::core::UpgradeInfo;
use libp2p::core::upgrade::{InboundUpgrade, OutboundUpgrade};
use libp2p::swarm::handler::{
    ConnectionEvent, DialUpgradeError, FullyNegotiatedInbound, FullyNegotiatedOutbound,
};
use libp2p::swarm::{ConnectionHandler, ConnectionHandlerEvent, StreamUpgradeError, SubstreamProtocol};
use libp2p::{Stream, StreamProtocol};

use super::alarm::Alarm;
use super::inbound::{Inbound, Question, Server};
use super::outbound::Exchange;

/// Names one attempt at a request; not used twice by a behaviour.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Ticket(pub(super) u64);

/// What the behaviour asks of a handler.
#[derive(Debug)]
pub enum ToHandler {
    /// Ask over a stream of its own.
    Start(Start),
    /// Drop the stream, if it is not done with.
    Withdraw(Ticket),
}

/// One attempt at a request.
#[derive(Debug)]
pub struct Start {
    pub(super) ticket: Ticket,
    pub(super) protocol: StreamProtocol,
    pub(super) payload: Bytes,
    pub(super) timeout: Duration,
    pub(super) response_bytes_max: usize,
}

/// What a handler reports.
#[derive(Debug)]
pub enum FromHandler {
    /// Ends an attempt. `freed` says whether its stream is gone too; if not, `Freed` follows.
    Ended { ticket: Ticket, ending: Ending, freed: bool },
    /// The stream of an attempt that has ended is gone.
    Freed(Ticket),
    /// The remote asks.
    Question(Question),
}

/// How an attempt ended.
#[derive(PartialEq, Eq, Debug)]
pub enum Ending {
    /// With an answer.
    Answered(Bytes),
    /// Without one.
    Failed(Failure),
    /// The stream was ended, reset or broken before a byte of the answer: the peer refuses, or it has
    /// too many streams open.
    CutOff {
        /// Whether the whole question had been written by then.
        asked: bool,
    },
    /// By [`ToHandler::Withdraw`].
    Withdrawn,
}

/// The streams of one connection: ours, each carrying one question, and the remote's.
pub struct Handler {
    /// Attempts that have no stream yet, oldest first, and some that have ended since.
    to_open: VecDeque<Ticket>,
    /// Attempts that have not ended, or whose stream is still being negotiated.
    outbound: BTreeMap<Ticket, Outbound>,
    exchanges: FuturesUnordered<Exchange>,
    /// For the earliest deadline of the attempts.
    alarm: Alarm,
    inbound: Option<Inbound>,
    events: VecDeque<FromHandler>,
    closed: bool,
}

struct Outbound {
    stage: Stage,
    /// When it times out. `None` for one that would in the year 292 277 026 596.
    deadline: Option<Instant>,
}

enum Stage {
    /// No stream has been asked for.
    Waiting(Start),
    /// The stream is being opened and its protocol negotiated, which cannot be called off.
    Opening(Start),
    /// The stream belongs to the exchange.
    Exchanging,
    /// The attempt has ended; the stream will be dropped when it has been opened.
    Abandoned,
}

impl Handler {
    pub(super) fn new(server: Option<Arc<Server>>) -> Self {
        Self {
            to_open: VecDeque::new(),
            outbound: BTreeMap::new(),
            exchanges: FuturesUnordered::new(),
            alarm: Alarm::default(),
            inbound: server.map(Inbound::new),
            events: VecDeque::new(),
            closed: false,
        }
    }

    fn start(&mut self, start: Start) {
        let ticket = start.ticket;
        let deadline = Instant::now().checked_add(start.timeout);
        if let Some(deadline) = deadline {
            self.alarm.set(deadline);
        }
        self.to_open.push_back(ticket);
        self.outbound.insert(ticket, Outbound { stage: Stage::Waiting(start), deadline });
    }

    /// The next stream to open, for an attempt that has not ended before its turn.
    fn next_opening(&mut self) -> Option<SubstreamProtocol<Upgrade, Ticket>> {
        while let Some(ticket) = self.to_open.pop_front() {
            let Some(outbound) = self.outbound.get_mut(&ticket) else { continue };
            let stage = std::mem::replace(&mut outbound.stage, Stage::Abandoned);
            let Stage::Waiting(start) = stage else { unreachable!("a stream is asked for once") };
            let upgrade = Upgrade(Some(start.protocol.clone()));
            let protocol = SubstreamProtocol::new(upgrade, ticket).with_timeout(start.timeout);
            outbound.stage = Stage::Opening(start);
            return Some(protocol);
        }
        None
    }

    /// The stream of an attempt has been opened, or not. Dropping it resets it.
    fn opened(&mut self, ticket: Ticket, stream: Result<Stream, Ending>) {
        let Some(outbound) = self.outbound.get_mut(&ticket) else { return };
        match (std::mem::replace(&mut outbound.stage, Stage::Exchanging), stream) {
            (Stage::Opening(Start { payload, response_bytes_max, .. }), Ok(stream)) => {
                self.exchanges.push(Exchange::new(ticket, stream, &payload, response_bytes_max));
            }
            (Stage::Opening(_), Err(ending)) => {
                let event = self.ended(ticket, ending);
                self.events.push_back(event);
            }
            _ => {
                self.outbound.remove(&ticket);
                self.events.push_back(FromHandler::Freed(ticket));
            }
        }
    }

    /// Ends an attempt before it does so by itself.
    fn end(&mut self, ticket: Ticket, ending: Ending) {
        let Some(outbound) = self.outbound.get_mut(&ticket) else { return };
        // It has ended, whatever else is still to come of it.
        outbound.deadline = None;
        match outbound.stage {
            Stage::Waiting(_) | Stage::Opening(_) => {
                let event = self.ended(ticket, ending);
                self.events.push_back(event);
            }
            Stage::Exchanging => {
                if let Some(exchange) = self.exchanges.iter_mut().find(|it| it.ticket() == ticket) {
                    exchange.end(ending);
                }
            }
            Stage::Abandoned => {}
        }
    }

    fn ended(&mut self, ticket: Ticket, ending: Ending) -> FromHandler {
        let opening = match self.outbound.get_mut(&ticket) {
            Some(outbound) if matches!(outbound.stage, Stage::Opening(_)) => {
                outbound.stage = Stage::Abandoned;
                true
            }
            _ => {
                self.outbound.remove(&ticket);
                false
            }
        };
        FromHandler::Ended { ticket, ending, freed: !opening }
    }

    /// Ends the attempts whose time is over. Returns whether there was any.
    fn time_out(&mut self, cx: &mut Context<'_>) -> bool {
        let mut is_over = false;
        while self.alarm.poll(cx).is_ready() {
            let now = Instant::now();
            let is_due = |outbound: &Outbound| outbound.deadline.is_some_and(|deadline| deadline <= now);
            let due: Vec<_> =
                self.outbound.iter().filter(|(_, it)| is_due(it)).map(|(&ticket, _)| ticket).collect();
            is_over |= !due.is_empty();
            for ticket in due {
                self.end(ticket, Ending::Failed(Failure::TimedOut));
            }
            if let Some(next) = self.outbound.values().filter_map(|outbound| outbound.deadline).min() {
                self.alarm.set(next);
            }
        }
        is_over
    }
}

impl ConnectionHandler for Handler {
    type FromBehaviour = ToHandler;
    type ToBehaviour = FromHandler;
    type InboundProtocol = Upgrade;
    type OutboundProtocol = Upgrade;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = Ticket;

    fn listen_protocol(&self) -> SubstreamProtocol<Upgrade> {
        let Some(inbound) = &self.inbound else { return SubstreamProtocol::new(Upgrade(None), ()) };
        let server = inbound.server();
        SubstreamProtocol::new(Upgrade(Some(server.fetch.protocol.clone())), ())
            .with_timeout(server.serve.question_timeout)
    }

    fn connection_keep_alive(&self) -> bool {
        // Open streams, the remote's among them, keep the connection by themselves.
        !self.outbound.is_empty() || !self.events.is_empty()
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ConnectionHandlerEvent<Upgrade, Ticket, FromHandler>> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(event));
            }
            // Before the timeouts, so that an answer that comes at the last moment counts.
            if let Poll::Ready(Some((ticket, ending))) = self.exchanges.poll_next_unpin(cx) {
                let event = self.ended(ticket, ending);
                return Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(event));
            }
            if !self.time_out(cx) {
                break;
            }
        }
        if let Some(protocol) = self.next_opening() {
            return Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest { protocol });
        }
        if let Some(inbound) = &mut self.inbound
            && let Poll::Ready(question) = inbound.poll(cx)
        {
            return Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(FromHandler::Question(question)));
        }
        Poll::Pending
    }

    /// Reports what came before the end, and then the attempts whose question may have reached the
    /// remote. The others are not mentioned, which tells the behaviour that it may try them elsewhere.
    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Option<FromHandler>> {
        if self.closed {
            return Poll::Ready(None);
        }
        if let Some(event) = self.events.pop_front() {
            return Poll::Ready(Some(event));
        }
        if let Poll::Ready(Some((ticket, ending))) = self.exchanges.poll_next_unpin(cx) {
            let ending = match ending {
                Ending::CutOff { .. } => Ending::Failed(Failure::Closed),
                ending => ending,
            };
            return Poll::Ready(Some(self.ended(ticket, ending)));
        }
        let asked = self.outbound.iter().find(|(_, outbound)| matches!(outbound.stage, Stage::Exchanging));
        if let Some((&ticket, _)) = asked {
            return Poll::Ready(Some(self.ended(ticket, Ending::Failed(Failure::Closed))));
        }
        self.closed = true;
        Poll::Ready(None)
    }

    fn on_behaviour_event(&mut self, event: ToHandler) {
        match event {
            ToHandler::Start(start) => self.start(start),
            ToHandler::Withdraw(ticket) => self.end(ticket, Ending::Withdrawn),
        }
    }

    fn on_connection_event(&mut self, event: ConnectionEvent<'_, Upgrade, Upgrade, (), Ticket>) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound { protocol, .. }) => {
                if let Some(inbound) = &self.inbound {
                    inbound.accept(protocol);
                }
            }
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound { protocol, info }) => {
                self.opened(info, Ok(protocol));
            }
            ConnectionEvent::DialUpgradeError(DialUpgradeError { info, error }) => {
                tracing::debug!(%error, "no stream for a request");
                let ending = match error {
                    StreamUpgradeError::Timeout => Ending::Failed(Failure::TimedOut),
                    StreamUpgradeError::NegotiationFailed => Ending::Failed(Failure::Unsupported),
                    StreamUpgradeError::Io(_) => Ending::CutOff { asked: false },
                    StreamUpgradeError::Apply(never) => match never {},
                };
                self.opened(info, Err(ending));
            }
            _ => {}
        }
    }
}

/// Negotiates one protocol, or none, and yields the stream.
#[derive(Clone, Debug)]
pub struct Upgrade(Option<StreamProtocol>);

impl UpgradeInfo for Upgrade {
    type Info = StreamProtocol;
    type InfoIter = std::option::IntoIter<StreamProtocol>;

    fn protocol_info(&self) -> Self::InfoIter {
        self.0.clone().into_iter()
    }
}

impl InboundUpgrade<Stream> for Upgrade {
    type Output = Stream;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Stream, Infallible>>;

    fn upgrade_inbound(self, stream: Stream, _: StreamProtocol) -> Self::Future {
        std::future::ready(Ok(stream))
    }
}

impl OutboundUpgrade<Stream> for Upgrade {
    type Output = Stream;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Stream, Infallible>>;

    fn upgrade_outbound(self, stream: Stream, _: StreamProtocol) -> Self::Future {
        std::future::ready(Ok(stream))
    }
}
