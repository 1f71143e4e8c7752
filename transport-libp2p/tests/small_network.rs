//! What an application does, on networks of a few nodes.

mod common;

use common::{ask, item, memory, network, run, serve, start, stop, until_empty, until_provided};
use dragnet_core::Reason;
use dragnet_libp2p::{Answer, Config, provider_key, query, record_key};
use libp2p::kad::{Mode, Record};

#[test]
fn three_nodes_put_and_get_a_record() {
    run(async {
        let peers = network(3, &Config::default()).await;
        let key = record_key("test", b"greeting");
        let published = peers[1].client.put(Record::new(key.clone(), b"hello".to_vec())).await.unwrap();
        let mut stored = published.stored.clone();
        stored.sort();
        let mut others = vec![peers[0].id(), peers[2].id()];
        others.sort();
        assert_eq!((stored, published.failed), (others, vec![]));

        // One that stores nothing for others, so that all it learns comes from peers.
        let mut asking = Config::default();
        asking.mode = Some(Mode::Client);
        let asker = start(memory(&asking).boot(peers[0].boot_address())).await;
        asker.client.bootstrap().await.unwrap();
        for client in [&peers[2].client, &asker.client] {
            for get in [query::get(key.clone()), query::delegated(query::get(key.clone()))] {
                let (found, outcome) = ask(client, get).await;
                assert_eq!(found.len(), 1, "{outcome:?}");
                let record = found[0].item.record().expect("a record was asked for");
                assert_eq!((&record.key, record.value.as_slice()), (&key, b"hello".as_slice()));
                assert_eq!(outcome.reason, Reason::EnoughResults);
                let is_stored_here = client.local_peer() == peers[2].id();
                assert_eq!(found[0].from.is_none(), is_stored_here, "{found:?}");
            }
        }
        until_empty(&asker.client).await;
        asker.stop().await;
        for peer in &peers {
            until_empty(&peer.client).await;
        }
        stop(peers).await;
    });
}

#[test]
fn a_search_fetches_from_the_providers_of_a_term() {
    run(async {
        let peers = network(4, &Config::default()).await;
        let key = provider_key(b"fruit");
        let mut handles = Vec::new();
        for peer in &peers[1..3] {
            let mut handle = peer.client.provide(key.clone());
            assert!(!handle.announced().await.unwrap().stored.is_empty());
            handles.push(handle);
        }
        until_provided(&peers[3].client, &key, &[peers[1].id(), peers[2].id()]).await;
        let _served = [
            serve(&peers[1], vec![item("apple", "red"), item("pear", "green")]),
            serve(&peers[2], vec![item("apple", "red"), item("plum", "blue")]),
        ];

        let search = query::search(key.clone(), "fruit");
        // A driven walk says that there are fewer peers than the twenty closest.
        let searches = [(query::delegated(search.clone()), Reason::Converged), (search, Reason::Exhausted)];
        for (search, reason) in searches {
            let (found, outcome) = ask(&peers[3].client, search).await;
            let mut ids: Vec<_> =
                found.iter().filter_map(|f| f.item.fetched()).map(|i| i.id.clone()).collect();
            ids.sort();
            assert_eq!(ids, ["apple", "pear", "plum"], "{outcome:?}");
            assert_eq!((outcome.reason, outcome.stats.duplicate), (reason, 1));
            assert!(found.iter().all(|found| found.response_time.is_some()));
        }

        // One that stores nothing for others, so that all it learns comes from peers.
        let mut asking = Config::default();
        asking.mode = Some(Mode::Client);
        let asker = start(memory(&asking).boot(peers[0].boot_address())).await;
        asker.client.bootstrap().await.unwrap();
        for providers in [query::providers(key.clone()), query::delegated(query::providers(key))] {
            let (found, _) = ask(&asker.client, providers).await;
            let mut providers: Vec<_> = found
                .iter()
                .map(|found| match found.item {
                    Answer::Provider(peer) => peer,
                    ref other => panic!("{other:?} is no provider"),
                })
                .collect();
            providers.sort();
            let mut expected = [peers[1].id(), peers[2].id()];
            expected.sort();
            assert_eq!(providers, expected);
            assert!(found.iter().all(|found| found.from.is_some()), "it is told who named a provider");
        }
        asker.stop().await;
        stop(peers).await;
    });
}
