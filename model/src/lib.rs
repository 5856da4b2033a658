//! The COLO core under the model checker: every interleaving of a pair, its link, its manager and its faults.
//!
//! [`Pair`] is a `stateright` model around `colo_protocol`: it carries inputs in and effects out, one at a time, in
//! every order that a real environment could, and it watches what the world sees. It takes no decision of the
//! protocol. [`search`] explores it breadth first; [`check`] does so and reports. [`follow_trace`] and [`follow_plan`]
//! go the way of a counterexample once more; [`explore`] shows the pair step by step in a browser.
#![forbid(unsafe_code)]

mod action;
mod allowed;
mod bounds;
mod calls;
mod carry;
mod check;
pub mod checker;
mod claims;
mod cost;
mod explorer;
mod given;
mod goals;
mod itf;
mod lasso_replay;
mod liveness;
mod merge;
mod normal;
mod observe;
mod packed;
mod pair;
mod picture;
mod planned;
mod possible;
mod premises;
mod progress;
mod replay;
mod report;
mod state;
mod story;
mod summary;
mod survivors;
mod tally;

pub use action::Action;
pub use bounds::{Bounds, Budgets, MAX_CHECKPOINTS, Scope, UNBOUNDED};
pub use check::{Check, check, check_scopes, find_bug};
pub use checker::{Limits, Outcome, Search, search};
pub use cost::{CheckpointCost, Sent, checkpoint_cost};
pub use explorer::{ColoPair, ExploreError, explore};
pub use goals::Goal;
pub use itf::itf;
pub use lasso_replay::ForEver;
pub use packed::Packed;
pub use pair::Pair;
pub use picture::{MAX_DRAWN_STATES, TooManyStates, phase_graph, state_graph};
pub use planned::{PlanFollowed, follow_plan, is_beyond_the_model};
pub use replay::{Break, Followed, Stuck, follow_trace};
pub use report::{LivenessReport, PartReport, PropertyReport, ScopeReport, TransitionReport, Verdict};
pub use state::State;
pub use story::{lasso_story, story};
pub use summary::summary;
pub use survivors::{Survivor, Survivors, survivors};
