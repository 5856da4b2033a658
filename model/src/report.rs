//! What a check tells of what it has looked at: each property, each scope, each transition.
//!
//! Only data. How two scopes are put together is in `merge`.

use crate::action::Action;
use crate::bounds::Bounds;
use crate::checker::Lasso;
use colo_protocol::{Liveness, Property, Transition};
use std::time::Duration;

/// What a check says of one property.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Verdict {
    /// It holds in all that can happen.
    Holds,
    /// It is not broken in what was explored, but not everything was.
    Incomplete,
    /// It is broken.
    Violated,
}

impl Verdict {
    /// The word for it in `--json`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Holds => "holds",
            Self::Violated => "violated",
            Self::Incomplete => "incomplete",
        }
    }
}

/// One safety property and its verdict.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PropertyReport {
    /// The property.
    pub property: Property,
    /// The verdict.
    pub verdict: Verdict,
    /// Whether the rules claim it under these bounds.
    pub claimed: bool,
    /// The shortest way to break it, if it is broken.
    pub counterexample: Option<Vec<Action>>,
    /// The bounds within which it was broken.
    pub bounds: Bounds,
    /// In how many states there was something that it speaks of.
    pub occasions: u64,
}

/// One liveness property and its verdict.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LivenessReport {
    /// The property.
    pub property: Liveness,
    /// The verdict.
    pub verdict: Verdict,
    /// Whether the rules claim it.
    pub claimed: bool,
    /// A run without an end that breaks it, if it is broken.
    pub lasso: Option<Lasso<Action>>,
    /// The bounds within which it was broken.
    pub bounds: Bounds,
    /// Its parts, each with what calls for it.
    pub parts: Vec<PartReport>,
}

impl PropertyReport {
    /// Whether it holds because there never was anything that it speaks of.
    pub fn is_vacuous(&self) -> bool {
        self.verdict == Verdict::Holds && self.occasions == 0
    }
}

/// A part of a liveness property, and whether anything called for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PartReport {
    /// Which; nothing, if it is the only one.
    pub name: &'static str,
    /// In how many states something was called for.
    pub occasions: u64,
    /// Whether something had to, within the bounds.
    pub required: bool,
}

impl LivenessReport {
    /// In how many states something was called for: of the parts for which something had to be, the one that was
    /// called for least.
    pub fn occasions(&self) -> u64 {
        let required = self.parts.iter().filter(|part| part.required);
        let least = required.map(|part| part.occasions).min();
        least.unwrap_or_else(|| self.parts.iter().map(|part| part.occasions).sum())
    }

    /// Whether it holds because nothing ever called for it.
    pub fn is_vacuous(&self) -> bool {
        self.verdict == Verdict::Holds && self.occasions() == 0
    }
}

/// A transition of the core, and how often it was taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TransitionReport {
    /// The transition.
    pub transition: Transition,
    /// How many steps between states took it.
    pub times: u64,
    /// Whether it has to be taken.
    pub required: bool,
}

/// What one scope of a check took.
#[derive(Clone, Copy, Debug)]
pub struct ScopeReport {
    /// What it is for.
    pub name: &'static str,
    /// Its bounds.
    pub bounds: Bounds,
    /// Different states.
    pub distinct: u64,
    /// Steps between states.
    pub transitions: u64,
    /// Whether everything within the bounds was explored.
    pub complete: bool,
    /// How long it took.
    pub elapsed: Duration,
}
