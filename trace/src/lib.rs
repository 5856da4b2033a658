//! What happened in a run, and what is to happen in one: one format for the checker, the simulator and the runner.
//!
//! A trace is JSON Lines ([`Header`], then a [`Record`] an event). A [`Plan`] is a list of faults, each bound to a
//! protocol [`Point`] and never to a time, and of gates, so that one plan runs in all three; [`plan_of`] a
//! counterexample is the plan that makes it happen again. A [`diagram`] draws a trace for a terminal, [`svg`] for a
//! page, and [`checkpoint_times`] says how long it took.
//! Rules are read from files by [`load_rules`]. Nothing in this crate decides anything of the protocol.
#![forbid(unsafe_code)]

mod conform;
mod derive;
mod diagram;
mod enumerate;
mod fault;
mod gate;
mod plan;
mod point;
mod record;
mod regression;
mod rules_file;
mod step_fault;
mod steps;
mod svg;
mod times;

pub use conform::{
    Capture, CaptureError, Finding, Index, IndexError, Line, Log, LogError, Place, Spot, TooManyStates,
    Verdict, Word, conform,
};
pub use derive::{DeriveError, plan_of};
pub use diagram::{diagram, words};
pub use enumerate::{points_in, points_of, records_before};
pub use fault::{FaultAction, FaultKind};
pub use gate::Gate;
pub use plan::{Fault, Plan, PlanCursor, PlanError};
pub use point::{Event, Moment, Point, PointError};
pub use record::{Header, Kind, Record, SCHEMA, Trace, TraceError, Way, read_trace, write_trace};
pub use regression::{Head, PlanFile, Regression};
pub use rules_file::{NamedRules, RulesError, load_rules, rules_from_toml, rules_to_toml};
pub use step_fault::StepFault;
pub use steps::{LinkState, NodeState, PairState, Steps, is_new_pair, new_pair};
pub use svg::svg;
pub use times::{CheckpointTimes, checkpoint_times};
