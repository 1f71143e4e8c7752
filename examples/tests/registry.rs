//! The client of `dragnet-registry` against the real server, and the program around it.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod common;

use std::future::Future;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::pin::Pin;
use std::thread;
use std::time::Duration;

use common::{Ended, Program, run};
use dragnet_core::conformance::{Subject, check};
use dragnet_core::front::{self, SystemClock};
use dragnet_core::{Outcome, Query, QueryConfig};
use dragnet_examples::package::Package;
use dragnet_examples::question::Question;
use dragnet_examples::registry::{PackageApi, Server, ServerLimits, Store};
use dragnet_registry::{Config, Error, Health, RegistryTransport, RegistryUrl};
use rusqlite::Connection;
use serde_json::Value;

const PACKAGES: &str = r#"[
    {"name": "async-io", "version": "2.0.0", "description": "Timers", "keywords": ["async", "timer"],
     "categories": ["asynchronous"]},
    {"name": "async-task", "version": "4.0.0", "keywords": ["async"], "categories": ["concurrency"]},
    {"name": "serde", "version": "1.0.0", "keywords": ["encoding"]}
]"#;

/// No step of any test may take longer. Far more than any needs.
const PATIENCE: Duration = Duration::from_secs(120);

fn packages() -> Vec<Package> {
    serde_json::from_str(PACKAGES).unwrap()
}

/// A registry in this process, on smol's own thread.
struct Registry {
    url: RegistryUrl,
    address: SocketAddr,
    _task: smol::Task<std::convert::Infallible>,
}

fn registry(store: Store) -> Registry {
    registry_with(store, ServerLimits::default())
}

fn registry_with(store: Store, limits: ServerLimits) -> Registry {
    store.put(&packages()).unwrap();
    let server = smol::block_on(Server::bind("127.0.0.1:0".parse().unwrap(), store, limits)).unwrap();
    let address = server.address();
    let url = format!("http://{address}").parse().unwrap();
    Registry { url, address, _task: smol::spawn(server.run()) }
}

fn question(term: &str) -> Question {
    Question::new(&[term], None, None).unwrap()
}

/// Asks these registries one question, as often as it says.
fn ask(registries: &[&RegistryUrl], term: &str, times: usize) -> (Vec<String>, Outcome, Health) {
    let transport = RegistryTransport::new(PackageApi, Config::default()).unwrap();
    let health = transport.health();
    let local = RegistryUrl::parse("http://localhost/").unwrap();
    let (client, driver) = front::new(transport, SystemClock::new(), local, [7; 32]);
    let config = QueryConfig::balanced().with_timeout(PATIENCE).with_request_timeout(PATIENCE);
    let asking = async move {
        let mut last = None;
        for _ in 0..times {
            let query = Query::new(question(term)).fetch_from(registries.iter().copied().cloned());
            last = Some(client.query(query.config(config.clone())).unwrap().collect().await.unwrap());
        }
        last.unwrap()
    };
    let ((), (found, outcome)) = smol::block_on(smol::future::zip(driver, asking));
    let mut names: Vec<_> = found.into_iter().map(|found| found.item.name).collect();
    names.sort_unstable();
    (names, outcome, health)
}

/// What a registry answers to these bytes: its status, its head and its body.
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
    answer(address, format!("GET {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"))
}

/// The `error` of a refusal, which is JSON.
#[track_caller]
fn refusal((status, head, body): (u16, String, String), expected: u16) -> String {
    assert_eq!(status, expected, "{head}\n{body}");
    assert!(head.contains("content-type: application/json"), "{head}");
    let body: Value = serde_json::from_str(&body).unwrap();
    body["error"].as_str().unwrap().to_string()
}

#[test]
fn packages_are_found_and_asked_for_again_by_their_tag() {
    let registry = registry(Store::in_memory().unwrap());
    let (names, outcome, health) = ask(&[&registry.url], "async", 3);
    assert_eq!(names, ["async-io", "async-task"]);
    assert_eq!((outcome.stats.replied, outcome.stats.invalid), (1, 0));
    let health = health.of(&registry.url).unwrap();
    assert_eq!((health.answered, health.unchanged, health.failed), (3, 2, 0), "{health:?}");
    // Nothing found is an answer.
    let (names, outcome, _) = ask(&[&registry.url], "nothing", 1);
    assert_eq!((names.len(), outcome.stats.replied), (0, 1));
}

#[test]
fn an_answer_has_a_tag_that_follows_what_is_in_it() {
    let store = Store::in_memory().unwrap();
    let registry = registry(store);
    let (status, head, body) = get(registry.address, "/search?q=async&limit=1");
    assert_eq!(
        (status, serde_json::from_str::<Value>(&body).unwrap()["packages"].as_array().unwrap().len()),
        (200, 1)
    );
    let tag = head.lines().find_map(|line| line.strip_prefix("etag: ")).unwrap().to_string();
    let again = |target: &str| {
        let head = format!("host: x\r\nif-none-match: {tag}\r\nconnection: close");
        answer(registry.address, format!("GET {target} HTTP/1.1\r\n{head}\r\n\r\n"))
    };
    let (status, head, body) = again("/search?q=async&limit=1");
    assert_eq!((status, body.as_str()), (304, ""), "{head}");
    assert_eq!(again("/search?q=async&limit=2").0, 200);
    let (status, head, body) =
        answer(registry.address, "HEAD /search?q=async HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    assert_eq!((status, body.as_str()), (200, ""), "{head}");
}

#[test]
fn what_is_no_search_is_refused_in_json() {
    let registry = registry(Store::in_memory().unwrap());
    assert!(refusal(get(registry.address, "/search"), 400).contains("nothing to search for"));
    assert!(refusal(get(registry.address, "/search?q=x&limit=101"), 400).contains("from 1 to 100"));
    assert!(
        refusal(get(registry.address, &format!("/search?q={}", "x".repeat(3000))), 400)
            .contains("may have 128")
    );
    assert!(refusal(get(registry.address, "/"), 404).contains("/search?q=TERM"));
    let post = "POST /search?q=x HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    assert!(refusal(answer(registry.address, post), 405).contains("GET"));
}

#[test]
fn a_stranger_cannot_take_more_than_his_share() {
    let registry = registry(Store::in_memory().unwrap());
    // Half a head, and a connection that says nothing: they wait, and nobody waits for them.
    let mut slow = TcpStream::connect(registry.address).unwrap();
    slow.write_all(b"GET /search?q=async HTTP/1.1\r\nhost:").unwrap();
    let _mute = TcpStream::connect(registry.address).unwrap();
    assert_eq!(get(registry.address, "/search?q=async").0, 200);
    let long = format!("GET /search?q={} HTTP/1.1\r\nhost: x\r\n\r\n", "x".repeat(64 << 10));
    assert!(matches!(answer(registry.address, long).0, 414 | 431));
    let many = format!("GET /search?q=x HTTP/1.1\r\n{}\r\n", "x-more: and more\r\n".repeat(100));
    assert_eq!(answer(registry.address, many).0, 431);
    assert_eq!(answer(registry.address, "\u{0}\u{1}\u{2}\r\n\r\n").0, 400);
    // A body without an end is not read: the answer comes, and the connection closes.
    let body = "POST /search HTTP/1.1\r\nhost: x\r\ncontent-length: 999999999\r\nconnection: close\r\n\r\nx";
    assert_eq!(answer(registry.address, body).0, 405);
    assert_eq!(get(registry.address, "/search?q=async").0, 200);
}

#[test]
fn who_takes_his_time_loses_his_place() {
    let mut limits = ServerLimits::default();
    (limits.connections, limits.head) = (1, Duration::from_secs(1));
    let registry = registry_with(Store::in_memory().unwrap(), limits);
    // Nothing, and half a head.
    for start in ["", "GET /search?q=async HTTP/1.1\r\nhost:"] {
        let mut slow = TcpStream::connect(registry.address).unwrap();
        slow.write_all(start.as_bytes()).unwrap();
        assert_eq!(get(registry.address, "/search?q=async").0, 200);
    }

    // Somebody who never reads what he asked for, again and again. There is no place for another until he
    // has lost his.
    (limits.head, limits.connection) = (PATIENCE, Duration::from_secs(3));
    let registry = registry_with(Store::in_memory().unwrap(), limits);
    let mut greedy = TcpStream::connect(registry.address).unwrap();
    greedy.set_write_timeout(Some(Duration::from_millis(100))).unwrap();
    let request = "GET /search?q=async HTTP/1.1\r\nhost: x\r\n\r\n".repeat(100);
    while greedy.write_all(request.as_bytes()).is_ok() {}
    assert_eq!(get(registry.address, "/search?q=async").0, 200);
}

#[test]
fn more_searches_than_may_wait_are_refused() {
    let mut limits = ServerLimits::default();
    limits.searches = 0;
    let registry = registry_with(Store::in_memory().unwrap(), limits);
    assert_eq!(refusal(get(registry.address, "/search?q=async"), 503), "too many searches at once");
}

/// A registry with its packages in a file.
fn stored(folder: &tempfile::TempDir) -> (Registry, std::path::PathBuf) {
    let file = folder.path().join("packages.sqlite");
    (registry(Store::open(&file).unwrap()), file)
}

#[track_caller]
fn is_unavailable(health: &Health, url: &RegistryUrl) {
    let error = health.of(url).unwrap().last_error.unwrap();
    assert!(matches!(error, Error::Status { status: 503, .. }), "{error}");
}

#[test]
fn a_locked_database_is_a_refusal_until_it_is_free_and_others_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let (locked, file) = stored(&folder);
    let other = registry(Store::in_memory().unwrap());
    let locker = Connection::open(&file).unwrap();
    locker.execute_batch("BEGIN EXCLUSIVE").unwrap();
    assert_eq!(refusal(get(locked.address, "/search?q=async"), 503), "the package database is locked");
    let (names, outcome, health) = ask(&[&locked.url, &other.url], "async", 1);
    assert_eq!(names, ["async-io", "async-task"]);
    assert_eq!((outcome.stats.replied, outcome.stats.failed), (1, 1), "{outcome:?}");
    is_unavailable(&health, &locked.url);
    // What needs no database is answered all the same.
    assert_eq!(get(locked.address, "/").0, 404);
    locker.execute_batch("COMMIT").unwrap();
    assert_eq!(ask(&[&locked.url], "async", 1).0, ["async-io", "async-task"]);
}

#[test]
fn a_database_damaged_while_it_is_served_is_a_refusal_and_others_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let (damaged, file) = stored(&folder);
    let other = registry(Store::in_memory().unwrap());
    assert_eq!(get(damaged.address, "/search?q=async").0, 200);
    let good = std::fs::read(&file).unwrap();
    std::fs::write(&file, vec![0xa5; good.len()]).unwrap();
    let text = refusal(get(damaged.address, "/search?q=async"), 503);
    assert_eq!(text, "the package database is damaged", "and not where it is");
    let (names, outcome, health) = ask(&[&damaged.url, &other.url], "async", 1);
    assert_eq!(names, ["async-io", "async-task"]);
    assert_eq!((outcome.stats.replied, outcome.stats.failed), (1, 1), "{outcome:?}");
    is_unavailable(&health, &damaged.url);
    // A copy put in its place is served.
    std::fs::write(&file, good).unwrap();
    assert_eq!(ask(&[&damaged.url], "async", 1).0, ["async-io", "async-task"]);
}

// -------------------------------------------------------------------------------- conformance

struct RealRegistry {
    answering: Registry,
    silent: SocketAddr,
    garbled: SocketAddr,
    missing: SocketAddr,
}

fn url(address: SocketAddr) -> RegistryUrl {
    format!("http://{address}").parse().unwrap()
}

impl Subject for RealRegistry {
    type Transport = RegistryTransport<PackageApi>;
    type Clock = SystemClock;

    fn transport(&mut self) -> RegistryTransport<PackageApi> {
        // So that the silent one outlasts the suite's patience.
        RegistryTransport::new(PackageApi, Config::default().with_request_timeout(PATIENCE)).unwrap()
    }

    fn clock(&mut self) -> SystemClock {
        SystemClock::new()
    }

    fn block_on(&mut self, check: Pin<&mut dyn Future<Output = ()>>) {
        smol::block_on(check);
    }

    fn ask(&self) -> Question {
        question("async")
    }

    fn answering(&self) -> RegistryUrl {
        self.answering.url.clone()
    }

    fn silent(&self) -> Option<RegistryUrl> {
        Some(url(self.silent))
    }

    fn missing(&self) -> Option<RegistryUrl> {
        Some(url(self.missing))
    }

    fn garbled(&self) -> Option<RegistryUrl> {
        Some(url(self.garbled))
    }

    fn held(transport: &RegistryTransport<PackageApi>) -> Option<usize> {
        Some(transport.requests())
    }

    /// A loaded machine takes its time.
    fn patience(&self) -> Duration {
        Duration::from_secs(10)
    }

    fn call_max(&self) -> Duration {
        Duration::from_secs(2)
    }
}

#[test]
fn the_client_keeps_the_rules_against_the_real_server() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let garbled = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = |listener: &TcpListener| listener.local_addr().unwrap();
    let mut subject = RealRegistry {
        answering: registry(Store::in_memory().unwrap()),
        silent: address(&silent),
        garbled: address(&garbled),
        // Of the system's own: nobody listens there, and no port 0 leads there.
        missing: "127.0.0.1:1".parse().unwrap(),
    };
    thread::spawn(move || {
        while let Ok((mut stream, _)) = garbled.accept() {
            // The whole request comes in one piece, being short.
            let _ = stream.read(&mut [0; 4096]);
            let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 3";
            let _ = write!(stream, "{head}\r\nconnection: close\r\n\r\n[1,");
        }
    });
    let report = check(&mut subject);
    report.assert();
    assert_eq!((report.checked.len(), report.skipped.len()), (13, 0), "{report}");
}

// -------------------------------------------------------------------------------- the program

#[track_caller]
fn refused(ended: &Ended, parts: &[&str]) {
    assert_eq!(ended.code, Some(2), "{ended:?}");
    for part in parts {
        assert!(ended.errors.contains(part), "`{part}` is missing in: {}", ended.errors);
    }
}

fn start(args: &[&str]) -> Ended {
    run([&["registry", "--listen", "127.0.0.1:0"], args].concat())
}

#[cfg(unix)]
#[test]
fn the_program_serves_until_ctrl_c_and_keeps_what_it_has() {
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("packages.json");
    std::fs::write(&list, PACKAGES).unwrap();
    let (list, store) = (list.to_str().unwrap(), folder.path().join("packages.sqlite"));
    let listen = ["registry", "--json", "--listen", "127.0.0.1:0", "--store", store.to_str().unwrap()];
    for more in [&["--packages", list][..], &[]] {
        let mut program = Program::start([&listen, more].concat());
        let listening = program.object("listening");
        assert_eq!(listening["packages"], 3);
        let url: RegistryUrl = listening["url"].as_str().unwrap().parse().unwrap();
        assert_eq!(ask(&[&url], "async", 1).0, ["async-io", "async-task"]);
        program.interrupt();
        let ended = program.end();
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert!(ended.lines.last().unwrap().contains("stopped"), "{ended:?}");
    }
}

#[test]
fn a_database_that_cannot_be_served_is_named_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let text = |path: &Path| path.to_str().unwrap().to_string();

    let damaged = path("damaged.sqlite");
    std::fs::write(&damaged, "no database").unwrap();
    refused(&start(&["--store", &text(&damaged)]), &[&text(&damaged), "damaged", "put a copy in its place"]);

    let locked = path("locked.sqlite");
    drop(Store::open(&locked).unwrap());
    let locker = Connection::open(&locked).unwrap();
    locker.execute_batch("BEGIN EXCLUSIVE").unwrap();
    refused(&start(&["--store", &text(&locked)]), &[&text(&locked), "locked by another program", "--store"]);

    let foreign = path("mail.sqlite");
    Connection::open(&foreign).unwrap().execute_batch("CREATE TABLE mail (text)").unwrap();
    refused(&start(&["--store", &text(&foreign)]), &[&text(&foreign), "not one of packages"]);
}

#[test]
fn bad_use_is_named() {
    refused(&run(["registry", "--listen", "here", "--store", "x"]), &["'here'", "socket address"]);
    refused(&start(&[]), &["--store"]);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("packages.sqlite");
    let ended = run(["registry", "--listen", &address, "--store", file.to_str().unwrap()]);
    refused(&ended, &[&address, "the port is taken", "port 0"]);
}
