//! From a counterexample to a plan: its faults at their points, and the gates that fix the order of its events.
//!
//! The order of two events needs a gate only if nothing else brings it about. To know what does, each node's machine
//! is given the inputs of the trace again, and its effects are queued as in a run; between the nodes, messages and
//! gates carry the order, which a clock for each event keeps. Nothing here decides anything of the protocol.

use self::faults::Struck;
use self::side::{Clock, InHand, Side, Step, join};
use crate::fault::FaultAction;
use crate::gate::Gate;
use crate::plan::{Fault, Plan, PlanCursor};
use crate::point::{Event, Moment, Point};
use crate::record::{Kind, Record, Trace};
use crate::step_fault::StepFault;
use colo_protocol::{CheckpointNumber, Effect, EffectKind, Failover, InputKind, NodeName, Operation, Rules};
use thiserror::Error;

mod faults;
mod side;

/// A trace from which no plan can be made.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum DeriveError {
    /// An event that no point of a plan can name.
    #[error("event {event} of the trace, {name:?}, is nothing that a plan can bring about")]
    Inexpressible {
        /// The how-manieth event, from 1.
        event: usize,
        /// What it is called.
        name: String,
    },
    /// An event that the rules do not lead to.
    #[error("event {event} of the trace, {name:?}, is not what these rules do there: expected {expected}")]
    Unexpected {
        /// The how-manieth event, from 1.
        event: usize,
        /// What it is called.
        name: String,
        /// What could have been there.
        expected: String,
    },
}

/// The plan that makes the run of `trace` happen again: a trace of the checker, one record a step.
pub fn plan_of(trace: &Trace) -> Result<Plan, DeriveError> {
    let mut walk = Walk::new(&trace.header.rules);
    walk.stall_ends = trace.records.iter().any(|record| StepFault::of(record) == Some(StepFault::StallEnds));
    let events = trace
        .records
        .iter()
        .filter(|record| matches!(record.kind, Kind::Input | Kind::Effect | Kind::Fault | Kind::Guest));
    for (event, record) in (1..).zip(events) {
        walk.record(record).map_err(|problem| problem.at(event, record))?;
    }
    Ok(Plan::new(walk.faults).with_gates(walk.gates))
}

/// What is wrong with a record.
enum Problem {
    Inexpressible,
    Unexpected(String),
}

impl Problem {
    fn at(self, event: usize, record: &Record) -> DeriveError {
        let name = record.name.clone();
        match self {
            Self::Inexpressible => DeriveError::Inexpressible { event, name },
            Self::Unexpected(expected) => DeriveError::Unexpected { event, name, expected },
        }
    }
}

struct Walk<'a> {
    rules: &'a Rules,
    cursor: PlanCursor,
    /// All steps; the first is number 1.
    steps: Vec<Step>,
    sides: [Side; 2],
    struck: Option<Struck>,
    /// From which step on the link is lost, or about to be.
    lost: Option<usize>,
    /// The secondary's guest goes its own way.
    diverges: bool,
    /// A link that stands still goes on again.
    stall_ends: bool,
    faults: Vec<Fault>,
    gates: Vec<Gate>,
}

impl<'a> Walk<'a> {
    fn new(rules: &'a Rules) -> Self {
        Self {
            rules,
            cursor: PlanCursor::default(),
            steps: Vec::new(),
            sides: NodeName::ALL.map(Side::new),
            struck: None,
            lost: None,
            diverges: false,
            stall_ends: false,
            faults: Vec::new(),
            gates: Vec::new(),
        }
    }

    fn record(&mut self, record: &Record) -> Result<(), Problem> {
        match (record.kind, record.node) {
            (Kind::Input, Some(node)) => self.input(node, record),
            (Kind::Effect, Some(node)) => self.effect(node, record),
            (Kind::Fault, _) => self.fault(StepFault::of(record).ok_or(Problem::Inexpressible)?),
            (Kind::Guest, Some(node)) if record.name == "RAM applied" => self.half_loaded(node),
            // No plan needs to say when a guest writes to its disk: it does so when it likes. Where both VMs execute, a
            // write that only one of them does is a divergence.
            (Kind::Guest, Some(node)) => {
                if node == NodeName::Primary && self.rules.is_hybrid() {
                    self.goes_its_own_way();
                }
                Ok(())
            }
            _ => Err(Problem::Inexpressible),
        }
    }

    fn side(&self, node: NodeName) -> &Side {
        &self.sides[node as usize]
    }

    fn side_mut(&mut self, node: NodeName) -> &mut Side {
        &mut self.sides[node as usize]
    }

    fn step(&self, number: usize) -> Option<&Step> {
        self.steps.get(number.checked_sub(1)?)
    }

    fn clock(&self, number: usize) -> Clock {
        self.step(number).map_or([0; 2], |step| step.clock)
    }

    fn checkpoint(&self, node: NodeName) -> CheckpointNumber {
        self.side(node).node.machine().checkpoint()
    }

    fn next_point(&self, node: NodeName, moment: Moment, event: Event) -> Point {
        self.cursor.next_point(node, self.checkpoint(node), moment, event)
    }

    fn arrive(&mut self, node: NodeName, moment: Moment, event: Event) -> Point {
        let checkpoint = self.checkpoint(node);
        self.cursor.arrive(node, checkpoint, moment, event).0
    }

    /// The number of the step that comes next.
    fn next_number(&self) -> usize {
        self.steps.len() + 1
    }

    fn add(&mut self, node: NodeName, [before, after, passed]: [Point; 3], mut clock: Clock) {
        let number = self.next_number();
        clock = join(clock, self.clock(self.side(node).last));
        clock[node as usize] = number;
        self.steps.push(Step { before, after, passed, clock });
        self.side_mut(node).last = number;
        self.side_mut(node).last_is_delivery = false;
    }

    /// What waits at `hold` waits for `until`; a later point of the same node is the one that counts.
    fn gate(&mut self, hold: Point, until: Point) {
        let same = |gate: &&mut Gate| gate.hold == hold && gate.until.node == until.node;
        match self.gates.iter_mut().find(same) {
            _ if hold == until => {}
            Some(gate) => gate.until = until,
            None => self.gates.push(Gate { hold, until }),
        }
    }

    fn hold_all(&mut self, others: Vec<Point>, until: Point) {
        for hold in others {
            self.gate(hold, until);
        }
    }

    /// Everything at a node that could come before its next step, and comes later or never.
    fn others(&self, node: NodeName, delivery: bool, ends: bool, first: Option<EffectKind>) -> Vec<Point> {
        let side = self.side(node);
        let mut others = Vec::new();
        let mut input = |kind| others.push(self.next_point(node, Moment::Before, Event::Input(kind)));
        if let (Some((kind, sent)), false) = (side.inbox.front(), delivery)
            && self.clock(*sent)[node as usize] < side.last.max(1)
        {
            input(*kind);
        }
        if side.timer.is_some() {
            input(InputKind::CheckpointDue);
        }
        if self.lost.is_some() && side.connected {
            input(InputKind::LinkDown);
        }
        if self.lost.is_some() && side.node.machine().failover() == Failover::None {
            if self.rules.has_manager() {
                input(InputKind::LostHeartbeat);
            }
            if self.rules.watches_silence() {
                input(InputKind::PeerSilent);
            }
        }
        match side.in_hand {
            Some(InHand { half: Some(half), .. }) => others.push(half),
            Some(InHand { operation, .. }) if !ends => others.push(self.end_of(node, operation)),
            _ => {}
        }
        let ready = side.node.queue().ready(side.in_hand.is_some()).map(Effect::kind);
        if let Some(kind) = ready.filter(|kind| Some(*kind) != first) {
            others.push(self.next_point(node, Moment::Before, Event::Effect(kind)));
        }
        others
    }

    /// The point at which an operation's end can be held.
    fn end_of(&self, node: NodeName, operation: Operation) -> Point {
        let mut kinds = InputKind::all().filter(|kind| kind.ends() == Some(operation));
        let kind = kinds.next().unwrap_or(InputKind::VmSuspended);
        self.next_point(node, Moment::Before, Event::Input(kind))
    }

    fn input(&mut self, node: NodeName, record: &Record) -> Result<(), Problem> {
        let Some(input) = record.as_input() else { return Err(Problem::Inexpressible) };
        let kind = input.kind();
        let event = Event::Input(kind);
        let told = told(node, kind);
        let suspicion = matches!(kind, InputKind::LostHeartbeat | InputKind::PeerSilent);
        let delivery = is_delivery(kind);
        let before = self.next_point(node, Moment::Before, event);
        let clock = self.causes(node, kind, before)?;
        let lost_now = self.struck.map(|struck| struck.step);
        let (clock, at_once) = told.map_or((clock, false), |action| self.told(node, action));
        let mut others = self.others(node, delivery, kind.ends().is_some(), None);
        if at_once {
            others.clear();
        }
        others.retain(|point| point.event != event);
        // A node that is told in the moment in which the link is lost has not seen that yet.
        if suspicion && lost_now.is_some() && lost_now == self.struck.map(|struck| struck.step) {
            others.retain(|point| point.event != Event::Input(InputKind::LinkDown));
        }
        self.arrive(node, Moment::Before, event);
        let rules = self.rules;
        let side = self.side_mut(node);
        if kind == InputKind::LinkDown {
            side.disconnect();
        }
        side.node.input(rules, input);
        let after = self.arrive(node, Moment::After, event);
        self.add(node, [before, after, after], clock);
        self.side_mut(node).last_is_delivery = delivery;
        self.hold_all(others, after);
        let number = self.side(node).last;
        match kind {
            InputKind::RamSent => self.put(node, InputKind::RamReceived, number),
            InputKind::DeviceStateSent => self.put(node, InputKind::DeviceStateReceived, number),
            _ => {}
        }
        Ok(())
    }

    /// Takes what an input rests on out of the node's surroundings. If that does not bring it behind the node's latest
    /// step, a gate does.
    fn causes(&mut self, node: NodeName, kind: InputKind, before: Point) -> Result<Clock, Problem> {
        let last = self.side(node).last;
        let side = &mut self.sides[node as usize];
        let (clock, implied) = match kind {
            kind if told(node, kind).is_some() => return Ok([0; 2]),
            InputKind::GuestOutput => {
                side.unmatched.get_or_insert(last);
                return Ok([0; 2]);
            }
            InputKind::OutputsMatch => {
                self.side_mut(NodeName::Secondary).unmatched = None;
                self.diverges = false;
                return Ok([0; 2]);
            }
            InputKind::OutputsDiffer => {
                self.goes_its_own_way();
                return Ok([0; 2]);
            }
            // By itself, some time after the output that waits.
            InputKind::OutputHeldTooLong => return Ok([0; 2]),
            InputKind::UncomparedOutput => {
                self.doom(node, last, FaultAction::Uncompared);
                self.goes_its_own_way();
                return Ok([0; 2]);
            }
            InputKind::DiskFailed => return self.fail_disk(node).map(|()| [0; 2]),
            InputKind::BadStream => {
                let sent = side.inbox.pop_front();
                self.corrupt(node);
                return Ok(sent.map_or([0; 2], |(_, sent)| self.clock(sent)));
            }
            InputKind::CheckpointDue => {
                let armed = side.timer.take();
                (self.clock(armed.unwrap_or(0)), armed == Some(last))
            }
            InputKind::LinkDown => {
                let since = self.lost.ok_or_else(|| Problem::Unexpected("a link that is up".to_owned()))?;
                let clock = self.clock(since);
                (clock, clock[node as usize] >= last)
            }
            kind if is_delivery(kind) => {
                let (first, sent) = side.inbox.pop_front().unzip();
                if first != Some(kind) {
                    let first = first.map_or("nothing", InputKind::name);
                    return Err(Problem::Unexpected(format!("{first} on the link")));
                }
                let in_order = side.last_is_delivery;
                let clock = self.clock(sent.unwrap_or(0));
                (clock, in_order || clock[node as usize] >= last)
            }
            kind => {
                let ends = kind.ends().ok_or(Problem::Inexpressible)?;
                let in_hand = side.in_hand.take();
                if in_hand.map(|in_hand| in_hand.operation) != Some(ends) {
                    return Err(Problem::Unexpected("the end of the operation in hand".to_owned()));
                }
                let fails = match kind {
                    InputKind::LoadFailed => Some(FaultAction::FailLoad),
                    InputKind::SaveFailed => Some(FaultAction::FailSave),
                    _ => None,
                };
                if let Some(action) = fails {
                    self.fail_operation(node, in_hand.map_or(0, |in_hand| in_hand.begun), action);
                }
                // Whatever came since it began has held its end already.
                ([0; 2], true)
            }
        };
        if let (false, Some(step)) = (implied, self.step(last).copied()) {
            self.gate(before, step.passed);
        }
        Ok(clock)
    }

    /// Sees to it that the step `first` of `node` comes before the step `second` of the peer.
    fn order(&mut self, first: usize, node: NodeName, second: usize) {
        let (Some(one), Some(two)) = (self.step(first).copied(), self.step(second).copied()) else { return };
        if one.after.node == two.after.node || two.clock[node as usize] >= first {
            return;
        }
        self.gate(two.before, one.passed);
        if let Some(step) = self.steps.get_mut(second - 1) {
            step.clock = join(two.clock, one.clock);
        }
    }

    fn effect(&mut self, node: NodeName, record: &Record) -> Result<(), Problem> {
        let kind = EffectKind::from_name(&record.name).ok_or(Problem::Inexpressible)?;
        let side = self.side(node);
        let ready = side.node.queue().ready(side.in_hand.is_some()).map(Effect::kind);
        if ready != Some(kind) {
            return Err(Problem::Unexpected(ready.map_or("no effect", EffectKind::name).to_owned()));
        }
        let event = Event::Effect(kind);
        let mut others = self.others(node, false, false, Some(kind));
        // These overtake: nothing comes between them and what asks for them.
        if matches!(kind, EffectKind::BeginFailover | EffectKind::CloseLink) {
            others.clear();
        }
        let before = self.arrive(node, Moment::Before, event);
        let rules = self.rules;
        self.side_mut(node).node.next_effect(rules);
        let operation = Operation::of(kind);
        let moment = if operation.is_some() { Moment::During } else { Moment::After };
        let after = self.arrive(node, moment, event);
        let passed = if operation.is_some() { before } else { after };
        self.add(node, [before, after, passed], [0; 2]);
        self.hold_all(others, passed);
        self.carried_out(node, kind, operation, after);
        Ok(())
    }

    fn carried_out(&mut self, node: NodeName, kind: EffectKind, operation: Option<Operation>, half: Point) {
        let number = self.side(node).last;
        if let Some(operation) = operation {
            let half = (operation == Operation::LoadState).then_some(half);
            self.side_mut(node).in_hand = Some(InHand { operation, begun: number, half });
        }
        match kind {
            EffectKind::Send(message) => self.put(node, InputKind::Message(message), number),
            EffectKind::ArmCheckpointTimer => self.side_mut(node).timer = Some(number),
            EffectKind::CloseLink => {
                self.side_mut(node).disconnect();
                self.lost.get_or_insert(number);
            }
            EffectKind::Release => {
                let taken = self.side(node.peer()).take_over;
                self.order(taken, node.peer(), number);
                self.side_mut(node).last_release = number;
            }
            EffectKind::TakeOver => {
                let released = self.side(node.peer()).last_release;
                self.order(released, node.peer(), number);
                self.side_mut(node).take_over = number;
            }
            _ => {}
        }
    }

    fn put(&mut self, from: NodeName, kind: InputKind, number: usize) {
        let open = self.side(from).connected && self.lost.is_none();
        let to = self.side_mut(from.peer());
        if open && to.connected && to.alive {
            to.inbox.push_back((kind, number));
        }
    }

    /// The RAM of the load in hand is in the VM.
    fn half_loaded(&mut self, node: NodeName) -> Result<(), Problem> {
        let half = self.side_mut(node).in_hand.as_mut().and_then(|in_hand| in_hand.half.take());
        let half = half.ok_or_else(|| Problem::Unexpected("no load in its first half".to_owned()))?;
        let mut others = self.others(node, false, true, None);
        others.retain(|point| *point != half);
        self.add(node, [half; 3], [0; 2]);
        self.hold_all(others, half);
        Ok(())
    }
}

/// What of a plan tells a node this, if its surroundings may do so at any time.
const fn told(node: NodeName, kind: InputKind) -> Option<FaultAction> {
    match kind {
        InputKind::PeerSilent => Some(FaultAction::PeerSilent { node }),
        InputKind::LostHeartbeat => Some(FaultAction::LostHeartbeat { node }),
        InputKind::GuestShutdown => Some(FaultAction::GuestShutdown { node }),
        InputKind::GuestReset => Some(FaultAction::GuestReset { node }),
        _ => None,
    }
}

/// Whether an input is something that came over the link.
const fn is_delivery(kind: InputKind) -> bool {
    matches!(kind, InputKind::Message(_) | InputKind::RamReceived | InputKind::DeviceStateReceived)
}
