//! One seed, one run.

use super::arguments::Arguments;
use super::keep::{Kept, keep_plan, shrink_and_keep};
use super::told::{again, shortest, told};
use crate::report::{Exit, Failure, print, print_json, unwritable};
use colo_sim::{Line, Options, Outcome, Verdict, run as simulate};
use colo_trace::{NamedRules, write_trace};
use serde_json::{Value, json};

pub(super) fn one(
    rules: &NamedRules,
    seed: u64,
    options: &Options,
    arguments: &Arguments,
) -> Result<Exit, Failure> {
    eprintln!("seed {seed}");
    let outcome = simulate(rules, seed, &Options { record: true, ..options.clone() });
    let plan = keep_plan(rules, &outcome, &arguments.plan_dir);
    let kept = arguments.shrink.then(|| {
        let found_by = again(rules, seed, options);
        shrink_and_keep(rules, &outcome, options, (&arguments.regression_dir, found_by))
    });
    let kept = kept.flatten();
    if arguments.json {
        print_json(&document(&outcome, rules, plan.as_deref(), kept.as_ref()))?;
    } else {
        print(&told(rules, &outcome, options, plan.as_deref()))?;
        if let Some(kept) = &kept {
            print(&shortest(rules, kept))?;
        }
    }
    if let (Some(file), Some(trace)) = (&arguments.trace, &outcome.trace) {
        let mut bytes = Vec::new();
        write_trace(trace, &mut bytes).map_err(|error| Failure::Input(error.to_string()))?;
        std::fs::write(file, &bytes).map_err(|error| unwritable(file, &error))?;
    }
    let violated = outcome.verdict == Verdict::Violated && outcome.claimed;
    let followed = outcome.unreached.is_empty() && outcome.closed.is_empty();
    Ok(match (violated, followed) {
        (true, _) => Exit::Violated,
        (false, true) => Exit::Holds,
        (false, false) => Exit::Incomplete,
    })
}

fn document(outcome: &Outcome, rules: &NamedRules, plan: Option<&str>, kept: Option<&Kept>) -> Value {
    let line = Line { rules: Some((&rules.name).into()), ..outcome.line(plan) };
    let mut document = json!(line);
    if let Some(kept) = kept {
        document["shrunk"] = kept.document();
    }
    document
}

impl Kept {
    pub(super) fn document(&self) -> Value {
        let Self { shrunk, regression, file } = self;
        json!({
            "file": file,
            "seed": regression.head.seed,
            "property": regression.head.property,
            "faults": regression.plan.faults,
            "gates": regression.plan.gates,
            "checkpoints": regression.head.checkpoints,
            "clients": regression.head.clients,
            "runs": shrunk.runs,
            "complete": shrunk.complete,
        })
    }
}
