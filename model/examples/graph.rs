//! How fast the graph of a pair is built and judged, and how much memory it takes:
//! `cargo run --release -p colo-model --example graph -- strict 2`.

use colo_model::checker::{Claim, Class, Extent, Fairness, Finding, Progress, Specification, explore};
use colo_model::{Action, Bounds, Packed, Pair, State};
use colo_protocol::{NodeName, PRESETS};
use stateright::Model;

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

    fn next_steps(&self, state: &Packed) -> Vec<(Action, Packed)> {
        self.0.next_steps(state)
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

fn specification() -> Specification<Driven> {
    let mut specification = Specification::<Driven>::new();
    let primary_dead =
        specification.predicate("primary dead", |moment| !moment.view.side(NodeName::Primary).alive);
    let somebody_runs = specification.predicate("somebody runs", |moment| {
        moment.view.sides.iter().any(|side| side.alive && side.vm.running)
    });
    let fairness = Fairness::none().weak(ENVIRONMENT);
    for (name, fairness) in [
        ("nobody notices", fairness),
        ("somebody notices", fairness.weak(DETECTION)),
        ("somebody notices in the end", fairness.strong(DETECTION)),
    ] {
        let (from, to) = (primary_dead, somebody_runs);
        let statement = "after the primary's death somebody runs";
        specification.property(name, statement, Claim::LeadsTo { from, to, fairness });
    }
    specification
}

fn describe<A>(finding: &Finding<A>) -> String {
    match finding {
        Finding::BrokenForEver(lasso) => {
            format!("broken: {} steps, then {} again and again", lasso.stem.len(), lasso.cycle.len())
        }
        Finding::Holds => "holds".into(),
        _ => "undecided".into(),
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let name = arguments.first().map_or("v12", String::as_str);
    let threads = arguments.get(1).map_or(Ok(1), |threads| threads.parse())?;
    let preset = PRESETS.iter().find(|preset| preset.name == name).ok_or("no such preset")?;
    let model = Driven(Pair { rules: preset.rules, bounds: Bounds::of(&preset.rules) });
    let (specification, extent) = (specification(), Extent::everything(threads));

    let explored = explore(&model, &specification, &extent)?;
    let figures = explored.figures();
    println!("{} states, {} edges, {} deep", figures.distinct, figures.transitions, figures.depth);
    println!(
        "{:.2} s, {:.2} s of processors, {:.0} states per second, collision {:.1e}",
        figures.elapsed.as_secs_f64(),
        figures.processor_time.as_secs_f64(),
        figures.states_per_second(),
        figures.collision_probability()
    );
    println!("{} bytes a state, {} on the way", figures.bytes_per_state, figures.peak_bytes_per_state);
    let report = explored.judge(&extent);
    for judged in &report.properties {
        println!("{}: {} ({} occasions)", judged.property.name, describe(&judged.finding), judged.occasions);
    }
    println!("judged in {:.2} s", report.elapsed.as_secs_f64());
    Ok(())
}
