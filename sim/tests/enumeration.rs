//! A fault at every point of a run: every effect of both machines is covered, what is good survives all of it, and
//! every known bug of a failover shows.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod common;

use colo_protocol::{Fencing, NodeName, PRESETS, table};
use colo_sim::{Enumeration, Options, Trial, Verdict, enumerate, run};
use colo_trace::{NamedRules, load_rules};
use std::collections::BTreeSet;

/// A short run, in which a state is more than the link takes at once.
const SEED: u64 = 8;
const CHECKPOINTS: u64 = 2;

/// All that is tried, with what broke something. (`.ci/run` goes through longer runs.)
fn enumerated(rules: &NamedRules, seed: u64, jobs: usize) -> (Enumeration, Vec<(Trial, String)>) {
    let mut broken = Vec::new();
    let options = Options { checkpoints: CHECKPOINTS, ..Options::default() };
    let enumeration = enumerate(rules, seed, &options, jobs, |trial, outcome| {
        if let (Some(property), true) = (outcome.property, outcome.claimed) {
            broken.push((trial.clone(), format!("{property}: {:?}", outcome.explanation)));
        }
    });
    (enumeration, broken)
}

/// What a machine can ask for under the rules, by its own transition table.
fn effects_of(node: NodeName, rules: &NamedRules) -> BTreeSet<&'static str> {
    let rows = table::transitions(node, &rules.rules);
    let effects = rows.iter().flat_map(|row| row.effects.iter());
    effects.map(|effect| effect.name()).collect()
}

/// What comes of a guest that executes at both nodes.
const OF_OTHER_GUESTS: [(NodeName, &str); 1] = [(NodeName::Secondary, "suspend-vm")];

#[test]
fn good_rules_survive_a_fault_at_every_point_and_every_effect_of_both_machines_is_covered() {
    for preset in PRESETS.iter().filter(|preset| !preset.rules.is_hybrid()) {
        let rules = load_rules(preset.name).unwrap();
        let (enumeration, broken) = enumerated(&rules, SEED, 2);
        assert_eq!(broken, [], "{}", preset.name);
        assert!(enumeration.points > 150 && enumeration.failover_points > 50, "{enumeration:?}");
        assert!(enumeration.unreached * 20 < enumeration.runs, "{enumeration:?}");
        println!(
            "{} {} {} {} {:?}",
            preset.name,
            enumeration.points,
            enumeration.failover_points,
            enumeration.runs,
            enumeration.unreached
        );
        assert_eq!(enumeration.stream.len(), 9, "{enumeration:?}");
        for node in NodeName::ALL {
            let covered: BTreeSet<_> = enumeration.effects[node.name()].keys().copied().collect();
            // A manager's command begins a failover; a node halts by the arbiter's word, or when its disk fails.
            let of_others = |effect: &str| match effect {
                "begin-failover" => !rules.rules.has_manager(),
                "halt" => rules.rules.fencing != Fencing::Arbiter,
                _ => OF_OTHER_GUESTS.contains(&(node, effect)),
            };
            let effects = effects_of(node, &rules);
            let missing: Vec<_> = effects.difference(&covered).filter(|effect| !of_others(effect)).collect();
            assert!(missing.is_empty(), "{}: the {node}'s {missing:?}", preset.name);
        }
    }
}

#[test]
fn every_known_bug_breaks_at_a_point_at_least() {
    for bug in common::simulated() {
        let rules = load_rules(bug.name).unwrap();
        let (enumeration, broken) = enumerated(&rules, SEED, 2);
        assert_eq!(enumeration.violated, broken.len() as u64);
        assert!(enumeration.properties.contains_key(bug.named_for()), "{}: {enumeration:?}", bug.name);
    }
}

/// Every failing trial is a plan by itself.
#[test]
fn a_failing_trial_is_a_plan_that_fails_again_and_jobs_change_nothing() {
    let rules = load_rules("bug:failover-while-loading").unwrap();
    let (enumeration, broken) = enumerated(&rules, 3, 1);
    assert_eq!((&enumeration, &broken), (&enumerated(&rules, 3, 3).0, &enumerated(&rules, 3, 3).1));
    for (trial, told) in broken {
        let again = Options { plan: Some(trial.plan()), checkpoints: CHECKPOINTS, ..Options::default() };
        let outcome = run(&rules, 3, &again);
        assert_eq!(outcome.verdict, Verdict::Violated, "{told}");
    }
}
