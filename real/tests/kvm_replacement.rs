//! Protection again on real machines: whoever survives is given a replacement while it serves, and the two are a pair like
//! the first, again and again.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![expect(clippy::unwrap_used, reason = "a test may")]

mod common;

use colo_protocol::{Dialect, Execution, NodeName, Rules};
use colo_real::{Guest, RunOptions, RunOutcome, Workload};
use colo_trace::{Fault, FaultAction, Plan};
use common::kvm_or_skip;
use common::pair::{be_a_node_if_asked, dirty, options as small};

/// Not a test: a node's process, when a pair has started this program as one.
#[test]
fn node_process() {
    be_a_node_if_asked();
}

fn options(rules: Rules) -> RunOptions {
    RunOptions { checkpoints: 4, workload: dirty(8), ..small("rules", rules) }
}

fn with_guest(guest: Guest, rules: Rules) -> RunOptions {
    let usual = options(rules);
    let disk_blocks = if guest == Guest::Journal { 64 } else { 0 };
    RunOptions { workload: Workload { guest, disk_blocks, ..usual.workload }, ..usual }
}

fn hybrid() -> Rules {
    Rules { dialect: Dialect::Current, execution: Execution::Hybrid, ..Rules::V12 }
}

fn crash(at: &str, node: NodeName) -> Plan {
    Plan::new(vec![Fault { at: at.parse().unwrap(), action: FaultAction::Crash { node } }])
}

fn run(options: &RunOptions) -> RunOutcome {
    common::pair::run(options).unwrap()
}

#[test]
fn a_survivor_is_protected_again_whichever_it_is() {
    if !kvm_or_skip("a_survivor_is_protected_again_whichever_it_is") {
        return;
    }
    for rules in [Rules::V12, Rules::STRICT, Rules::REMUS, hybrid()] {
        let plans = [
            crash("primary checkpoint 2 during effect send-ram", NodeName::Primary),
            crash("secondary checkpoint 2 after effect load-state", NodeName::Secondary),
            crash("primary checkpoint 3 during effect send-device-state", NodeName::Primary),
        ];
        let options = RunOptions {
            plan: plans[0].clone(),
            replacements: vec![plans[1].clone(), plans[2].clone(), Plan::default()],
            ..options(rules)
        };
        let outcome = run(&options);
        assert_eq!((&outcome.violation, &outcome.unreached[..]), (&None, &[][..]));
        assert_eq!((outcome.failovers, outcome.protected_again), (3, 3), "{:?}", outcome.entries);
    }
}

#[test]
fn a_replacement_that_dies_before_it_holds_anything_is_followed_by_another() {
    if !kvm_or_skip("a_replacement_that_dies_before_it_holds_anything_is_followed_by_another") {
        return;
    }
    let early = [
        "secondary checkpoint 0 before input ram-received",
        "secondary checkpoint 0 before input device-state-received",
        "primary checkpoint 0 after effect suspend-vm",
        "primary checkpoint 0 during effect send-ram",
        "primary checkpoint 0 before effect send-device-state",
    ];
    for (at, guest) in early.into_iter().flat_map(|at| [(at, Guest::Kv), (at, Guest::Journal)]) {
        let plans = vec![crash(at, NodeName::Secondary), Plan::default()];
        let first = crash("primary checkpoint 2 during effect send-ram", NodeName::Primary);
        let outcome = run(&RunOptions { plan: first, replacements: plans, ..with_guest(guest, Rules::V12) });
        assert_eq!((&outcome.violation, &outcome.unreached[..]), (&None, &[][..]), "{at}");
        assert_eq!(outcome.protected_again, 1, "{at}: only the second holds anything");
        assert!(outcome.checkpoints.len() >= 4, "{at}");
    }
}

/// Whoever has the only state goes on, and there is another replacement.
#[test]
fn a_link_to_a_replacement_that_is_lost_leaves_the_survivor() {
    if !kvm_or_skip("a_link_to_a_replacement_that_is_lost_leaves_the_survivor") {
        return;
    }
    let early = [
        "primary checkpoint 0 after effect suspend-vm",
        "primary checkpoint 0 during effect send-ram",
        "secondary checkpoint 0 before input ram-received",
        "secondary checkpoint 0 before input device-state-received",
    ];
    let pairs = [(Rules::V12, Guest::Kv), (Rules::STRICT, Guest::Kv), (Rules::V12, Guest::Journal)];
    for ((rules, guest), at) in pairs.into_iter().flat_map(|pair| early.map(|at| (pair, at))) {
        let cut = Plan::new(vec![Fault { at: at.parse().unwrap(), action: FaultAction::Cut }]);
        let first = crash("primary checkpoint 2 during effect send-ram", NodeName::Primary);
        let outcome = run(&RunOptions {
            plan: first,
            replacements: vec![cut, Plan::default()],
            ..with_guest(guest, rules)
        });
        assert_eq!((&outcome.violation, &outcome.unreached[..]), (&None, &[][..]), "{at}");
        // What has come whole by then is loaded all the same, and may be what goes on.
        assert!((1..=2).contains(&outcome.protected_again), "{at}: {}", outcome.protected_again);
        assert!(outcome.checkpoints.len() >= 4, "{at}: the second is protected");
    }
}

/// Until its replacement holds its state there is nobody else: then it is as if there had been one machine.
#[test]
fn a_survivor_that_dies_before_it_is_protected_leaves_nobody() {
    if !kvm_or_skip("a_survivor_that_dies_before_it_is_protected_leaves_nobody") {
        return;
    }
    let first = crash("secondary checkpoint 2 after effect load-state", NodeName::Secondary);
    let second = crash("primary checkpoint 0 during effect send-ram", NodeName::Primary);
    let outcome = run(&RunOptions { plan: first, replacements: vec![second], ..options(Rules::V12) });
    let violation = outcome.violation.map(|violation| violation.to_string());
    assert_eq!(violation.as_deref(), Some("unanswered: neither node can serve any more"));
    assert_eq!((outcome.failovers, outcome.protected_again), (1, 0));
}

/// The descriptors of this process, and the processes that it has started.
fn held() -> (usize, usize) {
    let descriptors = std::fs::read_dir("/proc/self/fd").unwrap().count();
    let parent = format!("PPid:\t{}\n", std::process::id());
    let is_child = |entry: &std::fs::DirEntry| {
        std::fs::read_to_string(entry.path().join("status")).is_ok_and(|status| status.contains(&parent))
    };
    (descriptors, std::fs::read_dir("/proc").unwrap().filter_map(Result::ok).filter(is_child).count())
}

/// In a process of its own, because other tests start nodes, too.
#[test]
fn twenty_cycles_leave_nothing_behind() {
    if !kvm_or_skip("twenty_cycles_leave_nothing_behind") {
        return;
    }
    if std::env::var_os("COLO_TEST_ALONE").is_none() {
        let alone = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "twenty_cycles_leave_nothing_behind", "--nocapture"])
            .env("COLO_TEST_ALONE", "1")
            .output()
            .unwrap();
        assert!(alone.status.success(), "{}", String::from_utf8_lossy(&alone.stderr));
        return;
    }
    let plan = |cycle: usize| {
        let node = NodeName::ALL[cycle % 2];
        crash("primary checkpoint 2 during effect send-ram", node)
    };
    let options = RunOptions {
        plan: plan(0),
        replacements: (1..20).map(plan).chain([Plan::default()]).collect(),
        ..options(Rules::STRICT)
    };
    let before = held();
    let outcome = run(&options);
    assert_eq!((&outcome.violation, outcome.failovers, outcome.protected_again), (&None, 20, 20));
    assert_eq!(held(), before);
}
