//! A state in a few lines, for a person: where the two nodes are, what is on the link, what the world has. A step in
//! one.

use crate::action::Action;
use crate::state::{Link, Packet, State};
use crate::story::record;
use colo_protocol::{Machine, NodeName, Operation, Property};
use colo_trace::{Kind, words};
use std::fmt::Write;

/// What a state is, in a few lines of at most 110 columns or so.
pub fn summary(state: &State) -> String {
    let mut out = String::new();
    for name in NodeName::ALL {
        line(&mut out, name.name(), &node(state, name));
    }
    line(&mut out, "link", &link(state));
    line(&mut out, "output", &output(state));
    line(&mut out, "broken", &listed(broken(state).map(Property::name), "nothing"));
    out
}

fn line(out: &mut String, heading: &str, text: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(out, "{heading:10} {text}");
}

fn node(state: &State, name: NodeName) -> String {
    let side = state.side(name);
    if !side.alive {
        return "dead".to_owned();
    }
    let machine = side.node.machine();
    let checkpoints = match machine {
        Machine::Primary(primary) => format!("checkpoint {}", primary.checkpoint().0),
        Machine::Secondary(secondary) => {
            format!("promised {}, loaded {}", secondary.promised().0, secondary.loaded().0)
        }
    };
    let runs = if side.vm.running { "VM runs" } else { "VM stands still" };
    let (phase, failover) = (phase_name(state, name), machine.failover().name());
    let mut text = format!("{phase}, failover {failover}, {checkpoints}, {runs}");
    if let Some(in_hand) = side.in_hand {
        let _ = write!(text, ", in hand: {}", operation(in_hand.operation));
    }
    let waiting = side.node.queue().iter().map(|effect| effect.kind().name());
    let waiting = listed(waiting, "");
    if !waiting.is_empty() {
        let _ = write!(text, ", to do: {waiting}");
    }
    text
}

/// The phase that a node is in; a dead one is in none.
pub(crate) fn phase_name(state: &State, name: NodeName) -> &'static str {
    let side = state.side(name);
    if side.alive { side.node.machine().phase_name() } else { "dead" }
}

const fn operation(operation: Operation) -> &'static str {
    match operation {
        Operation::SuspendVm => "suspend-vm",
        Operation::SaveState => "save-state",
        Operation::SendRound => "send-round",
        Operation::SendRam => "send-ram",
        Operation::SendDeviceState => "send-device-state",
        Operation::LockVm => "lock-vm",
        Operation::LoadState => "load-state",
        Operation::AskArbiter => "ask-arbiter",
    }
}

fn link(state: &State) -> String {
    let mut text = link_name(state.link);
    for name in NodeName::ALL {
        let under_way = state.side(name).inbox.iter().map(packet_name);
        let under_way = listed(under_way, "");
        if !under_way.is_empty() {
            let _ = write!(text, "; to the {name}: {under_way}");
        }
    }
    text
}

/// What the link does, in words.
pub(crate) fn link_name(link: Link) -> String {
    match link {
        Link::Up => "up".to_owned(),
        Link::Stalled => "stalled".to_owned(),
        Link::Blackhole => "blackhole".to_owned(),
        Link::Partitioned(name) => format!("partitioned from the {name}"),
        Link::Down => "down".to_owned(),
    }
}

/// What travels, in words.
pub(crate) fn packet_name(packet: &Packet) -> &'static str {
    match packet {
        Packet::Message(message) => message.kind().name(),
        Packet::Ram(_) => "ram",
        Packet::DeviceState(_) => "device-state",
    }
}

fn output(state: &State) -> String {
    let mut text = String::new();
    for name in NodeName::ALL.into_iter().filter(|name| state.side(*name).alive) {
        let output = state.side(name).node.machine().output();
        let withheld = output.produced().0.saturating_sub(output.released().0);
        if withheld > 0 {
            let _ = write!(text, "{name} withholds {withheld}, ");
        }
    }
    let [primary, secondary] = state.world.released;
    let _ = write!(
        text,
        "released by the primary {primary}, by the secondary {secondary}; committed {}",
        state.world.committed
    );
    text
}

/// The properties that are broken.
pub(crate) fn broken(state: &State) -> impl Iterator<Item = Property> {
    Property::ALL.into_iter().filter(|property| !state.world.holds(*property))
}

fn listed<'a>(words: impl Iterator<Item = &'a str>, none: &str) -> String {
    let words: Vec<_> = words.collect();
    if words.is_empty() { none.to_owned() } else { words.join(", ") }
}

/// A step in the words of a trace: where it is taken, and what it is.
pub(crate) fn step_in_words(before: &State, action: Action, after: &State) -> String {
    let record = record(0, action, before, after);
    let mut text = match record.node {
        // A fault says where it strikes.
        Some(node) if record.kind != Kind::Fault => format!("{node}: {}", words(&record)),
        _ => words(&record),
    };
    if action == Action::DivergingOutput {
        text.push_str(", another than the primary's");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bounds::Bounds;
    use crate::packed::Packed;
    use crate::pair::Pair;
    use colo_protocol::Rules;
    use stateright::Model;

    /// The state after the first possible step of each of these sorts.
    fn after(actions: &[Action]) -> State {
        let pair = Pair { rules: Rules::V12, bounds: Bounds::of(&Rules::V12) };
        let start = Packed::new(&State::initial());
        actions.iter().fold(start, |state, action| pair.next_state(&state, *action).unwrap()).state()
    }

    #[test]
    fn a_state_is_told_in_a_few_lines() {
        use NodeName::{Primary, Secondary};
        let steps = [
            Action::EndOperation(Secondary),
            Action::CarryOut(Secondary),
            Action::CarryOut(Secondary),
            Action::Deliver(Primary),
            Action::CarryOut(Primary),
            Action::CarryOut(Primary),
            Action::CarryOut(Primary),
            Action::Output(Primary),
            Action::TimerFires,
            Action::CarryOut(Primary),
        ];
        insta::assert_snapshot!(summary(&after(&steps)));
    }

    #[test]
    fn the_dead_are_told_apart() {
        let told = summary(&after(&[Action::Crash(NodeName::Primary)]));
        assert!(told.contains("primary    dead\n") && told.contains("link       down\n"), "{told}");
    }
}
