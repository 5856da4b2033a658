//! Transitions: what an input makes of a machine that takes it, as far as it can be named.
//!
//! A transition is found by running the machine, and never written down. An input that is refused, that is a protocol
//! error, or that leaves everything as it was is no transition; but what cannot be read leads, always, to the error.

use crate::effect::Step;
use crate::error::ProtocolError;
use crate::input::{Input, InputKind};
use crate::node::{Machine, NodeName};
use crate::primary::PrimaryPhase;
use crate::rules::Rules;
use crate::secondary::SecondaryPhase;
use core::fmt;

/// A phase of one of the two machines.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Phase {
    /// Of the primary's.
    Primary(PrimaryPhase),
    /// Of the secondary's.
    Secondary(SecondaryPhase),
}

impl Phase {
    /// The phase that a machine is in.
    pub const fn of(machine: &Machine) -> Self {
        match machine {
            Machine::Primary(primary) => Self::Primary(primary.phase()),
            Machine::Secondary(secondary) => Self::Secondary(secondary.phase()),
        }
    }

    /// Whose phase it is.
    pub const fn node(self) -> NodeName {
        match self {
            Self::Primary(_) => NodeName::Primary,
            Self::Secondary(_) => NodeName::Secondary,
        }
    }

    /// Whether the node is in COLO: protected, or on the way there.
    pub const fn in_session(self) -> bool {
        match self {
            Self::Primary(phase) => phase.in_session(),
            Self::Secondary(phase) => phase.in_session(),
        }
    }

    /// Whether the node has stopped for good.
    pub const fn is_over(self) -> bool {
        match self {
            Self::Primary(phase) => phase.is_over(),
            Self::Secondary(phase) => phase.is_over(),
        }
    }

    /// The phase's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Primary(phase) => phase.name(),
            Self::Secondary(phase) => phase.name(),
        }
    }
}

/// One transition: in this phase, on an input of this kind, into that phase.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Transition {
    /// The phase before.
    pub from: Phase,
    /// The kind of input.
    pub input: InputKind,
    /// The phase after. A survivor that is protected again is a primary.
    pub to: Phase,
}

impl Transition {
    /// Gives a machine an input: the transition, if it takes one.
    pub fn take(rules: &Rules, before: &Machine, input: Input) -> Option<Self> {
        let mut after = *before;
        let step = after.step(rules, input);
        Self::of(before, input, &step, &after)
    }

    /// What a step was.
    pub(crate) fn of(before: &Machine, input: Input, step: &Step, after: &Machine) -> Option<Self> {
        let taken = match step.error {
            None => after != before || !step.effects.is_empty(),
            Some(error) => matches!(error, ProtocolError::BadStream { .. }) && after != before,
        };
        taken.then(|| Self { from: Phase::of(before), input: input.kind(), to: Phase::of(after) })
    }
}

impl fmt::Display for Transition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, input, to } = self;
        write!(f, "{} {} {input} {}", from.node(), from.name(), to.name())
    }
}
