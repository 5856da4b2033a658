//! Breadth-first search over any `stateright` model: every reachable state once, shortest counterexamples always.
//!
//! `stateright` 0.31 reports counterexamples that need not be shortest when a model has several properties, and says
//! nothing of which steps were ever taken. This search goes level by level; a level is shared among threads and put
//! together in one order, so that nothing in its result depends on their number.

use foldhash::quality::FixedState;
use stateright::{Expectation, Model};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasher, Hash};
use std::sync::atomic::{AtomicBool, Ordering};

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
    /// Somebody has had enough.
    pub stop: Option<&'static AtomicBool>,
}

impl Default for Limits {
    fn default() -> Self {
        Self { threads: 1, max_depth: None, max_memory_bytes: None, until: None, stop: None }
    }
}

/// What is collected over all steps of a search, besides properties.
pub trait Coverage<M: Model>: Default + Send {
    /// All steps from a state have been explored.
    fn steps(&mut self, model: &M, from: &M::State, steps: &[(M::Action, M::State)]);
    /// Takes in what another thread has collected.
    fn merge(&mut self, other: Self);
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

/// A state that has been seen: its fingerprint and from where it was reached first.
struct Seen {
    fingerprint: u64,
    parent: u32,
}

const NO_PARENT: u32 = u32::MAX;

/// One level of the search: states not yet expanded, with their places among those seen.
type Level<S> = Vec<(u32, S)>;

/// Explores `model`.
///
/// # Panics
///
/// If the model has no properties, or one of the kind `eventually`, whose verdict a search like this one cannot give:
/// to go on would be to claim something meaningless.
pub fn search<M, C>(model: &M, limits: &Limits) -> Search<M::Action, C>
where
    M: Model + Sync,
    M::State: Hash + Clone + Send + Sync,
    M::Action: Clone + Send,
    C: Coverage<M>,
{
    let properties = model.properties();
    assert!(!properties.is_empty(), "a search of a model without properties would mean nothing");
    assert!(
        properties.iter().all(|property| property.expectation != Expectation::Eventually),
        "`eventually` cannot be judged state by state"
    );
    let mut run = Run::<M, C>::new(model, limits.threads.max(1), properties.len());
    let mut level = run.first_level();
    while !level.is_empty() {
        if run.is_at_limit(limits, level.len()) {
            run.complete = false;
            break;
        }
        level = run.expand(&level);
    }
    run.finish()
}

struct Run<'a, M: Model, C> {
    model: &'a M,
    threads: usize,
    index: HashMap<u64, u32, FixedState>,
    seen: Vec<Seen>,
    /// For each property the first state that decides it.
    decided: Vec<Option<u32>>,
    generated: u64,
    transitions: u64,
    depth: usize,
    complete: bool,
    coverage: C,
}

/// What one thread made of its part of a level.
struct Part<S, C> {
    successors: Vec<(u64, u32, S)>,
    transitions: u64,
    coverage: C,
}

impl<'a, M, C> Run<'a, M, C>
where
    M: Model + Sync,
    M::State: Hash + Clone + Send + Sync,
    M::Action: Clone + Send,
    C: Coverage<M>,
{
    fn new(model: &'a M, threads: usize, properties: usize) -> Self {
        Self {
            model,
            threads,
            index: HashMap::with_hasher(FixedState::default()),
            seen: Vec::new(),
            decided: vec![None; properties],
            generated: 0,
            transitions: 0,
            depth: 0,
            complete: true,
            coverage: C::default(),
        }
    }

    fn first_level(&mut self) -> Level<M::State> {
        let mut level = Level::new();
        for state in self.model.init_states() {
            if self.model.within_boundary(&state) {
                let fingerprint = fingerprint(&state);
                self.add(fingerprint, NO_PARENT, state, &mut level);
            }
        }
        level
    }

    fn is_at_limit(&self, limits: &Limits, level: usize) -> bool {
        let memory = self.memory_bytes() + level * size_of::<(u32, M::State)>();
        let properties = self.model.properties();
        let mut decided = properties.iter().zip(&self.decided).filter(|(_, decided)| decided.is_some());
        limits.until.is_some_and(|wanted| decided.any(|(property, _)| property.name == wanted))
            || limits.stop.is_some_and(|stop| stop.load(Ordering::Relaxed))
            || limits.max_depth.is_some_and(|steps| self.depth > steps)
            || limits.max_memory_bytes.is_some_and(|bytes| memory >= bytes)
    }

    fn memory_bytes(&self) -> usize {
        self.seen.capacity() * size_of::<Seen>() + self.index.capacity() * (size_of::<(u64, u32)>() + 1)
    }

    fn expand(&mut self, level: &Level<M::State>) -> Level<M::State> {
        let (model, index) = (self.model, &self.index);
        let share = level.len().div_ceil(self.threads);
        let parts: Vec<Part<M::State, C>> = std::thread::scope(|scope| {
            let workers: Vec<_> = level
                .chunks(share)
                .map(|chunk| scope.spawn(move || expand_part(model, index, chunk)))
                .collect();
            workers
                .into_iter()
                .map(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                .collect()
        });
        let mut next = Level::new();
        for part in parts {
            self.transitions += part.transitions;
            self.generated += part.transitions - part.successors.len() as u64;
            self.coverage.merge(part.coverage);
            for (fingerprint, parent, state) in part.successors {
                self.add(fingerprint, parent, state, &mut next);
            }
        }
        next
    }

    fn add(&mut self, fingerprint: u64, parent: u32, state: M::State, level: &mut Level<M::State>) {
        self.generated += 1;
        let Entry::Vacant(entry) = self.index.entry(fingerprint) else { return };
        let Ok(place) = u32::try_from(self.seen.len()) else {
            self.complete = false;
            return;
        };
        entry.insert(place);
        self.seen.push(Seen { fingerprint, parent });
        if level.is_empty() {
            self.depth += 1;
        }
        for (property, decided) in self.model.properties().iter().zip(&mut self.decided) {
            let broken_or_shown =
                (property.condition)(self.model, &state) == (property.expectation == Expectation::Sometimes);
            if decided.is_none() && broken_or_shown {
                *decided = Some(place);
            }
        }
        level.push((place, state));
    }

    fn finish(self) -> Search<M::Action, C> {
        let outcome = |(property, decided): (&stateright::Property<M>, &Option<u32>)| {
            let sometimes = property.expectation == Expectation::Sometimes;
            let outcome = match (decided, sometimes) {
                (None, false) => Outcome::Holds,
                (None, true) => Outcome::NeverReached,
                (Some(place), false) => Outcome::Violated(self.path_to(*place)),
                (Some(place), true) => Outcome::Reached(self.path_to(*place)),
            };
            (property.name, outcome)
        };
        let properties = self.model.properties().iter().zip(&self.decided).map(outcome).collect();
        Search {
            generated: self.generated,
            distinct: self.seen.len() as u64,
            transitions: self.transitions,
            depth: self.depth,
            complete: self.complete,
            bytes_per_state: self.memory_bytes() / self.seen.len().max(1),
            properties,
            coverage: self.coverage,
        }
    }

    /// The actions from an initial state to the one at `place`, found again by taking the steps once more.
    fn path_to(&self, place: u32) -> Vec<M::Action> {
        let mut fingerprints = Vec::new();
        let mut at = place;
        while at != NO_PARENT {
            let seen = &self.seen[at as usize];
            fingerprints.push(seen.fingerprint);
            at = seen.parent;
        }
        fingerprints.reverse();
        let start = self.model.init_states().into_iter().find(|state| fingerprint(state) == fingerprints[0]);
        let mut path = Vec::new();
        let mut state = start;
        for wanted in &fingerprints[1..] {
            let step = state.as_ref().and_then(|state| self.step_to(state, *wanted));
            let Some((action, next)) = step else { unreachable!("a state's parent leads to it") };
            path.push(action);
            state = Some(next);
        }
        path
    }

    fn step_to(&self, state: &M::State, wanted: u64) -> Option<(M::Action, M::State)> {
        self.model.next_steps(state).into_iter().find(|(_, next)| fingerprint(next) == wanted)
    }
}

fn expand_part<M, C>(
    model: &M,
    index: &HashMap<u64, u32, FixedState>,
    chunk: &[(u32, M::State)],
) -> Part<M::State, C>
where
    M: Model,
    M::State: Hash,
    M::Action: Clone,
    C: Coverage<M>,
{
    let mut part = Part { successors: Vec::new(), transitions: 0, coverage: C::default() };
    for (place, state) in chunk {
        let steps = model.next_steps(state);
        part.coverage.steps(model, state, &steps);
        for (_, next) in steps {
            if !model.within_boundary(&next) {
                continue;
            }
            part.transitions += 1;
            let fingerprint = fingerprint(&next);
            if !index.contains_key(&fingerprint) {
                part.successors.push((fingerprint, *place, next));
            }
        }
    }
    part
}

fn fingerprint<S: Hash>(state: &S) -> u64 {
    FixedState::default().hash_one(state)
}
