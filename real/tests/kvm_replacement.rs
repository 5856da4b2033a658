//! Protection again on real machines: whoever survives is given a replacement while it serves, and the two are a pair like
//! the first, again and again.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![expect(clippy::unwrap_used, reason = "a test may")]

use colo_protocol::{NodeName, Rules};
use colo_real::{LinkKind, NodeCommand, RunOptions, RunOutcome, Workload, kvm_usable, run_node, run_pair};
use colo_trace::{Fault, FaultAction, Log, NamedRules, Plan, Trace, Verdict, conform, diagram};
use std::path::Path;

/// Not a test: a node's process, when the harness has started this program as one.
#[test]
fn node_process() {
    let Ok(arguments) = std::env::var("COLO_TEST_NODE") else { return };
    let mut words = arguments.split(' ').skip_while(|word| *word != "--control").skip(1);
    let control = words.next().unwrap().to_owned();
    let name = words.nth(1).unwrap();
    let name = NodeName::ALL.into_iter().find(|node| node.name() == name).unwrap();
    run_node(Path::new(&control), name).unwrap();
}

fn node() -> NodeCommand {
    let program = std::env::current_exe().unwrap();
    let script = "COLO_TEST_NODE=\"$*\" exec \"$0\" --exact node_process --nocapture";
    NodeCommand { program: "sh".into(), arguments: vec!["-c".into(), script.into(), program.into()] }
}

fn no_kvm() -> bool {
    let Err(error) = kvm_usable() else { return false };
    assert!(std::env::var("COLO_REQUIRE_KVM").as_deref() != Ok("1"), "{error}");
    eprintln!("SKIPPED, no real virtual machines: {error}");
    true
}

fn options(rules: Rules) -> RunOptions {
    RunOptions {
        rules: NamedRules { name: "rules".to_owned(), rules: Rules { checkpoint_delay_ms: 5, ..rules } },
        checkpoints: 4,
        memory_mib: 16,
        workload: Workload { pages_per_tick: 8, ..Workload::default() },
        link: LinkKind::Unix,
        link_rate: None,
        plan: Plan::default(),
        replacements: Vec::new(),
        clients: 4,
        load: None,
        lasts: None,
        stop: None,
        record: true,
        node: node(),
    }
}

fn crash(at: &str, node: NodeName) -> Plan {
    Plan::new(vec![Fault { at: at.parse().unwrap(), action: FaultAction::Crash { node } }])
}

fn run(options: &RunOptions) -> RunOutcome {
    let directory = tempfile::tempdir().unwrap();
    let outcome = run_pair(options, directory.path(), &mut |_| {}).unwrap();
    outcome.trace.iter().for_each(assert_conforms);
    outcome
}

fn assert_conforms(trace: &Trace) {
    let finding = conform(&Log::of_trace(trace).unwrap(), &trace.header.rules).unwrap();
    assert_eq!(finding.verdict, Verdict::Conforms, "{:?}\n{}", finding.line(), diagram(trace));
}

#[test]
fn a_survivor_is_protected_again_whichever_it_is() {
    if no_kvm() {
        return;
    }
    for rules in [Rules::V12, Rules::STRICT, Rules::REMUS] {
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
    if no_kvm() {
        return;
    }
    let early = [
        "secondary checkpoint 0 before input ram-received",
        "secondary checkpoint 0 before input device-state-received",
        "primary checkpoint 0 after effect suspend-vm",
        "primary checkpoint 0 during effect send-ram",
        "primary checkpoint 0 before effect send-device-state",
    ];
    for at in early {
        let plans = vec![crash(at, NodeName::Secondary), Plan::default()];
        let first = crash("primary checkpoint 2 during effect send-ram", NodeName::Primary);
        let outcome = run(&RunOptions { plan: first, replacements: plans, ..options(Rules::V12) });
        assert_eq!((&outcome.violation, &outcome.unreached[..]), (&None, &[][..]), "{at}");
        assert_eq!(outcome.protected_again, 1, "{at}: only the second holds anything");
        assert!(outcome.checkpoints.len() >= 4, "{at}");
    }
}

/// Until its replacement holds its state there is nobody else: then it is as if there had been one machine.
#[test]
fn a_survivor_that_dies_before_it_is_protected_leaves_nobody() {
    if no_kvm() {
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
    if no_kvm() {
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
