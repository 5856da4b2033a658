//! Rounds of pre-copy in the simulator: real pages, of which the later are the newer, and a link on which all fails.
#![allow(clippy::unwrap_used, reason = "a test may")]

use colo_protocol::{NodeName, PRESETS, Rules};
use colo_sim::{Options, Outcome, Verdict, run};
use colo_trace::{Fault, FaultAction, Kind, Log, NamedRules, Plan, conform};

fn with_rounds(rules: &Rules, precopy_rounds: u8) -> NamedRules {
    NamedRules { name: "rounds".to_owned(), rules: Rules { precopy_rounds, ..*rules } }
}

fn count(outcome: &Outcome, kind: Kind, name: &str) -> usize {
    let records = &outcome.trace.as_ref().unwrap().records;
    records.iter().filter(|record| record.kind == kind && record.name == name).count()
}

#[test]
fn whatever_fails_a_pair_with_rounds_keeps_what_its_rules_claim() {
    for preset in PRESETS.iter().filter(|preset| preset.breaks.is_empty()) {
        for seed in 0..400 {
            let outcome = run(&with_rounds(&preset.rules, 2), seed, &Options::default());
            let holds = outcome.verdict == Verdict::Holds || !outcome.claimed;
            assert!(holds, "{} {seed}: {:?}", preset.name, outcome.explanation);
        }
    }
}

#[test]
fn each_checkpoint_has_its_rounds_and_is_loaded_whole() {
    let options = Options { record: true, faults: false, checkpoints: 4, ..Options::default() };
    for seed in 0..50 {
        let outcome = run(&with_rounds(&Rules::REMUS, 3), seed, &options);
        assert_eq!(outcome.verdict, Verdict::Holds, "{seed}: {:?}", outcome.explanation);
        let (rounds, rests) =
            (count(&outcome, Kind::Input, "round-sent"), count(&outcome, Kind::Input, "ram-sent"));
        assert!(rests > 3 && rounds >= 3 * rests, "{seed}: {rounds} and {rests}");
        let trace = outcome.trace.unwrap();
        let finding = conform(&Log::of_trace(&trace).unwrap(), &trace.header.rules).unwrap();
        assert_eq!(finding.verdict, colo_trace::Verdict::Conforms, "{seed}: {:?}", finding.line());
    }
}

/// What had come of the checkpoint is worth nothing: the secondary goes on from the one before.
#[test]
fn a_primary_that_dies_in_a_round_is_followed_by_the_checkpoint_before() {
    for at in ["during effect send-round", "after effect send-round occurrence 2", "after input round-sent"] {
        let fault = Fault {
            at: format!("primary checkpoint 2 {at}").parse().unwrap(),
            action: FaultAction::Crash { node: NodeName::Primary },
        };
        let plan = Plan::new(vec![fault]);
        let options = Options { plan: Some(plan), replacements: Some(0), record: true, ..Options::default() };
        for seed in 0..20 {
            let outcome = run(&with_rounds(&Rules::REMUS, 2), seed, &options);
            assert_eq!(outcome.verdict, Verdict::Holds, "{at}, {seed}: {:?}", outcome.explanation);
            assert_eq!((outcome.unreached.as_slice(), outcome.failovers), (&[][..], 1), "{at}, {seed}");
            assert_eq!(count(&outcome, Kind::Effect, "discard-staged"), 1, "{at}, {seed}");
        }
    }
}
