//! A recorded run once more, step by step, with what the pair is after each.
//!
//! Records say what each machine was given and what was carried out: the core, given the same, is what it was. So a run
//! costs nothing more for being looked into, and whoever recorded it need not be there. What a record leaves open (the
//! bytes of a message that is half across) is not made up here.

use crate::fault::FaultAction;
use crate::record::{Kind, Record};
use colo_protocol::{Effect, EffectKind, InputKind, MessageKind, Node, NodeName, Operation, Rules};
use std::collections::VecDeque;
use std::fmt;

/// What is put on the link, and what tells that it has come.
const TRANSFERS: [(EffectKind, InputKind); 2] = [
    (EffectKind::SendRam, InputKind::RamReceived),
    (EffectKind::SendDeviceState, InputKind::DeviceStateReceived),
];

/// One node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NodeState {
    /// The core's machine, and the effects that wait.
    pub node: Node,
    /// Whether it lives.
    pub alive: bool,
    /// Whether its end of the link is open.
    pub open: bool,
    /// The operation that has begun and not ended.
    pub in_hand: Option<Operation>,
    /// What is on its way to it, the first that will come first: messages, "round", "ram",
    /// "device-state".
    pub coming: VecDeque<&'static str>,
}

/// Both nodes, and the link.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PairState {
    /// The nodes.
    pub nodes: [NodeState; 2],
    /// The faults that have struck so far.
    pub faults: Vec<String>,
    /// Where the records are not what the core does under these rules: nothing behind that is to be believed.
    pub deviation: Option<String>,
}

/// The steps of a run, one a record: each with the pair's state after it.
#[derive(Clone, Debug)]
pub struct Steps<'a> {
    rules: &'a Rules,
    records: std::slice::Iter<'a, Record>,
    state: PairState,
}

impl<'a> Steps<'a> {
    /// A run from its beginning.
    pub fn new(rules: &'a Rules, records: &'a [Record]) -> Self {
        Self { rules, records: records.iter(), state: PairState::default() }
    }
}

impl<'a> Iterator for Steps<'a> {
    type Item = (&'a Record, PairState);

    fn next(&mut self) -> Option<Self::Item> {
        let record = self.records.next()?;
        self.state.take(self.rules, record);
        Some((record, self.state.clone()))
    }
}

impl Default for PairState {
    fn default() -> Self {
        let nodes = NodeName::ALL.map(|name| NodeState::new(Node::new(name)));
        Self { nodes, faults: Vec::new(), deviation: None }
    }
}

impl NodeState {
    const fn new(node: Node) -> Self {
        Self { node, alive: true, open: true, in_hand: None, coming: VecDeque::new() }
    }

    fn close(&mut self) {
        self.open = false;
        self.coming.clear();
        self.in_hand.take_if(|operation| operation.needs_link());
    }
}

impl PairState {
    /// Takes one record in.
    fn take(&mut self, rules: &Rules, record: &Record) {
        match (record.kind, record.node) {
            (Kind::Fault, _) => self.fault(record),
            (Kind::Input, Some(node)) => self.input(rules, node, record),
            (Kind::Effect, Some(node)) => self.effect(rules, node, record),
            (Kind::Note, _) => self.note(record),
            _ => {}
        }
    }

    /// Where a survivor is protected again, it is the primary's side of the new pair, whatever it was.
    fn note(&mut self, record: &Record) {
        let survived = |node: &NodeName| record.name == new_pair(*node);
        let Some(survivor) = NodeName::ALL.into_iter().find(survived) else { return };
        if survivor == NodeName::Secondary {
            self.nodes.swap(0, 1);
        }
        let [primary, secondary] = &mut self.nodes;
        primary.open = true;
        primary.coming.clear();
        *secondary = NodeState::new(Node::replacement());
    }

    fn fault(&mut self, record: &Record) {
        self.faults.push(record.name.clone());
        if record.name == FaultAction::Cut.to_string() {
            self.nodes.iter_mut().for_each(|node| node.coming.clear());
        }
        let Some(node) = record.node else { return };
        let crash = FaultAction::Crash { node }.to_string();
        if record.name == crash || record.name.starts_with("fenced") {
            let dead = &mut self.nodes[node as usize];
            dead.alive = false;
            dead.in_hand = None;
            dead.close();
        }
    }

    /// The node; one that does something after its death is another one that has come in its place.
    fn living(&mut self, node: NodeName) -> &mut NodeState {
        let state = &mut self.nodes[node as usize];
        if !state.alive {
            *state = NodeState::new(Node::replacement());
        }
        state
    }

    fn input(&mut self, rules: &Rules, node: NodeName, record: &Record) {
        let Some(input) = record.as_input() else {
            return self.deviate(record, "there is no such input");
        };
        let state = self.living(node);
        let kind = input.kind();
        state.in_hand.take_if(|operation| kind.ends() == Some(*operation));
        arrived(&mut state.coming, kind);
        if kind == InputKind::LinkDown {
            state.close();
        }
        // What a disk could not do has been asked for.
        if kind == InputKind::DiskFailed && state.node.queue().first().is_some_and(Effect::is_of_the_disk) {
            let _ = state.node.next_effect(rules);
        }
        if !state.node.has_room_for(rules, input) {
            return self.deviate(record, "more waits to be carried out than a node can have");
        }
        // What was wrong with it has a record of its own.
        let _ = state.node.input(rules, input);
    }

    fn effect(&mut self, rules: &Rules, node: NodeName, record: &Record) {
        let state = self.living(node);
        let next = state.node.queue().first().filter(|next| next.kind().name() == record.name);
        let Some(effect) = next else {
            // The initial state is loaded before there is a machine that asks for it.
            if record.name != EffectKind::LoadState.name() || record.checkpoint != 0 {
                self.deviate(record, "the machine does not ask for it");
            }
            return;
        };
        let _ = state.node.next_effect(rules);
        state.in_hand = effect.operation().or(state.in_hand);
        match effect {
            Effect::CloseLink => state.close(),
            Effect::Send(message) => self.sent(node, message.kind().name()),
            Effect::SendRound(_) => self.sent(node, "round"),
            Effect::SendRam(_) => self.sent(node, "ram"),
            Effect::SendDeviceState(_) => self.sent(node, "device-state"),
            _ => {}
        }
    }

    fn sent(&mut self, node: NodeName, what: &'static str) {
        if self.nodes.iter().all(|state| state.open) {
            self.nodes[node.peer() as usize].coming.push_back(what);
        }
    }

    fn deviate(&mut self, record: &Record, problem: &str) {
        self.deviation.get_or_insert_with(|| format!("{} at {} us: {problem}", record.name, record.time_us));
    }
}

/// Whether a record is the remark that a new pair begins.
pub fn is_new_pair(record: &Record) -> bool {
    record.kind == Kind::Note && NodeName::ALL.into_iter().any(|survivor| record.name == new_pair(survivor))
}

/// The remark that a new pair begins with this survivor, in every trace.
pub fn new_pair(survivor: NodeName) -> String {
    format!("the {survivor} that survived is the primary of a new pair")
}

/// The remark that a node has another delay between checkpoints from here on, in every trace; its value is the delay,
/// milliseconds.
const NEW_DELAY: &str = "x-checkpoint-delay is set";

impl Record {
    /// A record that a node has another delay between checkpoints from here on.
    pub fn new_delay(time_us: u64, node: NodeName, checkpoint: u64, delay_ms: u32) -> Self {
        Self::other(time_us, Some(node), checkpoint, Kind::Note, NEW_DELAY).with_value(delay_ms.into())
    }

    /// The delay between checkpoints that its node has from here on, milliseconds, if the record tells that.
    pub fn as_new_delay(&self) -> Option<u32> {
        let tells = self.kind == Kind::Note && self.name == NEW_DELAY;
        self.value.filter(|_| tells).and_then(|delay| u32::try_from(delay).ok())
    }
}

/// Something has come: what was sent before it has come as well.
fn arrived(coming: &mut VecDeque<&'static str>, kind: InputKind) {
    let transfer = TRANSFERS.iter().find(|(_, received)| *received == kind);
    let name = match (kind, transfer) {
        (InputKind::Message(message), _) => MessageKind::name(message),
        (_, Some((EffectKind::SendRam, _))) => "ram",
        (_, Some(_)) => "device-state",
        _ => return,
    };
    if let Some(place) = coming.iter().position(|what| *what == name) {
        coming.drain(..=place);
    }
}

impl fmt::Display for NodeState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.alive {
            return f.write_str("dead");
        }
        let machine = self.node.machine();
        let output = machine.output();
        write!(
            f,
            "{}, checkpoint {}, failover {}, output released {} sealed {} produced {}",
            machine.phase_name(),
            machine.checkpoint(),
            machine.failover(),
            output.released(),
            output.sealed(),
            output.produced(),
        )?;
        if let Some(operation) = self.in_hand {
            write!(f, "; in hand {}", operation.effect())?;
        }
        list(f, "waiting", self.node.queue().iter())
    }
}

/// The link: both ends, what is on its way, the faults so far.
#[derive(Clone, Copy, Debug)]
pub struct LinkState<'a>(&'a PairState);

impl PairState {
    /// The link, for a person.
    pub const fn link(&self) -> LinkState<'_> {
        LinkState(self)
    }
}

impl fmt::Display for LinkState<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(PairState { nodes: [primary, secondary], faults, .. }) = self;
        f.write_str(match (primary.open, secondary.open) {
            (true, true) => "both ends open",
            (true, false) => "the secondary's end closed",
            (false, true) => "the primary's end closed",
            (false, false) => "both ends closed",
        })?;
        list(f, "to the primary", primary.coming.iter())?;
        list(f, "to the secondary", secondary.coming.iter())?;
        list(f, "so far", faults.iter())
    }
}

/// Nothing, if there is nothing.
fn list(
    f: &mut fmt::Formatter<'_>,
    what: &str,
    items: impl Iterator<Item = impl fmt::Display>,
) -> fmt::Result {
    for (index, item) in items.enumerate() {
        let before = if index == 0 { format!("; {what} ") } else { ", ".to_owned() };
        write!(f, "{before}{item}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use colo_protocol::{Input, Message, OutputOffset};

    /// A pair that begins its first checkpoint, and loses its primary.
    fn records() -> Vec<Record> {
        let (p, s) = NodeName::ALL.into();
        let loaded = Input::StateLoaded { output: OutputOffset(0) };
        vec![
            Record::input(1, s, 0, loaded),
            Record::effect(2, s, 0, Effect::StartReplication),
            Record::effect(3, s, 0, Effect::Send(Message::CheckpointReady)),
            Record::input(4, p, 0, Input::Message(Message::CheckpointReady)),
            Record::effect(5, p, 0, Effect::StartReplication),
            Record::other(6, Some(p), 0, Kind::Fault, FaultAction::Crash { node: p }.to_string()),
            Record::input(7, s, 0, Input::LinkDown),
        ]
    }

    #[test]
    fn the_core_is_what_it_was() {
        let records = records();
        let states: Vec<_> = Steps::new(&Rules::V12, &records).map(|(_, state)| state).collect();
        assert!(states.iter().all(|state| state.deviation.is_none()), "{states:?}");
        assert_eq!(states[2].nodes[0].coming, ["checkpoint-ready"]);
        assert!(states[3].nodes[0].coming.is_empty());
        assert!(states[4].nodes[0].to_string().contains("waiting resume-vm, arm-checkpoint-timer"));
        assert_eq!(states[5].nodes[0].to_string(), "dead");
        assert_eq!(states[6].link().to_string(), "both ends closed; so far crash of the primary");
    }

    #[test]
    fn a_survivor_is_the_primary_of_the_next_pair() {
        let mut records = records();
        records.push(Record::other(8, None, 0, Kind::Note, new_pair(NodeName::Secondary)));
        let (_, state) = Steps::new(&Rules::V12, &records).last().unwrap();
        assert_eq!(state.link().to_string(), "both ends open; so far crash of the primary");
        assert!(state.nodes[0].to_string().starts_with("error, checkpoint 0"), "{}", state.nodes[0]);
        assert!(state.nodes[1].to_string().starts_with("incoming, checkpoint 0"), "{}", state.nodes[1]);
    }

    #[test]
    fn what_the_core_would_not_do_is_told() {
        let mut records = records();
        records[1] = Record::effect(2, NodeName::Secondary, 0, Effect::LockVm);
        let (_, state) = Steps::new(&Rules::V12, &records).last().unwrap();
        let deviation = state.deviation.unwrap();
        assert_eq!(deviation, "lock-vm at 2 us: the machine does not ask for it");
    }
}
