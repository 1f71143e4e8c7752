//! What strangers can and cannot do to a node.

mod common;

use common::{Peer, ask, item, memory, network, run, start, stop};
use dragnet_libp2p::{Config, query};

#[test]
fn a_node_whose_last_client_is_dropped_answers_still() {
    run(async {
        let mut peers = network(2, &Config::default()).await;
        let Peer { client, task, .. } = peers.remove(0);
        let id = client.local_peer();
        let served = smol::spawn(client.questions().serve(|_question, _max| [item("apple", "red")]));
        drop(client);
        let (found, outcome) = ask(&peers[0].client, query::fetch("?", [id])).await;
        assert_eq!(found.len(), 1, "{outcome:?}");
        served.cancel().await;
        let (found, outcome) = ask(&peers[0].client, query::fetch("?", [id])).await;
        assert_eq!((found.len(), outcome.stats.failed), (0, 1), "refused at once: {outcome:?}");
        task.cancel().await;
        stop(peers).await;
    });
}

#[test]
fn connections_from_outside_leave_room_for_our_own() {
    run(async {
        let crowded = start(memory(&Config::default()).connections_max(4).listen("/memory/0")).await;
        let mut crowd = Vec::new();
        for _ in 0..5 {
            let peer =
                start(memory(&Config::default()).listen("/memory/0").boot(crowded.boot_address())).await;
            // The last ones are turned away.
            let _ = peer.client.bootstrap().await;
            crowd.push(peer);
        }
        assert_eq!(crowded.client.snapshot().await.unwrap().connections, 3);
        let friend = start(memory(&Config::default()).listen("/memory/0")).await;
        crowded.client.add_address(friend.id(), friend.address.clone().unwrap()).unwrap();
        let _served = common::serve(&friend, vec![item("apple", "red")]);
        let (found, outcome) = ask(&crowded.client, query::fetch("?", [friend.id()])).await;
        assert_eq!(found.len(), 1, "{outcome:?}");
        crowd.extend([crowded, friend]);
        stop(crowd).await;
    });
}
