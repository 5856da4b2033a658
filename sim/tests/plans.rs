//! Plans: a fault at every protocol point, wrong suspicions, points that are never reached, and how a run reads.
#![allow(clippy::unwrap_used, reason = "a test may")]

use colo_protocol::{CheckpointNumber, EffectKind, InputKind, NodeName, Property};
use colo_sim::{Broken, Options, Outcome, Verdict, run};
use colo_trace::{Event, Fault, FaultAction, Moment, Plan, Point, diagram, load_rules};

fn with(plan: Plan) -> Options {
    Options { plan: Some(plan), checkpoints: 3, ..Options::default() }
}

fn planned(rules: &str, text: &str) -> Outcome {
    planned_from(7, rules, text)
}

fn planned_from(seed: u64, rules: &str, text: &str) -> Outcome {
    let plan = Plan::from_toml(&format!("schema = 1\n{text}")).unwrap();
    run(&load_rules(rules).unwrap(), seed, &with(plan))
}

/// Every point that the first occurrence of an event can have in checkpoints 0 to 2.
fn points() -> impl Iterator<Item = Point> {
    let events: Vec<Event> =
        InputKind::all().map(Event::Input).chain(EffectKind::all().map(Event::Effect)).collect();
    NodeName::ALL.into_iter().flat_map(move |node| {
        events.clone().into_iter().flat_map(move |event| {
            [Moment::Before, Moment::During, Moment::After].into_iter().flat_map(move |moment| {
                (0..3).map(CheckpointNumber).map(move |checkpoint| Point {
                    node,
                    checkpoint,
                    moment,
                    event,
                    occurrence: 1,
                })
            })
        })
    })
}

#[test]
fn a_fault_at_every_point_is_survived() {
    let actions = [
        FaultAction::Crash { node: NodeName::Primary },
        FaultAction::Crash { node: NodeName::Secondary },
        FaultAction::Cut,
        FaultAction::FailLoad,
        FaultAction::Stall { for_ms: 300 },
        FaultAction::LostHeartbeat { node: NodeName::Primary },
        FaultAction::LostHeartbeat { node: NodeName::Secondary },
    ];
    for name in ["v12", "late-release", "remus", "fast", "strict"] {
        let rules = load_rules(name).unwrap();
        let mut reached = 0;
        for at in points() {
            for action in actions {
                let outcome = run(&rules, at.checkpoint.0, &with(Plan::new(vec![Fault { at, action }])));
                let explanation = outcome.explanation.as_deref();
                assert_eq!(outcome.verdict, Verdict::Holds, "{name}, {at}, {action}: {explanation:?}");
                if !outcome.unreached.is_empty() {
                    break;
                }
                reached += 1;
            }
        }
        assert!(reached > 1_000, "{reached} of the faults were at points that the run reached");
    }
}

#[test]
fn a_link_that_stalls_for_long_is_not_held_against_the_primary() {
    let text = "[[fault]]\nat = \"primary checkpoint 1 before effect send-ram\"\naction = \"stall\"\nfor_ms = 100000\n";
    let plan = Plan::from_toml(&format!("schema = 1\n{text}")).unwrap();
    let rules = load_rules("v12").unwrap();
    for seed in 0..10 {
        let outcome = run(&rules, seed, &with(plan.clone()));
        assert_eq!(outcome.verdict, Verdict::Holds, "seed {seed}: {:?}", outcome.explanation);
    }
}

#[test]
fn one_wrong_suspicion_is_survived_and_two_are_two_servers() {
    let once = r#"
        [[fault]]
        at = "primary checkpoint 2 after input guest-output occurrence 2"
        action = "lost-heartbeat"
        node = "secondary"
    "#;
    let outcome = planned("v12", once);
    assert_eq!((outcome.verdict, outcome.failovers, outcome.unreached.len()), (Verdict::Holds, 1, 0));
    let twice = format!(
        "{once}\n{}",
        r#"
        [[fault]]
        at = "secondary checkpoint 2 after effect take-over"
        action = "lost-heartbeat"
        node = "primary"
    "#
    );
    // Both have to give the world something before the manager sees to it that one of them does not.
    let two = |outcome: &Outcome| outcome.property == Some(Broken::Property(Property::SingleServer));
    let outcome = (0..20).map(|seed| planned_from(seed, "v12", &twice)).find(two).unwrap();
    assert!(!outcome.claimed, "unfenced rules do not claim it");
}

#[test]
fn points_that_are_never_reached_are_told() {
    let outcome = planned(
        "v12",
        r#"
        [[fault]]
        at = "primary checkpoint 77 before effect release"
        action = "cut"

        [[fault]]
        at = "primary checkpoint 1 after effect release"
        action = "stall"
        for_ms = 2
    "#,
    );
    assert_eq!(outcome.unreached.len(), 1);
    assert_eq!(outcome.unreached[0].at.to_string(), "primary checkpoint 77 before effect release");
    assert_eq!(outcome.plan.faults.len(), 1);
}

#[test]
fn half_of_a_transfer_is_on_the_link_when_its_sender_dies() {
    let during = |effect: &str| {
        let text = format!(
            "[[fault]]\nat = \"primary checkpoint 1 during effect {effect}\"\naction = \"crash\"\nnode = \"primary\""
        );
        let plan = Plan::from_toml(&format!("schema = 1\n{text}")).unwrap();
        run(&load_rules("v12").unwrap(), 7, &Options { replacements: Some(0), ..with(plan) })
    };
    for effect in ["send-ram", "send-device-state"] {
        let outcome = during(effect);
        assert_eq!((outcome.verdict, outcome.failovers, outcome.checkpoints), (Verdict::Holds, 1, 0));
        assert!(outcome.sometimes.contains_key("a node crashed during a transfer"), "{effect}");
    }
}

#[test]
fn a_failing_run_reads_as_a_diagram() {
    let plan = Plan::from_toml(
        "schema = 1\n[[fault]]\nat = \"primary checkpoint 1 during effect send-ram\"\naction = \"crash\"\nnode = \"primary\"",
    );
    let options = Options { clients: 1, record: true, ..with(plan.unwrap()) };
    let outcome = run(&load_rules("bug:release-at-suspend").unwrap(), 1, &options);
    assert_eq!(outcome.property, Some(Broken::Property(Property::OutputCommit)));
    insta::assert_snapshot!(diagram(&outcome.trace.unwrap()));
}
