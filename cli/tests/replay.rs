//! Counterexamples of the checker, once more: step by step on the model, as a plan in the simulator.

use colo_model::{Bounds, Limits, Pair, check, find_bug, follow_plan, follow_trace, lasso_story, story};
use colo_protocol::{BUGS, Bug, Liveness, Property};
use colo_sim::{Broken, Options, Watch, run};
use colo_trace::{NamedRules, Plan, Trace, load_rules, plan_of};
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// The bugs that break something at some step; the others go on for ever.
fn of_safety() -> impl Iterator<Item = &'static Bug> {
    BUGS.iter().filter(|bug| bug.stalls.is_none())
}

/// Every counterexample that a check of the bug finds. They are looked for once.
fn counterexamples(bug: &Bug) -> &'static [(Property, Trace)] {
    static FOUND: LazyLock<BTreeMap<&str, Vec<(Property, Trace)>>> =
        LazyLock::new(|| of_safety().map(|bug| (bug.name, look_for(bug))).collect());
    &FOUND[bug.name]
}

fn look_for(bug: &Bug) -> Vec<(Property, Trace)> {
    let bounds = Bounds::of(&bug.rules);
    let check = check(&bug.rules, &bounds, &Limits { threads: 2, ..Limits::default() });
    let pair = Pair { rules: bug.rules, bounds };
    let broken = check.properties.iter().filter_map(|report| {
        Some((report.property, story(&pair, bug.name, report.counterexample.as_ref()?)))
    });
    broken.collect()
}

#[test]
fn every_counterexample_breaks_the_same_at_its_last_step_again() {
    for bug in of_safety() {
        let found = counterexamples(bug);
        assert!(found.iter().any(|(property, _)| *property == bug.breaks[0]), "{}", bug.name);
        for &(property, ref trace) in found {
            let followed = follow_trace(trace);
            assert_eq!((&followed.stuck, &followed.trace), (&None, trace), "{}", bug.name);
            let last = followed.broken.last().unwrap();
            assert_eq!(last.step, followed.steps, "{}", bug.name);
            let at_last = followed.broken.iter().filter(|broken| broken.step == followed.steps);
            assert!(at_last.into_iter().any(|broken| broken.property == property), "{}", bug.name);
        }
    }
}

#[test]
fn the_plan_of_every_run_without_an_end_stands_still_in_the_simulator() {
    for bug in BUGS {
        let Some(property) = bug.stalls else { continue };
        let check = find_bug(bug, 2);
        let report = check.liveness.iter().find(|report| report.property == property).unwrap();
        let pair = Pair { rules: bug.rules, bounds: report.bounds };
        let trace = lasso_story(&pair, bug.name, property, report.lasso.as_ref().unwrap());
        let plan = plan_of(&trace).unwrap();
        for seed in 0..20 {
            let rules = NamedRules { name: bug.name.to_owned(), rules: bug.rules };
            let plan = Some(plan.clone());
            let manager = property != Liveness::UnattendedRecovery;
            let options = Options { plan, manager, replacements: Some(0), ..Options::default() };
            let outcome = run(&rules, seed, &options);
            let told = format!("{}, seed {seed}: {outcome:?}", bug.name);
            assert_eq!(outcome.property, Some(Broken::NotDrained(property)), "{told}");
            assert_eq!(outcome.unreached, [], "{told}");
        }
    }
}

#[test]
fn a_plan_has_no_more_gates_than_it_needs() {
    let bug = of_safety().find(|bug| bug.name == "bug:release-at-suspend").unwrap();
    let found = counterexamples(bug);
    let (_, trace) = found.iter().find(|(property, _)| *property == Property::OutputCommit).unwrap();
    let gates: Vec<_> = plan_of(trace).unwrap().gates.iter().map(ToString::to_string).collect();
    assert_eq!(
        gates,
        [
            "hold primary checkpoint 1 before input checkpoint-reply until primary checkpoint 1 after input guest-output"
        ]
    );
}

#[test]
fn the_plan_of_every_counterexample_breaks_the_same_in_the_simulator() {
    for bug in of_safety() {
        for &(property, ref trace) in counterexamples(bug) {
            let plan = plan_of(trace).unwrap();
            let text = plan.to_toml().unwrap();
            assert_eq!(Plan::from_toml(&text).unwrap(), plan, "{text}");
            for seed in 0..20 {
                let rules = NamedRules { name: bug.name.to_owned(), rules: bug.rules };
                let watch = Watch::Only(property);
                let plan = Some(plan.clone());
                let options = Options { plan, watch, replacements: Some(0), ..Options::default() };
                let outcome = run(&rules, seed, &options);
                let told = format!("{}, {}, seed {seed}: {outcome:?}\n{text}", bug.name, property.name());
                assert_eq!(outcome.property, Some(Broken::Property(property)), "{told}");
                assert_eq!(outcome.unreached, [], "{told}");
                assert_eq!(run(&rules, seed, &options), outcome, "{told}");
            }
        }
    }
}

#[test]
fn the_plan_of_every_counterexample_breaks_something_on_the_model_and_nothing_under_good_rules() {
    let good = load_rules("v12").unwrap();
    for bug in of_safety() {
        for &(property, ref trace) in counterexamples(bug) {
            let plan = plan_of(trace).unwrap();
            let told = format!("{}, {}\n{}", bug.name, property.name(), plan.to_toml().unwrap());
            let rules = NamedRules { name: bug.name.to_owned(), rules: bug.rules };
            let followed = follow_plan(&rules, &plan);
            assert!(!followed.run.broken.is_empty() && followed.unreached.is_empty(), "{told}{followed:?}");
            let harmless = follow_plan(&good, &plan);
            assert_eq!(harmless.run.broken, [], "{told}");
        }
    }
}

#[expect(clippy::unwrap_used, reason = "a test may")]
fn colo(directory: &std::path::Path, arguments: &[&str]) -> std::process::Output {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_colo"));
    command.args(arguments).current_dir(directory).output().unwrap()
}

#[test]
fn what_check_writes_is_replayed_by_the_command_that_it_prints() {
    let directory = tempfile::tempdir().unwrap();
    let check = colo(directory.path(), &["check", "bug:release-at-suspend"]);
    let text = String::from_utf8(check.stdout).unwrap();
    let again = text.lines().find_map(|line| line.strip_prefix("again      colo ")).unwrap();
    let words: Vec<_> = again.split(' ').collect();
    let replay = colo(directory.path(), &words);
    assert_eq!(replay.status.code(), Some(1), "{again}: {replay:?}");
    let told = String::from_utf8(replay.stdout).unwrap();
    assert!(told.contains("VIOLATED   output commit") && told.contains("*** crash of the primary"), "{told}");
    assert!(told.lines().all(|line| line.chars().count() <= 100), "{told}");
    let trace = "colo-traces/bug-release-at-suspend.output-commit.jsonl";
    let plan = "colo-traces/bug-release-at-suspend.output-commit.toml";
    let bug = "bug:release-at-suspend";
    for (arguments, code) in [
        (&["replay", trace, "--on", "sim", "--seed", "3"][..], 1),
        (&["replay", plan, "--on", "sim", "--rules", bug], 1),
        (&["replay", plan, "--on", "model", "--rules", bug, "--json"], 1),
        (&["replay", plan, "--on", "sim", "--rules", "v12"], 0),
        (&["replay", plan, "--on", "sim"], 2),
        (&["replay", trace, "--on", "moon"], 2),
        (&["replay", "none.jsonl", "--on", "model"], 2),
    ] {
        let output = colo(directory.path(), arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {output:?}");
    }
}

#[test]
fn what_does_not_fit_is_named_with_its_step_and_a_gate_that_never_opens_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let _ = colo(directory.path(), &["check", "bug:release-at-suspend"]);
    let trace = directory.path().join("colo-traces/bug-release-at-suspend.output-commit.jsonl");
    let text = std::fs::read_to_string(&trace)
        .unwrap()
        .replace("at-suspend\",\"uncompared", "after-loaded\",\"uncompared");
    std::fs::write(&trace, &text).unwrap();
    let stuck = colo(directory.path(), &["replay", trace.to_str().unwrap(), "--on", "model"]);
    let told = String::from_utf8(stuck.stdout).unwrap();
    assert!(
        stuck.status.code() == Some(4) && told.contains("step 16 of the trace is primary release"),
        "{told}"
    );
    let beginning: Vec<_> = text.lines().take(5).collect();
    std::fs::write(&trace, beginning.join("\n")).unwrap();
    let cut_off = colo(directory.path(), &["replay", trace.to_str().unwrap(), "--on", "model"]);
    let told = String::from_utf8(cut_off.stdout).unwrap();
    assert!(cut_off.status.code() == Some(4) && told.contains("nothing is broken by then"), "{told}");
    let gate = "hold = \"primary checkpoint 1 before input checkpoint-reply\"\n\
                until = \"primary checkpoint 77 after effect release\"\n";
    let plan = directory.path().join("never.toml");
    std::fs::write(&plan, format!("schema = 1\n[[gate]]\n{gate}")).unwrap();
    for on in ["sim", "model"] {
        let never = colo(directory.path(), &["replay", "never.toml", "--on", on, "--rules", "v12"]);
        let told = String::from_utf8(never.stdout).unwrap();
        assert!(never.status.code() == Some(4) && told.contains("a gate never opened"), "{on}: {told}");
    }
}
