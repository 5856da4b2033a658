//! Whatever the model can do is a behaviour of the core: its stories conform, with every fault and under all rules.
#![expect(clippy::unwrap_used, reason = "a test may")]

use colo_model::{Action, Bounds, Budgets, Pair, story};
use colo_protocol::{BUGS, PRESETS, Rules};
use colo_trace::{Log, Trace, Verdict, conform};
use stateright::Model;
use std::collections::BTreeSet;

/// More of everything than a walk has steps for.
fn everything() -> Bounds {
    let budgets = Budgets {
        outputs: 3,
        uncompared: 1,
        mismatches: 1,
        held_outputs: 1,
        disk_writes: 1,
        secondary_writes: 1,
        shutdowns: 1,
        resets: 1,
        replacements: 2,
        missing_capabilities: 1,
        crashes: 2,
        cuts: 1,
        stalls: 1,
        blackholes: 1,
        partitions: 1,
        corruptions: 1,
        load_errors: 1,
        save_errors: 1,
        disk_errors: 1,
        wrong_suspicions: 1,
    };
    Bounds { checkpoints: 6, budgets }
}

/// A walk through the model, each step drawn from those that are possible. Most faults come late, or nothing else does.
fn walk(pair: &Pair, seed: u64, steps: usize) -> Vec<Action> {
    let mut state = pair.init_states().remove(0);
    // Knuth's generator is good enough to draw steps.
    let mut random = seed;
    let mut draw = |below: usize| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(random >> 33).unwrap() % below
    };
    let mut path = Vec::new();
    for _ in 0..steps {
        let mut actions = Vec::new();
        pair.actions(&state, &mut actions);
        let calm: Vec<_> = actions.iter().copied().filter(|action| is_calm(*action)).collect();
        let from = if calm.is_empty() || draw(20) == 0 { &actions } else { &calm };
        if from.is_empty() {
            break;
        }
        let action = from[draw(from.len())];
        state = pair.next_state(&state, action).unwrap();
        path.push(action);
    }
    path
}

const fn is_calm(action: Action) -> bool {
    matches!(
        action,
        Action::CarryOut(_)
            | Action::EndOperation(_)
            | Action::ApplyRam(_)
            | Action::Deliver(_)
            | Action::TimerFires
            | Action::Output(_)
            | Action::Compare
    )
}

fn variants() -> impl Iterator<Item = (&'static str, Rules)> {
    let presets = PRESETS.iter().map(|preset| (preset.name, preset.rules));
    presets.chain(BUGS.iter().map(|bug| (bug.name, bug.rules)))
}

fn assert_conforms(trace: &Trace, what: &str) {
    let finding = conform(&Log::of_trace(trace).unwrap(), &trace.header.rules).unwrap();
    let walked = || colo_trace::diagram(trace);
    assert_eq!(finding.verdict, Verdict::Conforms, "{what}: {:?}\n{}", finding.line(), walked());
}

#[test]
fn every_walk_through_the_model_conforms_with_all_that_is_recorded_and_by_its_messages_alone() {
    let mut names = BTreeSet::new();
    for (name, rules) in variants() {
        let pair = Pair { rules, bounds: everything() };
        for seed in 0..100 {
            let trace = story(&pair, name, &walk(&pair, seed, 150));
            assert_conforms(&trace, &format!("{name}, walk {seed}"));
            if seed < 10 {
                assert_conforms(&Log::messages_of(&trace), &format!("{name}, walk {seed}, messages only"));
            }
            names.extend(trace.records.into_iter().map(|record| record.name));
        }
    }
    for seen in [
        "protect",
        "disk-failed",
        "capability-missing",
        "a node lacks x-colo",
        "bad-stream",
        "cut of the link",
    ] {
        assert!(names.contains(seen) || seen == "capability-missing", "{seen}: {names:?}");
    }
}
