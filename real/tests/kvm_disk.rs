//! Real pairs whose guest keeps a journal on its disk: nodes die, disks fail, links fall silent, and in the end every disk is
//! that of its memory and has what the clients were told.
//!
//! The guest reads its disk back and answers with an error if a block is not what it has written there; when both nodes are
//! dead the harness opens both images (`real/src/disk/check.rs`). A run is without a violation if neither finds anything.

#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use colo_protocol::{CheckpointNumber, Execution, NodeName, Rules, rules_named};
use colo_real::{DiskFigures, Divergence, Guest, RunOptions, RunOutcome, RunViolation, Workload};
use colo_trace::{Fault, FaultAction, Kind, Plan, Point, Record, points_of};
use common::kvm_or_skip;
use common::pair::{self, be_a_node_if_asked};
use std::sync::{Mutex, MutexGuard, PoisonError};

const PRIMARY: NodeName = NodeName::Primary;
const SECONDARY: NodeName = NodeName::Secondary;

/// The rules whose disks differ: by all writes or by epoch, with a manager or an arbiter.
const RULES: [(&str, Rules); 4] =
    [("v12", Rules::V12), ("remus", Rules::REMUS), ("fast", Rules::FAST), ("strict", Rules::STRICT)];

/// Tests of this file run one after the other: each has two machines, three threads each, and waits for storage.
fn one_at_a_time() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Not a test: a node's process, when a pair has started this program as one.
#[test]
fn node_process() {
    be_a_node_if_asked();
}

/// A pair whose journal goes round several times in a run.
fn options((name, rules): (&str, Rules)) -> RunOptions {
    let mut options = RunOptions {
        checkpoints: 5,
        workload: Workload { guest: Guest::Journal, disk_blocks: 12, ..Workload::default() },
        clients: 8,
        ..pair::options(name, rules)
    };
    options.rules.rules.checkpoint_delay_ms = 15;
    options
}

/// Runs a pair.
fn run(options: &RunOptions) -> RunOutcome {
    pair::run(options).unwrap()
}

fn run_into(options: &RunOptions, faults: &[(Point, FaultAction)]) -> RunOutcome {
    let faults = faults.iter().map(|(at, action)| Fault { at: *at, action: *action }).collect();
    run(&RunOptions { plan: Plan::new(faults), ..options.clone() })
}

fn at(text: &str) -> Point {
    text.parse().unwrap()
}

/// So many points of checkpoint 2, of both nodes, read off a run in which nothing fails, evenly far from each other; or all of
/// them, if `COLO_DISK_POINTS` is `all`.
fn points(options: &RunOptions, count: usize) -> Vec<Point> {
    let outcome = run(options);
    assert_eq!((&outcome.violation, outcome.failovers), (&None, 0));
    let records = outcome.trace.unwrap().records;
    let all: Vec<_> =
        NodeName::ALL.into_iter().flat_map(|node| points_of(&records, node, CheckpointNumber(2))).collect();
    assert!(all.len() > count, "{all:?}");
    if std::env::var("COLO_DISK_POINTS").as_deref() == Ok("all") {
        return all;
    }
    (0..count).map(|number| all[number * all.len() / count]).collect()
}

/// What a node's disk failed at, by the records.
fn disk_failures(outcome: &RunOutcome, node: NodeName) -> usize {
    let records = outcome.trace.as_ref().unwrap().records.iter();
    records.filter(|it| it.node == Some(node) && it.kind == Kind::Input && it.name == "disk-failed").count()
}

#[test]
fn every_disk_is_that_of_its_memory_wherever_a_node_dies() {
    let _one = one_at_a_time();
    if !kvm_or_skip("every_disk_is_that_of_its_memory_wherever_a_node_dies") {
        return;
    }
    for rules in RULES {
        let options = options(rules);
        let (mut disk, mut passed_over) = (DiskFigures::default(), 0);
        let points = points(&options, 14);
        let runs = points.len();
        for (turn, point) in points.into_iter().enumerate() {
            let node = NodeName::ALL[turn % 2];
            let outcome = run_into(&options, &[(point, FaultAction::Crash { node })]);
            if says_nothing(&outcome) {
                passed_over += 1;
                continue;
            }
            let what = format!("{}: the {node} died at {point}", rules.0);
            assert_eq!((&outcome.violation, outcome.failovers), (&None, 1), "{what}");
            disk = disk.and(outcome.disk);
        }
        assert!(passed_over <= runs / 7, "{}: {passed_over} of {runs} runs said nothing", rules.0);
        // It was written to in each run, and read back. How much depends on how fast the machine is.
        assert!(disk.writes >= 8 * runs as u64 && disk.reads >= runs as u64, "{}: {disk:?}", rules.0);
        assert!(disk.replicated_bytes > 4096 * disk.writes / 2 && disk.errors == 0, "{}: {disk:?}", rules.0);
    }
}

/// Whether a run says nothing of its faults: on a busy machine a checkpoint may begin by another input than it did in the run
/// that the points were read off. Or the manager has looked before the secondary said that it is of no use, and has fenced
/// the primary.
fn says_nothing(outcome: &RunOutcome) -> bool {
    let is_fenced = |it: &Record| it.node == Some(PRIMARY) && it.name.contains("fenced by the manager");
    let fenced = outcome.trace.as_ref().unwrap().records.iter().any(is_fenced);
    !outcome.unreached.is_empty() || (fenced && outcome.violation == Some(RunViolation::Unserved))
}

/// A secondary whose disk fails is of no use, wherever it fails; a primary's guest asks again.
#[test]
fn an_io_error_costs_the_protection_and_nothing_else() {
    let _one = one_at_a_time();
    if !kvm_or_skip("an_io_error_costs_the_protection_and_nothing_else") {
        return;
    }
    let [mut passed_over, mut runs] = [0; 2];
    for rules in RULES {
        let options = options(rules);
        for (turn, point) in points(&options, 8).into_iter().enumerate() {
            runs += 1;
            let node = NodeName::ALL[turn % 2];
            let outcome = run_into(&options, &[(point, FaultAction::FailDisk { node })]);
            if says_nothing(&outcome) {
                passed_over += 1;
                continue;
            }
            let what = format!("{}: the {node}'s disk failed at {point}", rules.0);
            assert_eq!(outcome.violation, None, "{what}");
            let expected = usize::from(node == SECONDARY);
            assert_eq!(disk_failures(&outcome, node), expected, "{what}");
            assert_eq!(
                (outcome.failovers, outcome.disk.errors),
                (expected as u64, 1 - expected as u64),
                "{what}"
            );
        }
    }
    eprintln!("{runs} disks failed, {passed_over} runs said nothing");
    assert!(passed_over <= runs / 10, "{passed_over} of {runs} runs said nothing");
}

/// The primary dies as well, at the same point or a checkpoint later. Then nobody may be left who could serve, and what is on
/// the disks is still of one moment each.
#[test]
fn disks_are_whole_when_one_has_failed_and_the_other_node_dies() {
    let _one = one_at_a_time();
    if !kvm_or_skip("disks_are_whole_when_one_has_failed_and_the_other_node_dies") {
        return;
    }
    let [mut served, mut lost] = [0; 2];
    for rules in RULES {
        let options = options(rules);
        for (turn, point) in points(&options, 8).into_iter().enumerate() {
            let dies_at = [point, at("primary checkpoint 3 after effect vmstate-send")][turn % 2];
            let faults = [
                (point, FaultAction::FailDisk { node: NodeName::ALL[turn / 2 % 2] }),
                (dies_at, FaultAction::Crash { node: PRIMARY }),
            ];
            let outcome = run_into(&options, &faults);
            match outcome.violation {
                None => served += 1,
                Some(RunViolation::Unserved) if disk_failures(&outcome, SECONDARY) > 0 => lost += 1,
                other => panic!("{}: {faults:?}: {other:?}", rules.0),
            }
        }
    }
    eprintln!("{served} pairs served on, {lost} were lost");
    assert!(served > 0 && lost > 0, "{served} served, {lost} lost");
}

/// QEMU's bug of a survivor whose flush waits for the writes of a dead secondary (6690302b84): here the secondary lives, and
/// says nothing any more, while the primary's guest waits for it to have what it has written.
#[test]
fn a_survivor_waits_for_no_peer_that_is_silent() {
    let _one = one_at_a_time();
    if !kvm_or_skip("a_survivor_waits_for_no_peer_that_is_silent") {
        return;
    }
    let options = options(("v12", Rules::V12));
    for (silent_at, action, told_at) in [
        // Its guest waits while it executes.
        (
            "primary checkpoint 2 after effect resume-vm",
            FaultAction::Blackhole,
            "primary checkpoint 3 after effect checkpoint-request",
        ),
        // The suspension waits for its guest.
        (
            "primary checkpoint 3 after input checkpoint-reply",
            FaultAction::Partition { node: SECONDARY },
            "primary checkpoint 3 during effect suspend-vm",
        ),
    ] {
        let told = FaultAction::LostHeartbeat { node: PRIMARY };
        let outcome = run_into(&options, &[(at(silent_at), action), (at(told_at), told)]);
        assert_eq!((&outcome.violation, outcome.failovers), (&None, 1), "{silent_at}");
        assert_eq!(outcome.unreached, [], "{silent_at}");
    }
}

/// A secondary that stands still holds the primary's guest up, and no more than that.
#[test]
fn a_write_is_done_when_the_secondary_has_it() {
    let _one = one_at_a_time();
    if !kvm_or_skip("a_write_is_done_when_the_secondary_has_it") {
        return;
    }
    let options = options(("fast", Rules::FAST));
    for action in [FaultAction::Pause { node: SECONDARY, for_ms: 300 }, FaultAction::Stall { for_ms: 300 }] {
        let outcome = run_into(&options, &[(at("primary checkpoint 2 after effect resume-vm"), action)]);
        assert_eq!((&outcome.violation, outcome.failovers), (&None, 0), "{action}");
    }
}

/// Where the primary's writes come while the secondary loads, the disk of the survivor has a future that its memory has not:
/// how often, is up to who is quicker.
#[test]
fn writes_without_their_epoch_are_seen_on_the_disk_of_a_survivor() {
    let _one = one_at_a_time();
    if !kvm_or_skip("writes_without_their_epoch_are_seen_on_the_disk_of_a_survivor") {
        return;
    }
    let bug = ("untagged", rules_named("bug:untagged-writes").unwrap());
    let torn = |rules| {
        let options = options(rules);
        let crash = FaultAction::Crash { node: PRIMARY };
        let outcomes = points(&options, 10).into_iter().map(|point| run_into(&options, &[(point, crash)]));
        outcomes.filter_map(|outcome| outcome.violation).collect::<Vec<_>>()
    };
    let found = torn(bug);
    assert!(!found.is_empty() && found.iter().all(RunViolation::is_of_the_disk), "{found:?}");
    assert_eq!(torn(("remus", Rules::REMUS)), []);
}

/// Where both VMs execute, what the secondary's has written itself is part of the disk that it goes on with, and none of it is
/// left behind a load. Of what its guest loses nothing is on its disk, and the next difference puts that right.
#[test]
fn a_secondary_that_executes_goes_on_with_what_it_has_written() {
    let _one = one_at_a_time();
    if !kvm_or_skip("a_secondary_that_executes_goes_on_with_what_it_has_written") {
        return;
    }
    let mut options = options(("hybrid", Rules { execution: Execution::Hybrid, ..Rules::V12 }));
    let points = points(&options, 14);
    let runs = points.len();
    let (mut disk, mut compared, mut lost, mut passed_over) = (DiskFigures::default(), 0, 0, 0);
    for (turn, point) in points.into_iter().enumerate() {
        options.workload.divergence = (turn % 2 == 1).then_some(Divergence { of: 50, lost: 1, seed: 7 });
        let node = NodeName::ALL[turn / 2 % 2];
        let action = [FaultAction::Crash { node }, FaultAction::FailDisk { node }][turn / 4 % 2];
        let outcome = run_into(&options, &[(point, action)]);
        if says_nothing(&outcome) {
            passed_over += 1;
            continue;
        }
        assert_eq!(outcome.violation, None, "{action} at {point}");
        if matches!(action, FaultAction::Crash { .. }) {
            assert_eq!(outcome.failovers, 1, "{action} at {point}");
        }
        disk = disk.and(outcome.disk);
        compared += outcome.comparison.figures.compared;
        lost += outcome.comparison.lost;
    }
    assert!(passed_over <= runs / 4, "{passed_over} of {runs} runs said nothing");
    assert!(
        disk.writes > 12 * runs as u64 && compared > runs as u64 && lost > 0,
        "{disk:?}, {compared}, {lost}"
    );
}

/// A survivor's disk goes to its replacement while its guest writes on, and no moment is like another: whoever dies next, the
/// survivor has the disk of its memory, and what the dead one has left is of one moment.
#[test]
fn a_replacement_is_given_the_disk_and_takes_over_with_it() {
    if !kvm_or_skip("a_replacement_is_given_the_disk_and_takes_over_with_it") {
        return;
    }
    let _one = one_at_a_time();
    for rules in [("v12", Rules::V12), ("remus", Rules::REMUS), ("strict", Rules::STRICT)] {
        let name = rules.0;
        let mut usual = options(rules);
        // So many that they are not all copied while the guest stands still.
        usual.workload.disk_blocks = 64;
        for first in NodeName::ALL {
            let crash = |node: NodeName, at: &str| {
                let at = format!("{node} {at}").parse().unwrap();
                Plan::new(vec![Fault { at, action: FaultAction::Crash { node } }])
            };
            let points = |node: NodeName| match node {
                NodeName::Primary => "checkpoint 2 after effect vmstate-size",
                NodeName::Secondary => "checkpoint 2 after effect vmstate-received",
            };
            let order = [first, first.peer(), NodeName::Primary, NodeName::Secondary];
            let mut plans = order.map(|node| crash(node, points(node))).into_iter();
            let options = RunOptions {
                plan: plans.next().unwrap(),
                replacements: plans.chain([Plan::default()]).collect(),
                ..usual.clone()
            };
            let outcome = run(&options);
            let told = format!("{name}, the {first} first");
            assert_eq!((&outcome.violation, &outcome.unreached[..]), (&None, &[][..]), "{told}");
            assert_eq!((outcome.failovers, outcome.protected_again), (4, 4), "{told}");
            assert!(outcome.disk.reads > 0 && outcome.disk.writes > 0, "{told}");
        }
    }
}
