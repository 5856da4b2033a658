//! A model checker for any `stateright` model: safety, and progress under fairness, with counterexamples that are real
//! runs.
//!
//! A model says which class each of its actions is of ([`Progress`]); a [`Specification`] names predicates over its
//! states, and claims properties made of them. [`check`] builds the [`Graph`] of all states once and judges every
//! property in it. A property about runs without an end is broken by a [`Lasso`], which [`verify_lasso`] confirms by
//! taking its steps in the model.
//!
//! A verdict is never better than what was explored: a graph that lacks runs shows that a property is broken, and never
//! that it holds. Nothing depends on the number of threads, nor on the clock unless there is a deadline.
//!
//! [`search()`] is for safety alone: it keeps no graph.

mod components;
mod exploration;
mod extent;
mod fairness;
mod graph;
mod judge;
mod lasso;
mod liveness;
mod places;
mod progress;
mod refusal;
mod report;
pub(crate) mod search;
mod specification;
mod verify;

pub use extent::Extent;
pub use fairness::{Fairness, Strength};
pub use graph::Graph;
pub use judge::check;
pub use lasso::{Lasso, Path};
pub use progress::{Class, Progress};
pub use refusal::Refusal;
pub use report::{Figures, Finding, Judged, Report};
pub use search::{Limits, Outcome, Search, search, try_search};
pub use specification::{Claim, Labels, Moment, Predicate, Property, Specification};
pub use verify::{Flaw, verify_lasso};
