//! What happened in a run, and what is to happen in one: one format for the checker, the simulator and the runner.
//!
//! A trace is JSON Lines ([`Header`], then a [`Record`] an event). A [`Plan`] is a list of faults, each bound to a
//! protocol [`Point`] and never to a time, so that one plan runs in all three. A [`diagram`] draws a trace for a
//! terminal. Rules are read from files by [`load_rules`]. Nothing in this crate decides anything of the protocol.
#![forbid(unsafe_code)]

mod diagram;
mod enumerate;
mod plan;
mod point;
mod record;
mod rules_file;

pub use diagram::diagram;
pub use enumerate::points_of;
pub use plan::{Fault, FaultAction, Plan, PlanCursor, PlanError};
pub use point::{Event, Moment, Point, PointError};
pub use record::{Header, Kind, Record, SCHEMA, Trace, TraceError, Way, read_trace, write_trace};
pub use rules_file::{NamedRules, RulesError, load_rules, rules_to_toml};
