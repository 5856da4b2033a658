//! A path of the model as a trace: the same records that a simulated or a real run leaves.

use crate::action::Action;
use crate::bounds::{Bounds, MAX_CHECKPOINTS};
use crate::checker::Lasso;
use crate::packed::Packed;
use crate::pair::Pair;
use crate::state::State;
use colo_protocol::{Input, Liveness, NodeName, Operation, OutputOffset, Property};
use colo_trace::{Header, Kind, Record, SCHEMA, Trace, Way};
use stateright::Model;

/// The trace of `path` from the initial state; what breaks on the way is a record of its own.
pub fn story(pair: &Pair, rules_name: &str, path: &[Action]) -> Trace {
    let mut teller = Teller::new(pair);
    for action in path {
        teller.tell(*action);
    }
    Trace { header: header(pair, rules_name), records: teller.records }
}

/// The note behind which something is owed.
pub(crate) const OWED: &str = "from here on it is owed";
/// The note behind which a cycle begins.
pub(crate) const CYCLE_BEGINS: &str = "what follows happens again and again";
/// The note of a run that stops.
pub(crate) const STOPS: &str = "and nothing that has to happen is left";

/// The trace of a run without an end: the way to its cycle, a note, and the cycle once.
pub fn lasso_story(pair: &Pair, rules_name: &str, property: Liveness, lasso: &Lasso<Action>) -> Trace {
    let mut teller = Teller::new(pair);
    let note = |teller: &mut Teller, text: &str| {
        let time = teller.step;
        teller.records.push(Record::other(time, None, 0, Kind::Note, text));
    };
    for (number, action) in lasso.stem.iter().enumerate() {
        if number == lasso.owed_after {
            note(&mut teller, OWED);
        }
        teller.tell(*action);
    }
    if lasso.owed_after >= lasso.stem.len() {
        note(&mut teller, OWED);
    }
    if lasso.stops() {
        note(&mut teller, STOPS);
    } else {
        note(&mut teller, CYCLE_BEGINS);
        for action in &lasso.cycle {
            teller.tell(*action);
        }
        note(&mut teller, "and so on for ever");
    }
    let end = teller.step;
    teller.records.push(Record::other(end, None, 0, Kind::Violation, property.name()));
    Trace { header: header(pair, rules_name), records: teller.records }
}

fn header(pair: &Pair, rules_name: &str) -> Header {
    Header {
        schema: SCHEMA,
        rules_name: rules_name.to_owned(),
        rules: pair.rules,
        seed: None,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        way: Way::Model,
    }
}

/// Takes steps, and tells of each.
struct Teller {
    pair: Pair,
    state: State,
    step: u64,
    records: Vec<Record>,
}

impl Teller {
    /// Checkpoints are counted, whether or not the check counted them.
    fn new(pair: &Pair) -> Self {
        let bounds = Bounds { checkpoints: pair.bounds.checkpoints.min(MAX_CHECKPOINTS), ..pair.bounds };
        let pair = Pair { bounds, ..*pair };
        Self { pair, state: State::initial(), step: 0, records: Vec::new() }
    }

    fn tell(&mut self, action: Action) {
        self.step += 1;
        let Some(next) = self.pair.next_state(&Packed::new(&self.state), action) else { return };
        let next = next.state();
        self.records.push(record(self.step, action, &self.state, &next));
        for property in Property::ALL {
            if self.state.world.holds(property) && !next.world.holds(property) {
                self.records.push(violation(self.step, property));
            }
        }
        self.state = next;
    }
}

fn violation(step: u64, property: Property) -> Record {
    Record::other(step, None, 0, Kind::Violation, property.name())
}

pub(crate) fn record(step: u64, action: Action, before: &State, after: &State) -> Record {
    let checkpoint = |name| after.side(name).node.machine().checkpoint().0;
    let input = |name, input| Record::input(step, name, checkpoint(name), input);
    let fault = |node, name: String| Record::other(step, node, node.map_or(0, checkpoint), Kind::Fault, name);
    match action {
        Action::CarryOut(name) => match before.side(name).node.queue().first() {
            Some(effect) => Record::effect(step, name, checkpoint(name), effect),
            None => unreachable!("only a waiting effect is carried out"),
        },
        Action::ApplyRam(name) => {
            Record::other(step, Some(name), checkpoint(name), Kind::Guest, "RAM applied")
        }
        Action::EndOperation(name) => input(name, ended(before, name)),
        Action::FailLoad(name) => input(name, Input::LoadFailed),
        Action::FailSave(name) => input(name, Input::SaveFailed),
        Action::Deliver(name) => input(name, delivered(before, name)),
        Action::SeeLinkDown(name) => input(name, Input::LinkDown),
        Action::Output(name) => input(name, Input::GuestOutput { end: output_of(after, name) }),
        Action::DivergingOutput => {
            let end = output_of(after, NodeName::Secondary);
            input(NodeName::Secondary, Input::GuestOutput { end })
        }
        Action::UncomparedOutput => {
            let end = output_of(after, NodeName::Primary);
            input(NodeName::Primary, Input::UncomparedOutput { end })
        }
        Action::Compare => input(NodeName::Primary, compared(before)),
        Action::HoldTooLong => input(NodeName::Primary, Input::OutputHeldTooLong),
        Action::WriteDisk(name) => {
            let write = format!("disk write {}", after.side(name).vm.writes);
            Record::other(step, Some(name), checkpoint(name), Kind::Guest, write)
        }
        Action::PowerOff(name) => input(name, Input::GuestShutdown),
        Action::Reset(name) => input(name, Input::GuestReset),
        Action::Replace(survivor) => {
            let roles = format!("the {survivor} that survived is the primary of a new pair");
            input(NodeName::Primary, Input::Protect).with_detail(roles)
        }
        Action::FindCapabilityMissing => fault(None, "a node lacks x-colo".to_owned()),
        Action::Blackhole => fault(None, "the link goes silent".to_owned()),
        Action::Stall => fault(None, "the link stalls".to_owned()),
        Action::StallEnds => fault(None, "the link delivers".to_owned()),
        Action::Partition(to) => fault(None, format!("{to} cut off")),
        Action::Corrupt(name) => input(name, Input::BadStream),
        Action::FailDisk(name) => input(name, Input::DiskFailed),
        Action::TimerFires => input(NodeName::Primary, Input::CheckpointDue),
        Action::Crash(name) => fault(Some(name), format!("crash of the {name}")),
        Action::Fence(name) => fault(Some(name), format!("the manager fences the {name}")),
        Action::Cut => fault(None, "cut of the link".to_owned()),
        Action::LostHeartbeat(name) | Action::LostHeartbeatWrongly(name) => input(name, Input::LostHeartbeat),
        Action::PeerSilent(name) | Action::PeerSilentWrongly(name) => input(name, Input::PeerSilent),
    }
}

fn output_of(state: &State, name: NodeName) -> OutputOffset {
    OutputOffset(state.side(name).vm.output.into())
}

/// What the comparison makes of the next unit.
fn compared(before: &State) -> Input {
    let next = before.next_compared();
    let same = next < before.side(NodeName::Primary).peer_output.leaves_at;
    let end = OutputOffset(u64::from(next) + 1);
    if same { Input::OutputsMatch { end } } else { Input::OutputsDiffer }
}

/// The input with which the operation in hand has ended.
fn ended(before: &State, name: NodeName) -> Input {
    let side = before.side(name);
    match side.in_hand.map(|in_hand| in_hand.operation) {
        Some(Operation::SuspendVm) => Input::VmSuspended,
        Some(Operation::SaveState) => Input::StateSaved { device_bytes: 1 },
        Some(Operation::SendRam) => Input::RamSent,
        Some(Operation::SendDeviceState) => Input::DeviceStateSent,
        Some(Operation::LockVm) => Input::VmLocked,
        Some(Operation::AskArbiter) if before.world.arbiter.is_none_or(|holder| holder == name) => {
            Input::ArbiterGranted
        }
        Some(Operation::AskArbiter) => Input::ArbiterDenied,
        Some(Operation::LoadState) => match side.load {
            Some([_, devices]) => Input::StateLoaded { output: OutputOffset(devices.output.into()) },
            None => Input::LoadFailed,
        },
        None => unreachable!("only an operation in hand ends"),
    }
}

fn delivered(before: &State, name: NodeName) -> Input {
    match before.side(name).inbox.first() {
        Some(packet) => packet.input(),
        None => unreachable!("only what is on the link is delivered"),
    }
}
