//! What a run came to, and the line of JSON that says so.

use colo_protocol::Property;
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
}

impl Broken {
    /// The property's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Property(property) => property.name(),
            Self::ClientHistory => "client history",
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
            pairs: self.pairs,
            protected: self.protected,
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
    pub pairs: u64,
    pub protected: bool,
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
    /// How many runs broke each property.
    pub properties: BTreeMap<&'static str, u64>,
    /// The first seed that broke anything.
    pub first_violation: Option<u64>,
    /// Events of all runs.
    pub events: u64,
    /// Checkpoints of all runs.
    pub checkpoints: u64,
    /// Promotions in all runs.
    pub failovers: u64,
    /// Pairs of all runs.
    pub pairs: u64,
    /// Runs at whose end the service was not protected.
    pub unprotected: u64,
    /// Virtual time of all runs, microseconds.
    pub virtual_us: u64,
    /// Faults of each kind in all runs.
    pub faults: BTreeMap<&'static str, u64>,
    /// In how many runs each rare path was taken; 0 for those that never were.
    pub sometimes: BTreeMap<&'static str, u64>,
}

impl Summary {
    /// Takes one run in.
    pub fn add(&mut self, outcome: &Outcome) {
        self.runs += 1;
        if let Some(broken) = outcome.property {
            self.violated += 1;
            *self.properties.entry(broken.name()).or_default() += 1;
            self.first_violation.get_or_insert(outcome.seed);
        }
        self.events += outcome.events;
        self.checkpoints += outcome.checkpoints;
        self.failovers += outcome.failovers;
        self.pairs += outcome.pairs;
        self.unprotected += u64::from(!outcome.protected);
        self.virtual_us += outcome.virtual_us;
        for (kind, count) in &outcome.faults {
            *self.faults.entry(kind).or_default() += count;
        }
        for (path, count) in &outcome.sometimes {
            *self.sometimes.entry(path).or_default() += u64::from(*count > 0);
        }
    }
}
