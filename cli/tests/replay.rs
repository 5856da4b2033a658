//! Counterexamples of the checker, once more: step by step on the model, as a plan in the simulator.

use colo_model::{Bounds, Limits, Pair, check, follow_trace, story};
use colo_protocol::{BUGS, Bug, FailedLoad, Property};
use colo_sim::{Broken, Options, Watch, run};
use colo_trace::{NamedRules, Plan, Trace, plan_of};

fn periodic() -> impl Iterator<Item = &'static Bug> {
    BUGS.iter().filter(|bug| !bug.rules.is_hybrid())
}

/// The known bugs that a simulation can show, as in its own tests.
fn simulated() -> impl Iterator<Item = &'static Bug> {
    periodic().filter(|bug| bug.breaks[0] != Property::Disk && bug.rules.failed_load == FailedLoad::Fatal)
}

/// Every counterexample that a check of the bug finds.
fn counterexamples(bug: &Bug) -> Vec<(Property, Trace)> {
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
    for bug in periodic() {
        let found = counterexamples(bug);
        assert!(found.iter().any(|(property, _)| *property == bug.breaks[0]), "{}", bug.name);
        for (property, trace) in found {
            let followed = follow_trace(&trace);
            assert_eq!((&followed.stuck, &followed.trace), (&None, &trace), "{}", bug.name);
            let last = followed.broken.last().unwrap();
            assert_eq!(last.step, followed.steps, "{}", bug.name);
            let at_last = followed.broken.iter().filter(|broken| broken.step == followed.steps);
            assert!(at_last.into_iter().any(|broken| broken.property == property), "{}", bug.name);
        }
    }
}

#[test]
fn the_plan_of_every_counterexample_breaks_the_same_in_the_simulator() {
    for bug in simulated() {
        // The simulated guest has no disk.
        let found = counterexamples(bug).into_iter().filter(|(property, _)| *property != Property::Disk);
        for (property, trace) in found {
            let plan = plan_of(&trace).unwrap();
            let text = plan.to_toml().unwrap();
            assert_eq!(Plan::from_toml(&text).unwrap(), plan, "{text}");
            for seed in 0..20 {
                let rules = NamedRules { name: bug.name.to_owned(), rules: bug.rules };
                let watch = Watch::Only(property);
                let options = Options { plan: Some(plan.clone()), watch, ..Options::default() };
                let outcome = run(&rules, seed, &options);
                let told = format!("{}, {}, seed {seed}: {outcome:?}\n{text}", bug.name, property.name());
                assert_eq!(outcome.property, Some(Broken::Property(property)), "{told}");
                assert_eq!(outcome.unreached, [], "{told}");
                assert_eq!(run(&rules, seed, &options), outcome, "{told}");
            }
        }
    }
}
