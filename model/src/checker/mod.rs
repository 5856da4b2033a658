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
//! There are lighter ways to look at a model: [`search()`] is for safety alone, and keeps no graph; [`walk()`] goes at
//! random where no search would end; [`successors`] looks at one state.

mod components;
mod exploration;
mod extent;
mod fairness;
mod graph;
mod judge;
mod lasso;
mod liveness;
mod on_demand;
mod places;
mod progress;
mod refusal;
mod report;
pub(crate) mod search;
mod specification;
mod verify;
mod walk;

pub use extent::Extent;
pub use fairness::{Fairness, Strength};
pub use graph::Graph;
pub use judge::check;
pub use lasso::{Lasso, Path};
pub use on_demand::{Successor, successors};
pub use progress::{Class, Progress};
pub use refusal::Refusal;
pub use report::{Figures, Finding, Judged, Report};
pub use search::{Coverage, Limits, Outcome, Search, search, try_search};
pub use specification::{Claim, Labels, Moment, Predicate, Property, Specification};
pub use verify::{Flaw, verify_lasso};
pub use walk::{Walk, Walked, walk};
