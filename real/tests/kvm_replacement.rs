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
