//! Both VMs execute, and their output is compared: what holds of the good variant, and what there is to find in QEMU.
#![allow(clippy::unwrap_used, reason = "a test may")]

use colo_protocol::PRESETS;
use colo_sim::{Broken, Options, Summary, Verdict, Watch, run, sweep, sweep_until};
use colo_trace::{NamedRules, Plan, load_rules};
use std::collections::BTreeSet;
use std::ops::ControlFlow;

fn hybrid() -> NamedRules {
    load_rules(concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/hybrid.toml")).unwrap()
}

fn holds(options: &Options, seeds: u64) -> Summary {
    let mut summary = Summary::default();
    sweep(&hybrid(), 0..seeds, 2, options, |outcome| {
        let holds = outcome.verdict == Verdict::Holds || !outcome.claimed;
        assert!(holds, "seed {}: {:?}", outcome.seed, outcome.explanation);
        summary.add(&outcome);
    });
    summary
}

#[test]
fn the_good_variant_holds_and_takes_every_rare_path() {
    let summary = holds(&Options::default(), 2_000);
    let never: Vec<_> = summary.sometimes.iter().filter(|(_, runs)| **runs == 0).collect();
    assert!(never.is_empty(), "never taken: {never:?}");
    for path in ["both VMs' output was the same", "the VMs' output differed"] {
        assert!(summary.sometimes[path] > 500, "{path}: {:?}", summary.sometimes);
    }
}

/// What is the same leaves at once: a client need not wait for a checkpoint.
#[test]
fn output_that_matches_does_not_wait_for_a_checkpoint() {
    let options =
        |interval_us| Options { faults: false, interval_us: Some(interval_us), ..Options::default() };
    let mut periodic = hybrid();
    periodic.rules.execution = colo_protocol::Execution::Periodic;
    let fast = (0..100).filter(|seed| {
        let mean_us = |rules: &NamedRules| {
            let outcome = run(rules, *seed, &options(5_000_000));
            assert_eq!(outcome.verdict, Verdict::Holds, "seed {seed}: {:?}", outcome.explanation);
            outcome.virtual_us / outcome.answered.max(1)
        };
        mean_us(&hybrid()) < mean_us(&periodic)
    });
    assert!(fast.count() > 90);
}

#[test]
fn qemu_breaks_what_it_is_known_to_break_and_nothing_else() {
    let qemu = PRESETS.iter().find(|preset| preset.name == "qemu").unwrap();
    let rules = load_rules(qemu.name).unwrap();
    let mut broken = BTreeSet::new();
    sweep(&rules, 0..5_000, 2, &Options::default(), |outcome| {
        broken.extend(outcome.property.filter(|_| outcome.claimed));
    });
    let known: BTreeSet<_> = qemu.breaks.iter().map(|property| Broken::Property(*property)).collect();
    assert!(broken.is_subset(&known), "{broken:?}");
    // The run ends at the first thing that breaks, so each is looked for by itself.
    for property in qemu.breaks {
        let options = Options { watch: Watch::Only(*property), ..Options::default() };
        let mut found = None;
        sweep_until(&rules, 0..20_000, 2, &options, |outcome| {
            found = outcome.property.map(|_| outcome.seed);
            if found.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        assert!(found.is_some(), "{property:?}");
    }
}

#[test]
fn the_recorded_plan_is_the_same_run() {
    for rules in [hybrid(), load_rules("qemu").unwrap()] {
        for seed in 0..200 {
            let drawn = run(&rules, seed, &Options::default());
            let plan = Some(drawn.plan.clone());
            assert_eq!(run(&rules, seed, &Options { plan, ..Options::default() }), drawn, "seed {seed}");
        }
    }
}

/// It has nothing to take over with any more: its failover is over, though it did not complete.
#[test]
fn a_guest_may_power_off_while_it_is_suspended_for_a_failover() {
    let plan = Plan::from_toml(
        r#"
        schema = 1
        [[fault]]
        at = "secondary checkpoint 1 during effect suspend-vm"
        action = "cut"
        [[fault]]
        at = "secondary checkpoint 0 after effect begin-failover"
        action = "guest-shutdown"
        node = "secondary"
        "#,
    );
    let options = Options { plan: Some(plan.unwrap()), replacements: Some(0), ..Options::default() };
    let outcomes: Vec<_> = (0..200).map(|seed| run(&hybrid(), seed, &options)).collect();
    assert!(outcomes.iter().all(|outcome| outcome.verdict == Verdict::Holds), "{outcomes:?}");
    assert!(outcomes.iter().any(|outcome| outcome.unreached.is_empty() && outcome.failovers == 0));
}
