//! Runs without an end, as stories: of each bug that is named for a liveness property, and of each property that a preset
//! is known to stall.
#![expect(clippy::unwrap_used, reason = "a test may")]

use colo_model::checker::Progress;
use colo_model::{
    Bounds, Budgets, Check, ForEver, Limits, LivenessReport, Pair, UNBOUNDED, Verdict, check, find_bug,
    follow_trace, lasso_story,
};
use colo_protocol::{
    BUGS, Effect, Fencing, Input, Liveness, NodeName, OutputOffset, PRESETS, Rules, bug_named,
};
use colo_trace::{Kind, Record, Trace, diagram};
use stateright::Model;

/// The longest line of a diagram: the world's column has a fault's name whole.
const WIDEST: usize = 128;

/// Something that stalls, and what has to be allowed for it to be seen, and no more.
struct Stall {
    name: &'static str,
    rules: Rules,
    property: Liveness,
    budgets: Budgets,
}

fn bugs() -> impl Iterator<Item = Stall> {
    BUGS.iter().filter_map(|bug| {
        let (none, property) = (Budgets::default(), bug.stalls?);
        let budgets = match property {
            Liveness::UnattendedRecovery => none,
            Liveness::Shutdown => Budgets { shutdowns: 1, ..none },
            Liveness::DeferredFailoverCompletes => Budgets { load_errors: 1, ..none },
            Liveness::FailoverCompletes => Budgets { stalls: 1, ..none },
            _ => panic!("{}: nobody has said what shows it", bug.name),
        };
        Some(Stall { name: bug.name, rules: bug.rules, property, budgets: Budgets { crashes: 1, ..budgets } })
    })
}

/// `late-release` and `remus` stall what `v12` does, in the same ways.
fn presets() -> impl Iterator<Item = Stall> {
    let presets = PRESETS.iter().filter(|preset| ["v12", "qemu"].contains(&preset.name));
    let none = Budgets::default();
    presets.flat_map(move |preset| {
        preset.stalls.iter().map(move |property| {
            let budgets = match property {
                Liveness::UnattendedRecovery => Budgets { crashes: 1, ..none },
                Liveness::CheckpointEnds => Budgets { blackholes: 1, ..none },
                Liveness::Release => Budgets { outputs: 1, blackholes: 1, ..none },
                Liveness::Shutdown => Budgets { shutdowns: 1, ..none },
                _ => panic!("{property:?}: nobody has said what shows it"),
            };
            Stall { name: preset.name, rules: preset.rules, property: *property, budgets }
        })
    })
}

impl Stall {
    /// Checkpoints are not counted: where they run out, output would be withheld for want of them.
    fn check(&self, rules: &Rules) -> Check {
        let bounds = Bounds { checkpoints: UNBOUNDED, budgets: self.budgets };
        let check = check(rules, &bounds, &Limits { threads: 2, ..Limits::default() });
        assert!(check.complete);
        check
    }

    fn verdict_under(&self, rules: &Rules) -> Verdict {
        report(&self.check(rules), self.property).verdict
    }

    /// The run, drawn. That the property is broken stands at its end.
    fn drawn(&self) -> String {
        let check = self.check(&self.rules);
        let lasso = report(&check, self.property).lasso.as_ref();
        let lasso = lasso.unwrap_or_else(|| panic!("{}: {:?}", self.name, self.property));
        let pair = Pair { rules: self.rules, bounds: report(&check, self.property).bounds };
        let diagram = diagram(&lasso_story(&pair, self.name, self.property, lasso));
        assert!(diagram.lines().all(|line| line.chars().count() <= WIDEST), "{diagram}");
        assert!(diagram.trim_end().ends_with(&format!("!!! {}", self.property.name())), "{diagram}");
        diagram
    }

    /// The same with one thing less that may happen.
    fn smaller(&self) -> impl Iterator<Item = Self> {
        let Self { budgets, .. } = *self;
        let spared = [
            Budgets { outputs: 0, ..budgets },
            Budgets { shutdowns: 0, ..budgets },
            Budgets { crashes: 0, ..budgets },
            Budgets { stalls: 0, ..budgets },
            Budgets { blackholes: 0, ..budgets },
            Budgets { load_errors: 0, ..budgets },
        ];
        spared.into_iter().filter(move |spared| *spared != budgets).map(|budgets| Self { budgets, ..*self })
    }
}

/// The classes of steps that the book says are fair, for a property that concerns this node.
fn is_fair(property: Liveness, node: NodeName, class: &str) -> bool {
    const ENVIRONMENT: [&str; 4] =
        ["carries out", "ends an operation", "is given what has come", "sees the link down"];
    let (own, anybody) = (node.name(), ["primary", "secondary"]);
    let of = |nodes: &[&str], kinds: &[&str]| {
        nodes.iter().any(|node| {
            kinds
                .iter()
                .any(|kind| [format!("{node} {kind}"), format!("{node}'s {kind}")].contains(&class.into()))
        })
    };
    let patience = of(&anybody, &["patience ends"]);
    let manager = of(&anybody, &["is told", "is fenced"]);
    let timer = ["the timer fires", "the comparison looks"].contains(&class);
    let environments = of(&anybody, &ENVIRONMENT);
    match property {
        Liveness::FailoverCompletes | Liveness::DeferredFailoverCompletes | Liveness::SurvivorGoesOn => {
            of(&[own], &ENVIRONMENT)
        }
        Liveness::UnattendedRecovery => environments || patience,
        Liveness::CheckpointEnds | Liveness::Shutdown => environments || patience || manager,
        Liveness::Release => environments || patience || manager || timer,
        Liveness::ProtectionAgain => environments || patience || manager || class == "a replacement comes",
    }
}

fn report(check: &Check, property: Liveness) -> &LivenessReport {
    check.liveness.iter().find(|report| report.property == property).unwrap()
}

/// A trace of the run, as `colo check` writes it.
fn trace_of(stall: &Stall) -> Trace {
    let check = stall.check(&stall.rules);
    let report = report(&check, stall.property);
    let pair = Pair { rules: stall.rules, bounds: report.bounds };
    lasso_story(&pair, stall.name, stall.property, report.lasso.as_ref().unwrap())
}

#[test]
fn a_run_without_an_end_breaks_the_same_when_it_is_followed_again() {
    for stall in bugs().chain(presets()) {
        let trace = trace_of(&stall);
        let followed = follow_trace(&trace);
        let expected = ForEver { property: stall.property, flaw: None };
        assert_eq!(followed.for_ever, Some(expected), "{}", stall.name);
        assert_eq!(followed.trace, trace, "{}", stall.name);
    }
}

#[test]
fn a_run_that_could_go_on_or_owes_nothing_breaks_nothing() {
    let stall = bugs().next().unwrap();
    let trace = trace_of(&stall);
    let without = |dropped: &dyn Fn(&Record) -> bool| {
        let mut trace = trace.clone();
        trace.records.retain(|record| !dropped(record));
        follow_trace(&trace).for_ever.unwrap().flaw.unwrap()
    };
    let steps = |record: &Record| record.kind == Kind::Effect;
    assert!(without(&steps).contains("could happen all the time and never does"), "{}", without(&steps));
    let notes = |record: &Record| record.kind == Kind::Note;
    assert!(without(&notes).starts_with("the trace does not say"), "{}", without(&notes));
}

#[test]
fn a_guest_that_does_more_than_a_node_can_take_is_held_back() {
    let stall = bugs().next().unwrap();
    let mut trace = trace_of(&stall);
    let reset = Record::input(1, NodeName::Primary, 0, Input::GuestReset);
    trace.records =
        vec![Record::input(1, NodeName::Secondary, 0, Input::StateLoaded { output: OutputOffset(0) })];
    trace.records.extend(std::iter::repeat_n(reset, 40));
    assert_eq!(follow_trace(&trace).stuck, None, "a VM that does not execute is reset once");
    trace.header.rules = Rules::QEMU;
    let reset = Record::input(1, NodeName::Secondary, 0, Input::GuestReset);
    trace.records.truncate(1);
    for effect in [Effect::StartReplication, Effect::ResumeVm] {
        trace.records.push(Record::effect(1, NodeName::Secondary, 0, effect));
    }
    trace.records.extend(std::iter::repeat_n(reset, 40));
    let stuck = follow_trace(&trace).stuck.unwrap();
    assert_eq!(stuck.wanted.name, "guest-resets");
}

#[test]
fn a_liveness_bug_reads_as_a_story() {
    for stall in bugs() {
        insta::assert_snapshot!(stall.name.replace(':', "-"), stall.drawn());
    }
}

#[test]
fn what_a_preset_stalls_reads_as_a_story() {
    for stall in presets() {
        let name = format!("{}-{}", stall.name, stall.property.name().replace(' ', "-"));
        insta::assert_snapshot!(name, stall.drawn());
    }
}

/// The steps are the model's, and in the end none is possible that has to happen: what the book calls fair.
#[test]
fn a_run_that_stops_is_one_of_the_model_and_starves_nobody() {
    for stall in bugs().chain(presets()) {
        let check = stall.check(&stall.rules);
        let report = report(&check, stall.property);
        let lasso = report.lasso.as_ref().unwrap();
        assert!(lasso.stops(), "{}", stall.name);
        let pair = Pair { rules: stall.rules, bounds: report.bounds };
        let mut state = pair.init_states().swap_remove(lasso.initial);
        for step in &lasso.stem {
            let mut possible = Vec::new();
            pair.actions(&state, &mut possible);
            assert!(possible.contains(step), "{}: {step:?}", stall.name);
            state = pair.next_state(&state, *step).unwrap();
        }
        let left: Vec<_> = pair.next_steps(&state).into_iter().filter(|(_, next)| *next != state).collect();
        let starves = |node| {
            left.iter().any(|(step, _)| {
                let class = pair.classes()[usize::from(pair.class(step).number())];
                is_fair(stall.property, node, class)
            })
        };
        // A property that concerns a node is fair to that node only, and is stalled at one of them.
        let is_fair_run = NodeName::ALL.into_iter().any(|node| !starves(node));
        assert!(is_fair_run, "{} {:?}: {left:?}", stall.name, stall.property);
    }
}

#[test]
fn a_stall_needs_all_that_is_allowed_for_it() {
    for stall in bugs().chain(presets()) {
        for smaller in stall.smaller() {
            let (name, property, budgets) = (stall.name, stall.property, smaller.budgets);
            assert_eq!(
                smaller.verdict_under(&stall.rules),
                Verdict::Holds,
                "{name} {property:?} {budgets:?}"
            );
        }
    }
}

/// The one field is that of `strict` for the bug that only `strict` would call one, of `v12` for the others.
#[test]
fn a_liveness_bug_is_gone_when_its_one_field_is_mended() {
    for stall in bugs() {
        let of_strict = stall.rules.fencing == Fencing::Arbiter;
        let good = if of_strict { Rules::STRICT } else { Rules::V12 };
        assert_eq!(stall.verdict_under(&good), Verdict::Holds, "{}", stall.name);
    }
}

#[test]
fn nothing_stalls_under_strict() {
    for stall in bugs().chain(presets()) {
        assert_eq!(
            stall.verdict_under(&Rules::STRICT),
            Verdict::Holds,
            "{} {:?}",
            stall.name,
            stall.property
        );
    }
}

/// What `colo verify` looks for, in the scopes of a check, is there.
#[test]
fn the_search_for_a_bug_finds_it_too() {
    for stall in bugs() {
        let found = find_bug(bug_named(stall.name).unwrap(), 2);
        assert_eq!(report(&found, stall.property).verdict, Verdict::Violated, "{}", stall.name);
    }
}
