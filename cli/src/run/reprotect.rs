//! `colo run --reprotect`: one service that fails over again and again, and is protected again each time.

use crate::crash_points::{CHECKPOINTS_WITH_CHANCES, crash_of_turn, deviation, with_chances};
use crate::report::{counted, grouped};
use crate::run::Percentiles;
use colo_real::{EntryFigures, RunOptions, RunOutcome};
use colo_trace::{Fault, Plan};
use serde_json::{Value, json};
use std::fmt::Write;

/// Failovers of a run that goes on for a time: more than fit in it.
pub(super) const ENDLESS: usize = 1 << 15;

/// So many of the crashes, a plan each.
pub(super) fn plans_of(crashes: &[Fault], failovers: usize) -> Vec<Plan> {
    let crash = |turn| crashes[crash_of_turn(turn, failovers, crashes.len())];
    (0..failovers).map(|turn| Plan::new(vec![crash(turn)])).collect()
}

/// The run in which these plans are carried out, one in each pair. The last survivor is protected, too.
pub(super) fn again_and_again(options: &RunOptions, plans: &[Plan]) -> RunOptions {
    let mut plans = plans.iter().map(with_chances).chain([Plan::default()]);
    RunOptions {
        plan: plans.next().unwrap_or_default(),
        replacements: plans.collect(),
        checkpoints: CHECKPOINTS_WITH_CHANCES,
        record: options.record || options.lasts.is_none(),
        ..options.clone()
    }
}

/// What is wrong with such a run besides what clients saw, if anything is.
pub(super) fn problem(options: &RunOptions, outcome: &RunOutcome) -> Option<String> {
    if outcome.violation.is_some() || options.is_stopped() {
        return None;
    }
    if options.lasts.is_some() {
        // How many fit into the time is not known before.
        return (outcome.failovers == 0).then(|| "no failover came to pass".to_owned());
    }
    let expected = options.replacements.len();
    if [outcome.failovers, outcome.protected_again] != [expected as u64; 2] {
        let failovers = counted(outcome.failovers, "failover", "failovers");
        return Some(format!(
            "{failovers}, and protected again {}, expected {expected} of each",
            counted(outcome.protected_again, "time", "times")
        ));
    }
    outcome.trace.as_ref().and_then(deviation)
}

/// A figure of a survivor's way to be protected: name, heading, and where to find it.
type Column = (&'static str, &'static str, fn(&EntryFigures) -> u64);

const COLUMNS: [Column; 3] = [
    ("synchronisation_us", "synchronised, us", |entry| entry.synchronisation_us),
    ("synchronisation_bytes", "bytes", |entry| entry.bytes),
    ("entry_pause_us", "pause, us", |entry| entry.pause_us),
];

/// For a person.
pub(super) fn told(outcome: &RunOutcome) -> String {
    if outcome.protected_again == 0 {
        return String::new();
    }
    let times = counted(outcome.protected_again, "time", "times");
    let mut out = format!(
        "protection   {times} again, by a replacement{:>11} {:>12} {:>12} {:>12}\n",
        "p50", "p90", "p99", "max"
    );
    for (_, heading, column) in COLUMNS {
        if let Some(Percentiles { p50, p90, p99, max }) = Percentiles::of(outcome.entries.iter().map(column))
        {
            let [p50, p90, p99, max] = [p50, p90, p99, max].map(grouped);
            let _ = writeln!(out, "             {heading:<16} {p50:>23} {p90:>12} {p99:>12} {max:>12}");
        }
    }
    out
}

/// For a program.
pub(super) fn enter(outcome: &RunOutcome, document: &mut Value) {
    document["protected_again"] = json!(outcome.protected_again);
    for (name, _, column) in COLUMNS {
        let percentiles = Percentiles::of(outcome.entries.iter().map(column));
        document[name] = percentiles.map_or(Value::Null, |percentiles| percentiles.json());
    }
}
