//! A pair in two network namespaces, over a network that stands still or is cut, and with sides that are stopped and come
//! back: whatever is suspected wrongly, there are never two servers, and one when it is over.
//!
//! It needs root, for the namespaces. `COLO_SUSPICIONS` says how many suspicions there are under each arbiter.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test may")]

mod common;

use common::namespaces::{Namespace, no_namespaces};
use common::no_kvm;
use common::side::{PATIENCE, Side, Telling, colo};
use rustix::process::{Pid, Signal, kill_process};
use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Suspicions under each arbiter, unless `COLO_SUSPICIONS` says how many.
const SUSPICIONS: usize = 10;

/// Pairs at the same time: they mostly wait.
const AT_ONCE: usize = 4;

/// The interval between checkpoints.
const INTERVAL_MS: &str = "20";

/// Longer than a node that hears nothing is patient with its peer: a second, and the interval.
const TOO_LONG: Duration = Duration::from_millis(1_800);

/// What gives a node reason to take its peer for dead, though it lives.
#[derive(Clone, Copy, Debug)]
enum Suspicion {
    /// The link is cut.
    Cut,
    /// Nothing goes over the link for a while.
    Stall,
    /// What goes over the link takes longer than anybody waits.
    Slow,
    /// A node is stopped (SIGSTOP) and goes on.
    StopPrimary,
    StopSecondary,
    /// A whole side is stopped and goes on.
    StopPrimarySide,
    StopSecondarySide,
}

const SUSPICIONS_OF: [Suspicion; 7] = [
    Suspicion::Cut,
    Suspicion::StopPrimary,
    Suspicion::Stall,
    Suspicion::StopSecondary,
    Suspicion::StopPrimarySide,
    Suspicion::Slow,
    Suspicion::StopSecondarySide,
];

/// Two hosts with a wire between them: the one has the secondary's side, the other the primary's and the relay.
struct Hosts([Namespace; 2]);

impl Hosts {
    const ADDRESSES: [&str; 2] = ["10.77.0.1", "10.77.0.2"];

    fn new() -> Self {
        let hosts = ["a", "b"].map(|side| Namespace::new(side).expect("a namespace"));
        let [a, b] = &hosts;
        let wired = a.ip(&["link", "add", "wire", "type", "veth", "peer", "name", "wire", "netns", b])
            && hosts.iter().zip(Self::ADDRESSES).all(|(host, address)| {
                host.ip(&["addr", "add", &format!("{address}/24"), "dev", "wire"])
                    && host.ip(&["link", "set", "wire", "up"])
                    && host.ip(&["link", "set", "lo", "up"])
            });
        assert!(wired, "no two namespaces with a wire between them");
        Self(hosts)
    }
}

/// The relay between the hosts.
struct Relay(Child);

impl Relay {
    fn start(namespace: &str, listen: &str, to: &str) -> Self {
        let mut command = colo(Some(namespace), &["relay", "--listen", listen, "--to", to]);
        Self(command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap())
    }

    fn tell(&mut self, line: &str) {
        writeln!(self.0.stdin.as_mut().unwrap(), "{line}").unwrap();
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What pairs share.
struct Place {
    hosts: Hosts,
    keys: PathBuf,
    directory: TempDir,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let keys = directory.path().join("keys");
        let output = colo(None, &["ctl", "keys"]).arg(&keys).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Self { hosts: Hosts::new(), keys, directory }
    }
}

/// A pair on both hosts, its relay, and its clients.
struct Pair {
    sides: [Side; 2],
    relay: Relay,
    clients: Telling,
    directory: TempDir,
}

impl Pair {
    /// A pair that has been served for a little while.
    fn serving(place: &Place, number: usize, arbiter: &str) -> Self {
        let directory = tempfile::tempdir_in(place.directory.path()).unwrap();
        let [a, b] = &place.hosts.0;
        let [host_a, host_b] = Hosts::ADDRESSES;
        let port = |of: usize| (10_000 + 4 * number + of).to_string();
        let at = |host: &str, of| format!("{host}:{}", port(of));
        let relay = Relay::start(b, &at(host_b, 0), &at(host_a, 1));
        let start = |name: &str, namespace: &str, meets: [&str; 2], service: &str| {
            let trace = directory.path().join(format!("{name}.jsonl")).display().to_string();
            let keys = place.keys.display().to_string();
            let flags = [
                "strict",
                meets[0],
                meets[1],
                "--keys",
                &keys,
                "--arbiter",
                arbiter,
                "--service",
                service,
                "--trace",
                &trace,
                "--memory-mib",
                "16",
                "--interval-ms",
                INTERVAL_MS,
            ];
            Side::start(name, Some(namespace), &flags, directory.path())
        };
        let services = [at(host_b, 2), at(host_a, 3)];
        let mut sides = [
            start("primary", b, ["--connect", &at(host_b, 0)], &services[0]),
            start("secondary", a, ["--listen", &at(host_a, 1)], &services[1]),
        ];
        for side in &mut sides {
            side.happens("COLO_STARTED");
        }
        let clients = Telling::start(colo(
            Some(b),
            &["clients", &services[0], &services[1], "--time", "10m", "--json"],
        ));
        let deadline = Instant::now() + PATIENCE;
        while sides[0].status()["output"].as_u64().unwrap() < 20 {
            assert!(Instant::now() < deadline, "nobody is served");
            std::thread::sleep(Duration::from_millis(20));
        }
        Self { sides, relay, clients, directory }
    }

    fn suspect(&mut self, suspicion: Suspicion) {
        let stopped = |processes: Vec<Pid>| {
            let signal = |signal| {
                for process in &processes {
                    // It may have ended.
                    let _ = kill_process(*process, signal);
                }
            };
            signal(Signal::STOP);
            std::thread::sleep(TOO_LONG);
            signal(Signal::CONT);
        };
        let [primary, secondary] = &self.sides;
        let side = |side: &Side| vec![side.telling.pid(), side.node()];
        match suspicion {
            Suspicion::Cut => self.relay.tell("cut"),
            Suspicion::Stall => {
                self.relay.tell("stall");
                std::thread::sleep(TOO_LONG);
                self.relay.tell("go");
            }
            Suspicion::Slow => {
                self.relay.tell(&format!("delay {}", TOO_LONG.as_millis()));
                std::thread::sleep(TOO_LONG);
                self.relay.tell("delay 0");
            }
            Suspicion::StopPrimary => stopped(vec![primary.node()]),
            Suspicion::StopSecondary => stopped(vec![secondary.node()]),
            Suspicion::StopPrimarySide => stopped(side(primary)),
            Suspicion::StopSecondarySide => stopped(side(secondary)),
        }
    }

    /// Waits until one serves alone and the other has stopped for good; which.
    fn settled(&mut self, suspicion: Suspicion) -> usize {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let took_over = self.sides.each_mut().map(|side| side.happened("COLO_TOOK_OVER"));
            let halted = self.sides.each_mut().map(|side| side.happened("COLO_HALTED"));
            assert_ne!(took_over, [true; 2], "{suspicion:?}: two servers");
            assert_ne!(halted, [true; 2], "{suspicion:?}: no server");
            match (took_over, halted) {
                ([true, false], [false, true]) => return 0,
                ([false, true], [true, false]) => return 1,
                _ => {}
            }
            assert!(Instant::now() < deadline, "{suspicion:?}: took over {took_over:?}, halted {halted:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The survivor serves, and the clients have seen nothing that they may not see; what both nodes did conforms.
    fn judged(mut self, survivor: usize, suspicion: Suspicion) {
        let output = |side: &Side| side.status()["output"].as_u64().unwrap();
        let before = output(&self.sides[survivor]);
        let deadline = Instant::now() + PATIENCE;
        while output(&self.sides[survivor]) < before + 20 {
            assert!(Instant::now() < deadline, "{suspicion:?}: the survivor does not serve");
            std::thread::sleep(Duration::from_millis(20));
        }
        self.clients.signal(Signal::INT);
        let verdict = self.clients.wait("a verdict", |value| value["schema"] == 1);
        assert_eq!(verdict["verdict"], "holds", "{suspicion:?}: {verdict}");
        assert!(self.sides[survivor].ctl(&["quit"]).status.success());
        for (side, name) in self.sides.iter_mut().zip(["primary", "secondary"]) {
            assert_eq!(side.telling.code(), Some(0), "{suspicion:?}: {name}");
            let trace = self.directory.path().join(format!("{name}.jsonl"));
            let conforms = colo(None, &["conform"]).arg(&trace).output().unwrap();
            let told = String::from_utf8_lossy(&conforms.stdout);
            assert_eq!(conforms.status.code(), Some(0), "{suspicion:?}: {told}");
        }
    }
}

fn suspicions() -> usize {
    std::env::var("COLO_SUSPICIONS").ok().map_or(SUSPICIONS, |count| count.parse().unwrap())
}

/// So many wrong suspicions, some at the same time. In how many the arbiter was silent for a while.
fn campaign(arbiter: &str, place: &Place) -> usize {
    let (next, count) = (AtomicUsize::new(0), suspicions());
    let survivors = [AtomicUsize::new(0), AtomicUsize::new(0)];
    let silences = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        return;
                    }
                    let suspicion = SUSPICIONS_OF[number % SUSPICIONS_OF.len()];
                    let mut pair = Pair::serving(place, number, arbiter);
                    pair.suspect(suspicion);
                    let survivor = pair.settled(suspicion);
                    survivors[survivor].fetch_add(1, Ordering::Relaxed);
                    let was_silent = pair.sides.iter_mut().any(|side| side.happened("COLO_ARBITER_SILENT"));
                    silences.fetch_add(usize::from(was_silent), Ordering::Relaxed);
                    pair.judged(survivor, suspicion);
                }
            });
        }
    });
    let [primary, secondary] = survivors.map(AtomicUsize::into_inner);
    let silences = silences.into_inner();
    println!("{arbiter}: {primary} primaries and {secondary} secondaries went on; silent in {silences}");
    assert_eq!(primary + secondary, count);
    assert!(count < 10 || primary > 0 && secondary > 0, "always the same one went on");
    silences
}

#[test]
fn under_the_arbiter_of_shared_storage_there_are_never_two_servers() {
    if no_kvm() || no_namespaces() {
        return;
    }
    let place = Place::new();
    let shared = place.directory.path().join("arbiter");
    std::fs::create_dir(&shared).unwrap();
    assert_eq!(
        campaign(&format!("file:{}", shared.display()), &place),
        0,
        "nobody has taken the directory away"
    );
}

/// An etcd on one of the hosts.
struct Etcd(Child);

impl Etcd {
    const CLIENT: &'static str = "10.77.0.1:2379";

    fn start(place: &Place) -> Self {
        let (client, peer) = (format!("http://{}", Self::CLIENT), "http://10.77.0.1:2380");
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", &place.hosts.0[0], "etcd", "--name", "one", "--log-level", "error"])
            .arg("--data-dir")
            .arg(place.directory.path().join("etcd"))
            .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
            .args(["--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer])
            .args(["--initial-cluster", &format!("one={peer}")])
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Self(command.spawn().unwrap())
    }

    /// It dies, is away for a while, and comes back with what it has on its disk.
    fn die_and_come_back(&mut self, place: &Place) {
        self.kill();
        std::thread::sleep(Duration::from_millis(700));
        *self = Self::start(place);
    }

    fn kill(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Whether there is no etcd; where there has to be one, that is a failure.
fn no_etcd() -> bool {
    let version = Command::new("etcd").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if version.is_ok_and(|status| status.success()) {
        return false;
    }
    assert!(
        std::env::var("COLO_REQUIRE_ETCD").as_deref() != Ok("1"),
        "COLO_REQUIRE_ETCD=1, and there is no etcd"
    );
    eprintln!("SKIPPED, there is no etcd");
    true
}

#[test]
fn under_an_etcd_that_dies_again_and_again_there_are_never_two_servers() {
    if no_kvm() || no_namespaces() || no_etcd() {
        return;
    }
    let place = Place::new();
    let mut etcd = Etcd::start(&place);
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_secs(3));
                etcd.die_and_come_back(&place);
            }
        });
        let ends = Ends(&over);
        let silences = campaign(&format!("etcd:{}", Etcd::CLIENT), &place);
        assert!(suspicions() < 100 || silences > 0, "it was never asked while it was away");
        drop(ends);
    });
}

/// Says that it is over, however it ends.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn while_the_arbiter_is_away_nobody_serves_alone_and_one_does_when_it_is_back() {
    if no_kvm() || no_namespaces() {
        return;
    }
    let place = Place::new();
    let shared = place.directory.path().join("arbiter");
    let away = place.directory.path().join("away");
    std::fs::create_dir(&shared).unwrap();
    let mut pair = Pair::serving(&place, 0, &format!("file:{}", shared.display()));
    std::fs::rename(&shared, &away).unwrap();
    pair.suspect(Suspicion::Cut);
    for side in &mut pair.sides {
        side.happens("COLO_ARBITER_SILENT");
    }
    std::thread::sleep(Duration::from_secs(1));
    for side in &mut pair.sides {
        assert!(!side.happened("COLO_TOOK_OVER") && !side.happened("COLO_HALTED"));
    }
    std::fs::rename(&away, &shared).unwrap();
    let survivor = pair.settled(Suspicion::Cut);
    pair.judged(survivor, Suspicion::Cut);
}
