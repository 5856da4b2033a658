//! What may be assumed of an environment: that it does not put off for ever what it could do.
//!
//! The definitions are TLA's. A step that leaves the state as it is neither counts as taken nor makes its class
//! enabled (`<<A>>_v`). What is here judges a set of states that a run visits again and again; it does not know how
//! such sets are found.

use crate::checker::progress::{Class, ClassSet};

/// How an environment is fair to a class.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Strength {
    /// A class that is enabled for ever from some point on is taken again and again.
    Weak,
    /// A class that is enabled again and again is taken again and again.
    Strong,
}

/// What is assumed of an environment: for each class nothing, or weak, or strong fairness.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub struct Fairness {
    weak: ClassSet,
    strong: ClassSet,
}

/// What there is in a set of states that a run can visit again and again, all of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Recurrence {
    /// Classes enabled in each state.
    pub(crate) always_enabled: ClassSet,
    /// Classes enabled in some state.
    pub(crate) sometimes_enabled: ClassSet,
    /// Classes of the steps between different states of the set.
    pub(crate) taken: ClassSet,
}

/// Whether a fair run can stay in a set of states.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stay {
    /// One that visits all of them and takes all steps is fair.
    Fair,
    /// None is fair, here or in any part of it.
    Unfair,
    /// None is fair that visits a state in which one of these is enabled.
    Starves(ClassSet),
}

impl Fairness {
    /// Nothing is assumed: the environment may do nothing at all for ever.
    pub fn none() -> Self {
        Self::default()
    }

    /// Adds weak fairness to a class. Strong fairness to it stays what it is: it implies the weak.
    #[must_use]
    pub fn weak(self, class: Class) -> Self {
        self.with(class, Strength::Weak)
    }

    /// Adds strong fairness to a class.
    #[must_use]
    pub fn strong(self, class: Class) -> Self {
        self.with(class, Strength::Strong)
    }

    /// What both assume.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let strong = self.strong.or(other.strong);
        Self { weak: self.weak.or(other.weak).without(strong), strong }
    }

    fn with(mut self, class: Class, strength: Strength) -> Self {
        match strength {
            Strength::Weak => self.weak.insert(class),
            Strength::Strong => self.strong.insert(class),
        }
        self.weak = self.weak.without(self.strong);
        self
    }

    /// How fair the environment is to a class, if it is.
    pub fn of(&self, class: Class) -> Option<Strength> {
        match (self.weak.contains(class), self.strong.contains(class)) {
            (_, true) => Some(Strength::Strong),
            (true, false) => Some(Strength::Weak),
            (false, false) => None,
        }
    }

    /// The classes that the environment is fair to.
    pub fn classes(self) -> impl Iterator<Item = (Class, Strength)> {
        self.fair().iter().filter_map(move |class| Some((class, self.of(class)?)))
    }

    pub(crate) const fn weakly_fair(&self) -> ClassSet {
        self.weak
    }

    pub(crate) const fn strongly_fair(&self) -> ClassSet {
        self.strong
    }

    pub(crate) const fn fair(&self) -> ClassSet {
        self.weak.or(self.strong)
    }

    /// Whether a run may stop for ever in a state in which these classes are enabled.
    pub(crate) const fn may_stop(&self, enabled: ClassSet) -> bool {
        self.fair().and(enabled).is_empty()
    }

    pub(crate) fn judge(&self, set: &Recurrence) -> Stay {
        if !self.weak.and(set.always_enabled).without(set.taken).is_empty() {
            return Stay::Unfair;
        }
        let starving = self.strong.and(set.sometimes_enabled).without(set.taken);
        if starving.is_empty() { Stay::Fair } else { Stay::Starves(starving) }
    }
}

impl FromIterator<(Class, Strength)> for Fairness {
    fn from_iter<I: IntoIterator<Item = (Class, Strength)>>(classes: I) -> Self {
        classes.into_iter().fold(Self::none(), |fairness, (class, strength)| fairness.with(class, strength))
    }
}
