//! The checker on the model that it was made for: it agrees with the search for safety, and its lassos are runs.

use colo_model::checker::{
    Claim, Class, Extent, Fairness, Finding, Progress, Search, Specification, check, search, verify_lasso,
};
use colo_model::{Action, Bounds, Budgets, Limits, Outcome, Packed, Pair, State};
use colo_protocol::Property::{CheckpointAtomicity, OutputCommit};
use colo_protocol::{BUGS, NodeName, PRESETS, Rules};
use stateright::{Model, Property};

/// The pair, with classes for its actions.
struct Driven(Pair);

const ENVIRONMENT: Class = Class::new(0);
const DETECTION: Class = Class::new(1);
const CHANCE: Class = Class::new(2);

impl Model for Driven {
    type State = Packed;
    type Action = Action;

    fn init_states(&self) -> Vec<Packed> {
        self.0.init_states()
    }

    fn actions(&self, state: &Packed, actions: &mut Vec<Action>) {
        self.0.actions(state, actions);
    }

    fn next_state(&self, state: &Packed, action: Action) -> Option<Packed> {
        self.0.next_state(state, action)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("output commit", |_, state: &Packed| state.holds(OutputCommit)),
            Property::always("checkpoint atomicity", |_, state: &Packed| state.holds(CheckpointAtomicity)),
        ]
    }
}

impl Progress for Driven {
    type View = State;

    fn view(&self, state: &Packed) -> State {
        state.state()
    }

    fn classes(&self) -> &'static [&'static str] {
        &["environment", "detection", "chance"]
    }

    fn class(&self, action: &Action) -> Class {
        match action {
            Action::CarryOut(_)
            | Action::ApplyRam(_)
            | Action::EndOperation(_)
            | Action::Deliver(_)
            | Action::SeeLinkDown(_) => ENVIRONMENT,
            Action::LostHeartbeat(_) | Action::PeerSilent(_) => DETECTION,
            _ => CHANCE,
        }
    }
}

fn tiny(rules: &Rules) -> Driven {
    let usual = Bounds::of(rules);
    let budgets = Budgets { outputs: 1, disk_writes: 0, mismatches: 0, ..usual.budgets };
    Driven(Pair { rules: *rules, bounds: Bounds { checkpoints: 1, budgets } })
}

fn specification(model: &Driven) -> Specification<Driven> {
    let mut specification = Specification::<Driven>::new();
    assert_eq!(specification.include_properties_of(model), Ok(()));
    let dead = specification.predicate("dead", |moment| !moment.view.side(NodeName::Primary).alive);
    let runs = specification
        .predicate("runs", |moment| moment.view.sides.iter().any(|side| side.alive && side.vm.running));
    let weak = Fairness::none().weak(ENVIRONMENT);
    for (name, fairness) in [("unnoticed", weak), ("noticed", weak.weak(DETECTION))] {
        let statement = "after the primary's death somebody runs";
        specification.property(name, statement, Claim::LeadsTo { from: dead, to: runs, fairness });
    }
    specification.property("ends", "all ends", Claim::EventuallyAlways { holds: runs, fairness: weak });
    specification
}

#[test]
fn the_graph_and_the_search_for_safety_agree() {
    let presets = PRESETS.iter().map(|preset| preset.rules).chain(BUGS.iter().map(|bug| bug.rules));
    for rules in presets {
        let model = tiny(&rules);
        let searched: Search<Action, ()> = search(&model, &Limits::default());
        let specification = specification(&model);
        let report = check(&model, &specification, &Extent::everything(2)).unwrap();
        let figures = report.figures;
        assert_eq!(
            (figures.generated, figures.distinct, figures.transitions, figures.depth, figures.complete),
            (searched.generated, searched.distinct, searched.transitions, searched.depth, searched.complete)
        );
        for (name, outcome) in searched.properties {
            match (outcome, report.finding(name)) {
                (Outcome::Holds, Some(Finding::Holds)) => {}
                (Outcome::Violated(actions), Some(Finding::Broken(path))) => {
                    assert_eq!(actions.len(), path.actions.len(), "{name}");
                }
                (outcome, finding) => panic!("{name}: {outcome:?}, and {finding:?}"),
            }
        }
    }
}

#[test]
fn every_lasso_of_a_pair_is_a_fair_run_of_it() {
    for preset in PRESETS {
        let model = tiny(&preset.rules);
        let specification = specification(&model);
        let report = check(&model, &specification, &Extent::default()).unwrap();
        let mut lassos = 0;
        for judged in &report.properties {
            if let Finding::BrokenForEver(lasso) = &judged.finding {
                lassos += 1;
                assert_eq!(verify_lasso(&model, &specification, &judged.property.claim, lasso), Ok(()));
            }
        }
        assert!(lassos > 0, "nobody has to notice a death");
    }
}
