//! What a run came to, and the line of JSON that says so.

use crate::occasions::Occasion;
use colo_protocol::{Liveness, Property, Rules};
use colo_trace::{Fault, Gate, Plan, Trace};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;

/// Whether anything was broken.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
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
    /// The rules.
    pub rules: Rules,
    /// The trace, if it was asked for.
    pub trace: Option<Trace>,
}

impl Outcome {
    /// The run as a line of JSON; `plan` is the file into which the caller has written the plan.
    pub fn line<'a>(&'a self, plan: Option<&'a str>) -> Line<'a> {
        Line {
            schema: 1,
            seed: self.seed,
            hash: format!("{:016x}", self.hash),
            verdict: self.verdict,
            property: self.property.map(Broken::name),
            explanation: self.explanation.as_deref(),
            claimed: self.claimed,
            events: self.events,
            checkpoints: self.checkpoints,
            failovers: self.failovers,
            answered: self.answered,
            virtual_us: self.virtual_us,
            faults: &self.faults,
            plan,
        }
    }
}

/// One run as `colo sim --json` prints it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[allow(missing_docs, reason = "each is the outcome's field of the same name")]
pub struct Line<'a> {
    pub schema: u32,
    pub seed: u64,
    /// Sixteen hexadecimal digits: a number of JSON cannot hold it.
    pub hash: String,
    pub verdict: Verdict,
    pub property: Option<&'static str>,
    pub explanation: Option<&'a str>,
    pub claimed: bool,
    pub events: u64,
    pub checkpoints: u64,
    pub failovers: u64,
    pub answered: u64,
    pub virtual_us: u64,
    pub faults: &'a BTreeMap<&'static str, u64>,
    pub plan: Option<&'a str>,
}

/// Many runs in one line.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Summary {
    /// Runs.
    pub runs: u64,
    /// Runs that broke something.
    pub violated: u64,
    /// How many runs broke each property that their rules claim.
    pub properties: BTreeMap<&'static str, u64>,
    /// The first seed that broke anything claimed.
    pub first_violation: Option<u64>,
    /// Events of all runs.
    pub events: u64,
    /// Checkpoints of all runs.
    pub checkpoints: u64,
    /// Promotions in all runs.
    pub failovers: u64,
    /// Virtual time of all runs, microseconds.
    pub virtual_us: u64,
    /// Faults of each kind in all runs.
    pub faults: BTreeMap<&'static str, u64>,
    /// Of the runs that broke something, those that broke what their rules do not claim.
    pub unclaimed: u64,
    /// How many runs broke each property that their rules do not claim.
    pub not_claimed: BTreeMap<&'static str, u64>,
    /// In how many runs each rare path was taken, and how often a fault of each kind struck in each phase of each node; 0
    /// for what never was, and could be.
    pub sometimes: BTreeMap<&'static str, u64>,
}

impl Summary {
    /// Takes one run in.
    pub fn add(&mut self, outcome: &Outcome) {
        if self.runs == 0 {
            self.sometimes.extend(Occasion::possible(&outcome.rules).map(|occasion| (occasion.name(), 0)));
        }
        self.runs += 1;
        if let Some(broken) = outcome.property {
            self.add_broken(broken, outcome);
        }
        self.events += outcome.events;
        self.checkpoints += outcome.checkpoints;
        self.failovers += outcome.failovers;
        self.virtual_us += outcome.virtual_us;
        for (kind, count) in &outcome.faults {
            *self.faults.entry(kind).or_default() += count;
        }
        for (path, count) in &outcome.sometimes {
            *self.sometimes.entry(path).or_default() += u64::from(*count > 0);
        }
        for occasion in &outcome.occasions {
            *self.sometimes.entry(occasion).or_default() += 1;
        }
    }

    fn add_broken(&mut self, broken: Broken, outcome: &Outcome) {
        self.violated += 1;
        if outcome.claimed {
            *self.properties.entry(broken.name()).or_default() += 1;
            self.first_violation.get_or_insert(outcome.seed);
        } else {
            self.unclaimed += 1;
            *self.not_claimed.entry(broken.name()).or_default() += 1;
        }
    }

    /// What could have been, and never was: a sweep that leaves something out has tested nothing of it.
    pub fn never(&self) -> Vec<&'static str> {
        let never = self.sometimes.iter().filter(|(_, count)| **count == 0);
        never.map(|(name, _)| *name).collect()
    }
}
