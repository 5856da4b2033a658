//! Why a check is refused: what was asked for would mean nothing.

use thiserror::Error;

/// Why a check is refused.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Nothing is claimed.
    #[error("a search of a model without properties would mean nothing")]
    NoProperties,
    /// A walk sees states, and runs without an end it does not.
    #[error("a random walk judges what is claimed of each state, and no such claim is made")]
    NothingAboutStates,
    /// A property that cannot be judged state by state.
    #[error(
        "`eventually` cannot be judged state by state: say {name:?} as `leads_to` or `always_eventually` of a specification"
    )]
    Eventually {
        /// The property.
        name: &'static str,
    },
    /// Nothing can happen.
    #[error("a model without an initial state, or with none within its boundary, satisfies everything")]
    NoInitialState,
    /// A state's label has a bit for each predicate.
    #[error("{count} predicates: there may be at most {most}")]
    TooManyPredicates {
        /// How many there are.
        count: usize,
        /// How many there may be.
        most: usize,
    },
    /// A set of classes has a bit for each.
    #[error("{count} classes of actions: there may be at most {most}")]
    TooManyClasses {
        /// How many there are.
        count: usize,
        /// How many there may be.
        most: usize,
    },
    /// A property is about a predicate that the specification does not have.
    #[error("{property:?} is about a predicate of another specification")]
    UnknownPredicate {
        /// The property.
        property: String,
    },
    /// A property is fair to a class that the model does not have.
    #[error("{property:?} is fair to class {class}, and the model names {count}")]
    UnknownClass {
        /// The property.
        property: String,
        /// The class.
        class: u8,
        /// How many classes the model names.
        count: usize,
    },
    /// An action is of a class that the model does not name.
    #[error("an action is of class {class}, and the model names {count}")]
    UnnamedClass {
        /// The class.
        class: u8,
        /// How many classes the model names.
        count: usize,
    },
    /// Two properties of one name could not be told apart in a report.
    #[error("two properties are called {name:?}")]
    SameName {
        /// The name.
        name: String,
    },
}
