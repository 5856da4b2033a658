//! What a search has seen, over all its steps: how often each action and each transition was taken, and the premises.
//!
//! Only counted here. What should have been seen is in `goals`.

use crate::action::Action;
use crate::checker::Coverage;
use crate::given::given;
use crate::goals::Goal;
use crate::packed::Packed;
use crate::pair::Pair;
use crate::premises::is_met;
use crate::state::{Packet, State};
use colo_protocol::{Effect, InputKind, Message, MessageKind, NodeName, Property, Transition};
use foldhash::quality::FixedState;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::Hash;

/// Only looked up and added to: nothing depends on its order.
type Counts<T> = HashMap<T, u64, FixedState>;

/// What has been seen.
#[derive(Default, Debug)]
pub(crate) struct Tally {
    /// Actions; whether the node that acts follows its peer.
    actions: Counts<(Action, bool)>,
    transitions: Counts<Transition>,
    messages: BTreeSet<MessageKind>,
    protected_again: bool,
    /// In how many states each property's premise was met, in the order of [`Property::ALL`].
    premises: [u64; Property::ALL.len()],
}

impl Coverage<Pair> for Tally {
    fn steps(&mut self, pair: &Pair, from: &Packed, steps: &[(Action, Packed)]) {
        let before = from.state();
        for (property, met) in Property::ALL.into_iter().zip(&mut self.premises) {
            *met += u64::from(is_met(property, &before));
        }
        for (action, _) in steps {
            self.step(pair, &before, *action);
        }
    }

    fn merge(&mut self, other: Self) {
        add(&mut self.actions, other.actions);
        add(&mut self.transitions, other.transitions);
        self.messages.extend(other.messages);
        self.protected_again |= other.protected_again;
        for (met, other) in self.premises.iter_mut().zip(other.premises) {
            *met += other;
        }
    }
}

impl Tally {
    fn step(&mut self, pair: &Pair, before: &State, action: Action) {
        let follows =
            matches!(action, Action::Output(name) | Action::WriteDisk(name) if before.follows(name));
        *self.actions.entry((action, follows)).or_default() += 1;
        for (name, input) in given(before, action) {
            let machine = before.side(name).node.machine();
            if let Some(transition) = Transition::take(&pair.rules, machine, input) {
                *self.transitions.entry(transition).or_default() += 1;
            }
        }
        match action {
            Action::CarryOut(name) => {
                if let Some(Effect::Send(message)) = before.side(name).node.queue().first() {
                    self.messages.insert(message.kind());
                }
            }
            Action::Deliver(NodeName::Primary) => self.protected_again |= is_protected_again(before),
            _ => {}
        }
    }

    /// How often each transition was taken.
    pub(crate) fn transitions(&self) -> BTreeMap<Transition, u64> {
        self.transitions.iter().map(|(transition, times)| (*transition, *times)).collect()
    }

    /// In how many states a property's premise was met.
    pub(crate) fn occasions(&self, property: Property) -> u64 {
        self.premises[property as usize]
    }

    /// All goals that have been reached.
    pub(crate) fn reached(&self) -> impl Iterator<Item = Goal> {
        let actions = self.actions.keys().map(|(action, _)| Goal::Action(*action));
        let spent = self.actions.keys().filter_map(|(action, follows)| budget_of(*action, *follows));
        let failovers = self.transitions.keys().filter_map(|transition| failover(*transition));
        let premises = Property::ALL.into_iter().filter(|property| self.occasions(*property) > 0);
        let again = self.protected_again.then_some(Goal::ProtectedAgain);
        actions
            .chain(spent.map(Goal::Spent))
            .chain(failovers)
            .chain(self.transitions.keys().copied().map(Goal::Transition))
            .chain(self.messages.iter().copied().map(Goal::Message))
            .chain(premises.map(Goal::Premise))
            .chain(again)
    }
}

fn add<T: Eq + Hash>(counts: &mut Counts<T>, others: Counts<T>) {
    for (what, times) in others {
        *counts.entry(what).or_default() += times;
    }
}

/// A failover that a command, or the node's own patience, has led to.
pub(crate) fn failover(transition: Transition) -> Option<Goal> {
    let asked_for = matches!(transition.input, InputKind::LostHeartbeat | InputKind::PeerSilent);
    asked_for.then_some(Goal::Failover(transition.from))
}

/// Whether the message that comes next is a replacement's checkpoint-ready.
fn is_protected_again(before: &State) -> bool {
    let ready = Packet::Message(Message::CheckpointReady);
    before.spent.replacements > 0 && before.side(NodeName::Primary).inbox.first() == Some(&ready)
}

/// The budget of which an action is. What a node that follows sends repeats what has been paid for.
const fn budget_of(action: Action, follows: bool) -> Option<&'static str> {
    Some(match action {
        Action::Output(_) if follows => return None,
        Action::Output(_) => "outputs",
        Action::DivergingOutput => "mismatches",
        Action::UncomparedOutput => "uncompared",
        Action::HoldTooLong => "held_outputs",
        Action::WriteDisk(_) if follows => "secondary_writes",
        Action::WriteDisk(_) => "disk_writes",
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
