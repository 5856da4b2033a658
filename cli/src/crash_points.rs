//! Every crash of a checkpoint: a real pair each, a node of it killed at one protocol point.

use crate::report::counted;
use crate::run::{Unfinished, run_once};
use colo_model::{Survivor, Survivors};
use colo_protocol::{CheckpointNumber, EffectKind, NodeName};
use colo_real::{RunOptions, RunOutcome};
use colo_trace::{Fault, FaultAction, Kind, Log, Plan, Point, Steps, Trace, Verdict, conform, points_of};

/// The checkpoint in which the crashes happen: one that begins and ends between others.
const CHECKPOINT: CheckpointNumber = CheckpointNumber(2);

/// Checkpoints of a run without a crash: there is one behind that in which the crashes happen.
pub(crate) const CHECKPOINTS: u64 = CHECKPOINT.0 + 2;

/// Checkpoints of a pair in which a crash may happen whose point need not come in each.
const CHANCES: u64 = 16;

/// Checkpoints of such a run.
pub(crate) const CHECKPOINTS_WITH_CHANCES: u64 = CHECKPOINTS + CHANCES;

/// A plan whose faults strike in their checkpoints, or in one of those behind them. When an input comes is not the same in
/// every run: what does not come in one checkpoint comes in one of the next.
pub(crate) fn with_chances(plan: &Plan) -> Plan {
    let later = |more| {
        let checkpoint = move |fault: &Fault| CheckpointNumber(fault.at.checkpoint.0 + more);
        let at = move |fault: &Fault| Point { checkpoint: checkpoint(fault), ..fault.at };
        plan.faults.iter().map(move |fault| Fault { at: at(fault), ..*fault })
    };
    Plan::new((0..CHANCES).flat_map(later).collect())
}

/// The crashes to try: at each point of either node, of the primary and then of the secondary.
pub(crate) fn crashes(options: &RunOptions) -> Result<Vec<Fault>, Unfinished> {
    let undisturbed =
        RunOptions { plan: Plan::default(), checkpoints: CHECKPOINTS, record: true, ..options.clone() };
    let mut crashes = crashes_of(run_once(&undisturbed, &mut |_| {})?).map_err(Unfinished::Wrong)?;
    // A difference may ask for the next checkpoint at any time: what happens twice in one is chance, and so is output.
    let is_sure = |Point { occurrence, event, .. }: Point| occurrence == 1 && !event.is_of_output();
    crashes.retain(|fault| !may_diverge(options) || is_sure(fault.at));
    Ok(crashes)
}

/// Whether it depends on what the guests send when checkpoints are taken.
pub(crate) fn may_diverge(options: &RunOptions) -> bool {
    options.rules.rules.is_hybrid() && options.workload.diverges()
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
    let points = NodeName::ALL.map(|node| points_of(&records, node, CHECKPOINT));
    if points.iter().any(Vec::is_empty) {
        return Err(format!(
            "the undisturbed run shows no points of checkpoint {CHECKPOINT} to kill a node at"
        ));
    }
    let crashes_at = |at| NodeName::ALL.map(|node| Fault { at, action: FaultAction::Crash { node } });
    Ok(points.into_iter().flatten().flat_map(crashes_at).collect())
}

/// The number of the crash that comes as the `turn`-th of `turns`: round after round of all; where that is too many, at
/// points that are evenly far from each other, of the one node and the other in turn.
pub(crate) const fn crash_of_turn(turn: usize, turns: usize, crashes: usize) -> usize {
    if turns >= crashes {
        return turn % crashes;
    }
    let points = crashes / 2;
    2 * (turn * points / turns) + turn % 2
}

/// What came of one crash.
pub(crate) struct Crashed {
    /// The run, if it came to an end.
    pub(crate) outcome: Option<RunOutcome>,
    /// Who served alone.
    pub(crate) survivors: Vec<Survivor>,
    /// What is wrong with it, if anything is.
    pub(crate) problem: Option<String>,
}

/// Runs a fresh pair into one crash, after which one of these is to serve alone.
pub(crate) fn crash(
    options: &RunOptions,
    fault: Fault,
    predicted: &Survivors,
) -> Result<Crashed, Unfinished> {
    let may_miss = may_diverge(options);
    let (plan, checkpoints) = if may_miss {
        (with_chances(&Plan::new(vec![fault])), CHECKPOINTS_WITH_CHANCES)
    } else {
        (Plan::new(vec![fault]), CHECKPOINTS)
    };
    let options = RunOptions { plan, checkpoints, record: true, ..options.clone() };
    match run_once(&options, &mut |_| {}) {
        Ok(mut outcome) => {
            if may_miss && !outcome.struck.is_empty() {
                // There were several chances, and one was enough.
                outcome.unreached.clear();
            }
            let survivors = outcome.trace.as_ref().map(survivors_of).unwrap_or_default();
            let problem = problem(&outcome, &survivors, predicted);
            Ok(Crashed { outcome: Some(outcome), survivors, problem })
        }
        Err(Unfinished::Wrong(problem)) => {
            Ok(Crashed { outcome: None, survivors: Vec::new(), problem: Some(problem) })
        }
        Err(failure @ Unfinished::Failure(_)) => Err(failure),
    }
}

/// The clients' history, no failover, a crash that never came, a run that is none of the core, or another survivor than
/// the core has.
fn problem(outcome: &RunOutcome, survivors: &[Survivor], predicted: &Survivors) -> Option<String> {
    if let Some(violation) = &outcome.violation {
        return Some(violation.to_string());
    }
    if !outcome.unreached.is_empty() {
        return Some("the point was never reached".to_owned());
    }
    if outcome.failovers != 1 {
        return Some(format!("{} failovers, expected 1", outcome.failovers));
    }
    if let Some(deviation) = outcome.trace.as_ref().and_then(deviation) {
        return Some(deviation);
    }
    // What was not all looked at says nothing of what is not in it.
    let other = survivors.iter().find(|it| predicted.complete && !predicted.possible.contains(it))?;
    Some(format!("it went on from {other}, expected {}", listed(&predicted.possible)))
}

/// Where a record is of no run that the core allows.
pub(crate) fn deviation(trace: &Trace) -> Option<String> {
    let log = match Log::of_trace(trace) {
        Ok(log) => log,
        Err(error) => return Some(format!("the record cannot be judged: {error}")),
    };
    match conform(&log, &trace.header.rules) {
        Ok(finding) if finding.verdict == Verdict::Conforms => None,
        Ok(finding) => {
            let got = finding.got.map_or_else(String::new, |got| format!(": {got:?}"));
            Some(format!("what the pair did is nothing that the core does{got}"))
        }
        Err(error) => Some(format!("the record cannot be judged: {error}")),
    }
}

/// Who was promoted in a run, each with the checkpoint that it had then.
fn survivors_of(trace: &Trace) -> Vec<Survivor> {
    let steps = Steps::new(&trace.header.rules, &trace.records);
    let promoted = steps.filter_map(|(record, state)| {
        let node = record.node?;
        let takes_over = record.kind == Kind::Effect && record.name == EffectKind::TakeOver.name();
        takes_over.then(|| Survivor { node, from: state.nodes[node as usize].node.machine().serves_from() })
    });
    promoted.collect()
}

/// What is predicted, in words.
pub(crate) fn expected(predicted: &Survivors) -> String {
    match (predicted.complete, predicted.possible.is_empty()) {
        (true, _) => listed(&predicted.possible),
        (false, true) => "not predicted".to_owned(),
        (false, false) => format!("{} or others", listed(&predicted.possible)),
    }
}

/// Survivors in words.
fn listed<'a>(survivors: impl IntoIterator<Item = &'a Survivor>) -> String {
    let words: Vec<_> = survivors.into_iter().map(Survivor::to_string).collect();
    if words.is_empty() { "nobody".to_owned() } else { words.join(" or ") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use colo_protocol::{Effect, Rules};
    use colo_real::RunViolation;
    use colo_trace::{Header, Record, SCHEMA, Way};

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
            trace: Some(Trace { header, records: nodes.iter().map(record).collect() }),
            ..RunOutcome::nothing_yet()
        }
    }

    #[test]
    fn a_run_that_shows_every_nodes_points_gives_crashes() {
        // Before and after the effect, at either node, either node dies.
        assert_eq!(crashes_of(undisturbed(&NodeName::ALL)).unwrap().len(), 8);
    }

    #[test]
    fn turns_go_round_or_are_spread_over_the_points_with_the_nodes_in_turn() {
        let turns = |turns| (0..turns).map(|turn| crash_of_turn(turn, turns, 8)).collect::<Vec<_>>();
        assert_eq!(turns(10), [0, 1, 2, 3, 4, 5, 6, 7, 0, 1]);
        assert_eq!(turns(4), [0, 3, 4, 7]);
        assert_eq!(turns(2), [0, 5]);
        assert_eq!(turns(6).into_iter().collect::<std::collections::BTreeSet<_>>().len(), 6);
    }

    #[test]
    fn a_survivor_that_the_core_does_not_have_is_a_problem() {
        let node = NodeName::Secondary;
        let [one, two] = [1, 2].map(|number| Survivor { node, from: CheckpointNumber(number) });
        let outcome = RunOutcome { failovers: 1, trace: None, ..undisturbed(&[]) };
        let predicted = |possible: &[Survivor], complete| Survivors {
            possible: possible.iter().copied().collect(),
            complete,
        };
        assert_eq!(problem(&outcome, &[two], &predicted(&[one, two], true)), None);
        assert_eq!(problem(&outcome, &[two], &predicted(&[one], false)), None);
        let problem = problem(&outcome, &[two], &predicted(&[one], true));
        assert_eq!(problem.as_deref(), Some("it went on from secondary 2, expected secondary 1"));
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
