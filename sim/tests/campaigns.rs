//! Campaigns: what a project's own tests see of the simulator.
#![allow(clippy::unwrap_used, reason = "a test may")]

use colo_protocol::Property;
use colo_sim::{Broken, Campaign, CampaignError, FaultSource};
use colo_trace::{Plan, load_rules};
use std::path::Path;

fn campaign(rules: &str) -> Campaign {
    Campaign::new(load_rules(rules).unwrap()).jobs(2)
}

#[test]
fn good_rules_are_all_right() {
    let summary = campaign("v12").seeds(0..500).assert_ok();
    assert_eq!((summary.runs, summary.first_violation), (500, None));
    let calm = campaign("v12").seeds(0..50).checkpoints(2).clients(1).faults(FaultSource::None).assert_ok();
    assert!(calm.faults.is_empty() && calm.checkpoints >= 100);
    let planned = FaultSource::Planned(Plan::default());
    assert_eq!(campaign("v12").seeds(0..50).checkpoints(2).clients(1).faults(planned).assert_ok(), calm);
}

#[test]
fn the_first_failure_is_a_short_story() {
    let CampaignError::Broken(story) = campaign("bug:release-at-suspend").run().unwrap_err() else {
        panic!("something else is wrong");
    };
    let Some(Broken::Property(property)) = story.shrunk.outcome.property else { panic!("{story}") };
    assert!([Property::OutputCommit, Property::SingleServer].contains(&property), "{story}");
    let text = story.to_string();
    for part in [
        "bug:release-at-suspend breaks \"",
        "[[fault]]",
        "    colo replay regressions/bug-release-at-suspend.",
    ] {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
#[should_panic(expected = "The shortest plan that breaks the same (1 faults)")]
fn a_test_fails_with_the_story() {
    campaign("bug:exit-reason").assert_ok();
}

#[test]
fn a_campaign_that_is_too_small_can_be_told_so() {
    let error = campaign("v12").seeds(0..3).require_sometimes().run().unwrap_err();
    assert!(error.to_string().starts_with("no run of 3 ever came to: "), "{error}");
    campaign("v12").seeds(0..2_000).require_sometimes().self_check(0).assert_ok();
}

#[test]
fn kept_regressions_come_first() {
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("../regressions");
    campaign("late-release").seeds(0..1).regressions(&kept).assert_ok();
    let error = campaign("bug:exit-reason").seeds(0..1).regressions(&kept).run().unwrap_err();
    assert!(matches!(error, CampaignError::Broken(_)), "{error}");
    let error = campaign("v12").regressions("no-such-directory").run().unwrap_err();
    assert!(error.to_string().starts_with("no-such-directory: "), "{error}");
}
