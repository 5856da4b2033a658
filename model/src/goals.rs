//! What a check has to have seen, lest it prove nothing: every message, action and transition, a failover in every phase,
//! everything that the budgets allow, and for each property something that it speaks of.
//!
//! What bounds or rules exclude is not asked for. Which transitions there are is asked of the core.

use crate::action::Action;
use crate::allowed::Allowed;
use crate::bounds::{Bounds, Scope};
use crate::calls::calls;
use crate::premises::can_be_met;
use crate::tally::failover;
use colo_protocol::{Liveness, MessageKind, NodeName, Phase, Property, Rules, Transition, reach};
use std::collections::BTreeSet;
use std::fmt;

/// What a check has to have seen, lest it prove nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Goal {
    /// What a safety property speaks of.
    Premise(Property),
    /// What calls for something, of a part of a liveness property.
    Call(Liveness, &'static str),
    /// This message was put on the link.
    Message(MessageKind),
    /// A failover was accepted by a node in this phase.
    Failover(Phase),
    /// A survivor's replacement was ready.
    ProtectedAgain,
    /// Something of this budget happened.
    Spent(&'static str),
    /// A step of this kind was taken.
    Action(Action),
    /// A machine took this transition.
    Transition(Transition),
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Premise(property) => write!(f, "premise of {}", property.name()),
            Self::Call(property, "") => write!(f, "call for {}", property.name()),
            Self::Call(property, part) => write!(f, "call for {} ({part})", property.name()),
            Self::Message(kind) => write!(f, "message {}", kind.name()),
            Self::Failover(phase) => write!(f, "failover of the {} in {}", phase.node(), phase.name()),
            Self::ProtectedAgain => f.write_str("a survivor protected again"),
            Self::Spent(budget) => write!(f, "any of {}", budget.replace('_', " ")),
            Self::Action(action) => write!(f, "action {action:?}"),
            Self::Transition(transition) => transition.fmt(f),
        }
    }
}

impl Goal {
    /// The name of the property that says nothing without it.
    pub const fn property(self) -> Option<&'static str> {
        match self {
            Self::Premise(property) => Some(property.name()),
            Self::Call(property, _) => Some(property.name()),
            _ => None,
        }
    }

    /// Whether it is a transition of the core.
    pub const fn is_transition(self) -> bool {
        matches!(self, Self::Transition(_))
    }

    /// Whether this is its name, or that of the property that says nothing without it.
    pub fn is_called(self, name: &str) -> bool {
        self.property() == Some(name) || self.to_string() == name
    }

    /// All that any check of these rules may have to see: within their own scopes, or within these.
    pub fn all(rules: &Rules, scopes: &[Scope]) -> BTreeSet<Self> {
        let own = Scope::of(rules);
        own.iter().chain(scopes).flat_map(|scope| Self::required(rules, &scope.bounds)).collect()
    }

    /// All that a check within these bounds has to see. Whether progress is judged is up to the check.
    pub fn required(rules: &Rules, bounds: &Bounds) -> BTreeSet<Self> {
        let allowed = Allowed { rules, bounds };
        let transitions = transitions(&allowed);
        let premises = Property::ALL.into_iter().filter(|property| can_be_met(*property, &allowed));
        let calls = Liveness::ALL.into_iter().flat_map(|property| calls(property, &allowed));
        let messages = MessageKind::ALL.into_iter().filter(|kind| allowed.sends(*kind));
        let again = allowed.replacements().then_some(Self::ProtectedAgain);
        let spent = bounds.budgets.named().into_iter().filter(|(_, budget)| *budget > 0);
        let spent = spent.map(|(budget, _)| budget).filter(|budget| allowed.spends(budget));
        let actions = Action::all().filter(|action| allowed.fires(*action));
        let mut goals: BTreeSet<Self> = premises.map(Self::Premise).collect();
        goals.extend(calls);
        goals.extend(messages.map(Self::Message).chain(again).chain(spent.map(Self::Spent)));
        goals.extend(actions.map(Self::Action));
        goals.extend(transitions.iter().filter_map(|transition| failover(*transition)));
        goals.extend(transitions.into_iter().map(Self::Transition));
        goals
    }
}

/// The transitions that the core has when it is given what is allowed.
fn transitions(allowed: &Allowed<'_>) -> BTreeSet<Transition> {
    let of = |name| reach::transitions(name, allowed.rules, |input| allowed.gives(name, input));
    NodeName::ALL.into_iter().flat_map(of).collect()
}
