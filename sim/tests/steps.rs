//! A recorded run can be looked into: the core, given what was recorded, does what was recorded.
#![allow(clippy::unwrap_used, reason = "a test may")]

use colo_protocol::{Failover, PRESETS};
use colo_sim::{Options, Verdict, run};
use colo_trace::{Steps, load_rules};

#[test]
fn every_run_of_every_preset_is_what_the_core_does_with_its_records() {
    for preset in PRESETS.iter().filter(|preset| !preset.rules.is_hybrid()) {
        let rules = load_rules(preset.name).unwrap();
        for seed in 0..300 {
            let outcome = run(&rules, seed, &Options { record: true, ..Options::default() });
            let trace = outcome.trace.unwrap();
            let (_, last) = Steps::new(&rules.rules, &trace.records).last().unwrap();
            assert_eq!(last.deviation, None, "{}, seed {seed}", preset.name);
            let completed =
                |node: &colo_trace::NodeState| node.node.machine().failover() == Failover::Completed;
            // The nodes of a second pair begin anew, and what is broken ends a run in the middle of something.
            if outcome.pairs > 1 || outcome.verdict == Verdict::Violated {
                continue;
            }
            // Who has decided to take over may die, or power off, before it is carried out.
            let completed = last.nodes.iter().filter(|node| completed(node)).count() as u64;
            assert!(completed >= outcome.failovers, "{}, seed {seed}", preset.name);
        }
    }
}
