//! A client that nobody here wrote, in a network that two hosts and it are in: it holds one connection to the guest, and the
//! whole side that serves it dies.
//!
//! It needs root, for the namespaces and the TAP devices, and Debian's redis-tools.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test may")]

mod common;

use common::namespaces::{Namespace, no_namespaces};
use common::no_kvm;
use common::side::{PATIENCE, Side, colo};
use rustix::process::{Signal, kill_process};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// Where the guest is, whichever host it is on.
const GUEST: &str = "10.66.0.2";

/// The hosts of both sides and that of the clients. In each side's a bridge has a TAP device for the guest, and a wire to the
/// bridge of the clients; a wire of their own is for the link.
struct Hosts {
    primary: Namespace,
    secondary: Namespace,
    clients: Namespace,
}

impl Hosts {
    const LINK: &str = "10.77.0.2:7000";

    fn new() -> Self {
        let [primary, secondary, clients] =
            ["p", "s", "c"].map(|name| Namespace::new(name).expect("a namespace"));
        let hosts = Self { primary, secondary, clients };
        assert!(hosts.are_wired(), "no three namespaces with wires between them");
        hosts
    }

    fn are_wired(&self) -> bool {
        let Self { primary, secondary, clients } = self;
        let bridged = |host: &Namespace, end| {
            host.ip(&["link", "set", end, "master", "bridge"]) && host.ip(&["link", "set", end, "up"])
        };
        let addressed = |host: &Namespace, address, end| {
            host.ip(&["addr", "add", address, "dev", end]) && host.ip(&["link", "set", end, "up"])
        };
        [primary, secondary, clients].iter().all(|host| host.ip(&["link", "add", "bridge", "type", "bridge"]))
            && [(primary, "primary"), (secondary, "secondary")].iter().all(|(host, name)| {
                host.ip(&["tuntap", "add", "guest", "mode", "tap"])
                    && host.ip(&["link", "add", "clients", "type", "veth", "peer", name, "netns", clients])
                    && bridged(host, "guest")
                    && bridged(host, "clients")
                    && host.ip(&["link", "set", "bridge", "up"])
                    && bridged(clients, name)
            })
            && primary
                .ip(&["link", "add", "wire", "type", "veth", "peer", "name", "wire", "netns", secondary])
            && addressed(primary, "10.77.0.1/24", "wire")
            && addressed(secondary, "10.77.0.2/24", "wire")
            && addressed(clients, "10.66.0.1/24", "bridge")
    }
}

/// Both sides under these rules, the primary's first, who have their machines when this returns.
fn sides(rules: &str, hosts: &Hosts, directory: &Path) -> [Side; 2] {
    let path = |name: &str| directory.join(name).display().to_string();
    let (keys, arbiter) = (path("keys"), path("arbiter"));
    std::fs::create_dir(&arbiter).unwrap();
    assert!(colo(None, &["ctl", "keys", &keys]).output().unwrap().status.success());
    let start = |name, host: &Namespace, meets: [&str; 2]| {
        let network = [rules, "--guest", "redis", "--tap", "guest", "--address", "10.66.0.2/24"];
        let arbiter = format!("file:{arbiter}");
        let pair = ["--keys", &keys, "--arbiter", &arbiter, "--memory-mib", "16", "--interval-ms", "20"];
        Side::start(name, Some(host), &[&network[..], &meets, &pair].concat(), directory)
    };
    let mut sides = [
        start("primary", &hosts.primary, ["--connect", Hosts::LINK]),
        start("secondary", &hosts.secondary, ["--listen", Hosts::LINK]),
    ];
    for side in &mut sides {
        side.happens("COLO_STARTED");
    }
    sides
}

/// One `redis-cli` that is told one thing after the other.
struct Client {
    process: Child,
    tells: ChildStdin,
    lines: Receiver<String>,
}

impl Client {
    fn start(host: &Namespace) -> Self {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", host, "redis-cli", "-h", GUEST]);
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (sender, lines) = channel();
        let stdout = BufReader::new(process.stdout.take().unwrap());
        std::thread::spawn(move || {
            stdout.lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        Self { tells: process.stdin.take().unwrap(), process, lines }
    }

    fn says(&mut self, command: &str) {
        writeln!(self.tells, "{command}").unwrap();
    }

    fn hears(&mut self) -> String {
        self.lines.recv_timeout(PATIENCE).expect("an answer")
    }

    /// Waits until it hears a line that begins so; the rest of it.
    fn hears_of(&mut self, what: &str) -> String {
        loop {
            if let Some(rest) = self.hears().strip_prefix(what) {
                return rest.to_owned();
            }
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Whether there is no `redis-cli`; where there has to be one, that is a failure.
fn no_redis() -> bool {
    let version = Command::new("redis-cli").arg("--version").stdout(Stdio::null()).status();
    if version.is_ok_and(|status| status.success()) {
        return false;
    }
    let required = std::env::var_os("COLO_REQUIRE_REDIS").is_some_and(|value| value == "1");
    assert!(!required, "COLO_REQUIRE_REDIS=1, and there is no redis-cli");
    eprintln!("SKIPPED, there is no redis-cli");
    true
}

/// A `redis-cli` increments a key under these rules, until it has two hundred answers; when it has asked for half of them, the
/// primary's side is killed.
fn increments_through_a_death(rules: &str) {
    if no_kvm() || no_namespaces() || no_redis() {
        return;
    }
    let hosts = Hosts::new();
    let directory = tempfile::tempdir().unwrap();
    let [mut primary, mut secondary] = sides(rules, &hosts, directory.path());
    let mut client = Client::start(&hosts.clients);
    let mut longest = Duration::ZERO;
    for number in 1..=200 {
        let asked = Instant::now();
        client.says("INCR n");
        if number == 100 {
            // Its node dies with it, but need not.
            let node = primary.node();
            primary.telling.signal(Signal::KILL);
            let _ = kill_process(node, Signal::KILL);
        }
        assert_eq!(client.hears(), number.to_string(), "an increment is lost, or doubled");
        longest = longest.max(asked.elapsed());
    }
    secondary.happens("COLO_TOOK_OVER");
    client.says("INFO");
    assert_eq!(client.hears_of("total_connections_received:"), "1", "it has connected again");
    println!("{rules}: the longest that redis-cli has waited: {} ms", longest.as_millis());
    assert_eq!(primary.telling.code(), None, "killed by a signal");
    let status = secondary.status();
    assert_eq!((&status["serves"], &status["last-mode"]), (&true.into(), &"secondary".into()), "{status}");
    assert!(status["output"].as_u64().unwrap() > 200, "its frames are counted: {status}");
    assert!(secondary.ctl(&["quit"]).status.success());
    assert_eq!(secondary.telling.code(), Some(0));
}

#[test]
fn redis_cli_keeps_its_connection_when_the_whole_side_that_serves_it_is_killed() {
    increments_through_a_death("strict");
}

#[test]
fn it_does_so_where_both_machines_execute() {
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/non-stop-redis/hybrid.toml");
    increments_through_a_death(rules.to_str().unwrap());
}
