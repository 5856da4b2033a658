//! A path of the model in ITF, the JSON format for traces that Apalache writes and Quint reads (ADR 015 of Apalache).
//!
//! A trace of ours tells what happened; ITF tells the state after each step. Here that is what a person asks of a state:
//! phases, numbers of checkpoints, the link with what is on it, output, and what is broken.

use crate::action::Action;
use crate::packed::Packed;
use crate::pair::Pair;
use crate::state::{Side, State};
use crate::summary::{broken, link_name, packet_name, phase_name, step_in_words};
use colo_protocol::{Machine, NodeName, Property};
use serde_json::{Value, json};
use stateright::Model;

/// Where the format is described.
const DESCRIPTION: &str = "https://apalache-mc.org/docs/adr/015adr-trace.html";

/// The variables, by name: of a pair a record with the fields `primary` and `secondary`.
const VARIABLES: [&str; 14] = [
    "action",
    "phase",
    "failover",
    "checkpoint",
    "promised",
    "loaded",
    "running",
    "link",
    "to_primary",
    "to_secondary",
    "released",
    "committed",
    "promoted",
    "broken",
];

/// The states on `path` from the initial state, as an ITF document of one line a state. A run without an end goes on
/// from its last state as from the one at `again`.
pub fn itf(pair: &Pair, rules_name: &str, path: &[Action], again: Option<usize>) -> String {
    let again = again.map_or_else(String::new, |again| format!("\"loop\":{again},\n"));
    let meta = json!({
        "format": "ITF",
        "format-description": DESCRIPTION,
        "source": rules_name,
        "description": format!("written by colo check {rules_name}, version {}", env!("CARGO_PKG_VERSION")),
    });
    let states: Vec<_> = states(pair, path).iter().map(Value::to_string).collect();
    format!(
        "{{\"#meta\":{meta},\n\"params\":[],\n\"vars\":{},\n{again}\"states\":[\n{}\n]}}\n",
        json!(VARIABLES),
        states.join(",\n")
    )
}

fn states(pair: &Pair, path: &[Action]) -> Vec<Value> {
    let mut state = State::initial();
    let mut states = vec![variables(0, "init", &state)];
    for (index, action) in (1..).zip(path) {
        let Some(after) = pair.next_state(&Packed::new(&state), *action) else { break };
        let after = after.state();
        states.push(variables(index, &step_in_words(&state, *action, &after), &after));
        state = after;
    }
    states
}

fn variables(index: u64, action: &str, state: &State) -> Value {
    let machine = |side: &Side| *side.node.machine();
    let [promised, loaded] = match machine(state.side(NodeName::Secondary)) {
        Machine::Secondary(secondary) => [secondary.promised().0, secondary.loaded().0],
        Machine::Primary(_) => [0; 2],
    };
    let [to_primary, to_secondary] =
        state.sides.each_ref().map(|side| side.inbox.iter().map(packet_name).collect::<Vec<_>>());
    json!({
        "#meta": { "index": index },
        "action": action,
        "phase": both(NodeName::ALL.map(|name| phase_name(state, name))),
        "failover": both(state.sides.each_ref().map(|side| machine(side).failover().name())),
        "checkpoint": both(state.sides.each_ref().map(|side| number(machine(side).checkpoint().0))),
        "promised": number(promised),
        "loaded": number(loaded),
        "running": both(state.sides.each_ref().map(|side| side.vm.running)),
        "link": link_name(state.link),
        "to_primary": to_primary,
        "to_secondary": to_secondary,
        "released": both(state.world.released.map(|end| number(end.into()))),
        "committed": number(state.world.committed.into()),
        "promoted": both(state.world.promoted),
        "broken": { "#set": broken(state).map(Property::name).collect::<Vec<_>>() },
    })
}

fn both<T: Into<Value>>([primary, secondary]: [T; 2]) -> Value {
    let (primary, secondary): (Value, Value) = (primary.into(), secondary.into());
    json!({ "primary": primary, "secondary": secondary })
}

/// Numbers of specifications know no end: ITF writes them as text.
fn number(number: u64) -> Value {
    json!({ "#bigint": number.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bounds::Bounds;
    use crate::check::check;
    use crate::checker::Limits;
    use colo_protocol::bug_named;
    use serde::Deserialize;
    use std::collections::BTreeSet;

    /// What another tool makes of it.
    #[derive(Deserialize, Debug)]
    #[serde(deny_unknown_fields)]
    struct Told {
        action: String,
        phase: Both<String>,
        failover: Both<String>,
        checkpoint: Both<u64>,
        promised: u64,
        loaded: u64,
        running: Both<bool>,
        link: String,
        to_primary: Vec<String>,
        to_secondary: Vec<String>,
        released: Both<u64>,
        committed: u64,
        promoted: Both<bool>,
        broken: BTreeSet<String>,
    }

    #[derive(Deserialize, PartialEq, Eq, Debug)]
    struct Both<T> {
        primary: T,
        secondary: T,
    }

    fn counterexample() -> (String, usize) {
        let rules = bug_named("bug:release-at-suspend").unwrap().rules;
        let bounds = Bounds::of(&rules);
        let limits = Limits { until: Some(Property::OutputCommit.name()), ..Limits::default() };
        let check = check(&rules, &bounds, &limits);
        let path = check.properties[0].counterexample.clone().unwrap();
        (itf(&Pair { rules, bounds }, "bug:release-at-suspend", &path, None), path.len())
    }

    #[test]
    fn a_counterexample_is_read_back_by_a_reader_of_itf() {
        let (text, steps) = counterexample();
        let trace: itf::Trace<Told> = itf::trace_from_str(&text).unwrap();
        assert_eq!(trace.meta.format.as_deref(), Some("ITF"));
        assert_eq!(trace.vars, VARIABLES);
        assert_eq!(trace.states.len(), steps + 1);
        assert!((0..).zip(&trace.states).all(|(index, state)| state.meta.index == Some(index)));

        let [first, .., last] = trace.states.as_slice() else { panic!("{text}") };
        let (first, last) = (&first.value, &last.value);
        assert_eq!((first.action.as_str(), first.link.as_str()), ("init", "up"));
        assert_eq!((first.promised, first.loaded, first.checkpoint.primary), (0, 0, 0));
        assert_eq!(last.action, "secondary: take-over");
        assert_eq!(last.phase, Both { primary: "dead".to_owned(), secondary: "alone".to_owned() });
        assert_eq!(last.failover.secondary, "completed");
        assert_eq!(last.promoted, Both { primary: false, secondary: true });
        assert_eq!((last.released.primary, last.committed), (1, 0), "the world has seen what is not there");
        assert_eq!(last.broken, BTreeSet::from(["output commit".to_owned()]));
        assert!(trace.states.iter().any(|state| state.value.to_secondary == ["checkpoint-request"]));
        assert!(trace.states.iter().any(|state| state.value.to_primary == ["checkpoint-ready"]));
        assert!(trace.states.iter().any(|state| state.value.running.primary));
    }

    #[test]
    fn the_same_path_gives_the_same_bytes() {
        assert_eq!(counterexample(), counterexample());
    }
}
