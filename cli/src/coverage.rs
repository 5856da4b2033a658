//! What a check has seen of what it should: the summary, the table of transitions, and what the user accepts.

use crate::report::{Failure, grouped, paragraph};
use colo_model::{Check, Goal, Scope, TransitionReport};
use colo_protocol::{Liveness, Property, Rules};
use comfy_table::{CellAlignment, Table, presets::NOTHING};
use serde_json::{Value, json};
use std::fmt::Write;

/// The names of what need not be seen, because the user says so.
pub(crate) struct Accepted(Vec<String>);

impl Accepted {
    /// Refuses a name that nothing has: a slip of the pen would accept nothing.
    pub(crate) fn new(rules: &Rules, scopes: &[Scope], names: &[String]) -> Result<Self, Failure> {
        let goals = Goal::all(rules, scopes);
        let known = |name: &&String| is_property(name) || goals.iter().any(|goal| goal.is_called(name));
        match names.iter().find(|name| !known(name)) {
            None => Ok(Self(names.to_vec())),
            Some(name) => Err(Failure::Input(unknown(name, goals.into_iter()))),
        }
    }

    pub(crate) fn apply(&self, check: &mut Check) {
        self.0.iter().for_each(|name| check.accept(name));
    }
}

fn properties() -> impl Iterator<Item = &'static str> {
    let safety = Property::ALL.map(Property::name);
    safety.into_iter().chain(Liveness::ALL.map(Liveness::name))
}

fn is_property(name: &str) -> bool {
    properties().any(|property| property == name)
}

fn unknown(name: &str, goals: impl Iterator<Item = Goal>) -> String {
    let goals = goals.filter(|goal| goal.property().is_none() && !goal.is_transition());
    let known: Vec<_> = properties().map(str::to_owned).chain(goals.map(|goal| goal.to_string())).collect();
    format!(
        "--allow-vacuous {name}: expected a transition, as --coverage names it (\"primary running checkpoint-due \
         wait-reply\"), or one of: {}",
        known.join("; ")
    )
}

/// What was seen, what was not, and what need not be.
pub(crate) fn seen(check: &Check) -> String {
    let mut out = String::new();
    let (transitions, others): (Vec<_>, Vec<_>) = check.goals().iter().partition(|goal| goal.is_transition());
    let unseen: Vec<_> = check.unseen().collect();
    let seen = |goals: &[&Goal]| goals.iter().filter(|goal| !unseen.contains(goal)).count();
    let (reached, required) = (seen(&others), others.len());
    let _ = writeln!(
        out,
        "reached    {reached} of {required}: every message and action, a failover in every phase, all budgets"
    );
    let _ = match transitions.len() {
        0 => {
            let taken = check.coverage().iter().filter(|report| report.times > 0).count();
            writeln!(out, "taken      {taken} transitions; bounds of one's own ask for none")
        }
        all => writeln!(out, "taken      {} of {all} transitions", seen(&transitions)),
    };
    // What an unfinished check has not come to is in the table.
    let never = if check.complete { check.never_fired() } else { Vec::new() };
    for goal in never {
        let word = if goal.is_transition() { "taken" } else { "reached" };
        let _ = writeln!(out, "           never {word}: {goal}");
    }
    for (name, reason) in excused(check) {
        paragraph(&mut out, "excused    ", &format!("{name}: {reason}"));
    }
    for excuse in check.stale() {
        let _ = writeln!(out, "           excused, and seen all the same: {}", excuse.name);
    }
    out
}

/// What has not been seen and need not be, with the reason.
fn excused(check: &Check) -> impl Iterator<Item = (String, &'static str)> {
    check.unseen().filter_map(|goal| {
        let reason = check.excuse(goal).map(|excuse| excuse.reason);
        let accepted = || check.accepts(goal).then_some("--allow-vacuous");
        Some((goal.to_string(), reason.or_else(accepted)?))
    })
}

/// Every transition, a row each.
pub(crate) fn coverage_table(check: &Check) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING);
    table.set_header(["machine", "phase", "input", "next", "taken", ""]);
    if let Some(column) = table.column_mut(4) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    for report in check.coverage() {
        let TransitionReport { transition, times, .. } = report;
        table.add_row([
            transition.from.node().name(),
            transition.from.name(),
            transition.input.name(),
            transition.to.name(),
            &grouped(times),
            remark(check, &report),
        ]);
    }
    let lines: Vec<_> = table.lines().map(|line| line.trim_end().to_owned() + "\n").collect();
    lines.concat() + "\n"
}

/// What there is to say of a transition that was not taken, or need not be.
fn remark(check: &Check, report: &TransitionReport) -> &'static str {
    match (report.times, report.required) {
        (0, _) if check.accepts(Goal::Transition(report.transition)) => "excused",
        (0, true) => "NEVER",
        (_, true) => "",
        (_, false) => "not asked for",
    }
}

/// Every transition for `--json`.
pub(crate) fn transitions_document(check: &Check) -> Vec<Value> {
    let one = |report: TransitionReport| {
        let TransitionReport { transition, times, required } = report;
        json!({
            "name": transition.to_string(),
            "machine": transition.from.node().name(),
            "phase": transition.from.name(),
            "input": transition.input.name(),
            "next": transition.to.name(),
            "times": times,
            "required": required,
            "excuse": check.excuse(Goal::Transition(transition)).map(|excuse| excuse.reason),
        })
    };
    check.coverage().into_iter().map(one).collect()
}
