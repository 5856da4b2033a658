//! The faults of a plan, carried out on the two processes and the link between them.

use super::Pair;
use crate::control::ToNode;
use crate::vm::Button;
use colo_protocol::NodeName;
use colo_trace::{FaultAction, FaultKind, Kind, Point};
use std::time::{Duration, Instant};

/// The faults of a point, some of which have not been carried out: a button is being pressed.
#[derive(Debug)]
pub(super) struct Strike {
    /// Whose.
    pressed: NodeName,
    /// Who stands at the point.
    name: NodeName,
    point: Point,
    actions: Vec<FaultAction>,
    /// How many have been carried out.
    done: usize,
}

impl Pair<'_> {
    /// Carries the faults of a point out, and lets the node go on.
    pub(super) fn strike(&mut self, name: NodeName, point: Point, actions: &[FaultAction]) {
        self.strike_from(0, name, point, actions);
    }

    /// A button of this node's machine has been pressed: what strikes behind that strikes now.
    pub(super) fn strike_on(&mut self, pressed: NodeName) {
        let waits = self.course.strikes.iter().position(|strike| strike.pressed == pressed);
        let Some(Strike { name, point, actions, done, .. }) =
            waits.map(|place| self.course.strikes.remove(place))
        else {
            return;
        };
        self.strike_from(done, name, point, &actions);
    }

    fn strike_from(&mut self, first: usize, name: NodeName, point: Point, actions: &[FaultAction]) {
        for (done, action) in (first + 1..).zip(actions.iter().skip(first)) {
            self.outcome.struck.push((point, *action));
            self.note(None, Kind::Fault, format!("{action} at {point}"));
            match *action {
                FaultAction::Crash { node } => self.kill(node),
                // Between processes on one machine a reset is a cut.
                FaultAction::Cut | FaultAction::Reset => self.tell_both(&ToNode::Cut),
                FaultAction::Stall { for_ms } => self.tell_both(&ToNode::Stall { for_ms }),
                FaultAction::HalfClose { node } => self.process(node).tell(&ToNode::HalfClose),
                FaultAction::Blackhole => {
                    self.course.circumstances.link_is_silent = true;
                    self.tell_both(&ToNode::Deaf);
                }
                FaultAction::Partition { node } => {
                    self.course.circumstances.link_is_silent = true;
                    self.process(node).tell(&ToNode::Deaf);
                }
                FaultAction::Pause { node, for_ms } => {
                    self.process(node).pause(Duration::from_millis(for_ms.into()));
                }
                FaultAction::PeerSilent { node } => {
                    self.course.circumstances.suspected_wrongly |= self.process(node.peer()).is_alive();
                    self.process(node).tell(&ToNode::PeerSilent);
                }
                FaultAction::FailSave => self.process(NodeName::Primary).tell(&ToNode::FailSave),
                FaultAction::LostHeartbeat { node } => {
                    self.course.circumstances.suspected_wrongly |= self.process(node.peer()).is_alive();
                    self.lost_heartbeat(node, true);
                }
                FaultAction::FailLoad => self.process(NodeName::Secondary).tell(&ToNode::FailLoad),
                FaultAction::FailDisk { node } => self.process(node).tell(&ToNode::FailDisk),
                FaultAction::Diverge => self.process(NodeName::Secondary).tell(&ToNode::Diverge),
                FaultAction::Uncompared => self.process(NodeName::Primary).tell(&ToNode::Uncompared),
                FaultAction::GuestShutdown { node } | FaultAction::GuestReset { node }
                    if self.process(node).is_alive() =>
                {
                    let is_reset = action.kind() == FaultKind::GuestReset;
                    let button = if is_reset { Button::Reset } else { Button::Power };
                    self.process(node).tell(&ToNode::Press(button));
                    let actions = actions.to_vec();
                    self.course.strikes.push(Strike { pressed: node, name, point, actions, done });
                    return;
                }
                // A dead guest has no wishes.
                FaultAction::GuestShutdown { .. } | FaultAction::GuestReset { .. } => {}
                FaultAction::CheckpointNow => self.process(NodeName::Primary).tell(&ToNode::CheckpointNow),
                // Refused before a run.
                action => unreachable!("{action} cannot be carried out here"),
            }
        }
        // Behind all of it: what the plan has said need not be said again.
        if actions.iter().any(|action| action.kind() == FaultKind::Crash) {
            self.manage();
        }
        let deafens = |action: &FaultAction| match *action {
            FaultAction::Blackhole => true,
            FaultAction::Partition { node } => node != name,
            _ => false,
        };
        if actions.iter().any(deafens) && self.process(name.peer()).is_alive() {
            // The link is silent when the peer knows, and not before: until then it would read what is sent to it.
            self.course.waits_for_silence[name as usize] = true;
        } else {
            self.process(name).tell(&ToNode::GoOn);
        }
    }

    /// A node hears nothing more over the link: the peer that waits for that goes on.
    pub(super) fn is_deaf(&mut self, name: NodeName) {
        let waits = name.peer();
        if std::mem::take(&mut self.course.waits_for_silence[waits as usize]) {
            self.process(waits).tell(&ToNode::GoOn);
        }
    }

    pub(super) fn kill(&mut self, node: NodeName) {
        let killed = Instant::now();
        self.process(node).kill();
        self.stop_asking(node);
        self.course.failover.died(killed);
        self.is_deaf(node);
        // Nobody presses anything there any more.
        while self.course.strikes.iter().any(|strike| strike.pressed == node) {
            self.strike_on(node);
        }
    }
}
