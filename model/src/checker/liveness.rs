//! Judges claims about progress: is there a fair run that comes to a state from which something is owed, and never pays?
//!
//! Such a run ends in a fair component (`components`) of the states in which nothing has been paid. Properties that
//! differ in what begins them only share the search for components. A graph that lacks runs can show that a property
//! is broken, and never that it holds.

use crate::checker::components::FairComponents;
use crate::checker::graph::{Graph, Way};
use crate::checker::places::NOWHERE;
use crate::checker::specification::{Breach, Staying};

/// A state has been reached by no step: it is where something is owed first.
const BEGINS: u32 = NOWHERE - 1;

/// Where a run that breaks a property ends.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Trap {
    /// The way to a state from which something is owed.
    pub(crate) before: Way,
    /// The way from there to a state in which the run can stay.
    pub(crate) after: Way,
    /// Whether the run can just stop there.
    pub(crate) stops: bool,
}

/// Looks for a run that breaks each of several properties, all of which have the same [`Staying`].
pub(crate) fn find_traps(
    graph: &Graph,
    stay: &Staying,
    breaches: &[Breach],
) -> (FairComponents, Vec<Option<Trap>>) {
    let labels = (0..).zip(graph.labels());
    let roots = labels.filter(|(_, labels)| breaches.iter().any(|breach| breach.begins(**labels)));
    let components = FairComponents::find(graph, stay, roots.map(|(state, _)| state));
    let trap = |breach| if components.is_empty() { None } else { find_trap(graph, breach, &components) };
    let traps = breaches.iter().map(trap).collect();
    (components, traps)
}

/// The nearest state in which the run can stop for ever, or else the nearest of a fair component.
fn find_trap(graph: &Graph, breach: &Breach, components: &FairComponents) -> Option<Trap> {
    let mut reach = Reach::new(graph, breach);
    let mut nearest = None;
    while let Some(states) = reach.next_level() {
        let stops = |state: &u32| may_stop(graph, &breach.stay, components, *state);
        if let Some(state) = states.iter().copied().find(stops) {
            return Some(reach.trap(state, true));
        }
        nearest = nearest.or_else(|| states.iter().copied().find(|state| components.of(*state).is_some()));
    }
    nearest.map(|state| reach.trap(state, false))
}

fn may_stop(graph: &Graph, stay: &Staying, components: &FairComponents, state: u32) -> bool {
    components.of(state).is_some()
        && stay.again.matches(graph.labels_of(state))
        && stay.fairness.may_stop(graph.enabled(state))
}

/// All states that a run reaches without paying, nearest to the initial states first.
struct Reach<'a> {
    graph: &'a Graph,
    breach: &'a Breach,
    /// The edge that each state was reached by; [`BEGINS`] where something is owed first.
    edges: Vec<u32>,
    level: Vec<u32>,
    depth: usize,
}

impl<'a> Reach<'a> {
    fn new(graph: &'a Graph, breach: &'a Breach) -> Self {
        Self { graph, breach, edges: vec![NOWHERE; graph.states()], level: Vec::new(), depth: 0 }
    }

    /// The states that so many steps lead to: one step more from those before, and those where something is owed first.
    fn next_level(&mut self) -> Option<&[u32]> {
        let begins = self.graph.level(self.depth);
        if begins.is_empty() && self.level.is_empty() {
            return None;
        }
        let mut next = Vec::new();
        for state in std::mem::take(&mut self.level) {
            for edge in self.graph.edges_of(state) {
                self.reach(edge.target, edge.number, &mut next);
            }
        }
        for state in begins {
            if self.breach.begins(self.graph.labels_of(state)) {
                self.reach(state, BEGINS, &mut next);
            }
        }
        self.depth += 1;
        self.level = next;
        Some(&self.level)
    }

    fn reach(&mut self, state: u32, edge: u32, next: &mut Vec<u32>) {
        let unseen = self.edges.get(state as usize) == Some(&NOWHERE);
        if unseen && self.breach.stay.within.matches(self.graph.labels_of(state)) {
            self.edges[state as usize] = edge;
            next.push(state);
        }
    }

    fn trap(&self, state: u32, stops: bool) -> Trap {
        let mut edges = Vec::new();
        let mut at = state;
        while self.edges[at as usize] != BEGINS {
            edges.push(self.edges[at as usize]);
            at = self.graph.source(self.edges[at as usize]);
        }
        edges.reverse();
        Trap { before: self.graph.way_to(at), after: Way { start: at, edges }, stops }
    }
}
