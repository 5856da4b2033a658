//! A run without an end, shown as what it is: a way to a state, and a cycle from it back to it.
//!
//! The cycle has a witness for each assumption of fairness, and is short: it goes from witness to witness on shortest
//! ways, and is not a component that happens to contain them. That it is right is checked elsewhere (`verify`), by
//! means that have nothing in common with those that found it.

use crate::checker::components::FairComponents;
use crate::checker::graph::{Edge, Graph, Way};
use crate::checker::liveness::Trap;
use crate::checker::progress::{ClassSet, Progress};
use crate::checker::specification::Staying;
use foldhash::quality::FixedState;
use std::cell::Cell;
use std::collections::{HashMap, VecDeque};

/// Edges that may be looked at to find a shorter cycle than the first.
const PATIENCE: usize = 1 << 20;

/// A run that comes to an end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Path<A> {
    /// Which of the model's initial states it begins in.
    pub initial: usize,
    /// Its steps.
    pub actions: Vec<A>,
}

/// A run without an end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Lasso<A> {
    /// Which of the model's initial states it begins in.
    pub initial: usize,
    /// The steps that lead to the cycle.
    pub stem: Vec<A>,
    /// After so many steps of the stem something is owed that will never come.
    pub owed_after: usize,
    /// The steps that are taken again and again. If there are none the run stops where it is, for ever.
    pub cycle: Vec<A>,
}

impl<A> Lasso<A> {
    /// Whether the run just stops.
    pub const fn stops(&self) -> bool {
        self.cycle.is_empty()
    }
}

impl Graph {
    pub(crate) fn path<M: Progress>(&self, model: &M, state: u32) -> Path<M::Action> {
        let (initial, actions) = self.actions(model, &self.way_to(state));
        Path { initial, actions }
    }

    /// The run that goes into a trap, and stays there.
    pub(crate) fn lasso<M: Progress>(
        &self,
        model: &M,
        stay: &Staying,
        components: &FairComponents,
        trap: Trap,
    ) -> Lasso<M::Action> {
        let Trap { before: mut way, after, stops } = trap;
        let owed_after = way.edges.len();
        let entry = after.edges.last().map_or(after.start, |edge| self.target(*edge));
        way.edges.extend(after.edges);
        let cycle = if stops { Vec::new() } else { self.short_cycle(stay, components, entry, &mut way) };
        let stem_length = way.edges.len();
        way.edges.extend(cycle);
        let (initial, mut stem) = self.actions(model, &way);
        let cycle = stem.split_off(stem_length);
        Lasso { initial, stem, owed_after, cycle }
    }

    /// A cycle near `entry`. If it does not go through it, `stem` is led on to where it does begin.
    fn short_cycle(
        &self,
        stay: &Staying,
        components: &FairComponents,
        entry: u32,
        stem: &mut Way,
    ) -> Vec<u32> {
        let unlimited = Cell::new(usize::MAX);
        let Some(first) = Cycle::new(self, stay, components, entry, &unlimited).close(usize::MAX) else {
            unreachable!("a fair component is connected, and has a witness for each class")
        };
        let patience = Cell::new(PATIENCE);
        let (mut steps_on, mut shortest) = (0, first.clone());
        for (steps, edge) in (1..).zip(&first) {
            let longest = (steps_on + shortest.len()).saturating_sub(steps);
            let cycle = Cycle::new(self, stay, components, self.target(*edge), &patience).close(longest);
            if let Some(cycle) = cycle.filter(|cycle| cycle.len() < shortest.len()) {
                (steps_on, shortest) = (steps, cycle);
            }
        }
        stem.edges.extend(&first[..steps_on]);
        shortest
    }
}

/// A cycle in the making: it goes through a fair component until it has all its witnesses, and then back.
struct Cycle<'a> {
    graph: &'a Graph,
    stay: &'a Staying,
    components: &'a FairComponents,
    /// Edges that may still be looked at.
    patience: &'a Cell<usize>,
    start: u32,
    at: u32,
    edges: Vec<u32>,
    /// Classes that were enabled in each state so far.
    always_enabled: ClassSet,
    /// Classes that were enabled in some state so far.
    sometimes_enabled: ClassSet,
    taken: ClassSet,
    /// Whether it has been in a state in which the run is to be again and again.
    recurs: bool,
}

impl<'a> Cycle<'a> {
    fn new(
        graph: &'a Graph,
        stay: &'a Staying,
        components: &'a FairComponents,
        start: u32,
        patience: &'a Cell<usize>,
    ) -> Self {
        let mut cycle = Self {
            graph,
            stay,
            components,
            patience,
            start,
            at: start,
            edges: Vec::new(),
            always_enabled: ClassSet::ALL,
            sometimes_enabled: ClassSet::EMPTY,
            taken: ClassSet::EMPTY,
            recurs: false,
        };
        cycle.visit(start);
        cycle
    }

    /// Goes on until the cycle is one. Nothing if it would be too long, or if there is no patience left.
    fn close(mut self, longest: usize) -> Option<Vec<u32>> {
        while self.edges.len() <= longest {
            if self.lacks_something() {
                let way = self.way(|edge| self.brings_something(edge))?;
                self.follow(&way);
            } else if self.at == self.start && !self.edges.is_empty() {
                return Some(self.edges);
            } else {
                let back = self.way(|edge| edge.target == self.start)?;
                self.follow(&back);
            }
        }
        None
    }

    fn visit(&mut self, state: u32) {
        let enabled = self.graph.enabled(state);
        self.always_enabled = self.always_enabled.and(enabled);
        self.sometimes_enabled = self.sometimes_enabled.or(enabled);
        self.recurs |= self.stay.again.matches(self.graph.labels_of(state));
    }

    fn follow(&mut self, way: &[u32]) {
        for number in way {
            let edge = self.graph.edge(*number);
            self.taken.insert(edge.class);
            self.visit(edge.target);
            self.edges.push(edge.number);
            self.at = edge.target;
        }
    }

    /// Classes with weak fairness that are still without a witness.
    fn weakly_starving(&self) -> ClassSet {
        self.stay.fairness.weakly_fair().and(self.always_enabled).without(self.taken)
    }

    /// The same with strong fairness. A class enabled nowhere on the cycle needs none.
    fn strongly_starving(&self) -> ClassSet {
        self.stay.fairness.strongly_fair().and(self.sometimes_enabled).without(self.taken)
    }

    fn lacks_something(&self) -> bool {
        !self.recurs || !self.weakly_starving().or(self.strongly_starving()).is_empty()
    }

    fn brings_something(&self, edge: &Edge) -> bool {
        let weakly = self.weakly_starving();
        weakly.or(self.strongly_starving()).contains(edge.class)
            || !weakly.without(self.graph.enabled(edge.target)).is_empty()
            || (!self.recurs && self.stay.again.matches(self.graph.labels_of(edge.target)))
    }

    /// The shortest way through the component whose last edge is wanted.
    fn way(&self, is_wanted: impl Fn(&Edge) -> bool) -> Option<Vec<u32>> {
        let component = self.components.of(self.at);
        let mut reached_by: HashMap<u32, u32, FixedState> = HashMap::default();
        let mut queue = VecDeque::from([self.at]);
        while let Some(state) = queue.pop_front() {
            for edge in self.graph.edges_of(state) {
                self.patience.set(self.patience.get().checked_sub(1)?);
                let leaves = edge.target as usize >= self.graph.states()
                    || self.components.of(edge.target) != component;
                if leaves || edge.target == state {
                    continue;
                }
                if is_wanted(&edge) {
                    return Some(self.way_back(edge.number, &reached_by));
                }
                if edge.target != self.at && !reached_by.contains_key(&edge.target) {
                    reached_by.insert(edge.target, edge.number);
                    queue.push_back(edge.target);
                }
            }
        }
        None
    }

    fn way_back(&self, last: u32, reached_by: &HashMap<u32, u32, FixedState>) -> Vec<u32> {
        let before = |edge: &u32| reached_by.get(&self.graph.source(*edge)).copied();
        let mut way: Vec<u32> = std::iter::successors(Some(last), before).collect();
        way.reverse();
        way
    }
}
