//! Walks that the engine makes itself, among peers that do with a question whatever a test wants.

#![allow(clippy::unwrap_used)]

mod exchange_support;

use std::cell::OnceCell;
use std::rc::Rc;
use std::time::Duration;

use dragnet_core::{Found, Key, Network, Outcome, PeerReport, Query, QueryConfig, Reason};
use dragnet_libp2p::{
    AddressFilter, Client, Config, KAD_PROTOCOL, Libp2p, Node, encrypted, provider_key, query, record_key,
};
use exchange_support::raw::script_of;
use exchange_support::{Served, channel, run, spawn};
use futures::{AsyncReadExt, AsyncWriteExt};
use libp2p::core::transport::MemoryTransport;
use libp2p::identity::Keypair;
use libp2p::kad::RecordKey;
use libp2p::{Multiaddr, PeerId, Stream, StreamProtocol};

/// Longer than a test may take.
const FOR_EVER: Duration = Duration::from_secs(3600);

const GET_VALUE: u8 = 1;
const GET_PROVIDERS: u8 = 3;

/// A field of bytes, shorter than 128 and of a number below 16.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let length = u8::try_from(bytes.len()).unwrap();
    assert!(number < 16 && length < 128);
    [&[number << 3 | 2, length], bytes].concat()
}

fn answer(r#type: u8, fields: &[Vec<u8>]) -> Vec<u8> {
    [&[8, r#type], &fields.concat()[..]].concat()
}

fn record(key: &RecordKey, value: &[u8]) -> Vec<u8> {
    field(3, &[field(1, key.as_ref()), field(2, value)].concat())
}

/// A peer as a closer one (8) or a provider (9).
fn peer(number: u8, id: PeerId, address: &Multiaddr) -> Vec<u8> {
    field(number, &[field(1, &id.to_bytes()), field(2, &address.to_vec())].concat())
}

/// Reads a question, which is shorter than 128 bytes; its type, or none if it is not one of a driven walk:
/// libp2p-kad asks new peers for those closest to itself.
async fn read_question(stream: &mut Stream) -> Option<u8> {
    let mut length = [0];
    stream.read_exact(&mut length).await.ok()?;
    let mut question = vec![0; length[0].into()];
    stream.read_exact(&mut question).await.ok()?;
    [GET_VALUE, GET_PROVIDERS].contains(&question[1]).then_some(question[1])
}

/// A peer of the DHT that sends these bytes for every question, after their length.
async fn answering(message: Vec<u8>) -> Served {
    let mut length = vec![message.len() as u8];
    if message.len() > 127 {
        length = vec![message.len() as u8 | 0x80, (message.len() >> 7) as u8];
    }
    sending([length, message].concat()).await
}

/// A peer of the DHT that sends these bytes for every question.
async fn sending(bytes: Vec<u8>) -> Served {
    let bytes = Rc::new(bytes);
    speaking(move |mut stream| {
        let bytes = Rc::clone(&bytes);
        async move {
            if read_question(&mut stream).await.is_some() {
                stream.write_all(&bytes).await.unwrap();
                stream.close().await.unwrap();
            }
        }
    })
    .await
}

async fn speaking<F: Future<Output = ()> + 'static>(script: impl Fn(Stream) -> F + 'static) -> Served {
    script_of(StreamProtocol::new(KAD_PROTOCOL), script).await
}

/// A node in client mode that knows these peers.
async fn asker(config: Config, known: &[&Served]) -> Client {
    let keypair = Keypair::generate_ed25519();
    let transport = encrypted(MemoryTransport::new(), &keypair, Duration::from_secs(20)).unwrap();
    let (node, client) = Node::builder(keypair).config(config).transport(transport).build().unwrap();
    spawn(node).detach();
    for peer in known {
        client.add_address(peer.peer, peer.address.clone()).unwrap();
    }
    while client.snapshot().await.unwrap().known < known.len() {}
    client
}

async fn ask(client: &Client, query: Query<Libp2p>) -> (Vec<Found<Libp2p>>, Outcome) {
    let config = query.config.clone().with_timeout(FOR_EVER).with_soft_timeout(FOR_EVER);
    client.query(query.config(config)).unwrap().collect().await.unwrap()
}

async fn report(client: &Client, peer: PeerId) -> PeerReport<PeerId> {
    client.peers().await.unwrap().into_iter().find(|report| report.peer == peer).expect("it was asked")
}

async fn until_empty(client: &Client) {
    loop {
        let now = client.snapshot().await.unwrap();
        if now.requests + now.events + now.lookups == 0 {
            break;
        }
    }
}

#[test]
fn a_walk_dials_the_closer_peers_by_the_addresses_that_replies_brought() {
    run(async {
        let key = record_key("t", b"k");
        let last = answering(answer(GET_VALUE, &[record(&key, b"value")])).await;
        let nobody = "/memory/1".parse().unwrap();
        let gone = PeerId::random();
        // Beside it one without a readable id, one without a readable address, and one that is not there.
        let no_id = field(8, &field(1, &[1, 2, 3]));
        let no_address = field(8, &[field(1, &PeerId::random().to_bytes()), field(2, &[4, 1])].concat());
        let closer = [no_id, no_address, peer(8, gone, &nobody), peer(8, last.peer, &last.address)];
        let first = answering(answer(GET_VALUE, &closer)).await;
        let client = asker(Config::default(), &[&first]).await;

        let mut get = query::get(key);
        get.config.max_results = 2;
        let (found, outcome) = ask(&client, get).await;
        assert_eq!(found.len(), 1, "{outcome:?}");
        assert_eq!(found[0].item.record().unwrap().value, b"value");
        assert_eq!(found[0].from, Some(last.peer));
        assert!(found[0].response_time.is_some());
        let stats = outcome.stats;
        assert_eq!((stats.contacted, stats.replied, stats.failed, stats.invalid), (3, 2, 1, 2));
        assert_eq!(outcome.reason, Reason::Exhausted, "there are no twenty peers");
        assert!(report(&client, first.peer).await.invalid_milli > 900);
        assert!(report(&client, gone).await.failures_milli > 900);
        until_empty(&client).await;
    });
}

#[test]
fn providers_are_named_for_one_query_and_asked_for_another() {
    run(async {
        let provider = PeerId::random();
        let nobody = "/memory/1".parse().unwrap();
        let knowing = answering(answer(GET_PROVIDERS, &[peer(9, provider, &nobody)])).await;
        let client = asker(Config::default(), &[&knowing]).await;
        let key = provider_key(b"fruit");
        let (found, _) = ask(&client, query::providers(key.clone())).await;
        let named: Vec<_> = found.iter().map(|found| (found.item.peer(), found.from)).collect();
        assert_eq!(named, [(Some(&provider), Some(knowing.peer))]);
        let (found, outcome) = ask(&client, query::search(key, "?")).await;
        let stats = outcome.stats;
        assert_eq!((found.len(), stats.contacted, stats.replied, stats.failed), (0, 2, 1, 1), "{outcome:?}");
    });
}

#[test]
fn what_is_wrong_with_an_answer_is_counted_against_its_peer() {
    run(async {
        let key = record_key("t", b"k");
        let other = record_key("t", b"other");
        let wrong = [
            // Another type; no type; another key; a record under another key, too large, and unreadable.
            answer(GET_PROVIDERS, &[]),
            Vec::new(),
            answer(GET_VALUE, &[field(2, b"other")]),
            answer(GET_VALUE, &[record(&other, b"a lie")]),
            answer(GET_VALUE, &[record(&key, &[b'x'; 50])]),
            answer(GET_VALUE, &[field(3, &[0x0a, 9])]),
            // A number that does not end, a length past the end, a key that is a number.
            vec![8, 0x80],
            answer(GET_VALUE, &[vec![0x42, 9]]),
            answer(GET_VALUE, &[vec![0x10, 1]]),
        ];
        let mut peers = Vec::new();
        for message in wrong {
            peers.push(answering(message).await);
        }
        // More than is accepted, and a length that is none.
        peers.push(sending(vec![0xff, 0xff, 0x7f]).await);
        peers.push(sending(vec![0xff; 12]).await);
        let mut config = Config::default();
        config.answers.value_bytes_max = 40;
        let client = asker(config, &peers.iter().collect::<Vec<_>>()).await;
        let count = u32::try_from(peers.len()).unwrap();

        for _ in 0..3 {
            let (found, outcome) = ask(&client, query::get(key.clone())).await;
            assert_eq!((found.len(), outcome.stats.invalid), (0, count), "{outcome:?}");
        }
        for peer in &peers {
            assert!(report(&client, peer.peer).await.barred_for.is_some(), "{:?}", peer.peer);
        }
        let (_, outcome) = ask(&client, query::get(key)).await;
        assert_eq!((outcome.stats.contacted, outcome.stats.barred), (0, count), "{outcome:?}");
        until_empty(&client).await;
    });
}

#[test]
fn a_dropped_handle_resets_the_stream_of_its_question_and_not_before() {
    run(async {
        let (asked, questions) = channel();
        let (ended, ends) = channel();
        let silent = speaking(move |mut stream| {
            let (asked, ended) = (asked.clone(), ended.clone());
            async move {
                if read_question(&mut stream).await.is_some() {
                    asked.try_send(()).unwrap();
                    // Returns when the other end is closed or reset.
                    let _ = stream.read(&mut [0]).await;
                    ended.try_send(stream.write_all(&[0; 9]).await.is_err()).unwrap();
                }
            }
        })
        .await;
        let client = asker(Config::default(), &[&silent]).await;
        let get = query::get(record_key("t", b"k"));
        let patient = get.config.clone().with_timeout(FOR_EVER).with_request_timeout(FOR_EVER);
        let handle = client.query(get.config(patient)).unwrap();
        questions.recv().await.unwrap();
        assert_eq!(client.snapshot().await.unwrap().requests, 1);
        assert!(ends.is_empty(), "the question is sent, and its stream is open in both directions");
        drop(handle);
        assert!(ends.recv().await.unwrap(), "it was closed and not reset");
        until_empty(&client).await;
    });
}

#[test]
fn a_peer_that_answers_a_byte_at_a_time_ends_by_the_timeout_of_the_request() {
    run(async {
        let slow = speaking(|mut stream| async move {
            if read_question(&mut stream).await.is_some() {
                stream.write_all(&[100]).await.unwrap();
                // Until it is reset.
                while stream.write_all(&[1]).await.is_ok() && stream.flush().await.is_ok() {
                    futures_timer::Delay::new(Duration::from_millis(50)).await;
                }
            }
        })
        .await;
        let mut config = Config::default();
        config.request_timeout = Duration::from_millis(500);
        let client = asker(config, &[&slow]).await;
        let get = query::get(record_key("t", b"k"));
        let patient = get.config.clone().with_request_timeout(FOR_EVER);
        let (found, outcome) = ask(&client, get.config(patient)).await;
        assert_eq!((found.len(), outcome.stats.failed, outcome.reason), (0, 1, Reason::Exhausted));
        until_empty(&client).await;
    });
}

#[test]
fn a_peer_of_another_protocol_and_one_that_refuses_are_failures() {
    run(async {
        let elsewhere = script_of(StreamProtocol::new("/elsewhere/kad/1.0.0"), |_| async {}).await;
        let refusing = speaking(|_| async {}).await;
        let client = asker(Config::default(), &[&elsewhere, &refusing]).await;
        let (found, outcome) = ask(&client, query::get(record_key("t", b"k"))).await;
        assert_eq!((found.len(), outcome.stats.failed, outcome.stats.invalid), (0, 2, 0), "{outcome:?}");
        for peer in [elsewhere.peer, refusing.peer] {
            assert!(report(&client, peer).await.failures_milli > 900);
        }
    });
}

#[test]
fn an_address_that_the_filter_forbids_is_not_dialled() {
    run(async {
        let key = record_key("t", b"k");
        let near = answering(answer(GET_VALUE, &[record(&key, b"value")])).await;
        let first = answering(answer(GET_VALUE, &[peer(8, near.peer, &near.address)])).await;
        let mut config = Config::default();
        config.address_filter = AddressFilter::Global;
        let client = asker(config, &[&first]).await;
        let (found, outcome) = ask(&client, query::get(key.clone())).await;
        assert_eq!((found.len(), outcome.stats.replied, outcome.stats.failed), (0, 1, 1), "{outcome:?}");
        assert!(near.connections.is_empty());
        // What the application says is believed.
        client.add_address(near.peer, near.address.clone()).unwrap();
        let (found, outcome) = ask(&client, query::get(key)).await;
        assert_eq!(found.len(), 1, "{outcome:?}");
    });
}

#[test]
fn a_silent_peer_is_overdue_and_its_slot_goes_to_another() {
    run(async {
        let silent = speaking(|mut stream| async move {
            read_question(&mut stream).await;
            // Until it is reset.
            let _ = stream.read(&mut [0]).await;
        })
        .await;
        let told = Rc::new(OnceCell::new());
        let telling = Rc::clone(&told);
        let good = speaking(move |mut stream| {
            let telling = Rc::clone(&telling);
            async move {
                if read_question(&mut stream).await.is_some() {
                    let message: &Vec<u8> = telling.get().unwrap();
                    stream.write_all(&[message.len() as u8]).await.unwrap();
                    stream.write_all(message).await.unwrap();
                    stream.close().await.unwrap();
                }
            }
        })
        .await;
        // A key to which the silent one is closer, so that it is asked first.
        let key = (0_u32..).map(|n| record_key("t", &n.to_be_bytes())).find(|key| {
            let distance = |peer| Libp2p::key(peer).distance(&Key::of(key.as_ref()));
            distance(&silent.peer) < distance(&good.peer)
        });
        let key = key.unwrap();
        told.set(answer(GET_VALUE, &[record(&key, b"value")])).unwrap();
        let client = asker(Config::default(), &[&silent, &good]).await;
        let pace = QueryConfig::balanced()
            .with_timeout(FOR_EVER)
            .with_request_timeout(FOR_EVER)
            .with_soft_timeout(Duration::from_millis(50))
            .with_fan_out(1)
            .with_max_results(1);
        let (found, outcome) = client.query(query::get(key).config(pace)).unwrap().collect().await.unwrap();
        assert_eq!(found.len(), 1, "{outcome:?}");
        assert!(outcome.stats.overdue >= 1 && outcome.stats.hedged == 1, "{outcome:?}");
        until_empty(&client).await;
    });
}
