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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bounds::{Bounds, Budgets, UNBOUNDED};
    use crate::checker::{Limits, Search, search};
    use colo_protocol::Rules;
    use stateright::Model;

    /// A pair in which one kind of step is never taken.
    struct Without {
        pair: Pair,
        action: fn(Action) -> bool,
    }

    impl Model for Without {
        type State = Packed;
        type Action = Action;

        fn init_states(&self) -> Vec<Packed> {
            self.pair.init_states()
        }

        fn actions(&self, state: &Packed, actions: &mut Vec<Action>) {
            self.pair.actions(state, actions);
            actions.retain(|action| !(self.action)(*action));
        }

        fn next_state(&self, state: &Packed, action: Action) -> Option<Packed> {
            self.pair.next_state(state, action)
        }

        fn properties(&self) -> Vec<stateright::Property<Self>> {
            vec![stateright::Property::always("nothing", |_, _| true)]
        }
    }

    #[derive(Default)]
    struct TallyWithout(Tally);

    impl Coverage<Without> for TallyWithout {
        fn steps(&mut self, model: &Without, from: &Packed, steps: &[(Action, Packed)]) {
            self.0.steps(&model.pair, from, steps);
        }

        fn merge(&mut self, other: Self) {
            self.0.merge(other.0);
        }
    }

    /// What is never seen in a pair in which such steps are never taken, by name.
    fn missed(bounds: Bounds, action: fn(Action) -> bool) -> BTreeSet<String> {
        let pair = Pair { rules: Rules::V12, bounds };
        let found: Search<Action, TallyWithout> =
            search(&Without { pair, action }, &Limits { threads: 2, ..Limits::default() });
        let reached: BTreeSet<Goal> = found.coverage.0.reached().collect();
        let seldom = |goal: &Goal| goal.is_transition() || matches!(goal, Goal::Call(..));
        let required = Goal::required(&pair.rules, &bounds).into_iter().filter(|goal| !seldom(goal));
        required.filter(|goal| !reached.contains(goal)).map(|goal| goal.to_string()).collect()
    }

    fn bounds() -> Bounds {
        let budgets = Budgets { outputs: 1, crashes: 1, cuts: 1, load_errors: 1, ..Budgets::default() };
        Bounds { checkpoints: UNBOUNDED, budgets }
    }

    /// A step that is taken out of the model is missed by its name, and what only it leads to with it.
    #[test]
    fn a_step_that_is_deleted_is_missed() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
        assert_eq!(missed(bounds(), |_| false), names(&[]));
        let fence = missed(bounds(), |action| action == Action::Fence(NodeName::Secondary));
        assert_eq!(fence, names(&["action Fence(Secondary)"]));
        let load_errors = missed(bounds(), |action| matches!(action, Action::FailLoad(_)));
        assert_eq!(load_errors, names(&["action FailLoad(Secondary)", "any of load errors"]));
        let timer = missed(bounds(), |action| action == Action::TimerFires);
        let needed = ["action TimerFires", "message checkpoint-request", "premise of still during capture"];
        assert!(names(&needed).is_subset(&timer), "{timer:?}");
    }

    /// What a following secondary does is not credited to what a survivor does.
    #[test]
    fn a_budget_is_of_what_was_allowed() {
        let write = Action::WriteDisk(NodeName::Secondary);
        assert_eq!(budget_of(write, true), Some("secondary_writes"));
        assert_eq!(budget_of(write, false), Some("disk_writes"));
        assert_eq!(budget_of(Action::Output(NodeName::Secondary), true), None);
        assert_eq!(budget_of(Action::Output(NodeName::Secondary), false), Some("outputs"));
    }

    /// Every budget is of some action.
    #[test]
    fn every_budget_can_be_spent() {
        let both = Action::all().flat_map(|action| [true, false].map(|follows| (action, follows)));
        let spent: BTreeSet<_> = both.filter_map(|(action, follows)| budget_of(action, follows)).collect();
        let budgets: BTreeSet<_> = Budgets::default().named().into_iter().map(|(name, _)| name).collect();
        assert_eq!(spent, budgets);
    }
}
