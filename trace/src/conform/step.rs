//! What could happen next: every step that the core, its operations and the link have before them, and what the world
//! may do unasked.
//!
//! Of the world's doings only those stand here that can lead to something on the link: what a guest sends, or that it is
//! reset, never does, or does what a checkpoint that is due does as well. What only a fault brings about needs one.

use super::pair::{Ground, Pair};
use super::sight::Sort;
use super::word::Word;
use colo_protocol::{Effect, Input, InputKind, NodeName, Operation};

/// A step that could be taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Step {
    /// The effect that is next is carried out.
    CarryOut(NodeName, Effect),
    /// What is under way comes to its end, or to the node.
    Give(NodeName, Input),
    /// The world does something unasked.
    Unasked(NodeName, Input),
    /// What this node has put on the link passes.
    Pass(NodeName, Input),
}

impl Step {
    /// The sort of step, and the node; what passes on the link is nobody's.
    pub(super) const fn shows_as(self) -> Option<(NodeName, Sort)> {
        match self {
            Self::CarryOut(node, effect) => Some((node, Sort::of_effect(effect.kind()))),
            Self::Give(node, input) | Self::Unasked(node, input) => {
                Some((node, Sort::of_input(input.kind())))
            }
            Self::Pass(..) => None,
        }
    }

    pub(super) const fn is_unasked(self) -> bool {
        matches!(self, Self::Unasked(..))
    }

    pub(super) fn word(self, ground: &Ground<'_>) -> Word {
        let (node, word) = match self {
            Self::CarryOut(node, effect) => (node, Word::of_effect(node, effect)),
            Self::Give(node, input) | Self::Unasked(node, input) => (node, Word::of_input(node, input)),
            Self::Pass(node, input) => (node, Word::of_packet(node, input)),
        };
        if ground.shows(node, Sort::Inside) { word } else { word.without_value() }
    }
}

impl Pair {
    /// Every step that could be taken; some of them the core may refuse.
    pub(super) fn steps(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        for name in NodeName::ALL.into_iter().filter(|name| self.side(*name).fate.acts()) {
            let side = self.side(name);
            steps.extend(side.ready().map(|effect| Step::CarryOut(name, effect)));
            steps.extend(side.in_hand.into_iter().flat_map(|operation| self.ends_of(name, operation)));
            steps.extend(side.inbox.front().map(|packet| Step::Give(name, packet.input)));
            steps.extend(side.unseen.front().map(|packet| Step::Pass(name.peer(), packet.input)));
            self.unasked(name, &mut steps);
        }
        steps
    }

    /// How an operation can end; badly only where something has gone wrong.
    fn ends_of(&self, name: NodeName, operation: Operation) -> impl Iterator<Item = Step> {
        let troubled = self.troubled;
        let ends = InputKind::all().filter(move |kind| kind.ends() == Some(operation));
        let ends = ends
            .filter(move |kind| troubled || !matches!(kind, InputKind::SaveFailed | InputKind::LoadFailed));
        ends.map(move |kind| Step::Give(name, Input::new(kind, 0)))
    }

    fn unasked(&self, name: NodeName, steps: &mut Vec<Step>) {
        let side = self.side(name);
        let mut may = |input| steps.push(Step::Unasked(name, input));
        if name == NodeName::Primary {
            // A second request can as well come when the first is under way.
            if side.node.machine().pending_requests() == 0 {
                may(Input::CheckpointDue);
            }
            may(Input::GuestShutdown);
        }
        if self.troubled {
            may(Input::LostHeartbeat);
            may(Input::PeerSilent);
            if self.is_link_lost(name) && side.connected {
                may(Input::LinkDown);
            }
            if side.ready().is_some_and(Effect::is_of_the_disk) {
                may(Input::DiskFailed);
            }
        }
    }

    /// The pair after a step; none if it cannot be taken. That a link is closed while nothing has gone wrong explains
    /// nothing that comes later, and is not looked at.
    pub(super) fn after(&self, ground: &Ground<'_>, step: Step) -> Option<Self> {
        let mut next = self.clone();
        match step {
            Step::CarryOut(name, _) => next.carry_out_next(ground, name)?,
            Step::Give(name, input) => next.give(ground, name, input)?,
            Step::Unasked(name, input) => {
                next.give(ground, name, input)?;
                let closes = |effect| effect == Effect::CloseLink;
                if !next.troubled && next.side(name).node.queue().iter().any(closes) {
                    return None;
                }
            }
            Step::Pass(from, input) => next.pass(from, input)?,
        }
        next.normalise(ground);
        Some(next)
    }
}
