//! `colo serve`: a service whose clients nobody here wrote, whose nodes are killed by whoever likes, and that does not stop.
#![expect(clippy::unwrap_used, reason = "a test may")]

mod common;

use common::no_kvm;
use common::side::{PATIENCE, Telling, colo};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const HYBRID: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/hybrid.toml");

/// A guest of its own, at a port that is free.
const SMALL: [&str; 5] = ["--json", "--port", "0", "--memory-mib", "16"];

/// `colo serve`, of these words, with `HYBRID` for the example's file.
fn serve(words: &str) -> Command {
    let words: Vec<&str> =
        words.split_whitespace().map(|word| if word == "HYBRID" { HYBRID } else { word }).collect();
    colo(None, &[&["serve"], &words[..]].concat())
}

/// A small one, which tells in JSON.
fn small(words: &str) -> Command {
    let mut command = serve(words);
    command.args(SMALL);
    command
}

/// What a service says in the end, after all that it told before, and its exit code.
fn ended(words: &str) -> (Vec<Value>, Value, Option<i32>) {
    let output = small(words).output().unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    let mut told: Vec<Value> = stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let last = told.pop().unwrap_or_else(|| panic!("{words}: {}", String::from_utf8_lossy(&output.stderr)));
    (told, last, output.status.code())
}

/// What a command says, and its exit code.
fn said(mut command: Command) -> (String, Option<i32>) {
    let output = command.output().unwrap();
    (String::from_utf8([output.stdout, output.stderr].concat()).unwrap(), output.status.code())
}

fn count(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is no number"))
}

/// Whether the pair has come to be protected so many times.
fn protected(service: &mut Telling, times: usize) -> Value {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let said = service.said();
        if let Some(event) = said.iter().filter(|event| event["event"] == "protected").nth(times - 1) {
            return event.clone();
        }
        assert!(Instant::now() < deadline, "not protected {times} times: {said:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// SIGKILL to a process that the service has named.
fn kill(process: &Value) {
    let pid = i32::try_from(count(process)).ok().and_then(Pid::from_raw).unwrap();
    kill_process(pid, Signal::KILL).unwrap();
}

/// Whether there is no redis-cli; where there has to be one, that is a failure.
fn no_redis() -> bool {
    let version =
        Command::new("redis-cli").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if version.is_ok_and(|status| status.success()) {
        return false;
    }
    let required = std::env::var_os("COLO_REQUIRE_REDIS").is_some_and(|value| value == "1");
    assert!(!required, "COLO_REQUIRE_REDIS=1, and there is no redis-cli");
    eprintln!("SKIPPED, nobody else's client connects: there is no redis-cli");
    true
}

/// A `redis-cli` that is told what to ask, line by line.
struct RedisCli {
    child: Child,
    answers: BufReader<ChildStdout>,
}

impl RedisCli {
    fn start(port: &str) -> Self {
        let mut command = Command::new("redis-cli");
        let mut child =
            command.args(["-p", port]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        Self { child, answers }
    }

    fn ask(&mut self, words: &str) -> String {
        self.child.stdin.as_mut().unwrap().write_all(format!("{words}\n").as_bytes()).unwrap();
        let mut answer = String::new();
        self.answers.read_line(&mut answer).unwrap();
        answer.trim_end().to_owned()
    }

    /// The last question, whose answer has many lines.
    fn ask_last(mut self, words: &str) -> String {
        let mut stdin = self.child.stdin.take().unwrap();
        stdin.write_all(format!("{words}\n").as_bytes()).unwrap();
        drop(stdin);
        let mut answer = String::new();
        self.answers.read_to_string(&mut answer).unwrap();
        assert!(self.child.wait().unwrap().success(), "{answer}");
        answer
    }
}

/// The client increments all the time, and is answered each number once, in its order: nothing is lost, nothing doubled.
#[test]
fn redis_cli_keeps_its_connection_while_three_primaries_are_killed() {
    if no_kvm() || no_redis() {
        return;
    }
    let mut service = Telling::start(small("fast --interval-ms 20"));
    let serving = service.wait("an address", |event| event["event"] == "serving");
    let port = serving["address"].as_str().unwrap().rsplit_once(':').unwrap().1.to_owned();
    protected(&mut service, 1);
    let is_enough = AtomicBool::new(false);
    let (cli, increments) = std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let (mut cli, mut increments) = (RedisCli::start(&port), 0);
            while !is_enough.load(Ordering::Relaxed) {
                increments += 1;
                assert_eq!(cli.ask("INCR visits"), increments.to_string());
            }
            (cli, increments)
        });
        for times in 1..=3 {
            let pair = protected(&mut service, times);
            std::thread::sleep(Duration::from_millis(150));
            kill(&pair["primary"]);
        }
        protected(&mut service, 4);
        is_enough.store(true, Ordering::Relaxed);
        asking.join().unwrap()
    });
    let info = cli.ask_last("INFO");
    assert!(info.contains("\ntotal_connections_received:1\r\n"), "{info}");
    let asked = count(&increments.into());
    assert!(asked > 20, "{asked} increments are no load");
    service.signal(Signal::INT);
    let end = service.wait("an end", |event| event["event"] == "ended");
    assert_eq!((count(&end["failovers"]), service.code()), (3, Some(0)), "{end}");
    assert_eq!(end["connections"], serde_json::json!({ "accepted": 1, "refused": 0, "reset": 0 }), "{end}");
}

/// The clients are the command's own, whose histories are judged.
#[test]
fn under_every_good_rules_a_campaign_of_failovers_breaks_nothing() {
    if no_kvm() {
        return;
    }
    let faulty = "fast --interval-ms 10 --faults loss=1%,delay=1..3ms@10%,duplicate=2%,reorder=2%,seed=7";
    for words in [
        "fast --interval-ms 5",
        "strict --interval-ms 5",
        "v12 --interval-ms 5",
        "remus --interval-ms 5",
        faulty,
        "HYBRID --interval-ms 20",
    ] {
        let (told, end, code) = ended(&format!("{words} --failovers 3 --seed 1"));
        assert_eq!(code, Some(0), "{words}: {end}");
        let campaign = &end["campaign"];
        assert_eq!(campaign["violations"], serde_json::json!([]), "{words}: {end}");
        assert_eq!(
            (count(&campaign["resets"]), count(&end["connections"]["reset"])),
            (0, 0),
            "{words}: {end}"
        );
        assert_eq!((count(&campaign["killed"]), count(&end["failovers"])), (3, 3), "{words}: {end}");
        assert_eq!(count(&end["protected_again"]), 3, "{words}: {end}");
        assert!(count(&campaign["increments"]) > 20, "{words}: {end}");
        assert_eq!(told.iter().filter(|event| event["event"] == "took over").count(), 3, "{words}: {told:?}");
        for part in ["found_out_us", "took_over_us", "answered_us", "longest_wait_us"] {
            assert!(campaign[part]["p50"].is_u64(), "{words}: no {part} in {end}");
        }
    }
}

#[test]
fn the_histories_of_many_clients_are_judged_as_well() {
    if no_kvm() {
        return;
    }
    let (_, end, code) = ended("fast --interval-ms 20 --clients 14 --for 2s --seed 1");
    assert_eq!((code, &end["campaign"]["violations"]), (Some(0), &serde_json::json!([])), "{end}");
    assert!(count(&end["campaign"]["answered"]) > 100, "{end}");
}

#[test]
fn two_guests_that_are_alike_are_never_forced_to_a_checkpoint() {
    if no_kvm() {
        return;
    }
    let (_, end, code) = ended("HYBRID --interval-ms 200 --clients 8 --for 5s --seed 1");
    assert_eq!(code, Some(0), "{end}");
    let comparison = &end["comparison"];
    assert!(count(&end["campaign"]["answered"]) > 10_000, "{end}");
    assert!(count(&comparison["released"]) > 10_000, "{end}");
    assert_eq!((count(&comparison["forced"]), count(&comparison["diverged"])), (0, 0), "{end}");
}

/// What differs would tell a client what the survivor knows nothing of; the history would say so.
#[test]
fn guests_that_diverge_are_caught_each_time_before_anybody_hears_of_it() {
    if no_kvm() {
        return;
    }
    let (_, end, code) = ended("HYBRID --interval-ms 200 --clients 8 --for 2s --divergence 1/50 --seed 1");
    assert_eq!(code, Some(0), "{end}");
    // One may be cured by the next checkpoint, or by the end, before either guest has said anything of it: nobody hears of that.
    let [differences, diverged] = ["differences", "diverged"].map(|what| count(&end["comparison"][what]));
    assert!(0 < differences && differences <= diverged, "{end}");
    assert_eq!(end["campaign"]["violations"], serde_json::json!([]), "{end}");
}

#[test]
fn what_cannot_be_served_is_said_before_anything_runs() {
    for (words, problem) in [
        ("nonsense --port 0", "there are no rules \"nonsense\""),
        ("fast --port 0 --faults quark=1%", "expected loss, delay, duplicate, reorder or seed"),
        ("fast --port 0 --faults loss=200%", "expected a share from 0% to 100%"),
        ("fast --port 0 --divergence 1/100", "under fast the secondary's guest does not execute"),
        ("HYBRID --port 0 --divergence 3/2", "expected N/M, so many of so many requests"),
        ("fast --tap t --address nonsense", "expected an IPv4 address and a prefix"),
        ("fast --tap t --address 10.66.0.255/24", "10.66.0.255/24 is no address of a host"),
        ("fast --tap t --address 10.66.0.0/24", "10.66.0.0/24 is no address of a host"),
        ("fast --tap t --address 127.0.0.2/24", "127.0.0.2/24 is no address of a host"),
        ("fast --tap t --address 10.66.0.2/33", "expected an IPv4 address and a prefix"),
        ("fast --address 10.66.0.2/24", "--tap <DEVICE>"),
        ("fast --tap t --port 6379", "cannot be used with '--port <PORT>'"),
        ("fast --port 70000", "70000 is not in 0..=65535"),
        ("fast --port 0 --clients 0", "0 is not in 1..=100"),
        ("fast --port 0 --unprotected --failovers 1", "cannot be used with '--failovers <N>'"),
        (
            "fast --port 0 --trace /no/such/directory/trace.jsonl",
            "cannot write /no/such/directory/trace.jsonl",
        ),
    ] {
        let (printed, code) = said(serve(words));
        assert!(code == Some(2) && printed.contains(problem), "{words}: {code:?} {printed}");
    }
}

#[test]
fn a_port_that_somebody_has_is_said_with_its_number() {
    if no_kvm() {
        return;
    }
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let (printed, code) = said(serve(&format!("fast --port {port}")));
    assert_eq!(code, Some(3), "{printed}");
    assert!(printed.contains(&format!("port {port} of the loopback interface: ")), "{printed}");
    assert!(printed.contains("--port takes another"), "{printed}");
}

/// Where this is no root, nobody has the right to it; where it is, somebody else has it already.
#[test]
fn a_tap_device_that_cannot_be_had_is_said_with_what_helps() {
    if no_kvm() {
        return;
    }
    let mut first = Telling::start(serve("fast --json --memory-mib 16 --tap colo-tests"));
    while first.said().is_empty() && first.is_running() {
        std::thread::sleep(Duration::from_millis(5));
    }
    let (printed, code) = said(serve("fast --memory-mib 16 --tap colo-tests --for 1s"));
    assert_eq!(code, Some(3), "{printed}");
    assert!(printed.contains("cannot be") && printed.contains("as root"), "{printed}");
}

/// A survivor whose replacement dies before it has joined gets another, whenever that was.
#[test]
fn a_replacement_that_dies_while_it_joins_is_replaced() {
    if no_kvm() {
        return;
    }
    let mut service = Telling::start(small("fast --interval-ms 20"));
    let mut known = Vec::new();
    for (time, delay) in (1..).zip([0, 10, 30]) {
        let pair = protected(&mut service, time);
        known.extend(["primary", "secondary"].map(|node| count(&pair[node])));
        kill(&pair["primary"]);
        let deadline = Instant::now() + PATIENCE;
        let joins = loop {
            let children = children(service.id());
            if let Some(child) = children.into_iter().find(|child| !known.contains(child)) {
                break child;
            }
            assert!(Instant::now() < deadline, "no replacement is started");
            std::thread::sleep(Duration::from_millis(1));
        };
        known.push(joins);
        std::thread::sleep(Duration::from_millis(delay));
        kill(&joins.into());
    }
    protected(&mut service, 4);
}

/// The processes that a process has started and that live.
fn children(parent: u32) -> Vec<u64> {
    let pids = std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let is_child = |pid: &u64| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // Behind the name, which may have anything in it: the state, and the parent.
        let behind = stat.rsplit_once(") ").map(|(_, behind)| behind.to_owned()).unwrap_or_default();
        let mut words = behind.split(' ');
        words.next() != Some("Z") && words.next() == Some(&parent.to_string())
    };
    pids.filter(is_child).collect()
}

/// Who is still asking then is not kept waiting.
#[test]
fn a_service_both_of_whose_nodes_are_killed_says_so_and_fails() {
    if no_kvm() {
        return;
    }
    for clients in ["", "--clients 4"] {
        let mut service = Telling::start(small(&format!("fast --interval-ms 20 {clients}")));
        let pair = protected(&mut service, 1);
        std::thread::sleep(Duration::from_millis(300));
        // Both at once, before anybody can take over.
        kill(&pair["secondary"]);
        kill(&pair["primary"]);
        let end = service.wait("an end", |event| event["event"] == "ended");
        assert_eq!(end["violation"], "unanswered: neither node can serve any more", "{end}");
        assert_eq!(service.code(), Some(1), "{end}");
    }
}

#[test]
fn ctrl_c_ends_a_service_when_its_clients_have_been_answered() {
    if no_kvm() {
        return;
    }
    let mut service = Telling::start(small("fast --interval-ms 20 --clients 4"));
    protected(&mut service, 1);
    std::thread::sleep(Duration::from_secs(1));
    service.signal(Signal::INT);
    let end = service.wait("an end", |event| event["event"] == "ended");
    assert_eq!(service.code(), Some(0), "{end}");
    assert!(count(&end["campaign"]["answered"]) > 0, "{end}");
    assert_eq!(end["campaign"]["violations"], serde_json::json!([]), "{end}");
}

/// The record of a service whose primaries were killed from outside, at no point of the protocol.
#[test]
fn a_record_conforms_through_failovers_whole_and_as_messages() {
    if no_kvm() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let trace = directory.path().join("trace.jsonl");
    let trace = trace.to_str().unwrap();
    for rules in ["fast", "HYBRID"] {
        let (_, end, code) =
            ended(&format!("{rules} --interval-ms 10 --failovers 2 --seed 1 --trace {trace}"));
        assert_eq!((code, count(&end["failovers"])), (Some(0), 2), "{rules}: {end}");
        for what in [&["conform", trace][..], &["conform", "--messages", trace]] {
            let (printed, code) = said(colo(None, what));
            assert!(code == Some(0) && printed.contains("verdict    conforms to "), "{rules}: {printed}");
        }
    }
}
