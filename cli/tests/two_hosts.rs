//! A pair whose two sides are processes that know each other by an address only: they serve, are asked over their control
//! sockets, and one goes on when the other has died. (Here both are on one host; `namespaces.rs` has two networks.)
#![expect(clippy::unwrap_used, reason = "a test may")]

mod common;

use common::no_kvm;
use common::side::{Side, Telling, colo};
use rustix::process::Signal;
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Output;
use std::time::{Duration, Instant};

const SMALL: [&str; 2] = ["--memory-mib", "16"];

/// Both sides of these rules, linked by a Unix socket in `directory`.
fn sides(rules: &str, flags: &[&str], directory: &Path) -> [Side; 2] {
    let link = format!("unix:{}", directory.join("link").display());
    let start = |name: &str, meets: &str| {
        let service = format!("unix:{}", directory.join(format!("{name}.service")).display());
        let trace = directory.join(format!("{name}.jsonl"));
        let trace = trace.display().to_string();
        let of_side = [rules, meets, &link, "--service", &service, "--trace", &trace];
        Side::start(name, None, &[&of_side, &SMALL[..], flags].concat(), directory)
    };
    [start("primary", "--connect"), start("secondary", "--listen")]
}

/// Clients of both sides, who ask until they are interrupted.
fn clients(directory: &Path) -> Telling {
    let service = |name| format!("unix:{}", directory.join(format!("{name}.service")).display());
    Telling::start(colo(
        None,
        &["clients", &service("primary"), &service("secondary"), "--time", "10m", "--json"],
    ))
}

/// The same, who have asked for so long when this returns.
fn clients_for(directory: &Path, time: Duration) -> Telling {
    let clients = clients(directory);
    std::thread::sleep(time);
    clients
}

/// What the clients say when they have heard all that they asked for.
fn judged(mut clients: Telling) -> Value {
    clients.signal(Signal::INT);
    let verdict = clients.wait("a verdict", |value| value["schema"] == 1);
    assert_eq!((clients.code(), &verdict["verdict"]), (Some(0), &"holds".into()), "{verdict}");
    verdict
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + common::side::PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "{what}: never");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn error_of(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn two_sides_serve_and_are_asked_under_qemus_names() {
    if no_kvm() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let [mut primary, mut secondary] = sides("v12", &["--interval-ms", "20"], directory.path());
    primary.happens("COLO_STARTED");
    secondary.happens("COLO_STARTED");
    let clients = clients(directory.path());
    until("checkpoints", || primary.status()["checkpoints"].as_u64().unwrap() > 5);
    for (side, mode, serves) in [(&primary, "primary", true), (&secondary, "secondary", false)] {
        let status = side.status();
        assert_eq!((&status["mode"], &status["reason"]), (&mode.into(), &"none".into()), "{status}");
        assert_eq!(status["serves"], serves, "{status}");
    }
    assert!(judged(clients)["replies"]["seen"].as_u64().unwrap() > 0);
    let output = primary.ctl(&["quit"]);
    assert!(output.status.success(), "{}", error_of(&output));
    assert_eq!(primary.telling.code(), Some(0));
    secondary.happens("COLO_EXIT");
}

#[test]
fn when_a_primary_has_died_its_manager_has_the_secondary_go_on_and_no_client_notices() {
    if no_kvm() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let [mut primary, mut secondary] = sides("v12", &["--interval-ms", "20"], directory.path());
    primary.happens("COLO_STARTED");
    let clients = clients(directory.path());
    until("output", || primary.status()["output"].as_u64().unwrap() > 20);
    primary.telling.signal(Signal::KILL);
    let exit = secondary.happens("COLO_EXIT");
    assert_eq!((&exit["data"]["mode"], &exit["data"]["reason"]), (&"secondary".into(), &"error".into()));
    assert!(!secondary.happened("COLO_TOOK_OVER"), "nobody has said that the primary is dead");
    assert_eq!(secondary.ctl(&["failover"]).status.code(), Some(0));
    secondary.happens("COLO_TOOK_OVER");
    let before = secondary.status();
    assert_eq!((&before["mode"], &before["last-mode"]), (&"none".into(), &"secondary".into()), "{before}");
    until("output of the survivor", || secondary.status()["output"].as_u64() > before["output"].as_u64());
    let refused = secondary.ctl(&["failover"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(error_of(&refused).contains("x-colo-lost-heartbeat was refused"), "{}", error_of(&refused));
    assert_eq!(judged(clients)["moves"], 1);
    assert_eq!(secondary.ctl(&["quit"]).status.code(), Some(0));
    assert_eq!(secondary.telling.code(), Some(0));
    let trace = directory.path().join("secondary.jsonl");
    let conforms = colo(None, &["conform", trace.to_str().unwrap()]).output().unwrap();
    assert_eq!(conforms.status.code(), Some(0), "{}", String::from_utf8_lossy(&conforms.stdout));
}

#[test]
fn an_asked_for_checkpoint_and_another_delay_come_at_once() {
    if no_kvm() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let [mut primary, mut secondary] = sides("v12", &["--interval-ms", "600000"], directory.path());
    primary.happens("COLO_STARTED");
    secondary.happens("COLO_STARTED");
    let checkpoints = || primary.status()["checkpoints"].as_u64().unwrap();
    until("the first checkpoint", || primary.ctl(&["checkpoint"]).status.success() && checkpoints() > 0);
    let before = checkpoints();
    assert_eq!(primary.ctl(&["set-delay", "10"]).status.code(), Some(0));
    until("checkpoints every 10 ms", || checkpoints() > before + 10);
}

#[test]
fn what_a_side_cannot_do_is_refused_and_does_no_harm() {
    if no_kvm() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let link = format!("unix:{}", directory.path().join("link").display());
    let refused = |side: &Side, words: &[&str], why: &str| {
        let output = side.ctl(words);
        assert_eq!(output.status.code(), Some(1), "{words:?}: {}", error_of(&output));
        assert!(error_of(&output).contains(why), "{words:?}: {}", error_of(&output));
    };
    let listens = ["v12", "--listen", &link, "--interval-ms", "20", "--memory-mib", "16"];
    let mut secondary = Side::start("secondary", None, &listens, directory.path());
    until("a control socket", || secondary.ctl(&["status"]).status.success());
    for words in [&["failover"][..], &["checkpoint"], &["set-delay", "10"], &["shutdown"]] {
        refused(&secondary, words, "has not met its peer");
    }
    let connects = ["v12", "--connect", &link, "--interval-ms", "20", "--memory-mib", "16"];
    let mut primary = Side::start("primary", None, &connects, directory.path());
    primary.happens("COLO_STARTED");
    secondary.happens("COLO_STARTED");
    refused(&secondary, &["checkpoint"], "takes no checkpoints");
    refused(&secondary, &["shutdown"], "ask the other side");
    let before = primary.status()["checkpoints"].as_u64().unwrap();
    until("checkpoints", || primary.status()["checkpoints"].as_u64().unwrap() > before + 3);
    assert!(!secondary.happened("COLO_EXIT") && !primary.happened("COLO_EXIT"));
}

#[test]
fn clients_whom_nobody_serves_blame_no_protocol() {
    let directory = tempfile::tempdir().unwrap();
    let nobody = format!("unix:{}", directory.path().join("nobody").display());
    let output = colo(None, &["clients", &nobody, "--time", "1s"]).output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    assert!(error_of(&output).contains("expected the --service of a side"), "{}", error_of(&output));
}

#[test]
fn a_guest_that_is_told_to_power_off_ends_both_sides() {
    if no_kvm() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let [mut primary, mut secondary] = sides("v12", &["--interval-ms", "20"], directory.path());
    primary.happens("COLO_STARTED");
    secondary.happens("COLO_STARTED");
    assert_eq!(primary.ctl(&["shutdown"]).status.code(), Some(0));
    for side in [&mut primary, &mut secondary] {
        side.happens("SHUTDOWN");
        assert_eq!(side.telling.code(), Some(0));
    }
}

#[test]
fn who_speaks_nonsense_to_a_side_is_answered_or_not_heard_any_more() {
    if no_kvm() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let [mut primary, _secondary] = sides("v12", &["--interval-ms", "20"], directory.path());
    primary.happens("COLO_STARTED");
    let mut stream = UnixStream::connect(directory.path().join("primary.control")).unwrap();
    stream.set_read_timeout(Some(common::side::PATIENCE)).unwrap();
    stream
        .write_all(b"\x00\n{}\n{\"execute\":\"eject\"}\n{\"execute\":\"query-colo-status\",\"id\":1}\n")
        .unwrap();
    let lines =
        BufReader::new(stream).lines().map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap());
    let answers: Vec<Value> = lines.filter(|line| line.get("event").is_none()).take(5).collect();
    assert!(
        answers[0].get("QMP").is_some() && answers[1..4].iter().all(|answer| answer.get("error").is_some())
    );
    assert_eq!((&answers[4]["id"], &answers[4]["return"]["mode"]), (&1.into(), &"primary".into()));
    let mut stream = UnixStream::connect(directory.path().join("primary.service")).unwrap();
    stream.write_all(b"GET / HTTP/1.0\n\n").unwrap();
    stream.set_read_timeout(Some(common::side::PATIENCE)).unwrap();
    let mut told = String::new();
    stream.read_to_string(&mut told).unwrap();
    assert!(told.starts_with("\"Serves\"\n"), "{told}: and then the end");
    assert_eq!(judged(clients_for(directory.path(), Duration::from_millis(300)))["moves"], 0);
}

#[test]
fn who_cannot_be_asked_says_why() {
    let directory = tempfile::tempdir().unwrap();
    let nobody = directory.path().join("nobody");
    let output = colo(None, &["ctl", "status", "--control", nobody.to_str().unwrap()]).output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    assert!(
        error_of(&output).contains("expected the control socket of a side that runs"),
        "{}",
        error_of(&output)
    );
    for (flags, told) in [
        (&["--control", "x"][..], "expected --listen or --connect"),
        (&["--listen", "unix:x", "--connect", "unix:x"], "cannot be used with"),
        (&["--listen", "unix:x", "--plan", "p.toml"], "cannot be used with"),
        (&["--listen", "unix:x", "--suspicions", "5"], "cannot be used with"),
        (&["--listen", "nowhere"], "expected HOST:PORT"),
        (&["--guest", "redis"], "on one host colo serve runs it"),
        (&["--guest", "redis", "--tap", "t"], "expected --listen or --connect"),
        (&["--guest", "redis", "--listen", "unix:x"], "expected --tap DEVICE"),
        (
            &["--guest", "redis", "--listen", "unix:x", "--tap", "t", "--service", "unix:y"],
            "speak Redis to the guest",
        ),
        (
            &["--guest", "redis", "--listen", "unix:x", "--tap", "t", "--dirty", "4096"],
            "what its clients have it write",
        ),
        (&["--guest", "redis", "--listen", "unix:x", "--tap", "t", "--address", "10.66.0.2"], "10.66.0.2/24"),
        (&["--listen", "unix:x", "--address", "10.66.0.2/24"], "--tap <DEVICE>"),
        (&["--listen", "unix:x", "--tap", "t"], "expected --guest redis"),
        (&["--listen", "10.77.0.1:1"], "colo ctl keys"),
    ] {
        let output = colo(None, &["run", "v12"]).args(flags).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{flags:?}: {}", error_of(&output));
        assert!(error_of(&output).contains(told), "{flags:?}: {}", error_of(&output));
    }
}
