//! What has to hold of our variant, by the simulator: over many seeds, at every point, and once more where it broke.

use colo_sim::{Campaign, Options, enumerate};
use colo_trace::{NamedRules, RulesError, load_rules};

/// Our rules; tests run where the project's manifest is.
fn patient() -> Result<NamedRules, RulesError> {
    load_rules("rules/patient.toml")
}

#[test]
fn our_variant_holds_and_every_rare_path_is_taken() -> Result<(), RulesError> {
    Campaign::new(patient()?).seeds(0..2_000).regressions("regressions").require_sometimes().assert_ok();
    Ok(())
}

#[test]
fn our_variant_survives_a_fault_at_every_point() -> Result<(), RulesError> {
    let options = Options { checkpoints: 3, ..Options::default() };
    let mut broken = Vec::new();
    let enumeration = enumerate(&patient()?, 1, &options, 2, |trial, outcome| {
        broken.extend(outcome.property.filter(|_| outcome.claimed).map(|property| (trial.plan(), property)));
    });
    assert_eq!(broken, [], "{enumeration:?}");
    Ok(())
}

/// The test that would have told us: it fails with four lines of a plan, and the command that runs it again.
#[test]
#[should_panic(expected = "colo replay regressions/eager.")]
fn what_we_tried_first_breaks() {
    let Ok(rules) = load_rules("rules/eager.toml") else { return };
    Campaign::new(rules).assert_ok();
}
