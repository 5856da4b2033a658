//! What the tests on real pairs share: a pair of the smallest machines, run to its end, and what is asked of every run.

use colo_protocol::{CheckpointNumber, NodeName, Rules};
use colo_real::{LinkKind, NodeCommand, RunError, RunOptions, RunOutcome, Workload, run_node, run_pair};
use colo_trace::{
    Fault, FaultAction, Kind, Log, NamedRules, Plan, Point, Record, Trace, Verdict, conform, diagram,
    points_of,
};
use std::path::Path;

/// What the test `node_process` is there for: a node's process, when a pair has started this program as one.
pub(crate) fn be_a_node_if_asked() {
    if let Ok(words) = std::env::var("COLO_TEST_NODE") {
        let words: Vec<_> = words.split(' ').collect();
        let [_, control, _, name] = words[..] else { panic!("{words:?}") };
        let name = NodeName::ALL.into_iter().find(|node| node.name() == name).unwrap();
        run_node(Path::new(control), name).unwrap();
    }
}

/// Starts this program as a node, after a line of shell that finds the node's name in `$4`.
pub(crate) fn node_after(shell: &str) -> NodeCommand {
    let program = std::env::current_exe().unwrap();
    let script = format!("{shell}\nCOLO_TEST_NODE=\"$*\" exec \"$0\" --exact node_process --nocapture");
    NodeCommand { program: "sh".into(), arguments: vec!["-c".into(), script.into(), program.into()] }
}

pub(crate) fn dirty(pages_per_tick: u64) -> Workload {
    Workload { pages_per_tick, ..Workload::default() }
}

pub(crate) fn options(name: &str, rules: Rules) -> RunOptions {
    RunOptions {
        rules: NamedRules { name: name.to_owned(), rules: Rules { checkpoint_delay_ms: 5, ..rules } },
        checkpoints: 6,
        memory_mib: 16,
        workload: dirty(64),
        link: LinkKind::Unix,
        plan: Plan::default(),
        replacements: Vec::new(),
        clients: 4,
        load: None,
        lasts: None,
        stop: None,
        arbiter: None,
        network: None,
        endures: false,
        events: None,
        warn: |_| {},
        link_rate: None,
        record: true,
        disk_directory: None,
        node: node_after(""),
    }
}

pub(crate) fn run(options: &RunOptions) -> Result<RunOutcome, RunError> {
    let directory = tempfile::tempdir().unwrap();
    let outcome = run_pair(options, directory.path(), &mut |_| {});
    if let Ok(outcome) = &outcome {
        let all_came = outcome.protected_again == options.replacements.len() as u64;
        assert!(!all_came || !directory.path().exists(), "the sockets are still there");
        outcome.trace.iter().for_each(assert_conforms);
    }
    outcome
}

/// Whatever happens to a real pair, what it does is a behaviour of the core: by all that is recorded, and by what could
/// be seen on the link.
pub(crate) fn assert_conforms(trace: &Trace) {
    for seen in [trace, &Log::messages_of(trace)] {
        let finding = conform(&Log::of_trace(seen).unwrap(), &trace.header.rules).unwrap();
        assert_eq!(finding.verdict, Verdict::Conforms, "{:?}\n{}", finding.line(), diagram(seen));
    }
}

/// Runs a pair into one fault.
pub(crate) fn run_into(options: &RunOptions, at: &str, action: FaultAction) -> RunOutcome {
    let fault = Fault { at: at.parse().unwrap(), action };
    let outcome = run(&RunOptions { plan: Plan::new(vec![fault]), ..options.clone() }).unwrap();
    assert_eq!(outcome.unreached, [], "{at}: the point was never reached");
    outcome
}

/// The names of the events of a kind at a node, in order.
pub(crate) fn events(outcome: &RunOutcome, node: NodeName, kind: Kind) -> Vec<&str> {
    let records = &outcome.trace.as_ref().unwrap().records;
    let here = |record: &&Record| record.node == Some(node) && record.kind == kind;
    records.iter().filter(here).map(|record| record.name.as_str()).collect()
}

pub(crate) fn assert_one_failover(outcome: &RunOutcome, to: NodeName, what: &str) {
    assert_eq!(outcome.violation, None, "{what}");
    assert_eq!(outcome.failovers, 1, "{what}");
    assert!(events(outcome, to, Kind::Effect).contains(&"take-over"), "{what}: not the {to}");
    assert!(!events(outcome, to.peer(), Kind::Effect).contains(&"take-over"), "{what}: the {}", to.peer());
}

/// The points of checkpoint 2, read off a run in which nothing fails.
pub(crate) fn points(options: &RunOptions, node: NodeName) -> Vec<Point> {
    let outcome = run(options).unwrap();
    assert_eq!((&outcome.violation, outcome.failovers), (&None, 0));
    points_of(&outcome.trace.unwrap().records, node, CheckpointNumber(2))
}
