//! Breadth-first search over any `stateright` model: every reachable state once, shortest counterexamples always.
//!
//! `stateright` 0.31 reports counterexamples that need not be shortest when a model has several properties, and says
//! nothing of which steps were ever taken. This search goes level by level (`exploration`), judges each state when it
//! is met, and keeps nothing of the graph: what it says of a property needs no more.

use crate::checker::exploration::{Exploration, Keep};
use crate::checker::extent::Extent;
use crate::checker::places::fingerprint;
use crate::checker::refusal::Refusal;
use stateright::{Expectation, Model, Property};
use std::hash::Hash;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

/// Where a search stops before it has seen everything.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Threads that share a level.
    pub threads: usize,
    /// Steps from the initial state.
    pub max_depth: Option<usize>,
    /// Memory for states, about, in bytes.
    pub max_memory_bytes: Option<usize>,
    /// The property whose verdict is enough.
    pub until: Option<&'static str>,
    /// When to stop. How far it gets until then depends on the machine's speed.
    pub deadline: Option<Instant>,
    /// Somebody has had enough.
    pub stop: Option<&'static AtomicBool>,
}

impl Default for Limits {
    fn default() -> Self {
        Self { threads: 1, max_depth: None, max_memory_bytes: None, until: None, deadline: None, stop: None }
    }
}

/// What is collected over all steps of a search, besides properties.
pub trait Coverage<M: Model>: Default + Send + Sync {
    /// All steps from a state have been explored.
    fn steps(&mut self, model: &M, from: &M::State, steps: &[(M::Action, M::State)]);
    /// Takes in what another thread has collected.
    fn merge(&mut self, other: Self);
}

/// Nothing is collected.
impl<M: Model> Coverage<M> for () {
    fn steps(&mut self, _: &M, _: &M::State, _: &[(M::Action, M::State)]) {}
    fn merge(&mut self, (): Self) {}
}

/// What a search found out about one property.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome<A> {
    /// `always`: no state breaks it.
    Holds,
    /// `always`: the shortest way to a state that breaks it.
    Violated(Vec<A>),
    /// `sometimes`: the shortest way to a state that shows it.
    Reached(Vec<A>),
    /// `sometimes`: no state shows it.
    NeverReached,
}

/// The result of a search.
#[derive(Clone, Debug)]
pub struct Search<A, C> {
    /// States generated, with repetitions, the initial ones included.
    pub generated: u64,
    /// Different states.
    pub distinct: u64,
    /// Steps between states.
    pub transitions: u64,
    /// The number of states on the longest shortest path, as `stateright` counts it.
    pub depth: usize,
    /// Whether everything reachable was seen.
    pub complete: bool,
    /// Memory per distinct state, bytes, at the end of the search.
    pub bytes_per_state: usize,
    /// Each property with what was found out about it.
    pub properties: Vec<(&'static str, Outcome<A>)>,
    /// What was collected besides.
    pub coverage: C,
}

/// Explores `model`.
///
/// # Panics
///
/// Where [`try_search`] refuses.
pub fn search<M, C>(model: &M, limits: &Limits) -> Search<M::Action, C>
where
    M: Model + Sync,
    M::State: Hash + Clone + Send + Sync,
    M::Action: Clone + Send,
    C: Coverage<M>,
{
    try_search(model, limits).unwrap_or_else(|refusal| panic!("{refusal}"))
}

/// Explores `model`, unless it has no properties, or one of the kind `eventually`, whose verdict a search like this one
/// cannot give: to go on would be to claim something meaningless.
pub fn try_search<M, C>(model: &M, limits: &Limits) -> Result<Search<M::Action, C>, Refusal>
where
    M: Model + Sync,
    M::State: Hash + Clone + Send + Sync,
    M::Action: Clone + Send,
    C: Coverage<M>,
{
    let judged = Judged::new(model)?;
    let until = limits.until.and_then(|name| judged.properties.iter().position(|it| it.name == name));
    let mut exploration = Exploration::new(model, limits.threads, judged);
    exploration.run(&limits.extent(), |judged: &Judged<M, C>| {
        until.is_some_and(|property| judged.decided[property].is_some())
    });
    Ok(found(model, exploration))
}

impl Limits {
    pub(crate) fn extent(&self) -> Extent {
        let Self { threads, max_depth, max_memory_bytes, deadline, stop, until: _ } = *self;
        Extent { threads, max_depth, max_memory_bytes, deadline, stop }
    }
}

/// The verdicts so far.
struct Judged<M: Model, C> {
    properties: Vec<Property<M>>,
    /// For each property the first state that decides it.
    decided: Vec<Option<u32>>,
    coverage: C,
}

impl<M: Model, C: Coverage<M>> Judged<M, C> {
    fn new(model: &M) -> Result<Self, Refusal> {
        let properties = model.properties();
        if properties.is_empty() {
            return Err(Refusal::NoProperties);
        }
        let eventually = |property: &&Property<M>| property.expectation == Expectation::Eventually;
        if let Some(property) = properties.iter().find(eventually) {
            return Err(Refusal::Eventually { name: property.name });
        }
        let decided = vec![None; properties.len()];
        Ok(Self { properties, decided, coverage: C::default() })
    }
}

impl<M: Model, C: Coverage<M>> Keep<M> for Judged<M, C> {
    type Part = C;

    fn meet(&mut self, model: &M, place: u32, state: &M::State) {
        for (property, decided) in self.properties.iter().zip(&mut self.decided) {
            let decisive = property.expectation == Expectation::Sometimes;
            if decided.is_none() && (property.condition)(model, state) == decisive {
                *decided = Some(place);
            }
        }
    }

    fn expand(&self, part: &mut C, model: &M, state: &M::State, steps: &[(M::Action, M::State)]) {
        part.steps(model, state, steps);
    }

    fn merge(&mut self, part: C, _: &[u32]) {
        self.coverage.merge(part);
    }

    fn memory_bytes(&self) -> usize {
        0
    }
}

fn found<M, C>(model: &M, exploration: Exploration<'_, M, Judged<M, C>>) -> Search<M::Action, C>
where
    M: Model + Sync,
    M::State: Hash + Send + Sync,
    C: Coverage<M>,
{
    let judged = exploration.kept.properties.iter().zip(&exploration.kept.decided);
    let outcome = |(property, decided): (&Property<M>, &Option<u32>)| {
        let path = decided.map(|place| path_to(model, &exploration, place));
        let outcome = match (path, &property.expectation) {
            (None, Expectation::Sometimes) => Outcome::NeverReached,
            (Some(path), Expectation::Sometimes) => Outcome::Reached(path),
            (None, _) => Outcome::Holds,
            (Some(path), _) => Outcome::Violated(path),
        };
        (property.name, outcome)
    };
    let distinct = exploration.places.len();
    Search {
        generated: exploration.generated,
        distinct: distinct as u64,
        transitions: exploration.transitions,
        depth: exploration.depth(),
        complete: exploration.complete,
        bytes_per_state: exploration.memory_bytes() / distinct.max(1),
        properties: judged.map(outcome).collect(),
        coverage: exploration.kept.coverage,
    }
}

/// The actions from an initial state to the one at `place`, found again by taking the steps once more.
fn path_to<M, K>(model: &M, exploration: &Exploration<'_, M, K>, place: u32) -> Vec<M::Action>
where
    M: Model,
    M::State: Hash,
{
    let places = &exploration.places;
    let mut way: Vec<u32> = std::iter::successors(Some(place), |place| places.parent(*place)).collect();
    way.reverse();
    let mut state = model.init_states().swap_remove(exploration.initials[way[0] as usize]);
    let mut path = Vec::new();
    for place in &way[1..] {
        let wanted = places.fingerprint(*place);
        let step = model.next_steps(&state).into_iter().find(|(_, next)| fingerprint(next) == wanted);
        let Some((action, next)) = step else { unreachable!("a state's parent leads to it") };
        path.push(action);
        state = next;
    }
    path
}
