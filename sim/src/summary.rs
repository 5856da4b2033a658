//! Many runs in one line: what they came to together. Adding up is all that happens here; the order does not matter.

use crate::line::Line;
use crate::marks::Marks;
use crate::occasions::Occasion;
use crate::options::Options;
use crate::outcome::Outcome;
use colo_protocol::Rules;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Many runs in one line.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Summary {
    /// Runs.
    pub runs: u64,
    /// Runs that broke something.
    pub violated: u64,
    /// How many runs broke each property that their rules claim.
    pub properties: BTreeMap<String, u64>,
    /// The lowest seed that broke anything claimed.
    pub first_violation: Option<u64>,
    /// Of the runs that broke something, those that broke what their rules do not claim.
    #[serde(default)]
    pub unclaimed: u64,
    /// How many runs broke each property that their rules do not claim.
    #[serde(default)]
    pub not_claimed: BTreeMap<String, u64>,
    /// Events of all runs.
    pub events: u64,
    /// Checkpoints of all runs.
    pub checkpoints: u64,
    /// Promotions in all runs.
    pub failovers: u64,
    /// Pairs of all runs.
    #[serde(default)]
    pub pairs: u64,
    /// Runs at whose end the service was not protected.
    #[serde(default)]
    pub unprotected: u64,
    /// Virtual time of all runs, microseconds.
    pub virtual_us: u64,
    /// Faults of each kind in all runs.
    pub faults: BTreeMap<String, u64>,
    /// In how many runs each rare path was taken; 0 for those that never were.
    pub sometimes: BTreeMap<String, u64>,
    /// How often a fault of each kind struck in each phase of each node; 0 for what never was, and could be.
    #[serde(default)]
    pub occasions: BTreeMap<String, u64>,
}

impl Summary {
    /// No runs yet, and the rare paths that runs of these rules and options can take.
    pub fn of(rules: &Rules, options: &Options) -> Self {
        let paths = Marks::default().counted(rules, options).into_keys();
        let occasions = Occasion::possible(rules).map(Occasion::name);
        Self { sometimes: zeros(paths), occasions: zeros(occasions), ..Self::default() }
    }

    /// Takes one run in.
    pub fn add(&mut self, outcome: &Outcome) {
        for path in outcome.sometimes.keys() {
            count(&mut self.sometimes, path, 0);
        }
        self.add_line(&outcome.line(None));
    }

    /// Takes one run in, of which there is the line only.
    pub fn add_line(&mut self, line: &Line) {
        self.runs += 1;
        if let Some(property) = &line.property {
            self.add_broken(property, line);
        }
        self.events += line.events;
        self.checkpoints += line.checkpoints;
        self.failovers += line.failovers;
        self.pairs += line.pairs;
        self.unprotected += u64::from(!line.protected);
        self.virtual_us += line.virtual_us;
        for (kind, struck) in &line.faults {
            count(&mut self.faults, kind, *struck);
        }
        for path in &line.sometimes {
            count(&mut self.sometimes, path, 1);
        }
        for occasion in &line.occasions {
            count(&mut self.occasions, occasion, 1);
        }
    }

    fn add_broken(&mut self, property: &str, line: &Line) {
        self.violated += 1;
        if line.claimed {
            count(&mut self.properties, property, 1);
            self.first_violation = self.first_violation.into_iter().chain([line.seed]).min();
        } else {
            self.unclaimed += 1;
            count(&mut self.not_claimed, property, 1);
        }
    }

    /// Rare paths that no run took: a sweep that leaves one out has tested nothing of it.
    pub fn never(&self) -> impl Iterator<Item = &str> {
        zero(&self.sometimes)
    }

    /// What could have struck in some phase, and never did.
    pub fn never_struck(&self) -> impl Iterator<Item = &str> {
        zero(&self.occasions)
    }

    /// Faults of all kinds.
    pub fn all_faults(&self) -> u64 {
        self.faults.values().sum()
    }
}

fn zeros(names: impl Iterator<Item = &'static str>) -> BTreeMap<String, u64> {
    names.map(|name| (name.to_owned(), 0)).collect()
}

fn zero(counts: &BTreeMap<String, u64>) -> impl Iterator<Item = &str> {
    counts.iter().filter(|(_, count)| **count == 0).map(|(name, _)| name.as_str())
}

fn count(counts: &mut BTreeMap<String, u64>, name: &str, by: u64) {
    match counts.get_mut(name) {
        Some(count) => *count += by,
        None => {
            counts.insert(name.to_owned(), by);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Options, run};
    use colo_trace::load_rules;

    #[test]
    fn lines_add_up_to_what_their_runs_do_in_any_order() {
        let rules = load_rules("bug:release-at-suspend").unwrap();
        let outcomes: Vec<_> = (0..60).map(|seed| run(&rules, seed, &Options::default())).collect();
        let mut whole = Summary::of(&rules.rules, &Options::default());
        for outcome in &outcomes {
            whole.add(outcome);
        }
        let mut backwards = Summary::of(&rules.rules, &Options::default());
        for outcome in outcomes.iter().rev() {
            backwards.add_line(&outcome.line(None));
        }
        assert_eq!(whole, backwards);
        assert!(whole.violated > 0 && whole.first_violation.is_some() && whole.never().count() > 0);
    }
}
