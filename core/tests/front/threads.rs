//! Several threads at once, on the machine's own clock. These tests wait for nothing but events; a
//! lost wake-up runs into the watchdog.

use core::future::Future;
use core::pin::pin;
use core::time::Duration;
use std::thread;

use dragnet_core::front::{self, Client, SystemClock};
use dragnet_core::{QueryConfig, Reason, StartError};
use futures::executor::{ThreadPool, block_on};
use futures::future::{Either, select};
use futures::{StreamExt, task::SpawnExt};
use futures_timer::Delay;

use crate::kit::{LOCAL, VirtualClock, Wire, WireView, Words, ask, ms, word};

fn watched<F: Future>(future: F) -> F::Output {
    match block_on(select(pin!(future), Delay::new(Duration::from_secs(60)))) {
        Either::Left((output, _)) => output,
        Either::Right(_) => panic!("nothing has moved for a minute"),
    }
}

/// Peers 1 to 9 answer at once, 10 never.
fn wire() -> (Wire, WireView) {
    let wire = Wire::new(VirtualClock::new());
    let view = wire.view();
    (1..=9).for_each(|peer| view.answers(peer, ms(0), (0..5).map(word)));
    view.silent([10]);
    (wire, view)
}

/// Asks in every way there is: to the end, dropped half way, dropped at once.
fn busy_client(client: &Client<Words>, rounds: u32) -> u64 {
    let mut finished = 0;
    for n in 0..rounds {
        let query = ask([1 + n % 9, 10]).config(QueryConfig::default().with_max_results(5));
        let mut handle = match client.query(query) {
            Ok(handle) => handle,
            Err(StartError::Busy { .. }) => {
                thread::yield_now();
                continue;
            }
            Err(error) => panic!("{error}"),
        };
        match n % 4 {
            0 => drop(handle),
            1 => assert!(watched(handle.next()).is_some()),
            2 => {
                handle.cancel();
                let (_, outcome) = watched(handle.collect()).expect("an outcome");
                assert!(matches!(outcome.reason, Reason::Cancelled | Reason::EnoughResults));
            }
            _ => {
                let (found, outcome) = watched(handle.collect()).expect("an outcome");
                assert_eq!((found.len(), outcome.reason), (5, Reason::EnoughResults));
                finished += 1;
            }
        }
    }
    finished
}

#[test]
fn clients_on_several_threads_share_a_driver_on_another() {
    const THREADS: u32 = 4;
    const ROUNDS: u32 = 2_000;
    let (wire, view) = wire();
    let (client, mut driver) = front::new(wire, SystemClock::new(), LOCAL, [7; 32]);
    thread::scope(|scope| {
        let clients: Vec<_> = (0..THREADS)
            .map(|_| {
                let client = client.clone();
                scope.spawn(move || busy_client(&client, ROUNDS))
            })
            .collect();
        drop(client);
        // With the last client and the last handle the driver returns.
        watched(&mut driver);
        let finished: u64 = clients.into_iter().map(|client| client.join().expect("no panic")).sum();
        assert!(finished > 0);
    });
    assert_eq!((driver.live(), driver.engine().live(), view.open()), (0, 0, 0));
    assert_eq!(view.contacts(), driver.engine().metrics().contacts_started as usize);
}

#[test]
fn a_driver_runs_on_a_pool_of_threads() {
    let (wire, view) = wire();
    let (client, driver) = front::new(wire, SystemClock::new(), LOCAL, [7; 32]);
    let pool = ThreadPool::builder().pool_size(2).create().expect("threads");
    let over = pool.spawn_with_handle(driver).expect("the pool is there");
    let askers: Vec<_> = (0..4)
        .map(|_| {
            let client = client.clone();
            pool.spawn_with_handle(async move {
                for n in 0..200 {
                    let query = ask([1 + n % 9, 10]).config(QueryConfig::default().with_max_results(5));
                    let handle = client.query(query).expect("the query starts");
                    let (found, _) = handle.collect().await.expect("an outcome");
                    assert_eq!(found.len(), 5);
                }
            })
            .expect("the pool is there")
        })
        .collect();
    watched(futures::future::join_all(askers));
    assert_eq!(client.metrics().queries_finished, 800);
    watched(client.shutdown());
    watched(over);
    assert_eq!(view.open(), 0);
}

#[test]
fn a_shutdown_amid_it_all_ends_everything() {
    for _ in 0..50 {
        let (wire, view) = wire();
        let (client, mut driver) = front::new(wire, SystemClock::new(), LOCAL, [7; 32]);
        thread::scope(|scope| {
            for _ in 0..2 {
                let client = client.clone();
                scope.spawn(move || {
                    loop {
                        match client.query(ask([1, 10])) {
                            Ok(handle) => {
                                let (found, outcome) = watched(handle.collect()).expect("an outcome");
                                assert_eq!(found.len(), outcome.results);
                                assert_eq!(outcome.reason, Reason::Cancelled);
                            }
                            Err(error) => break assert_eq!(error, StartError::ShutDown),
                        }
                    }
                });
            }
            scope.spawn(|| {
                thread::yield_now();
                watched(client.shutdown());
            });
            watched(&mut driver);
        });
        assert_eq!((driver.live(), driver.engine().live(), view.open()), (0, 0, 0));
    }
}

#[test]
fn a_deadline_on_the_machines_clock_is_kept() {
    let (wire, view) = wire();
    let (client, driver) = front::new(wire, SystemClock::new(), LOCAL, [7; 32]);
    let search = async move {
        let handle = client.query(ask([1, 10]).config(QueryConfig::default().with_timeout(ms(50))));
        handle.expect("the query starts").collect().await.expect("an outcome")
    };
    let ((), (found, outcome)) = watched(futures::future::join(driver, search));
    assert_eq!((found.len(), outcome.reason), (5, Reason::DeadlineReached));
    assert!(outcome.stats.total >= ms(50), "{:?}", outcome.stats.total);
    assert_eq!(view.open(), 0);
}
