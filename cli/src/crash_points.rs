//! Every crash of a checkpoint, one after the other: a real pair each, a node of it killed at one protocol point.

use crate::report::{Failure, counted, grouped};
use crate::run::{Unfinished, run_once};
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
pub(crate) fn crashes(options: &RunOptions) -> Result<Vec<Fault>, Unfinished> {
    let checkpoints = CHECKPOINT.0 + 2;
    let undisturbed = RunOptions { plan: Plan::default(), checkpoints, record: true, ..options.clone() };
    crashes_of(run_once(&undisturbed, &mut |_| {})?).map_err(Unfinished::Wrong)
}

/// The crashes that an undisturbed run shows. One in which something happens to the pair, or nothing at all, shows none:
/// to kill nobody would prove nothing.
fn crashes_of(outcome: RunOutcome) -> Result<Vec<Fault>, String> {
    if let Some(violation) = &outcome.violation {
        return Err(format!("the undisturbed run went wrong: {violation}"));
    }
    if outcome.failovers > 0 {
        let failovers = counted(outcome.failovers, "failover", "failovers");
        return Err(format!("the undisturbed run went wrong: {failovers}, and nobody was killed"));
    }
    let records = outcome.trace.map(|trace| trace.records).unwrap_or_default();
    let crash = |node| move |at| Fault { at, action: FaultAction::Crash { node } };
    let primary = points_of(&records, NodeName::Primary, CHECKPOINT);
    let secondary = points_of(&records, NodeName::Secondary, CHECKPOINT);
    let of_primary = primary.iter().chain(&secondary).copied().map(crash(NodeName::Primary));
    let of_secondary = secondary.iter().copied().map(crash(NodeName::Secondary));
    if primary.is_empty() || secondary.is_empty() {
        return Err(format!(
            "the undisturbed run shows no points of checkpoint {CHECKPOINT} to kill a node at"
        ));
    }
    Ok(of_primary.chain(of_secondary).collect())
}

/// Runs a fresh pair into one crash.
pub(crate) fn crash(options: &RunOptions, fault: Fault) -> Result<CrashOutcome, Unfinished> {
    let options =
        RunOptions { plan: Plan::new(vec![fault]), checkpoints: CHECKPOINT.0 + 2, ..options.clone() };
    let outcome = run_once(&options, &mut |_| {}).map_err(|unfinished| match unfinished {
        Unfinished::Wrong(problem) => {
            Unfinished::Wrong(format!("{} at {}: {problem}", fault.action, fault.at))
        }
        failure @ Unfinished::Failure(_) => failure,
    })?;
    let FaultAction::Crash { node: killed } = fault.action else {
        return Err(Failure::Input(format!("{} is no crash", fault.action)).into());
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

#[cfg(test)]
mod tests {
    use super::*;
    use colo_protocol::{Effect, Rules};
    use colo_real::RunViolation;
    use colo_trace::{Header, Record, SCHEMA, Trace, Way};

    /// An undisturbed run in which these nodes have come to the checkpoint.
    fn undisturbed(nodes: &[NodeName]) -> RunOutcome {
        let record = |node: &NodeName| Record::effect(1, *node, CHECKPOINT.0, Effect::ResumeVm);
        let header = Header {
            schema: SCHEMA,
            rules_name: "v12".to_owned(),
            rules: Rules::V12,
            seed: None,
            version: String::new(),
            way: Way::Real,
        };
        RunOutcome {
            violation: None,
            claimed: true,
            checkpoints: Vec::new(),
            failovers: 0,
            replies: 0,
            takeover_us: Vec::new(),
            struck: Vec::new(),
            missed: 0,
            trace: Some(Trace { header, records: nodes.iter().map(record).collect() }),
        }
    }

    #[test]
    fn a_run_that_shows_every_nodes_points_gives_crashes() {
        // Before and after the effect, at either node; and the primary also dies at the secondary's.
        assert_eq!(crashes_of(undisturbed(&NodeName::ALL)).unwrap().len(), 6);
    }

    #[test]
    fn a_run_that_went_wrong_or_shows_nothing_is_a_failure() {
        let violation = Some(RunViolation::Unserved);
        for (outcome, problem) in [
            (RunOutcome { violation, ..undisturbed(&NodeName::ALL) }, "neither node can serve"),
            (RunOutcome { failovers: 1, ..undisturbed(&NodeName::ALL) }, "1 failover, and nobody was killed"),
            (undisturbed(&[]), "shows no points of checkpoint 2"),
            (undisturbed(&[NodeName::Primary]), "shows no points of checkpoint 2"),
            (RunOutcome { trace: None, ..undisturbed(&NodeName::ALL) }, "shows no points of checkpoint 2"),
        ] {
            let error = crashes_of(outcome).unwrap_err();
            assert!(error.contains(problem), "{error}");
        }
    }
}
