//! Real pairs from outside: what a run comes to when nodes are killed, cut off, held up, or die by themselves.

#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use colo_protocol::{Detection, NodeName, Rules, rules_named};
use colo_real::{Guest, Pattern, RunError, RunOptions, RunOutcome, RunViolation, Workload};
use colo_trace::{Fault, FaultAction, Gate, Kind, Plan, Point, Record};
use common::kvm_or_skip;
use common::pair::{
    assert_one_failover, be_a_node_if_asked, dirty, events, node_after, options, points, run, run_into,
};
use std::sync::mpsc::channel;
use std::time::Duration;

/// Not a test: a node's process, when a pair has started this program as one.
#[test]
fn node_process() {
    be_a_node_if_asked();
}

#[test]
fn a_strict_pair_survives_the_death_of_either_node_at_every_protocol_point() {
    if !kvm_or_skip("a_strict_pair_survives_the_death_of_either_node_at_every_protocol_point") {
        return;
    }
    let options = options("strict", Rules::STRICT);
    for killed in NodeName::ALL {
        let points = points(&options, killed);
        assert!(points.len() > 10, "{points:?}");
        for at in points {
            let outcome = run_into(&options, &at.to_string(), FaultAction::Crash { node: killed });
            assert_one_failover(&outcome, killed.peer(), &format!("the {killed} died at {at}"));
        }
    }
}

/// Rounds of pre-copy go on while the guest answers its clients.
#[test]
fn a_pair_with_rounds_survives_the_death_of_either_node_in_and_behind_each() {
    if !kvm_or_skip("a_pair_with_rounds_survives_the_death_of_either_node_in_and_behind_each") {
        return;
    }
    let options = options("rounds", Rules { precopy_rounds: 2, ..Rules::REMUS });
    let of_rounds = |at: &Point| at.to_string().contains("round");
    let points: Vec<_> = points(&options, NodeName::Primary).into_iter().filter(of_rounds).collect();
    assert_eq!(points.len(), 8, "{points:?}");
    for at in points {
        for killed in NodeName::ALL {
            let outcome = run_into(&options, &at.to_string(), FaultAction::Crash { node: killed });
            assert_one_failover(&outcome, killed.peer(), &format!("the {killed} died at {at}"));
        }
    }
}

#[test]
fn of_a_strict_pair_that_is_cut_one_serves_and_the_other_halts() {
    if !kvm_or_skip("of_a_strict_pair_that_is_cut_one_serves_and_the_other_halts") {
        return;
    }
    let options = options("strict", Rules::STRICT);
    for at in [
        "primary checkpoint 3 before effect checkpoint-request",
        "primary checkpoint 3 during effect send-ram",
        "primary checkpoint 3 after effect vmstate-size",
        "secondary checkpoint 3 during effect lock-vm",
        "secondary checkpoint 3 during effect load-state",
        "primary checkpoint 3 after effect release",
    ] {
        assert_one_serves(&run_into(&options, at, FaultAction::Cut), at);
    }
}

fn assert_one_serves(outcome: &RunOutcome, what: &str) {
    let took_over = |node: &NodeName| events(outcome, *node, Kind::Effect).contains(&"take-over");
    let winner = NodeName::ALL.into_iter().find(took_over).unwrap();
    assert_one_failover(outcome, winner, what);
    let loser = events(outcome, winner.peer(), Kind::Effect);
    let halted = loser.iter().position(|effect| *effect == "halt");
    let after = halted.map(|place| &loser[place + 1..]);
    assert!(after.is_some_and(|after| !after.contains(&"release")), "{what}: {loser:?}");
}

#[test]
fn a_strict_pair_whose_link_stands_still_loses_patience_and_one_serves() {
    if !kvm_or_skip("a_strict_pair_whose_link_stands_still_loses_patience_and_one_serves") {
        return;
    }
    let options = RunOptions { checkpoints: 1000, ..options("strict", Rules::STRICT) };
    let at = "primary checkpoint 3 during effect send-ram";
    let outcome = run_into(&options, at, FaultAction::Stall { for_ms: 4000 });
    assert_one_serves(&outcome, at);
}

#[test]
fn of_a_strict_pair_one_serves_whatever_the_link_keeps_to_itself() {
    if !kvm_or_skip("of_a_strict_pair_one_serves_whatever_the_link_keeps_to_itself") {
        return;
    }
    let options = RunOptions { checkpoints: 1000, ..options("strict", Rules::STRICT) };
    let at = "primary checkpoint 3 during effect send-ram";
    let of_a_node: [fn(NodeName) -> FaultAction; 3] = [
        |node| FaultAction::HalfClose { node },
        |node| FaultAction::Partition { node },
        |node| FaultAction::PeerSilent { node },
    ];
    let of_nodes = of_a_node.into_iter().flat_map(|of| NodeName::ALL.map(of));
    for action in of_nodes.chain([FaultAction::Blackhole]) {
        assert_one_serves(&run_into(&options, at, action), &action.to_string());
    }
}

#[test]
fn a_node_that_is_paused_for_too_long_finds_its_peer_serving() {
    if !kvm_or_skip("a_node_that_is_paused_for_too_long_finds_its_peer_serving") {
        return;
    }
    let options = RunOptions { checkpoints: 1000, ..options("strict", Rules::STRICT) };
    for node in NodeName::ALL {
        let at = format!("{node} checkpoint 3 after input checkpoint-re{}", ["ply", "quest"][node as usize]);
        let outcome = run_into(&options, &at, FaultAction::Pause { node, for_ms: 2500 });
        assert_one_failover(&outcome, node.peer(), &at);
    }
}

#[test]
fn a_short_pause_holds_a_pair_up_and_nothing_else() {
    if !kvm_or_skip("a_short_pause_holds_a_pair_up_and_nothing_else") {
        return;
    }
    for node in NodeName::ALL {
        let pause = FaultAction::Pause { node, for_ms: 300 };
        let outcome =
            run_into(&options("v12", Rules::V12), "primary checkpoint 3 during effect send-ram", pause);
        assert_eq!((&outcome.violation, outcome.failovers), (&None, 0));
        let longest = outcome.checkpoints.iter().map(|figures| figures.transaction_us).max();
        assert!(longest.is_some_and(|longest| longest >= 250_000), "{node}: {longest:?}");
    }
}

#[test]
fn nobody_claims_that_a_manager_sees_a_link_that_is_silent() {
    if !kvm_or_skip("nobody_claims_that_a_manager_sees_a_link_that_is_silent") {
        return;
    }
    let at = "primary checkpoint 3 during effect send-ram";
    let outcome = run_into(&options("v12", Rules::V12), at, FaultAction::Blackhole);
    assert!(matches!(outcome.violation, Some(RunViolation::Silence { .. })), "{:?}", outcome.violation);
    assert!(!outcome.claimed);
}

#[test]
fn a_failover_over_a_silent_link_waits_for_ever_if_nobody_aborts_the_link() {
    if !kvm_or_skip("a_failover_over_a_silent_link_waits_for_ever_if_nobody_aborts_the_link") {
        return;
    }
    let at = |at: &str| at.parse().unwrap();
    let faults = vec![
        Fault { at: at("primary checkpoint 2 before effect send-ram"), action: FaultAction::Blackhole },
        Fault {
            at: at("primary checkpoint 2 during effect send-ram"),
            action: FaultAction::LostHeartbeat { node: NodeName::Primary },
        },
    ];
    for (name, served) in [("v12", true), ("bug:no-abort", false)] {
        // Half of the RAM fits into the socket, and not all of it: the guest has time to write to all of its pages.
        let mut options = RunOptions {
            plan: Plan::new(faults.clone()),
            workload: Workload { pages_per_tick: 64, ..Workload::default() },
            ..options(name, rules_named(name).unwrap())
        };
        options.rules.rules.checkpoint_delay_ms = 200;
        let outcome = run(&options).unwrap();
        assert_eq!((outcome.unreached, outcome.claimed), (Vec::new(), true), "{name}");
        assert_eq!(outcome.violation.is_none(), served, "{name}: {:?}", outcome.violation);
        assert_eq!(outcome.failovers, u64::from(served), "{name}");
    }
}

#[test]
fn a_gate_fixes_what_comes_first() {
    if !kvm_or_skip("a_gate_fixes_what_comes_first") {
        return;
    }
    let first = |options: &RunOptions, [one, other]: [(NodeName, &str); 2]| {
        let outcome = run(options).unwrap();
        assert_eq!((&outcome.violation, outcome.failovers, &outcome.closed), (&None, 0, &Vec::new()));
        let records = outcome.trace.unwrap().records;
        let place = |(node, name): (NodeName, &str)| {
            let here =
                |record: &Record| record.node == Some(node) && record.checkpoint == 2 && record.name == name;
            records.iter().position(here).unwrap()
        };
        place(one) < place(other)
    };
    let options = options("fast", Rules::FAST);
    let hears = (NodeName::Primary, "vmstate-loaded");
    for (hold, until, order) in [
        // The primary runs on before its peer begins to load, and the other way round.
        (
            "secondary checkpoint 2 before effect load-state",
            "primary checkpoint 2 after effect resume-vm",
            [(NodeName::Primary, "resume-vm"), (NodeName::Secondary, "load-state")],
        ),
        (
            "primary checkpoint 2 before effect resume-vm",
            "secondary checkpoint 2 during effect load-state",
            [(NodeName::Secondary, "load-state"), (NodeName::Primary, "resume-vm")],
        ),
        (
            "primary checkpoint 2 before effect release",
            "primary checkpoint 2 after input vmstate-loaded",
            [hears, (NodeName::Primary, "release")],
        ),
        (
            "primary checkpoint 2 before input vmstate-loaded",
            "primary checkpoint 2 after effect arm-checkpoint-timer",
            [(NodeName::Primary, "arm-checkpoint-timer"), hears],
        ),
    ] {
        let gate = Gate { hold: hold.parse().unwrap(), until: until.parse().unwrap() };
        let plan = Plan::default().with_gates(vec![gate]);
        assert!(first(&RunOptions { plan, ..options.clone() }, order), "{gate}");
    }
}

#[test]
fn the_manager_spares_the_node_that_serves_and_the_one_that_can() {
    if !kvm_or_skip("the_manager_spares_the_node_that_serves_and_the_one_that_can") {
        return;
    }
    let options = options("v12", Rules::V12);
    let (primary, secondary) = (NodeName::Primary, NodeName::Secondary);
    for (at, action, survivor) in [
        ("secondary checkpoint 3 during effect load-state", FaultAction::FailLoad, primary),
        ("secondary checkpoint 3 before effect load-state", FaultAction::FailLoad, primary),
        (
            "primary checkpoint 3 after effect vmstate-size",
            FaultAction::LostHeartbeat { node: primary },
            primary,
        ),
        (
            "primary checkpoint 3 during effect send-ram",
            FaultAction::LostHeartbeat { node: primary },
            primary,
        ),
        (
            "secondary checkpoint 3 during effect load-state",
            FaultAction::LostHeartbeat { node: secondary },
            secondary,
        ),
        ("primary checkpoint 3 after effect release", FaultAction::Cut, secondary),
        ("primary checkpoint 3 before effect save-state", FaultAction::FailSave, secondary),
        ("primary checkpoint 3 during effect send-ram", FaultAction::HalfClose { node: primary }, secondary),
        (
            "primary checkpoint 3 during effect send-ram",
            FaultAction::HalfClose { node: secondary },
            secondary,
        ),
    ] {
        let outcome = run_into(&options, at, action);
        assert_one_failover(&outcome, survivor, &format!("{action} at {at}"));
        assert!(outcome.claimed);
    }
}

#[test]
fn every_checkpoint_is_told_of_when_the_next_is_due_at_once() {
    if !kvm_or_skip("every_checkpoint_is_told_of_when_the_next_is_due_at_once") {
        return;
    }
    let mut options = RunOptions {
        memory_mib: 64,
        workload: dirty(6000),
        checkpoints: 8,
        record: false,
        ..options("remus", Rules::REMUS)
    };
    options.rules.rules.checkpoint_delay_ms = 1;
    let (tell, told) = channel();
    std::thread::spawn(move || tell.send(run(&options).unwrap()).unwrap());
    let outcome = told.recv_timeout(Duration::from_secs(30)).expect("a run that never ends");
    assert_eq!(outcome.violation, None);
    let numbers: Vec<_> = outcome.checkpoints.iter().map(|figures| figures.checkpoint).collect();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
    assert!(numbers.len() >= 8);
}

/// Of each whole checkpoint, which of the two the primary does first.
fn first_of(outcome: &RunOutcome, either: &str, or: &str) -> Vec<String> {
    let mut seen = std::collections::BTreeMap::new();
    let records = &outcome.trace.as_ref().unwrap().records;
    let here = |record: &&Record| record.node == Some(NodeName::Primary) && record.checkpoint > 0;
    for record in records.iter().filter(here) {
        if [either, or].contains(&record.name.as_str()) {
            seen.entry(record.checkpoint).or_insert_with(Vec::new).push(record.name.clone());
        }
    }
    seen.into_values().filter(|names| names.len() == 2).map(|mut names| names.swap_remove(0)).collect()
}

#[test]
fn a_fast_primary_runs_on_before_its_state_is_loaded() {
    if !kvm_or_skip("a_fast_primary_runs_on_before_its_state_is_loaded") {
        return;
    }
    for (name, rules, first) in [("v12", Rules::V12, "vmstate-loaded"), ("fast", Rules::FAST, "resume-vm")] {
        let outcome = run(&options(name, rules)).unwrap();
        assert_eq!((&outcome.violation, outcome.failovers), (&None, 0), "{name}");
        let firsts = first_of(&outcome, "resume-vm", "vmstate-loaded");
        assert!(firsts.len() >= 5 && firsts.iter().all(|it| it == first), "{name}: {firsts:?}");
    }
}

#[test]
fn a_fast_pair_survives_the_death_of_either_node_around_the_load() {
    if !kvm_or_skip("a_fast_pair_survives_the_death_of_either_node_around_the_load") {
        return;
    }
    let options = options("fast", Rules::FAST);
    for at in [
        "primary checkpoint 3 during effect send-ram",
        "secondary checkpoint 3 after effect vmstate-received",
        "primary checkpoint 3 after effect release",
        "primary checkpoint 3 after effect resume-vm",
        "secondary checkpoint 3 during effect load-state",
        "secondary checkpoint 3 before effect commit-disk-epoch",
        "secondary checkpoint 3 after effect commit-disk-epoch",
        "primary checkpoint 3 after input vmstate-loaded",
    ] {
        for killed in NodeName::ALL {
            let outcome = run_into(&options, at, FaultAction::Crash { node: killed });
            assert_one_failover(&outcome, killed.peer(), &format!("the {killed} died at {at}"));
            assert!(outcome.claimed);
        }
    }
}

#[test]
fn a_cut_in_the_middle_of_a_transfer_leaves_it_half_sent() {
    if !kvm_or_skip("a_cut_in_the_middle_of_a_transfer_leaves_it_half_sent") {
        return;
    }
    let options = options("v12", Rules::V12);
    for (transfer, end) in [("send-ram", "ram-sent"), ("send-device-state", "device-state-sent")] {
        let at = format!("primary checkpoint 2 during effect {transfer}");
        let outcome = run_into(&options, &at, FaultAction::Cut);
        let inputs = events(&outcome, NodeName::Primary, Kind::Input);
        // Of checkpoint 1 it ended.
        assert_eq!(inputs.iter().filter(|input| **input == end).count(), 1, "{at}: {inputs:?}");
        assert_one_failover(&outcome, NodeName::Secondary, &at);
    }
}

#[test]
fn a_node_that_dies_by_itself_is_no_success() {
    if !kvm_or_skip("a_node_that_dies_by_itself_is_no_success") {
        return;
    }
    for name in NodeName::ALL {
        let dies = format!("if [ \"$4\" = {name} ]; then (sleep 0.4; kill -9 $$) & fi");
        let options = RunOptions {
            node: node_after(&dies),
            checkpoints: 1_000_000,
            record: false,
            ..options("v12", Rules::V12)
        };
        let error = run(&options).unwrap_err();
        let RunError::Node(node, problem) = error else { panic!("{error}") };
        assert!(node == name && problem.contains("signal: 9"), "{node}: {problem}");
    }
}

#[test]
fn a_pair_of_which_nobody_is_left_has_not_answered() {
    if !kvm_or_skip("a_pair_of_which_nobody_is_left_has_not_answered") {
        return;
    }
    let at = "primary checkpoint 3 during effect send-ram".parse().unwrap();
    let crash = |node| Fault { at, action: FaultAction::Crash { node } };
    let plan = Plan::new(NodeName::ALL.map(crash).to_vec());
    let outcome = run(&RunOptions { plan, ..options("v12", Rules::V12) }).unwrap();
    assert_eq!((outcome.violation, outcome.claimed), (Some(RunViolation::Unserved), true));
}

#[test]
fn rules_that_take_a_cut_for_a_death_do_not_claim_what_comes_of_it() {
    if !kvm_or_skip("rules_that_take_a_cut_for_a_death_do_not_claim_what_comes_of_it") {
        return;
    }
    let rules = Rules { detection: Detection::LinkClosed, ..Rules::V12 };
    let options = options("link-closed", rules);
    let at = "primary checkpoint 3 during effect send-ram";
    let cut = run_into(&options, at, FaultAction::Cut);
    assert!(cut.failovers == 2 || cut.violation.is_some(), "{} failovers", cut.failovers);
    assert!(cut.violation.is_none() || !cut.claimed, "{:?}", cut.violation);
    let crash = run_into(&options, at, FaultAction::Crash { node: NodeName::Primary });
    assert_one_failover(&crash, NodeName::Secondary, at);
}

#[test]
fn over_a_slow_link_checkpoints_take_as_long_as_it_does_and_nothing_is_lost() {
    if !kvm_or_skip("over_a_slow_link_checkpoints_take_as_long_as_it_does_and_nothing_is_lost") {
        return;
    }
    for rules in ["v12", "remus"] {
        let workload = Workload { pages_per_tick: 256, ..Workload::default() };
        let slow = Some(8 << 20);
        let named = rules_named(rules).unwrap();
        let options = RunOptions { workload, link_rate: slow, checkpoints: 6, ..options(rules, named) };
        let outcome = run(&options).unwrap();
        assert_eq!((&outcome.violation, outcome.failovers), (&None, 0), "{rules}");
        // A megabyte at eight a second, but for what the link's queue takes at once.
        let whole = outcome.checkpoints.iter().filter(|figures| figures.dirty_pages >= 256);
        assert!(whole.clone().count() > 0, "{rules}: {:?}", outcome.checkpoints);
        assert!(
            whole.clone().all(|figures| figures.transaction_us > 100_000),
            "{rules}: {:?}",
            outcome.checkpoints
        );
    }
}

#[test]
fn a_guest_that_never_rests_runs_on_while_its_state_is_sent() {
    if !kvm_or_skip("a_guest_that_never_rests_runs_on_while_its_state_is_sent") {
        return;
    }
    // What has been captured of it is sent without its memory, which it does not give up.
    let workload = Workload { guest: Guest::Mixed, pages_per_second: 10_000, ..Workload::default() };
    let outcome = run(&RunOptions { workload, checkpoints: 20, ..options("remus", Rules::REMUS) }).unwrap();
    assert_eq!((&outcome.violation, outcome.failovers), (&None, 0));
    assert!(outcome.checkpoints.len() >= 20);
}

#[test]
fn a_guest_with_timers_of_its_own_goes_on_where_the_checkpoint_has_it() {
    if !kvm_or_skip("a_guest_with_timers_of_its_own_goes_on_where_the_checkpoint_has_it") {
        return;
    }
    for guest in [Guest::Dirtier, Guest::Mixed] {
        for pattern in [Pattern::Sequential, Pattern::Random, Pattern::Hot] {
            let workload = Workload { guest, pattern, pages_per_second: 4_000, ..Workload::default() };
            // Long enough for the slowest timer to look at the others, before and after.
            let lasts = Some(Duration::from_millis(1_500));
            let options = RunOptions { workload, lasts, ..options("v12", Rules::V12) };
            let at = "primary checkpoint 20 during effect send-ram";
            let outcome = run_into(&options, at, FaultAction::Crash { node: NodeName::Primary });
            assert_one_failover(&outcome, NodeName::Secondary, &format!("{guest:?}, {pattern:?}"));
        }
    }
}
