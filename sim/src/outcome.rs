//! What a run came to.

use crate::line::Line;
use colo_protocol::{Liveness, Property};
use colo_trace::{Fault, Gate, Plan, Trace};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// Whether anything was broken.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Nothing.
    Holds,
    /// A property; the run ended there.
    Violated,
}

/// What a run can break.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Broken {
    /// A property of the protocol, seen by looking at the nodes.
    Property(Property),
    /// What the clients saw is not what one service can have done.
    ClientHistory,
    /// When faults had ended and the network had healed, something had not ended in time: what this property says.
    NotDrained(Liveness),
    /// A state was loaded that is not the one that was captured: bytes were damaged on the way, and nothing could tell.
    SilentDamage,
}

impl Broken {
    /// The property's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Property(property) => property.name(),
            Self::ClientHistory => "client history",
            Self::NotDrained(property) => property.name(),
            Self::SilentDamage => "silent damage",
        }
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a run came to.
#[derive(Clone, PartialEq, Debug)]
pub struct Outcome {
    /// The seed that it was drawn from.
    pub seed: u64,
    /// The fingerprint of all its events: the same on every machine.
    pub hash: u64,
    /// Whether anything was broken.
    pub verdict: Verdict,
    /// What was broken.
    pub property: Option<Broken>,
    /// How, in a sentence.
    pub explanation: Option<String>,
    /// Whether the rules claim what was broken: no rules claim a single server when a plan told the manager to
    /// suspect a living node, or when a closed link was taken for a death that it was not.
    pub claimed: bool,
    /// Events of the simulation.
    pub events: u64,
    /// Checkpoints that the secondary loaded, the initial state not counted.
    pub checkpoints: u64,
    /// Promotions.
    pub failovers: u64,
    /// Pairs: one, and one more for each replacement that came to a survivor.
    pub pairs: u64,
    /// Whether the service was protected in the end. If not, no replacement was at hand, or none could be taken.
    pub protected: bool,
    /// Requests that were answered.
    pub answered: u64,
    /// Virtual time that passed, microseconds.
    pub virtual_us: u64,
    /// How many faults of each kind struck.
    pub faults: BTreeMap<&'static str, u64>,
    /// The faults that struck, where they struck: the same seed with this plan is the same run.
    pub plan: Plan,
    /// The faults of the given plan whose point the run never reached.
    pub unreached: Vec<Fault>,
    /// The gates of the given plan at which something waited to the end: the run never came to what they wait for.
    pub closed: Vec<Gate>,
    /// The rare paths that the run could take, and how often it took them.
    pub sometimes: BTreeMap<&'static str, u64>,
    /// Every fault that struck, with the phase in which it found a node: "crash of the primary in saving".
    pub occasions: Vec<&'static str>,
    /// The trace, if it was asked for.
    pub trace: Option<Trace>,
}

impl Outcome {
    /// The rare paths that the run took.
    fn taken(&self) -> impl Iterator<Item = &'static str> {
        self.sometimes.iter().filter(|(_, count)| **count > 0).map(|(path, _)| *path)
    }

    /// The run as a line of JSON; `plan` is the file into which the caller has written the plan.
    pub fn line<'a>(&'a self, plan: Option<&'a str>) -> Line<'a> {
        Line {
            schema: 1,
            rules: None,
            sweep: None,
            seed: self.seed,
            hash: format!("{:016x}", self.hash),
            verdict: self.verdict,
            property: self.property.map(|broken| broken.name().into()),
            explanation: self.explanation.as_deref().map(Into::into),
            claimed: self.claimed,
            events: self.events,
            checkpoints: self.checkpoints,
            failovers: self.failovers,
            pairs: self.pairs,
            protected: self.protected,
            answered: self.answered,
            virtual_us: self.virtual_us,
            faults: self.faults.iter().map(|(kind, count)| ((*kind).into(), *count)).collect(),
            sometimes: self.taken().map(Into::into).collect(),
            occasions: self.occasions.iter().map(|occasion| (*occasion).into()).collect(),
            plan: plan.map(Into::into),
        }
    }
}
