//! Many peers, many queries: nothing is refused, nothing is left behind.

mod common;

use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use common::{ask, item, network, run, serve, stop, until_empty, until_provided};
use dragnet_core::QueryConfig;
use dragnet_libp2p::{Config, ProvideHandle, provider_key, query, record_key};
use futures::future::join_all;
use libp2p::kad::Record;

#[test]
fn twenty_nodes_find_what_any_of_them_published() {
    run(async {
        let peers = network(20, &Config::default()).await;
        let records = peers.iter().enumerate().map(|(n, peer)| async move {
            let key = record_key("test", format!("record {n}").as_bytes());
            peer.client.put(Record::new(key, format!("value {n}").into_bytes())).await.unwrap()
        });
        for published in join_all(records).await {
            assert!(published.stored.len() >= 15, "{published:?}");
            assert_eq!(published.failed, []);
        }
        let terms = peers.iter().enumerate().map(|(n, peer)| async move {
            let mut handle = peer.client.provide(provider_key(format!("term {}", n / 2).as_bytes()));
            assert!(handle.announced().await.unwrap().stored.len() >= 15);
            handle
        });
        let _handles: Vec<ProvideHandle> = join_all(terms).await;
        for (n, two) in peers.chunks(2).enumerate() {
            let key = provider_key(format!("term {n}").as_bytes());
            until_provided(&peers[0].client, &key, &[two[0].id(), two[1].id()]).await;
        }
        let _served: Vec<_> = peers
            .iter()
            .enumerate()
            .map(|(n, peer)| serve(peer, vec![item(&format!("item {n}"), ""), item("everybody's", "")]))
            .collect();

        for (n, peer) in peers.iter().enumerate() {
            let other = (n + 7) % 20;
            let (found, outcome) =
                ask(&peer.client, query::get(record_key("test", format!("record {other}").as_bytes()))).await;
            let value = found.first().and_then(|f| f.item.record()).map(|record| record.value.clone());
            assert_eq!(value, Some(format!("value {other}").into_bytes()), "{outcome:?}");

            let term = (n / 2 + 3) % 10;
            let (found, outcome) =
                ask(&peer.client, query::search(provider_key(format!("term {term}").as_bytes()), "?")).await;
            let mut ids: Vec<_> = found.iter().filter_map(|f| f.item.fetched()).map(|i| &i.id[..]).collect();
            ids.sort_unstable();
            let expected = [format!("item {}", 2 * term), format!("item {}", 2 * term + 1)];
            let mut expected: Vec<_> = expected.iter().map(String::as_bytes).collect();
            expected.push(b"everybody's");
            expected.sort_unstable();
            assert_eq!(ids, expected, "{outcome:?}");
        }
        for peer in &peers {
            until_empty(&peer.client).await;
        }
        stop(peers).await;
    });
}

#[test]
fn a_thousand_lookups_at_once_over_sixty_nodes_see_no_stream_refused() {
    run(async {
        let started = Instant::now();
        let mut config = Config::default();
        // Fewer requests a lookup, so that a slow machine is done in time. There are as many at once.
        config.replication = NonZeroUsize::new(5).expect("a literal");
        let peers = network(60, &config).await;
        let built = started.elapsed();
        let started = Instant::now();
        let client = &peers[0].client;
        let lookups = (0..1000).map(|n: u32| {
            let mut closest = query::closest(record_key("test", &n.to_be_bytes()));
            // One more than there are, so that each lookup runs to its end and tells what it took.
            closest.config = closest.config.with_timeout(Duration::from_secs(300)).with_max_results(6);
            ask(client, closest)
        });
        let mut failed = 0;
        let mut contacted = 0;
        for (found, outcome) in join_all(lookups).await {
            assert_eq!(found.len(), 5, "{outcome:?}");
            failed += outcome.stats.failed;
            contacted += outcome.stats.contacted;
        }
        println!("60 nodes in {built:?}; 1000 lookups, {contacted} requests in {:?}", started.elapsed());
        assert_eq!(failed, 0, "of {contacted}");
        until_empty(client).await;
        stop(peers).await;
    });
}

#[test]
fn dropped_handles_leave_nothing_in_kademlia_or_the_exchange() {
    run(async {
        // As if for ever: so what ends in time was given up.
        const FOR_EVER: Duration = Duration::from_secs(3600);
        let mut config = Config::default();
        config.fetch_timeout = FOR_EVER;
        let peers = network(8, &config).await;
        let key = provider_key(b"slow");
        let mut provided = peers[1].client.provide(key.clone());
        provided.announced().await.unwrap();
        // Takes questions and never answers.
        let mut questions = peers[1].client.questions();
        let asker = &peers[5].client;
        until_provided(asker, &key, &[peers[1].id()]).await;
        let config = QueryConfig::balanced().with_timeout(FOR_EVER).with_request_timeout(FOR_EVER);
        let handles: Vec<_> = (0..200)
            .map(|_| {
                asker.query(query::delegated(query::search(key.clone(), "?")).config(config.clone())).unwrap()
            })
            .collect();
        let _unanswered = questions.next().await.expect("it is asked");
        let now = asker.snapshot().await.unwrap();
        assert!(now.requests > 0 && now.lookups > 0 && now.lookups_waiting > 0, "{now:?}");

        drop(handles);
        until_empty(asker).await;
        common::until(|| async { asker.metrics().queries_live == 0 }).await;
        let metrics = asker.metrics();
        assert_eq!(metrics.queries_cancelled, 200);
        assert_eq!(metrics.contacts_in_flight, 0);
        stop(peers).await;
    });
}

#[test]
fn thousands_of_queries_leave_engine_driver_and_adapter_empty() {
    run(async {
        let peers = network(8, &Config::default()).await;
        let key = provider_key(b"fruit");
        let mut provided = peers[1].client.provide(key.clone());
        provided.announced().await.unwrap();
        let _served = serve(&peers[1], vec![item("apple", "red")]);
        let record = record_key("test", b"r");
        peers[2].client.put(Record::new(record.clone(), b"v".to_vec())).await.unwrap();

        let asker = &peers[6].client;
        until_provided(asker, &key, &[peers[1].id()]).await;
        let started = Instant::now();
        for _ in 0..20 {
            let searches = (0..50).map(|_| ask(asker, query::search(key.clone(), "?")));
            for (found, outcome) in join_all(searches).await {
                assert_eq!(found.len(), 1, "{outcome:?}");
            }
            let gets = (0..50).map(|_| ask(asker, query::get(record.clone())));
            for (found, outcome) in join_all(gets).await {
                assert_eq!(found.len(), 1, "{outcome:?}");
            }
            // Some are given up in the middle.
            drop(asker.providers(key.clone()));
        }
        println!("2000 queries in {:?}", started.elapsed());
        until_empty(asker).await;
        common::until(|| async { asker.metrics().queries_live == 0 }).await;
        let metrics = asker.metrics();
        assert_eq!(metrics.queries_started, metrics.queries_finished);
        assert_eq!((metrics.contacts_in_flight, metrics.contacts_waiting), (0, 0));
        stop(peers).await;
    });
}
