//! Where a fair run can stay for ever: strongly connected parts of the graph in which no class that the environment is
//! fair to starves.
//!
//! A run may stop in any state, so a state alone is a component too. Components are found by Tarjan's algorithm, with a
//! stack of its own: graphs are a million states deep. A component in which a class with strong fairness starves is
//! taken apart again without the states in which that class is enabled (Streett's condition), from a list of work.
//! Whether a class is enabled is judged in the whole graph; whether it is taken, in the component.

use crate::checker::fairness::{Recurrence, Stay};
use crate::checker::graph::Graph;
use crate::checker::progress::ClassSet;
use crate::checker::specification::{Labels, Staying};

/// A state that has not been looked at belongs to this set.
const WHOLE: u32 = 0;
/// A state in which no fair run stays belongs to no set.
const NONE: u32 = u32::MAX;

/// The parts of a graph in which a fair run can stay.
pub(crate) struct FairComponents {
    /// For each state the number of its part, as its set.
    marks: Vec<Mark>,
    /// Whether there is any.
    any: bool,
}

impl FairComponents {
    /// Finds those that can be reached from `roots` by a run that stays as it should.
    pub(crate) fn find(graph: &Graph, stay: &Staying, roots: impl Iterator<Item = u32>) -> Self {
        let mut search = Decomposition::new(graph, stay);
        search.take_apart(WHOLE, roots);
        while let Some((set, states)) = search.work.pop() {
            search.take_apart(set, states.into_iter());
        }
        Self { marks: search.marks, any: search.any }
    }

    /// Whether there are none.
    pub(crate) const fn is_empty(&self) -> bool {
        !self.any
    }

    /// The part to which a state belongs.
    pub(crate) fn of(&self, state: u32) -> Option<u32> {
        Some(self.marks[state as usize].set).filter(|number| *number != WHOLE && *number != NONE)
    }
}

/// What is known of a state. Both halves are wanted at once, and a graph does not fit a cache.
#[derive(Clone, Copy)]
struct Mark {
    /// The set that it belongs to: one yet to be taken apart, or a part that is fair.
    set: u32,
    /// When it was met in the search through its set; zero if not yet.
    index: u32,
}

/// A state on the way of the search through the graph.
struct Frame {
    state: u32,
    /// The edge to look at next.
    edge: u32,
    /// The end of its edges.
    end: u32,
    /// The lowest index that is known to be reached from here.
    low: u32,
}

struct Decomposition<'a> {
    graph: &'a Graph,
    stay: &'a Staying,
    marks: Vec<Mark>,
    next_index: u32,
    next_set: u32,
    frames: Vec<Frame>,
    stack: Vec<u32>,
    /// Sets to be taken apart.
    work: Vec<(u32, Vec<u32>)>,
    any: bool,
}

impl<'a> Decomposition<'a> {
    fn new(graph: &'a Graph, stay: &'a Staying) -> Self {
        let may_stay = |state, labels| graph.is_expanded(state) && stay.within.matches(labels);
        let mark = |(state, labels): (u32, &Labels)| Mark {
            set: if may_stay(state, *labels) { WHOLE } else { NONE },
            index: 0,
        };
        Self {
            graph,
            stay,
            marks: (0..).zip(graph.labels()).map(mark).collect(),
            next_index: 1,
            next_set: WHOLE + 1,
            frames: Vec::new(),
            stack: Vec::new(),
            work: Vec::new(),
            any: false,
        }
    }

    /// Finds the components of a set, and judges each.
    fn take_apart(&mut self, set: u32, roots: impl Iterator<Item = u32>) {
        self.next_index = 1;
        let mut component = Vec::new();
        for root in roots {
            let mark = self.marks[root as usize];
            if mark.set != set || mark.index != 0 {
                continue;
            }
            self.enter(root);
            while self.next_component(set, &mut component) {
                // In the order of memory, which is what a large component costs.
                component.sort_unstable();
                self.judge(&component);
            }
        }
    }

    fn enter(&mut self, state: u32) {
        self.marks[state as usize].index = self.next_index;
        let edges = self.graph.edge_numbers(state);
        self.frames.push(Frame { state, edge: edges.start, end: edges.end, low: self.next_index });
        self.stack.push(state);
        self.next_index += 1;
    }

    /// Goes on until a component is complete, which leaves the set then. False at the end.
    fn next_component(&mut self, set: u32, component: &mut Vec<u32>) -> bool {
        while let Some(frame) = self.frames.last_mut() {
            if frame.edge < frame.end {
                let target = self.graph.target(frame.edge);
                frame.edge += 1;
                match self.marks.get(target as usize) {
                    Some(mark) if mark.set != set => {}
                    Some(Mark { index: 0, .. }) => self.enter(target),
                    Some(mark) => frame.low = frame.low.min(mark.index),
                    None => {}
                }
            } else if self.leave(component) {
                return true;
            }
        }
        false
    }

    /// All edges of the state met last have been seen. True if a component ends with it.
    fn leave(&mut self, component: &mut Vec<u32>) -> bool {
        let Some(Frame { state, low, .. }) = self.frames.pop() else { return false };
        if let Some(before) = self.frames.last_mut() {
            before.low = before.low.min(low);
        }
        if low != self.marks[state as usize].index {
            return false;
        }
        component.clear();
        while let Some(member) = self.stack.pop() {
            self.marks[member as usize].set = NONE;
            component.push(member);
            if member == state {
                break;
            }
        }
        true
    }

    fn judge(&mut self, component: &[u32]) {
        if !component.iter().any(|state| self.stay.again.matches(self.graph.labels_of(*state))) {
            return;
        }
        let set = self.next_set;
        assert!(set < NONE, "more components than numbers");
        self.assign(component, set);
        match self.stay.fairness.judge(&self.recurrence(component, set)) {
            Stay::Fair => {
                self.next_set += 1;
                self.any = true;
            }
            Stay::Unfair => self.assign(component, NONE),
            Stay::Starves(classes) => {
                self.next_set += 1;
                self.take_out(component, classes, set);
            }
        }
    }

    fn assign(&mut self, component: &[u32], set: u32) {
        for state in component {
            self.marks[*state as usize].set = set;
        }
    }

    fn recurrence(&self, component: &[u32], set: u32) -> Recurrence {
        let mut found = Recurrence {
            always_enabled: ClassSet::ALL,
            sometimes_enabled: ClassSet::EMPTY,
            taken: ClassSet::EMPTY,
        };
        for state in component {
            let mut enabled = ClassSet::EMPTY;
            for edge in self.graph.edges_of(*state).filter(|edge| edge.target != *state) {
                enabled.insert(edge.class);
                if self.marks.get(edge.target as usize).is_some_and(|mark| mark.set == set) {
                    found.taken.insert(edge.class);
                }
            }
            found.always_enabled = found.always_enabled.and(enabled);
            found.sometimes_enabled = found.sometimes_enabled.or(enabled);
        }
        found
    }

    /// Takes the states out of a component in which one of the starving classes is enabled. What is left has to be
    /// taken apart again.
    fn take_out(&mut self, component: &[u32], starving: ClassSet, set: u32) {
        let mut rest = Vec::new();
        for state in component {
            if self.graph.enabled(*state).and(starving).is_empty() {
                self.marks[*state as usize].index = 0;
                rest.push(*state);
            } else {
                self.marks[*state as usize].set = NONE;
            }
        }
        if !rest.is_empty() {
            self.work.push((set, rest));
        }
    }
}
