//! The variants that have a name: by which decisions each differs from series v12, and what follows from a decision.
#![expect(clippy::unwrap_used, reason = "a test may")]

use colo_protocol::{
    BUGS, Detection, Fencing, PRESETS, Property, ReleasePoint, Rules, bug_named, rules_named,
};

/// The fields of the rules, each with its value.
fn fields(rules: Rules) -> Vec<String> {
    let text = format!("{rules:?}");
    let text = text.strip_prefix("Rules { ").and_then(|text| text.strip_suffix(" }")).unwrap();
    text.split(", ").map(str::to_owned).collect()
}

/// The fields in which `rules` are not those of series v12.
fn difference(rules: Rules) -> String {
    let base = fields(Rules::V12);
    let fields: Vec<_> = fields(rules).into_iter().filter(|field| !base.contains(field)).collect();
    fields.join(", ")
}

const VARIANTS: [(&str, &str); 19] = [
    ("v12", ""),
    ("late-release", "release: AfterLoaded, deferral: WhileLoading"),
    ("remus", "resume: AfterStaged, disk: ByEpoch"),
    ("fast", "resume: AfterReceived, disk: ByEpoch"),
    ("strict", "detection: Timeout, fencing: Arbiter"),
    (
        "qemu",
        "dialect: Current, execution: Hybrid, uncompared: SentAtOnce, deferral: WhileLoading, \
         unloaded: LoadedAnyway, failed_load: Forgotten, checkpoint_delay_ms: 20000",
    ),
    ("bug:release-at-suspend", "release: AtSuspend"),
    ("bug:ram-first", "apply: RamFirst"),
    ("bug:failover-while-loading", "deferral: Never"),
    ("bug:counted-requests", "dialect: Current, execution: Hybrid, requests: Counted"),
    ("bug:exit-reason", "exit_reason: Request"),
    ("bug:load-after-failover", "deferral: WhileLoading, unloaded: LoadedAnyway"),
    ("bug:failed-load-forgotten", "failed_load: Forgotten"),
    ("bug:uncompared-output", "dialect: Current, execution: Hybrid, uncompared: SentAtOnce"),
    ("bug:untagged-writes", "resume: AfterStaged"),
    ("bug:waits-for-a-manager", "fencing: Arbiter"),
    ("bug:forgotten-shutdown", "shutdown: Forgotten"),
    ("bug:relaunch-forgotten", "relaunch: AfterSuccess"),
    ("bug:no-abort", "abort: Never"),
];

#[test]
fn every_variant_is_series_v12_but_for_a_few_decisions() {
    for (name, expected) in VARIANTS {
        assert_eq!(difference(rules_named(name).unwrap()), expected, "{name}");
    }
    assert_eq!(PRESETS.len() + BUGS.len(), VARIANTS.len());
    assert_eq!((Rules::default(), rules_named("v13")), (Rules::V12, None));
}

#[test]
fn a_name_is_found_among_the_presets_or_the_bugs() {
    for preset in PRESETS {
        assert_eq!((rules_named(preset.name), bug_named(preset.name)), (Some(preset.rules), None));
    }
    for bug in BUGS {
        assert_eq!((rules_named(bug.name), bug_named(bug.name)), (Some(bug.rules), Some(bug)));
    }
}

#[test]
fn a_bug_says_who_fixed_it() {
    for (name, text) in [
        ("bug:ram-first", "fixed in QEMU by 24fa16f8cc"),
        ("bug:untagged-writes", "not fixed in QEMU, as far as is known"),
    ] {
        assert_eq!(bug_named(name).unwrap().fixed(), text);
    }
}

const LINK_CLOSED: Rules = Rules { detection: Detection::LinkClosed, ..Rules::V12 };

#[test]
fn who_notices_a_death_is_a_manager_the_link_or_silence() {
    for (rules, has_manager, watches_silence) in
        [(Rules::V12, true, false), (LINK_CLOSED, false, false), (Rules::STRICT, false, true)]
    {
        assert_eq!((rules.has_manager(), rules.watches_silence()), (has_manager, watches_silence));
    }
}

#[test]
fn a_single_server_is_claimed_where_nobody_suspects_wrongly_or_an_arbiter_decides() {
    let arbiter = Rules { fencing: Fencing::Arbiter, ..Rules::V12 };
    for (rules, claimed, claimed_under_suspicion) in [
        (Rules::V12, true, false),
        (LINK_CLOSED, false, false),
        (Rules { fencing: Fencing::None, ..Rules::STRICT }, false, false),
        (arbiter, true, true),
        (Rules::STRICT, true, true),
    ] {
        for property in Property::ALL {
            let single_server = property == Property::SingleServer;
            for (suspicions, expected) in [(false, claimed), (true, claimed_under_suspicion)] {
                assert_eq!(rules.claims(property, suspicions), expected || !single_server, "{rules:?}");
            }
        }
    }
}

#[test]
fn the_promise_is_given_before_the_output_leaves() {
    for (release, at_received) in [
        (ReleasePoint::AtSuspend, true),
        (ReleasePoint::AfterReceived, true),
        (ReleasePoint::AfterLoaded, false),
    ] {
        assert_eq!(Rules { release, ..Rules::V12 }.promises_at_received(), at_received);
    }
}

#[test]
fn both_vms_execute_in_qemu_only() {
    let hybrid = PRESETS.iter().filter(|preset| preset.rules.is_hybrid()).map(|preset| preset.name);
    assert_eq!(hybrid.collect::<Vec<_>>(), ["qemu"]);
}
