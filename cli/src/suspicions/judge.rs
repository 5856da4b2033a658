//! What a pair came to in which a node that lives was taken for dead: one serves, once and for all, and the other is still.

use crate::crash_points::deviation;
use colo_protocol::{EffectKind, InputKind, NodeName};
use colo_real::RunOutcome;
use colo_trace::{Kind, Record, Trace};

/// One pair.
pub(super) struct Suspected {
    /// Who served in the end.
    pub(super) served: Option<NodeName>,
    /// From the winner's question to its answer, microseconds.
    pub(super) granted_us: Option<u64>,
    /// From the fault until somebody served alone, microseconds.
    pub(super) served_us: Option<u64>,
    /// Replies that clients have seen.
    pub(super) replies: u64,
    /// Whether the arbiter was silent for a while.
    pub(super) was_silent: bool,
    /// What is wrong with it, if anything is.
    pub(super) problem: Option<String>,
    /// What there is to look at if something is.
    pub(super) trace: Option<Trace>,
}

impl Suspected {
    /// A pair that came to no end.
    pub(super) const fn gone_wrong(problem: String) -> Self {
        Self {
            served: None,
            granted_us: None,
            served_us: None,
            replies: 0,
            was_silent: false,
            problem: Some(problem),
            trace: None,
        }
    }

    /// A pair that came to this.
    pub(super) fn of(outcome: RunOutcome) -> Self {
        let records = outcome.trace.as_ref().map(|trace| &trace.records[..]).unwrap_or_default();
        let served = events(records, Kind::Effect, EffectKind::TakeOver.name()).next();
        let granted = events(records, Kind::Input, InputKind::ArbiterGranted.name()).next();
        let asked = granted.and_then(|granted| {
            events(records, Kind::Effect, EffectKind::AskArbiter.name()).find(|it| it.node == granted.node)
        });
        let fault = records.iter().find(|record| record.kind == Kind::Fault);
        Self {
            served: served.and_then(|record| record.node),
            granted_us: between(asked, granted),
            served_us: between(fault, served),
            replies: outcome.replies,
            was_silent: outcome.arbiter_was_silent.is_some(),
            problem: problem(&outcome, records),
            trace: outcome.trace,
        }
    }
}

fn between(one: Option<&Record>, other: Option<&Record>) -> Option<u64> {
    Some(other?.time_us.saturating_sub(one?.time_us))
}

/// The events of this name, at either node.
fn events<'a>(records: &'a [Record], kind: Kind, name: &'a str) -> impl Iterator<Item = &'a Record> {
    records.iter().filter(move |record| record.kind == kind && record.name == name)
}

/// Two that serve, or that were given the right to; nobody; what clients saw that they may not see; a loser that goes on; a
/// run that is none of the core.
fn problem(outcome: &RunOutcome, records: &[Record]) -> Option<String> {
    let granted = events(records, Kind::Input, InputKind::ArbiterGranted.name()).count();
    if granted > 1 || outcome.failovers > 1 {
        return Some(format!("two servers: {granted} grants, {} promotions, expected 1", outcome.failovers));
    }
    if let Some(violation) = &outcome.violation {
        return Some(violation.to_string());
    }
    if !outcome.unreached.is_empty() {
        return Some("the point was never reached".to_owned());
    }
    if outcome.failovers != 1 || granted != 1 {
        return Some(format!("{granted} grants and {} promotions, expected 1 of each", outcome.failovers));
    }
    loser(records).or_else(|| outcome.trace.as_ref().and_then(deviation))
}

/// What is wrong with the node that does not serve, if anything is: it has to have stopped for good.
fn loser(records: &[Record]) -> Option<String> {
    let winner = events(records, Kind::Effect, EffectKind::TakeOver.name()).find_map(|record| record.node)?;
    let loser = winner.peer();
    let effects = records.iter().filter(|record| record.kind == Kind::Effect && record.node == Some(loser));
    let mut after = effects.skip_while(|record| record.name != EffectKind::Halt.name());
    if after.next().is_none() {
        return Some(format!("the {winner} serves, and the {loser} has not stopped"));
    }
    let shows = |record: &&Record| {
        [EffectKind::Release, EffectKind::ResumeVm].iter().any(|kind| record.name == kind.name())
    };
    after.find(shows).map(|record| format!("the {loser} has stopped, and goes on: {}", record.name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use colo_protocol::{Effect, Input, OutputOffset};
    use colo_real::RunViolation;
    use colo_trace::Point;

    const WINNER: NodeName = NodeName::Secondary;
    const LOSER: NodeName = NodeName::Primary;

    fn effect(time: u64, node: NodeName, effect: Effect) -> Record {
        Record::effect(time, node, 2, effect)
    }

    fn granted(time: u64, node: NodeName) -> Record {
        Record::input(time, node, 2, Input::ArbiterGranted)
    }

    /// As it should be.
    fn records() -> Vec<Record> {
        vec![
            Record::other(10, None, 0, Kind::Fault, "cut of the link".to_owned()),
            effect(20, LOSER, Effect::AskArbiter),
            effect(30, WINNER, Effect::AskArbiter),
            granted(75, WINNER),
            effect(90, WINNER, Effect::TakeOver),
            effect(95, LOSER, Effect::Halt),
        ]
    }

    fn one_failover() -> RunOutcome {
        RunOutcome { failovers: 1, ..RunOutcome::nothing_yet() }
    }

    #[test]
    fn one_that_serves_and_one_that_has_stopped_are_as_it_should_be() {
        assert_eq!(problem(&one_failover(), &records()), None);
    }

    #[test]
    fn two_servers_are_a_problem_by_whichever_sign() {
        let mut twice = records();
        twice.push(granted(100, LOSER));
        let expected = "two servers: 2 grants, 1 promotions, expected 1";
        assert_eq!(problem(&one_failover(), &twice).as_deref(), Some(expected));
        let both = RunOutcome { failovers: 2, ..RunOutcome::nothing_yet() };
        assert!(
            problem(&both, &records()).is_some_and(|problem| problem.starts_with("two servers: 1 grants, 2"))
        );
    }

    #[test]
    fn nobody_who_serves_a_contradiction_and_a_fault_that_never_came_are_problems() {
        let nobody = RunOutcome { failovers: 0, ..RunOutcome::nothing_yet() };
        assert!(
            problem(&nobody, &records()[..3]).is_some_and(|problem| problem.starts_with("0 grants and 0"))
        );
        let unserved = RunOutcome { violation: Some(RunViolation::Unserved), ..one_failover() };
        assert_eq!(problem(&unserved, &records()), Some(RunViolation::Unserved.to_string()));
        let at: Point = "primary checkpoint 3 during effect send-ram".parse().unwrap();
        let fault = colo_trace::Fault { at, action: colo_trace::FaultAction::Cut };
        let missed = RunOutcome { unreached: vec![fault], ..one_failover() };
        assert_eq!(problem(&missed, &records()).as_deref(), Some("the point was never reached"));
    }

    #[test]
    fn a_loser_that_goes_on_is_a_problem() {
        let mut records = records();
        records.push(effect(99, LOSER, Effect::Release(OutputOffset(7))));
        let problem_of = |records: &[Record]| problem(&one_failover(), records);
        assert_eq!(problem_of(&records).as_deref(), Some("the primary has stopped, and goes on: release"));
        records.retain(|record| record.name != "halt");
        assert_eq!(
            problem_of(&records).as_deref(),
            Some("the secondary serves, and the primary has not stopped")
        );
    }
}
