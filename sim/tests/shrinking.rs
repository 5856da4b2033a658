//! Shrinking: the shortest plan that breaks the same, and the regressions that are kept.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod common;

use colo_protocol::{BUGS, Bug, Property};
use colo_sim::{Broken, Options, Outcome, Shrunk, Verdict, rerun, run, shrink, sweep_until};
use colo_trace::{Fault, FaultAction, NamedRules, Plan, Regression, load_rules};
use proptest::prelude::*;
use proptest::sample::select;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

/// How many seeds it takes at most to find a bug.
const SEEDS: u64 = 20_000;

/// The first seed that breaks what the bug is named for.
fn first(rules: &NamedRules, bug: &Bug) -> Option<Outcome> {
    let mut found = None;
    sweep_until(rules, 0..SEEDS, 2, &Options::default(), |outcome| {
        if !outcome.claimed || outcome.property != Some(common::broken_by(bug)) {
            return ControlFlow::Continue(());
        }
        found = Some(outcome);
        ControlFlow::Break(())
    });
    found
}

fn shrunk(rules: &NamedRules, outcome: &Outcome) -> Shrunk {
    let shrunk = shrink(rules, outcome.seed, &Options::default(), outcome).unwrap();
    assert!(shrunk.complete, "{}: {} runs", rules.name, shrunk.runs);
    shrunk
}

#[test]
fn every_known_bug_shrinks_to_a_short_plan_that_breaks_the_same() {
    for bug in common::simulated() {
        let rules = load_rules(bug.name).unwrap();
        let found = first(&rules, bug).unwrap();
        let shrunk = shrunk(&rules, &found);
        let needs_a_fault = common::broken_by(bug) != Broken::Property(Property::Coalescing);
        assert!(shrunk.plan().faults.len() <= 3, "{}: {shrunk:?}", bug.name);
        assert_eq!(shrunk.plan().faults.is_empty(), !needs_a_fault, "{}: {shrunk:?}", bug.name);
        // Without a fault it takes as many checkpoints, and as much output, as it takes.
        let small = shrunk.options.checkpoints <= 2 && shrunk.options.clients < 4;
        assert!(small || !needs_a_fault, "{}: {shrunk:?}", bug.name);
        assert_eq!(shrunk.outcome.property, found.property, "{}", bug.name);
        assert_eq!(run(&rules, found.seed, &shrunk.options), shrunk.outcome, "{}", bug.name);
    }
}

#[test]
fn nothing_can_be_left_out_of_a_shrunk_plan() {
    for bug in common::simulated() {
        let rules = load_rules(bug.name).unwrap();
        let shrunk = shrunk(&rules, &first(&rules, bug).unwrap());
        for index in 0..shrunk.plan().faults.len() {
            let mut faults = shrunk.plan().faults.clone();
            faults.remove(index);
            let options = Options { plan: Some(Plan::new(faults)), ..shrunk.options.clone() };
            let outcome = run(&rules, shrunk.outcome.seed, &options);
            assert_ne!(outcome.property, shrunk.outcome.property, "{}, without fault {index}", bug.name);
        }
    }
}

#[test]
fn what_does_nothing_is_left_out() {
    let rules = load_rules("bug:release-at-suspend").unwrap();
    let stall = |checkpoint: u32| Fault {
        at: format!("secondary checkpoint {checkpoint} after effect checkpoint-reply").parse().unwrap(),
        action: FaultAction::Stall { for_ms: 2 },
    };
    let crash = Fault {
        at: "primary checkpoint 4 during effect send-ram".parse().unwrap(),
        action: FaultAction::Crash { node: colo_protocol::NodeName::Primary },
    };
    let plan = Plan::new((1..4).map(stall).chain([crash]).collect());
    let options = Options { plan: Some(plan), ..Options::default() };
    let outcome = run(&rules, 1, &options);
    assert_eq!(outcome.property, Some(Broken::Property(Property::OutputCommit)), "{outcome:?}");
    let shrunk = shrink(&rules, 1, &options, &outcome).unwrap();
    let faults: Vec<_> = shrunk.plan().faults.iter().map(|fault| fault.at.to_string()).collect();
    assert_eq!(faults, ["primary checkpoint 1 before effect send-ram"]);
    assert_eq!((shrunk.options.checkpoints, shrunk.options.clients), (1, 1));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Whatever breaks something, anywhere among the seeds, still breaks it when it has been shrunk, in no more.
    #[test]
    fn what_is_shrunk_still_breaks_the_same(bug in select(common::simulated().collect::<Vec<_>>()), from in any::<u32>()) {
        let (rules, from) = (load_rules(bug.name).unwrap(), u64::from(from));
        let (mut found, options) = (None, Options::default());
        sweep_until(&rules, from..from + 300, 2, &options, |outcome| {
            let holds = outcome.verdict == Verdict::Holds;
            if !holds {
                found = Some(outcome);
            }
            if holds { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        if let Some(found) = found {
            let shrunk = shrunk(&rules, &found);
            let again = run(&rules, found.seed, &shrunk.options);
            prop_assert_eq!(again.property, found.property);
            prop_assert_eq!(&again, &shrunk.outcome);
            prop_assert!(shrunk.plan().faults.len() <= found.plan.faults.len());
        }
    }
}

#[test]
fn a_run_that_breaks_nothing_has_nothing_to_shrink() {
    let rules = load_rules("v12").unwrap();
    let outcome = run(&rules, 1, &Options::default());
    assert_eq!(shrink(&rules, 1, &Options::default(), &outcome), None);
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../regressions")
}

fn kept() -> Vec<(String, Regression)> {
    let files = std::fs::read_dir(directory()).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = files.filter(|file| file.extension().is_some_and(|end| end == "toml")).collect();
    files.sort();
    let read = |file: &PathBuf| {
        let text = std::fs::read_to_string(file).unwrap();
        let regression =
            Regression::from_toml(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        (file.file_name().unwrap().to_string_lossy().into_owned(), regression)
    };
    files.iter().map(read).collect()
}

/// With `COLO_WRITE_REGRESSIONS=1` the known bugs' are found and written anew.
#[test]
fn every_kept_regression_breaks_what_it_says_and_holds_under_good_rules() {
    if std::env::var_os("COLO_WRITE_REGRESSIONS").is_some_and(|value| value == "1") {
        write_anew();
    }
    let kept = kept();
    for bug in common::simulated() {
        assert!(kept.iter().any(|(_, kept)| kept.head.rules == bug.name), "{} has no regression", bug.name);
    }
    for (file, regression) in kept {
        assert_eq!(file, regression.file_name());
        assert!(regression.plan.faults.len() <= 3, "{file}");
        let own = rerun(&regression, &load_rules(&regression.head.rules).unwrap());
        let broken = own.property.map(Broken::name);
        assert_eq!(broken, Some(regression.head.property.as_str()), "{file}");
        assert_eq!(
            (own.unreached.len(), own.explanation),
            (0, Some(regression.head.explanation.clone())),
            "{file}"
        );
        for good in ["v12", "late-release", "remus", "fast", "strict"] {
            let outcome = rerun(&regression, &load_rules(good).unwrap());
            assert_eq!(outcome.verdict, Verdict::Holds, "{file} under {good}: {:?}", outcome.explanation);
        }
    }
}

fn write_anew() {
    for bug in BUGS.iter().filter(|bug| common::is_simulated(bug)) {
        let rules = load_rules(bug.name).unwrap();
        let found_by = format!("colo sim {} --seeds 0..{SEEDS}", bug.name);
        let regression = shrunk(&rules, &first(&rules, bug).unwrap()).regression(&rules, found_by);
        let file = directory().join(regression.file_name());
        std::fs::write(file, regression.to_toml().unwrap()).unwrap();
    }
}
