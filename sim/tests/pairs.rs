//! A survivor gets a replacement, and the new pair is a pair like the first: protected, and able to fail over again.
#![allow(clippy::unwrap_used, reason = "a test may")]

use colo_protocol::{NodeName, PRESETS, Property};
use colo_sim::{Broken, Options, Outcome, Verdict, run};
use colo_trace::{Fault, FaultAction, Kind, Plan, diagram, load_rules};

/// Crashes at these points, one after the other.
fn crashes(points: &[(&str, NodeName)]) -> Plan {
    let fault = |(at, node): &(&str, NodeName)| Fault {
        at: at.parse().unwrap(),
        action: FaultAction::Crash { node: *node },
    };
    Plan::new(points.iter().map(fault).collect())
}

fn with(plan: Plan, replacements: u64) -> Options {
    Options { plan: Some(plan), replacements: Some(replacements), record: true, ..Options::default() }
}

fn notes(outcome: &Outcome) -> Vec<&str> {
    let records = &outcome.trace.as_ref().unwrap().records;
    records.iter().filter(|record| record.kind == Kind::Note).map(|record| record.name.as_str()).collect()
}

#[test]
fn a_pair_fails_over_again_and_again_whoever_dies() {
    let plan = crashes(&[
        ("primary checkpoint 1 during effect send-ram", NodeName::Primary),
        ("secondary checkpoint 1 after effect vmstate-loaded", NodeName::Secondary),
        // Checkpoints are counted anew in each pair, occurrences are not: this is the third pair's.
        ("primary checkpoint 1 before effect suspend-vm occurrence 3", NodeName::Primary),
    ]);
    for preset in PRESETS.iter().filter(|preset| !preset.rules.is_hybrid()) {
        let rules = load_rules(preset.name).unwrap();
        let mut as_planned = 0;
        for seed in 0..20 {
            let outcome = run(&rules, seed, &with(plan.clone(), 3));
            let told = || format!("{}, seed {seed}: {:?}", preset.name, outcome.explanation);
            // Over a link that loses much, patience may end before the crash comes.
            if outcome.sometimes["a living peer was taken for dead"] > 0 {
                assert!(preset.rules.watches_silence() && outcome.verdict == Verdict::Holds, "{}", told());
                continue;
            }
            assert_eq!(
                (outcome.verdict, outcome.unreached.as_slice()),
                (Verdict::Holds, &[][..]),
                "{}",
                told()
            );
            assert_eq!((outcome.failovers, outcome.pairs, outcome.protected), (3, 4, true), "{}", told());
            let survivors = ["secondary", "primary", "secondary"];
            let expected =
                survivors.map(|name| format!("the {name} that survived is the primary of a new pair"));
            assert_eq!(notes(&outcome), expected, "{}", told());
            as_planned += 1;
        }
        assert!(as_planned > 10, "{}: {as_planned}", preset.name);
    }
}

#[test]
fn without_a_replacement_the_operator_is_told_that_nothing_protects() {
    let plan = crashes(&[("primary checkpoint 1 during effect send-ram", NodeName::Primary)]);
    let rules = load_rules("v12").unwrap();
    let outcome = run(&rules, 5, &with(plan.clone(), 0));
    assert_eq!((outcome.verdict, outcome.pairs, outcome.protected), (Verdict::Holds, 1, false));
    assert!(run(&rules, 5, &with(plan, 1)).protected);
    let unharmed = Options { faults: false, ..Options::default() };
    assert!(run(&rules, 5, &unharmed).protected);
}

/// The replacement must hold what the survivor gave the world while it was alone, before it can take over.
#[test]
fn a_survivor_that_dies_before_its_replacement_is_ready_takes_the_service_with_it() {
    let plan = crashes(&[
        ("primary checkpoint 1 during effect send-ram", NodeName::Primary),
        ("primary checkpoint 0 during effect send-ram", NodeName::Primary),
    ]);
    for name in ["v12", "strict"] {
        for seed in 0..20 {
            let outcome = run(&load_rules(name).unwrap(), seed, &with(plan.clone(), 1));
            assert_eq!(outcome.verdict, Verdict::Holds, "{name}, seed {seed}: {:?}", outcome.explanation);
            assert_eq!((outcome.failovers, outcome.protected), (1, false), "{name}, seed {seed}");
            assert_eq!(outcome.sometimes["nobody could serve"], 1, "{name}, seed {seed}");
        }
    }
}

#[test]
fn a_bug_is_found_in_the_second_pair_as_well() {
    let plan = crashes(&[
        ("secondary checkpoint 0 after effect start-replication", NodeName::Secondary),
        ("primary checkpoint 1 before effect vmstate-send", NodeName::Primary),
    ]);
    let rules = load_rules("bug:release-at-suspend").unwrap();
    let outcome = run(&rules, 3, &with(plan, 1));
    assert_eq!(outcome.pairs, 2);
    assert_eq!(outcome.property, Some(Broken::Property(Property::OutputCommit)), "{:?}", outcome.explanation);
    assert!(diagram(&outcome.trace.unwrap()).contains("the primary of a new pair"));
}
