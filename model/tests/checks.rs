//! What the checker says of every preset and every known bug, and that it says so for good reasons.
#![expect(clippy::unwrap_used, reason = "a test may")]

use colo_model::{Bounds, Budgets, Check, Limits, Pair, Verdict, check, story};
use colo_protocol::{BUGS, Detection, Fencing, PRESETS, Property, Rules, rules_named};
use colo_trace::diagram;
use stateright::{Checker, Model};
use std::collections::BTreeSet;

fn check_with(rules: &Rules, bounds: &Bounds, threads: usize) -> Check {
    check(rules, bounds, &Limits { threads, ..Limits::default() })
}

fn check_named(name: &str) -> Check {
    check_with(&rules_named(name).unwrap(), &Bounds::default(), 1)
}

/// The properties that are broken, with the lengths of the shortest ways to break them.
fn broken(check: &Check) -> Vec<(Property, usize)> {
    let length = |path: &Vec<_>| path.len();
    let found = |report: &colo_model::PropertyReport| {
        Some((report.property, report.counterexample.as_ref().map(length)?))
    };
    check.properties.iter().filter_map(found).collect()
}

#[test]
fn every_preset_holds_in_all_that_can_happen() {
    for preset in PRESETS {
        let check = check_named(preset.name);
        assert_eq!((check.verdict(), broken(&check)), (Verdict::Holds, vec![]), "{}", preset.name);
        assert!(check.complete);
        assert_eq!(check.never_fired, [], "{}", preset.name);
    }
}

#[test]
fn every_known_bug_is_found_and_breaks_what_it_is_said_to_break() {
    for bug in BUGS {
        let check = check_named(bug.name);
        assert_eq!(check.verdict(), Verdict::Violated, "{}", bug.name);
        let found: BTreeSet<_> = broken(&check).into_iter().map(|(property, _)| property).collect();
        assert_eq!(found, bug.breaks.iter().copied().collect(), "{}", bug.name);
    }
}

#[test]
fn counterexamples_are_shortest() {
    use Property::{CheckpointAtomicity, OutputCommit, Promise, SingleServer};
    for (name, lengths) in [
        ("bug:release-at-suspend", vec![(OutputCommit, 19), (SingleServer, 24)]),
        ("bug:failover-while-loading", vec![(OutputCommit, 34), (CheckpointAtomicity, 35), (Promise, 30)]),
    ] {
        assert_eq!(broken(&check_named(name)), lengths, "{name}");
    }
}

#[test]
fn a_counterexample_reads_as_a_story() {
    for bug in BUGS {
        let check = check_named(bug.name);
        let report = check.properties.iter().find(|report| report.property == bug.breaks[0]).unwrap();
        let pair = Pair { rules: bug.rules, bounds: check.bounds };
        let trace = story(&pair, bug.name, report.counterexample.as_ref().unwrap());
        let diagram = diagram(&trace);
        assert!(diagram.lines().all(|line| line.chars().count() <= 100), "{diagram}");
        insta::assert_snapshot!(bug.name.replace(':', "-"), diagram);
    }
}

#[test]
fn unfenced_rules_break_single_server_under_a_wrong_suspicion_and_nothing_else() {
    for preset in PRESETS.iter().filter(|preset| preset.rules.fencing == Fencing::None) {
        let mut bounds = Bounds::default();
        bounds.budgets.wrong_suspicions = 1;
        let check = check_with(&preset.rules, &bounds, 1);
        let properties: Vec<_> = broken(&check).into_iter().map(|(property, _)| property).collect();
        assert_eq!(properties, [Property::SingleServer], "{}", preset.name);
        assert_eq!(check.verdict(), Verdict::Holds, "not claimed, so not held against it");
    }
}

#[test]
fn with_an_arbiter_no_suspicion_makes_two_servers() {
    let mut bounds = Bounds::default();
    bounds.budgets.wrong_suspicions = 1;
    for rules in [Rules::STRICT, Rules { fencing: Fencing::Arbiter, ..Rules::V12 }] {
        let check = check_with(&rules, &bounds, 2);
        assert_eq!((check.verdict(), broken(&check)), (Verdict::Holds, vec![]));
        assert!(check.properties.iter().all(|report| report.claimed));
    }
}

#[test]
fn silence_taken_for_a_death_makes_two_servers_without_an_arbiter() {
    let rules = Rules { fencing: Fencing::None, ..Rules::STRICT };
    let broken = broken(&check_with(&rules, &Bounds::default(), 2));
    let properties: Vec<_> = broken.into_iter().map(|(property, _)| property).collect();
    assert_eq!(properties, [Property::SingleServer]);
}

#[test]
fn a_closed_link_taken_for_a_death_makes_two_servers_when_it_was_only_cut() {
    let rules = Rules { detection: Detection::LinkClosed, ..Rules::V12 };
    let with_cuts = broken(&check_with(&rules, &Bounds::default(), 1));
    assert_eq!(
        with_cuts.into_iter().map(|(property, _)| property).collect::<Vec<_>>(),
        [Property::SingleServer]
    );
    let mut bounds = Bounds::default();
    bounds.budgets.cuts = 0;
    assert_eq!(broken(&check_with(&rules, &bounds, 1)), []);
}

#[test]
fn a_search_cut_short_claims_nothing() {
    let limits = Limits { max_depth: Some(10), ..Limits::default() };
    let check = check(&Rules::V12, &Bounds::default(), &limits);
    assert_eq!((check.verdict(), check.complete), (Verdict::Incomplete, false));
    assert!(!check.never_fired.is_empty());
}

#[test]
fn the_number_of_threads_changes_nothing() {
    for bug in BUGS {
        let [one, three] = [1, 3].map(|threads| check_with(&bug.rules, &Bounds::default(), threads));
        assert_eq!(one.properties, three.properties);
        let figures = |check: &Check| (check.generated, check.distinct, check.transitions, check.depth);
        assert_eq!(figures(&one), figures(&three));
    }
}

#[test]
fn stateright_agrees_on_states_and_verdicts() {
    let small = Bounds {
        checkpoints: 2,
        budgets: Budgets { outputs: 1, load_errors: 0, ..Bounds::default().budgets },
    };
    let presets = PRESETS.iter().map(|preset| (preset.name, preset.rules));
    for (name, rules) in presets.chain(BUGS.iter().map(|bug| (bug.name, bug.rules))) {
        let ours = check_with(&rules, &small, 1);
        let model = Pair { rules, bounds: small };
        // Stateright stops when every property is decided; one that always holds makes it see everything.
        let breadth_first = model.checker().spawn_bfs().join();
        let depth_first = model.checker().spawn_dfs().join();
        assert_eq!(breadth_first.unique_state_count() as u64, ours.distinct, "{name}");
        assert_eq!(depth_first.unique_state_count() as u64, ours.distinct, "{name}");
        assert_eq!(breadth_first.state_count() as u64, ours.generated, "{name}");
        for (property, _) in broken(&ours) {
            assert!(breadth_first.discovery(property.name()).is_some(), "{name}: {property:?}");
            assert!(depth_first.discovery(property.name()).is_some(), "{name}: {property:?}");
        }
        assert_eq!(breadth_first.discoveries().len(), broken(&ours).len(), "{name}");
        assert_eq!(depth_first.discoveries().len(), broken(&ours).len(), "{name}");
    }
}
