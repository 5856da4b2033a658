//! Each fault by itself: a plan of one or two, and what has to come of it. And all of them, over many seeds.
#![allow(clippy::unwrap_used, reason = "a test may")]

use colo_protocol::{Liveness, PRESETS};
use colo_sim::{Broken, Options, Outcome, Summary, Verdict, run, sweep};
use colo_trace::{FaultKind, Plan, load_rules};

/// A run of these rules in which nothing goes wrong but what is said: a line is a point, an action, and its fields.
fn struck(rules: &str, seed: u64, lines: &[&str]) -> Outcome {
    let faults = lines.iter().map(|line| {
        let (at, action) = line.split_once(": ").unwrap();
        let mut words = action.split_whitespace();
        let name = words.next().unwrap();
        let fields = words.collect::<Vec<_>>().join("\n");
        format!("[[fault]]\nat = \"{at}\"\naction = \"{name}\"\n{fields}\n")
    });
    let text = format!("schema = 1\n{}", faults.collect::<String>());
    let plan = Plan::from_toml(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
    let usual = Options { checkpoints: 3, replacements: Some(0), ..Options::default() };
    let options = Options { plan: Some(plan), record: true, ..usual };
    run(&load_rules(rules).unwrap(), seed, &options)
}

/// Whether the run has a record of this name.
fn has(outcome: &Outcome, name: &str) -> bool {
    outcome.trace.as_ref().unwrap().records.iter().any(|record| record.name == name)
}

/// What a single fault has to lead to, in every one of some seeds.
struct Case {
    rules: &'static str,
    fault: &'static str,
    /// Promotions.
    failovers: u64,
    /// A record that there must be; empty: none in particular.
    seen: &'static str,
    /// A path that must be taken.
    path: &'static str,
}

const CASES: &[Case] = &[
    Case {
        rules: "v12",
        fault: "primary checkpoint 2 after effect vmstate-size: reset",
        failovers: 1,
        seen: "reset of the connection",
        path: "",
    },
    Case {
        rules: "v12",
        fault: "primary checkpoint 1 after effect resume-vm: half-close node=\"primary\"",
        failovers: 1,
        seen: "link-down",
        path: "one direction of the link was closed before the other",
    },
    Case {
        rules: "v12",
        fault: "primary checkpoint 1 after effect resume-vm: half-close node=\"secondary\"",
        failovers: 1,
        seen: "link-down",
        path: "one direction of the link was closed before the other",
    },
    // Nobody sees it, and it is over when the network heals.
    Case {
        rules: "v12",
        fault: "primary checkpoint 2 after effect checkpoint-request: blackhole",
        failovers: 0,
        seen: "",
        path: "a silent link delivered again when the network had healed",
    },
    Case {
        rules: "v12",
        fault: "primary checkpoint 2 after effect checkpoint-request: partition node=\"primary\"",
        failovers: 0,
        seen: "",
        path: "a silent link delivered again when the network had healed",
    },
    Case {
        rules: "strict",
        fault: "primary checkpoint 2 after effect checkpoint-request: blackhole",
        failovers: 1,
        seen: "peer-silent",
        path: "a living peer was taken for dead",
    },
    Case {
        rules: "strict",
        fault: "primary checkpoint 1 after effect vmstate-send: partition node=\"secondary\"",
        failovers: 1,
        seen: "peer-silent",
        path: "a living peer was taken for dead",
    },
    // The first bit of a message's number: there is no such message, or it is not this one's turn.
    Case {
        rules: "v12",
        fault: "primary checkpoint 1 before effect checkpoint-request: corrupt node=\"secondary\" bit=7",
        failovers: 1,
        seen: "bad-stream",
        path: "damaged bytes were refused",
    },
    Case {
        rules: "strict",
        fault: "primary checkpoint 1 after input vmstate-loaded: pause node=\"primary\" for_ms=3000",
        failovers: 1,
        seen: "arbiter-denied",
        path: "a node stood still and came back",
    },
    Case {
        rules: "v12",
        fault: "secondary checkpoint 1 before effect checkpoint-disk: slow-disk node=\"secondary\" for_ms=300",
        failovers: 0,
        seen: "checkpoint-disk",
        path: "",
    },
    Case {
        rules: "v12",
        fault: "secondary checkpoint 1 before effect checkpoint-disk: fail-disk node=\"secondary\"",
        failovers: 1,
        seen: "disk-failed",
        path: "a disk failed",
    },
    Case {
        rules: "v12",
        fault: "secondary checkpoint 0 before input state-loaded: fail-disk node=\"secondary\"",
        failovers: 1,
        seen: "disk-failed",
        path: "a disk failed",
    },
    Case {
        rules: "v12",
        fault: "primary checkpoint 2 before effect save-state: fail-save",
        failovers: 1,
        seen: "save-failed",
        path: "a capture failed",
    },
    Case {
        rules: "v12",
        fault: "primary checkpoint 1 after effect resume-vm: guest-reset node=\"primary\"",
        failovers: 0,
        seen: "reset-vm",
        path: "a guest was reset",
    },
    Case {
        rules: "v12",
        fault: "primary checkpoint 2 before input checkpoint-reply: guest-shutdown node=\"primary\"",
        failovers: 0,
        seen: "guest-shutdown",
        path: "a guest powered off",
    },
    Case {
        rules: "v12",
        fault: "primary checkpoint 1 after effect arm-checkpoint-timer: checkpoint-now",
        failovers: 0,
        seen: "checkpoint-due",
        path: "",
    },
    Case {
        rules: "strict",
        fault: "primary checkpoint 1 after effect resume-vm: clock-jump node=\"primary\" by_ms=100000",
        failovers: 1,
        seen: "peer-silent",
        path: "a living peer was taken for dead",
    },
    Case {
        rules: "v12",
        fault: "primary checkpoint 1 after effect arm-checkpoint-timer: clock-jump node=\"primary\" by_ms=-300",
        failovers: 0,
        seen: "checkpoint-due",
        path: "",
    },
];

#[test]
fn each_fault_comes_to_what_it_has_to() {
    for Case { rules, fault, failovers, seen, path } in CASES {
        for seed in 0..5 {
            let outcome = struck(rules, seed, &[fault]);
            let told = format!("{rules}, seed {seed}, {fault}: {:?}", outcome.explanation);
            assert_eq!((outcome.verdict, outcome.failovers), (Verdict::Holds, *failovers), "{told}");
            assert_eq!(outcome.unreached, [], "{told}");
            assert!(seen.is_empty() || has(&outcome, seen), "{told}: no {seen}");
            assert!(path.is_empty() || outcome.sometimes[path] > 0, "{told}: not so: {path}");
        }
    }
}

#[test]
fn a_paused_node_does_nothing_until_it_wakes() {
    let outcome = struck(
        "strict",
        3,
        &["primary checkpoint 1 after effect resume-vm: pause node=\"primary\" for_ms=700"],
    );
    let records = outcome.trace.unwrap().records;
    let paused_us = records.iter().find(|record| record.name.starts_with("pause of")).unwrap().time_us;
    let asleep = records.iter().filter(|record| {
        let own =
            record.node == Some(colo_protocol::NodeName::Primary) && !record.name.starts_with("pause of");
        own && record.time_us > paused_us && record.time_us < paused_us + 700_000
    });
    assert_eq!(asleep.count(), 0);
}

/// The first half of an operation that a pause puts off comes before the end, also when both are due at once.
#[test]
fn an_operation_never_ends_without_its_first_half() {
    let fault = "primary checkpoint 2 after effect release: pause node=\"secondary\" for_ms=1";
    for seed in [1_845, 1_846, 1_847] {
        let outcome = struck("remus", seed, &[fault]);
        assert_eq!(outcome.verdict, Verdict::Holds, "{:?}", outcome.explanation);
    }
}

/// A clock that was put back is waited for, as a pause is.
#[test]
fn a_clock_that_was_put_back_only_takes_longer() {
    let faults = [
        "primary checkpoint 1 after effect arm-checkpoint-timer: crash node=\"primary\"",
        "secondary checkpoint 1 after input link-down: clock-jump node=\"secondary\" by_ms=-60000",
    ];
    for seed in 1..6 {
        let outcome = struck("strict", seed, &faults);
        assert_eq!((outcome.verdict, outcome.failovers), (Verdict::Holds, 1), "{:?}", outcome.explanation);
    }
}

/// Who has refused damaged bytes has closed the link: what happens then is claimed as ever.
#[test]
fn damage_that_was_refused_excuses_nothing() {
    let faults = [
        "primary checkpoint 1 before input vm-suspended: guest-shutdown node=\"primary\"",
        "primary checkpoint 1 before effect vmstate-send: corrupt node=\"secondary\" bit=7",
    ];
    let outcomes: Vec<_> = (1..13).map(|seed| struck("bug:forgotten-shutdown", seed, &faults)).collect();
    let forgotten = |outcome: &&Outcome| outcome.property == Some(Broken::NotDrained(Liveness::Shutdown));
    let forgotten: Vec<_> = outcomes.iter().filter(forgotten).collect();
    assert!(forgotten.len() > 5 && forgotten.iter().all(|outcome| outcome.claimed), "{outcomes:?}");
}

/// In every page there are bytes that nobody reads before they are loaded. The wire has no checksum, so nobody can
/// tell, and no rules claim that somebody could; the judge says what it is.
#[test]
fn what_is_loaded_and_was_not_captured_is_silent_damage() {
    let corrupted = |bit: u32| {
        let fault =
            format!("secondary checkpoint 1 after input vmstate-send: corrupt node=\"secondary\" bit={bit}");
        struck("v12", 4, &[&fault])
    };
    let outcomes: Vec<Outcome> = (0..60).map(|number| corrupted(number * 1_777)).collect();
    let silent = outcomes.iter().filter(|outcome| outcome.property == Some(Broken::SilentDamage));
    assert!(silent.clone().count() > 5, "{} of 60", silent.clone().count());
    assert!(silent.clone().all(|outcome| !outcome.claimed));
    assert!(outcomes.iter().all(|outcome| outcome.verdict == Verdict::Holds || !outcome.claimed));
}

#[test]
fn what_never_ends_is_named() {
    let loading = "secondary checkpoint 1 during effect load-state";
    let found = [
        (
            "bug:relaunch-forgotten",
            Liveness::DeferredFailoverCompletes,
            vec![format!("{loading}: lost-heartbeat node=\"secondary\""), format!("{loading}: fail-load")],
        ),
        (
            "bug:forgotten-shutdown",
            Liveness::Shutdown,
            vec![
                "primary checkpoint 1 before input vm-suspended: guest-shutdown node=\"primary\"".to_owned(),
                "primary checkpoint 1 after effect vmstate-send: crash node=\"secondary\"".to_owned(),
            ],
        ),
    ];
    for (rules, liveness, faults) in found {
        let faults: Vec<&str> = faults.iter().map(String::as_str).collect();
        let outcome = struck(rules, 2, &faults);
        assert_eq!(outcome.property, Some(Broken::NotDrained(liveness)), "{:?}", outcome.explanation);
        assert!(outcome.claimed);
        assert_eq!(struck("v12", 2, &faults).property, None, "{rules}");
    }
}

/// A link that takes nothing any more holds up what is being sent, and a failover that waits for its end.
#[test]
fn a_failover_does_not_wait_for_a_link_that_is_silent() {
    let faults = [
        "primary checkpoint 1 before effect send-ram: blackhole",
        "primary checkpoint 1 during effect send-ram: lost-heartbeat node=\"primary\"",
        "primary checkpoint 1 before effect send-ram: lost-heartbeat node=\"primary\"",
    ];
    let found = |rules: &str| {
        let mut outcomes = (0..40).map(|seed| struck(rules, seed, &faults));
        outcomes.any(|outcome| outcome.property == Some(Broken::NotDrained(Liveness::FailoverCompletes)))
    };
    assert!(found("bug:no-abort") && !found("v12"));
}

/// Section 4.3 D of the protocol book: who needs to be told, and is not, waits for ever.
#[test]
fn without_a_manager_nobody_recovers_who_needs_one() {
    let options = Options { manager: false, ..Options::default() };
    let waits = |name: &str| {
        let mut waits = 0;
        sweep(&load_rules(name).unwrap(), 0..500, 2, &options, |outcome| {
            let waited = outcome.property == Some(Broken::NotDrained(Liveness::UnattendedRecovery));
            waits += u64::from(waited);
            let told = (name, outcome.seed, outcome.explanation);
            assert!(outcome.verdict == Verdict::Holds || !outcome.claimed, "{told:?}");
        });
        waits
    };
    assert_eq!(waits("strict"), 0);
    for name in ["v12", "late-release", "remus", "fast", "bug:waits-for-a-manager"] {
        assert!(waits(name) > 50, "{name}: {}", waits(name));
    }
}

#[test]
fn over_datagrams_the_protocol_fails_safe() {
    for preset in PRESETS.iter().filter(|preset| !preset.rules.is_hybrid()) {
        let mut summary = Summary::default();
        let options = Options { datagrams: true, ..Options::default() };
        sweep(&load_rules(preset.name).unwrap(), 0..600, 2, &options, |outcome| {
            let (seed, explanation) = (outcome.seed, outcome.explanation.as_deref());
            assert!(
                outcome.verdict == Verdict::Holds || !outcome.claimed,
                "{}, seed {seed}: {explanation:?}",
                preset.name
            );
            summary.add(&outcome);
        });
        assert!(summary.sometimes["damaged bytes were refused"] > 10, "{:?}", summary.not_claimed);
    }
}

#[test]
fn every_kind_of_fault_strikes_in_a_sweep_and_a_short_one_says_what_it_never_saw() {
    let rules = load_rules("strict").unwrap();
    let mut summary = Summary::default();
    sweep(&rules, 0..2_000, 2, &Options::default(), |outcome| summary.add(&outcome));
    for kind in FaultKind::ALL.into_iter().filter(|kind| !kind.is_of_the_guest()) {
        assert!(summary.faults[kind.name()] > 20, "{kind:?}: {:?}", summary.faults);
    }
    assert!(summary.occasions["crash of the primary in saving"] > 0);
    let mut short = Summary::of(&rules.rules, &Options::default());
    short.add(&run(&rules, 0, &Options { faults: false, ..Options::default() }));
    assert!(short.never_struck().any(|name| name == "crash of the primary in saving"));
}
