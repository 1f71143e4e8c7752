//! A `Driver` under a bare `block_on`: no executor, no runtime, no network even.
//!
//! The transport is one's own: here it asks peers that live in the same process, the slow ones among
//! them through the timers' one thread. `cargo run --example block_on`

use std::collections::HashMap;
use std::error::Error;
use std::task::{Context, Poll};
use std::time::Duration;

use dragnet_core::front::{self, Contact, Event, Lookup, SystemClock, Transport};
use dragnet_core::{Failure, Item, Key, Network, Query, QueryConfig, Reply, RequestId};
use dragnet_examples::duration::show;
use futures::executor::block_on;
use futures::future::{BoxFuture, join};
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};

/// A library in which people ask each other for books.
#[derive(Debug)]
enum Library {}

#[derive(Clone, PartialEq, Debug)]
struct Book(&'static str);

impl Item for Book {
    type Id = &'static str;

    fn id(&self) -> &'static str {
        self.0
    }
}

impl Network for Library {
    type Peer = &'static str;
    type Request = &'static str;
    type Item = Book;

    fn key(peer: &&'static str) -> Key {
        Key::of(peer.as_bytes())
    }
}

/// A person: how long they take, and what they have.
type Shelf = (Duration, &'static [&'static str]);

struct People {
    shelves: HashMap<&'static str, Shelf>,
    asked: FuturesUnordered<BoxFuture<'static, Event<Library>>>,
    released: Vec<RequestId>,
}

impl Transport for People {
    type Network = Library;

    fn closest(&mut self, _: &Key, _: usize) -> Vec<&'static str> {
        Vec::new()
    }

    fn contact(&mut self, Contact { request, peer, ask, .. }: Contact<Library>) {
        let Some((time, books)) = self.shelves.get(peer).copied() else {
            self.asked.push(async move { Event::Failure { request, failure: Failure::Unreachable } }.boxed());
            return;
        };
        let answer = async move {
            futures_timer::Delay::new(time).await;
            let fitting = books.iter().copied().filter(|title| title.contains(ask)).map(Book);
            Event::Reply { request, reply: Reply::with_items(fitting.collect()) }
        };
        self.asked.push(answer.boxed());
    }

    fn lookup(&mut self, Lookup { request, .. }: Lookup<Library>) {
        self.asked.push(async move { Event::Failure { request, failure: Failure::Unsupported } }.boxed());
    }

    fn release(&mut self, request: RequestId) {
        self.released.push(request);
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Event<Library>> {
        while let Poll::Ready(Some(event)) = self.asked.poll_next_unpin(cx) {
            if !self.released.contains(&event.request()) {
                return Poll::Ready(event);
            }
        }
        Poll::Pending
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let ms = Duration::from_millis;
    let shelves: [(&str, Shelf); 4] = [
        ("ada", (ms(20), &["Notes on the Engine", "Poetical Science"])),
        ("charles", (ms(5), &["Notes on the Engine", "On the Economy of Machinery"])),
        ("grace", (ms(60), &["The First Engine Bug"])),
        ("kurt", (ms(60_000), &["The Engine That Never Answers"])),
    ];
    let names = shelves.map(|(name, _)| name);
    let people = People { shelves: shelves.into(), asked: FuturesUnordered::new(), released: Vec::new() };
    let (client, driver) = front::new(people, SystemClock::new(), "me", [7; 32]);

    let search = async move {
        let config = QueryConfig::balanced().with_timeout(ms(300)).with_soft_timeout(ms(50));
        let query = Query::new("Engine").fetch_from(names).config(config);
        let mut found = client.query(query)?;
        while let Some(book) = found.next().await {
            println!("{:>8}  {:<8} {}", show(book.elapsed), book.from.unwrap_or_default(), book.item.0);
        }
        let outcome = found.outcome().cloned().ok_or("the driver was dropped")?;
        println!(
            "{} books, {} duplicate, in {}: {}",
            outcome.results,
            outcome.stats.duplicate,
            show(outcome.stats.total),
            outcome.reason
        );
        // With the last client gone the driver returns.
        Ok(())
    };
    let ((), result) = block_on(join(driver, search));
    result
}
