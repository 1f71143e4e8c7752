//! Registries for the tests, each a script over real sockets on 127.0.0.1, and somebody who asks them.

#![allow(dead_code, reason = "each test program uses a part")]
#![allow(clippy::unwrap_used, reason = "a test fails by it")]

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use dragnet_core::front::{self, Client, SystemClock};
use dragnet_core::{Invalid, Item, Outcome, Query, QueryConfig};
use dragnet_registry::{Api, Config, Error, Health, Registries, RegistryTransport, RegistryUrl};
use serde::Deserialize;
use serde_json::Value;
use smol::Task;
use smol::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use smol::net::TcpListener;
use url::Url;

/// Far more than any test takes on two slow cores that are shared.
const WATCHDOG: Duration = Duration::from_secs(200);

/// Runs a test, and fails it if it hangs.
pub(crate) fn run<T>(test: impl Future<Output = T>) -> T {
    let (done, watched) = mpsc::channel::<()>();
    std::thread::spawn(move || {
        if watched.recv_timeout(WATCHDOG) == Err(mpsc::RecvTimeoutError::Timeout) {
            eprintln!("the test hangs: it has run for {WATCHDOG:?}");
            std::process::exit(101);
        }
    });
    let result = smol::block_on(test);
    drop(done);
    result
}

// ------------------------------------------------------------------------------------- the API

/// `GET /search?q=WORD` answers `{"words": [...]}`.
pub(crate) struct Words;

#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Word(pub(crate) String);

impl Item for Word {
    type Id = String;

    fn id(&self) -> String {
        self.0.clone()
    }
}

#[derive(Deserialize)]
pub(crate) struct Found {
    words: Vec<Value>,
}

impl Api for Words {
    type Request = String;
    type Item = Word;
    type Body = Found;

    fn url(&self, registry: &RegistryUrl, word: &String) -> Url {
        match word.strip_prefix("elsewhere:") {
            Some(url) => url.parse().unwrap(),
            None => registry.endpoint("search", [("q", word.as_str())]),
        }
    }

    fn items(&self, _word: &String, found: Found) -> Vec<Result<Word, Invalid>> {
        let word = |value: Value| match value {
            Value::String(text) => Ok(Word(text)),
            other => Err(Invalid::new(format!("{other} is no word"))),
        };
        found.words.into_iter().map(word).collect()
    }
}

// ---------------------------------------------------------------------------------- who asks

/// A client, and what it knows of its registries.
pub(crate) struct Asker {
    pub(crate) client: Client<Registries<Words>>,
    pub(crate) health: Health,
    task: Task<()>,
}

/// What a query brought.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) words: Vec<String>,
    pub(crate) outcome: Outcome,
}

impl Asker {
    pub(crate) fn new(config: Config) -> Self {
        let transport = RegistryTransport::new(Words, config).unwrap();
        let health = transport.health();
        let local = RegistryUrl::parse("http://localhost/").unwrap();
        let (client, driver) = front::new(transport, SystemClock::new(), local, [7; 32]);
        Self { client, health, task: smol::spawn(driver) }
    }

    /// Asks all these, and waits for the end.
    pub(crate) async fn ask_all(&self, registries: &[RegistryUrl]) -> Answered {
        // Far above what a test sets for the transport, so that it is the transport that ends things.
        let config = QueryConfig::balanced()
            .with_timeout(Duration::from_secs(150))
            .with_request_timeout(Duration::from_secs(150))
            .with_max_results(1000)
            .with_fan_out(64);
        let query = Query::new("word".to_string()).fetch_from(registries.iter().cloned()).config(config);
        let (found, outcome) = self.client.query(query).unwrap().collect().await.unwrap();
        Answered { words: found.into_iter().map(|found| found.item.0).collect(), outcome }
    }

    pub(crate) async fn ask(&self, registry: &RegistryUrl) -> Answered {
        self.ask_all(std::slice::from_ref(registry)).await
    }

    /// Asks one that is expected to fail.
    pub(crate) async fn failure(&self, registry: &RegistryUrl) -> Error {
        let answered = self.ask(registry).await;
        assert_eq!((answered.words.len(), answered.outcome.stats.replied), (0, 0), "{answered:?}");
        let health = self.health.of(registry).expect("it was asked");
        assert!(health.is_failing, "{health:?}");
        health.last_error.expect("it failed")
    }

    pub(crate) async fn stop(self) {
        self.client.shutdown().await;
        self.task.await;
    }
}

/// Why a registry with this script gives no answer.
pub(crate) async fn failure_of(server: &Server, config: Config) -> Error {
    let asker = Asker::new(config);
    let error = asker.failure(&server.url).await;
    asker.stop().await;
    error
}

// ---------------------------------------------------------------------------------- registries

/// A registry. Dropped, it is gone.
pub(crate) struct Server {
    pub(crate) url: RegistryUrl,
    connections: Arc<AtomicUsize>,
    _task: Task<()>,
}

impl Server {
    /// Connections so far.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

pub(crate) trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Socket for T {}

/// One connection, as the registry sees it.
pub(crate) struct Conversation {
    socket: BufReader<Box<dyn Socket>>,
    /// From 0.
    pub(crate) number: usize,
}

/// The head of a request.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) target: String,
    lines: Vec<String>,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.lines.iter().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

impl Conversation {
    pub(crate) fn new(socket: Box<dyn Socket>, number: usize) -> Self {
        Self { socket: BufReader::new(socket), number }
    }

    /// The next request; `None` when there is none any more.
    pub(crate) async fn asked(&mut self) -> Option<Asked> {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            if self.socket.read_line(&mut line).await.ok()? == 0 {
                return None;
            }
            match line.trim_end() {
                "" => break,
                text => lines.push(text.to_string()),
            }
        }
        let target = lines.first()?.strip_prefix("GET ")?.strip_suffix(" HTTP/1.1")?.to_string();
        Some(Asked { target, lines })
    }

    /// Sends bytes as they are; false when nobody takes them any more.
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        let socket = self.socket.get_mut();
        socket.write_all(bytes.as_ref()).await.is_ok() && socket.flush().await.is_ok()
    }

    /// A whole answer with these header lines, each ended by CRLF.
    pub(crate) async fn answer(&mut self, status: &str, headers: &str, body: &str) -> bool {
        let length = body.len();
        let head = format!("HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\n\r\n");
        self.send(head + body).await
    }

    pub(crate) async fn answer_json(&mut self, body: &str) -> bool {
        self.answer("200 OK", JSON, body).await
    }

    /// Waits until the other side has closed the connection.
    pub(crate) async fn closed(&mut self) {
        while let Ok([_, ..]) = self.socket.fill_buf().await {
            let unread = self.socket.buffer().len();
            self.socket.consume(unread);
        }
    }
}

pub(crate) const JSON: &str = "content-type: application/json\r\n";

/// A registry of which each connection is a conversation by this script.
pub(crate) async fn serve<F, T>(script: F) -> Server
where
    F: Fn(Conversation) -> T + Send + 'static,
    T: Future<Output = ()> + Send + 'static,
{
    serve_on("http", "127.0.0.1", |socket| async { Some(socket) }, script).await
}

/// The same, where sockets first go through something that may refuse them, and by another name.
pub(crate) async fn serve_on<F, T, W, S>(scheme: &str, host: &str, wrap: W, script: F) -> Server
where
    F: Fn(Conversation) -> T + Send + 'static,
    T: Future<Output = ()> + Send + 'static,
    W: Fn(Box<dyn Socket>) -> S + Send + 'static,
    S: Future<Output = Option<Box<dyn Socket>>> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let connections = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&connections);
    let task = smol::spawn(async move {
        let mut running = Vec::new();
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            let number = count.fetch_add(1, Ordering::SeqCst);
            if let Some(socket) = wrap(Box::new(socket)).await {
                running.push(smol::spawn(script(Conversation::new(socket, number))));
            }
        }
    });
    let url = format!("{scheme}://{host}:{port}/").parse().unwrap();
    Server { url, connections, _task: task }
}

/// A registry that answers every request with this.
pub(crate) async fn always(status: &'static str, headers: &'static str, body: &'static str) -> Server {
    serve(move |mut talk| async move {
        while talk.asked().await.is_some() && talk.answer(status, headers, body).await {}
    })
    .await
}

/// Where nobody listens: a port of the system's own, to which no port 0 leads.
pub(crate) fn nobody() -> RegistryUrl {
    "http://127.0.0.1:1/".parse().unwrap()
}

/// A registry with these words.
pub(crate) async fn good() -> Server {
    always("200 OK", JSON, r#"{"words": ["one", "two"]}"#).await
}
