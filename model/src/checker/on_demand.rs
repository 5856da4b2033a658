//! One state and its steps, made when somebody asks: for an explorer that walks where its user points.

use crate::checker::progress::{Class, Progress};
use crate::checker::specification::{Labels, Specification};

/// A step from a state, and where it leads.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Successor<A, S> {
    /// The action.
    pub action: A,
    /// Its class.
    pub class: Class,
    /// The state that it leads to.
    pub state: S,
    /// What holds there.
    pub labels: Labels,
    /// Whether it is another state. If not, the step is no progress.
    pub changes: bool,
    /// Whether a check would go there.
    pub is_within_boundary: bool,
}

/// All steps from a state, in the model's order. What holds in the state itself is in [`Specification::labels`].
pub fn successors<M>(
    model: &M,
    specification: &Specification<M>,
    state: &M::State,
) -> Vec<Successor<M::Action, M::State>>
where
    M: Progress,
    M::State: PartialEq,
{
    let steps = model.next_steps(state).into_iter();
    let successor = |(action, next)| Successor {
        class: model.class(&action),
        labels: specification.labels(model, &next),
        changes: next != *state,
        is_within_boundary: model.within_boundary(&next),
        action,
        state: next,
    };
    steps.map(successor).collect()
}
