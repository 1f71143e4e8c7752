//! A node with `--metrics`, scraped by Prometheus and by strangers.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod common;
mod exposition;

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use common::{Program, run};
use dragnet_examples::monitor::{Monitor, MonitorLimits, Remote, RemoteError};
use dragnet_libp2p::{Client, Node};
use exposition::Exposition;
use libp2p::identity::Keypair;
use serde_json::Value;

/// No step of any test may take longer. Far more than any needs.
const PATIENCE: Duration = Duration::from_secs(120);

/// What is answered to these bytes: its status, its head and its body.
fn answer(address: SocketAddr, request: impl AsRef<[u8]>) -> (u16, String, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request.as_ref()).unwrap();
    let mut bytes = Vec::new();
    // A reset after the answer is an end too.
    let _ = stream.read_to_end(&mut bytes);
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text:?}"));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head.to_lowercase(), body.to_string())
}

fn get(address: SocketAddr, target: &str) -> (u16, String, String) {
    answer(address, format!("GET {target} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"))
}

fn status(address: SocketAddr) -> Value {
    let (code, head, body) = get(address, "/status");
    assert_eq!(code, 200, "{body}");
    assert!(head.contains("content-type: application/json"), "{head}");
    serde_json::from_str(&body).unwrap()
}

fn scrape(address: SocketAddr) -> Exposition {
    let (code, head, body) = get(address, "/metrics");
    assert_eq!(code, 200, "{body}");
    assert!(
        head.contains("content-type: application/openmetrics-text; version=1.0.0; charset=utf-8"),
        "{head}"
    );
    Exposition::parse(&body).unwrap_or_else(|error| panic!("{error} in {body}"))
}

/// Asks until something holds.
fn until(mut holds: impl FnMut() -> bool) {
    let start = std::time::Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "it does not come to hold");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_node_is_scraped_and_its_counters_move() {
    let listen = ["node", "--json", "--listen", "/ip4/127.0.0.1/tcp/0"];
    let mut first = Program::start(listen);
    let boot = first.object("listening")["address"].as_str().unwrap().to_string();
    let metrics = ["--metrics", "127.0.0.1:0", "--boot", &boot];
    let mut node = Program::start(listen.into_iter().chain(metrics));
    let told = node.object("metrics");
    let address: SocketAddr = told["address"].as_str().unwrap().parse().unwrap();
    assert_eq!(told["url"], format!("http://{address}/metrics"));
    assert_eq!(node.object("joined")["known"], 1);

    let before = scrape(address);
    let own = status(address);
    assert_eq!(own["peers"]["routing_table"], 1, "{own}");
    assert_eq!(before.value("dragnet_libp2p_routing_table_peers"), 1.0);
    // Joining is libp2p-kad's work; a record of somebody else's is this node's.
    let put = run(["put", "--json", "--boot", &boot, "/dragnet/greeting", "hello"]);
    assert_eq!(put.code, Some(0), "{put:?}");
    until(|| scrape(address).value("dragnet_libp2p_stored_records{owner=\"remote\"}") == 1.0);
    let (_, _, text) = get(address, "/");
    assert!(text.contains("/metrics") && text.contains("/status"), "{text}");
    assert_eq!(get(address, "/nonesuch").0, 404);
    assert_eq!(
        answer(address, "POST /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").0,
        405
    );

    // A port that is taken is said before anything else happens.
    let taken = address.to_string();
    let second = run(listen.into_iter().chain(["--metrics", &taken]));
    assert_eq!(second.code, Some(2), "{second:?}");
    let message = second.objects().pop().unwrap()["message"].as_str().unwrap().to_string();
    assert!(
        message.contains(&taken) && message.contains("port is taken") && message.contains("port 0"),
        "{message}"
    );

    for mut program in [node, first] {
        program.interrupt();
        assert_eq!(program.end().code, Some(0));
    }
}

/// A node in this process, with a monitor.
struct Watched {
    client: Client,
    address: SocketAddr,
    node: smol::Task<()>,
    _monitor: smol::Task<std::convert::Infallible>,
}

impl Watched {
    fn new(limits: MonitorLimits) -> Self {
        let keypair = Keypair::generate_ed25519();
        let (node, client) = Node::builder(keypair).listen("/ip4/127.0.0.1/tcp/0").build().unwrap();
        let monitor = smol::block_on(Monitor::bind("127.0.0.1:0".parse().unwrap(), limits)).unwrap();
        let address = monitor.address();
        let _monitor = smol::spawn(monitor.run(client.clone()));
        Self { client, address, node: smol::spawn(node), _monitor }
    }

    fn stop(self) {
        smol::block_on(async {
            self.client.shutdown().await;
            self.node.await;
        });
    }
}

#[test]
fn a_status_names_live_queries_and_ends_with_the_node() {
    let watched = Watched::new(MonitorLimits::default());
    let other = Watched::new(MonitorLimits::default());
    // Somebody who takes questions and answers none, so that a query lives.
    let listening = smol::block_on(other.client.listeners()).unwrap().remove(0);
    let silent = other.client.questions();
    watched.client.add_address(other.client.local_peer(), listening).unwrap();
    let question = dragnet_examples::question::Question::new(&["async"], None, None).unwrap();
    let ask = dragnet_libp2p::query::fetch(question.encode(), [other.client.local_peer()]);
    let query = watched.client.query(ask).unwrap();
    let mut remote = Remote::new(watched.address);
    let mut told = || smol::block_on(remote.status()).unwrap();
    until(|| told().queries.first().is_some_and(|query| query.contacts == 1));
    let status = told();
    let line = &status.queries[0];
    assert_eq!((status.queries.len(), line.request.as_str(), line.results), (1, "search async", 0));
    assert_eq!(Some(line.id.clone()), query.id().map(|id| id.to_string()));
    until(|| scrape(watched.address).value("dragnet_contacts_in_flight") == 1.0);
    assert_eq!(scrape(watched.address).value("dragnet_queries_live"), 1.0);
    drop(query);
    until(|| told().queries.is_empty());
    let ended = told().counters;
    assert_eq!((ended.queries_started, ended.queries_finished), (1, 1));
    // A scrape may be as old as the one before it.
    let cancelled = "dragnet_queries_finished_total{reason=\"cancelled\"}";
    until(|| scrape(watched.address).value(cancelled) == 1.0);

    drop(silent);
    let address = watched.address;
    let Watched { client, node, _monitor, .. } = watched;
    smol::block_on(client.shutdown());
    smol::block_on(node);
    // The counters are there after the node's end; who is asked is not.
    assert_eq!(scrape(address).value("dragnet_queries_started_total"), 1.0);
    until(|| get(address, "/status").0 == 503);
    let refused = smol::block_on(remote.status());
    assert!(
        matches!(&refused, Err(RemoteError::Refused { text, .. }) if text.contains("has ended")),
        "{refused:?}"
    );
    other.stop();
}

#[test]
fn strangers_take_no_more_than_the_limits() {
    // Whoever is to be answered has time.
    let mut limits = MonitorLimits::default();
    limits.web.connections = 2;
    (limits.node, limits.web.head, limits.web.connection) = (PATIENCE, PATIENCE, PATIENCE);
    let watched = Watched::new(limits);
    let address = watched.address;

    let long = format!("GET /status HTTP/1.1\r\nhost: localhost\r\nx: {}\r\n\r\n", "y".repeat(20 << 10));
    assert_eq!(answer(address, long).0, 431);
    let many = format!("GET /status HTTP/1.1\r\nhost: localhost\r\n{}\r\n", "x: y\r\n".repeat(100));
    assert_eq!(answer(address, many).0, 431);
    assert_eq!(answer(address, "nonsense\r\n\r\n").0, 400);
    watched.stop();

    limits.web.head = Duration::from_millis(200);
    limits.web.connection = Duration::from_millis(600);
    let hasty = Watched::new(limits);
    let address = hasty.address;
    // A body without an end is not read: the answer comes, and the connection ends at latest with its time.
    let mut endless = TcpStream::connect(address).unwrap();
    endless
        .write_all(b"GET /status HTTP/1.1\r\nhost: localhost\r\ncontent-length: 999999999999\r\n\r\n")
        .unwrap();
    endless.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut sent = 0;
    while endless.write_all(&[b'x'; 4096]).is_ok() {
        sent += 4096;
        assert!(sent < 100 << 20, "there is no end of what is taken");
        thread::sleep(Duration::from_millis(1));
    }

    // Both places are taken by those who say nothing; they are put out, and another has his turn: that
    // he is put out too, if he is not heard in time, says as much.
    let silent: Vec<TcpStream> = (0..2).map(|_| TcpStream::connect(address).unwrap()).collect();
    for mut stream in silent.iter().chain([&TcpStream::connect(address).unwrap()]) {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let end = stream.read_to_end(&mut Vec::new()).map_err(|error| error.kind());
        assert!(matches!(end, Ok(_) | Err(ErrorKind::ConnectionReset)), "{end:?}");
    }
    // One who says a byte now and then gains nothing by it.
    let mut slow = TcpStream::connect(address).unwrap();
    slow.set_nodelay(true).unwrap();
    let start = std::time::Instant::now();
    while slow.write_all(b"G").is_ok() {
        assert!(start.elapsed() < PATIENCE, "it is listened to without an end");
        thread::sleep(Duration::from_millis(10));
    }
    hasty.stop();
}

#[test]
fn a_status_is_told_to_nobody_who_calls_the_node_by_a_name() {
    let watched = Watched::new(MonitorLimits::default());
    let ask = |target: &str, hosts: &str| {
        answer(watched.address, format!("GET {target} HTTP/1.1\r\n{hosts}connection: close\r\n\r\n")).0
    };
    for own in ["localhost", "LocalHost:1", "127.0.0.1:9090", "192.0.2.1", "[::1]:9090", "[2001:db8::1]"] {
        assert_eq!(ask("/status", &format!("host: {own}\r\n")), 200, "{own}");
    }
    // Nobody's browser leaves it out.
    assert_eq!(ask("/status", ""), 200);
    for name in ["example", "127.0.0.1.example:9090", "localhost.example", "", "::1", "[::1", "0x7f.1"] {
        assert_eq!(ask("/status", &format!("host: {name}\r\n")), 421, "{name}");
    }
    assert_eq!(ask("/status", "host: localhost\r\nhost: example\r\n"), 421);
    // Prometheus may know its targets by name.
    assert_eq!(ask("/metrics", "host: example\r\n"), 200);
    watched.stop();
}

#[test]
fn what_is_no_monitor_is_told_apart() {
    /// Answers everybody with these bytes.
    fn impostor(bytes: Vec<u8>) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            while let Ok((mut stream, _)) = listener.accept() {
                let _ = stream.read(&mut [0; 1024]);
                let _ = stream.write_all(&bytes);
            }
        });
        address
    }
    let ask = |bytes: Vec<u8>| smol::block_on(Remote::new(impostor(bytes)).status()).unwrap_err();
    let told =
        |body: &str| format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes();
    assert!(matches!(ask(told("<html>")), RemoteError::Status { .. }));
    assert!(matches!(ask(told("{\"queries\": 7}")), RemoteError::Status { .. }));
    assert!(matches!(ask(told(&" ".repeat(2 << 20))), RemoteError::Long { .. }));
    assert!(matches!(ask(b"SSH-2.0-x\r\n".to_vec()), RemoteError::Http { .. }));
    assert!(matches!(
        ask(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{".to_vec()),
        RemoteError::Http { .. }
    ));
    let refused = ask(b"HTTP/1.1 503 x\r\ncontent-length: 5\r\n\r\n\x1b[2Jx".to_vec());
    assert!(refused.to_string().ends_with("503 Service Unavailable: [2Jx"), "{refused}");
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = smol::block_on(Remote::new(nobody).status()).unwrap_err();
    assert!(error.to_string().contains("does a node run with --metrics"), "{error}");
}

/// Every metric that the dashboard asks for is one that is told, and every one that is told is spelt as
/// in the dashboard or is known to be left out.
#[test]
fn the_dashboard_asks_for_metrics_that_there_are() {
    let watched = Watched::new(MonitorLimits::default());
    let told = scrape(watched.address).names();
    watched.stop();
    let dashboard: Value =
        serde_json::from_str(include_str!("../../transport-libp2p/grafana/dragnet.json")).unwrap();
    let mut asked = std::collections::BTreeSet::new();
    let mut expressions = 0;
    exposition::walk(&dashboard, &mut |key, value| {
        if key == "expr" || key == "query" || key == "definition" {
            expressions += usize::from(key == "expr");
            asked.extend(exposition::metrics_of(value));
        }
    });
    assert!(expressions > 20, "{expressions} expressions");
    let missing: Vec<_> = asked.difference(&told).collect();
    assert!(missing.is_empty(), "the dashboard asks for {missing:?}");
    // Of a histogram it asks for the buckets alone; the rest of what it does not show is here by choice.
    let unseen: Vec<_> =
        told.difference(&asked).filter(|name| !name.ends_with("_sum") && !name.ends_with("_count")).collect();
    assert!(unseen.is_empty(), "the dashboard does not show {unseen:?}");
}

/// What a scrape and a status cost a node, beside what a loaded one spends on its work. A measurement:
/// `cargo test --release -p dragnet-examples --test metrics -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement of half a minute, to be run alone"]
#[cfg(target_os = "linux")]
fn what_watching_costs() {
    const SPAN: Duration = Duration::from_secs(8);
    let listen = ["node", "--json", "--listen", "/ip4/127.0.0.1/tcp/0", "--cargo-metadata"];
    let mut node = Program::start(listen.into_iter().chain(["--metrics", "127.0.0.1:0"]));
    let boot = node.object("listening")["address"].as_str().unwrap().to_string();
    let address: SocketAddr = node.object("metrics")["address"].as_str().unwrap().parse().unwrap();
    node.object("sharing");
    let mut other = Program::start(listen.into_iter().chain(["--boot", &boot]));
    other.object("announced");
    node.object("announced");

    // The kernel's count of nanoseconds on a processor, of every thread.
    let tasks = format!("/proc/{}/task", node.id());
    let spent = || -> f64 {
        let threads = std::fs::read_dir(&tasks).unwrap();
        let nanos = threads.map(|thread| {
            let stat = std::fs::read_to_string(thread.unwrap().path().join("schedstat")).unwrap_or_default();
            stat.split(' ').next().and_then(|nanos| nanos.parse::<f64>().ok()).unwrap_or_default()
        });
        nanos.sum::<f64>() / 1e6
    };
    let over = |what: &mut dyn FnMut()| {
        let (before, start) = (spent(), std::time::Instant::now());
        while start.elapsed() < SPAN {
            what();
        }
        (spent() - before) / start.elapsed().as_secs_f64()
    };
    let pause = |millis| thread::sleep(Duration::from_millis(millis));
    // None of these is answered from the one before.
    let each = |target: &str, idle: f64| {
        let mut calls = 0;
        let cost = over(&mut || {
            calls += 1;
            assert_eq!(get(address, target).0, 200);
            pause(105);
        });
        (cost - idle) * SPAN.as_secs_f64() / f64::from(calls)
    };
    let idle = over(&mut || pause(100));
    let (scrape, status) = (each("/metrics", idle), each("/status", idle));
    let terms = ["async", "serde", "crypto", "futures", "http", "time", "rand", "macro", "error", "parser"];
    let searches = terms.iter().flat_map(|term| ["--search", *term]);
    let asking = ["top", "--json", "--every", "10s", "--boot", &boot];
    let asking: Vec<&str> = asking.into_iter().chain(searches.cycle().take(160)).collect();
    let askers: Vec<Program> = (0..3).map(|_| Program::start(&asking)).collect();
    pause(3000);
    let loaded = over(&mut || pause(100));
    let watched = over(&mut || {
        get(address, "/metrics");
        get(address, "/status");
        pause(1000);
    });
    println!(
        "ms of a processor each second: idle {idle:.2}, loaded {loaded:.1}, loaded and watched {watched:.1}"
    );
    println!("a scrape {scrape:.3} ms, a status {status:.3} ms, each over a connection of its own");
    println!("both each second: {:.3} % of what the loaded node spends", 100.0 * (scrape + status) / loaded);
    drop(askers);
}
