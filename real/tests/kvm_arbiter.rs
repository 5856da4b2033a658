//! Real pairs whose arbiter is outside of the harness: on shared storage, or in etcd. One serves, never two; and nobody,
//! while the arbiter does not answer.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use colo_protocol::{NodeName, Rules};
use colo_real::arbiter::ArbiterAddress;
use colo_real::{RunOptions, RunOutcome};
use colo_trace::{Fault, FaultAction, Kind, Plan};
use common::kvm_or_skip;
use common::pair::{assert_one_failover, be_a_node_if_asked, events, options as small, run, run_into};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tempfile::TempDir;

/// A point at which both nodes are in the middle of a checkpoint.
const AT: &str = "primary checkpoint 3 during effect send-ram";

/// Not a test: a node's process, when a pair has started this program as one.
#[test]
fn node_process() {
    be_a_node_if_asked();
}

fn options(arbiter: ArbiterAddress) -> RunOptions {
    RunOptions { arbiter: Some(arbiter), ..small("strict", Rules::STRICT) }
}

fn took_over(outcome: &RunOutcome) -> Option<NodeName> {
    NodeName::ALL.into_iter().find(|node| events(outcome, *node, Kind::Effect).contains(&"take-over"))
}

/// One serves, and the other has been told that it may not.
fn assert_one_serves(outcome: &RunOutcome, what: &str) -> NodeName {
    let winner = took_over(outcome).unwrap();
    assert_one_failover(outcome, winner, what);
    let told = NodeName::ALL.map(|node| events(outcome, node, Kind::Input));
    let granted = told.iter().flatten().filter(|input| **input == "arbiter-granted").count();
    assert_eq!(granted, 1, "{what}");
    assert!(
        events(outcome, winner.peer(), Kind::Effect).contains(&"halt"),
        "{what}: the {} goes on",
        winner.peer()
    );
    winner
}

/// The claims in a directory, by generation: who has each.
fn claims(directory: &Path) -> Vec<(u64, String)> {
    let mut claims: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            let generation =
                name.strip_suffix(".claim").unwrap().rsplit_once('-').unwrap().1.parse().unwrap();
            let words = fs::read_to_string(entry.path()).unwrap();
            (generation, words.lines().last().unwrap().replace("claimant ", ""))
        })
        .collect();
    claims.sort();
    claims
}

#[test]
fn of_a_pair_that_is_cut_one_serves_and_its_claim_is_on_the_storage() {
    if !kvm_or_skip("of_a_pair_that_is_cut_one_serves_and_its_claim_is_on_the_storage") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let options = options(ArbiterAddress::File(directory.path().to_owned()));
    let outcome = run_into(&options, AT, FaultAction::Cut);
    let winner = assert_one_serves(&outcome, "a cut");
    assert_eq!(claims(directory.path()), [(0, winner.to_string())]);
    assert_eq!(outcome.arbiter_was_silent, None);
}

#[test]
fn both_suspect_at_once_and_one_of_them_halts() {
    if !kvm_or_skip("both_suspect_at_once_and_one_of_them_halts") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let at = AT.parse().unwrap();
    let silent = |node| Fault { at, action: FaultAction::PeerSilent { node } };
    for nodes in [NodeName::ALL, [NodeName::Secondary, NodeName::Primary]] {
        let plan = Plan::new(nodes.map(silent).to_vec());
        let options = options(ArbiterAddress::File(directory.path().to_owned()));
        let outcome = run(&RunOptions { plan, ..options }).unwrap();
        assert_eq!(outcome.unreached, []);
        assert_one_serves(&outcome, "both suspect");
    }
    assert_eq!(claims(directory.path()).len(), 2, "each run has a claim of its own");
}

#[test]
fn each_pair_of_a_service_is_claimed_anew() {
    if !kvm_or_skip("each_pair_of_a_service_is_claimed_anew") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let options = options(ArbiterAddress::File(directory.path().to_owned()));
    let outcome =
        run(&RunOptions { plan: cut(), replacements: vec![cut(), cut(), Plan::default()], ..options });
    let outcome = outcome.unwrap();
    assert_eq!((&outcome.violation, outcome.failovers, outcome.protected_again), (&None, 3, 3));
    let generations: Vec<_> =
        claims(directory.path()).into_iter().map(|(generation, _)| generation).collect();
    assert_eq!(generations, [0, 1, 2]);
}

/// A directory that is somewhere else when it is asked for.
struct Storage {
    here: PathBuf,
    away: PathBuf,
    _around: TempDir,
}

impl Storage {
    fn that_is_gone() -> Self {
        let around = tempfile::tempdir().unwrap();
        let (here, away) = (around.path().join("shared"), around.path().join("away"));
        fs::create_dir(&away).unwrap();
        Self { here, away, _around: around }
    }

    fn arbiter(&self) -> ArbiterAddress {
        ArbiterAddress::File(self.here.clone())
    }

    fn comes_back(&self) {
        fs::rename(&self.away, &self.here).unwrap();
    }
}

/// Runs, and has the arbiter come back a while after it was said that it is silent.
fn run_until_it_comes_back(
    options: &RunOptions,
    said: &AtomicBool,
    come_back: impl FnOnce() + Send,
) -> RunOutcome {
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !said.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(10));
            }
            std::thread::sleep(Duration::from_secs(1));
            come_back();
        });
        run(options).unwrap()
    })
}

fn cut() -> Plan {
    Plan::new(vec![Fault { at: AT.parse().unwrap(), action: FaultAction::Cut }])
}

#[test]
fn while_the_storage_is_gone_nobody_serves_and_when_it_is_back_one_does() {
    static SAID: AtomicBool = AtomicBool::new(false);
    if !kvm_or_skip("while_the_storage_is_gone_nobody_serves_and_when_it_is_back_one_does") {
        return;
    }
    let storage = Storage::that_is_gone();
    let warn = |_: &str| SAID.store(true, Ordering::Relaxed);
    let options = RunOptions { plan: cut(), warn, ..options(storage.arbiter()) };
    let outcome = run_until_it_comes_back(&options, &SAID, || storage.comes_back());
    let winner = assert_one_serves(&outcome, "storage that comes back");
    assert_eq!(claims(&storage.here), [(0, winner.to_string())]);
    let said = outcome.arbiter_was_silent.unwrap();
    assert!(said.starts_with("the arbiter (file:") && said.contains("No such file or directory"), "{said}");
    assert!(said.ends_with("; nobody takes over until it does"), "{said}");
    let notes: Vec<_> = notes(&outcome.trace.unwrap().records);
    assert_eq!(notes, [said, "the arbiter answers".to_owned()], "each is said once");
}

fn notes(records: &[colo_trace::Record]) -> Vec<String> {
    let notes = records.iter().filter(|record| record.kind == Kind::Note && record.node.is_none());
    notes.map(|record| record.name.clone()).collect()
}

/// A node dies while it waits for the arbiter: what it has asked for is its peer's, when there is an answer.
#[test]
fn a_node_that_dies_while_it_waits_is_granted_nothing() {
    static SAID: AtomicBool = AtomicBool::new(false);
    if !kvm_or_skip("a_node_that_dies_while_it_waits_is_granted_nothing") {
        return;
    }
    let faults = [
        (AT, FaultAction::PeerSilent { node: NodeName::Primary }),
        ("primary checkpoint 3 during effect ask-arbiter", FaultAction::Crash { node: NodeName::Primary }),
    ];
    let plan = faults.map(|(at, action)| Fault { at: at.parse().unwrap(), action });
    let storage = Storage::that_is_gone();
    let warn = |_: &str| SAID.store(true, Ordering::Relaxed);
    let options = RunOptions { plan: Plan::new(plan.to_vec()), warn, ..options(storage.arbiter()) };
    let outcome = run_until_it_comes_back(&options, &SAID, || storage.comes_back());
    assert_eq!(outcome.unreached, []);
    assert_one_failover(&outcome, NodeName::Secondary, "the primary died");
    assert_eq!(claims(&storage.here), [(0, "secondary".to_owned())]);
}

/// etcd is killed before anybody suspects anything, and is back when both have asked it for a while.
#[cfg(feature = "etcd")]
#[test]
fn while_etcd_is_dead_nobody_serves_and_when_it_is_back_one_does() {
    use common::etcd::{Etcd, etcd_or_skip};
    static SAID: AtomicBool = AtomicBool::new(false);
    let name = "while_etcd_is_dead_nobody_serves_and_when_it_is_back_one_does";
    if !kvm_or_skip(name) || !etcd_or_skip(name) {
        return;
    }
    let mut etcd = Etcd::start();
    assert_one_serves(&run_into(&options(etcd.arbiter()), AT, FaultAction::Cut), "etcd");
    etcd.kill();
    let warn = |_: &str| SAID.store(true, Ordering::Relaxed);
    let options = RunOptions { plan: cut(), warn, ..options(etcd.arbiter()) };
    let outcome = run_until_it_comes_back(&options, &SAID, || etcd.restart());
    assert_one_serves(&outcome, "etcd that comes back");
    let said = outcome.arbiter_was_silent.unwrap();
    assert!(
        said.starts_with("the arbiter (etcd:127.0.0.1:") && said.contains("no answer from http://"),
        "{said}"
    );
}
