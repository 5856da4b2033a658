//! What goes wrong in a counterexample, and what its guests wish: as faults of a plan, each at the latest point that
//! has to have passed.

use super::{Clock, Problem, Walk};
use crate::fault::FaultAction;
use crate::gate::Gate;
use crate::plan::Fault;
use crate::point::{Event, Moment, Point};
use crate::step_fault::StepFault;
use colo_protocol::{Effect, EffectKind, InputKind, MessageKind, NodeName};

/// How long a link stands still that goes on again: so long that all that happens meanwhile has happened.
const STALL_MS: u32 = 200;

/// The bit that is flipped in what cannot be read: one of the first byte, which says what it is.
const FLIPPED: u32 = 0;

/// The latest thing that went wrong.
#[derive(Clone, Copy)]
pub(super) struct Struck {
    pub(super) at: Point,
    pub(super) step: usize,
}

impl Walk<'_> {
    pub(super) fn fault(&mut self, fault: StepFault) -> Result<(), Problem> {
        match fault {
            // Who fences is not asked again: the node is dead from there on.
            StepFault::Crash(node) | StepFault::Fence(node) => self.crash(node),
            StepFault::Cut => self.lose_link(FaultAction::Cut),
            StepFault::Stall if self.stall_ends => self.silence(FaultAction::Stall { for_ms: STALL_MS }),
            StepFault::Stall | StepFault::Blackhole => self.silence(FaultAction::Blackhole),
            StepFault::Partition(node) => self.silence(FaultAction::Partition { node }),
            // It ends by itself.
            StepFault::StallEnds => {}
            StepFault::CapabilityMissing => return Err(Problem::Inexpressible),
        }
        Ok(())
    }

    /// What is to go wrong at a node when it next comes to it: from behind a step of it on.
    pub(super) fn doom(&mut self, node: NodeName, step: usize, action: FaultAction) {
        let at = self.after(node, step);
        self.faults.push(Fault { at, action });
    }

    /// The operation in hand, begun with that step, fails.
    pub(super) fn fail_operation(&mut self, node: NodeName, begun: usize, action: FaultAction) {
        let half = || self.next_point(node, Moment::During, Event::Effect(EffectKind::LoadState));
        let at = self.step(begun).map_or_else(half, |step| step.before);
        self.faults.push(Fault { at, action });
    }

    /// What is first on the link to a node cannot be read.
    pub(super) fn corrupt(&mut self, node: NodeName) {
        self.doom(node, self.side(node).last, FaultAction::Corrupt { node, bit: FLIPPED });
    }

    /// What the node next asks of its disk is not done.
    pub(super) fn fail_disk(&mut self, node: NodeName) -> Result<(), Problem> {
        let asked = self.side(node).node.queue().first();
        if !asked.is_some_and(Effect::is_of_the_disk) {
            let asked = asked.map_or("no effect", |effect| effect.kind().name());
            return Err(Problem::Unexpected(format!("an effect of the disk, and next is {asked}")));
        }
        self.doom(node, self.side(node).last, FaultAction::FailDisk { node });
        let rules = self.rules;
        self.side_mut(node).node.next_effect(rules);
        Ok(())
    }

    /// From before its first output that has not been found to match on, the secondary's guest is no copy of the
    /// primary's.
    pub(super) fn goes_its_own_way(&mut self) {
        let node = NodeName::Secondary;
        if !std::mem::replace(&mut self.diverges, true) {
            let side = self.side(node);
            self.doom(node, side.unmatched.unwrap_or(side.last), FaultAction::Diverge);
        }
    }

    /// A node is told something by its surroundings, that its peer is dead for instance: a fault at the latest point
    /// that has to have passed. Whether it strikes at once behind the node's latest step.
    pub(super) fn told(&mut self, node: NodeName, action: FaultAction) -> (Clock, bool) {
        let last = self.side(node).last;
        let (struck, peer) = (self.struck.map_or(0, |struck| struck.step), node.peer());
        let anchor = last.max(struck);
        let at = match (self.step(anchor), self.struck) {
            (Some(step), _) => step.after,
            (None, Some(struck)) => struck.at,
            (None, None) => self.beginning(node),
        };
        self.faults.push(Fault { at, action });
        self.wait_for_fault(node, anchor, at);
        let other = if anchor == last { (struck, peer) } else { (last, node) };
        self.order(other.0, other.1, anchor);
        self.struck = Some(Struck { at, step: anchor });
        (self.clock(anchor), anchor == last)
    }

    /// What waits until an operation has begun, and the fault strikes while it goes on: it waits for the fault.
    fn wait_for_fault(&mut self, node: NodeName, anchor: usize, at: Point) {
        let Some(passed) = self.step(anchor).map(|step| step.passed) else { return };
        let waits = |gate: &&mut Gate| gate.hold.node == node && gate.until == passed && gate.hold != at;
        self.gates.iter_mut().filter(waits).for_each(|gate| gate.until = at);
    }

    /// The point behind a step of a node; before the first, where the node begins.
    fn after(&self, node: NodeName, step: usize) -> Point {
        self.step(step).map_or_else(|| self.beginning(node), |step| step.after)
    }

    /// Where a fault strikes before anything has happened.
    fn beginning(&self, node: NodeName) -> Point {
        let first = match node {
            NodeName::Primary => InputKind::Message(MessageKind::CheckpointReady),
            NodeName::Secondary => InputKind::StateLoaded,
        };
        self.next_point(node, Moment::Before, Event::Input(first))
    }

    fn strike(&mut self, node: NodeName, step: usize, action: FaultAction) {
        let at = self.after(node, step);
        self.faults.push(Fault { at, action });
        self.struck = Some(Struck { at, step });
    }

    fn crash(&mut self, node: NodeName) {
        let (last, action) = (self.side(node).last, FaultAction::Crash { node });
        let anchor = if let Some(struck) = self.struck.filter(|struck| struck.step > last) {
            // What went wrong before was the peer's, or the link's: the node goes no further until it has.
            self.order(last, node, struck.step);
            let others = self.others(node, false, false, None);
            self.hold_all(others, struck.at);
            self.faults.push(Fault { at: struck.at, action });
            struck.step
        } else {
            self.strike(node, last, action);
            last
        };
        self.lost.get_or_insert(anchor);
        let side = self.side_mut(node);
        side.alive = false;
        side.disconnect();
    }

    /// Something happens to the link behind all that has happened: at the step that came last. Which one that is.
    fn strike_link(&mut self, action: FaultAction) -> usize {
        let [primary, secondary] = self.sides.each_ref().map(|side| side.last);
        let (anchor, node, other) = if primary > secondary {
            (primary, NodeName::Primary, secondary)
        } else {
            (secondary, NodeName::Secondary, primary)
        };
        self.order(other, node.peer(), anchor);
        let at = self.after(node, anchor);
        let mut others = self.others(node.peer(), false, false, None);
        others.retain(|point| !matches!(point.event, Event::Input(InputKind::LinkDown)));
        self.hold_all(others, at);
        self.strike(node, anchor, action);
        anchor
    }

    fn lose_link(&mut self, action: FaultAction) {
        let anchor = self.strike_link(action);
        self.lost.get_or_insert(anchor);
        self.sides.iter_mut().for_each(|side| side.inbox.clear());
    }

    /// The link says nothing any more; what it was about to deliver comes later, or never.
    fn silence(&mut self, action: FaultAction) {
        self.strike_link(action);
        for node in NodeName::ALL {
            let deaf = match action {
                FaultAction::Stall { .. } => false,
                FaultAction::Partition { node: to } => node == to,
                _ => true,
            };
            if deaf {
                self.side_mut(node).inbox.clear();
            }
        }
    }
}
