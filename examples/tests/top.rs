//! `marketplace top`, on a terminal and without one.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod common;

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use common::{Program, run};
use dragnet_examples::monitor::{Monitor, MonitorLimits};
use dragnet_libp2p::Node;
use libp2p::identity::Keypair;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

/// No step of any test may take longer. Far more than any needs.
const PATIENCE: Duration = Duration::from_secs(120);

/// A node in this process that is watched there, until this is dropped.
fn watched() -> (SocketAddr, Vec<smol::Task<()>>) {
    let (node, client) = Node::builder(Keypair::generate_ed25519()).build().unwrap();
    let monitor = Monitor::bind("127.0.0.1:0".parse().unwrap(), MonitorLimits::default());
    let monitor = smol::block_on(monitor).unwrap();
    let address = monitor.address();
    let serving = smol::spawn(async { match monitor.run(client).await {} });
    (address, vec![smol::spawn(node), serving])
}

/// A `marketplace` on a terminal of its own.
struct OnTerminal {
    child: Child,
    keys: File,
    /// Kept, so that the terminal is there when the program has gone.
    terminal: File,
    seen: Receiver<Vec<u8>>,
    screen: String,
}

impl OnTerminal {
    fn start(columns: u16, rows: u16, args: &[&str]) -> Self {
        let keys = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&keys).unwrap();
        unlockpt(&keys).unwrap();
        let name = ptsname(&keys, Vec::new()).unwrap().into_string().unwrap();
        let terminal = OpenOptions::new().read(true).write(true).open(name).unwrap();
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&terminal, size).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_marketplace"))
            .args(args)
            .env_remove("RUST_LOG")
            .env("TERM", "xterm-256color")
            .stdin(terminal.try_clone().unwrap())
            .stdout(terminal.try_clone().unwrap())
            .stderr(terminal.try_clone().unwrap())
            .spawn()
            .unwrap();
        let keys = File::from(keys);
        let mut output = keys.try_clone().unwrap();
        let (see, seen) = channel();
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = output.read(&mut bytes) {
                if see.send(bytes[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self { child, keys, terminal, seen, screen: String::new() }
    }

    fn is_raw(&self) -> bool {
        !tcgetattr(&self.terminal).unwrap().local_modes.contains(LocalModes::ICANON)
    }

    /// Reads until this has been shown.
    #[track_caller]
    fn until_shown(&mut self, part: &str) {
        while !self.screen.contains(part) {
            let Ok(bytes) = self.seen.recv_timeout(PATIENCE) else {
                panic!("{part:?} is never shown: {:?}", self.screen);
            };
            self.screen.push_str(&String::from_utf8_lossy(&bytes));
        }
    }

    /// Presses keys, and waits for the end that follows.
    #[track_caller]
    fn ends_by(mut self, keys: &[u8]) {
        assert!(self.is_raw());
        self.keys.write_all(keys).unwrap();
        self.ends();
    }

    /// Waits for the end.
    #[track_caller]
    fn ends(mut self) {
        let start = Instant::now();
        let status = loop {
            match self.child.try_wait().unwrap() {
                Some(status) => break status,
                None => assert!(start.elapsed() < PATIENCE, "it does not end: {:?}", self.screen),
            }
            thread::sleep(Duration::from_millis(5));
        };
        // The screen is left.
        self.until_shown("\x1b[?1049l");
        self.until_shown("\x1b[?25h");
        assert_eq!(status.code(), Some(0), "{:?}", self.screen);
        assert!(!self.is_raw(), "the terminal is as it was");
    }
}

impl Drop for OnTerminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_screen_of_any_size_is_left_by_a_key() {
    let (address, _running) = watched();
    let address = address.to_string();
    for (columns, rows, keys) in [(80, 24, &b"q"[..]), (20, 8, b"\x1b"), (1, 1, b"\x03"), (200, 50, b"Q")] {
        let mut top = OnTerminal::start(columns, rows, &["top", "--metrics", &address, "--every", "100ms"]);
        top.until_shown("\x1b[?1049h");
        if columns >= 20 {
            top.until_shown("queries/s");
        }
        top.ends_by(keys);
    }
}

#[test]
fn a_node_that_is_gone_is_said_to_be_and_keeps_nobody_from_quitting() {
    let (address, running) = watched();
    let name = address.to_string();
    let mut top = OnTerminal::start(100, 24, &["top", "--metrics", &name, "--every", "100ms"]);
    top.until_shown("queries/s");
    smol::block_on(async {
        for task in running {
            task.cancel().await;
        }
    });
    top.until_shown("cannot be");
    // Nobody has to wait for it.
    top.ends_by(b"q");
    let mut top = OnTerminal::start(100, 24, &["top", "--metrics", &name, "--every", "100ms"]);
    top.until_shown("reached");
    top.ends_by(b"q");
}

#[test]
fn a_signal_ends_it_as_a_key_does() {
    let (address, _running) = watched();
    let mut top = OnTerminal::start(40, 10, &["top", "--metrics", &address.to_string()]);
    top.until_shown("\x1b[?1049h");
    while !top.is_raw() {}
    let child = rustix::process::Pid::from_child(&top.child);
    rustix::process::kill_process(child, rustix::process::Signal::TERM).unwrap();
    top.ends();
}

#[test]
fn without_a_terminal_there_is_one_picture() {
    let (address, _running) = watched();
    let address = address.to_string();
    let ended = run(["top", "--metrics", &address, "--every", "100ms"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.lines[0].starts_with(&address), "{ended:?}");
    assert!(ended.lines.iter().any(|line| line.contains("0.0 queries/s")), "{ended:?}");
    assert!(ended.lines.iter().all(|line| !line.contains('\x1b')), "{ended:?}");
    let ended = run(["top", "--json", "--once", "--metrics", &address]);
    let objects = ended.objects();
    assert_eq!((ended.code, objects.len(), &objects[0]["kind"]), (Some(0), 1, &"status".into()), "{ended:?}");
    assert_eq!(objects[0]["rates"]["queries"], 0.0, "{ended:?}");

    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let ended = run(["top", "--json", "--metrics", &nobody]);
    let message = ended.objects().pop().unwrap()["message"].as_str().unwrap().to_string();
    assert!(ended.code == Some(3) && message.contains(&nobody) && message.contains("--metrics"), "{ended:?}");
    assert_eq!(run(["top"]).code, Some(2));
    assert_eq!(run(["top", "--metrics", &nobody, "--search", "x"]).code, Some(2));
}

#[test]
fn a_node_of_ones_own_is_shown_while_it_searches() {
    let mut node = Program::start(["node", "--json", "--listen", "/ip4/127.0.0.1/tcp/0"]);
    let boot = node.object("listening")["address"].as_str().unwrap().to_string();
    let mut top = Program::start(["top", "--json", "--boot", &boot, "--search", "async", "--every", "100ms"]);
    loop {
        let told = top.object("status");
        if told["status"]["counters"]["queries_started"].as_u64().unwrap() >= 2 {
            break;
        }
    }
    for mut program in [top, node] {
        program.interrupt();
        assert_eq!(program.end().code, Some(0));
    }
}
