//! What a model says about its steps, so that claims about progress can be made: which class each action is of.

use stateright::Model;
use std::fmt;

/// A class of actions to which an environment is fair, or is not.
///
/// Fairness to a class is fairness to its actions together, not to each of them. An action belongs to one class; those
/// that nobody is ever fair to (faults, say) may share one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Class(u8);

impl Class {
    /// The most classes that a model may have.
    pub const MOST: usize = 64;

    /// The class with this place among the names that the model gives.
    ///
    /// # Panics
    ///
    /// If there can be no such class, because it would be one too many.
    pub const fn new(number: u8) -> Self {
        assert!((number as usize) < Self::MOST, "a model has 64 classes at most");
        Self(number)
    }

    /// Its place among the names.
    pub const fn number(self) -> u8 {
        self.0
    }
}

/// A model whose runs are to get somewhere.
///
/// Actions have to be given in the same order each time, as `stateright` requires anyhow: a run is found again by
/// taking its steps once more.
pub trait Progress: Model {
    /// A state as predicates want to see it. It is made once per state, however many predicates there are; a model
    /// whose states need no unpacking says `()`, and its predicates look at the state itself.
    type View;

    /// Unpacks a state.
    fn view(&self, state: &Self::State) -> Self::View;

    /// The names of the classes, in their order.
    fn classes(&self) -> &'static [&'static str];

    /// The class of an action.
    fn class(&self, action: &Self::Action) -> Class;
}

/// Several classes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct ClassSet(u64);

impl ClassSet {
    pub(crate) const EMPTY: Self = Self(0);
    pub(crate) const ALL: Self = Self(u64::MAX);

    pub(crate) fn insert(&mut self, class: Class) {
        self.0 |= 1 << class.0;
    }

    pub(crate) const fn contains(self, class: Class) -> bool {
        self.0 & (1 << class.0) != 0
    }

    pub(crate) const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    pub(crate) const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    pub(crate) const fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = Class> {
        (0..64).map(Class).filter(move |class| self.contains(*class))
    }
}

impl fmt::Debug for ClassSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(|class| class.0)).finish()
    }
}
