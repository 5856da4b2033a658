//! Real pairs of which both machines execute: what is the same leaves at once, what differs is caught before it leaves, and
//! a survivor goes on with the machine that it has.

#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use colo_protocol::{Execution, NodeName, Rules, UncomparedOutput};
use colo_real::{ComparisonOutcome, Divergence, Guest, RunOptions, Workload, measure_pair};
use colo_trace::{FaultAction, Kind};
use common::kvm_or_skip;
use common::pair::{assert_one_failover, be_a_node_if_asked, events, options, points, run, run_into};
use std::time::Duration;

/// A delay between checkpoints that no run lives to see the end of: each checkpoint is one that was asked for.
const NEVER_MS: u32 = 60_000;

/// Not a test: a node's process, when a pair has started this program as one.
#[test]
fn node_process() {
    be_a_node_if_asked();
}

fn hybrid(guest: Guest) -> RunOptions {
    let rules = Rules { execution: Execution::Hybrid, ..Rules::V12 };
    RunOptions { workload: Workload { guest, ..Workload::default() }, ..options("hybrid", rules) }
}

/// The same, for so long, and without a checkpoint that is not asked for by the comparison.
fn without_a_clock(guest: Guest, millis: u64) -> RunOptions {
    let mut options = RunOptions { lasts: Some(Duration::from_millis(millis)), ..hybrid(guest) };
    options.rules.rules.checkpoint_delay_ms = NEVER_MS;
    options
}

#[test]
fn machines_that_do_the_same_force_no_checkpoint_and_wait_for_none() {
    if !kvm_or_skip("machines_that_do_the_same_force_no_checkpoint_and_wait_for_none") {
        return;
    }
    let (mut requests, mut turns) = (0, 0);
    let mut options = RunOptions { record: false, ..without_a_clock(Guest::Kv, 2_000) };
    options.rules.rules.checkpoint_delay_ms = 700;
    while requests < 10_000 {
        let directory = tempfile::tempdir().unwrap();
        let (outcome, measured) = measure_pair(&options, directory.path(), &mut |_| {}).unwrap();
        let comparison = outcome.comparison.figures;
        assert_eq!((&outcome.violation, outcome.failovers), (&None, 0));
        assert!(!outcome.checkpoints.is_empty(), "it is compared across checkpoints, too");
        assert_eq!((comparison.forced(), comparison.compared), (0, comparison.released));
        // What is withheld while the machines stand still leaves with the checkpoint: an answer for each client, and one more
        // for each time that it asks again meanwhile, every 20 ms.
        let with_each = outcome.checkpoints.iter().map(|figures| figures.transaction_us / 20_000 + 2);
        let with_checkpoints = with_each.sum::<u64>() * u64::from(options.clients);
        assert!(comparison.released + with_checkpoints >= outcome.replies, "{outcome:?}");
        let median = measured.latency.quantile(0.5).unwrap();
        assert!(median < 100_000, "a reply took {median} us, and a checkpoint comes every 700,000");
        requests += outcome.replies;
        turns += 1;
        assert!(turns < 20, "{requests} requests in {turns} turns");
    }
}

#[test]
fn every_divergence_is_caught_before_anything_of_it_leaves() {
    if !kvm_or_skip("every_divergence_is_caught_before_anything_of_it_leaves") {
        return;
    }
    let mut caught = 0;
    for seed in 1..=5 {
        let mut options = without_a_clock(Guest::Kv, 1_500);
        options.workload.divergence = Some(Divergence { lost: 1, of: 100, seed });
        let outcome = run(&options).unwrap();
        assert_eq!((&outcome.violation, outcome.failovers), (&None, 0), "seed {seed}");
        let ComparisonOutcome { figures, lost, diverged } = outcome.comparison;
        assert!(lost >= diverged, "seed {seed}: {lost}, {diverged}");
        // Each time that the secondary leaves the primary's execution, one checkpoint brings it back; the run may end before.
        let brought_back = outcome.checkpoints.len() as u64;
        assert!([brought_back, brought_back + 1].contains(&figures.forced()), "seed {seed}: {outcome:?}");
        assert!([figures.forced(), figures.forced() + 1].contains(&diverged), "seed {seed}: {outcome:?}");
        caught += figures.differences;
    }
    assert!(caught >= 20, "{caught} divergences caught");
}

/// Its clock says something else on each machine, by nature: what the world is told comes from one history all the same,
/// in which time never goes back.
#[test]
fn a_guest_that_diverges_by_nature_is_right_whoever_serves() {
    if !kvm_or_skip("a_guest_that_diverges_by_nature_is_right_whoever_serves") {
        return;
    }
    let outcome = run(&without_a_clock(Guest::Clock, 1_500)).unwrap();
    assert_eq!((&outcome.violation, outcome.failovers), (&None, 0));
    assert!(outcome.comparison.figures.differences >= 10, "{:?}", outcome.comparison);
    for killed in NodeName::ALL {
        for at in [
            "primary checkpoint 2 before effect checkpoint-request",
            "primary checkpoint 2 during effect send-ram",
            "primary checkpoint 2 after effect forget-peer-output",
            "secondary checkpoint 2 during effect suspend-vm",
            "secondary checkpoint 2 during effect load-state",
            "secondary checkpoint 2 after effect resume-vm",
            "secondary checkpoint 2 after effect vmstate-loaded",
        ] {
            let outcome = run_into(&hybrid(Guest::Clock), at, FaultAction::Crash { node: killed });
            assert_one_failover(&outcome, killed.peer(), &format!("the {killed} died at {at}"));
        }
    }
}

#[test]
fn a_hybrid_pair_survives_the_death_of_either_node_at_every_protocol_point() {
    if !kvm_or_skip("a_hybrid_pair_survives_the_death_of_either_node_at_every_protocol_point") {
        return;
    }
    for killed in NodeName::ALL {
        let points = points(&hybrid(Guest::Kv), killed);
        assert!(points.len() > 10, "{points:?}");
        for at in points {
            let outcome = run_into(&hybrid(Guest::Kv), &at.to_string(), FaultAction::Crash { node: killed });
            assert_one_failover(&outcome, killed.peer(), &format!("the {killed} died at {at}"));
        }
    }
}

/// It has loaded nothing but the initial state. Had it gone back to that, its answers would contradict the primary's.
#[test]
fn a_survivor_goes_on_with_the_machine_that_executes() {
    if !kvm_or_skip("a_survivor_goes_on_with_the_machine_that_executes") {
        return;
    }
    let at = "primary checkpoint 0 after input outputs-match occurrence 100";
    let options = RunOptions { lasts: None, ..without_a_clock(Guest::Kv, 0) };
    let outcome = run_into(&options, at, FaultAction::Crash { node: NodeName::Primary });
    assert_one_failover(&outcome, NodeName::Secondary, at);
    assert!(outcome.checkpoints.is_empty() && outcome.replies > 100, "{} replies", outcome.replies);
}

#[test]
fn of_a_strict_hybrid_pair_that_is_cut_or_stands_still_one_serves() {
    if !kvm_or_skip("of_a_strict_hybrid_pair_that_is_cut_or_stands_still_one_serves") {
        return;
    }
    let strict = Rules { execution: Execution::Hybrid, ..Rules::STRICT };
    let options = RunOptions { checkpoints: 1_000, ..options("strict, hybrid", strict) };
    for action in [FaultAction::Cut, FaultAction::Blackhole, FaultAction::Stall { for_ms: 4_000 }] {
        for at in ["primary checkpoint 3 during effect send-ram", "primary checkpoint 3 after effect release"]
        {
            let what = format!("{action} at {at}");
            let outcome = run_into(&options, at, action);
            let took_over = |node: &NodeName| events(&outcome, *node, Kind::Effect).contains(&"take-over");
            let winner = NodeName::ALL.into_iter().find(took_over).expect(&what);
            assert_one_failover(&outcome, winner, &what);
        }
    }
}

#[test]
fn a_link_that_stands_still_for_a_while_holds_replies_up_and_nothing_else() {
    if !kvm_or_skip("a_link_that_stands_still_for_a_while_holds_replies_up_and_nothing_else") {
        return;
    }
    let at = "primary checkpoint 3 after effect forget-peer-output";
    let outcome = run_into(&hybrid(Guest::Kv), at, FaultAction::Stall { for_ms: 300 });
    assert_eq!((&outcome.violation, outcome.failovers, outcome.comparison.figures.forced()), (&None, 0, 0));
}

#[test]
fn a_divergence_by_plan_is_one_difference_and_one_checkpoint() {
    if !kvm_or_skip("a_divergence_by_plan_is_one_difference_and_one_checkpoint") {
        return;
    }
    let at = "primary checkpoint 0 after effect resume-vm";
    let outcome = run_into(&without_a_clock(Guest::Kv, 1_000), at, FaultAction::Diverge);
    assert_eq!((&outcome.violation, outcome.failovers), (&None, 0));
    let ComparisonOutcome { figures, lost, diverged } = outcome.comparison;
    assert_eq!((lost, diverged, figures.differences, outcome.checkpoints.len()), (1, 1, 1, 1));
}

#[test]
fn output_that_cannot_be_compared_waits_for_a_checkpoint_or_leaves_at_once_as_the_rules_have_it() {
    if !kvm_or_skip(
        "output_that_cannot_be_compared_waits_for_a_checkpoint_or_leaves_at_once_as_the_rules_have_it",
    ) {
        return;
    }
    let at = "primary checkpoint 0 after effect resume-vm";
    for (uncompared, effect) in [(UncomparedOutput::Withheld, false), (UncomparedOutput::SentAtOnce, true)] {
        // Long enough for output to be held for too long.
        let mut options = without_a_clock(Guest::Kv, 4_500);
        options.rules.rules.uncompared = uncompared;
        let outcome = run_into(&options, at, FaultAction::Uncompared);
        assert_eq!((&outcome.violation, outcome.failovers), (&None, 0), "{uncompared:?}");
        let figures = outcome.comparison.figures;
        assert_eq!((figures.differences, figures.held_too_long), (0, 1), "{uncompared:?}");
        assert_eq!(outcome.checkpoints.len(), 1, "{uncompared:?}");
        let released = events(&outcome, NodeName::Primary, Kind::Effect).contains(&"release-uncompared");
        assert_eq!(released, effect, "{uncompared:?}");
    }
}
