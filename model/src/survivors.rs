//! Who serves alone after what a plan does, and from which checkpoint: all that the core leaves open.
//!
//! A node that dies leaves things half done, and which half its peer has seen is a matter of time. So what is predicted
//! is a set: whoever is promoted in some order of events, with the checkpoint that it has then.

use crate::bounds::{Bounds, Budgets, MAX_CHECKPOINTS};
use crate::pair::Pair;
use crate::planned::{Deaths, Search, undisturbed};
use crate::state::State;
use colo_protocol::{CheckpointNumber, EffectKind, InputKind, NodeName, Rules};
use colo_trace::{Event, Fault, Moment, Plan, Point};
use std::collections::BTreeSet;
use std::fmt;

/// A node that serves alone.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Survivor {
    /// The node.
    pub node: NodeName,
    /// The checkpoint that it goes on from.
    pub from: CheckpointNumber,
}

impl fmt::Display for Survivor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.node, self.from)
    }
}

/// Whoever may serve alone after a plan.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Survivors {
    /// Each node that is promoted in some order of events.
    pub possible: BTreeSet<Survivor>,
    /// Whether every order was seen.
    pub complete: bool,
}

/// Follows `plan` in every order of what it leaves open, with one checkpoint more than it names.
///
/// In the model a transfer is on the link when its sender is told that it has ended, and not before. A fault between the
/// two finds it there, or, as in the model, does not: both are followed. A node that dies at a point of its peer goes on
/// until it is dead, while the peer waits.
///
/// Where both VMs execute, nothing is predicted of a point that guests' output leads to: guests send nothing here.
pub fn survivors(rules: &Rules, plan: &Plan) -> Survivors {
    if rules.is_hybrid() && plan.faults.iter().any(|fault| fault.at.event.is_of_output()) {
        return Survivors::default();
    }
    let told = Plan { faults: plan.faults.iter().map(once_told).collect(), ..plan.clone() };
    let mut all = follow(rules, plan);
    if told != *plan {
        let Survivors { possible, complete } = follow(rules, &told);
        all.possible.extend(possible);
        all.complete &= complete;
    }
    all
}

/// The fault when the sender of a transfer that has ended knows so; any other as it is.
fn once_told(fault: &Fault) -> Fault {
    let input = match (fault.at.moment, fault.at.event) {
        (Moment::After, Event::Effect(EffectKind::SendRam)) => InputKind::RamSent,
        (Moment::After, Event::Effect(EffectKind::SendDeviceState)) => InputKind::DeviceStateSent,
        _ => return *fault,
    };
    Fault { at: Point { event: Event::Input(input), ..fault.at }, ..*fault }
}

fn follow(rules: &Rules, plan: &Plan) -> Survivors {
    let mut search = Search::new(rules, plan, (quiet(undisturbed(rules, plan)), Deaths::InTime));
    let mut possible = BTreeSet::new();
    search.everywhere(&mut |before, after, all_struck| {
        let promoted =
            NodeName::ALL.into_iter().filter(|node| all_struck && is_promoted(before, after, *node));
        possible.extend(
            promoted.map(|node| Survivor { node, from: after.side(node).node.machine().serves_from() }),
        );
    });
    Survivors { possible, complete: search.complete }
}

fn is_promoted(before: &State, after: &State, node: NodeName) -> bool {
    after.world.promoted[node as usize] && !before.world.promoted[node as usize]
}

/// Without what the guests do: no checkpoint depends on it, but where both execute and send what differs.
fn quiet(pair: Pair) -> Pair {
    let Bounds { checkpoints, budgets } = pair.bounds;
    let budgets = Budgets { outputs: 0, disk_writes: 0, ..budgets };
    Pair { bounds: Bounds { checkpoints: (checkpoints + 1).min(MAX_CHECKPOINTS), budgets }, ..pair }
}

#[cfg(test)]
mod tests {
    use super::*;
    use colo_trace::FaultAction;

    fn after_a_death(node: NodeName, at: &str) -> Vec<String> {
        let plan = Plan::new(vec![Fault { at: at.parse().unwrap(), action: FaultAction::Crash { node } }]);
        let survivors = survivors(&Rules::V12, &plan);
        assert!(survivors.complete);
        survivors.possible.iter().map(Survivor::to_string).collect()
    }

    #[test]
    fn what_the_secondary_has_decides_from_where_it_goes_on() {
        for (at, possible) in [
            ("primary checkpoint 2 before effect checkpoint-request", &["secondary 1"][..]),
            ("primary checkpoint 2 during effect send-ram", &["secondary 1"]),
            ("primary checkpoint 2 after effect send-device-state", &["secondary 1", "secondary 2"]),
            ("primary checkpoint 2 after input device-state-sent", &["secondary 1", "secondary 2"]),
            // While the secondary waits there, the primary may send all that it has, or die.
            ("secondary checkpoint 2 after effect checkpoint-reply", &["secondary 1", "secondary 2"]),
            ("secondary checkpoint 2 after effect vmstate-received", &["secondary 2"]),
            ("primary checkpoint 2 after input vmstate-loaded", &["secondary 2"]),
        ] {
            assert_eq!(after_a_death(NodeName::Primary, at), possible, "{at}");
        }
    }

    /// The secondary's VM executes, and it is still the checkpoint that it has loaded last from which it has gone on.
    #[test]
    fn where_both_execute_the_same_is_predicted_but_at_what_output_leads_to() {
        let hybrid = Rules { execution: colo_protocol::Execution::Hybrid, ..Rules::V12 };
        let predicted = |at: &str| {
            let action = FaultAction::Crash { node: NodeName::Primary };
            let plan = Plan::new(vec![Fault { at: at.parse().unwrap(), action }]);
            let Survivors { possible, complete } = survivors(&hybrid, &plan);
            (possible.iter().map(Survivor::to_string).collect::<Vec<_>>(), complete)
        };
        let during = predicted("primary checkpoint 2 during effect send-ram");
        assert_eq!(during, (vec!["secondary 1".to_owned()], true));
        assert_eq!(predicted("primary checkpoint 2 after effect release"), (Vec::new(), false));
    }

    #[test]
    fn a_primary_goes_on_where_it_is() {
        let at = "secondary checkpoint 2 during effect load-state";
        assert_eq!(after_a_death(NodeName::Secondary, at), ["primary 2"]);
    }
}
