//! The exploration that every search shares: each reachable state once, level by level, always in the same order.
//!
//! A level is shared among threads, block by block, and put together in the order in which one thread alone would have
//! met its states. So nothing in a result depends on the number of threads. States live for one level only. What a
//! search wants to keep of them is its own affair ([`Keep`]); nothing here judges anything.

use crate::checker::extent::Extent;
use crate::checker::places::{NOWHERE, Places, fingerprint};
use foldhash::quality::FixedState;
use stateright::Model;
use std::collections::HashMap;
use std::hash::Hash;

/// States that one thread expands before the block is put together.
const SHARE: usize = 1 << 12;
/// Fewer states than these are not worth a thread.
const WORTH_A_THREAD: usize = 1 << 6;

/// What a search keeps of an exploration.
pub(crate) trait Keep<M: Model>: Sync {
    /// What one thread keeps of its share.
    type Part: Default + Send;
    /// A state has been met for the first time.
    fn meet(&mut self, model: &M, place: u32, state: &M::State);
    /// A state with all its steps, in the order of their places.
    fn expand(&self, part: &mut Self::Part, model: &M, state: &M::State, steps: &[(M::Action, M::State)]);
    /// Takes in what a thread has kept. `targets` are the places that its steps lead to, [`NOWHERE`] if outside.
    fn merge(&mut self, part: Self::Part, targets: &[u32]);
    /// The memory that all this takes.
    fn memory_bytes(&self) -> usize;
    /// Whether there is no room for more.
    fn is_full(&self) -> bool {
        false
    }
}

/// An exploration under way, or at its end.
pub(crate) struct Exploration<'a, M: Model, K> {
    model: &'a M,
    threads: usize,
    /// The states met last, not yet expanded.
    pub(crate) level: Vec<M::State>,
    /// The places before this one have been expanded.
    pub(crate) expanded: u32,
    /// The first place of each level.
    pub(crate) levels: Vec<u32>,
    /// Which of the model's initial states the places of the first level are.
    pub(crate) initials: Vec<usize>,
    pub(crate) places: Places,
    pub(crate) kept: K,
    /// States generated, with repetitions, the initial ones included.
    pub(crate) generated: u64,
    /// Steps between states.
    pub(crate) transitions: u64,
    /// Steps that lead beyond the model's boundary, and initial states that are there.
    pub(crate) left_out: u64,
    /// Whether everything within the boundary was seen.
    pub(crate) complete: bool,
}

/// What one thread made of its share.
struct Part<S, K> {
    kept: K,
    targets: Vec<Target>,
    found: Vec<Found<S>>,
    left_out: u64,
}

/// Where a step leads, as far as a thread can tell.
enum Target {
    Seen(u32),
    /// To one of the states that the thread has found.
    Found(usize),
    Outside,
}

/// A state that was not among those seen when the block began.
struct Found<S> {
    fingerprint: u64,
    parent: u32,
    state: S,
}

impl<'a, M, K> Exploration<'a, M, K>
where
    M: Model + Sync,
    M::State: Hash + Send + Sync,
    K: Keep<M>,
{
    /// The initial states.
    pub(crate) fn new(model: &'a M, threads: usize, kept: K) -> Self {
        let mut exploration = Self {
            model,
            threads: threads.max(1),
            level: Vec::new(),
            expanded: 0,
            levels: vec![0],
            initials: Vec::new(),
            places: Places::default(),
            kept,
            generated: 0,
            transitions: 0,
            left_out: 0,
            complete: true,
        };
        for (number, state) in model.init_states().into_iter().enumerate() {
            if model.within_boundary(&state) {
                exploration.begin_with(number, state);
            } else {
                exploration.left_out += 1;
            }
        }
        exploration
    }

    fn begin_with(&mut self, number: usize, state: M::State) {
        self.generated += 1;
        let fingerprint = fingerprint(&state);
        let places = self.places.len();
        self.add(Found { fingerprint, parent: NOWHERE, state });
        if self.places.len() > places {
            self.initials.push(number);
        }
    }

    /// Goes on to the end of what there is, or of what is wanted.
    pub(crate) fn run(&mut self, extent: &Extent, has_enough: impl Fn(&K) -> bool) {
        while !self.level.is_empty() {
            if has_enough(&self.kept) || self.is_at_limit(extent) {
                self.complete = false;
                return;
            }
            self.advance(extent);
        }
    }

    /// The number of states on the longest shortest path, as `stateright` counts it.
    pub(crate) fn depth(&self) -> usize {
        if self.places.len() == 0 { 0 } else { self.levels.len() }
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.places.memory_bytes() + self.kept.memory_bytes()
    }

    fn is_at_limit(&self, extent: &Extent) -> bool {
        let memory = self.memory_bytes() + self.level.len() * size_of::<M::State>();
        extent.is_called_off()
            || self.kept.is_full()
            || extent.max_depth.is_some_and(|steps| self.depth() > steps)
            || extent.max_memory_bytes.is_some_and(|bytes| memory >= bytes)
    }

    /// Expands a level, or as much of it as there is time for.
    fn advance(&mut self, extent: &Extent) {
        let mut level = std::mem::take(&mut self.level);
        let first_of_next = u32::try_from(self.places.len()).unwrap_or(NOWHERE);
        let mut done = 0;
        for block in level.chunks(SHARE * self.threads) {
            if extent.is_called_off() {
                break;
            }
            for part in self.expand(block) {
                self.merge(part);
            }
            self.expanded += u32::try_from(block.len()).unwrap_or(0);
            done += block.len();
        }
        if !self.level.is_empty() {
            self.levels.push(first_of_next);
        }
        // What there was no time for comes before what it was met with: that is the order of their places.
        if done < level.len() {
            level.drain(..done);
            level.append(&mut self.level);
            self.level = level;
        }
    }

    fn expand(&self, block: &[M::State]) -> Vec<Part<M::State, K::Part>> {
        let share = block.len().div_ceil(self.threads).max(WORTH_A_THREAD);
        let firsts = (self.expanded..).step_by(share);
        if share >= block.len() {
            return vec![self.expand_share(self.expanded, block)];
        }
        std::thread::scope(|scope| {
            let workers: Vec<_> = block
                .chunks(share)
                .zip(firsts)
                .map(|(states, first)| scope.spawn(move || self.expand_share(first, states)))
                .collect();
            let joined = workers.into_iter().map(std::thread::ScopedJoinHandle::join);
            joined.map(|part| part.unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
        })
    }

    fn expand_share(&self, first: u32, states: &[M::State]) -> Part<M::State, K::Part> {
        let mut part = Part { kept: K::Part::default(), targets: Vec::new(), found: Vec::new(), left_out: 0 };
        let mut places_found: HashMap<u64, usize, FixedState> = HashMap::default();
        for (parent, state) in (first..).zip(states) {
            let steps = self.model.next_steps(state);
            self.kept.expand(&mut part.kept, self.model, state, &steps);
            for (_, next) in steps {
                let target = self.target(parent, next, &mut places_found, &mut part);
                part.targets.push(target);
            }
        }
        part
    }

    fn target(
        &self,
        parent: u32,
        state: M::State,
        places_found: &mut HashMap<u64, usize, FixedState>,
        part: &mut Part<M::State, K::Part>,
    ) -> Target {
        if !self.model.within_boundary(&state) {
            part.left_out += 1;
            return Target::Outside;
        }
        let fingerprint = fingerprint(&state);
        if let Some(place) = self.places.find(fingerprint) {
            return Target::Seen(place);
        }
        let place = *places_found.entry(fingerprint).or_insert(part.found.len());
        if place == part.found.len() {
            part.found.push(Found { fingerprint, parent, state });
        }
        Target::Found(place)
    }

    fn merge(&mut self, part: Part<M::State, K::Part>) {
        let within = part.targets.len() as u64 - part.left_out;
        self.transitions += within;
        self.generated += within;
        self.left_out += part.left_out;
        let found: Vec<u32> = part.found.into_iter().map(|found| self.add(found)).collect();
        let place = |target| match target {
            Target::Seen(place) => place,
            Target::Found(number) => found[number],
            Target::Outside => NOWHERE,
        };
        let targets: Vec<u32> = part.targets.into_iter().map(place).collect();
        self.kept.merge(part.kept, &targets);
    }

    /// The place of a state, which it may have got from another thread's share meanwhile.
    fn add(&mut self, found: Found<M::State>) -> u32 {
        if let Some(place) = self.places.find(found.fingerprint) {
            return place;
        }
        let Some(place) = self.places.add(found.fingerprint, found.parent) else {
            self.complete = false;
            return NOWHERE;
        };
        self.kept.meet(self.model, place, &found.state);
        self.level.push(found.state);
        place
    }
}
