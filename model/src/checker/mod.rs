//! A model checker for any `stateright` model: safety, and progress under fairness, with counterexamples that are real
//! runs.
//!
//! A model says which class each of its actions is of ([`Progress`]); a [`Specification`] names predicates over its
//! states, and claims properties made of them. [`check`] builds the graph of all states once and judges every property
//! in it. A property about runs without an end is broken by a [`Lasso`], which [`verify_lasso`] confirms by taking its
//! steps in the model.
//!
//! A verdict is never better than what was explored: a graph that lacks runs shows that a property is broken, and never
//! that it holds. Nothing depends on the number of threads, nor on the clock unless there is a deadline.
//!
//! ```
//! use colo_model::checker::{Claim, Class, Extent, Fairness, Finding, Progress, Specification, check};
//! use stateright::Model;
//!
//! /// A lamp, and somebody who plays with the switch. When it has burnt out it stays dark.
//! struct Lamp;
//!
//! #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
//! enum State { Dark, Bright, BurntOut }
//!
//! #[derive(Clone, Copy, PartialEq, Eq, Debug)]
//! enum Action { Switch, BurnOut }
//!
//! const SWITCH: Class = Class::new(0);
//! const WEAR: Class = Class::new(1);
//!
//! impl Model for Lamp {
//!     type State = State;
//!     type Action = Action;
//!     fn init_states(&self) -> Vec<State> {
//!         vec![State::Dark]
//!     }
//!     fn actions(&self, state: &State, actions: &mut Vec<Action>) {
//!         match state {
//!             State::Dark => actions.push(Action::Switch),
//!             State::Bright => actions.extend([Action::Switch, Action::BurnOut]),
//!             State::BurntOut => {}
//!         }
//!     }
//!     fn next_state(&self, state: &State, action: Action) -> Option<State> {
//!         match (state, action) {
//!             (State::Dark, Action::Switch) => Some(State::Bright),
//!             (State::Bright, Action::Switch) => Some(State::Dark),
//!             (State::Bright, Action::BurnOut) => Some(State::BurntOut),
//!             _ => None,
//!         }
//!     }
//! }
//!
//! impl Progress for Lamp {
//!     type View = ();
//!     fn view(&self, _: &State) {}
//!     fn classes(&self) -> &'static [&'static str] {
//!         &["switch", "wear"]
//!     }
//!     fn class(&self, action: &Action) -> Class {
//!         if *action == Action::Switch { SWITCH } else { WEAR }
//!     }
//! }
//!
//! let mut specification = Specification::<Lamp>::new();
//! let burnt_out = specification.predicate("burnt out", |moment| *moment.state == State::BurntOut);
//! let wears = |fairness| Claim::AlwaysEventually { recurs: burnt_out, fairness };
//! let (weak, strong) = (Fairness::none().weak(SWITCH).weak(WEAR), Fairness::none().weak(SWITCH).strong(WEAR));
//! specification.property("weak", "a lamp burns out that could at any time", wears(weak));
//! specification.property("strong", "a lamp burns out that could again and again", wears(strong));
//!
//! let report = check(&Lamp, &specification, &Extent::default())?;
//! let Some(Finding::BrokenForEver(lasso)) = report.finding("weak") else { panic!() };
//! assert_eq!(lasso.cycle, [Action::Switch, Action::Switch]);
//! assert_eq!(report.finding("strong"), Some(&Finding::Holds));
//! # Ok::<(), colo_model::checker::Refusal>(())
//! ```
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
pub use judge::{Explored, check, explore, explore_covering};
pub use lasso::{Lasso, Path};
pub use on_demand::{Successor, successors};
pub use progress::{Class, Progress};
pub use refusal::Refusal;
pub use report::{Figures, Finding, Judged, Report, processor_time};
pub use search::{Coverage, Limits, Outcome, Search, search, try_search};
pub use specification::{Claim, Labels, Moment, Predicate, Property, Specification};
pub use verify::{Flaw, verify_lasso};
pub use walk::{Walk, Walked, walk};
