//! What is claimed of a model: named predicates over its states, and properties made of them.
//!
//! Anybody may add a predicate or a property; the engine knows of none. It sees predicates as bits of a state's labels,
//! which are found once, when the state is explored.

use crate::checker::fairness::Fairness;
use crate::checker::progress::{Class, Progress};
use crate::checker::refusal::Refusal;
use stateright::Expectation;
use std::borrow::Cow;

/// A state, as a predicate sees it.
pub struct Moment<'a, M: Progress> {
    /// The model.
    pub model: &'a M,
    /// The state.
    pub state: &'a M::State,
    /// The state, unpacked.
    pub view: &'a M::View,
}

/// A predicate of a specification.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Predicate(usize);

/// The predicates that hold in a state.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub struct Labels(u64);

impl Labels {
    /// Whether a predicate holds.
    pub const fn has(self, predicate: Predicate) -> bool {
        self.0 & predicate.bit() != 0
    }
}

impl Predicate {
    /// The most predicates that a specification may have.
    pub const MOST: usize = 64;

    /// Its bit. One predicate too many, with which every check is refused, has none.
    const fn bit(self) -> u64 {
        if self.0 < Self::MOST { 1 << self.0 } else { 0 }
    }
}

/// What a property says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Claim {
    /// Each state satisfies the predicate.
    Always(Predicate),
    /// Some state satisfies the predicate.
    Sometimes(Predicate),
    /// After each state that satisfies `from`, or in it, comes one that satisfies `to`.
    LeadsTo {
        /// From where on something is owed.
        from: Predicate,
        /// What is owed.
        to: Predicate,
        /// What is assumed of the environment.
        fairness: Fairness,
    },
    /// From some point on each state satisfies the predicate.
    EventuallyAlways {
        /// What holds in the end.
        holds: Predicate,
        /// What is assumed of the environment.
        fairness: Fairness,
    },
    /// The predicate is satisfied again and again, or at the end for ever.
    AlwaysEventually {
        /// What recurs.
        recurs: Predicate,
        /// What is assumed of the environment.
        fairness: Fairness,
    },
}

/// A property: a claim with a name and a statement.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Property {
    /// Its name.
    pub name: Cow<'static, str>,
    /// What it says, in words.
    pub statement: Cow<'static, str>,
    /// What it says.
    pub claim: Claim,
}

type Condition<M> = Box<dyn Fn(&Moment<'_, M>) -> bool + Send + Sync>;

/// What is claimed of a model.
pub struct Specification<M: Progress> {
    predicates: Vec<(Cow<'static, str>, Condition<M>)>,
    properties: Vec<Property>,
}

impl<M: Progress> Default for Specification<M> {
    fn default() -> Self {
        Self { predicates: Vec::new(), properties: Vec::new() }
    }
}

impl<M: Progress> Specification<M> {
    /// Nothing is claimed yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a predicate.
    pub fn predicate(
        &mut self,
        name: impl Into<Cow<'static, str>>,
        holds: impl Fn(&Moment<'_, M>) -> bool + Send + Sync + 'static,
    ) -> Predicate {
        self.predicates.push((name.into(), Box::new(holds)));
        Predicate(self.predicates.len() - 1)
    }

    /// Adds a property.
    pub fn property(
        &mut self,
        name: impl Into<Cow<'static, str>>,
        statement: impl Into<Cow<'static, str>>,
        claim: Claim,
    ) {
        self.properties.push(Property { name: name.into(), statement: statement.into(), claim });
    }

    /// Adds the properties that the model has as a `stateright` model, each stated by its name.
    pub fn include_properties_of(&mut self, model: &M) -> Result<(), Refusal>
    where
        M: 'static,
    {
        for property in model.properties() {
            let stateright::Property { name, condition, expectation } = property;
            let claim = match expectation {
                Expectation::Always => Claim::Always,
                Expectation::Sometimes => Claim::Sometimes,
                Expectation::Eventually => return Err(Refusal::Eventually { name }),
            };
            let predicate = self.predicate(name, move |moment| condition(moment.model, moment.state));
            self.property(name, name, claim(predicate));
        }
        Ok(())
    }

    /// All properties, in the order in which they were added.
    pub fn properties(&self) -> &[Property] {
        &self.properties
    }

    /// The names of all predicates, in their order.
    pub fn predicates(&self) -> impl Iterator<Item = (Predicate, &str)> {
        self.predicates.iter().enumerate().map(|(number, (name, _))| (Predicate(number), name.as_ref()))
    }

    /// Which predicates hold in a state.
    pub fn labels(&self, model: &M, state: &M::State) -> Labels {
        let view = model.view(state);
        let moment = Moment { model, state, view: &view };
        let holding = self.predicates.iter().enumerate().filter(|(_, (_, holds))| holds(&moment));
        Labels(holding.fold(0, |labels, (number, _)| labels | Predicate(number).bit()))
    }

    /// Whether all this can be judged.
    pub(crate) fn validate(&self, model: &M) -> Result<(), Refusal> {
        let (predicates, classes) = (self.predicates.len(), model.classes().len());
        if self.properties.is_empty() {
            return Err(Refusal::NoProperties);
        }
        if predicates > Predicate::MOST {
            return Err(Refusal::TooManyPredicates { count: predicates, most: Predicate::MOST });
        }
        if classes > Class::MOST {
            return Err(Refusal::TooManyClasses { count: classes, most: Class::MOST });
        }
        for (number, property) in self.properties.iter().enumerate() {
            self.validate_property(property, classes)?;
            if self.properties[..number].iter().any(|other| other.name == property.name) {
                return Err(Refusal::SameName { name: property.name.to_string() });
            }
        }
        Ok(())
    }

    fn validate_property(&self, property: &Property, classes: usize) -> Result<(), Refusal> {
        if property.claim.predicates().any(|predicate| predicate.0 >= self.predicates.len()) {
            return Err(Refusal::UnknownPredicate { property: property.name.to_string() });
        }
        let fairness = property.claim.fairness();
        match fairness.classes().find(|(class, _)| usize::from(class.number()) >= classes) {
            Some((class, _)) => {
                let (property, class) = (property.name.to_string(), class.number());
                Err(Refusal::UnknownClass { property, class, count: classes })
            }
            None => Ok(()),
        }
    }
}

impl Claim {
    fn predicates(&self) -> impl Iterator<Item = Predicate> {
        let (one, other) = match *self {
            Self::Always(one) | Self::Sometimes(one) => (one, None),
            Self::LeadsTo { from, to, .. } => (from, Some(to)),
            Self::EventuallyAlways { holds: one, .. } | Self::AlwaysEventually { recurs: one, .. } => {
                (one, None)
            }
        };
        std::iter::once(one).chain(other)
    }

    /// What it assumes of the environment.
    pub fn fairness(&self) -> Fairness {
        match *self {
            Self::Always(_) | Self::Sometimes(_) => Fairness::none(),
            Self::LeadsTo { fairness, .. }
            | Self::EventuallyAlways { fairness, .. }
            | Self::AlwaysEventually { fairness, .. } => fairness,
        }
    }

    /// What a run that breaks it looks like, if it takes a run without an end to break it.
    pub(crate) fn breach(&self) -> Option<Breach> {
        let any = Pattern::ANY;
        let (owed, within, again) = match *self {
            Self::Always(_) | Self::Sometimes(_) => return None,
            Self::LeadsTo { from, to, .. } => (Pattern::with(from), Pattern::without(to), any),
            Self::EventuallyAlways { holds, .. } => (any, any, Pattern::without(holds)),
            Self::AlwaysEventually { recurs, .. } => (any, Pattern::without(recurs), any),
        };
        Some(Breach { owed, stay: Staying { within, again, fairness: self.fairness() } })
    }
}

/// A run that breaks a claim about progress: it comes to a state from which on something is owed, and stays.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Breach {
    /// From such a state on, if it is one to stay in.
    pub(crate) owed: Pattern,
    pub(crate) stay: Staying,
}

/// How a run that breaks a claim goes on for ever.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Staying {
    /// It never leaves such states.
    pub(crate) within: Pattern,
    /// It is in such a state again and again.
    pub(crate) again: Pattern,
    /// It is fair.
    pub(crate) fairness: Fairness,
}

impl Breach {
    /// Whether from a state on something is owed.
    pub(crate) const fn begins(&self, labels: Labels) -> bool {
        self.owed.matches(labels) && self.stay.within.matches(labels)
    }
}

/// What is asked of a state's labels.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Pattern {
    mask: u64,
    value: u64,
}

impl Pattern {
    pub(crate) const ANY: Self = Self { mask: 0, value: 0 };

    pub(crate) const fn with(predicate: Predicate) -> Self {
        Self { mask: predicate.bit(), value: predicate.bit() }
    }

    pub(crate) const fn without(predicate: Predicate) -> Self {
        Self { mask: predicate.bit(), value: 0 }
    }

    pub(crate) const fn matches(self, labels: Labels) -> bool {
        labels.0 & self.mask == self.value
    }
}
