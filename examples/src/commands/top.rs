//! `top`: a node on a screen.

use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use dragnet_core::QueryConfig;
use dragnet_core::front::DriverGone;
use dragnet_libp2p::Client;
use serde_json::json;
use smol::channel::{Receiver, Sender};

use crate::cli::{NetworkArgs, TopArgs};
use crate::error::{Error, Exit};
use crate::market::Market;
use crate::monitor::{Remote, Status};
use crate::output::Output;
use crate::peer::Peer;
use crate::question::Question;
use crate::signals::Interrupt;
use crate::top::{History, View, plain, show};

/// Oftener nobody looks, and a node tells nothing new.
const EVERY_MIN: Duration = Duration::from_millis(100);
/// Queries and peers of either kind that are shown of a node of one's own.
const LISTED_MAX: usize = 100;
/// Between two searches for one thing.
const SEARCH_PAUSE: Duration = Duration::from_millis(200);

/// Shows a node until somebody quits; where there is no terminal, prints what there is.
///
/// # Errors
///
/// Nobody who answers, a bad address, a search that is none; and when nothing can be shown any more.
pub async fn top(args: &TopArgs, output: Output) -> Result<Exit, Error> {
    let mut interrupt = Interrupt::new()?;
    if let Some(address) = args.metrics {
        let mut source = Source::Remote(Remote::new(address));
        return watch(args, &address.to_string(), &mut source, &mut interrupt, output).await;
    }
    let questions = args.search.iter().map(|term| Question::new(&[term], None, None));
    let questions = questions.collect::<Result<Vec<_>, _>>()?;
    let peer = Peer::join(&NetworkArgs { boot: args.boot.clone(), protocol: args.protocol.clone() }).await?;
    peer.run(async |client| {
        let market = Market::new(client.clone(), Default::default());
        let searching: Vec<_> =
            questions.into_iter().map(|question| smol::spawn(search(market.clone(), question))).collect();
        let mut source = Source::Own { client: client.clone(), since: Instant::now() };
        let local = client.local_peer().to_string();
        let result = watch(args, &local, &mut source, &mut interrupt, output).await;
        drop(searching);
        result
    })
    .await
}

/// The node that is shown.
enum Source {
    Remote(Remote),
    Own { client: Client, since: Instant },
}

impl Source {
    async fn status(&mut self) -> Result<Status, Error> {
        match self {
            Self::Remote(remote) => Ok(remote.status().await?),
            Self::Own { client, since } => Ok(Status::of(client, since.elapsed(), LISTED_MAX).await?),
        }
    }
}

async fn watch(
    args: &TopArgs,
    name: &str,
    source: &mut Source,
    interrupt: &mut Interrupt,
    output: Output,
) -> Result<Exit, Error> {
    let every = args.every.max(EVERY_MIN);
    let view = View::of(name.to_string());
    let is_seen = io::stdout().is_terminal() && io::stdin().is_terminal();
    if is_seen && !args.once && !output.is_json() {
        // Asked apart, so that a node that does not answer keeps nobody from quitting.
        let (telling, told): (Sender<_>, Receiver<_>) = smol::channel::bounded(1);
        let asking = async {
            while telling.send(source.status().await.map_err(|error| error.to_string())).await.is_ok() {
                smol::Timer::after(every).await;
            }
        };
        let showing = async { show(view, told, interrupt).await };
        smol::future::or(showing, async {
            asking.await;
            std::future::pending().await
        })
        .await?;
        return Ok(Exit::Found);
    }
    let interrupted = async {
        interrupt.wait().await;
        Ok(())
    };
    smol::future::or(interrupted, print(source, view, every, args.once, output)).await?;
    Ok(Exit::Found)
}

/// Prints a picture; in JSON one object each time, without an end unless once is enough.
async fn print(
    source: &mut Source,
    mut view: View,
    every: Duration,
    once: bool,
    output: Output,
) -> Result<(), Error> {
    let mut history = History::default();
    loop {
        // Two samples, or there are no rates.
        let status = source.status().await?;
        view.update(&mut history, Ok(status));
        if let (Some(status), Some(rates)) = (&view.status, &view.rates) {
            output.object(&json!({"kind": "status", "status": status, "rates": rates}))?;
            if once || !output.is_json() {
                return Ok(output.text(plain(&view, u16::try_from(output.width()).unwrap_or(u16::MAX)))?);
            }
        }
        smol::Timer::after(every).await;
    }
}

/// Searches for one thing again and again, until the node is gone.
async fn search(market: Market, question: Question) -> Result<(), DriverGone> {
    loop {
        if let Ok(search) = market.search(&question, QueryConfig::balanced()) {
            search.ending().await?;
        }
        smol::Timer::after(SEARCH_PAUSE).await;
    }
}
