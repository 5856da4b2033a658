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
    for name in ["v12", "strict", "bug:release-at-suspend", "bug:failover-while-loading"] {
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
    (0, 0x3701_6f86_61ee_2d6a),
    (1, 0xb5f0_daa7_812d_e9ec),
    (2, 0xed32_daef_0ac3_2e38),
    (3, 0xf231_078e_a7a3_7c83),
    (42, 0x52a2_c13a_f051_d558),
    (u64::MAX, 0x8a3d_d1a9_bd51_8767),
];

#[test]
fn debug_release_and_other_machines_agree() {
    let rules = rules("v12");
    let hash = |seed| run(&rules, seed, &Options::default()).hash;
    let hashes = GOLDEN.map(|(seed, _)| (seed, hash(seed)));
    assert_eq!(hashes, GOLDEN, "now: {hashes:#018x?}");
}
