//! The program as a child process: read line by line, never waited for without an end.

#![allow(dead_code, reason = "each test program uses a part")]
#![allow(clippy::unwrap_used, reason = "a test fails by it")]

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

/// No step of any test may take longer. Far more than any needs.
const TIMEOUT: Duration = Duration::from_secs(120);

/// A running `marketplace`. Dropped, it is killed and waited for.
pub(crate) struct Program {
    child: Child,
    lines: Receiver<String>,
    errors: Receiver<String>,
}

/// A `marketplace` that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) lines: Vec<String>,
    pub(crate) errors: String,
}

impl Program {
    pub(crate) fn start<S: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = S>) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_marketplace"));
        command.args(args);
        Self::spawn(command)
    }

    pub(crate) fn spawn(mut command: Command) -> Self {
        let mut child = command
            .env_remove("RUST_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (output, errors) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let (line, lines) = channel();
        thread::spawn(move || {
            for text in BufReader::new(output).lines() {
                if line.send(text.unwrap()).is_err() {
                    return;
                }
            }
        });
        let (error, error_text) = channel();
        thread::spawn(move || {
            let mut text = String::new();
            let mut errors = errors;
            let _ = errors.read_to_string(&mut text);
            let _ = error.send(text);
        });
        Self { child, lines, errors: error_text }
    }

    /// The number of its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The next line of its output; `None` at the end.
    pub(crate) fn line(&mut self) -> Option<String> {
        match self.lines.recv_timeout(TIMEOUT) {
            Ok(line) => Some(line),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("no line of output in {TIMEOUT:?}"),
        }
    }

    /// Reads objects until one of this kind comes.
    pub(crate) fn object(&mut self, kind: &str) -> Value {
        while let Some(line) = self.line() {
            let object: Value = serde_json::from_str(&line).unwrap();
            if object["kind"] == kind {
                return object;
            }
        }
        let ended = self.end();
        panic!("the program ended without `{kind}`: {ended:?}");
    }

    /// Waits for its end.
    pub(crate) fn end(&mut self) -> Ended {
        let start = Instant::now();
        let lines: Vec<String> = std::iter::from_fn(|| {
            assert!(start.elapsed() < TIMEOUT, "still running");
            self.line()
        })
        .collect();
        // Both outputs are closed: the child is ending.
        let errors = self.errors.recv_timeout(TIMEOUT).unwrap();
        let status: ExitStatus = self.child.wait().unwrap();
        Ended { code: status.code(), lines, errors }
    }

    /// Ctrl-C.
    #[cfg(unix)]
    pub(crate) fn interrupt(&self) {
        let child = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(child, rustix::process::Signal::INT).unwrap();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs it to its end.
pub(crate) fn run<S: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = S>) -> Ended {
    Program::start(args).end()
}

/// Runs it to its end in another folder than a package's, as somebody would who was handed the binary.
pub(crate) fn run_in<S: AsRef<std::ffi::OsStr>>(folder: &Path, args: impl IntoIterator<Item = S>) -> Ended {
    let mut command = Command::new(env!("CARGO_BIN_EXE_marketplace"));
    command.args(args).current_dir(folder).env_remove("CARGO_MANIFEST_DIR");
    Program::spawn(command).end()
}

impl Ended {
    pub(crate) fn objects(&self) -> Vec<Value> {
        self.lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}
