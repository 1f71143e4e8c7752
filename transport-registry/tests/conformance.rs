//! The transport keeps the rules of `dragnet_core::front::Transport`.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod support;

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use dragnet_core::conformance::{Subject, check};
use dragnet_core::front::SystemClock;
use dragnet_registry::{Config, RegistryTransport, RegistryUrl};
use support::{Server, Words, always, good, run, serve};

struct Registry {
    answering: Server,
    silent: Server,
    garbled: Server,
    missing: RegistryUrl,
}

impl Subject for Registry {
    type Transport = RegistryTransport<Words>;
    type Clock = SystemClock;

    fn transport(&mut self) -> RegistryTransport<Words> {
        // So that the silent one outlasts the suite's patience.
        let config = Config::default().with_request_timeout(Duration::from_secs(60));
        RegistryTransport::new(Words, config).unwrap()
    }

    fn clock(&mut self) -> SystemClock {
        SystemClock::new()
    }

    fn block_on(&mut self, check: Pin<&mut dyn Future<Output = ()>>) {
        run(check);
    }

    fn ask(&self) -> String {
        "word".to_string()
    }

    fn answering(&self) -> RegistryUrl {
        self.answering.url.clone()
    }

    fn silent(&self) -> Option<RegistryUrl> {
        Some(self.silent.url.clone())
    }

    fn missing(&self) -> Option<RegistryUrl> {
        Some(self.missing.clone())
    }

    fn garbled(&self) -> Option<RegistryUrl> {
        Some(self.garbled.url.clone())
    }

    fn held(transport: &RegistryTransport<Words>) -> Option<usize> {
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
fn it_keeps_the_rules() {
    let mut registry = run(async {
        Registry {
            answering: good().await,
            silent: serve(|mut talk| async move { talk.closed().await }).await,
            garbled: always("200 OK", "content-type: application/json\r\n", "{\"words\": ").await,
            missing: support::nobody(),
        }
    });
    let report = check(&mut registry);
    report.assert();
    assert_eq!((report.checked.len(), report.skipped.len()), (13, 0), "{report}");
}
