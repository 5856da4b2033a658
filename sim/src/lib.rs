//! The COLO core on a virtual clock: seeded network, seeded faults, seeded guests.
//!
//! [`run`] takes rules and a seed and simulates one pair from the start of protection to the last answer: two nodes
//! of the core with their surroundings, a link through the real codec, guests whose state is really captured, sent
//! and loaded, and clients whose view is checked. Everything that is drawn is drawn from the seed, as integers; there
//! is no wall clock, no thread and no unordered collection in a run, so that the same seed is the same run on every
//! machine. Faults are drawn, too, and recorded as a plan: with it, the run is the same again.
//!
//! ```
//! use colo_sim::{Options, Verdict, run};
//!
//! let rules = colo_trace::load_rules("v12")?;
//! let outcome = run(&rules, 42, &Options::default());
//! assert_eq!(outcome.verdict, Verdict::Holds);
//!
//! let again = Options { plan: Some(outcome.plan.clone()), ..Options::default() };
//! assert_eq!(run(&rules, 42, &again).hash, outcome.hash);
//! # Ok::<(), colo_trace::RulesError>(())
//! ```
//!
//! No protocol decision is taken here: inputs go in, effects come out, and the judge looks on.
#![forbid(unsafe_code)]

mod agenda;
mod arbiter;
mod campaign;
mod clients;
mod comparison;
mod damage;
mod drain;
mod draw;
mod drawer;
mod effects;
mod enumerate;
mod execution;
mod faults;
mod fingerprint;
mod gates;
mod guest;
mod guest_knobs;
mod inbox;
mod inputs;
mod judge;
mod knobs;
mod ledger;
mod line;
mod link;
mod manager;
mod marks;
#[doc(hidden)]
pub mod network;
mod occasions;
mod operations;
mod options;
mod outcome;
mod receive;
mod regression;
mod replacement;
mod replication;
mod seeds;
mod self_check;
mod shrink;
mod side;
mod simulation;
mod standstill;
#[cfg(feature = "proptest")]
pub mod strategies;
mod summary;
mod sweep;
mod tape;

pub use campaign::{Campaign, CampaignError, FaultSource, Story};
pub use enumerate::{Enumeration, Trial, enumerate, faults_to_try};
pub use line::{LINE_SCHEMA, Line, sweep_name};
pub use options::{MAX_CHECKPOINTS, MAX_CLIENTS, Options, Watch};
pub use outcome::{Broken, Outcome, Verdict};
pub use regression::{regression, rerun};
pub use seeds::SeedSet;
pub use self_check::{SELF_CHECK, Unlike};
pub use shrink::{Shrunk, shrink};
pub use summary::Summary;
pub use sweep::{sweep, sweep_checked, sweep_until};

use colo_trace::NamedRules;

/// Simulates one run: the same for the same rules, seed and options, always and everywhere.
pub fn run(rules: &NamedRules, seed: u64, options: &Options) -> Outcome {
    let mut simulation = simulation::Simulation::new(&rules.rules, seed, options);
    let events = simulation.run();
    simulation.outcome(rules, seed, events)
}

/// The parameters that a run draws from its seed before it begins, in a line for a person.
pub fn knobs(rules: &NamedRules, seed: u64, options: &Options) -> String {
    let knobs = knobs::Knobs::draw(seed, &rules.rules, options);
    let guests = guest_knobs::GuestKnobs::draw(seed, options);
    let faults = faults::Faults::drawer(seed, &rules.rules, options);
    let faults = faults.map(|faults| format!("; faults: {faults}")).unwrap_or_default();
    format!("{knobs}, {guests}{faults}")
}
