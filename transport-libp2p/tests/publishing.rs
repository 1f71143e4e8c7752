//! Records that are put, keys that are provided: handles, republishing, limits.

mod common;

use std::time::Duration;

use common::{ask, memory, network, run, start, stop, until, until_empty};
use dragnet_libp2p::{Config, PublishError, provider_key, query, record_key};
use libp2p::kad::Record;

#[test]
fn a_full_store_and_a_large_value_are_typed_errors() {
    run(async {
        let mut config = Config::default();
        config.store.records_max = 2;
        config.store.provided_keys_max = 2;
        config.store.value_bytes_max = 100;
        let roomy = start(memory(&Config::default()).listen("/memory/0")).await;
        let small = start(memory(&config).listen("/memory/0").boot(roomy.boot_address())).await;
        small.client.bootstrap().await.unwrap();
        let client = &small.client;
        let record = |n: u8, bytes| Record::new(record_key("test", &[n]), vec![n; bytes]);

        assert!(client.put(record(1, 100)).await.is_ok());
        assert_eq!(
            client.put(record(1, 101)).await,
            Err(PublishError::ValueTooLarge { bytes: 101, max: 100 })
        );
        assert!(client.put(record(2, 1)).await.is_ok());
        assert_eq!(client.put(record(3, 1)).await, Err(PublishError::StoreFull { what: "records", max: 2 }));
        client.remove(record_key("test", &[1])).unwrap();
        assert!(client.put(record(3, 1)).await.is_ok(), "a removed record makes room");

        let mut first = client.provide(provider_key(b"1"));
        let mut second = client.provide(provider_key(b"2"));
        assert!(first.announced().await.is_ok() && second.announced().await.is_ok());
        let full = PublishError::StoreFull { what: "provided keys", max: 2 };
        let mut third = client.provide(provider_key(b"3"));
        assert_eq!(third.announced().await, Err(full.clone()));
        assert_eq!(third.announced().await, Err(full), "and it stays so");
        drop(first);
        let mut third = client.provide(provider_key(b"3"));
        assert_eq!(
            third.announced().await.map(|told| told.failed),
            Ok(vec![]),
            "a dropped handle makes room"
        );
        until_empty(client).await;
        assert_eq!(client.snapshot().await.unwrap().provided, 2);
        stop(vec![small, roomy]).await;
    });
}

#[test]
fn a_provider_is_announced_again_until_its_last_handle_is_dropped() {
    run(async {
        let mut config = Config::default();
        config.publishing.provider_interval = Some(Duration::from_millis(50));
        config.publishing.provider_ttl = Some(Duration::from_secs(2));
        let peers = network(3, &config).await;
        let key = provider_key(b"fruit");
        let client = &peers[1].client;
        let mut first = client.provide(key.clone());
        let published = first.announced().await.unwrap();
        assert_eq!((published.stored.len(), published.failed.len()), (2, 0));
        let mut second = client.provide(key.clone());
        assert_eq!(second.announced().await, Ok(published), "a second handle learns of the first's");

        drop(first);
        // A third peer joins: only an announcement that comes later can reach it.
        let late = start(memory(&config).listen("/memory/0").boot(peers[0].boot_address())).await;
        late.client.bootstrap().await.unwrap();
        while !second.announced().await.is_ok_and(|published| published.stored.contains(&late.id())) {}

        drop(second);
        until(|| async { client.snapshot().await.unwrap().provided == 0 }).await;
        until_empty(client).await;
        // Nobody renews it: the others forget within its time to live.
        until(|| async { ask(&late.client, query::providers(key.clone())).await.0.is_empty() }).await;
        late.stop().await;
        stop(peers).await;
    });
}

#[test]
fn a_record_is_put_again_for_peers_that_come_later() {
    run(async {
        let mut config = Config::default();
        config.publishing.record_interval = Some(Duration::from_millis(100));
        config.publishing.record_replication_interval = Some(Duration::from_millis(100));
        let first = start(memory(&config).listen("/memory/0")).await;
        let key = record_key("test", b"k");
        let put = first.client.put(Record::new(key.clone(), b"v".to_vec())).await;
        assert_eq!(put, Err(PublishError::NoPeers), "it is alone yet");

        let late = start(memory(&config).listen("/memory/0").boot(first.boot_address())).await;
        late.client.bootstrap().await.unwrap();
        // Until `late` finds it at home: by then it does not need the first any more.
        until(|| async {
            let (found, _) = ask(&late.client, query::get(key.clone())).await;
            found.first().is_some_and(|found| found.from.is_none())
        })
        .await;
        first.stop().await;
        let (found, outcome) = ask(&late.client, query::get(key)).await;
        assert_eq!(found.len(), 1, "{outcome:?}");
        assert_eq!(found[0].from, None);
        late.stop().await;
    });
}

#[test]
fn providing_alone_says_so_and_tries_again() {
    run(async {
        let mut config = Config::default();
        config.publishing.provider_interval = Some(Duration::from_millis(50));
        let alone = start(memory(&config).listen("/memory/0")).await;
        let mut provided = alone.client.provide(provider_key(b"fruit"));
        assert_eq!(provided.announced().await, Err(PublishError::NoPeers));
        let other = start(memory(&config).listen("/memory/0").boot(alone.boot_address())).await;
        other.client.bootstrap().await.unwrap();
        while provided.announced().await.is_err() {}
        alone.client.shutdown().await;
        assert_eq!(provided.announced().await, Err(PublishError::ShutDown));
        let mut after = alone.client.provide(provider_key(b"more"));
        assert_eq!(after.announced().await, Err(PublishError::ShutDown));
        assert_eq!(
            alone.client.put(Record::new(record_key("t", b"k"), vec![])).await,
            Err(PublishError::ShutDown)
        );
        other.stop().await;
    });
}

#[test]
fn publishing_more_than_the_queue_holds_is_busy() {
    run(async {
        let mut config = Config::default();
        config.commands_max = 3;
        let (node, client) = memory(&config).build().unwrap();
        // Nobody polls the node yet.
        let puts: Vec<_> = (0..4).map(|n| client.put(Record::new(record_key("t", &[n]), vec![]))).collect();
        let running = smol::spawn(node);
        let results = futures::future::join_all(puts).await;
        assert_eq!(results[..3], vec![Err(PublishError::NoPeers); 3]);
        assert_eq!(results[3], Err(PublishError::Busy { max: 3 }));
        client.shutdown().await;
        running.await;
    });
}
