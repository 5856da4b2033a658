//! Checks a lasso by taking its steps in the model, one by one: the judge of the engine, which knows nothing of graphs.
//!
//! It may share no code with what finds lassos, beyond the words in which a claim is made.

use crate::checker::fairness::Strength;
use crate::checker::lasso::Lasso;
use crate::checker::progress::{Class, Progress};
use crate::checker::specification::{Claim, Predicate, Specification};
use thiserror::Error;

/// Why a lasso does not show that a claim is broken.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum Flaw {
    /// A claim about single states is not broken by a run without an end.
    #[error("the claim is not one about runs without an end")]
    NotAboutRuns,
    /// The model has no such initial state within its boundary.
    #[error("the model has no such initial state within its boundary")]
    NoSuchStart,
    /// A step that the model does not have there, or one beyond its boundary.
    #[error("the model has no step {step} like this")]
    NoSuchStep {
        /// Its number, from one; the steps of the cycle follow those of the stem.
        step: usize,
    },
    /// The end of the cycle is another state than its beginning.
    #[error("the cycle does not end where it begins")]
    NotClosed,
    /// Nothing is owed where it should be.
    #[error("nothing is owed after step {}", .step)]
    NothingOwed {
        /// The number of the step.
        step: usize,
    },
    /// What was owed is paid.
    #[error("what was owed is there after step {}", .step)]
    Paid {
        /// The number of the step.
        step: usize,
    },
    /// What is broken is broken for a while only.
    #[error("the cycle does not break the claim again and again")]
    NotAgain,
    /// The run is not one of a fair environment.
    #[error("class {0} starves", .class.number())]
    Unfair {
        /// The class that starves.
        class: Class,
    },
}

/// Checks that a lasso is a fair run of the model, and breaks the claim.
pub fn verify_lasso<M>(
    model: &M,
    specification: &Specification<M>,
    claim: &Claim,
    lasso: &Lasso<M::Action>,
) -> Result<(), Flaw>
where
    M: Progress,
    M::State: PartialEq,
    M::Action: Clone + PartialEq,
{
    let states = visited(model, lasso)?;
    if lasso.owed_after > lasso.stem.len() {
        return Err(Flaw::NothingOwed { step: lasso.owed_after });
    }
    let (tail, cycle) = (&states[lasso.owed_after..], &states[lasso.stem.len()..]);
    if cycle.last() != cycle.first() {
        return Err(Flaw::NotClosed);
    }
    let holds = |predicate: Predicate, state: &M::State| specification.labels(model, state).has(predicate);
    let paid = |predicate: Predicate| match tail.iter().position(|state| holds(predicate, state)) {
        Some(steps) => Err(Flaw::Paid { step: lasso.owed_after + steps }),
        None => Ok(()),
    };
    match *claim {
        Claim::Always(_) | Claim::Sometimes(_) => return Err(Flaw::NotAboutRuns),
        Claim::LeadsTo { from, to, .. } => {
            if !tail.first().is_some_and(|state| holds(from, state)) {
                return Err(Flaw::NothingOwed { step: lasso.owed_after });
            }
            paid(to)?;
        }
        Claim::AlwaysEventually { recurs, .. } => paid(recurs)?,
        Claim::EventuallyAlways { holds: predicate, .. } => {
            if cycle.iter().all(|state| holds(predicate, state)) {
                return Err(Flaw::NotAgain);
            }
        }
    }
    let mut fairness = claim.fairness().classes();
    match fairness.find(|(class, strength)| starves(model, cycle, &lasso.cycle, *class, *strength)) {
        Some((class, _)) => Err(Flaw::Unfair { class }),
        None => Ok(()),
    }
}

/// All states of the stem and of the cycle, that at its end included.
fn visited<M>(model: &M, lasso: &Lasso<M::Action>) -> Result<Vec<M::State>, Flaw>
where
    M: Progress,
    M::Action: Clone + PartialEq,
{
    let start = model.init_states().into_iter().nth(lasso.initial);
    let Some(start) = start.filter(|state| model.within_boundary(state)) else {
        return Err(Flaw::NoSuchStart);
    };
    let mut states = vec![start];
    for (number, action) in lasso.stem.iter().chain(&lasso.cycle).enumerate() {
        let next = step(model, &states[number], action);
        states.push(next.ok_or(Flaw::NoSuchStep { step: number + 1 })?);
    }
    Ok(states)
}

fn step<M>(model: &M, state: &M::State, action: &M::Action) -> Option<M::State>
where
    M: Progress,
    M::Action: Clone + PartialEq,
{
    let mut actions = Vec::new();
    model.actions(state, &mut actions);
    let next = if actions.contains(action) { model.next_state(state, action.clone()) } else { None };
    next.filter(|next| model.within_boundary(next))
}

/// Whether a class is denied what fairness promises it, if the states of a cycle are visited for ever.
fn starves<M>(model: &M, states: &[M::State], steps: &[M::Action], class: Class, strength: Strength) -> bool
where
    M: Progress,
    M::State: PartialEq,
{
    let changes = |number: usize| states[number] != states[number + 1];
    let mut taken = steps.iter().enumerate().filter(|(number, _)| changes(*number));
    if taken.any(|(_, action)| model.class(action) == class) {
        return false;
    }
    match strength {
        Strength::Weak => states.iter().all(|state| is_enabled(model, state, class)),
        Strength::Strong => states.iter().any(|state| is_enabled(model, state, class)),
    }
}

/// Whether a step of the class leads to another state.
fn is_enabled<M>(model: &M, state: &M::State, class: Class) -> bool
where
    M: Progress,
    M::State: PartialEq,
{
    let mut actions = Vec::new();
    model.actions(state, &mut actions);
    let of_class = actions.into_iter().filter(|action| model.class(action) == class);
    of_class.filter_map(|action| model.next_state(state, action)).any(|next| next != *state)
}
