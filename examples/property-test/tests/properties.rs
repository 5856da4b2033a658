//! Property tests: whatever proptest comes up with, these hold.

use colo_protocol::{Machine, NodeName};
use colo_sim::strategies::{any_rules, good_rules, inputs, nodes, plans};
use colo_sim::{Options, run};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    /// Whatever fails, and wherever: good rules keep what they claim.
    #[test]
    fn good_rules_survive_any_plan(rules in good_rules(), plan in plans(3), seed in 0_u64..1_000) {
        let outcome = run(&rules, seed, &Options { plan: Some(plan), ..Options::default() });
        prop_assert!(outcome.property.is_none() || !outcome.claimed, "{:?}", outcome.explanation);
    }

    /// Rules may be bad; a run of them is still one run.
    #[test]
    fn any_rules_run_the_same_twice(rules in any_rules(), plan in plans(3), seed in 0_u64..1_000) {
        let options = Options { plan: Some(plan), checkpoints: 2, ..Options::default() };
        prop_assert_eq!(run(&rules, seed, &options), run(&rules, seed, &options));
    }

    /// What is recorded of a run is a plan that is the same run.
    #[test]
    fn a_drawn_run_is_its_plan(rules in good_rules(), seed in any::<u64>()) {
        let drawn = run(&rules, seed, &Options::default());
        let again = run(&rules, seed, &Options { plan: Some(drawn.plan.clone()), ..Options::default() });
        prop_assert_eq!(drawn.hash, again.hash);
    }

    /// An input that a state does not allow is an error, and never a panic.
    #[test]
    fn the_core_takes_any_input(
        rules in any_rules(),
        node in nodes(),
        given in proptest::collection::vec(inputs(), 0..40),
    ) {
        let mut machine = Machine::new(node);
        for input in given {
            let _ = machine.step(&rules.rules, input);
        }
        prop_assert!(NodeName::ALL.contains(&node));
    }
}
