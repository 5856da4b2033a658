//! Gates: what a plan holds is put aside when its time comes, and happens when the gate opens.
//!
//! Nothing looks at gates in between: whenever one opens, everything that was put aside is planned again for now, in
//! the order in which it came, and what another gate holds is put aside again. A run whose gate never opens ends when
//! it would have ended anyway.

use crate::agenda::Event;
use crate::inputs::Basis;
use crate::side::{Held, InHand};
use crate::simulation::Simulation;
use colo_protocol::{Failover, InputKind, NodeName};
use colo_trace::{Event as At, Gate, Moment};

impl Simulation<'_> {
    /// Whether a closed gate holds what is about to happen.
    pub(crate) fn is_held(&self, event: Event) -> bool {
        if self.faults.cursor.closed().is_empty() {
            return false;
        }
        match event {
            Event::CarryOut(node) => {
                let ready = self.side(node).ready();
                ready.is_some_and(|effect| self.holds(node, Moment::Before, At::Effect(effect.kind())))
            }
            Event::OperationHalf { node, token } => {
                let half = self.side(node).operation(token);
                half.is_some_and(|half| self.holds(node, Moment::During, At::Effect(half.effect.kind())))
            }
            Event::OperationEnd { node, token } => {
                self.side(node).operation(token).is_some_and(|in_hand| self.end_is_held(node, in_hand))
            }
            Event::Timer { node, token } => {
                self.side(node).timers == token && self.input_is_held(node, InputKind::CheckpointDue)
            }
            Event::HeldInput(node) => {
                let held = self.side(node).held.as_ref();
                held.is_some_and(|held| self.input_is_held(node, held.input.kind()))
            }
            Event::LinkDown(node) => self.link_down_is_held(node),
            Event::Patience { node, .. } => self.input_is_held(node, InputKind::PeerSilent),
            Event::Compare => [InputKind::OutputsMatch, InputKind::OutputsDiffer]
                .into_iter()
                .any(|kind| self.input_is_held(NodeName::Primary, kind)),
            Event::OutputWaits { .. } => self.input_is_held(NodeName::Primary, InputKind::OutputHeldTooLong),
            Event::ManagerLook => self.manager_is_held(),
            _ => false,
        }
    }

    /// Whether an input of this kind would have to wait.
    pub(crate) fn input_is_held(&self, node: NodeName, kind: InputKind) -> bool {
        self.holds(node, Moment::Before, At::Input(kind))
    }

    fn holds(&self, node: NodeName, moment: Moment, event: At) -> bool {
        let (side, cursor) = (self.side(node), &self.faults.cursor);
        let point = || cursor.next_point(node, side.checkpoint(), moment, event);
        side.alive && !cursor.closed().is_empty() && cursor.holds(point()).next().is_some()
    }

    /// Whichever end of an operation a gate names: which one it will be is not known before it ends. What has not
    /// come to its half does not end either.
    fn end_is_held(&self, node: NodeName, InHand { operation, effect, half_done, .. }: InHand) -> bool {
        let mut ends = InputKind::all().filter(|kind| kind.ends() == Some(operation));
        let half = !half_done && self.holds(node, Moment::During, At::Effect(effect.kind()));
        half || ends.any(|kind| self.input_is_held(node, kind))
    }

    /// A lost link is seen behind all that has come; what waits for nothing but that is lost with it.
    fn link_down_is_held(&self, node: NodeName) -> bool {
        let (side, cursor) = (self.side(node), &self.faults.cursor);
        if !side.alive || !side.open {
            return false;
        }
        let down = At::Input(InputKind::LinkDown);
        let waits_for_more = side.held.as_ref().is_some_and(|held| {
            let event = At::Input(held.input.kind());
            let point = cursor.next_point(node, side.checkpoint(), Moment::Before, event);
            cursor.holds(point).any(|gate| (gate.until.node, gate.until.event) != (node, down))
        });
        waits_for_more || self.input_is_held(node, InputKind::LinkDown)
    }

    /// The manager does not look before it may tell a survivor to go on.
    fn manager_is_held(&self) -> bool {
        NodeName::ALL.into_iter().any(|node| {
            let open = self.side(node).node.machine().failover() == Failover::None;
            open && self.input_is_held(node, InputKind::LostHeartbeat)
        })
    }

    /// Whether a living node has something at a gate.
    pub(crate) fn anything_waits(&self) -> bool {
        self.parked.iter().any(|event| self.is_held(*event))
            || self.sides.iter().any(|side| side.held.is_some())
    }

    /// The gates at which the run stands.
    pub(crate) fn shut(&self) -> Vec<Gate> {
        let stands = |gate: &&Gate| self.holds(gate.hold.node, gate.hold.moment, gate.hold.event);
        let shut = self.faults.cursor.closed().iter().filter(stands).filter(|_| self.anything_waits());
        shut.copied().collect()
    }

    /// A gate has opened: everything that was put aside has its turn again.
    pub(crate) fn let_go(&mut self) {
        for event in std::mem::take(&mut self.parked) {
            self.agenda.after(0, event);
        }
    }

    /// What has come over the link need not wait any more.
    pub(crate) fn held_input(&mut self, node: NodeName) {
        let Some(Held { input, rest }) = self.side_mut(node).held.take() else { return };
        self.give(node, input, Basis::Link);
        self.read(node, &rest);
    }
}
