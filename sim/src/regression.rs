//! Regressions: what was found once, as a file that finds it again.

use crate::options::Options;
use crate::outcome::Outcome;
use crate::run;
use crate::shrink::Shrunk;
use colo_trace::{Head, NamedRules, Plan, Regression};

impl Options {
    /// The options with which a regression was found.
    pub fn of(regression: &Regression) -> Self {
        let Head { checkpoints, clients, interval_us, replacements, datagrams, no_manager, .. } =
            regression.head;
        Self {
            checkpoints,
            clients,
            interval_us,
            replacements,
            datagrams,
            manager: !no_manager,
            plan: Some(regression.plan.clone()),
            ..Self::default()
        }
    }
}

impl Shrunk {
    /// The regression to keep; `found_by` says who found it.
    pub fn regression(&self, rules: &NamedRules, found_by: impl Into<String>) -> Regression {
        regression(rules, &self.options, &self.outcome, self.plan().clone(), found_by)
    }
}

/// What a run of these options that followed this plan came to, to be kept.
pub fn regression(
    rules: &NamedRules,
    options: &Options,
    outcome: &Outcome,
    plan: Plan,
    found_by: impl Into<String>,
) -> Regression {
    let head = Head {
        rules: rules.name.clone(),
        seed: outcome.seed,
        checkpoints: options.checkpoints,
        clients: options.clients,
        interval_us: options.interval_us,
        replacements: options.replacements,
        datagrams: options.datagrams,
        no_manager: !options.manager,
        property: outcome.property.map_or("nothing", crate::Broken::name).to_owned(),
        explanation: outcome.explanation.clone().unwrap_or_default(),
        found_by: found_by.into(),
    };
    Regression { head, plan }
}

/// Runs a regression once more, under its own rules or under others.
pub fn rerun(regression: &Regression, rules: &NamedRules) -> Outcome {
    run(rules, regression.head.seed, &Options::of(regression))
}
