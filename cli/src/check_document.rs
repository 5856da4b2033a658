//! What `colo check --json` prints: schema 1, to which fields may be added.

use crate::coverage::transitions_document;
use crate::report::cpu_seconds;
use crate::stories::{Named, Story};
use colo_model::{Bounds, Check, LivenessReport, PropertyReport};
use colo_protocol::{PRESETS, bug_named};
use colo_trace::NamedRules;
use serde_json::{Value, json};

pub(crate) fn document(rules: &NamedRules, check: &Check, stories: &[Story]) -> Value {
    let never = check.never_fired();
    let goals = check.goals().iter().filter(|goal| goal.property().is_none() && !goal.is_transition());
    let reachable = goals.map(|goal| {
        let verdict = if never.contains(goal) { "vacuous" } else { "holds" };
        json!({
            "name": goal.to_string(), "kind": "reachable", "verdict": verdict, "claimed": true, "expected": "holds",
            "length": null, "trace": null,
        })
    });
    let safety = check.properties.iter().map(|report| property_document(rules, report, stories));
    let liveness = check.liveness.iter().map(|report| liveness_document(rules, report, stories));
    let scopes = check.scopes.iter().map(|scope| {
        json!({
            "name": scope.name, "bounds": bounds_document(&scope.bounds), "distinct": scope.distinct,
            "transitions": scope.transitions, "complete": scope.complete, "seconds": scope.elapsed.as_secs_f64(),
        })
    });
    json!({
        "schema": 1,
        "rules": rules.name,
        "verdict": check.verdict().name(),
        "properties": safety.chain(liveness).chain(reachable).collect::<Vec<_>>(),
        "generated": check.generated,
        "distinct": check.distinct,
        "transitions": check.transitions,
        "depth": check.depth,
        "seconds": check.elapsed.as_secs_f64(),
        "cpu_seconds": cpu_seconds(),
        "bytes_per_state": check.bytes_per_state,
        "collision_probability": check.collision_probability(),
        "bounds": check.scopes.first().map(|scope| bounds_document(&scope.bounds)),
        "scopes": scopes.collect::<Vec<_>>(),
        "never_fired": never.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "transitions_taken": transitions_document(check),
    })
}

fn bounds_document(bounds: &Bounds) -> Value {
    let checkpoints = if bounds.is_unbounded() { json!("unbounded") } else { json!(bounds.checkpoints) };
    let mut document = json!({ "checkpoints": checkpoints });
    for (name, budget) in bounds.budgets.named() {
        document[name] = budget.into();
    }
    document
}

fn property_document(rules: &NamedRules, report: &PropertyReport, stories: &[Story]) -> Value {
    let preset = PRESETS.iter().find(|preset| preset.name == rules.name).map(|preset| preset.breaks);
    let known = bug_named(&rules.name).map(|bug| bug.breaks).or(preset).unwrap_or_default();
    let expected_broken = known.contains(&report.property) || !report.claimed;
    json!({
        "name": report.property.name(),
        "kind": "safety",
        "verdict": if report.is_vacuous() { "vacuous" } else { report.verdict.name() },
        "claimed": report.claimed,
        "expected": if expected_broken { "violated" } else { "holds" },
        "occasions": report.occasions,
        "length": report.counterexample.as_ref().map(Vec::len),
        "trace": file_of(Named::Safety(report.property), stories),
    })
}

fn liveness_document(rules: &NamedRules, report: &LivenessReport, stories: &[Story]) -> Value {
    let preset = PRESETS.iter().find(|preset| preset.name == rules.name);
    let stalls = preset.is_some_and(|preset| preset.stalls.contains(&report.property));
    let bug = bug_named(&rules.name).and_then(|bug| bug.stalls) == Some(report.property);
    let vacuous = report.is_vacuous();
    json!({
        "name": report.property.name(),
        "kind": "liveness",
        "verdict": if vacuous { "vacuous" } else { report.verdict.name() },
        "claimed": report.claimed,
        "expected": if stalls || bug || !report.claimed { "violated" } else { "holds" },
        "length": report.lasso.as_ref().map(|lasso| lasso.stem.len() + lasso.cycle.len()),
        "cycle": report.lasso.as_ref().map(|lasso| lasso.cycle.len()),
        "occasions": report.occasions(),
        "trace": file_of(Named::Liveness(report.property), stories),
    })
}

fn file_of(property: Named, stories: &[Story]) -> Option<String> {
    let story = stories.iter().find(|story| story.property == property)?;
    Some(story.file.as_ref()?.display().to_string())
}
