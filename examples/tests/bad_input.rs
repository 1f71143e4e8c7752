//! Each bad input is an error that says what was wrong with what, and an exit code.

mod common;

use std::io::Write;
use std::net::TcpListener;

use common::{Ended, Program, run, run_in};
use libp2p::PeerId;

/// An address where nobody listens: the port was free a moment ago.
fn nobody() -> String {
    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    format!("/ip4/127.0.0.1/tcp/{}/p2p/{}", free.expect("a free port").port(), PeerId::random())
}

#[track_caller]
fn refused(ended: &Ended, code: i32, parts: &[&str]) {
    assert_eq!(ended.code, Some(code), "{ended:?}");
    assert!(!ended.errors.contains("panicked"), "{}", ended.errors);
    for part in parts {
        assert!(ended.errors.contains(part), "`{part}` is missing in: {}", ended.errors);
    }
}

#[test]
fn a_bootstrap_address_without_a_peer_id_is_named() {
    let ended = run(["search", "--boot", "/ip4/127.0.0.1/tcp/4001", "async"]);
    refused(&ended, 2, &["/ip4/127.0.0.1/tcp/4001", "append /p2p/<peer id>"]);
}

#[test]
fn an_unparsable_address_is_named() {
    let ended = run(["search", "--boot", "127.0.0.1:4001", "async"]);
    refused(&ended, 2, &["`127.0.0.1:4001` is no multiaddress"]);
    let ended = run(["node", "--listen", "/ip4/300.0.0.1/tcp/0"]);
    refused(&ended, 2, &["`/ip4/300.0.0.1/tcp/0` is no multiaddress"]);
}

#[test]
fn an_address_of_another_transport_is_named() {
    let ended = run(["node", "--listen", "/ip4/127.0.0.1/udp/0/quic-v1"]);
    refused(&ended, 2, &["/ip4/127.0.0.1/udp/0/quic-v1", "/tcp/"]);
}

#[test]
fn an_occupied_port_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("/ip4/127.0.0.1/tcp/{}", taken.local_addr().unwrap().port());
    let ended = run(["node", "--listen", &address]);
    refused(&ended, 2, &[&address, "the port is taken", "port 0"]);
}

#[test]
fn the_port_of_another_node_is_taken() {
    let mut first = Program::start(["node", "--json", "--listen", "/ip4/127.0.0.1/tcp/0"]);
    let listening = first.object("listening")["address"].as_str().unwrap().to_string();
    let (address, _) = listening.rsplit_once("/p2p/").unwrap();
    for taken in [address.to_string(), address.replace("127.0.0.1", "0.0.0.0")] {
        refused(&run(["node", "--listen", &taken]), 2, &[&taken, "the port is taken", "port 0"]);
    }
}

#[test]
fn a_package_file_that_is_no_json_is_named_with_the_line() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"[\n  {\"name\": \"a\", \"version\": \"1\"},\n  oops\n]\n").unwrap();
    let path = file.path().to_str().unwrap();
    let ended = run(["node", "--listen", "/ip4/127.0.0.1/tcp/0", "--packages", path]);
    refused(&ended, 2, &[path, "line 3, column 3"]);
}

#[test]
fn a_package_file_with_wrong_fields_is_named_with_the_line() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"[\n  {\"name\": \"a\",\n   \"version\": 1}\n]\n").unwrap();
    let path = file.path().to_str().unwrap();
    let ended = run(["demo", "--packages", path]);
    refused(&ended, 2, &[path, "line 3", "expected a string", "`name` and `version`"]);
    let ended = run(["demo", "--packages", "no-such-file.json"]);
    refused(&ended, 2, &["no-such-file.json", "cannot be read"]);
}

#[test]
fn a_demo_outside_a_workspace_says_what_it_needs() {
    let empty = tempfile::tempdir().expect("a place for a folder");
    let ended = run_in(empty.path(), ["demo"]);
    refused(&ended, 2, &["`cargo metadata` failed", "Cargo.toml", "--packages"]);
}

#[test]
fn a_file_and_the_dependency_graph_are_not_both_shared() {
    let node = ["node", "--listen", "/ip4/127.0.0.1/tcp/0", "--packages", "x.json", "--cargo-metadata"];
    refused(&run(node), 2, &["--packages <FILE>", "--cargo-metadata"]);
}

#[test]
fn unknown_values_of_options_are_named() {
    let boot = nobody();
    let cases: [(&[&str], &str); 6] = [
        (&["demo", "--nodes", "many"], "'many'"),
        (&["demo", "--nodes", "3"], "3 is not in 5..=200"),
        (&["search", "--boot", &boot, "--timeout", "5", "async"], "`5` is no duration"),
        (&["search", "--boot", &boot, "--limit", "0", "async"], "0 is not in 1..=1024"),
        (&["search", "--boot", &boot, "--protocol", "kad", "async"], "`kad` is no protocol name"),
        (&["sell"], "unrecognized subcommand 'sell'"),
    ];
    for (args, part) in cases {
        refused(&run(args), 2, &[part]);
    }
}

#[test]
fn keys_that_are_none_are_named() {
    let boot = nobody();
    refused(&run(["get", "--boot", &boot, "greeting"]), 2, &["`greeting`", "/namespace/name"]);
    refused(&run(["put", "--boot", &boot, "/x", "y"]), 2, &["`/x`", "/namespace/name"]);
    refused(&run(["providers", "--boot", &boot, "12xy"]), 2, &["`12xy`", "hexadecimal"]);
    refused(&run(["providers", "--boot", &boot, "1220ab"]), 2, &["`1220ab`", "SHA-256", "6 digits"]);
    refused(&run(["search", "--boot", &boot, " "]), 2, &["nothing to search for"]);
    refused(&run(["search", "--boot", &boot]), 2, &["<TERM>"]);
}

#[test]
fn unreachable_peers_are_named_with_exit_code_3() {
    let boot = nobody();
    let (address, _) = boot.rsplit_once("/p2p/").unwrap();
    for command in [&["search", "x"][..], &["get", "/dragnet/x"], &["put", "/dragnet/x", "y"]] {
        let args = [&command[..1], &["--boot", &boot], &command[1..]].concat();
        refused(&run(args), 3, &["no peer answered", address]);
    }
    let ended = run(["node", "--listen", "/ip4/127.0.0.1/tcp/0", "--boot", &boot]);
    refused(&ended, 3, &["no peer answered", address]);
}

#[test]
fn a_value_that_is_too_large_is_refused_before_anybody_is_dialled() {
    let ended = run(["put", "--boot", &nobody(), "/dragnet/x", &"x".repeat(8193)]);
    refused(&ended, 2, &["`/dragnet/x`", "8193 bytes", "8192", "shorter"]);
    assert!(!ended.errors.contains("StoreLimits"), "{}", ended.errors);
}

/// The object of the error, which is the last line.
#[track_caller]
fn told(ended: &Ended, code: i32, part: &str) {
    refused(ended, code, &[part]);
    let objects = ended.objects();
    let error = objects.last().expect("an object");
    assert_eq!((&error["kind"], &error["code"]), (&"error".into(), &code.into()), "{error}");
    assert!(error["message"].as_str().is_some_and(|message| message.contains(part)), "{error}");
}

#[test]
fn programs_read_errors_as_objects() {
    let boot = nobody();
    told(&run(["get", "--json", "--boot", &boot, "greeting"]), 2, "`greeting`");
    told(&run(["search", "--json", "--boot", &boot, "async"]), 3, "no peer answered");
    told(&run(["search", "--boot", &boot, "--json"]), 2, "<TERM>");
    told(&run(["--json", "sell"]), 2, "unrecognized subcommand 'sell'");
    assert!(run(["get", "--boot", &boot, "greeting"]).lines.is_empty(), "nothing for people to read there");
}

#[test]
fn help_is_no_error_and_tells_the_exit_codes() {
    for args in [&["--help"][..], &["--json", "--help"], &["help"]] {
        let ended = run(args);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        let text = ended.lines.join(" ");
        for code in ["0 found or done", "1 nothing found", "2 bad use", "3 no peer", "70 "] {
            assert!(text.contains(code), "{code}: {text}");
        }
    }
}
