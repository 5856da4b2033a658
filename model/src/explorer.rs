//! The pair in Stateright's Explorer: the same model, with steps and states in words, and a picture of the way so far.
//!
//! An action of [`Pair`] does not say what it does: the effect that is carried out is the state's. Here an action is
//! told where it is possible, in the words of a trace. The page comes from the `stateright` crate whole, and loads
//! nothing from elsewhere. (Its developers have it read from `./ui/` first, if there is such a directory.)

use crate::action::Action;
use crate::packed::Packed;
use crate::pair::Pair;
use crate::story::story;
use crate::summary::{step_in_words, summary};
use colo_protocol::Property;
use colo_trace::svg;
use stateright::{Model, Path, Property as Always};
use std::fmt;
use std::net::{SocketAddr, TcpListener};
use thiserror::Error;

/// The pair under its rules, as the Explorer shows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ColoPair {
    /// The model.
    pub pair: Pair,
    /// The rules' name.
    pub rules_name: String,
}

/// A step that is possible somewhere, with the words for it.
#[derive(Clone, PartialEq, Eq)]
pub struct Told {
    action: Action,
    words: String,
}

impl fmt::Debug for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words)
    }
}

/// A state that tells the gist of it before it tells everything.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Seen(Packed);

impl fmt::Debug for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.0.state();
        write!(f, "{}\n{state:#?}", summary(&state))
    }
}

/// `stateright` takes bare functions only.
type Condition = fn(&ColoPair, &Seen) -> bool;

fn holds<const INDEX: usize>(_: &ColoPair, state: &Seen) -> bool {
    state.0.holds(Property::ALL[INDEX])
}

/// One for each property, in their order.
const CONDITIONS: [Condition; Property::ALL.len()] = [
    holds::<0>, holds::<1>, holds::<2>, holds::<3>, holds::<4>, holds::<5>, holds::<6>, holds::<7>,
    holds::<8>,
];

impl Model for ColoPair {
    type State = Seen;
    type Action = Told;

    fn init_states(&self) -> Vec<Seen> {
        self.pair.init_states().into_iter().map(Seen).collect()
    }

    fn actions(&self, state: &Seen, actions: &mut Vec<Told>) {
        let before = state.0.state();
        let steps = self.pair.next_steps(&state.0);
        actions.extend(steps.into_iter().map(|(action, after)| {
            let words = step_in_words(&before, action, &after.state());
            Told { action, words }
        }));
    }

    fn next_state(&self, last: &Seen, step: Told) -> Option<Seen> {
        self.pair.next_state(&last.0, step.action).map(Seen)
    }

    fn format_action(&self, step: &Told) -> String {
        step.words.clone()
    }

    fn format_step(&self, last: &Seen, step: Told) -> Option<String> {
        self.next_state(last, step).map(|after| summary(&after.0.state()))
    }

    fn as_svg(&self, path: Path<Seen, Told>) -> Option<String> {
        let path: Vec<_> = path.into_actions().into_iter().map(|step| step.action).collect();
        Some(svg(&story(&self.pair, &self.rules_name, &path)))
    }

    fn properties(&self) -> Vec<Always<Self>> {
        let conditions = Property::ALL.into_iter().zip(CONDITIONS);
        conditions.map(|(property, condition)| Always::always(property.name(), condition)).collect()
    }
}

/// Why there is no Explorer.
#[derive(Debug, Error)]
pub enum ExploreError {
    /// The address cannot be listened at.
    #[error("cannot listen at {address}: {problem}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why not.
        problem: std::io::Error,
    },
    /// The Explorer has ended, which it does of itself only when something is very wrong.
    #[error("the Explorer at {0} has stopped")]
    Stopped(SocketAddr),
}

/// Serves the Explorer at `address`, for ever; port 0 is any free port. `ready` is told where.
pub fn explore(
    model: ColoPair,
    address: SocketAddr,
    ready: impl FnOnce(SocketAddr),
) -> Result<(), ExploreError> {
    let listen = |problem| ExploreError::Listen { address, problem };
    // Stateright listens by itself, and panics where it cannot: here it is seen beforehand whether it can.
    let address = TcpListener::bind(address).and_then(|listener| listener.local_addr()).map_err(listen)?;
    ready(address);
    let server = std::thread::spawn(move || drop(model.checker().serve(address)));
    // A panic has said on stderr what it was.
    let _ = server.join();
    Err(ExploreError::Stopped(address))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bounds::Bounds;
    use crate::state::State;
    use colo_protocol::Rules;

    fn model() -> ColoPair {
        let pair = Pair { rules: Rules::V12, bounds: Bounds::of(&Rules::V12) };
        ColoPair { pair, rules_name: "v12".to_owned() }
    }

    fn possible(model: &ColoPair, state: &Seen) -> Vec<Told> {
        let mut actions = Vec::new();
        model.actions(state, &mut actions);
        actions
    }

    /// The possible step that is told so.
    fn told(model: &ColoPair, state: &Seen, words: &str) -> Told {
        let steps = possible(model, state);
        steps.iter().find(|step| step.words == words).unwrap_or_else(|| panic!("{words}: {steps:?}")).clone()
    }

    #[test]
    fn steps_are_told_in_the_words_of_a_trace() {
        let model = model();
        let mut state = Seen(Packed::new(&State::initial()));
        for words in [
            "secondary: state-loaded 0",
            "secondary: start-replication",
            "secondary: checkpoint-ready",
            "primary: checkpoint-ready",
            "primary: start-replication",
            "primary: resume-vm",
            "primary: guest-output 1",
            "*** cut of the link",
            "*** crash of the primary",
        ] {
            state = model.next_state(&state, told(&model, &state, words)).unwrap();
        }
        assert_eq!(model.format_action(&possible(&model, &state)[0]), "secondary: link-down");
    }

    #[test]
    fn a_step_says_what_state_it_leads_to_and_the_whole_state_is_there_as_well() {
        let model = model();
        let start = model.init_states()[0];
        let first = told(&model, &start, "secondary: state-loaded 0");
        let gist = model.format_step(&start, first.clone()).unwrap();
        let after = model.next_state(&start, first).unwrap();
        assert!(gist.starts_with("primary    wait-ready, failover none, checkpoint 0"), "{gist}");
        let whole = format!("{after:#?}");
        assert!(whole.starts_with(&gist) && whole.contains("State {"), "{whole}");
    }

    #[test]
    fn the_way_is_drawn() {
        let model = model();
        let start = model.init_states()[0];
        let first = told(&model, &start, "secondary: state-loaded 0");
        let drawn = model.as_svg(Path::from_actions(&model, start, [&first]).unwrap()).unwrap();
        assert!(drawn.contains("<title>v12, model</title>") && drawn.contains("state-loaded"), "{drawn}");
    }

    #[test]
    fn the_properties_are_those_of_the_pair() {
        let model = model();
        let start = model.init_states()[0];
        let properties = model.properties();
        let names: Vec<_> = properties.iter().map(|property| property.name).collect();
        assert_eq!(names, model.pair.properties().iter().map(|property| property.name).collect::<Vec<_>>());
        for (property, broken) in properties.iter().zip(Property::ALL) {
            assert!((property.condition)(&model, &start), "{}", property.name);
            let mut state = State::initial();
            state.world.break_property(broken);
            assert!(!(property.condition)(&model, &Seen(Packed::new(&state))), "{}", property.name);
        }
    }

    #[test]
    fn a_port_in_use_is_an_error() {
        let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = taken.local_addr().unwrap();
        let error = explore(model(), address, |_| panic!("it is not ready")).unwrap_err().to_string();
        assert!(error.starts_with(&format!("cannot listen at {address}: ")), "{error}");
    }
}
