//! Guests that power off or are reset, at any time, while their machine is protected; and a node dies meanwhile.

#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use colo_protocol::{EffectKind, Execution, InputKind, NodeName, Rules};
use colo_real::{Guest, RunOptions, RunOutcome, Workload};
use colo_trace::{Event, Fault, FaultAction, Kind, NamedRules, Plan, Point};
use common::kvm_or_skip;
use common::pair::{assert_one_failover, be_a_node_if_asked, events, options, points, run, run_into};

#[test]
fn node_process() {
    be_a_node_if_asked();
}

const POWER_OFF: FaultAction = FaultAction::GuestShutdown { node: NodeName::Primary };
const RESET: FaultAction = FaultAction::GuestReset { node: NodeName::Primary };

fn fault(at: &str, action: FaultAction) -> Fault {
    Fault { at: at.parse().unwrap(), action }
}

/// A pair whose guest keeps a journal on its disk, and finds out if that is not what it remembers.
fn journal(name: &str, rules: Rules) -> RunOptions {
    let workload =
        Workload { guest: Guest::Journal, disk_blocks: 32, pages_per_tick: 64, ..Workload::default() };
    RunOptions { workload, ..options(name, rules) }
}

/// The points of checkpoint 2, however it has come to be due: by the timer, or because the guest wants to be off.
fn points_of_a_checkpoint(options: &RunOptions, node: NodeName) -> Vec<Point> {
    let of_the_timer =
        [Event::Input(InputKind::CheckpointDue), Event::Effect(EffectKind::ArmCheckpointTimer)];
    points(options, node).into_iter().filter(|point| !of_the_timer.contains(&point.event)).collect()
}

/// Of so many of those of both nodes, one; or all of them, if `COLO_POWER_POINTS` is `all`. And who dies there.
fn one_of(options: &RunOptions, many: usize) -> Vec<(NodeName, Point)> {
    let all = std::env::var("COLO_POWER_POINTS").as_deref() == Ok("all");
    let points = NodeName::ALL.into_iter().flat_map(|node| points_of_a_checkpoint(options, node));
    let points: Vec<_> = points.step_by(if all { 1 } else { many }).collect();
    if all {
        return points.into_iter().flat_map(|at| NodeName::ALL.map(|victim| (victim, at))).collect();
    }
    NodeName::ALL.into_iter().cycle().zip(points).collect()
}

/// Where these happened at a node, in this order.
fn in_order(outcome: &RunOutcome, node: NodeName, kind: Kind, names: &[&str]) -> bool {
    let mut all = events(outcome, node, kind).into_iter();
    names.iter().all(|name| all.any(|event| event == *name))
}

/// While the state is on its way the guest asks to be off: the checkpoint under way may lack what it sent last, so there is
/// one more, and when that is in the secondary both are off.
#[test]
fn a_guest_is_off_behind_the_checkpoint_that_has_all_it_sent_and_so_is_the_secondary() {
    if !kvm_or_skip("a_guest_is_off_behind_the_checkpoint_that_has_all_it_sent_and_so_is_the_secondary") {
        return;
    }
    for (name, rules) in [("v12", Rules::V12), ("strict", Rules::STRICT), ("remus", Rules::REMUS)] {
        for at in [
            "primary checkpoint 1 after effect arm-checkpoint-timer",
            "primary checkpoint 2 after effect checkpoint-request",
            "primary checkpoint 2 after effect release",
        ] {
            let outcome = run_into(&journal(name, rules), at, POWER_OFF);
            let told = format!("{name}, {at}");
            assert_eq!((&outcome.violation, outcome.failovers), (&None, 0), "{told}");
            assert_eq!(outcome.powered_off, [true; 2], "{told}");
            let behind = ["checkpoint-request", "release", "guest-shutdown", "shut-down"];
            assert!(in_order(&outcome, NodeName::Primary, Kind::Effect, &behind), "{told}");
            assert!(outcome.replies > 0, "{told}");
        }
    }
}

/// Whoever dies on the way: a primary that survives has heard its guest, and is off; a secondary that survives serves a guest
/// that has not asked, or is off as well.
#[test]
fn a_power_off_is_committed_or_it_has_not_been() {
    if !kvm_or_skip("a_power_off_is_committed_or_it_has_not_been") {
        return;
    }
    let options = journal("v12", Rules::V12);
    let asks = fault("primary checkpoint 1 after effect arm-checkpoint-timer", POWER_OFF);
    let (mut off, mut served) = (0, 0);
    for (victim, at) in one_of(&options, 4) {
        let plan = Plan::new(vec![asks, Fault { at, action: FaultAction::Crash { node: victim } }]);
        let outcome = run(&RunOptions { plan, ..options.clone() }).unwrap();
        let told = format!("{victim} at {at}");
        assert_eq!((&outcome.violation, &outcome.unreached[..]), (&None, &[][..]), "{told}");
        match victim {
            NodeName::Secondary => assert_eq!(outcome.powered_off, [true, false], "{told}"),
            NodeName::Primary => assert_one_failover(&outcome, NodeName::Secondary, &told),
        }
        off += u32::from(outcome.powered_off[0]);
        served += u32::from(outcome.failovers > 0 && outcome.powered_off == [false; 2]);
    }
    assert!(off > 3 && served > 3, "{off} off, {served} served");
}

/// A guest that nobody protects any more is off at once.
#[test]
fn a_survivors_guest_powers_off() {
    if !kvm_or_skip("a_survivors_guest_powers_off") {
        return;
    }
    let crash =
        fault("primary checkpoint 2 after effect release", FaultAction::Crash { node: NodeName::Primary });
    let action = FaultAction::GuestShutdown { node: NodeName::Secondary };
    let plan = Plan::new(vec![crash, fault("secondary checkpoint 2 after effect take-over", action)]);
    let outcome = run(&RunOptions { plan, ..options("v12", Rules::V12) }).unwrap();
    assert_eq!((&outcome.violation, &outcome.unreached[..]), (&None, &[][..]));
    assert_eq!((outcome.failovers, outcome.powered_off), (1, [false, true]));
}

/// A reset at any point of a checkpoint: the service goes on with what it knows and with its disk, and its output where it was.
#[test]
fn a_guest_is_reset_in_mid_checkpoint_and_its_clients_notice_nothing() {
    if !kvm_or_skip("a_guest_is_reset_in_mid_checkpoint_and_its_clients_notice_nothing") {
        return;
    }
    for (name, rules) in [("v12", Rules::V12), ("remus", Rules::REMUS)] {
        let options = journal(name, rules);
        let points = points_of_a_checkpoint(&options, NodeName::Primary);
        let faults = points.into_iter().step_by(3).map(|at| Fault { at, action: RESET });
        let outcome = run(&RunOptions { plan: Plan::new(faults.collect()), ..options }).unwrap();
        // A press takes its time: the point of one may be in another checkpoint then.
        assert_eq!((&outcome.violation, outcome.failovers), (&None, 0), "{name}");
        let resets = |kind, name| {
            events(&outcome, NodeName::Primary, kind).iter().filter(|event| **event == name).count()
        };
        let (asked, done) = (resets(Kind::Input, "guest-resets"), resets(Kind::Effect, "reset-vm"));
        // Of a guest that stands still, all presses are one wish.
        assert!(asked > 1 && done > 1 && done <= asked, "{name}: {asked} asked for, {done} done");
    }
}

/// Behind a reset a node dies, at any point of the checkpoint that has it.
#[test]
fn a_reset_is_in_a_checkpoint_or_it_has_not_been() {
    if !kvm_or_skip("a_reset_is_in_a_checkpoint_or_it_has_not_been") {
        return;
    }
    let options = journal("v12", Rules::V12);
    let reset = fault("primary checkpoint 1 after effect arm-checkpoint-timer", RESET);
    for (victim, at) in one_of(&options, 5) {
        let plan = Plan::new(vec![reset, Fault { at, action: FaultAction::Crash { node: victim } }]);
        let outcome = run(&RunOptions { plan, ..options.clone() }).unwrap();
        let told = format!("{victim} at {at}");
        assert_eq!(outcome.unreached, [], "{told}");
        assert_one_failover(&outcome, victim.peer(), &told);
        assert!(events(&outcome, NodeName::Primary, Kind::Effect).contains(&"reset-vm"), "{told}");
    }
}

/// The guest asks in the moment in which it is being suspended: what is captured is the guest that asked, and the reset comes
/// when it goes on, which under Remus' rules is before its memory has been sent.
#[test]
fn a_guest_that_is_being_suspended_is_reset_when_it_goes_on() {
    if !kvm_or_skip("a_guest_that_is_being_suspended_is_reset_when_it_goes_on") {
        return;
    }
    let reset = fault("primary checkpoint 2 before effect suspend-vm", RESET);
    let crash = fault(
        "primary checkpoint 2 after input vmstate-loaded",
        FaultAction::Crash { node: NodeName::Primary },
    );
    let mut in_time = 0;
    for (name, rules) in [("v12", Rules::V12), ("remus", Rules::REMUS)] {
        for plan in [vec![reset], vec![reset, crash]] {
            let failovers = plan.len() as u64 - 1;
            let outcome = run(&RunOptions { plan: Plan::new(plan), ..journal(name, rules) }).unwrap();
            assert_eq!((&outcome.violation, outcome.failovers), (&None, failovers), "{name}");
            let order = ["suspend-vm", "save-state", "reset-vm", "resume-vm"];
            in_time += u32::from(in_order(&outcome, NodeName::Primary, Kind::Effect, &order));
        }
    }
    // Of `v12` one run, where the guest goes on when all is loaded; a busy machine may be too late for another.
    assert!(in_time >= 1, "none of them was reset when it went on");
}

/// Where both guests execute the primary's reset is not the secondary's, until the checkpoint that is taken for it.
#[test]
fn where_both_execute_the_secondary_follows_a_reset_with_a_checkpoint() {
    if !kvm_or_skip("where_both_execute_the_secondary_follows_a_reset_with_a_checkpoint") {
        return;
    }
    let usual = options("hybrid", Rules { execution: Execution::Hybrid, ..Rules::V12 });
    let rules = Rules { checkpoint_delay_ms: 60_000, ..usual.rules.rules };
    let options = RunOptions { checkpoints: 2, rules: NamedRules { rules, ..usual.rules.clone() }, ..usual };
    let plan = Plan::new(vec![
        fault("primary checkpoint 0 after input guest-output", RESET),
        fault("primary checkpoint 1 after input guest-output", RESET),
    ]);
    let outcome = run(&RunOptions { plan, ..options }).unwrap();
    assert_eq!((&outcome.violation, &outcome.unreached[..], outcome.failovers), (&None, &[][..], 0));
    assert!(outcome.checkpoints.len() >= 2, "without a reset there is none for a minute");
}
