//! The graph of all states that can be reached: numbers, edges, labels. It is built once, and judged many times.
//!
//! States themselves are not kept: a state is its number, and is found again by taking the steps to it once more.
//! The edges of a state stand in the order of the model's steps, so an edge is a step. Nothing here knows a property.

use crate::checker::exploration::{Exploration, Keep};
use crate::checker::extent::Extent;
use crate::checker::places::{NOWHERE, make_room, room};
use crate::checker::progress::{Class, ClassSet, Progress};
use crate::checker::refusal::Refusal;
use crate::checker::report::{Figures, Stopwatch};
use crate::checker::search::Coverage;
use crate::checker::specification::{Labels, Specification};
use std::hash::Hash;
use std::ops::Range;

/// The graph of the states that can be reached, in the order in which a breadth-first search meets them.
pub(crate) struct Graph {
    /// The edges of state `n` are those from `offsets[n]` to `offsets[n + 1]`.
    offsets: Vec<u32>,
    /// Where edges lead; [`NOWHERE`] is beyond the model's boundary.
    targets: Vec<u32>,
    classes: Vec<Class>,
    labels: Vec<Labels>,
    /// From where each state was reached first.
    parents: Vec<u32>,
    /// The first state of each level.
    levels: Vec<u32>,
    /// Which of the model's initial states those of the first level are.
    initials: Vec<usize>,
    /// States before this one have all their edges.
    expanded: u32,
    /// Whether some step leads beyond the model's boundary, or some run begins there.
    has_boundary: bool,
    figures: Figures,
}

/// One edge.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Edge {
    /// Its number in the whole graph.
    pub(crate) number: u32,
    pub(crate) target: u32,
    pub(crate) class: Class,
}

/// A way through the graph.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Way {
    pub(crate) start: u32,
    /// The numbers of its edges.
    pub(crate) edges: Vec<u32>,
}

impl Graph {
    /// Explores a model as far as `extent` allows, and keeps what a specification says of its states; with it, what is
    /// collected besides.
    pub(crate) fn build<M, C>(
        model: &M,
        specification: &Specification<M>,
        extent: &Extent,
    ) -> Result<(Self, C), Refusal>
    where
        M: Progress + Sync,
        M::State: Hash + Send + Sync,
        C: Coverage<M>,
    {
        specification.validate(model)?;
        let stopwatch = Stopwatch::start();
        let mut exploration = Exploration::new(model, extent.threads, Edges::<M, C>::new(specification));
        if exploration.level.is_empty() {
            return Err(Refusal::NoInitialState);
        }
        exploration.run(extent, |_| false);
        let count = model.classes().len();
        match exploration.kept.highest {
            Some(class) if usize::from(class.number()) >= count => {
                Err(Refusal::UnnamedClass { class: class.number(), count })
            }
            _ => {
                let coverage = std::mem::take(&mut exploration.kept.coverage);
                Ok((Self::of(model, exploration, &stopwatch), coverage))
            }
        }
    }

    fn of<M, C>(model: &M, exploration: Exploration<'_, M, Edges<'_, M, C>>, stopwatch: &Stopwatch) -> Self
    where
        M: Progress + Sync,
        M::State: Hash + Send + Sync,
        C: Coverage<M>,
    {
        let (depth, peak_bytes) = (exploration.depth(), exploration.memory_bytes());
        let specification = exploration.kept.specification;
        let Edges { mut offsets, mut targets, mut classes, mut labels, .. } = exploration.kept;
        // What was met last and not expanded: it has labels, and no edges that anybody knows of.
        let rest = exploration.level.iter().map(|state| specification.labels(model, state));
        labels.extend(rest);
        let end = offsets.last().copied().unwrap_or_default();
        offsets.resize(labels.len() + 1, end);
        let mut parents = exploration.places.into_parents();
        offsets.shrink_to_fit();
        targets.shrink_to_fit();
        classes.shrink_to_fit();
        labels.shrink_to_fit();
        parents.shrink_to_fit();
        let mut graph = Self {
            offsets,
            targets,
            classes,
            labels,
            parents,
            levels: exploration.levels,
            initials: exploration.initials,
            expanded: exploration.expanded,
            has_boundary: exploration.left_out > 0,
            figures: Figures {
                generated: exploration.generated,
                distinct: 0,
                transitions: exploration.transitions,
                depth,
                complete: exploration.complete,
                bytes_per_state: 0,
                peak_bytes_per_state: 0,
                elapsed: stopwatch.elapsed(),
                processor_time: stopwatch.processor_time(),
            },
        };
        let states = graph.labels.len();
        graph.figures.distinct = states as u64;
        graph.figures.bytes_per_state = graph.memory_bytes() / states.max(1);
        graph.figures.peak_bytes_per_state = peak_bytes / states.max(1);
        graph
    }

    /// What building it took, and how large it is.
    pub(crate) fn figures(&self) -> &Figures {
        &self.figures
    }

    /// The number of states.
    pub(crate) fn states(&self) -> usize {
        self.labels.len()
    }

    /// Whether every run of the model is in it, with all its steps.
    pub(crate) fn has_every_run(&self) -> bool {
        self.figures.complete && !self.has_boundary
    }

    /// The memory that it takes.
    pub(crate) fn memory_bytes(&self) -> usize {
        size_of_val(&*self.offsets)
            + size_of_val(&*self.targets)
            + size_of_val(&*self.classes)
            + size_of_val(&*self.labels)
            + size_of_val(&*self.parents)
    }

    /// The labels of all states, in their order.
    pub(crate) fn labels(&self) -> &[Labels] {
        &self.labels
    }

    pub(crate) fn labels_of(&self, state: u32) -> Labels {
        self.labels[state as usize]
    }

    /// Whether all steps of a state are known.
    pub(crate) const fn is_expanded(&self, state: u32) -> bool {
        state < self.expanded
    }

    pub(crate) fn edge_numbers(&self, state: u32) -> Range<u32> {
        self.offsets[state as usize]..self.offsets[state as usize + 1]
    }

    pub(crate) fn target(&self, edge: u32) -> u32 {
        self.targets[edge as usize]
    }

    /// The state that an edge begins at.
    pub(crate) fn source(&self, edge: u32) -> u32 {
        let state = self.offsets.partition_point(|offset| *offset <= edge) - 1;
        u32::try_from(state).unwrap_or(NOWHERE)
    }

    pub(crate) fn edge(&self, number: u32) -> Edge {
        Edge { number, target: self.targets[number as usize], class: self.classes[number as usize] }
    }

    pub(crate) fn edges_of(&self, state: u32) -> impl Iterator<Item = Edge> {
        self.edge_numbers(state).map(|number| self.edge(number))
    }

    /// The classes that can be taken in a state: a step that leaves it as it is does not count, one that leads beyond
    /// the boundary does.
    pub(crate) fn enabled(&self, state: u32) -> ClassSet {
        let mut enabled = ClassSet::EMPTY;
        for edge in self.edges_of(state).filter(|edge| edge.target != state) {
            enabled.insert(edge.class);
        }
        enabled
    }

    /// The states that `depth` steps lead to, and no fewer.
    pub(crate) fn level(&self, depth: usize) -> Range<u32> {
        let end = u32::try_from(self.states()).unwrap_or(NOWHERE);
        let first = |depth| self.levels.get(depth).copied().unwrap_or(end);
        first(depth)..first(depth + 1)
    }

    /// A shortest way from an initial state.
    pub(crate) fn way_to(&self, state: u32) -> Way {
        let mut edges = Vec::new();
        let mut at = state;
        while self.parents[at as usize] != NOWHERE {
            let parent = self.parents[at as usize];
            let edge = self.edges_of(parent).find(|edge| edge.target == at);
            let Some(edge) = edge else { unreachable!("a state's parent leads to it") };
            edges.push(edge.number);
            at = parent;
        }
        edges.reverse();
        Way { start: at, edges }
    }

    /// Which of the model's initial states a way starts from, and its actions: the steps are taken once more.
    pub(crate) fn actions<M: Progress>(&self, model: &M, way: &Way) -> (usize, Vec<M::Action>) {
        let initial = self.initials[way.start as usize];
        let mut state = model.init_states().swap_remove(initial);
        let mut at = way.start;
        let mut actions = Vec::with_capacity(way.edges.len());
        for edge in &way.edges {
            let position = (*edge - self.edge_numbers(at).start) as usize;
            let step = model.next_steps(&state).into_iter().nth(position);
            let Some((action, next)) = step else { unreachable!("a model gives the same steps each time") };
            actions.push(action);
            (at, state) = (self.target(*edge), next);
        }
        (initial, actions)
    }
}

/// What is kept of an exploration to become a graph.
struct Edges<'a, M: Progress, C> {
    specification: &'a Specification<M>,
    offsets: Vec<u32>,
    targets: Vec<u32>,
    classes: Vec<Class>,
    labels: Vec<Labels>,
    highest: Option<Class>,
    coverage: C,
}

/// What one thread keeps: for each state its labels and the end of its edges, for each edge its class.
#[derive(Default)]
struct Share<C> {
    labels: Vec<Labels>,
    ends: Vec<usize>,
    classes: Vec<Class>,
    coverage: C,
}

impl<'a, M: Progress, C: Default> Edges<'a, M, C> {
    fn new(specification: &'a Specification<M>) -> Self {
        Self {
            specification,
            offsets: vec![0],
            targets: Vec::new(),
            classes: Vec::new(),
            labels: Vec::new(),
            highest: None,
            coverage: C::default(),
        }
    }
}

impl<M: Progress, C: Coverage<M>> Keep<M> for Edges<'_, M, C> {
    type Part = Share<C>;

    fn meet(&mut self, _: &M, _: u32, _: &M::State) {}

    fn expand(&self, part: &mut Share<C>, model: &M, state: &M::State, steps: &[(M::Action, M::State)]) {
        part.labels.push(self.specification.labels(model, state));
        part.classes.extend(steps.iter().map(|(action, _)| model.class(action)));
        part.ends.push(part.classes.len());
        part.coverage.steps(model, state, steps);
    }

    fn merge(&mut self, part: Share<C>, targets: &[u32]) {
        let before = self.targets.len();
        make_room(&mut self.targets, targets.len());
        make_room(&mut self.classes, targets.len());
        make_room(&mut self.labels, part.labels.len());
        make_room(&mut self.offsets, part.labels.len());
        self.targets.extend_from_slice(targets);
        self.highest = self.highest.max(part.classes.iter().copied().max());
        self.classes.extend(part.classes);
        self.coverage.merge(part.coverage);
        self.labels.extend(part.labels);
        self.offsets.extend(part.ends.into_iter().map(|end| offset(before + end)));
    }

    fn memory_bytes(&self) -> usize {
        room(&self.offsets) + room(&self.targets) + room(&self.classes) + room(&self.labels)
    }

    /// Edges are counted in 32 bits; one level more will not take the other half.
    fn is_full(&self) -> bool {
        self.targets.len() > (u32::MAX / 2) as usize
    }
}

fn offset(edges: usize) -> u32 {
    u32::try_from(edges).unwrap_or_else(|_| panic!("{edges} edges in a graph that stops long before"))
}
