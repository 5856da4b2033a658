//! The same seed is the same run, byte for byte: twice, from its recorded plan, on several threads, in any build.
#![allow(clippy::unwrap_used, reason = "a test may")]

use colo_sim::{Options, Outcome, run, sweep};
use colo_trace::{NamedRules, load_rules, write_trace};

fn rules(name: &str) -> NamedRules {
    load_rules(name).unwrap()
}

fn recorded() -> Options {
    Options { record: true, ..Options::default() }
}

fn bytes(outcome: &Outcome) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_trace(outcome.trace.as_ref().unwrap(), &mut bytes).unwrap();
    bytes
}

#[test]
fn the_same_seed_is_the_same_trace() {
    let rules = rules("v12");
    for seed in 0..100 {
        let (one, other) = (run(&rules, seed, &recorded()), run(&rules, seed, &recorded()));
        assert!(bytes(&one) == bytes(&other) && one == other, "seed {seed}");
        assert_eq!(run(&rules, seed, &Options::default()).hash, one.hash, "seed {seed}, without a trace");
    }
}

#[test]
fn the_recorded_plan_is_the_same_run() {
    for name in ["v12", "bug:release-at-suspend", "bug:failover-while-loading"] {
        let rules = rules(name);
        for seed in 0..200 {
            let drawn = run(&rules, seed, &recorded());
            let plan = Some(drawn.plan.clone());
            let replayed = run(&rules, seed, &Options { plan, ..recorded() });
            assert!(bytes(&drawn) == bytes(&replayed), "{name}, seed {seed}");
            assert_eq!(drawn, replayed, "{name}, seed {seed}");
        }
    }
}

#[test]
fn threads_change_nothing() {
    let rules = rules("late-release");
    let outcomes = |jobs| {
        let mut outcomes = Vec::new();
        sweep(&rules, 10..60, jobs, &Options::default(), |outcome| outcomes.push(outcome));
        outcomes
    };
    let alone = outcomes(1);
    assert!(alone.iter().map(|outcome| outcome.seed).eq(10..60));
    assert_eq!(alone, outcomes(3));
    assert_eq!(alone, outcomes(100));
}

/// Fingerprints of whole runs. They change when anything in a run does: then check that it should, and replace them.
const GOLDEN: [(u64, u64); 6] = [
    (0, 0xcaa0_ef19_0c4b_5501),
    (1, 0xd94c_4efa_f4d2_f849),
    (2, 0x7e1f_de35_5b98_0f2d),
    (3, 0xde41_7eb3_84ba_4bb4),
    (42, 0x3e2b_67ba_1e3b_baf9),
    (u64::MAX, 0x7616_7d4b_f39f_550c),
];

#[test]
fn debug_release_and_other_machines_agree() {
    let rules = rules("v12");
    let hash = |seed| run(&rules, seed, &Options::default()).hash;
    let hashes = GOLDEN.map(|(seed, _)| (seed, hash(seed)));
    assert_eq!(hashes, GOLDEN, "now: {hashes:#018x?}");
}
