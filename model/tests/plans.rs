//! Plans in the model: each fault that it has a step for is carried out, and breaks nothing under good rules.
#![allow(clippy::unwrap_used, reason = "a test may")]

use colo_model::{follow_plan, is_beyond_the_model};
use colo_trace::{FaultKind, Plan, load_rules};

/// A fault at its point, and the name of a record that has to be on the way that carries it out.
const CASES: &[(&str, &str, &str)] = &[
    ("primary checkpoint 1 after effect checkpoint-request", "action = \"reset\"", "cut of the link"),
    (
        "primary checkpoint 1 after effect checkpoint-request",
        "action = \"blackhole\"",
        "the link goes silent",
    ),
    (
        "primary checkpoint 1 after effect vmstate-send",
        "action = \"partition\"\nnode = \"secondary\"",
        "secondary cut off",
    ),
    (
        "primary checkpoint 1 after effect checkpoint-request",
        "action = \"corrupt\"\nnode = \"secondary\"\nbit = 3",
        "bad-stream",
    ),
    ("primary checkpoint 1 before effect save-state", "action = \"fail-save\"", "save-failed"),
    ("secondary checkpoint 1 during effect load-state", "action = \"fail-load\"", "load-failed"),
    (
        "secondary checkpoint 1 after input state-loaded",
        "action = \"fail-disk\"\nnode = \"secondary\"",
        "disk-failed",
    ),
    (
        "primary checkpoint 0 after effect resume-vm",
        "action = \"guest-reset\"\nnode = \"primary\"",
        "reset-vm",
    ),
    (
        "primary checkpoint 0 after effect resume-vm",
        "action = \"guest-shutdown\"\nnode = \"primary\"",
        "guest-powers-off",
    ),
    (
        "primary checkpoint 0 after effect arm-checkpoint-timer",
        "action = \"checkpoint-now\"",
        "checkpoint-due",
    ),
    // In the model everything may take as long as it likes.
    (
        "primary checkpoint 1 after effect vmstate-send",
        "action = \"pause\"\nnode = \"primary\"\nfor_ms = 9",
        "vmstate-send",
    ),
    (
        "primary checkpoint 1 after effect vmstate-send",
        "action = \"slow-disk\"\nnode = \"primary\"\nfor_ms = 9",
        "vmstate-send",
    ),
    (
        "primary checkpoint 1 after effect vmstate-send",
        "action = \"clock-jump\"\nnode = \"primary\"\nby_ms = -9",
        "vmstate-send",
    ),
];

#[test]
fn what_the_model_has_a_step_for_is_carried_out() {
    let rules = load_rules("v12").unwrap();
    for (at, action, seen) in CASES {
        let plan = Plan::from_toml(&format!("schema = 1\n[[fault]]\nat = \"{at}\"\n{action}\n")).unwrap();
        let followed = follow_plan(&rules, &plan);
        let told = format!("{at}: {action}: {:?}", followed.run.trace.records);
        assert!(followed.unreached.is_empty() && followed.run.broken.is_empty(), "{told}");
        let records = &followed.run.trace.records;
        assert!(records.iter().any(|record| record.name == *seen), "{told}");
    }
}

#[test]
fn a_half_closed_link_is_beyond_the_model() {
    let beyond: Vec<_> = FaultKind::ALL.into_iter().filter(|kind| is_beyond_the_model(*kind)).collect();
    assert_eq!(beyond, [FaultKind::HalfClose]);
}
