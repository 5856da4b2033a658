//! Pictures of the state graph, in DOT: the graph seen from far, and the whole of a small one.
//!
//! From far a state is no more than the phases of its two nodes. What leads from one such pair to another is one edge,
//! with the names of all events that do; what changes no phase is left out. This is the picture of the protocol.

use crate::action::Action;
use crate::checker::{Coverage, Limits, Search, search};
use crate::packed::Packed;
use crate::pair::Pair;
use crate::state::State;
use crate::story::record;
use crate::summary::{broken, phase_name, step_in_words};
use colo_protocol::{NodeName, Property};
use colo_trace::Kind;
use stateright::Model;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write;
use thiserror::Error;

/// The most states that are drawn one by one.
pub const MAX_DRAWN_STATES: usize = 2_000;

/// There are too many states to draw each.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("more than {MAX_DRAWN_STATES} states: choose smaller bounds, or the picture of phases")]
pub struct TooManyStates;

/// The phases of both nodes.
type Phases = [&'static str; 2];

/// An event's name, without its number; whether it is a fault.
type Event = (bool, String);

/// The steps of a search, as far as they change a phase.
#[derive(Default)]
struct Quotient {
    edges: BTreeMap<(Phases, Phases), BTreeSet<Event>>,
}

impl Coverage<Pair> for Quotient {
    fn steps(&mut self, _: &Pair, from: &Packed, steps: &[(Action, Packed)]) {
        let before = from.state();
        for (action, after) in steps {
            let after = after.state();
            let edge = (phases(&before), phases(&after));
            if edge.0 != edge.1 {
                self.edges.entry(edge).or_default().insert(event(&before, *action, &after));
            }
        }
    }

    fn merge(&mut self, other: Self) {
        for (edge, mut events) in other.edges {
            self.edges.entry(edge).or_default().append(&mut events);
        }
    }
}

fn phases(state: &State) -> Phases {
    NodeName::ALL.map(|name| phase_name(state, name))
}

fn event(before: &State, action: Action, after: &State) -> Event {
    let record = record(0, action, before, after);
    match record.node {
        Some(node) if record.kind != Kind::Fault => (false, format!("{node}: {}", record.name)),
        _ => (record.kind == Kind::Fault, record.name),
    }
}

/// Draws all that `pair` can do within its bounds, a node a pair of phases. Limits can cut it short; then it says so.
pub fn phase_graph(pair: &Pair, rules_name: &str, limits: &Limits) -> String {
    let found: Search<Action, Quotient> = search(pair, limits);
    let edges = &found.coverage.edges;
    let nodes = in_order(edges);
    let number = |phases: &Phases| nodes.iter().position(|node| node == phases).unwrap_or_default();
    let whole = if found.complete { "all" } else { "NOT all, a limit was reached:" };
    let title = format!(
        "{rules_name}: {whole} {} states by phases, the primary's above the secondary's",
        found.distinct
    );
    let mut out = head(&title);
    for (number, [primary, secondary]) in nodes.iter().enumerate() {
        let mark = if number == 0 { ", peripheries=2" } else { "" };
        let (primary, secondary) = (quoted(primary), quoted(secondary));
        line(&mut out, format_args!("  n{number} [label=\"{primary}\\n{secondary}\"{mark}];"));
    }
    let mut numbered: Vec<_> =
        edges.iter().map(|((from, to), events)| (number(from), number(to), events)).collect();
    numbered.sort_unstable();
    for (from, to, events) in numbered {
        let faults = if events.iter().all(|(fault, _)| *fault) { FAULT } else { "" };
        // Each line of a label ends with a mark of its own.
        let label: Vec<_> = events.iter().map(|(_, name)| quoted(name) + "\\l").collect();
        let label = label.concat();
        line(&mut out, format_args!("  n{from} -> n{to} [label=\"{label}\"{faults}];"));
    }
    out.push_str("}\n");
    out
}

/// The phases in the order in which they are reached, those of the initial state first.
fn in_order(edges: &BTreeMap<(Phases, Phases), BTreeSet<Event>>) -> Vec<Phases> {
    let mut nodes = vec![phases(&State::initial())];
    let mut next = 0;
    while let Some(node) = nodes.get(next).copied() {
        for (_, to) in edges.keys().filter(|(from, _)| *from == node) {
            if !nodes.contains(to) {
                nodes.push(*to);
            }
        }
        next += 1;
    }
    nodes
}

/// Draws every state that `pair` reaches within its bounds, and every step.
pub fn state_graph(pair: &Pair, rules_name: &str) -> Result<String, TooManyStates> {
    let mut states = pair.init_states();
    // Only looked up: nothing depends on its order.
    let mut numbers: HashMap<Packed, usize> =
        states.iter().enumerate().map(|(number, state)| (*state, number)).collect();
    let mut edges = String::new();
    let mut next = 0;
    while let Some(packed) = states.get(next).copied() {
        let before = packed.state();
        for (action, packed) in pair.next_steps(&packed) {
            let to = *numbers.entry(packed).or_insert_with(|| {
                states.push(packed);
                states.len() - 1
            });
            if states.len() > MAX_DRAWN_STATES {
                return Err(TooManyStates);
            }
            let after = packed.state();
            let (fault, _) = event(&before, action, &after);
            let (words, mark) =
                (quoted(&step_in_words(&before, action, &after)), if fault { FAULT } else { "" });
            line(&mut edges, format_args!("  s{next} -> s{to} [label=\"{words}\"{mark}];"));
        }
        next += 1;
    }
    let mut out = head(&format!("{rules_name}: all {} states", states.len()));
    for (number, state) in states.iter().enumerate() {
        line(&mut out, format_args!("  s{number} [{}];", state_attributes(number, &state.state())));
    }
    out.push_str(&edges);
    out.push_str("}\n");
    Ok(out)
}

fn state_attributes(number: usize, state: &State) -> String {
    let [primary, secondary] = phases(state);
    let mut label = format!("{number}\\n{}\\n{}", quoted(primary), quoted(secondary));
    let broken: Vec<_> = broken(state).map(Property::name).collect();
    let mut marks = String::new();
    if !broken.is_empty() {
        let _ = write!(label, "\\n!!! {}", quoted(&broken.join(", ")));
        marks.push_str(", color=\"#b3261e\", style=filled, fillcolor=\"#fde3e1\"");
    }
    if number == 0 {
        marks.push_str(", peripheries=2");
    }
    format!("label=\"{label}\"{marks}")
}

/// How an edge looks that only faults lead over.
const FAULT: &str = ", color=\"#b3261e\", fontcolor=\"#b3261e\", style=dashed";

fn head(title: &str) -> String {
    format!(
        "digraph colo {{\n  label=\"{}\";\n  labelloc=t;\n  fontname=\"monospace\";\n  \
         node [shape=box, fontname=\"monospace\", fontsize=12];\n  edge [fontname=\"monospace\", fontsize=10];\n",
        quoted(title)
    )
}

/// Text between quotes in DOT: a backslash begins something there.
fn quoted(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace(char::is_control, " ")
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = writeln!(out, "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bounds::{Bounds, Budgets};
    use colo_protocol::{Rules, bug_named};

    /// One checkpoint, and nothing happens besides.
    fn quiet() -> Pair {
        Pair { rules: Rules::V12, bounds: Bounds { checkpoints: 1, budgets: Budgets::default() } }
    }

    fn crashes() -> Pair {
        let budgets = Budgets { crashes: 1, ..Budgets::default() };
        Pair { bounds: Bounds { budgets, ..quiet().bounds }, ..quiet() }
    }

    #[test]
    fn the_protocol_from_far_is_what_the_picture_shows() {
        insta::assert_snapshot!(phase_graph(&quiet(), "v12", &Limits::default()));
    }

    #[test]
    fn the_picture_does_not_depend_on_the_number_of_threads() {
        let drawn = |threads| phase_graph(&crashes(), "v12", &Limits { threads, ..Limits::default() });
        assert_eq!(drawn(1), drawn(4));
    }

    #[test]
    fn only_what_faults_alone_bring_about_is_drawn_as_a_fault() {
        let drawn = phase_graph(&crashes(), "v12", &Limits::default());
        let faults: Vec<_> = drawn.lines().filter(|line| line.contains(FAULT)).collect();
        assert!(!faults.is_empty() && faults.iter().all(|line| line.contains("label=\"crash of the ")));
    }

    #[test]
    fn a_picture_that_was_cut_short_says_so() {
        let limits = Limits { max_depth: Some(5), ..Limits::default() };
        let drawn = phase_graph(&quiet(), "v12", &limits);
        assert!(drawn.contains("label=\"v12: NOT all, a limit was reached: "), "{drawn}");
    }

    #[test]
    fn every_state_of_a_small_graph_is_drawn_once() {
        let drawn = state_graph(&crashes(), "v12").unwrap();
        let search: Search<Action, ()> = search(&crashes(), &Limits::default());
        let count = |mark: &str| drawn.lines().filter(|line| line.contains(mark)).count() as u64;
        assert_eq!(count("\\n"), search.distinct, "{drawn}");
        assert_eq!(count(" -> "), search.transitions);
    }

    #[test]
    fn what_is_broken_stands_out() {
        let rules = bug_named("bug:release-at-suspend").unwrap().rules;
        let budgets = Budgets { outputs: 1, crashes: 1, ..Budgets::default() };
        let drawn =
            state_graph(&Pair { rules, bounds: Bounds { checkpoints: 1, budgets } }, "a \"bug\"").unwrap();
        assert!(
            drawn.contains("!!! output commit") && drawn.contains("label=\"a \\\"bug\\\": all "),
            "{drawn}"
        );
    }

    #[test]
    fn too_many_states_are_not_drawn() {
        let pair = Pair { rules: Rules::V12, bounds: Bounds::of(&Rules::V12) };
        assert_eq!(state_graph(&pair, "v12"), Err(TooManyStates));
    }
}
