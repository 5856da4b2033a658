//! Every crash of a checkpoint, one after the other: a real pair each, a node of it killed at one protocol point.

use crate::report::{Failure, counted, grouped};
use crate::run::run_once;
use colo_protocol::{CheckpointNumber, NodeName};
use colo_real::{RunOptions, RunOutcome};
use colo_trace::{Fault, FaultAction, Plan, Point, points_of};
use std::fmt::Write;

/// The checkpoint in which the crashes happen: one that begins and ends between others.
const CHECKPOINT: CheckpointNumber = CheckpointNumber(2);

/// One crash and what came of it.
pub(crate) struct CrashOutcome {
    /// Where.
    pub(crate) at: Point,
    /// Who was killed.
    pub(crate) killed: NodeName,
    /// What became of the run.
    pub(crate) outcome: RunOutcome,
}

impl CrashOutcome {
    /// What is wrong with it, if anything is: the clients' history, no failover, or a crash that never came.
    pub(crate) fn problem(&self) -> Option<String> {
        if let Some(violation) = &self.outcome.violation {
            return Some(violation.to_string());
        }
        if self.outcome.missed > 0 {
            return Some("the point was never reached".to_owned());
        }
        (self.outcome.failovers != 1).then(|| format!("{} failovers, expected 1", self.outcome.failovers))
    }
}

/// The crashes to try: at every point of either node, of the node itself; and of the primary at the secondary's points.
pub(crate) fn crashes(options: &RunOptions) -> Result<Vec<Fault>, Failure> {
    let checkpoints = CHECKPOINT.0 + 2;
    let undisturbed = RunOptions { plan: Plan::default(), checkpoints, record: true, ..options.clone() };
    let outcome = run_once(&undisturbed, &mut |_| {})?;
    let records = outcome.trace.map(|trace| trace.records).unwrap_or_default();
    let crash = |node| move |at| Fault { at, action: FaultAction::Crash { node } };
    let primary = points_of(&records, NodeName::Primary, CHECKPOINT);
    let secondary = points_of(&records, NodeName::Secondary, CHECKPOINT);
    let of_primary = primary.iter().chain(&secondary).copied().map(crash(NodeName::Primary));
    let of_secondary = secondary.iter().copied().map(crash(NodeName::Secondary));
    Ok(of_primary.chain(of_secondary).collect())
}

/// Runs a fresh pair into one crash.
pub(crate) fn crash(options: &RunOptions, fault: Fault) -> Result<CrashOutcome, Failure> {
    let options =
        RunOptions { plan: Plan::new(vec![fault]), checkpoints: CHECKPOINT.0 + 2, ..options.clone() };
    let outcome = run_once(&options, &mut |_| {})?;
    let FaultAction::Crash { node: killed } = fault.action else {
        return Err(Failure::Input(format!("{} is no crash", fault.action)));
    };
    Ok(CrashOutcome { at: fault.at, killed, outcome })
}

/// A table of outcomes.
pub(crate) fn table(outcomes: &[CrashOutcome]) -> String {
    let mut out = format!("{:<10} {:<62} {:>10}  outcome\n", "killed", "at", "takeover");
    for outcome in outcomes {
        let takeover = outcome.outcome.takeover_us.first();
        let takeover = takeover.map_or_else(|| "-".to_owned(), |micros| format!("{} us", grouped(*micros)));
        let verdict = outcome.problem().unwrap_or_else(|| "holds".to_owned());
        let at = outcome.at.to_string();
        let _ = writeln!(out, "{:<10} {at:<62} {takeover:>10}  {verdict}", outcome.killed);
    }
    let bad = outcomes.iter().filter(|outcome| outcome.problem().is_some()).count();
    let crashes = counted(outcomes.len() as u64, "crash", "crashes");
    let _ = match bad {
        0 => writeln!(out, "\n{crashes}: nothing that a client saw was lost or contradicted"),
        bad => writeln!(out, "\n{crashes}, {bad} of them went WRONG"),
    };
    out
}
