//! The pair as a model of which progress can be claimed: what classes of steps there are, and what is assumed of each.
//!
//! A class is a kind of step at one node, so that nothing that goes on at the other hides that it is never taken.

use crate::action::Action;
use crate::checker::{Class, Fairness, Progress};
use crate::packed::Packed;
use crate::pair::Pair;
use crate::state::State;
use colo_protocol::{NodeName, Rules};

pub(crate) const CLASSES: [&str; 19] = [
    "primary carries out",
    "secondary carries out",
    "primary ends an operation",
    "secondary ends an operation",
    "primary is given what has come",
    "secondary is given what has come",
    "primary sees the link down",
    "secondary sees the link down",
    "primary is told",
    "secondary is told",
    "primary's patience ends",
    "secondary's patience ends",
    "primary is fenced",
    "secondary is fenced",
    "the timer fires",
    "the comparison looks",
    "a replacement comes",
    "a guest does something",
    "something fails",
];

/// A kind of step that a node takes.
#[derive(Clone, Copy)]
enum Kind {
    CarryOut = 0,
    End = 2,
    Deliver = 4,
    SeeLinkDown = 6,
    Told = 8,
    Patience = 10,
    Fence = 12,
}

const fn class_of(kind: Kind, name: NodeName) -> Class {
    Class::new(kind as u8 + name as u8)
}

const TIMER: Class = Class::new(14);
const COMPARE: Class = Class::new(15);
const REPLACE: Class = Class::new(16);
const GUEST: Class = Class::new(17);
const CHANCE: Class = Class::new(18);

impl Progress for Pair {
    type View = State;

    fn view(&self, state: &Packed) -> State {
        state.state()
    }

    fn classes(&self) -> &'static [&'static str] {
        &CLASSES
    }

    fn class(&self, action: &Action) -> Class {
        match *action {
            Action::CarryOut(name) => class_of(Kind::CarryOut, name),
            Action::ApplyRam(name) | Action::EndOperation(name) => class_of(Kind::End, name),
            Action::Deliver(name) => class_of(Kind::Deliver, name),
            Action::SeeLinkDown(name) => class_of(Kind::SeeLinkDown, name),
            Action::LostHeartbeat(name) => class_of(Kind::Told, name),
            Action::PeerSilent(name) => class_of(Kind::Patience, name),
            Action::Fence(name) => class_of(Kind::Fence, name),
            Action::TimerFires => TIMER,
            Action::Compare => COMPARE,
            Action::Replace(_) => REPLACE,
            Action::Output(_)
            | Action::DivergingOutput
            | Action::UncomparedOutput
            | Action::WriteDisk(_)
            | Action::PowerOff(_)
            | Action::Reset(_) => GUEST,
            _ => CHANCE,
        }
    }
}

/// A node's environment does what it is asked for, and gives it what has come.
pub(crate) fn environment_of(name: NodeName) -> Fairness {
    [Kind::CarryOut, Kind::End, Kind::Deliver, Kind::SeeLinkDown]
        .into_iter()
        .fold(Fairness::none(), |fairness, kind| fairness.weak(class_of(kind, name)))
}

/// The environments of both nodes.
pub(crate) fn environments() -> Fairness {
    let [primary, secondary] = NodeName::ALL.map(environment_of);
    primary.and(secondary)
}

/// A node that hears nothing for long enough notices.
pub(crate) fn with_patience(fairness: Fairness) -> Fairness {
    NodeName::ALL.into_iter().fold(fairness, |fairness, name| fairness.weak(class_of(Kind::Patience, name)))
}

/// A manager, where there is one, tells a node whose peer is dead, and when two nodes have lost each other it fences one.
pub(crate) fn with_manager(rules: &Rules, fairness: Fairness) -> Fairness {
    if !rules.has_manager() {
        return fairness;
    }
    NodeName::ALL.into_iter().fold(fairness, |fairness, name| {
        fairness.weak(class_of(Kind::Told, name)).weak(class_of(Kind::Fence, name))
    })
}

/// The checkpoint timer runs out, and the comparison looks at what there is.
pub(crate) fn with_timer(fairness: Fairness) -> Fairness {
    fairness.weak(TIMER).weak(COMPARE)
}

/// A replacement that is at hand comes.
pub(crate) fn with_replacement(fairness: Fairness) -> Fairness {
    fairness.weak(REPLACE)
}
