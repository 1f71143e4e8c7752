//! What a real node's engine was told replays from its recording.

#![cfg(feature = "record")]

mod common;

use common::{Peer, ask, item, run, serve, start, until_provided};
use dragnet_core::record::{Ending, RecordConfig, Replay, Stopped};
use dragnet_core::{CachePolicy, QueryConfig};
use dragnet_libp2p::{Node, provider_key, query, record_key, recorder};
use libp2p::identity::Keypair;
use libp2p::kad::Record;

fn node() -> dragnet_libp2p::NodeBuilder {
    Node::builder(Keypair::generate_ed25519()).listen("/ip4/127.0.0.1/tcp/0")
}

#[test]
fn a_node_on_loopback_replays_from_its_recording() {
    let (file, asked, local) = run(async {
        let mut peers: Vec<Peer> = vec![start(node()).await];
        while peers.len() < 6 {
            let peer = start(node().boot(peers[0].boot_address())).await;
            peer.client.bootstrap().await.expect("the first answers");
            peers.push(peer);
        }
        let term = provider_key(b"tools");
        let _serving = serve(&peers[2], vec![item("a", "body"), item("b", "body")]);
        let _provided = peers[2].client.provide(term.clone());
        until_provided(&peers[4].client, &term, &[peers[2].id()]).await;

        let (recorder, writer) = recorder(RecordConfig::default());
        let asker = start(node().boot(peers[0].boot_address()).record(recorder)).await;
        asker.client.bootstrap().await.expect("the first answers");
        let key = record_key("t", b"k");
        asker.client.put(Record::new(key.clone(), b"v".to_vec())).await.expect("there is room");
        let kept = QueryConfig::balanced().with_cache(CachePolicy::Fresh);
        let queries = [
            query::search(term.clone(), &b"tools"[..]),
            query::get(key.clone()),
            query::providers(term.clone()),
            query::closest(key.clone()),
            query::delegated(query::search(term.clone(), &b"tools"[..])),
            query::search(term.clone(), &b"tools"[..]).config(kept.clone()),
            query::search(term, &b"tools"[..]).config(kept),
        ];
        let mut outcomes = Vec::new();
        for query in queries {
            outcomes.push(ask(&asker.client, query).await.1);
        }
        let local = asker.id().to_string();
        asker.stop().await;
        for peer in peers {
            peer.stop().await;
        }
        let mut file = Vec::new();
        writer.run(&mut file).expect("memory takes it");
        (file, outcomes, local)
    });

    let mut replay = Replay::open(&file[..]).expect("a whole recording");
    assert_eq!(replay.head().local.to_string(), local);
    let mut ended = Vec::new();
    for input in replay.by_ref() {
        assert!(input.is_as_recorded, "{input:?}");
        ended.extend(input.outputs.into_iter().filter_map(|output| match output {
            dragnet_core::Output::Finished { outcome, .. } => Some(outcome),
            _ => None,
        }));
    }
    assert_eq!(replay.ending(), Some(&Ending::Whole(Stopped::Finished)));
    assert_eq!(ended, asked);
    assert!(asked[0].results > 0, "{:?}", asked[0]);
    assert!(asked.last().is_some_and(|outcome| outcome.cached.is_some()));
}
