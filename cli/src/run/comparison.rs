//! What the comparison of both VMs' output came to, as text and as JSON; nothing of rules under which only one executes.

use crate::report::{counted, grouped};
use colo_real::{RunOptions, RunOutcome};
use serde_json::{Value, json};
use std::fmt::Write;

/// In a line or two.
pub(crate) fn told(options: &RunOptions, outcome: &RunOutcome) -> String {
    if !options.rules.rules.is_hybrid() {
        return String::new();
    }
    let (comparison, figures) = (outcome.comparison, outcome.comparison.figures);
    let mut out = format!(
        "comparison   {} units compared, {} left because they were the same\n             {} forced: {} by a difference, {} by output \
         held for too long\n",
        grouped(figures.compared),
        grouped(figures.released),
        counted(figures.forced(), "checkpoint", "checkpoints"),
        grouped(figures.differences),
        grouped(figures.held_too_long),
    );
    if comparison.lost > 0 {
        let _ = writeln!(
            out,
            "divergence   the secondary's guest lost {}, and left the primary's execution {}",
            counted(comparison.lost, "request", "requests"),
            counted(comparison.diverged, "time", "times"),
        );
    }
    if let Some(divergence) = options.workload.divergence {
        let _ = writeln!(out, "             seed {}", divergence.seed);
    }
    out
}

/// The same as JSON.
pub(crate) fn document(options: &RunOptions, outcome: &RunOutcome) -> Value {
    if !options.rules.rules.is_hybrid() {
        return Value::Null;
    }
    let (comparison, figures) = (outcome.comparison, outcome.comparison.figures);
    json!({
        "compared": figures.compared,
        "released": figures.released,
        "forced": figures.forced(),
        "differences": figures.differences,
        "held_too_long": figures.held_too_long,
        "lost": comparison.lost,
        "diverged": comparison.diverged,
        "seed": options.workload.divergence.map(|divergence| divergence.seed),
    })
}
