//! What holds, holds; what is broken, is found; and the rare paths are really taken.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod common;

use colo_protocol::{Bug, Detection, FailedLoad, FailoverDeferral, Fencing, PRESETS, Property};
use colo_sim::{Broken, Options, Outcome, Summary, Verdict, Watch, run, sweep, sweep_until};
use colo_trace::{NamedRules, load_rules};
use std::ops::ControlFlow;

/// Runs all seeds below `seeds`, each of which must hold in all that its rules claim.
fn holds(rules: &NamedRules, seeds: u64, options: &Options) -> Summary {
    let mut summary = Summary::default();
    sweep(rules, 0..seeds, 2, options, |outcome| {
        let (seed, plan) = (outcome.seed, outcome.plan.to_toml().unwrap());
        let holds = outcome.verdict == Verdict::Holds || !outcome.claimed;
        assert!(holds, "seed {seed}: {:?}\n{plan}", outcome.explanation);
        summary.add(&outcome);
    });
    summary
}

/// The first seed that breaks `broken`.
fn first(rules: &NamedRules, broken: Broken, options: &Options) -> Option<Outcome> {
    let mut found = None;
    sweep_until(rules, 0..10_000, 2, options, |outcome| {
        if outcome.property != Some(broken) {
            return ControlFlow::Continue(());
        }
        found = Some(outcome);
        ControlFlow::Break(())
    });
    found
}

#[test]
fn every_preset_holds_and_takes_every_rare_path() {
    for preset in PRESETS.iter().filter(|preset| !preset.rules.is_hybrid()) {
        let summary = holds(&load_rules(preset.name).unwrap(), 4_000, &Options::default());
        let never: Vec<_> = summary.never().collect();
        assert!(never.is_empty(), "{}: never taken: {never:?}", preset.name);
        assert!(summary.faults.values().all(|count| *count > 20), "{}: {:?}", preset.name, summary.faults);
    }
}

/// Slow is not dead: the arbiter sees to it that the one that is suspected wrongly, or the other, stops.
#[test]
fn an_arbiter_makes_wrong_suspicions_harmless() {
    let mut rules = load_rules("strict").unwrap();
    let summary = holds(&rules, 2_000, &Options::default());
    assert!(summary.sometimes["a living peer was taken for dead"] > 100, "{:?}", summary.sometimes);
    rules.rules.fencing = Fencing::None;
    let found = first(&rules, Broken::Property(Property::SingleServer), &Options::default()).unwrap();
    assert!(!found.claimed);
}

#[test]
fn detection_by_a_closed_link_holds_where_a_closed_link_is_a_death() {
    let mut rules = load_rules("v12").unwrap();
    rules.rules.detection = Detection::LinkClosed;
    let mut summary = Summary::default();
    sweep(&rules, 0..1_000, 2, &Options::default(), |outcome| {
        assert!(
            outcome.verdict == Verdict::Holds || !outcome.claimed,
            "seed {}: {:?}",
            outcome.seed,
            outcome.explanation
        );
        summary.add(&outcome);
    });
    for closes in ["cut", "reset", "half-close"] {
        assert_eq!(summary.faults.get(closes), None);
    }
    assert!(summary.failovers > 100);
}

#[test]
fn without_faults_every_checkpoint_is_taken() {
    for name in ["v12", "late-release"] {
        let options = Options { faults: false, ..Options::default() };
        let summary = holds(&load_rules(name).unwrap(), 200, &options);
        assert!(summary.checkpoints >= 200 * 5 && summary.failovers == 0 && summary.faults.is_empty());
    }
}

#[test]
fn any_size_runs() {
    let rules = load_rules("v12").unwrap();
    for (checkpoints, clients, interval_us) in
        [(0, 0, None), (1, 1, Some(1)), (3, 64, Some(500)), (40, 2, Some(5_000)), (2, u32::MAX, None)]
    {
        let options = Options { checkpoints, clients, interval_us, ..Options::default() };
        holds(&rules, 20, &options);
    }
}

#[test]
fn known_bugs_are_found() {
    for bug in common::simulated() {
        let rules = load_rules(bug.name).unwrap();
        let broken = common::broken_by(bug);
        let found = first(&rules, broken, &Options::default()).unwrap();
        // To count requests for a checkpoint, nothing has to fail.
        let needs_a_fault = broken != Broken::Property(Property::Coalescing);
        let faults = found.faults.values().sum::<u64>();
        assert!(found.claimed && (faults > 0 || !needs_a_fault), "{}: {found:?}", bug.name);
    }
}

/// Section 4.3 A of the protocol book: QEMU promises on vmstate-received, and looks no more whether a failover came
/// between that and the load.
#[test]
fn the_window_before_the_load_is_found_and_clients_notice() {
    let mut rules = load_rules("v12").unwrap();
    rules.rules.deferral = FailoverDeferral::WhileLoading;
    for property in [Property::Promise, Property::OutputCommit] {
        assert!(first(&rules, Broken::Property(property), &Options::default()).is_some(), "{property:?}");
    }
    let options = Options { watch: Watch::ClientsOnly, ..Options::default() };
    assert!(first(&rules, Broken::ClientHistory, &options).is_some());
}

#[test]
fn known_bugs_break_what_they_are_known_to_break() {
    for bug in common::simulated() {
        sweep(&load_rules(bug.name).unwrap(), 0..1_000, 2, &Options::default(), |outcome| {
            if let Some(broken) = outcome.property {
                let known = bug.breaks.iter().any(|property| broken == Broken::Property(*property));
                let known = known || broken == common::broken_by(bug);
                // Who forgets a load that failed forgets a disk that did as well.
                let forgets = bug.rules.failed_load != FailedLoad::Fatal;
                let known = known || (forgets && broken == Broken::Property(Property::Disk));
                assert!(
                    known || !outcome.claimed,
                    "{}, seed {}: {:?}",
                    bug.name,
                    outcome.seed,
                    outcome.explanation
                );
            }
        });
    }
}

#[test]
fn known_bugs_are_noticed_by_clients_alone() {
    let options = Options { watch: Watch::ClientsOnly, ..Options::default() };
    // What a node tells its manager, and how many checkpoints it takes, no client sees.
    let unseen = [Property::ExitReason, Property::Coalescing];
    let seen = |bug: &&Bug| bug.breaks.first().is_some_and(|property| !unseen.contains(property));
    for bug in common::simulated().filter(seen) {
        let found = first(&load_rules(bug.name).unwrap(), Broken::ClientHistory, &options);
        assert!(found.is_some(), "{}", bug.name);
    }
}

#[test]
fn a_run_is_a_line_of_json() {
    let rules = load_rules("bug:release-at-suspend").unwrap();
    let found = first(&rules, Broken::Property(Property::OutputCommit), &Options::default()).unwrap();
    insta::assert_snapshot!(serde_json::to_string_pretty(&found.line(Some("seed.toml"))).unwrap());
    assert_eq!(run(&rules, found.seed, &Options::default()), found);
}
