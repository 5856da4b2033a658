//! What a check has to have seen, lest it prove nothing: every message, a failover in every phase, everything that the
//! budgets allow.

use crate::action::Action;
use crate::bounds::Bounds;
use crate::checker::search::Coverage;
use crate::packed::Packed;
use crate::pair::Pair;
use crate::state::{Packet, State};
use colo_protocol::{
    Dialect, Effect, Failover, Message, MessageKind, NodeName, PrimaryPhase, Rules, SecondaryPhase,
};
use std::collections::BTreeSet;
use std::fmt;

/// What a check has to have seen, lest it prove nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Goal {
    /// This message was put on the link.
    Message(MessageKind),
    /// A failover was accepted by a primary in this phase.
    PrimaryFailover(PrimaryPhase),
    /// A failover was accepted by a secondary in this phase.
    SecondaryFailover(SecondaryPhase),
    /// A survivor's replacement was ready.
    ProtectedAgain,
    /// Something of this budget happened.
    Spent(&'static str),
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Message(kind) => write!(f, "message {}", kind.name()),
            Self::PrimaryFailover(phase) => write!(f, "failover of the primary in {}", phase.name()),
            Self::SecondaryFailover(phase) => write!(f, "failover of the secondary in {}", phase.name()),
            Self::ProtectedAgain => f.write_str("a survivor protected again"),
            Self::Spent(budget) => write!(f, "any of {}", budget.replace('_', " ")),
        }
    }
}

impl Goal {
    /// All that a check has to see when its bounds allow a checkpoint and a crash.
    pub fn required(rules: &Rules, bounds: &Bounds) -> impl Iterator<Item = Self> {
        let tells_shutdown = rules.dialect == Dialect::V12 && bounds.budgets.shutdowns > 0;
        let messages = MessageKind::ALL
            .into_iter()
            .filter(move |kind| *kind != MessageKind::GuestShutdown || tells_shutdown);
        let primary = PrimaryPhase::ALL.into_iter().filter(|phase| {
            use PrimaryPhase::{Alone, Fenced, ShutDown, TakingOver};
            !matches!(phase, TakingOver | Alone | Fenced | ShutDown)
        });
        let hybrid = rules.is_hybrid();
        let secondary = SecondaryPhase::ALL.into_iter().filter(move |phase| {
            use SecondaryPhase::{Alone, Failed, Fenced, Incoming, ShutDown, Suspending, TakingOver};
            !matches!(phase, Incoming | TakingOver | Alone | Failed | Fenced | ShutDown)
                && (*phase != Suspending || hybrid)
        });
        let spent = bounds.budgets.named().into_iter().filter(|(_, budget)| *budget > 0);
        let spent = spent.map(|(budget, _)| Self::Spent(budget));
        let again = (bounds.budgets.replacements > 0).then_some(Self::ProtectedAgain);
        let messages = messages.map(Self::Message).chain(again).chain(spent);
        messages.chain(primary.map(Self::PrimaryFailover)).chain(secondary.map(Self::SecondaryFailover))
    }
}

/// The goals that a search has reached.
#[derive(Default, Debug)]
pub(crate) struct Goals(BTreeSet<Goal>);

impl Coverage<Pair> for Goals {
    fn steps(&mut self, _: &Pair, from: &Packed, steps: &[(Action, Packed)]) {
        let before = from.state();
        for (action, after) in steps {
            self.step(&before, *action, after);
        }
    }

    fn merge(&mut self, mut other: Self) {
        self.0.append(&mut other.0);
    }
}

impl Goals {
    /// All that has been reached.
    pub(crate) fn into_reached(self) -> BTreeSet<Goal> {
        self.0
    }

    fn step(&mut self, before: &State, action: Action, after: &Packed) {
        if let Some(budget) = budget_of(action) {
            self.0.insert(Goal::Spent(budget));
        }
        match action {
            Action::CarryOut(name) => {
                if let Some(Effect::Send(message)) = before.side(name).node.queue().first() {
                    self.0.insert(Goal::Message(message.kind()));
                }
            }
            Action::LostHeartbeat(name)
            | Action::LostHeartbeatWrongly(name)
            | Action::PeerSilent(name)
            | Action::PeerSilentWrongly(name) => {
                let after = after.state();
                if after.side(name).node.machine().failover() != Failover::None {
                    self.0.insert(failover_goal(before, name));
                }
            }
            Action::Deliver(NodeName::Primary) if is_protected_again(before) => {
                self.0.insert(Goal::ProtectedAgain);
            }
            _ => {}
        }
    }
}

/// Whether the message that comes next is a replacement's checkpoint-ready.
fn is_protected_again(before: &State) -> bool {
    let ready = Packet::Message(Message::CheckpointReady);
    before.spent.replacements > 0 && before.side(NodeName::Primary).inbox.first() == Some(&ready)
}

fn failover_goal(before: &State, name: NodeName) -> Goal {
    match before.side(name).node.machine() {
        colo_protocol::Machine::Primary(primary) => Goal::PrimaryFailover(primary.phase()),
        colo_protocol::Machine::Secondary(secondary) => Goal::SecondaryFailover(secondary.phase()),
    }
}

/// The budget of which an action is.
const fn budget_of(action: Action) -> Option<&'static str> {
    Some(match action {
        Action::Output(_) => "outputs",
        Action::DivergingOutput => "mismatches",
        Action::UncomparedOutput => "uncompared",
        Action::HoldTooLong => "held_outputs",
        Action::WriteDisk(NodeName::Primary) => "disk_writes",
        Action::WriteDisk(NodeName::Secondary) => "secondary_writes",
        Action::PowerOff(_) => "shutdowns",
        Action::Reset(_) => "resets",
        Action::Replace(_) => "replacements",
        Action::FindCapabilityMissing => "missing_capabilities",
        Action::Crash(_) => "crashes",
        Action::Cut => "cuts",
        Action::Stall => "stalls",
        Action::Blackhole => "blackholes",
        Action::Partition(_) => "partitions",
        Action::Corrupt(_) => "corruptions",
        Action::LostHeartbeatWrongly(_) | Action::PeerSilentWrongly(_) => "wrong_suspicions",
        Action::FailLoad(_) => "load_errors",
        Action::FailSave(_) => "save_errors",
        Action::FailDisk(_) => "disk_errors",
        _ => return None,
    })
}
