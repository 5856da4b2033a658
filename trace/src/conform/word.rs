//! What events are called: in JSON, and in a sentence that can be read aloud. Messages have QEMU's names.

use colo_protocol::{Effect, Input, InputKind, MessageKind, NodeName};
use std::fmt;

/// How an event shows.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum How {
    /// A node's environment carries something out.
    Effect,
    /// A node is told something.
    Input,
    /// A setting of a node is changed.
    Setting,
    /// Something passes on the link.
    Passed,
    /// Something befalls the pair.
    Trouble,
    /// Something on the link is nothing.
    Garbled,
}

/// The name of an event.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Word {
    node: Option<NodeName>,
    how: How,
    name: String,
    value: Option<u64>,
}

impl Word {
    pub(super) fn new(node: Option<NodeName>, how: How, name: &str, value: Option<u64>) -> Self {
        Self { node, how, name: name.to_owned(), value }
    }

    pub(super) fn of_input(node: NodeName, input: Input) -> Self {
        Self::new(Some(node), How::Input, input.kind().name(), input.value())
    }

    pub(super) fn of_effect(node: NodeName, effect: Effect) -> Self {
        Self::new(Some(node), How::Effect, effect.kind().name(), effect.value())
    }

    /// What passes on the link, from this node.
    pub(super) fn of_packet(from: NodeName, packet: Input) -> Self {
        let name = match packet.kind() {
            InputKind::RamReceived => "ram",
            InputKind::DeviceStateReceived => "device-state",
            other => other.name(),
        };
        Self::new(Some(from), How::Passed, name, packet.value())
    }

    /// The same without its number: whoever did not see the inside of a node cannot know it.
    pub(super) fn without_value(self) -> Self {
        Self { value: None, ..self }
    }

    /// The track on which it would stand.
    pub(super) fn track(&self) -> Option<usize> {
        self.node.map(|node| node as usize)
    }

    /// What it is called, without the node and the number: a message's name is QEMU's.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// In a sentence.
    pub fn sentence(&self) -> String {
        let Self { node, how, name, value } = self;
        let node = node.map_or("nobody", NodeName::name);
        let value = value.map_or(String::new(), |value| format!(" {value}"));
        match how {
            How::Effect if is_message(name) => format!("the {node} sends {name}{value}"),
            How::Effect => format!("the {node} carries out {name}{value}"),
            How::Input if is_message(name) => format!("{name}{value} comes to the {node}"),
            How::Input => format!("the {node} is told {name}{value}"),
            How::Setting => format!("{name} of the {node} is set to{value}"),
            How::Passed => format!("{name}{value} from the {node}"),
            How::Trouble | How::Garbled => name.clone(),
        }
    }
}

fn is_message(name: &str) -> bool {
    MessageKind::from_name(name).is_some()
}

/// As JSON has it.
impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.how, self.node) {
            (How::Effect, Some(node)) => write!(f, "{node} effect {}", self.name)?,
            (How::Input, Some(node)) => write!(f, "{node} input {}", self.name)?,
            (How::Setting, Some(node)) => write!(f, "{node} setting {}", self.name)?,
            _ => return f.write_str(&self.name),
        }
        self.value.map_or(Ok(()), |value| write!(f, " {value}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use colo_protocol::{ExitReason, Message, OutputOffset};

    #[test]
    fn a_word_is_a_name_for_a_program_and_a_sentence_for_a_person() {
        let (p, s) = (NodeName::Primary, NodeName::Secondary);
        let size = Input::Message(Message::VmstateSize(12));
        for (word, short, sentence) in [
            (
                Word::of_effect(p, Effect::Release(OutputOffset(3))),
                "primary effect release 3",
                "the primary carries out release 3",
            ),
            (
                Word::of_effect(s, Effect::Exit(ExitReason::Error)),
                "secondary effect colo-exit",
                "the secondary carries out colo-exit",
            ),
            (
                Word::of_input(s, size),
                "secondary input vmstate-size 12",
                "vmstate-size 12 comes to the secondary",
            ),
            (Word::of_packet(p, size), "vmstate-size", "vmstate-size 12 from the primary"),
            (Word::of_packet(p, Input::RamReceived), "ram", "ram from the primary"),
        ] {
            assert_eq!((word.to_string(), word.sentence()), (short.to_owned(), sentence.to_owned()));
        }
    }
}
