//! A random walk: for models too large to be explored. It can show that a property of states is broken, and proves
//! nothing.
//!
//! All chance comes from the seed: the same seed, model and specification give the same walk, byte for byte. It keeps
//! the walk under way and nothing else, so it takes no memory; it says nothing of runs without an end.

use crate::checker::lasso::Path;
use crate::checker::progress::Progress;
use crate::checker::refusal::Refusal;
use crate::checker::specification::{Claim, Predicate, Property, Specification};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// How to walk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Walk {
    /// Where all chance comes from.
    pub seed: u64,
    /// Steps, all in all.
    pub steps: u64,
    /// After so many steps the walk begins anew, as it does where there is no step to take.
    pub longest: usize,
}

impl Walk {
    /// A million steps, a thousand at a time.
    pub const fn new(seed: u64) -> Self {
        Self { seed, steps: 1_000_000, longest: 1_000 }
    }
}

/// What came of a walk.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Walked<A> {
    /// How it was walked.
    pub walk: Walk,
    /// Steps taken.
    pub steps: u64,
    /// How often it began.
    pub beginnings: u64,
    /// The property that it found broken, with the way it came: not the shortest one. It ends there.
    pub broken: Option<(Property, Path<A>)>,
}

/// Walks at random, until a state breaks an `always` of the specification or all steps have been taken.
pub fn walk<M>(model: &M, specification: &Specification<M>, walk: Walk) -> Result<Walked<M::Action>, Refusal>
where
    M: Progress,
{
    specification.validate(model)?;
    let initials = model.init_states().iter().filter(|state| model.within_boundary(state)).count();
    if initials == 0 {
        return Err(Refusal::NoInitialState);
    }
    let mut walker = Walker {
        model,
        specification,
        always: always(specification)?,
        chance: ChaCha8Rng::seed_from_u64(walk.seed),
        walked: Walked { walk, steps: 0, beginnings: 0, broken: None },
    };
    // A walk that cannot take a step anywhere begins as often as it may take steps.
    while walker.walked.broken.is_none()
        && walker.walked.steps < walk.steps
        && walker.walked.beginnings < walk.steps
    {
        walker.begin();
    }
    Ok(walker.walked)
}

fn always<M: Progress>(specification: &Specification<M>) -> Result<Vec<(Predicate, &Property)>, Refusal> {
    let claimed = specification.properties().iter().filter_map(|property| match property.claim {
        Claim::Always(predicate) => Some((predicate, property)),
        _ => None,
    });
    let claimed: Vec<_> = claimed.collect();
    if claimed.is_empty() { Err(Refusal::NothingAboutStates) } else { Ok(claimed) }
}

struct Walker<'a, M: Progress> {
    model: &'a M,
    specification: &'a Specification<M>,
    always: Vec<(Predicate, &'a Property)>,
    chance: ChaCha8Rng,
    walked: Walked<M::Action>,
}

impl<M: Progress> Walker<'_, M> {
    /// Walks from an initial state to where the walk ends.
    fn begin(&mut self) {
        self.walked.beginnings += 1;
        let initials = self.model.init_states().into_iter().enumerate();
        let within = initials.filter(|(_, state)| self.model.within_boundary(state)).collect();
        let Some((initial, mut state)) = self.draw(within) else { return };
        let mut actions = Vec::new();
        loop {
            if let Some(property) = self.broken_in(&state) {
                self.walked.broken = Some((property.clone(), Path { initial, actions }));
                return;
            }
            if self.walked.steps == self.walked.walk.steps || actions.len() == self.walked.walk.longest {
                return;
            }
            let mut steps = self.model.next_steps(&state);
            steps.retain(|(_, next)| self.model.within_boundary(next));
            let Some((action, next)) = self.draw(steps) else { return };
            actions.push(action);
            state = next;
            self.walked.steps += 1;
        }
    }

    fn broken_in(&self, state: &M::State) -> Option<&Property> {
        let labels = self.specification.labels(self.model, state);
        self.always.iter().find(|(predicate, _)| !labels.has(*predicate)).map(|(_, property)| *property)
    }

    /// One of the choices. Nothing is drawn where there is none.
    fn draw<T>(&mut self, mut choices: Vec<T>) -> Option<T> {
        let count = u64::try_from(choices.len()).unwrap_or(u64::MAX).min(1 << 32);
        if count == 0 {
            return None;
        }
        let drawn = (u64::from(self.chance.next_u32()) * count) >> 32;
        Some(choices.swap_remove(usize::try_from(drawn).unwrap_or(0)))
    }
}
